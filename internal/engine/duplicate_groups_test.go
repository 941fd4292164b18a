// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/duplicate"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/match"
	"github.com/syncline-dev/syncline/internal/record"
)

const manyOfOne = `
service: people
direction: bi-directional
systems:
  - {id: crm, type: memory, primary: true, objects: [contacts]}
  - {id: shop, type: memory, objects: [contacts]}
syncConfig:
  frequency: realtime
  matchFields: [email]
  deduplication: {fuzzyMatch: {name: {threshold: 0.8}}, mergeStrategy: manual, review: 0.3}
`

// adas is a bench whose crm and shop hold four records of one person and one of somebody else with nearly the same name.
func adas(t *testing.T) (*bench, *duplicate.Manager) {
	b, m := twins(t, manyOfOne)
	b.people("crm", []record.Fields{
		{"id": "1", "name": "Ada Lovelace", "email": "ada@x.example", "phone": nil},
		{"id": "2", "name": "Ada Lovelace", "email": "ada@y.example", "phone": "+497311234567"},
	})
	b.start()
	b.eventually("a pair of the crm's, the first of which the shop gets", func() bool {
		return len(pairsOf(t, m, b, duplicate.Open)) == 1 && len(b.systems["shop"].User("contacts").All()) == 1 && b.settledDown()
	})
	b.people("shop", []record.Fields{
		{"id": "71", "name": "Ada Lovelace", "email": "ada@z.example", "phone": nil, "score": record.Int(4)},
		{"id": "72", "name": "Ada K Lovelace", "email": "ada@w.example", "phone": nil},
	})
	b.eventually("six pairs of four", func() bool { return len(pairsOf(t, m, b, duplicate.Open)) == 6 && b.settledDown() })
	return b, m
}

func codeOf(err error) string {
	if f := fault.As(err); f != nil {
		return f.Code
	}
	return fmt.Sprint(err)
}

// entityOf is the living entity that the system's record belongs to.
func (b *bench) entityOf(system, key string) (id record.EntityID) {
	b.t.Helper()
	if err := b.owner.QueryRow(b.t.Context(), `SELECT entity_id FROM links WHERE system = $1 AND key = $2`, system, key).Scan((*[16]byte)(&id)); err != nil {
		b.t.Fatal(err)
	}
	return id
}

