// SPDX-License-Identifier: Apache-2.0

package record

import (
	"net/url"
	"strings"

	"github.com/google/uuid"
)

// Reference is what a field that refers to another record holds. Inside, it names the entity, which is the same for all
// systems; a record that no entity is known for yet is named as its system does.
type Reference struct {
	Entity EntityID // zero: not known yet
	System System   // of one that is not known yet
	Object Object
	Key    Key
}

const (
	knownReference   = "record:"
	missingReference = "missing:"
)

// Text is the reference as the value of an entity's field.
func (r Reference) Text() string {
	if !r.Entity.IsZero() {
		return knownReference + r.Entity.String()
	}
	return missingReference + string(r.System) + "/" + url.PathEscape(string(r.Object)) + "/" + string(r.Key)
}

// ReferenceOf reads a reference from a field's value; false for any other value.
func ReferenceOf(v Value) (r Reference, ok bool) {
	s, ok := v.(string)
	if !ok {
		return r, false
	}
	if id, is := strings.CutPrefix(s, knownReference); is {
		if len(id) != 36 {
			return r, false
		}
		u, err := uuid.Parse(id)
		r.Entity = EntityID(u)
		return r, err == nil
	}
	rest, is := strings.CutPrefix(s, missingReference)
	if !is {
		return r, false
	}
	system, rest, one := strings.Cut(rest, "/")
	object, key, two := strings.Cut(rest, "/")
	plain, err := url.PathUnescape(object)
	if !one || !two || err != nil || key == "" {
		return r, false
	}
	return Reference{System: System(system), Object: Object(plain), Key: Key(key)}, true
}
