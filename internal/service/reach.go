// SPDX-License-Identifier: Apache-2.0

package service

import (
	"slices"
	"strings"
	"time"
)

// EffectiveDirection is the document's direction, BiDirectional where it says none.
func (d *Document) EffectiveDirection() Direction {
	if d.Direction == "" {
		return BiDirectional
	}
	return d.Direction
}

// System returns the system of that id.
func (d *Document) System(id string) (System, bool) {
	for _, s := range d.Systems {
		if s.ID == id {
			return s, true
		}
	}
	return System{}, false
}

// ZoneOf is the time zone of the times that the system holds without one; nil for none, which is UTC.
func (d *Document) ZoneOf(id string) (*time.Location, error) {
	s, _ := d.System(id)
	if s.TimeZone == "" {
		return nil, nil
	}
	return ParseZone(s.TimeZone)
}

// connectable returns the system of that id, or the lookup service of that name as one.
func (d *Document) connectable(name string) (System, bool) {
	if s, ok := d.System(name); ok {
		return s, true
	}
	s, ok := d.Source(name)
	return s.AsSystem(), ok
}

// connectables are all that the document connects to: its systems, then its lookup services.
func (d *Document) connectables() []System {
	out := slices.Clone(d.Systems)
	if e := d.SyncConfig.Enrichment; e != nil {
		for _, s := range e.Sources {
			out = append(out, s.AsSystem())
		}
	}
	return out
}

// SystemIDs lists the systems in the order of the document.
func (d *Document) SystemIDs() []string {
	ids := make([]string, len(d.Systems))
	for i, s := range d.Systems {
		ids[i] = s.ID
	}
	return ids
}

// Primary returns the system that is marked as primary, else the first; the zero System when there is none at all.
func (d *Document) Primary() System {
	for _, s := range d.Systems {
		if s.Primary {
			return s
		}
	}
	if len(d.Systems) > 0 {
		return d.Systems[0]
	}
	return System{}
}

// SystemsReceiving lists, in the order of the document, the systems that a change of the field in system `from` goes to.
// The field "" stands for the record as such: its creation and deletion. It is SystemsReceivingIn without a collection.
func (d *Document) SystemsReceiving(from, field string) []string {
	return d.SystemsReceivingIn("", from, field)
}

// SystemsReceivingIn is SystemsReceiving for one collection, whose name the syncFields of a pair may hold too. In a
// conditional service these are the systems that the routing rules could choose.
func (d *Document) SystemsReceivingIn(collection, from, field string) []string {
	if _, known := d.System(from); !known || d.externalIDs()[field] != "" {
		return nil
	}
	var routed map[string]bool
	switch d.EffectiveDirection() {
	case Unidirectional:
		if from != d.Primary().ID {
			return nil
		}
	case Conditional:
		routed = d.routedFrom(from)
	}
	var out []string
	for _, to := range d.Systems {
		if to.ID == from || (routed != nil && !routed[to.ID]) || !d.paired(collection, from, to.ID, field) {
			continue
		}
		out = append(out, to.ID)
	}
	return out
}

// IsRoute says whether the rule chooses where changes go: a target without something to do there.
func (r BusinessRule) IsRoute() bool {
	return len(r.Target) > 0 && r.Action == "" && r.Mapping == nil && r.Rule == "" && r.Window == ""
}

// Routes lists the routing rules in force.
func (d *Document) Routes() []BusinessRule {
	var out []BusinessRule
	for _, r := range d.BusinessRules {
		if r.On() && r.IsRoute() {
			out = append(out, r)
		}
	}
	return out
}

func (d *Document) routedFrom(from string) map[string]bool {
	out := map[string]bool{}
	for _, r := range d.Routes() {
		if r.Source == "" || r.Source == from {
			for _, to := range r.Target {
				out[to] = true
			}
		}
	}
	return out
}

