// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/syncline-dev/syncline/internal/service"
)

// Runs beside the stream as internal/store keeps them.

func isAside(r *service.Run) bool {
	return r.Kind.Beside() && (r.State == service.RunQueued || r.State == service.RunRunning)
}

// NextBeside returns the most urgent run beside the stream that is not over: single records first, then the oldest.
func (t *Tx) NextBeside(_ context.Context, s service.ID) (r service.Run, place []byte, found bool, err error) {
	return r, place, found, t.read(s, func(row *serviceRow) error {
		var next *service.Run
		for _, one := range row.runs {
			if isAside(one) && (next == nil || one.Kind == service.RecordsRun && next.Kind != service.RecordsRun) {
				next = one
			}
		}
		if found = next != nil; found {
			r, place = *next, slices.Clone(row.places[next.ID])
			r.Counts = maps.Clone(next.Counts)
		}
		return nil
	})
}

// SavePlace writes where a run beside the stream stands.
func (t *Tx) SavePlace(_ context.Context, id service.RunID, place []byte) error {
	kept := slices.Clone(place)
	t.write(func() {
		for _, row := range t.rows().services {
			for _, run := range row.runs {
				if run.ID == id {
					row.places[id] = kept
				}
			}
		}
	})
	return nil
}

// OwedBy counts what is still owed of what was owed at a time.
func (t *Tx) OwedBy(ctx context.Context, s service.ID, at, clear time.Time) (due, later int64, err error) {
	if err := t.step(ctx, "owed by"); err != nil {
		return 0, 0, err
	}
	return due, later, t.read(s, func(row *serviceRow) error {
		for _, d := range row.deliveries {
			switch {
			case d.since.After(at):
			case d.due.After(t.now):
				later = 1
			default:
				due = 1
			}
		}
		for _, a := range row.attempts {
			if !a.at.After(clear) {
				due++
			}
		}
		return nil
	})
}
