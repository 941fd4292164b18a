// SPDX-License-Identifier: Apache-2.0

package duplicate

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/match"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// How much is done at once, and for how long a chore goes on.
const (
	pageSize   = 500
	pagesAtOne = 20 // of one chore; the rest is for the next
	joinsAtOne = 200
)

// ByRule is who merges what the document says is merged without asking.
const ByRule = "rule deduplication"

// Find has all records of the service compared anew. Faults: duplicate.not_asked.
func (m *Manager) Find(ctx context.Context, who auth.Principal, s service.ID) (list []Scan, err error) {
	if err := who.May(auth.RunServices); err != nil {
		return nil, err
	}
	return list, m.inTx(ctx, who.Tenant, func(tx Tx) error {
		_, doc, err := tx.Loadable(ctx, s)
		if err != nil {
			return err
		}
		rules := doc.Likeness()
		if rules == nil {
			return fault.New(fault.Conflict, "duplicate.not_asked", "The service's document does not ask for it: write `deduplication:` with `fuzzyMatch` or `mergeStrategy`.")
		}
		list = nil
		for _, c := range doc.Collections() {
			if !c.Shared() {
				continue
			}
			scan := Scan{Collection: c.Name, Rules: rulesText(rules), StartedAt: tx.Now()}
			if err := tx.SaveScan(ctx, s, scan); err != nil {
				return err
			}
			list = append(list, scan)
		}
		return tx.Audit(ctx, who.Did("duplicates.searched", s.Public(), map[string]any{"service": s.Public()}))
	})
}

// Scans says how far all records were compared.
func (m *Manager) Scans(ctx context.Context, who auth.Principal, s service.ID) (list []Scan, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return nil, err
	}
	return list, m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		list, err = tx.Scans(ctx, s)
		return err
	})
}

// rulesText is what records are compared by, as text: other rules compare all records anew.
func rulesText(l *match.Likeness) string {
	text := fmt.Sprintf("%g %g %t", l.Auto, l.Ask, l.Manual)
	for _, f := range l.Fields {
		text += fmt.Sprintf(";%q %s %s %g %g %t", f.Field, f.Kind, f.Algorithm, f.Threshold, f.Weight, f.Same)
	}
	return text
}

// Chore compares records that were there before somebody asked for it, and merges what is merged without asking. The worker that
// carries the service calls it now and then; a page is a commit, so that one who dies loses nothing.
func (m *Manager) Chore(ctx context.Context, t tenant.ID, s service.ID, doc *service.Document) error {
	rules := doc.Likeness()
	if rules == nil {
		return m.inTx(ctx, t, func(tx Tx) error { return m.drop(ctx, tx, s, doc) })
	}
	for _, c := range doc.Collections() {
		if !c.Shared() {
			continue
		}
		for range pagesAtOne {
			more := false
			if err := m.inTx(ctx, t, func(tx Tx) (err error) {
				more, err = m.scan(ctx, tx, s, c.Name, rules)
				return err
			}); err != nil {
				return err
			}
			if !more {
				break
			}
		}
	}
	return m.joinAll(ctx, t, s)
}

// drop forgets what a service that does not look for duplicates any more knew of them, and lets go what was held back.
func (m *Manager) drop(ctx context.Context, tx Tx, s service.ID, doc *service.Document) error {
	ids, err := tx.DropDuplicates(ctx, s)
	if err != nil || len(ids) == 0 {
		return err
	}
	held, err := tx.LockEntities(ctx, s, ids)
	if err != nil {
		return err
	}
	if _, err := m.release(ctx, tx, s, doc, held, uuid.Nil, ByRule); err != nil {
		return err
	}
	return tx.Wake(ctx, s)
}

