// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Runs of the kinds bulk and records read records again beside the stream of changes: they move no cursor, wait for the first
// sync to be complete, and stop for the lane's lock between pages, so that a change passes them. What they cause to be sent goes to
// the backlog, behind what the stream causes. Where they stand is written with each page (invariant 1), and a crash goes on there.

const besidePage = 500

// besideStep is where such a run stands.
type besideStep struct {
	Seat  int             `json:"seat"` // of those that are read, the present one
	Scan  json.RawMessage `json:"scan,omitempty"`
	Asked bool            `json:"asked,omitempty"` // the targets' copies were read again
	Read  time.Time       `json:"read,omitzero"`   // when all was read; what was owed by then is waited for
	Clear time.Time       `json:"clear,omitzero"`  // when nothing of that was left to be taken on
}

// Beside is what the commit of a page of such a run writes.
type Beside struct {
	Run   service.RunID
	Place []byte
	Done  int64
	Total int64
}

// beside carries out such runs for as long as the flow lives.
func (f *flow) beside(ctx context.Context) error {
	tries := 0
	for ctx.Err() == nil {
		wait, err := f.besideStep(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case isStop(err):
			return err
		case err != nil:
			tries++
			wait = backoff(tries)
		default:
			tries = 0
		}
		if wait > 0 && !sleep(ctx, wait, f.asked) {
			return nil
		}
	}
	return nil
}

// besideStep does one page, or one look, of the most urgent run, and says how long to wait before the next.
func (f *flow) besideStep(ctx context.Context) (wait time.Duration, err error) {
	var r service.Run
	var kept []byte
	var found bool
	err = f.inTx(ctx, func(tx Tx) (err error) {
		if err = tx.Guard(ctx, f.guard); err != nil {
			return err
		}
		if r, kept, found, err = tx.NextBeside(ctx, f.guard.Service); err != nil || !found {
			return err
		}
		switch {
		case r.CancelAt != nil:
			r, err = f.end(ctx, tx, r, service.RunCancelled)
		case r.State == service.RunQueued:
			if r, err = r.To(service.RunRunning, tx.Now()); err == nil {
				err = f.saveRun(ctx, tx, r, "run.started")
			}
		}
		return err
	})
	f.besides(r, found && !r.Over())
	if err != nil || !found {
		return time.Hour, err
	}
	if r.Over() {
		return 0, nil
	}
	var at besideStep
	if len(kept) > 0 {
		if err := json.Unmarshal(kept, &at); err != nil {
			return 0, f.endBeside(ctx, r, service.RunFailed, fault.Wrap(err, fault.Unavailable, "run.place_unreadable", "Where the run stands cannot be read."))
		}
	}
	if !at.Read.IsZero() {
		return f.besideEnd(ctx, r, at)
	}
	lanes := f.besideLanes(r.Selection)
	if at.Seat >= len(lanes) {
		at.Read = time.Now().UTC()
		return 0, f.savePlace(ctx, r, at)
	}
	l := lanes[at.Seat]
	for _, one := range append(f.besideTargets(r.Selection, l), l) {
		select {
		case <-one.complete:
		default:
			return controlEvery, nil // the first sync comes first
		}
	}
	began := time.Now()
	if err := l.besidePage(ctx, r, at); err != nil {
		switch c := connector.Classify(err); {
		case isStop(err), ctx.Err() != nil:
			return 0, err
		case fault.As(err) != nil:
			return 0, f.endBeside(ctx, r, service.RunFailed, fault.As(err))
		case c.Class == connector.Reject, c.Class == connector.LostPlace, c.Class == connector.Missing:
			return 0, f.endBeside(ctx, r, service.RunFailed, fault.Wrap(err, fault.Unavailable, c.Code, "%s", c.Message))
		default:
			return 0, f.trouble(ctx, l.System, err)
		}
	}
	if r.Kind == service.BulkRun && f.plan.Realtime {
		return min(time.Since(began), 100*time.Millisecond), nil // half of the time is left to what happens meanwhile
	}
	return 0, nil
}

// besides remembers which run's deliveries go out of the backlog.
func (f *flow) besides(r service.Run, open bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.aside = service.RunID{}
	if open {
		f.aside = r.ID
	}
}

// runOf is the run that an attempt's deliveries count for, and whether they are of one beside the stream.
func (f *flow) runOf(a *Attempt) (run service.RunID, beside bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.run != nil:
		return f.run.ID, false
	case a.Backlog && f.aside != (service.RunID{}):
		return f.aside, true
	}
	return service.RunID{}, false
}

// besideLanes are the objects that the selection reads.
func (f *flow) besideLanes(sel *service.Selection) (out []*lane) {
	for _, l := range f.lanes {
		if sel.Reads(l.System, l.Object) && (l.Reads || sel.Source != "") {
			out = append(out, l)
		}
	}
	return out
}

