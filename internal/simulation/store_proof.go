// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Proofs of equality as internal/store/proof.go keeps them.

var _ engine.ProofTx = (*Tx)(nil)

type proofRow struct {
	engine.Proof
	differences map[uuid.UUID][]engine.Difference // by pass
	ever        []engine.Difference               // by any of them
}

// asStored is the value as a column keeps it.
func asStored[T any](v *T) *T {
	if v == nil {
		return nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // numbers and texts
	}
	out := new(T)
	if err := json.Unmarshal(text, out); err != nil {
		panic(err)
	}
	return out
}

// Proof reads where the service's proof stands; a service that has none gets one.
func (t *Tx) Proof(ctx context.Context, s service.ID) (p engine.Proof, err error) {
	if err := t.step(ctx, "proof"); err != nil {
		return p, err
	}
	return p, t.read(s, func(row *serviceRow) error {
		if row.proof != nil {
			p = row.proof.Proof
			p.Progress, p.Result = asStored(p.Progress), asStored(p.Result)
			return nil
		}
		p = engine.Proof{Service: s, DueAt: t.now.Add(15 * time.Second)}
		first := p
		t.write(func() {
			if row.proof == nil {
				row.proof = &proofRow{Proof: first, differences: make(map[uuid.UUID][]engine.Difference)}
			}
		})
		return nil
	})
}

// inProof passes the guard, locks the proof and changes it at the commit.
func (t *Tx) inProof(ctx context.Context, g engine.Guard, change func(*proofRow)) (*proofRow, error) {
	if err := t.Guard(ctx, g); err != nil {
		return nil, err
	}
	if err := t.lock(ctx, "proof "+g.Service.String(), true); err != nil {
		return nil, err
	}
	row, err := t.lockedService(g.Service)
	if err != nil {
		return nil, err
	}
	t.write(func() { change(row.proof) })
	return row.proof, nil
}

// BeginProof notes that a comparison is under way, unless nobody wants one any more.
func (t *Tx) BeginProof(ctx context.Context, g engine.Guard, p engine.Proof) (bool, error) {
	progress, started := asStored(p.Progress), *p.StartedAt
	wanted := func(row *proofRow) bool { return p.AskedAt == nil || row.AskedAt != nil || row.Pass != uuid.Nil }
	row, err := t.inProof(ctx, g, func(row *proofRow) {
		if !wanted(row) {
			return
		}
		for pass := range row.differences {
			if row.Result == nil || pass != row.Result.Pass {
				delete(row.differences, pass)
			}
		}
		row.Pass, row.StartedAt, row.Progress, row.CancelAt = p.Pass, &started, progress, nil
	})
	return err == nil && wanted(row), err
}

// Healed lists what the comparison took in of the entities, by system.
func (t *Tx) Healed(ctx context.Context, s service.ID, pass uuid.UUID, ids []record.EntityID) (map[record.System]map[record.EntityID]engine.Healing, error) {
	if err := t.step(ctx, "healed"); err != nil {
		return nil, err
	}
	out := make(map[record.System]map[record.EntityID]engine.Healing)
	return out, t.read(s, func(row *serviceRow) error {
		for _, e := range row.journal {
			if e.Cause != pass || e.Kind != record.Changed || e.Actor != record.ByProof || !slices.Contains(ids, e.Entity) {
				continue
			}
			h := engine.Healing{Made: e.Op == record.Created}
			if !h.Made {
				h.Fields = slices.Sorted(maps.Keys(e.After))
			}
			if out[e.System] == nil {
				out[e.System] = make(map[record.EntityID]engine.Healing)
			}
			out[e.System][e.Entity] = h
		}
		return nil
	})
}

// SaveProof stores the comparison's place and what it found.
func (t *Tx) SaveProof(ctx context.Context, g engine.Guard, p engine.Proof, found []engine.Difference) (goOn, asked bool, err error) {
	progress, list := asStored(p.Progress), slices.Clone(found)
	row, err := t.inProof(ctx, g, func(row *proofRow) {
		row.ever = append(row.ever, list...)
		row.differences[p.Pass] = append(row.differences[p.Pass], list...)
		if row.Pass == p.Pass {
			row.Progress = progress
		}
	})
	if err != nil || row.Pass != p.Pass {
		return false, false, err
	}
	return row.CancelAt == nil, row.AskedAt != nil && row.AskedAt.After(*row.StartedAt), nil
}

