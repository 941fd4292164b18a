// SPDX-License-Identifier: Apache-2.0

package service

// NotInForce tells, of a document without errors, what this version accepts and keeps but does not apply yet, so that nobody
// believes something is done that is not.
func (d *Document) NotInForce() Findings {
	v := &validation{d: d, ids: d.SystemIDs()}
	v.inForce()
	return Findings{Errors: v.errors.sorted(), Notices: v.notices.sorted()}
}

// and joins findings.
func (f Findings) and(g Findings) Findings {
	f.Errors = append(f.Errors, g.Errors...)
	f.Notices = append(f.Notices, g.Notices...)
	return f
}

func (v *validation) inForce() {
	d := v.d
	c := d.SyncConfig
	for _, block := range []struct {
		there bool
		canon string
		what  string
	}{
		{d.Direction == Hierarchical, "/direction", "Parents before children, and translated references: objects are synced side by side"},
		{c.Deduplication != nil && (len(c.Deduplication.FuzzyMatch) > 0 || c.Deduplication.MergeStrategy != ""), "/syncConfig/deduplication", "Fuzzy matching and merging of duplicates (exact matchFields are applied)"},
		{c.Consistency != nil && c.Consistency.Level != "" && c.Consistency.Level != "eventual", "/syncConfig/consistency", "Consistency stronger than eventual"},
		{c.Enrichment != nil, "/syncConfig/enrichment", "Enrichment"},
		{c.GDPR != nil, "/syncConfig/gdpr", "Erasure, portability and consent"},
		{c.Lifecycle != nil, "/syncConfig/lifecycle", "Life cycles"},
		{len(d.Workflows) > 0, "/workflows", "Workflows"},
		{len(d.Security.DataMasking) > 0 || len(d.Security.PIIClasses) > 0, "/security", "Masking by role"},
	} {
		if block.there {
			v.notice("service.not_in_force", block.canon, "It is kept with the document and takes effect with the version that brings it; see the changelog.",
				"%s: accepted, but not applied in this version.", block.what)
		}
	}
}
