// SPDX-License-Identifier: Apache-2.0

package duplicate

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// MostInGroup bounds the records that are merged in one act: it is one commit, and one person's look.
const MostInGroup = 100

// Group is the records that may all be one: each waits in a pair with another of them. Of a merged pair it is the records that its
// act made one.
type Group struct {
	Pair                     // by which it was asked for; without Records
	Pairs   []Pair           // all among the records, those told apart included; without Records
	Records []*record.Entity // by id
}

// Stamp changes with each of the records and each decision about them.
func (g *Group) Stamp() string {
	h := sha256.New()
	for _, e := range g.Records {
		_, _ = fmt.Fprintf(h, "%s %d;", e.ID, e.Version)
	}
	for _, p := range g.Pairs {
		_, _ = fmt.Fprintf(h, "%s %d;", p.ID, p.Version)
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// lead is the pair by which the group was asked for.
func (g *Group) lead() *Pair {
	for i := range g.Pairs {
		if g.Pairs[i].ID == g.ID {
			return &g.Pairs[i]
		}
	}
	return &g.Pair
}

// Chosen are the records that a merge makes one: those that the person names, else all that are there.
func (g *Group) Chosen(w Wish) ([]*record.Entity, error) {
	var list []*record.Entity
	for _, e := range g.Records {
		if e.DeletedAt == nil && (len(w.Records) == 0 || slices.Contains(w.Records, e.ID)) {
			list = append(list, e)
		}
	}
	switch {
	case len(g.Records) > MostInGroup:
		return nil, fault.New(fault.Conflict, "duplicate.group_too_large", "More than %d records are linked by pairs that wait. Merge pairs one by one, or tell apart what is two, until the group is smaller.", MostInGroup)
	case len(w.Records) > 0 && len(list) < len(w.Records):
		return nil, wishInvalid("/records", "Each record that is named must be one of the group, be there, and be named once.")
	case len(list) < 2:
		return nil, wishInvalid("/records", "A merge needs two records at least.")
	}
	return list, nil
}

// Group returns the group that the pair is in, and what its merge would make of it as the person wishes; of a group that waits for
// no decision there is no preview. Faults: duplicate.not_found, duplicate.group_too_large, duplicate.wish_invalid.
func (m *Manager) Group(ctx context.Context, who auth.Principal, id uuid.UUID, w Wish) (g Group, out *Preview, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return g, nil, err
	}
	return g, out, m.inTx(ctx, who.Tenant, func(tx Tx) error {
		if g, err = tx.DuplicateGroup(ctx, id, false); err != nil || !g.State.waits() {
			return err
		}
		_, doc, err := tx.Loadable(ctx, g.Service)
		if err != nil {
			return err
		}
		list, err := g.Chosen(w)
		if err != nil {
			return err
		}
		seen, err := foresee(doc, list, w)
		out = &seen
		return err
	})
}

// JoinGroup makes one record of the group that the pair is in, or of those of it that the person names, in one act. Faults:
// duplicate.not_found, duplicate.not_open, duplicate.version_stale, duplicate.group_too_large, duplicate.told_apart,
// duplicate.wish_invalid, duplicate.busy, duplicate.in_conflict.
func (m *Manager) JoinGroup(ctx context.Context, who auth.Principal, id uuid.UUID, w Wish) (Group, error) {
	return m.act(ctx, who, id, "merged", func(tx Tx, g *Group, doc *service.Document) error {
		switch {
		case !g.State.waits():
			return notOpen(g.Pair)
		case w.Stamp != "" && w.Stamp != g.Stamp():
			return fault.New(fault.Stale, "duplicate.version_stale", "One of the records changed, or somebody decided about one of the pairs, since you looked at the group. Look again; nothing was merged.")
		}
		list, err := g.Chosen(w)
		if err != nil {
			return err
		}
		inside := func(id record.EntityID) bool {
			return slices.ContainsFunc(list, func(e *record.Entity) bool { return e.ID == id })
		}
		var pairs []Pair
		for _, p := range g.Pairs {
			switch {
			case !inside(p.A) || !inside(p.B):
			case p.State == Dismissed:
				return fault.New(fault.Conflict, "duplicate.told_apart", "%s said that two of these records are two things (%s). Leave one of them out.", cmp.Or(p.DecidedBy, "Somebody"), p.Public())
			case p.State.waits():
				pairs = append(pairs, p)
			}
		}
		if len(pairs) == 0 {
			return wishInvalid("/records", "No two of the records were found alike.")
		}
		// What the act did stands by the pair it was done by; where a record of that was left out, by another.
		lead := max(0, slices.IndexFunc(pairs, func(p Pair) bool { return p.ID == id }))
		done, wrote, err := m.unify(ctx, tx, g.Service, doc, list, w, pairs[lead].ID, who.Name)
		if err != nil {
			return err
		}
		for i := range pairs {
			pairs[i].State, pairs[i].Act, pairs[i].Reason = Merged, pairs[lead].ID, w.Reason
		}
		pairs[lead].Merge, pairs[lead].Wrote = &done, wrote
		g.Pair, g.Pairs, g.Records = pairs[lead], pairs, list
		return nil
	})
}

// act carries out what a person says about a group: it gives the pairs that it decides, which are stored with what was decided.
func (m *Manager) act(ctx context.Context, who auth.Principal, id uuid.UUID, what string, do func(Tx, *Group, *service.Document) error) (g Group, err error) {
	if err := who.May(auth.ResolveConflicts); err != nil {
		return g, err
	}
	return g, m.inTx(ctx, who.Tenant, func(tx Tx) error {
		if g, err = tx.DuplicateGroup(ctx, id, true); err != nil {
			return err
		}
		_, doc, err := tx.Loadable(ctx, g.Service)
		if err != nil {
			return err
		}
		if err := do(tx, &g, doc); err != nil {
			return err
		}
		now := tx.Now()
		for i := range g.Pairs {
			p := &g.Pairs[i]
			p.DecidedAt, p.DecidedBy = &now, who.Name
			if err := tx.SaveDuplicate(ctx, *p); err != nil {
				return err
			}
			p.Version++
		}
		g.Pair = *g.lead()
		ids := make([]record.EntityID, len(g.Records))
		for i, e := range g.Records {
			ids[i] = e.ID
		}
		if g.State == Merged {
			if err := m.handOver(ctx, tx, &g.Pair, doc, who.Name); err != nil {
				return err
			}
		}
		slices.SortFunc(ids, func(a, b record.EntityID) int { return bytes.Compare(a[:], b[:]) })
		return m.tell(ctx, tx, who, what, g.Pair, ids)
	})
}
