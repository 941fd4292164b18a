// SPDX-License-Identifier: Apache-2.0

package service

// NotInForce tells, of a document without errors, what this version accepts and keeps but does not apply yet, so that nobody
// believes something is done that is not. These are notices; a strategy that cannot decide is an error, because another one
// would have to take its place in silence.
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
	if c := d.SyncConfig.ConflictResolution; c != nil {
		check := func(field, canon string) {
			if kind := d.StrategyFor(field).Kind; kind == Custom || kind == Average {
				v.fail("service.strategy_unavailable", canon, "Choose lastWriteWins, firstWriteWins, sourceWins, targetWins, <systemId>-wins, weighted, fieldPriority, merge or manual.",
					"The conflict strategy %s is not available in this version.", kind)
			}
		}
		check("", "/syncConfig/conflictResolution")
		for _, field := range sortedKeys(c.Fields) {
			check(field, pointer("syncConfig", "conflictResolution", "fields", field))
		}
	}
	c := d.SyncConfig
	for _, block := range []struct {
		there bool
		canon string
		what  string
	}{
		{d.Direction == Conditional, "/direction", "Routing by rules: changes go to all systems, as in a multi-directional service"},
		{d.Direction == Hierarchical, "/direction", "Parents before children, and translated references: objects are synced side by side"},
		{c.Validation != nil, "/syncConfig/validation", "Validation of records"},
		{c.Cleansing != nil, "/syncConfig/cleansing", "Cleansing"},
		{c.Deduplication != nil && (len(c.Deduplication.FuzzyMatch) > 0 || c.Deduplication.MergeStrategy != ""), "/syncConfig/deduplication", "Fuzzy matching and merging of duplicates (exact matchFields are applied)"},
		{c.Consistency != nil && c.Consistency.Level != "" && c.Consistency.Level != "eventual", "/syncConfig/consistency", "Consistency stronger than eventual"},
		{c.Reconciliation != nil, "/syncConfig/reconciliation", "Reconciliation"},
		{c.Enrichment != nil, "/syncConfig/enrichment", "Enrichment"},
		{c.GDPR != nil, "/syncConfig/gdpr", "Erasure, portability and consent"},
		{c.Lifecycle != nil, "/syncConfig/lifecycle", "Life cycles"},
		{len(d.BusinessRules) > 0, "/businessRules", "Business rules"},
		{len(d.Workflows) > 0, "/workflows", "Workflows"},
		{len(d.Security.DataMasking) > 0 || len(d.Security.PIIClasses) > 0, "/security", "Masking by role"},
	} {
		if block.there {
			v.notice("service.not_in_force", block.canon, "It is kept with the document and takes effect with the version that brings it; see the changelog.",
				"%s: accepted, but not applied in this version.", block.what)
		}
	}
}
