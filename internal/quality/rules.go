// SPDX-License-Identifier: Apache-2.0

package quality

import (
	"maps"
	"slices"

	"github.com/syncline-dev/syncline/internal/record"
)

// Rules is what a service wants of its records.
type Rules struct {
	Cleansing *Cleansing      // nil: values are taken as they are
	Fields    map[string]Rule // by entity field
}

// Tidies says whether any value can come out other than it went in.
func (r *Rules) Tidies() bool {
	if r.Cleansing != nil {
		return true
	}
	for _, rule := range r.Fields {
		if rule.Normalize {
			return true
		}
	}
	return false
}

// Clean tidies a value: cleansing, then the usual form of its format.
func (r *Rules) Clean(field string, v record.Value) record.Value {
	if r.Cleansing != nil {
		v = r.Cleansing.Clean(field, v)
	}
	if rule, ok := r.Fields[field]; ok {
		v = rule.Normalized(v)
	}
	return v
}

// CleanAll tidies a record. own holds, of the fields that came out other than they went in, what they were; nil when
// there are none. The fields given are not changed.
func (r *Rules) CleanAll(fields record.Fields) (clean, own record.Fields) {
	clean = fields
	for f, v := range fields {
		c := r.Clean(f, v)
		if record.Equal(c, v) {
			continue
		}
		if own == nil {
			own, clean = record.Fields{}, fields.Clone()
		}
		own[f], clean[f] = v, c
	}
	return clean, own
}

// CheckField says how a field's value breaks its rule, nil when it does not.
func (r *Rules) CheckField(field string, v record.Value) error {
	if rule, ok := r.Fields[field]; ok {
		if f := rule.Check(field, v); f != nil {
			return f
		}
	}
	return nil
}

// Check looks at a whole record; has says which fields its system knows at all: a system without the field cannot break
// its rule. The first field by name that fails is named.
func (r *Rules) Check(fields record.Fields, has func(field string) bool) error {
	for _, name := range slices.Sorted(maps.Keys(r.Fields)) {
		if !has(name) {
			continue
		}
		if err := r.CheckField(name, fields[name]); err != nil {
			return err
		}
	}
	return nil
}