// paired says whether the pairs let the field pass between two systems; without pairs everything passes.
func (d *Document) paired(collection, a, b, field string) bool {
	if len(d.SyncConfig.Bidirectional) == 0 {
		return true
	}
	for _, p := range d.SyncConfig.Bidirectional {
		if !slices.Contains(p.Systems, a) || !slices.Contains(p.Systems, b) {
			continue
		}
		if len(p.SyncFields) == 0 || (field == "" && collection == "") {
			return true
		}
		for _, passing := range p.SyncFields {
			if field != "" && foldName(passing) == foldName(field) {
				return true
			}
			if collection != "" && joinKey(passing) == joinKey(collection) {
				return true
			}
			if field == "" && !d.namesCollection(passing) { // fields of every collection: its records pass
				return true
			}
		}
	}
	return false
}

// namesCollection says whether the word is a collection or object rather than a field.
func (d *Document) namesCollection(word string) bool {
	if slices.Contains(d.EntityFields(), word) {
		return false
	}
	for _, s := range d.Systems {
		for _, o := range s.Objects {
			if joinKey(o.Name) == joinKey(word) || (o.Mapping != "" && joinKey(o.Mapping) == joinKey(word)) {
				return true
			}
		}
	}
	return false
}

// DeletePolicy is what happens in the other systems when one deletes a record.
type DeletePolicy string

// The policies.
const (
	Propagate DeletePolicy = "propagate" // they delete it too; what happens when nothing is said
	Archive   DeletePolicy = "archive"   // they keep it, marked: Deletes.ArchiveField
	Ignore    DeletePolicy = "ignore"    // they keep it, and it is no longer linked
)

// DeletePolicy returns the service's policy.
func (d *Document) DeletePolicy() DeletePolicy {
	if p := d.SyncConfig.Deletes; p != nil && p.Policy != "" {
		return DeletePolicy(p.Policy)
	}
	return Propagate
}

// DeletePolicyTowards returns the policy for deliveries to one system.
func (d *Document) DeletePolicyTowards(system string) DeletePolicy {
	if p := d.SyncConfig.Deletes; p != nil && p.Systems[system] != "" {
		return DeletePolicy(p.Systems[system])
	}
	return d.DeletePolicy()
}

// MatchFields lists the entity fields by which records of different systems are recognised as the same: syncConfig.matchFields,
// else those of deduplication, else none (then the engine matches by the records' keys).
func (d *Document) MatchFields() []string {
	if len(d.SyncConfig.MatchFields) > 0 {
		return d.SyncConfig.MatchFields
	}
	if dedup := d.SyncConfig.Deduplication; dedup.On() {
		return dedup.MatchFields
	}
	return nil
}

// DetectionFor returns how changes are to be seen in a system, given what its connector can do (Spec.Detections): the
// system's own word, else the service's where the connector can do it, else "auto".
func (d *Document) DetectionFor(system string, can []string) string {
	s, _ := d.System(system)
	if s.ChangeDetection != "" {
		return s.ChangeDetection
	}
	if word := d.SyncConfig.ChangeDetection; slices.Contains(can, word) {
		return word
	}
	return "auto"
}

// externalIDs returns, by entity field, the system whose key it shows.
func (d *Document) externalIDs() map[string]string {
	out := map[string]string{}
	for _, flat := range []map[string]string{d.FieldMapping.Flat, d.UnifiedSchema} {
		for field, alias := range flat {
			if system, ok := externalSystem(alias); ok {
				out[field] = system
			}
		}
	}
	return out
}

// externalSystem reads "external_id.<system>".
func externalSystem(alias string) (string, bool) {
	return strings.CutPrefix(alias, "external_id.")
}

// Receiving lists, by collection, the systems that take changes: a delivery to any other would be carried out by nobody.
func (d *Document) Receiving() map[string][]string {
	out := make(map[string][]string)
	for _, c := range d.Collections() {
		if !c.Shared() {
			continue
		}
		for _, m := range c.Members {
			for _, from := range c.Members {
				if from.System != m.System && slices.Contains(d.SystemsReceivingIn(c.Name, from.System, ""), m.System) && !slices.Contains(out[c.Name], m.System) {
					out[c.Name] = append(out[c.Name], m.System)
				}
			}
		}
	}
	return out
}
