// SPDX-License-Identifier: Apache-2.0

package safety

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// past builds an entity with a history, entry by entry, as the engine writes it.
type past struct {
	e      *record.Entity
	all    []record.Entry
	chosen []record.Entry
	now    time.Time
}

func newPast(fields record.Fields) *past {
	e := &record.Entity{ID: record.NewEntityID(), Collection: "stock", MatchKey: "A", Fields: fields, Origin: "warehouse", Version: 7, Links: map[record.System]*record.Link{
		"warehouse": {System: "warehouse", Key: "A", State: record.Synced}, "shop": {System: "shop", Key: "1", State: record.Synced}}}
	return &past{e: e, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
}

func (p *past) add(mine bool, op record.JournalOp, before, after record.Fields) {
	entry := record.Entry{ID: uuid.Must(uuid.NewV7()), Entity: p.e.ID, Kind: record.Changed, Op: op, System: "warehouse", Before: before, After: after}
	p.all = append(p.all, entry)
	if mine {
		p.chosen = append(p.chosen, entry)
	}
}

func (p *past) undo(t *testing.T, syncConfig string) (Undo, []Edited) {
	t.Helper()
	doc, err := service.Parse([]byte("service: stock\nsystems:\n  - {id: warehouse, type: memory, objects: [products]}\n  - {id: shop, type: memory, objects: [products]}\nsyncConfig: {matchFields: [sku]"+syncConfig+"}\n"), service.YAML)
	if err != nil {
		t.Fatal(err)
	}
	var u Undo
	edits, _ := u.reverse([]*record.Entity{p.e}, p.chosen, p.all, doc, p.now)
	return u, edits
}

func n(s string) record.Value { return record.Number(s) }

// Two changes of a run and nothing since: the value is as before the first.
func TestUndoSetsBack(t *testing.T) {
	p := newPast(record.Fields{"sku": "A", "quantity": n("3")})
	p.add(true, record.Updated, record.Fields{"quantity": n("1")}, record.Fields{"quantity": n("2")})
	p.add(true, record.Updated, record.Fields{"quantity": n("2")}, record.Fields{"quantity": n("3")})
	u, edits := p.undo(t, "")
	if len(edits) != 1 || !record.Equal(p.e.Fields["quantity"], n("1")) || len(u.Kept) != 0 {
		t.Fatalf("the quantity is %v, kept %v", p.e.Fields["quantity"], u.Kept)
	}
	for s, l := range p.e.Links {
		if l.State != record.Pending || !record.Equal(l.Behind["quantity"], n("3")) {
			t.Errorf("%s is %s, behind %v; it holds 3 and is owed 1", s, l.State, l.Behind)
		}
	}
	if p.e.StampOf("quantity").System != record.Person || p.e.Version != 8 {
		t.Errorf("stamp %v, version %d", p.e.StampOf("quantity"), p.e.Version)
	}
	if e := edits[0].Entry; e.Kind != record.Decided || !record.Equal(e.Before["quantity"], n("3")) || !record.Equal(e.After["quantity"], n("1")) {
		t.Errorf("the history says %+v", e)
	}
}

// What others changed since is kept, field by field.
func TestUndoKeepsLaterEdits(t *testing.T) {
	p := newPast(record.Fields{"sku": "A", "quantity": n("9"), "name": "New"})
	p.add(true, record.Updated, record.Fields{"quantity": n("1"), "name": "Old"}, record.Fields{"quantity": n("2"), "name": "New"})
	p.add(false, record.Updated, record.Fields{"quantity": n("2")}, record.Fields{"quantity": n("9")})
	u, _ := p.undo(t, "")
	if !record.Equal(p.e.Fields["quantity"], n("9")) || p.e.Fields["name"] != "Old" {
		t.Errorf("the record is %v", p.e.Fields)
	}
	if len(u.Kept) != 1 || u.Kept[0].Field != "quantity" {
		t.Errorf("kept is %v", u.Kept)
	}
}

// A later edit that says the same as before needs nothing, and is not reported as kept.
func TestUndoAlreadyBack(t *testing.T) {
	p := newPast(record.Fields{"sku": "A", "quantity": n("1")})
	p.add(true, record.Updated, record.Fields{"quantity": n("1")}, record.Fields{"quantity": n("2")})
	p.add(false, record.Updated, record.Fields{"quantity": n("2")}, record.Fields{"quantity": n("1")})
	if u, edits := p.undo(t, ""); len(edits)+len(u.Kept) != 0 {
		t.Errorf("edits %v, kept %v", edits, u.Kept)
	}
}

// A record that was made goes where it was copied to and stays where people made it; one that others changed since stays everywhere.
func TestUndoOfCreation(t *testing.T) {
	p := newPast(record.Fields{"sku": "A"})
	p.add(true, record.Created, nil, record.Fields{"sku": "A"})
	u, _ := p.undo(t, "")
	if p.e.DeletedAt == nil || p.e.Links["warehouse"].State != record.Frozen || p.e.Links["shop"].State != record.Pending || u.Reversals[0].Op != record.Deleted {
		t.Errorf("deleted %v, links %v %v", p.e.DeletedAt, p.e.Links["warehouse"], p.e.Links["shop"])
	}
	p = newPast(record.Fields{"sku": "A", "name": "B"})
	p.add(true, record.Created, nil, record.Fields{"sku": "A"})
	p.add(false, record.Updated, record.Fields{"name": nil}, record.Fields{"name": "B"})
	if u, edits := p.undo(t, ""); len(edits) != 0 || len(u.Kept) != 1 || u.Kept[0].Field != record.WholeRecord {
		t.Errorf("edits %v, kept %v", edits, u.Kept)
	}
	p = newPast(record.Fields{"sku": "A"})
	p.add(true, record.Created, nil, record.Fields{"sku": "A"})
	if u, edits := p.undo(t, ", deletes: ignore"); len(edits) != 0 || len(u.Kept) != 1 {
		t.Errorf("with deletes ignored: edits %v, kept %v", edits, u.Kept)
	}
}

// A deleted record lives again, with the values that it had; one that came back by itself is left alone.
func TestUndoOfDeletion(t *testing.T) {
	p := newPast(record.Fields{"sku": "A", "quantity": n("5")})
	deleted := p.now.Add(-time.Hour)
	p.e.DeletedAt, p.e.Links = &deleted, map[record.System]*record.Link{}
	p.add(true, record.Deleted, record.Fields{"sku": "A", "quantity": n("5")}, nil)
	u, edits := p.undo(t, "")
	if p.e.DeletedAt != nil || len(edits) != 1 || u.Reversals[0].Op != record.Created || !record.Equal(u.Reversals[0].After["quantity"], n("5")) {
		t.Errorf("deleted %v, %+v", p.e.DeletedAt, u.Reversals)
	}
	p = newPast(record.Fields{"sku": "A", "quantity": n("6")})
	p.add(true, record.Deleted, record.Fields{"sku": "A"}, nil)
	p.add(false, record.Created, nil, record.Fields{"sku": "A", "quantity": n("6")})
	if _, edits := p.undo(t, ""); len(edits) != 0 {
		t.Errorf("one that came back is changed: %v", edits)
	}
}

// What is in conflict, or tells which records are the same, is not touched.
func TestUndoLeavesAlone(t *testing.T) {
	p := newPast(record.Fields{"sku": "B", "quantity": n("2")})
	p.e.Held = []string{"quantity"}
	p.add(true, record.Updated, record.Fields{"sku": "A", "quantity": n("1")}, record.Fields{"sku": "B", "quantity": n("2")})
	if u, edits := p.undo(t, ""); len(edits) != 0 || len(u.Kept) != 2 {
		t.Errorf("edits %v, kept %v", edits, u.Kept)
	}
}

// Taking the same changes back twice is taking them back once.
func TestUndoTwice(t *testing.T) {
	p := newPast(record.Fields{"sku": "A", "quantity": n("2")})
	p.add(true, record.Updated, record.Fields{"quantity": n("1")}, record.Fields{"quantity": n("2")})
	_, edits := p.undo(t, "")
	p.all = append(p.all, edits[0].Entry)
	if u, again := p.undo(t, ""); len(again)+len(u.Kept) != 0 {
		t.Errorf("the second time: %v, kept %v", again, u.Kept)
	}
}