// besideTargets are the objects that a lane's records are to be brought to.
func (f *flow) besideTargets(sel *service.Selection, from *lane) (out []*lane) {
	for _, l := range f.lanes {
		if l != from && l.Collection == from.Collection && l.Writes && (len(sel.Targets) == 0 || slices.Contains(sel.Targets, string(l.System))) {
			out = append(out, l)
		}
	}
	return out
}

// besidePage reads and commits one page.
func (l *lane) besidePage(ctx context.Context, r service.Run, at besideStep) error {
	s, err := newScan(l.Seat, r.Selection, true)
	if err != nil {
		return err
	}
	if err := s.resume(at.Scan); err != nil {
		return err
	}
	if r.Selection.Force && !at.Asked {
		// What the targets hold is found out first, so that what is only believed to be equal is not taken for it.
		if err := l.askTargets(ctx, r.Selection); err != nil {
			return err
		}
		at.Asked = true
	}
	l.lock.take(ctx)
	defer l.lock.release()
	if err := l.clearDoubts(ctx); err != nil {
		return err
	}
	page, err := s.next(ctx, besidePage)
	if err != nil {
		return err
	}
	at.Scan = s.kept()
	if !page.more {
		at.Seat, at.Scan, at.Asked = at.Seat+1, nil, false
	}
	place, err := json.Marshal(at)
	if err != nil {
		return err
	}
	l.flow.engine.seam("scanned")
	if l.Reads {
		for i := range page.mapped {
			if c := page.mapped[i].Change; c.Op == record.Delete { // it was asked for by key and is missing, as in reread
				c.Absent = true
				signal(l.wake)
			}
		}
	}
	return l.intake(ctx, taking{scanned: page.mapped, anew: true, beside: &Beside{Run: r.ID, Place: place, Done: page.seen, Total: max(page.total, page.seen)}})
}

// askTargets reads the targets' copies of the named records again.
func (l *lane) askTargets(ctx context.Context, sel *service.Selection) error {
	f := l.flow
	for keys := range slices.Chunk(sel.Records, besidePage) {
		var loaded Loaded
		err := f.inTx(ctx, func(tx Tx) (err error) {
			loaded, err = tx.Load(ctx, f.guard, l.Seat, keys, nil)
			return err
		})
		if err != nil {
			return err
		}
		for _, target := range f.besideTargets(sel, l) {
			var theirs []record.Key
			for _, e := range loaded.Entities {
				if link := e.Links[target.System]; link != nil {
					theirs = append(theirs, link.Key)
				}
			}
			if len(theirs) == 0 {
				continue
			}
			target.lock.take(ctx)
			err := target.reread(ctx, theirs)
			target.lock.release()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *flow) savePlace(ctx context.Context, r service.Run, at besideStep) error {
	place, err := json.Marshal(at)
	if err != nil {
		return err
	}
	return f.inTx(ctx, func(tx Tx) error {
		if err := tx.Guard(ctx, f.guard); err != nil {
			return err
		}
		return tx.SavePlace(ctx, r.ID, place)
	})
}

// besideEnd ends a run once what was owed when it had read all is delivered.
func (f *flow) besideEnd(ctx context.Context, r service.Run, at besideStep) (time.Duration, error) {
	var due, later int64
	err := f.inTx(ctx, func(tx Tx) (err error) {
		due, later, err = tx.OwedBy(ctx, f.guard.Service, at.Read, at.Clear)
		return err
	})
	if err != nil {
		return 0, err
	}
	if due > 0 {
		for _, l := range f.lanes {
			signal(l.duty)
		}
		return quickEvery, nil
	}
	if at.Clear.IsZero() {
		at.Clear = time.Now().UTC()
		return 0, f.savePlace(ctx, r, at)
	}
	state := service.RunSucceeded
	if later > 0 {
		state = service.RunPartial
	}
	for _, c := range r.Counts {
		if c.Rejected > 0 || c.Conflicts > 0 || c.Held > 0 {
			state = service.RunPartial
		}
	}
	return 0, f.endBeside(ctx, r, state, nil)
}

func (f *flow) endBeside(ctx context.Context, r service.Run, state service.RunState, why *fault.Error) error {
	if why != nil {
		r.ErrorCode, r.Error = why.Code, why.Message
	}
	return f.inTx(ctx, func(tx Tx) error {
		if err := tx.Guard(ctx, f.guard); err != nil {
			return err
		}
		_, err := f.end(ctx, tx, r, state)
		return err
	})
}

// tellProgress tells browsers and programs how far it is.
func (b *Beside) tellProgress(ctx context.Context, tx Tx, s service.ID) error {
	return tx.Emit(ctx, "run.progress", uuid.UUID(s), map[string]any{"run": b.Run.String(), "kind": service.BulkRun, "state": service.RunRunning, "done": b.Done, "total": b.Total})
}
