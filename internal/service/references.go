// SPDX-License-Identifier: Apache-2.0

package service

import (
	"slices"
	"strings"
	"time"
)

// What becomes of the records that refer to a deleted one.
const (
	OrphansWait   = "wait"   // the deletion waits in each system until nothing there refers to the record
	OrphansDelete = "delete" // they are deleted first, everywhere
	OrphansDetach = "detach" // their reference is emptied
)

// What becomes of records that refer to each other in a circle.
const (
	CyclesRefuse  = "refuse"
	CyclesTwoPass = "two-pass" // written without the reference first
)

// DefaultReferenceWait is how long a record waits for one that it refers to before that is reported.
const DefaultReferenceWait = 10 * time.Minute

// ReferenceWait is how long a record waits for one that it refers to before that is reported.
func (d *Document) ReferenceWait() time.Duration {
	if r := d.SyncConfig.References; r != nil && r.Wait != "" {
		if i, err := ParseInterval(r.Wait); err == nil {
			return i.Duration()
		}
	}
	return DefaultReferenceWait
}

// Orphans says what becomes of the records that refer to a deleted one.
func (d *Document) Orphans() string {
	if r := d.SyncConfig.References; r != nil && r.Orphans != "" {
		return r.Orphans
	}
	return OrphansWait
}

// TwoPass says whether records that refer to each other in a circle are written without the reference first.
func (d *Document) TwoPass() bool {
	r := d.SyncConfig.References
	return r != nil && r.Cycles == CyclesTwoPass
}

// Refers is a field of a collection whose values name records of another.
type Refers struct {
	Collection string
	Field      string
	To         string // the collection referred to
	At         string // where the document says so
}

// References lists the fields that refer to other records, each once: what one system says of an object is so for the whole
// collection.
func (d *Document) References(collections []Collection) []Refers {
	of := func(system, object string) string {
		for _, c := range collections {
			for _, m := range c.Members {
				if m.System == system && m.Object == object {
					return c.Name
				}
			}
		}
		return ""
	}
	var out []Refers
	for i, s := range d.Systems {
		for j, o := range s.Objects {
			for _, field := range sortedKeys(o.References) {
				r := Refers{Collection: of(s.ID, o.Name), Field: field, To: of(s.ID, o.References[field]), At: pointer("systems", i, "objects", j, "references", field)}
				known := slices.ContainsFunc(out, func(x Refers) bool { return x.Collection == r.Collection && x.Field == r.Field && x.To == r.To })
				if r.Collection != "" && r.To != "" && !known {
					out = append(out, r)
				}
			}
		}
	}
	return out
}

// MatchFieldsOf are the fields by which records of the collection are recognised, as the document says: its objects' own, else
// the service's.
func (d *Document) MatchFieldsOf(c Collection) []string {
	for _, m := range c.Members {
		for _, o := range d.ObjectsOf(m.System) {
			if o.Name == m.Object && len(o.MatchFields) > 0 {
				return o.MatchFields
			}
		}
	}
	return d.MatchFields()
}

// Cycle finds a circle among references, apart from those of a collection to itself, as the way around it; nil without one.
func Cycle(refs []Refers) []Refers {
	var way []Refers
	done := map[string]bool{}
	var from func(collection string) []Refers
	from = func(collection string) []Refers {
		if i := slices.IndexFunc(way, func(r Refers) bool { return r.Collection == collection }); i >= 0 {
			return slices.Clone(way[i:])
		}
		if done[collection] {
			return nil
		}
		for _, r := range refs {
			if r.Collection != collection || r.To == collection {
				continue
			}
			way = append(way, r)
			if found := from(r.To); found != nil {
				return found
			}
			way = way[:len(way)-1]
		}
		done[collection] = true
		return nil
	}
	for _, r := range refs {
		if found := from(r.Collection); found != nil {
			return found
		}
	}
	return nil
}

// Around is a circle of references in words: orders.customer -> customers.lastOrder -> orders.
func Around(cycle []Refers) string {
	var b strings.Builder
	for _, r := range cycle {
		b.WriteString(r.Collection + "." + r.Field + " -> ")
	}
	return b.String() + cycle[0].Collection
}

// references checks what the document says of references as a whole.
func (v *validation) references() {
	d := v.d
	collections := d.Collections()
	refs := d.References(collections)
	if d.Direction == Hierarchical && len(refs) == 0 {
		v.fail(codeReferencesMissing, "/direction", "Name them in objects: {name: orders, references: {customerId: customers}}.", "A hierarchical service needs objects whose records refer to others.")
	}
	if len(refs) == 0 && d.SyncConfig.References != nil {
		v.notice(codeReferencesMissing, "/syncConfig/references", "Name them in objects: {name: orders, references: {customerId: customers}}.", "No object of this document refers to another.")
	}
	for i, r := range refs {
		for _, other := range refs[:i] {
			if other.Collection == r.Collection && other.Field == r.Field {
				v.fail(codeReferenceTwice, r.At, "Give the field the same meaning in each system.", "%s of %s refers to %s here, and to %s in another system.", r.Field, r.Collection, r.To, other.To)
			}
		}
	}
	if cycle := Cycle(refs); cycle != nil && !d.TwoPass() {
		v.fail(codeReferenceCycle, cycle[len(cycle)-1].At, "Leave one of these references out, or set syncConfig.references.cycles to two-pass: records are then written without it first, which needs a field that may be empty.",
			"These references go around in a circle: %s. No record could be written first.", Around(cycle))
	}
}
