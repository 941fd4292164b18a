// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
)

// spoiled is a transaction that does something wrong now and then.
type spoiled struct {
	*Tx
	spoiling
}

// spoiling are the ways; nil is none.
type spoiling struct {
	intake    func(*Tx, engine.Guard, *engine.Intake)
	settling  func(*Tx, engine.Guard, *engine.Settling)
	loaded    func(*Tx, engine.Guard, *engine.Seat, *engine.Loaded)
	postponed func(unknown bool) bool
	hold      func(*engine.Hold, time.Time)
}

func (s spoiled) SaveIntake(ctx context.Context, g engine.Guard, in engine.Intake) error {
	if s.intake != nil {
		s.intake(s.Tx, g, &in)
	}
	return s.Tx.SaveIntake(ctx, g, in)
}

func (s spoiled) SaveSettling(ctx context.Context, g engine.Guard, st engine.Settling) error {
	if s.settling != nil {
		s.settling(s.Tx, g, &st)
	}
	return s.Tx.SaveSettling(ctx, g, st)
}

func (s spoiled) Load(ctx context.Context, g engine.Guard, seat *engine.Seat, keys []record.Key, matchKeys []string) (engine.Loaded, error) {
	out, err := s.Tx.Load(ctx, g, seat, keys, matchKeys)
	if err == nil && s.loaded != nil {
		s.loaded(s.Tx, g, seat, &out)
	}
	return out, err
}

func (s spoiled) Postpone(ctx context.Context, g engine.Guard, a engine.Attempt, due time.Time, unknown bool) error {
	if s.postponed != nil {
		unknown = s.postponed(unknown)
	}
	return s.Tx.Postpone(ctx, g, a, due, unknown)
}

func (s spoiled) SaveHold(ctx context.Context, g engine.Guard, h engine.Hold, tally *engine.Tally) error {
	if s.hold != nil {
		s.hold(&h, s.Now())
	}
	return s.Tx.SaveHold(ctx, g, h, tally)
}

// stored breaks what lies between the engine and the store.
func stored(how spoiling) func(*Run) {
	return func(r *Run) { r.spoil = func(tx *Tx) engine.Tx { return spoiled{tx, how} } }
}

// sent breaks what lies between the engine and the systems.
func sent(how func(*outside, []connector.Write)) func(*Run) {
	return func(r *Run) {
		for _, c := range r.customers {
			for _, o := range c.systems {
				o.spoil = func(writes []connector.Write) { how(o, writes) }
			}
		}
	}
}

// chance is whether it happens this time.
func (t *Tx) chance() bool { return t.s.gate.chance(300) }

