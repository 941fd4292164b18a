// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"slices"
	"testing"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/duplicate"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
)

// twins is a bench that looks for duplicates, with systems that hold contacts.
func twins(t *testing.T, document string) (*bench, *duplicate.Manager) {
	b := newBench(t, document, "crm", "shop")
	for _, s := range []string{"crm", "shop"} {
		b.systems[s] = connectortest.NewMemory(contacts, products)
	}
	m := duplicate.NewManager(store.InTx(b.db, func(tx *store.Tx) duplicate.Tx { return tx }))
	return b, m
}

// chore does what the worker that carries the service does now and then.
func (b *bench) chore(m *duplicate.Manager, document string) {
	b.t.Helper()
	doc, err := service.Parse([]byte(document), service.YAML)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := m.Chore(b.t.Context(), b.tenant, b.service, doc); err != nil {
		b.t.Fatal(err)
	}
	b.engine.Nudge(b.service)
}

func (b *bench) people(system string, list []record.Fields) {
	for _, r := range list {
		b.systems[system].User("contacts").Put(record.Key(record.Text(r["id"])), r)
	}
}

// has counts the system's records that say all of this.
func (b *bench) has(system string, want record.Fields) (n int) {
	for _, r := range b.systems[system].User("contacts").All() {
		same := true
		for f, v := range want {
			same = same && record.Equal(r[f], v)
		}
		if same {
			n++
		}
	}
	return n
}