// undone takes a merge back; while a change of one of the records is being sent, a person tries again.
func (b *bench) undone(m *duplicate.Manager, id uuid.UUID, reason string) (p duplicate.Pair) {
	b.t.Helper()
	var err error
	b.eventually("nothing of the records being sent", func() bool {
		p, err = m.Undo(b.t.Context(), auth.System(b.tenant, "Ada"), id, reason)
		return codeOf(err) != "duplicate.busy"
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// A whole group is merged in one act, as it was previewed, and taken back in one.
func TestDuplicateGroup(t *testing.T) {
	b, m := adas(t)
	who := auth.System(b.tenant, "Ada")
	open := pairsOf(t, m, b, duplicate.Open)
	lead := open[0].ID
	before := map[string]map[record.Key]record.Fields{"crm": b.systems["crm"].User("contacts").All(), "shop": b.systems["shop"].User("contacts").All()}

	survivor := b.entityOf("crm", "2")
	g, seen, err := m.Group(t.Context(), who, lead, duplicate.Wish{Survivor: survivor, Strategy: match.MostRecent})
	if err != nil || len(g.Records) != 4 || len(g.Pairs) != 6 || seen == nil {
		t.Fatalf("the group has %d records and %d pairs, preview %v: %v", len(g.Records), len(g.Pairs), seen, err)
	}
	if seen.Survivor != survivor || seen.Fields["email"] != "ada@y.example" || !record.Equal(seen.Fields["score"], record.Int(4)) || seen.Fate != "keep" {
		t.Errorf("the preview is %+v", seen)
	}
	second := 0
	for _, systems := range seen.Second {
		second += len(systems)
	}
	if second != 3 {
		t.Errorf("%d records would be second ones of their systems, want 3: %v", second, seen.Second)
	}

	// What was looked at is what is merged.
	for what, w := range map[string]duplicate.Wish{
		"duplicate.version_stale": {Stamp: "another"},
		"duplicate.wish_invalid":  {Records: []record.EntityID{survivor, {1}}},
	} {
		if _, err := m.JoinGroup(t.Context(), who, lead, w); codeOf(err) != what {
			t.Errorf("%+v is answered %v, want %s", w, err, what)
		}
	}
	if _, err := m.JoinGroup(t.Context(), who, lead, duplicate.Wish{Records: []record.EntityID{survivor}}); codeOf(err) != "duplicate.wish_invalid" {
		t.Errorf("one record is merged: %v", err)
	}
	live := func() int64 { return b.number(`SELECT count(*) FROM entities WHERE deleted_at IS NULL`) }
	if n := live(); n != 4 {
		t.Fatalf("%d records live after merges that were refused", n)
	}

	var done duplicate.Group
	done, err = m.JoinGroup(t.Context(), who, lead, duplicate.Wish{Survivor: survivor, Strategy: match.MostRecent, Stamp: g.Stamp(), Reason: "one Ada"})
	if err != nil || done.State != duplicate.Merged || len(done.Pairs) != 6 || len(done.Merge.Steps) != 3 {
		t.Fatalf("%+v, %v", done, err)
	}
	if n := live(); n != 1 {
		t.Errorf("%d records live after the merge", n)
	}
	if n := len(pairsOf(t, m, b, duplicate.Open)); n != 0 {
		t.Errorf("%d pairs still wait", n)
	}
	if n := b.number(`SELECT count(*) FROM audit_log WHERE action = 'duplicate.merged'`); n != 1 {
		t.Errorf("%d entries in the audit log, want one act", n)
	}
	b.engine.Nudge(b.service)
	want := record.Fields{"name": "Ada Lovelace", "email": "ada@y.example", "phone": "+497311234567", "score": record.Int(4)}
	b.eventually("the one record in both", func() bool { return b.has("crm", want) == 1 && b.has("shop", want) == 1 && b.settledDown() })

	// A later edit of the one that stays is kept when the act is taken back, by whichever of its pairs.
	b.systems["crm"].User("contacts").Put("2", record.Fields{"phone": "+49888"})
	b.eventually("the later edit", func() bool { return b.has("shop", record.Fields{"phone": "+49888"}) == 1 && b.settledDown() })
	other := slices.IndexFunc(done.Pairs, func(p duplicate.Pair) bool { return p.ID != done.Act })
	p := b.undone(m, done.Pairs[other].ID, "three are right")
	if p.State != duplicate.Later {
		t.Fatalf("%+v", p)
	}
	if n := live(); n != 4 {
		t.Errorf("%d records live after the undo", n)
	}
	if later := pairsOf(t, m, b, duplicate.Later); len(later) != 6 {
		t.Errorf("%d pairs are put off, want 6", len(later))
	}
	b.engine.Nudge(b.service)
	for system, list := range before {
		for _, f := range list {
			f = f.Clone()
			if f["id"] == "2" {
				f["phone"] = "+49888"
			}
			b.eventually("what "+system+" held before", func() bool { return b.has(system, f) == 1 && b.settledDown() })
		}
	}
	if _, err := m.Undo(t.Context(), who, p.ID, ""); codeOf(err) != "duplicate.not_merged" {
		t.Errorf("undoing twice gives %v", err)
	}

	// Two are told apart: the group cannot be one, but without one of them it can. What is left out waits on with who stayed.
	apart := slices.IndexFunc(g.Pairs, func(p duplicate.Pair) bool { return p.A != survivor && p.B != survivor })
	if _, err := m.Dismiss(t.Context(), who, g.Pairs[apart].ID, "her sister"); err != nil {
		t.Fatal(err)
	}
	whole := g.Pairs[slices.IndexFunc(g.Pairs, func(p duplicate.Pair) bool { return p.ID != g.Pairs[apart].ID })].ID
	if _, err := m.JoinGroup(t.Context(), who, whole, duplicate.Wish{}); codeOf(err) != "duplicate.told_apart" {
		t.Errorf("what was told apart is merged: %v", err)
	}
	sister := g.Pairs[apart].B
	var one []record.EntityID
	for _, e := range g.Records {
		if e.ID != sister {
			one = append(one, e.ID)
		}
	}
	at := slices.IndexFunc(g.Pairs, func(p duplicate.Pair) bool { return p.ID != g.Pairs[apart].ID && p.A != sister && p.B != sister })
	b.eventually("nothing of the records being sent", func() bool {
		done, err = m.JoinGroup(t.Context(), who, g.Pairs[at].ID, duplicate.Wish{Records: one})
		return codeOf(err) != "duplicate.busy"
	})
	if err != nil || len(done.Records) != 3 {
		t.Fatalf("%+v, %v", done, err)
	}
	waiting := slices.Concat(pairsOf(t, m, b, duplicate.Open), pairsOf(t, m, b, duplicate.Later))
	for _, p := range waiting {
		if p.A != sister && p.B != sister || p.A != done.Merge.Survivor && p.B != done.Merge.Survivor {
			t.Errorf("a pair of one that is merged waits: %+v", p)
		}
	}
	if len(waiting) != 1 {
		t.Errorf("%d pairs wait, want the one of who stayed and who was left out", len(waiting))
	}
	b.undone(m, done.Act, "")
	if n := b.number(`SELECT count(*) FROM duplicates WHERE state IN ('open', 'later')`); n != 5 {
		t.Errorf("%d pairs wait again, want 5", n)
	}
	if n := b.number(`SELECT count(*) FROM duplicates WHERE act IS NOT NULL`); n != 0 {
		t.Errorf("%d pairs belong to an act that was taken back", n)
	}
	// Who was told apart from the one that stays waits for nothing any more.
	b.eventually("nothing of the records being sent", func() bool {
		_, err = m.JoinGroup(t.Context(), who, g.Pairs[at].ID, duplicate.Wish{Records: one, Survivor: g.Pairs[apart].A})
		return codeOf(err) != "duplicate.busy"
	})
	if n := b.number(`SELECT count(*) FROM duplicates WHERE state IN ('open', 'later')`) + b.number(`SELECT count(*) FROM entities WHERE deleted_at IS NULL AND held IS NOT NULL AND cardinality(held) > 0`); err != nil || n != 0 {
		t.Errorf("%d pairs and records wait: %v", n, err)
	}
}

// Of two people who merge overlapping groups at once, one wins and the other is told; nothing is merged by halves.
func TestDuplicateGroupsAtOnce(t *testing.T) {
	b, m := adas(t)
	open := pairsOf(t, m, b, duplicate.Open)
	errs := make(chan error, len(open))
	for _, p := range open {
		go func(id uuid.UUID) {
			_, err := m.JoinGroup(t.Context(), auth.System(b.tenant, "Ada"), id, duplicate.Wish{})
			errs <- err
		}(p.ID)
	}
	won := 0
	for range open {
		switch code := codeOf(<-errs); code {
		case "<nil>":
			won++
		case "duplicate.not_open", "duplicate.version_stale":
		default:
			t.Errorf("a merge is answered %s", code)
		}
	}
	if won != 1 {
		t.Errorf("%d acts won", won)
	}
	if n := b.number(`SELECT count(*) FROM entities WHERE deleted_at IS NULL`); n != 1 {
		t.Errorf("%d records live", n)
	}
}
