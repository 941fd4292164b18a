// SPDX-License-Identifier: Apache-2.0

package service

import (
	"strings"
	"unicode"
)

// Collection is one kind of record that the service keeps equal: the objects of its systems that hold copies.
type Collection struct {
	Name    string // stable over reordering: the model, the service's name, or the objects' common name
	Model   string // "" when the document names none
	Members []Member
}

// Member is one object in a collection.
type Member struct {
	System string
	Object string // "" where the document names none: the connector's object for the model, else the other members' name
}

// Shared says whether at least two systems take part, so that there is something to sync.
func (c Collection) Shared() bool {
	for _, m := range c.Members {
		if m.System != c.Members[0].System {
			return true
		}
	}
	return false
}

// ModelOf tells the model that a connector binds an object to, "" for none.
type ModelOf func(connectorType, object string) string

// Collections groups the objects of the document without knowing its connectors; see CollectionsBy.
func (d *Document) Collections() []Collection {
	return d.CollectionsBy(func(string, string) string { return "" })
}

// CollectionsBy groups the document's objects, in the order in which they first occur:
//
//   - Objects of one model (their `mapping`, else the connector's binding) form one collection, named as the model.
//   - Where no system has more than one object, those without a model join: the one model there is, else a collection named
//     as the service. A system that names no object takes part too.
//   - Otherwise objects whose names are equal but for case, separators, schema and plural form one collection; a system
//     that names no object belongs to none.
func (d *Document) CollectionsBy(model ModelOf) []Collection {
	type seat struct {
		Member
		model string
	}
	var seats []seat
	models := map[string]bool{}
	single := true
	for _, s := range d.Systems {
		objects := d.ObjectsOf(s.ID)
		single = single && len(objects) <= 1
		for _, o := range objects {
			m := o.Mapping
			if m == "" {
				m = model(s.Type, o.Name)
			}
			if m != "" {
				models[m] = true
			}
			seats = append(seats, seat{Member{s.ID, o.Name}, m})
		}
		if len(objects) == 0 {
			seats = append(seats, seat{Member{s.ID, ""}, ""})
		}
	}
	var out []Collection
	index := map[string]int{}
	add := func(key, name, model string, m Member) {
		i, there := index[key]
		if !there {
			i = len(out)
			index[key] = i
			out = append(out, Collection{Name: name, Model: model})
		}
		if model != "" {
			out[i].Name, out[i].Model = model, model
		} else if out[i].Model == "" && name < out[i].Name {
			out[i].Name = name
		}
		out[i].Members = append(out[i].Members, m)
	}
	only := ""
	if len(models) == 1 {
		only = sortedKeys(models)[0]
	}
	for _, s := range seats {
		switch {
		case s.model != "":
			add(joinKey(s.model), s.model, s.model, s.Member)
		case single && only != "":
			add(joinKey(only), only, only, s.Member)
		case single:
			add("", d.Service, "", s.Member)
		case s.Object != "":
			add(joinKey(s.Object), collectionName(s.Object), "", s.Member)
		}
	}
	return out
}

// tableSettings are the settings of a connection that name its one object.
var tableSettings = []string{"table", "collection", "file", "topic"}

// ObjectsOf lists the objects of a system: its `objects`, else the one that the settings `table`, `collection`, `file` or `topic` of
// its connection name.
func (d *Document) ObjectsOf(systemID string) []Object {
	s, _ := d.System(systemID)
	if len(s.Objects) > 0 {
		return s.Objects
	}
	for _, setting := range tableSettings {
		if table := s.Connection.Settings[setting]; table != "" {
			return []Object{{Name: table}}
		}
	}
	return nil
}

// nameWords takes a name apart: "public.TimeEntries" is time, entries.
func nameWords(name string) []string {
	if i := strings.LastIndexByte(name, '.'); i >= 0 && i+1 < len(name) {
		name = name[i+1:]
	}
	var out []string
	var word []rune
	flush := func() {
		if len(word) > 0 {
			out = append(out, strings.ToLower(string(word)))
			word = nil
		}
	}
	lower := false // the last character was a lower-case letter or digit
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			flush()
			lower = false
			continue
		}
		if unicode.IsUpper(r) && lower {
			flush()
		}
		lower = !unicode.IsUpper(r)
		word = append(word, r)
	}
	flush()
	return out
}

// joinKey is what two objects' names have in common when they mean the same: "Contact", "contacts" and "crm.CONTACTS".
func joinKey(name string) string {
	w := nameWords(name)
	if len(w) == 0 {
		return strings.ToLower(name)
	}
	w[len(w)-1] = singular(w[len(w)-1])
	return strings.Join(w, "")
}

// collectionName is an object's name as a collection is called: "time-entries".
func collectionName(object string) string {
	w := nameWords(object)
	if len(w) == 0 {
		return object
	}
	w[len(w)-1] = plural(singular(w[len(w)-1]))
	return strings.Join(w, "-")
}

func singular(word string) string {
	switch {
	case len(word) > 4 && strings.HasSuffix(word, "ies"):
		return word[:len(word)-3] + "y"
	case len(word) > 4 && (strings.HasSuffix(word, "sses") || strings.HasSuffix(word, "xes") || strings.HasSuffix(word, "ches") || strings.HasSuffix(word, "shes")):
		return word[:len(word)-2]
	case len(word) > 3 && strings.HasSuffix(word, "s") && !strings.HasSuffix(word, "ss") && !strings.HasSuffix(word, "us"):
		return word[:len(word)-1]
	}
	return word
}

func plural(word string) string {
	last := word[len(word)-1]
	switch {
	case last == 'y' && len(word) > 1 && !strings.ContainsRune("aeiou", rune(word[len(word)-2])):
		return word[:len(word)-1] + "ies"
	case last == 's' || last == 'x' || strings.HasSuffix(word, "ch") || strings.HasSuffix(word, "sh"):
		return word + "es"
	}
	return word + "s"
}