// scan compares the next page of a collection's records.
func (m *Manager) scan(ctx context.Context, tx Tx, s service.ID, collection string, rules *match.Likeness) (more bool, err error) {
	scans, err := tx.Scans(ctx, s)
	if err != nil {
		return false, err
	}
	scan := Scan{Collection: collection, Rules: rulesText(rules), StartedAt: tx.Now()}
	for _, known := range scans {
		if known.Collection == collection && known.Rules == scan.Rules {
			scan = known
		}
	}
	if scan.FinishedAt != nil {
		return false, nil
	}
	page, err := tx.EntitiesAfter(ctx, s, collection, scan.After, pageSize)
	if err != nil {
		return false, err
	}
	blocks := make(map[record.EntityID][]string, len(page))
	for _, e := range page {
		blocks[e.ID] = rules.Keys(e.Fields)
	}
	candidates, err := tx.Compare(ctx, s, collection, blocks)
	if err != nil {
		return false, err
	}
	var found []Pair
	for _, e := range page {
		for _, c := range candidates[e.ID] {
			// Of two in one page, or where the other comes later, the pair is found once: by the later one.
			if bytes.Compare(c.ID[:], e.ID[:]) >= 0 {
				continue
			}
			scan.Compared++
			if v := rules.Compare(e.Fields, c.Fields); v.Outcome != match.Ignore {
				found = append(found, Pair{ID: newID(), Service: s, Collection: collection, A: c.ID, B: e.ID, Verdict: v, State: Open, FoundAt: tx.Now()})
			}
		}
		scan.After = e.ID
	}
	added, err := tx.AddDuplicates(ctx, s, found)
	if err != nil {
		return false, err
	}
	scan.Found += added
	if more = len(page) == pageSize; !more {
		now := tx.Now()
		scan.FinishedAt = &now
	}
	return more, tx.SaveScan(ctx, s, scan)
}

// joinAll merges what is merged without asking, each pair in a commit of its own.
func (m *Manager) joinAll(ctx context.Context, t tenant.ID, s service.ID) error {
	var list []Pair
	err := m.inTx(ctx, t, func(tx Tx) (err error) {
		list, err = tx.Duplicates(ctx, Query{Service: s, State: Open, Limit: joinsAtOne})
		return err
	})
	if err != nil {
		return err
	}
	who := auth.System(t, ByRule)
	who.Name = ByRule
	for _, p := range list {
		if p.Verdict.Outcome != match.Auto {
			continue
		}
		err := m.inTx(ctx, t, func(tx Tx) error {
			_, err := m.decided(ctx, tx, who, p.ID, "merged", func(tx Tx, p *Pair, doc *service.Document) error {
				return m.join(ctx, tx, p, doc, Wish{}, ByRule)
			})
			return err
		})
		var f *fault.Error
		switch {
		case err == nil:
		case errors.As(err, &f) && f.Code == "duplicate.not_open":
			if err := m.gone(ctx, t, p.ID); err != nil {
				return err
			}
		case errors.As(err, &f) && (f.Code == "duplicate.busy" || f.Code == "duplicate.in_conflict"):
			// The next time.
		default:
			return err
		}
	}
	return nil
}

// gone closes a pair of which one is not there any more.
func (m *Manager) gone(ctx context.Context, t tenant.ID, id uuid.UUID) error {
	return m.inTx(ctx, t, func(tx Tx) error {
		p, err := tx.LockDuplicate(ctx, id)
		if err != nil || p.State != Open {
			return err
		}
		_, doc, err := tx.Loadable(ctx, p.Service)
		if err != nil {
			return err
		}
		now := tx.Now()
		p.State, p.DecidedAt, p.Reason = Gone, &now, "One of the two is not there any more."
		if _, err := m.release(ctx, tx, p.Service, doc, p.Records[:], p.ID, ByRule); err != nil {
			return err
		}
		return tx.SaveDuplicate(ctx, p)
	})
}

// Public is the pair's id as people see it.
func (p *Pair) Public() string { return ident.Format(ident.Duplicate, p.ID) }