// TestChecksFind breaks one thing after the other, each in a way that an engine could, and sees that the checks find it: what a check that
// looks away would let pass fails here.
func TestChecksFind(t *testing.T) {
	const enough = 200 // seeds; the first one or two find most
	for _, broken := range []struct {
		what  string
		found string // in what the checks say
		how   func(*Run)
	}{
		{"a cursor moves, and what it covers is not stored", "invariant 1", stored(spoiling{intake: func(t *Tx, _ engine.Guard, in *engine.Intake) {
			if in.Move != nil && in.Outcome.Counts.Read > 0 && t.chance() {
				in.Outcome, in.Owed, in.Attempts = engine.Outcome{}, nil, nil
			}
		}})},
		{"a cursor jumps ahead", "invariant 1", stored(spoiling{intake: func(t *Tx, _ engine.Guard, in *engine.Intake) {
			if in.Move != nil && len(in.Move.Cursor) > 0 && t.chance() {
				in.Move.Cursor = slices.Concat(in.Move.Cursor[:1], []byte(`"seq":999999,`), in.Move.Cursor[1:])
			}
		}})},
		{"a new record is dropped", "invariant 2", stored(spoiling{intake: func(t *Tx, _ engine.Guard, in *engine.Intake) {
			if o := &in.Outcome; len(o.New) > 0 && t.chance() {
				gone := o.New[0].ID
				o.New, o.Born = o.New[1:], o.Born-1
				o.NewLinks = slices.DeleteFunc(o.NewLinks, func(l engine.LinkRow) bool { return l.Entity == gone })
				o.Journal = slices.DeleteFunc(o.Journal, func(e record.Entry) bool { return e.Entity == gone })
				in.Usage = slices.DeleteFunc(in.Usage, func(u billing.UsageEvent) bool { return u.Meter == billing.Records })
			}
		}})},
		{"what cannot be taken in leaves no dead letter", "invariant 2", stored(spoiling{intake: func(_ *Tx, _ engine.Guard, in *engine.Intake) {
			in.Outcome.Dead = nil
		}})},
		{"what came in leaves no line in the history", "invariant 2", stored(spoiling{intake: func(t *Tx, _ engine.Guard, in *engine.Intake) {
			if t.chance() {
				in.Outcome.Journal = nil
			}
		}})},
		{"a conflict is decided in silence", "invariant 2", stored(spoiling{intake: func(_ *Tx, _ engine.Guard, in *engine.Intake) {
			o := &in.Outcome
			for _, c := range o.Conflicts {
				for _, e := range o.Changed {
					if e.ID == c.Entity {
						e.Held = slices.DeleteFunc(e.Held, func(f string) bool { return f == c.Field })
					}
				}
			}
			for _, l := range slices.Concat(o.NewLinks, o.Links) {
				if l.State == record.InDoubt {
					l.State = record.Synced
				}
			}
			o.Conflicts = nil
		}})},
		{"a record is written over unread", "invariant 2", sent(func(_ *outside, writes []connector.Write) {
			for i := range writes {
				writes[i].Expect = nil
			}
		})},
		{"an older state is written after a newer one", "invariant 3", func(r *Run) {
			before, count := make(map[string]record.Value), make(map[string]int)
			sent(func(o *outside, writes []connector.Write) {
				for i := range writes {
					at, name := o.name+writes[i].ID.String(), writes[i].Fields["name"]
					if name == nil {
						continue
					}
					if count[at]++; count[at] == 1 {
						before[at] = name
					} else if count[at] > 2 {
						fields := writes[i].Fields.Clone()
						fields["name"] = before[at]
						writes[i].Fields = fields
					}
				}
			})(r)
		}},
		{"what may have arrived is sent again", "invariants 4", stored(spoiling{postponed: func(bool) bool { return false }})},
		{"a record is made once more", "invariant 4", stored(spoiling{settling: func(t *Tx, _ engine.Guard, s *engine.Settling) {
			if st := &s.Settlement; len(st.NewLinks) > 0 && t.chance() {
				st.Waiting, st.NewLinks = append(st.Waiting, st.NewLinks[0].Entity), st.NewLinks[1:]
			}
		}})},
		{"an echo is taken for a change", "invariant 5", stored(spoiling{loaded: func(_ *Tx, _ engine.Guard, seat *engine.Seat, in *engine.Loaded) {
			for _, e := range in.Entities {
				if l := e.Links[seat.System]; l != nil {
					l.OwnForm = nil
				}
			}
		}})},
		{"a delivery is metered twice", "invariant 6", stored(spoiling{settling: func(t *Tx, _ engine.Guard, s *engine.Settling) {
			if len(s.Usage) > 0 && t.chance() {
				again := s.Usage[0]
				again.Key += " again"
				s.Usage = append(slices.Clone(s.Usage), again)
			}
		}})},
		{"a delivery is not metered", "invariant 6", stored(spoiling{settling: func(t *Tx, _ engine.Guard, s *engine.Settling) {
			if t.chance() {
				s.Usage = nil
			}
		}})},
		{"a delivery leaves no line in the history", "invariant 6", stored(spoiling{settling: func(t *Tx, _ engine.Guard, s *engine.Settling) {
			if t.chance() {
				s.Settlement.Journal = nil
			}
		}})},
		{"a tenant gets another's record", "invariant 7", stored(spoiling{intake: func(t *Tx, _ engine.Guard, in *engine.Intake) {
			for _, other := range t.s.order {
				for _, row := range t.s.tenants[other].services {
					for _, id := range sortedIDs(row.entities) {
						if name := row.entities[id].Fields["name"]; other != t.tenant && name != nil && len(in.Outcome.New) > 0 {
							in.Outcome.New[0].Fields["name"] = name
							return
						}
					}
				}
			}
		}})},
		{"a duty that was not carried out is forgotten", "invariant 8", stored(spoiling{settling: func(_ *Tx, _ engine.Guard, s *engine.Settling) { s.Settlement.Waiting = nil }})},
		{"a duty of later is forgotten", "invariant 8", stored(spoiling{intake: func(_ *Tx, _ engine.Guard, in *engine.Intake) { in.Owed, in.Parked = nil, nil }})},
		{"the brake asks nobody", "brake", stored(spoiling{hold: func(h *engine.Hold, now time.Time) {
			if h.State == engine.HoldOpen {
				h.State, h.DecidedAt = engine.HoldReleased, &now
			}
		}})},
	} {
		t.Run(broken.what, func(t *testing.T) {
			t.Parallel()
			var others []string
			for seed := uint64(1); seed <= enough; seed++ {
				out := playSpoiled(t, seed, nil, broken.how)
				if out.err == nil {
					continue
				}
				if strings.Contains(out.err.Error(), broken.found) {
					t.Logf("found by seed %d: %v", seed, out.err)
					return
				}
				others = append(others, out.err.Error())
			}
			t.Errorf("%d seeds find nothing that says %q; %d of them say:\n%s", enough, broken.found, len(others), strings.Join(others, "\n"))
		})
	}
}
