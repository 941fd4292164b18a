// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// testStorm has several users whose transactions overlap and end in any order, some of them undone, while a reader reads
// small pages, acknowledges some, and now and then starts again from an older cursor as after a crash. In the end the
// reader must know what each user knows to have committed, and no record may ever have gone back in time.
func testStorm(t *testing.T, s *suite) {
	if !s.Can.Transactions {
		return
	}
	sys, o := s.object(t, items)
	newReplica(sys, o, 100).drain(t)
	const users, perUser, rounds = 4, 30, 40

	var mu sync.Mutex
	want := rows{}
	var wait sync.WaitGroup
	for u := range users {
		wait.Go(func() {
			random := rand.New(rand.NewPCG(uint64(u), 7))
			type open struct {
				tx   Transaction
				will rows // what it makes true: nil for a deleted record
			}
			var pending []open
			busy := map[record.Key]bool{} // records that an open transaction holds
			alive := map[record.Key]int{}
			end := func(i int) {
				p := pending[i]
				pending = append(pending[:i], pending[i+1:]...)
				undone := random.IntN(5) == 0
				if undone {
					p.tx.Rollback(t)
				} else {
					p.tx.Commit(t)
				}
				mu.Lock()
				defer mu.Unlock()
				for k, f := range p.will {
					delete(busy, k)
					switch {
					case undone:
					case f == nil:
						delete(want, k)
						delete(alive, k)
					default:
						want[k] = f
						alive[k] = 1
					}
				}
			}
			quantity := 1
			for range rounds {
				p := open{tx: s.Users.Begin(t), will: rows{}}
				for range 1 + random.IntN(6) {
					n := u*1000 + random.IntN(perUser)
					k := id(n)
					if busy[k] {
						continue
					}
					busy[k] = true
					quantity++
					switch {
					case alive[k] == 0:
						p.tx.Insert(t, o, item(n, quantity))
						p.will[k] = item(n, quantity)
					case s.Can.Deletes && random.IntN(4) == 0:
						p.tx.Delete(t, o, k)
						p.will[k] = nil
					default:
						p.tx.Update(t, o, k, record.Fields{"quantity": num(quantity)})
						p.will[k] = item(n, quantity)
					}
				}
				pending = append(pending, p)
				if len(pending) > 3 {
					end(random.IntN(len(pending)))
				}
			}
			for len(pending) > 0 {
				end(random.IntN(len(pending)))
			}
		})
	}
	done := make(chan struct{})
	go func() { wait.Wait(); close(done) }()

	random := rand.New(rand.NewPCG(99, 7))
	r := newReplica(sys, o, 7)
	r.rising = "quantity"
	var saved *replica
	ack, acknowledges := sys.(connector.Acknowledger)
	for storming := true; storming; {
		select {
		case <-done:
			storming = false
		default:
		}
		r.pull(t)
		switch random.IntN(8) {
		case 0: // what is stored may be acknowledged
			if acknowledges {
				if err := ack.Acknowledge(t.Context(), o, r.cursor); err != nil {
					t.Fatalf("acknowledging: %v", err)
				}
				saved = nil
			}
		case 1:
			if saved == nil {
				saved = r.fork(sys)
			}
		case 2: // a crash: on from the last cursor that was stored
			if saved != nil && r.phase == saved.phase {
				saved.rising = "quantity"
				r, saved = saved, nil
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	r.catchUp(t, want)
	anew := newReplica(s.open(t, consumer(), o), o, 50)
	anew.drain(t)
	anew.catchUp(t, want)
}