// EndProof ends the comparison.
func (t *Tx) EndProof(ctx context.Context, g engine.Guard, p engine.Proof, due time.Time) error {
	result := asStored(p.Result)
	_, err := t.inProof(ctx, g, func(row *proofRow) {
		for pass := range row.differences {
			if result != nil && pass != result.Pass || result == nil && pass == p.Pass {
				delete(row.differences, pass)
			}
		}
		if result != nil {
			row.Result = result
		}
		row.Pass, row.Progress, row.CancelAt, row.DueAt = uuid.Nil, nil, nil, due
		if row.AskedAt != nil && !row.AskedAt.After(*row.StartedAt) {
			row.AskedAt, row.AskedBy = nil, ""
		}
	})
	return err
}

// CountEntities counts the entities that a comparison looks at.
func (t *Tx) CountEntities(_ context.Context, s service.ID) (n int64, err error) {
	return n, t.read(s, func(row *serviceRow) error {
		for _, e := range row.entities {
			if e.DeletedAt == nil {
				n++
			}
		}
		return nil
	})
}

// CountSeat counts the records of the seat that are known by a link.
func (t *Tx) CountSeat(_ context.Context, s service.ID, seat *engine.Seat) (n int64, err error) {
	return n, t.read(s, func(row *serviceRow) error {
		for _, e := range row.entities {
			if l := e.Links[seat.System]; l != nil && l.Object == seat.Object && l.State != record.Frozen {
				n++
			}
		}
		return nil
	})
}

// NextCompared reads the entities of the collection behind the id with all that explains differences.
func (t *Tx) NextCompared(ctx context.Context, s service.ID, collection string, after record.EntityID, limit int) (out engine.Compared, err error) {
	if err := t.step(ctx, "next compared"); err != nil {
		return out, err
	}
	return out, t.read(s, func(row *serviceRow) error {
		var ids []record.EntityID
		for _, id := range sortedIDs(row.entities) {
			e := row.entities[id]
			if compareIDs(id, after) > 0 && e.Collection == collection && (e.DeletedAt == nil || len(e.Links) > 0) && len(ids) < limit {
				ids = append(ids, id)
			}
		}
		out = row.compared(ids)
		for _, e := range out.Entities {
			for _, l := range e.Links {
				row.explain(&out, linkKey{l.System, l.Object, l.Key})
			}
		}
		return nil
	})
}

// CompareKeys reads the entities of the seat's records with these keys.
func (t *Tx) CompareKeys(ctx context.Context, s service.ID, seat *engine.Seat, keys []record.Key) (out engine.Compared, err error) {
	if err := t.step(ctx, "compare keys"); err != nil {
		return out, err
	}
	return out, t.read(s, func(row *serviceRow) error {
		hit := make(map[record.EntityID]bool)
		for _, k := range keys {
			if id, ok := row.keys[linkKey{seat.System, seat.Object, k}]; ok {
				hit[id] = true
			}
		}
		out = row.compared(sortedIDs(hit))
		for _, k := range keys {
			row.explain(&out, linkKey{seat.System, seat.Object, k})
		}
		return nil
	})
}

// compared are the entities with what is owed and dead of them.
func (row *serviceRow) compared(ids []record.EntityID) engine.Compared {
	out := engine.Compared{Owed: make(map[record.System]map[record.EntityID]bool), DeadOut: make(map[record.System]map[record.EntityID]bool),
		DeadIn: make(map[record.System]map[record.Key]bool), Held: make(map[record.System]map[record.Key]bool)}
	wanted := make(map[record.EntityID]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
		out.Entities = append(out.Entities, cloneEntity(row.entities[id]))
	}
	for k := range row.deliveries {
		if wanted[k.entity] {
			mark(out.Owed, k.system, k.entity)
		}
	}
	for _, a := range row.attempts {
		for _, id := range a.Entities {
			if wanted[id] {
				mark(out.Owed, a.System, id)
			}
		}
	}
	for _, d := range row.dead {
		if !d.Inward && d.state != "settled" && wanted[d.Entity] {
			mark(out.DeadOut, d.System, d.Entity)
		}
	}
	return out
}

// explain adds what is dead or held of a key.
func (row *serviceRow) explain(out *engine.Compared, k linkKey) {
	for _, d := range row.dead {
		if d.Inward && d.state != "settled" && d.System == k.system && d.Object == k.object && d.Key == k.key {
			mark(out.DeadIn, k.system, k.key)
		}
	}
	if row.held[heldKey(k)] != nil {
		mark(out.Held, k.system, k.key)
	}
}

func mark[K comparable](m map[record.System]map[K]bool, s record.System, k K) {
	if m[s] == nil {
		m[s] = make(map[K]bool)
	}
	m[s][k] = true
}
