// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"errors"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// patience bounds how often a read begins again, because the log was read from elsewhere meanwhile or because a
// transaction in it is not visible yet.
const patience = 200

// readLog returns the records that the log tells of since the cursor, in their present state.
func (s *system) readLog(ctx context.Context, t *table, req connector.ReadRequest, c cursor) (connector.Page, error) {
	columns, err := t.pick(req.Fields)
	if err != nil {
		return connector.Page{}, err
	}
	for attempt := 0; ; attempt++ {
		page, again, err := s.readLogOnce(ctx, t, req, c, columns)
		if errors.Is(err, errMoved) && attempt < patience {
			continue
		}
		if err != nil {
			return page, classify(err, "reading changes of "+t.name)
		}
		if !again || attempt >= patience {
			return page, nil
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return page, err
		}
	}
}

// readLogOnce reads a page; again says that it is empty only because a transaction is about to become visible.
func (s *system) readLogOnce(ctx context.Context, t *table, req connector.ReadRequest, c cursor, columns []*column) (page connector.Page, again bool, err error) {
	if err := s.log.attach(ctx, t, c.Log, true); err != nil {
		return page, false, err
	}
	v, err := s.view(ctx)
	if err != nil {
		return page, false, err
	}
	defer v.close()
	if err := s.log.caughtUp(ctx, t.object, v.at, req.Limit); err != nil {
		return page, false, err
	}
	hints, err := s.log.take(t, c.Log, req.Limit, v.at, !t.makes(columns))
	if err != nil {
		return page, false, err
	}
	c.Log = &hints.next
	page = connector.Page{Phase: connector.Stream, More: hints.more, Cursor: c.encode()}
	if len(hints.keys)+len(hints.raw) == 0 {
		return page, hints.early, nil
	}
	if err := v.see(ctx, s, hints.gtids); err != nil {
		return page, false, err
	}
	page.Changes, err = v.readBack(ctx, t, columns, hints)
	return page, false, err
}

// makes says whether the server makes values of these columns when others are written, so that what we wrote is not all
// that changed.
func (t *table) makes(columns []*column) bool {
	if t.triggers {
		return true
	}
	for _, c := range columns {
		if c.computed || c.onUpdate {
			return true
		}
	}
	return false
}

// readBack reads the records of the hints. Deletes come first: a key that was renamed makes room before it is taken.
func (v *view) readBack(ctx context.Context, t *table, columns []*column, hints taken) ([]record.Change, error) {
	if len(hints.raw) > 0 {
		converted, err := v.convert(ctx, t, hints.raw)
		if err != nil {
			return nil, err
		}
		for i := range hints.raw {
			k := record.Key(converted[i])
			if _, known := hints.when[k]; !known {
				hints.keys = append(hints.keys, k)
			}
			hints.when[k] = hints.rawAt[i]
		}
	}
	literals := make([][]string, 0, len(hints.keys))
	for _, k := range hints.keys {
		if l, _, err := t.keyLiterals(k); err == nil { // else no row can have it (any more)
			literals = append(literals, l)
		}
	}
	found := make(map[record.Key]row, len(literals))
	if err := v.rows(ctx, t, columns, literals, func(r row) error {
		found[r.key] = r
		return nil
	}); err != nil {
		return nil, err
	}
	changes := make([]record.Change, 0, len(hints.keys))
	for _, k := range hints.keys {
		if _, there := found[k]; !there {
			changes = append(changes, record.Change{Key: k, Op: record.Delete, At: hints.when[k]})
		}
	}
	for _, k := range hints.keys {
		if r, there := found[k]; there {
			changes = append(changes, record.Change{Key: k, Op: record.Upsert, Fields: r.fields, At: hints.when[k]})
			delete(found, k)
		}
	}
	// What is left has another spelling of a key asked for, which the table's collation takes for the same.
	for k, r := range found {
		changes = append(changes, record.Change{Key: k, Op: record.Upsert, Fields: r.fields})
	}
	return changes, nil
}

// beginLog is the cursor of a snapshot that the log will follow.
func (s *system) beginLog(ctx context.Context, t *table) (*logCursor, error) {
	if _, err := s.mayMark(ctx, true); err != nil {
		return nil, classify(err, "preparing to recognise our own writes")
	}
	at, open, err := s.present(ctx)
	if err != nil {
		return nil, err
	}
	c := &logCursor{At: at, From: open, Shape: t.shape()}
	// Reading begins now: should the log not be readable, that shows before the snapshot and not after it.
	if err := s.log.attach(ctx, t, c, true); err != nil {
		return nil, classify(err, "reading the binary log")
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	if r := s.log.run; r != nil {
		if id, known := r.files[at.File]; known {
			c.Birth, c.Owner = id.birth, id.owner
		}
	}
	return c, nil
}
