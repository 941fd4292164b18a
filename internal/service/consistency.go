// SPDX-License-Identifier: Apache-2.0

package service

import (
	"slices"
	"time"
)

// The levels of consistency. What each guarantees over systems without distributed transactions is in docs/consistency.md.
const (
	Eventual      = "eventual"      // all systems agree when edits stop; with a maximum delay, who is later is told of
	Strong        = "strong"        // the API answers when all systems have it, or says that they do not
	Causal        = "causal"        // a record's changes arrive in their order, and after the records it refers to
	Transactional = "transactional" // every system takes a change, or none keeps it
)

// ConsistencyLevel is the guarantee asked for; Eventual where the document asks for none.
func (d *Document) ConsistencyLevel() string {
	if c := d.SyncConfig.Consistency; c != nil && c.Level != "" {
		return c.Level
	}
	return Eventual
}

// MaxDelay is how long a change may be owed to a system before that is told of; 0 for no limit.
func (d *Document) MaxDelay() time.Duration {
	c := d.SyncConfig.Consistency
	if c == nil || c.MaxDelay == "" {
		return 0
	}
	i, err := ParseInterval(c.MaxDelay)
	if err != nil {
		return 0
	}
	return i.Duration()
}

// Late says whether something that has been owed for so long is later than the document allows.
func (d *Document) Late(delay time.Duration) bool {
	most := d.MaxDelay()
	return most > 0 && delay > most
}

// Awaits says whether the API answers an edit of these fields only when all systems have it.
func (d *Document) Awaits(fields []string) bool {
	switch d.ConsistencyLevel() {
	case Transactional:
		return true
	case Strong:
		of := d.SyncConfig.Consistency.Fields
		return len(of) == 0 || slices.ContainsFunc(fields, func(f string) bool { return slices.Contains(of, f) })
	}
	return false
}

// consistency refuses guarantees that the rest of the document makes impossible.
func (v *validation) consistency() {
	c := v.d.SyncConfig.Consistency
	if c == nil {
		return
	}
	const at = "/syncConfig/consistency"
	level, schedule := v.d.ConsistencyLevel(), v.d.Schedule()
	if c.MaxDelay != "" && level != Eventual {
		v.fail(codeStrategyIncomplete, at+"/maxDelay", "Remove it, or write `level: eventual`.", "maxDelay has a meaning only with eventual consistency.")
	}
	if len(c.Fields) > 0 && level != Strong {
		v.notice(codeStrategyIncomplete, at+"/fields", "Remove them, or write `level: strong`.", "fields have a meaning only with strong consistency; they are ignored.")
	}
	switch level {
	case Eventual:
		most := v.d.MaxDelay()
		if i, err := ParseInterval(v.when()); most > 0 && err == nil && i.Duration() > most {
			v.fail(codeConsistencyUnavailable, at+"/maxDelay", "Write `frequency: realtime`, a shorter frequency, or a longer maxDelay.", "The service runs every %s, so a change cannot always arrive within %s.", v.when(), c.MaxDelay)
		}
	case Strong, Transactional:
		if schedule.Kind != Realtime {
			v.fail(codeConsistencyUnavailable, at, "Write `frequency: realtime`, or `consistency: eventual`.", "With %s consistency whoever writes waits for all systems, and this service does not write before its next run.", level)
		}
		if v.d.Quiet() > 0 {
			v.fail(codeConsistencyUnavailable, at, "Remove quietPeriod, or write `consistency: eventual`.", "With %s consistency whoever writes waits for all systems, and a quiet period keeps changes back.", level)
		}
	case Causal:
		for i, s := range v.d.Systems {
			for j, o := range s.Objects {
				if len(o.References) > 0 && v.d.Direction != Hierarchical {
					v.fail(codeConsistencyUnavailable, pointer("systems", i, "objects", j, "references"), "Write `direction: hierarchical`, which sends what is referred to first.",
						"With causal consistency a record arrives after those it refers to, and only hierarchical services keep that order.")
				}
			}
		}
	}
	if level != Transactional {
		return
	}
	if v.d.DeletePolicy() != Propagate {
		v.fail(codeConsistencyUnavailable, at, "Write `deletes: propagate`, or another level.", "A record that one system refuses has to go from the others, and this service deletes nothing.")
	}
	takers := v.d.Receiving()
	for _, c := range v.d.Collections() {
		for _, m := range c.Members {
			if c.Shared() && !slices.Contains(takers[c.Name], m.System) {
				v.fail(codeConsistencyUnavailable, at, "Let changes go both ways, or write another level.", "%s takes no changes, so what another system refuses could not be taken back there.", m.System)
				return
			}
		}
	}
}

// when is the frequency as it is written.
func (v *validation) when() string {
	if f := v.d.SyncConfig.Frequency; f != nil {
		return f.When
	}
	return DefaultFrequency
}