func pairsOf(t *testing.T, m *duplicate.Manager, b *bench, state duplicate.State) []duplicate.Pair {
	t.Helper()
	list, err := m.List(t.Context(), auth.System(b.tenant, "Ada"), duplicate.Query{Service: b.service, State: state, Limit: 50})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestDocsDuplicates(t *testing.T) {
	document, records := blocks(t, "duplicates", "yaml")[0], blocks(t, "duplicates", "json")
	b, m := twins(t, document)
	who := auth.System(b.tenant, "Ada")
	b.people("crm", recordsOf(t, records[0]))
	b.start()
	b.eventually("the crm's people in the shop", func() bool { return len(b.systems["shop"].User("contacts").All()) == 2 && b.settledDown() })
	b.people("shop", recordsOf(t, records[1]))
	b.eventually("two pairs", func() bool { return len(pairsOf(t, m, b, duplicate.Open)) == 2 && b.settledDown() })
	if n := len(b.systems["crm"].User("contacts").All()); n != 2 {
		t.Errorf("the duplicates were sent on: the crm has %d records", n)
	}
	b.chore(m, document)
	merged := pairsOf(t, m, b, duplicate.Merged)
	if len(merged) != 1 || merged[0].DecidedBy != duplicate.ByRule || merged[0].Verdict.Score < 0.97 {
		t.Fatalf("merged by rule are %+v", merged)
	}
	open := pairsOf(t, m, b, duplicate.Open)
	if len(open) != 1 || len(open[0].Verdict.Fields) != 3 {
		t.Fatalf("open are %+v", open)
	}
	if _, err := m.Join(t.Context(), who, open[0].ID, duplicate.Wish{Fields: record.Fields{"name": "Somebody"}}); fault.As(err) == nil || fault.As(err).Code != "duplicate.wish_invalid" {
		t.Errorf("a value of neither gives %v", err)
	}
	p, err := m.Join(t.Context(), who, open[0].ID, duplicate.Wish{Version: open[0].Version, Reason: "the same"})
	if err != nil || p.State != duplicate.Merged {
		t.Fatalf("%+v, %v", p, err)
	}
	b.engine.Nudge(b.service)
	for _, s := range []string{"crm", "shop"} {
		for _, want := range recordsOf(t, records[2]) {
			b.eventually("what both hold", func() bool { return b.has(s, want) > 0 })
		}
	}
	b.eventually("rest", b.settledDown)
	if n := b.number(`SELECT count(*) FROM entities WHERE deleted_at IS NULL`); n != 2 {
		t.Errorf("%d records live", n)
	}
	// The second records stay in the shop, untouched, and what becomes of them there is nobody's business.
	b.systems["shop"].User("contacts").Put("78", record.Fields{"name": "Another Name"})
	b.systems["crm"].User("contacts").Put("2", record.Fields{"score": record.Int(9)})
	b.eventually("the edit of the one that stays", func() bool {
		return b.has("shop", record.Fields{"email": "ada@example.com", "score": record.Int(9)}) == 1 && b.settledDown()
	})
	if b.has("crm", record.Fields{"name": "Another Name"}) != 0 {
		t.Error("what was merged is still read")
	}
	if _, err := m.Join(t.Context(), who, p.ID, duplicate.Wish{}); fault.As(err) == nil || fault.As(err).Code != "duplicate.not_open" {
		t.Errorf("merging twice gives %v", err)
	}
	// Undone, the second lives again and is sent to the crm; the later edit stays.
	if p, err = m.Undo(t.Context(), who, p.ID, "two after all"); err != nil || p.State != duplicate.Dismissed {
		t.Fatalf("%+v, %v", p, err)
	}
	b.engine.Nudge(b.service)
	b.eventually("the second Ada everywhere", func() bool {
		return b.has("crm", record.Fields{"email": "ada@example.org"}) == 1 && b.has("shop", record.Fields{"email": "ada@example.org"}) == 1 && b.settledDown()
	})
	if b.has("crm", record.Fields{"email": "ada@example.com", "score": record.Int(9)}) != 1 {
		t.Error("a later edit was lost")
	}
	b.chore(m, document)
	if n := len(pairsOf(t, m, b, duplicate.Open)); n != 0 {
		t.Errorf("%d pairs are asked about again", n)
	}
	if n := b.number(`SELECT count(*) FROM audit_log WHERE action LIKE 'duplicate.%'`); n != 3 {
		t.Errorf("%d decisions are in the audit log, want 3", n)
	}
	if n := b.number(`SELECT count(*) FROM usage_events WHERE meter LIKE '%record%'`); n == 0 {
		t.Error("no usage tells of records")
	}
}

const twoOfOne = `
service: people
direction: bi-directional
systems:
  - {id: crm, type: memory, primary: true, objects: [contacts]}
  - {id: shop, type: memory, objects: [contacts]}
syncConfig:
  frequency: realtime
  matchFields: [email]
  deduplication: {mergeStrategy: most-complete, losers: delete}
`

// Two records of one system with the same match field: the second is held back, merged, and deleted where the document says so.
func TestDuplicatesInOneSystem(t *testing.T) {
	b, m := twins(t, twoOfOne)
	b.people("crm", []record.Fields{{"id": "1", "name": "Ada", "email": "ada@x.example", "phone": nil}})
	b.start()
	b.eventually("the first in the shop", func() bool { return len(b.systems["shop"].User("contacts").All()) == 1 && b.settledDown() })
	b.people("crm", []record.Fields{{"id": "2", "name": nil, "email": "ada@x.example", "phone": "+497311234567"}})
	b.eventually("the pair", func() bool { return len(pairsOf(t, m, b, duplicate.Open)) == 1 && b.settledDown() })
	if n := len(b.systems["shop"].User("contacts").All()); n != 1 {
		t.Errorf("the shop has %d records", n)
	}
	b.chore(m, twoOfOne)
	b.eventually("one record everywhere", func() bool {
		return len(b.systems["crm"].User("contacts").All()) == 1 && len(b.systems["shop"].User("contacts").All()) == 1 && b.settledDown()
	})
	for _, s := range []string{"crm", "shop"} {
		if b.has(s, record.Fields{"name": "Ada", "phone": "+497311234567"}) != 1 {
			t.Errorf("%s holds %v", s, b.systems[s].User("contacts").All())
		}
	}
	// Undone, it is made again.
	merged := pairsOf(t, m, b, duplicate.Merged)
	if _, err := m.Undo(t.Context(), auth.System(b.tenant, "Ada"), merged[0].ID, ""); err != nil {
		t.Fatal(err)
	}
	b.engine.Nudge(b.service)
	b.eventually("two again", func() bool { return len(b.systems["crm"].User("contacts").All()) == 2 && b.settledDown() })
}

// A service that begins to look for duplicates compares what is there already; one that ceases to lets go what was held.
func TestDuplicatesOfOldRecords(t *testing.T) {
	const plain = `
service: people
direction: bi-directional
systems:
  - {id: crm, type: memory, primary: true, objects: [contacts]}
  - {id: shop, type: memory, objects: [contacts]}
syncConfig: {frequency: realtime, matchFields: [email]}
`
	const looking = `
service: people
direction: bi-directional
systems:
  - {id: crm, type: memory, primary: true, objects: [contacts]}
  - {id: shop, type: memory, objects: [contacts]}
syncConfig:
  frequency: realtime
  matchFields: [email]
  deduplication: {fuzzyMatch: {name: {threshold: 0.9}}, mergeStrategy: manual, review: 0.5}
`
	b, m := twins(t, plain)
	b.people("crm", []record.Fields{{"id": "1", "name": "Ada Lovelace", "email": "ada@x.example"}, {"id": "2", "name": "Ada Lovelase", "email": "al@y.example"}, {"id": "3", "name": "Grace Hopper", "email": "g@x.example"}})
	b.start()
	b.eventually("all in the shop", func() bool { return len(b.systems["shop"].User("contacts").All()) == 3 && b.settledDown() })
	b.apply(looking, 2)
	b.engine.Nudge(b.service)
	b.halt()
	b.start()
	b.chore(m, looking)
	open := pairsOf(t, m, b, duplicate.Open)
	if len(open) != 1 || open[0].Records[0] == nil || open[0].Records[1] == nil {
		t.Fatalf("found are %+v", open)
	}
	scans, err := m.Scans(t.Context(), auth.System(b.tenant, "Ada"), b.service)
	if err != nil || len(scans) != 1 || scans[0].FinishedAt == nil || scans[0].Found != 1 || scans[0].Compared == 0 {
		t.Fatalf("%+v, %v", scans, err)
	}
	// A new one that may be her is held back, until they are said to be two.
	who := auth.System(b.tenant, "Ada")
	b.people("crm", []record.Fields{{"id": "4", "name": "Grace Hoper", "email": "gh@x.example"}})
	b.eventually("the second pair", func() bool { return len(pairsOf(t, m, b, duplicate.Open)) == 2 && b.settledDown() })
	if b.has("shop", record.Fields{"email": "gh@x.example"}) != 0 {
		t.Error("it was sent before anybody decided")
	}
	grace := pairsOf(t, m, b, duplicate.Open)[0]
	if p, err := m.Later(t.Context(), who, grace.ID, "busy"); err != nil || p.State != duplicate.Later {
		t.Fatalf("%+v, %v", p, err)
	}
	if p, err := m.Dismiss(t.Context(), who, grace.ID, "her sister"); err != nil || p.State != duplicate.Dismissed || p.Wrote.IsZero() {
		t.Fatalf("%+v, %v", p, err)
	}
	b.engine.Nudge(b.service)
	b.eventually("the sister in the shop", func() bool { return b.has("shop", record.Fields{"email": "gh@x.example"}) == 1 && b.settledDown() })
	b.people("crm", []record.Fields{{"id": "5", "name": "Ada Lovelacee", "email": "adal@x.example"}})
	b.eventually("another pair", func() bool { return len(pairsOf(t, m, b, duplicate.Open)) >= 2 && b.settledDown() })
	b.chore(m, plain)
	b.eventually("what was held", func() bool { return b.has("shop", record.Fields{"email": "adal@x.example"}) == 1 })
	if n := len(pairsOf(t, m, b, duplicate.Open)); n != 0 {
		t.Errorf("%d pairs are left", n)
	}
}

const twoOfOneArchived = `
service: people
direction: bi-directional
systems:
  - {id: crm, type: memory, primary: true, objects: [contacts]}
  - {id: shop, type: memory, objects: [contacts]}
syncConfig:
  frequency: realtime
  matchFields: [email]
  deletes: {archiveField: status, archiveValue: merged}
  deduplication: {mergeStrategy: oldest, losers: archive}
`

// contactsWith are contacts with the field that archiving sets.
func contactsWith(status connector.FieldInfo) connector.ObjectInfo {
	with := contacts
	with.Fields = append(slices.Clone(contacts.Fields), status)
	return with
}

// The second record of one system is archived where the system has the archive field, and left alone, not deleted, where it has none or
// does not take it.
func TestDuplicatesArchived(t *testing.T) {
	for name, shop := range map[string]connector.ObjectInfo{
		"both can":                        contactsWith(connector.FieldInfo{Name: "status", Type: connector.TypeText, Nullable: true}),
		"the shop has no such field":      contacts,
		"the shop does not let it be set": contactsWith(connector.FieldInfo{Name: "status", Type: connector.TypeText, Nullable: true, ReadOnly: true}),
	} {
		t.Run(name, func(t *testing.T) {
			b, m := twins(t, twoOfOneArchived)
			b.systems["crm"] = connectortest.NewMemory(contactsWith(connector.FieldInfo{Name: "status", Type: connector.TypeText, Nullable: true}), products)
			b.systems["shop"] = connectortest.NewMemory(shop, products)
			both := []record.Fields{{"id": "1", "name": "Ada", "email": "ada@x.example"}, {"id": "2", "name": "A. L.", "email": "ada@x.example", "phone": "+497311234567"}}
			b.people("crm", both[:1])
			b.people("shop", both[:1])
			b.start()
			b.eventually("the first in both", func() bool { return b.number(`SELECT count(*) FROM links`) == 2 && b.settledDown() })
			b.people("crm", both[1:])
			b.people("shop", []record.Fields{{"id": "12", "name": "A. L.", "email": "ada@x.example", "phone": "+497311234567"}})
			b.eventually("the pairs", func() bool {
				return len(pairsOf(t, m, b, duplicate.Open)) > 0 && b.number(`SELECT count(*) FROM links`) == 4 && b.settledDown()
			})
			b.chore(m, twoOfOneArchived)
			b.eventually("the merges", func() bool { return len(pairsOf(t, m, b, duplicate.Open)) == 0 && b.settledDown() })
			archived := map[string]record.Fields{"crm": {"id": "2", "status": "merged"}, "shop": {"id": "12", "status": "merged"}}
			b.eventually("the second one of the crm archived", func() bool { return b.has("crm", archived["crm"]) == 1 && b.settledDown() })
			if name == "both can" {
				b.eventually("the second one of the shop archived", func() bool { return b.has("shop", archived["shop"]) == 1 && b.settledDown() })
			}
			for _, s := range []string{"crm", "shop"} {
				if n := len(b.systems[s].User("contacts").All()); n != 2 {
					t.Errorf("%s has %d records: %v", s, n, b.systems[s].User("contacts").All())
				}
				if b.has(s, record.Fields{"id": "1", "name": "Ada", "phone": "+497311234567", "status": nil}) != 1 {
					t.Errorf("%s holds %v", s, b.systems[s].User("contacts").All())
				}
			}
			if n := b.number(`SELECT count(*) FROM dead_letters`); n != 0 {
				t.Errorf("%d dead letters", n)
			}
			if n := b.number(`SELECT count(*) FROM links l JOIN entities e USING (tenant_id, service_id) WHERE l.entity_id = e.id AND e.deleted_at IS NOT NULL AND l.state <> 'frozen'`); n != 0 {
				t.Errorf("%d records of merged ones are still managed", n)
			}
			// What becomes of them there is nobody's business, until the merge is undone: then the mark goes.
			b.systems["shop"].User("contacts").Put("12", record.Fields{"name": "Another Name"})
			b.systems["crm"].User("contacts").Put("1", record.Fields{"name": "Ada Lovelace"})
			b.eventually("the edit", func() bool {
				return b.has("shop", record.Fields{"id": "1", "name": "Ada Lovelace"}) == 1 && b.settledDown()
			})
			if b.has("crm", record.Fields{"name": "Another Name"}) != 0 {
				t.Error("what was merged is still read")
			}
			merged := pairsOf(t, m, b, duplicate.Merged)
			slices.SortFunc(merged, func(a, b duplicate.Pair) int { return b.DecidedAt.Compare(*a.DecidedAt) })
			for _, p := range merged {
				b.undone(m, p.ID, "")
				b.engine.Nudge(b.service)
				b.eventually("what the merge of the others left", func() bool { return b.settledDown() })
				if b.has("crm", record.Fields{"id": "2"}) != 1 {
					t.Errorf("a record of the crm was given another's key: %v", b.systems["crm"].User("contacts").All())
				}
			}
			b.eventually("the mark to go", func() bool {
				return b.has("crm", record.Fields{"id": "2", "status": nil}) == 1 && b.has("shop", archived["shop"]) == 0 && b.settledDown()
			})
		})
	}
}

// Archiving that no system can do is refused before anything runs.
func TestDuplicatesArchivedNowhere(t *testing.T) {
	doc, err := service.Parse([]byte(twoOfOneArchived), service.YAML)
	if err != nil {
		t.Fatal(err)
	}
	status := connector.FieldInfo{Name: "status", Type: connector.TypeText, Nullable: true}
	readOnly := status
	readOnly.ReadOnly = true
	for _, tt := range []struct {
		name string
		shop connector.ObjectInfo
		code string
	}{{"one can", contactsWith(status), ""}, {"none has it", contacts, "service.archive_field_missing"}, {"none may set it", contactsWith(readOnly), "service.archive_field_missing"}} {
		opened := make(map[record.System]engine.Opened)
		for id, info := range map[record.System]connector.ObjectInfo{"crm": contacts, "shop": tt.shop} {
			m := connectortest.NewMemory(info)
			system, err := m.Open(t.Context(), connector.Settings{}, connector.Env{Consumer: "test"})
			if err != nil {
				t.Fatal(err)
			}
			opened[id] = engine.Opened{System: system, Spec: m.Spec(), Objects: []connector.ObjectInfo{info}}
		}
		_, err := engine.Compile(doc, opened)
		if f := fault.As(err); tt.code == "" && err != nil || tt.code != "" && (f == nil || f.Code != tt.code) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
