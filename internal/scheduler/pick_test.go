// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

// named makes ids that are the same for the same name and sort by the name's first letters.
func named(s string) (id uuid.UUID) {
	copy(id[:], s)
	return id
}

func ten(s string) tenant.ID  { return tenant.ID(named(s)) }
func svc(s string) service.ID { return service.ID(named(s)) }

func waits(tenant, name, pool string, priority int, since time.Duration) Candidate {
	return Candidate{Tenant: ten(tenant), Service: svc(name), Pool: pool, Priority: priority, Since: ago(since)}
}

func limited(c Candidate, most time.Duration) Candidate {
	c.MaxDelay = most
	return c
}

func holds(tenant, name, worker string, priority int, since time.Duration) Held {
	return Held{Tenant: ten(tenant), Service: svc(name), Pool: DefaultPool, Worker: named(worker), Priority: priority, Since: ago(since)}
}

func works(name string, slots int, pools ...string) Worker {
	return Worker{ID: named(name), Slots: slots, Pools: pools}
}

func short[T ~[16]byte](id T) string {
	n := slices.Index(id[:], 0)
	return string(id[:n])
}

func (p Plan) strings() (grants, yields, stranded []string) {
	for _, g := range p.Grants {
		s := short(g.Service)
		if g.Moved() {
			s += ">" + g.On
		}
		grants = append(grants, s)
	}
	for _, h := range p.Yields {
		yields = append(yields, short(h.Service))
	}
	for _, c := range p.Stranded {
		stranded = append(stranded, short(c.Service))
	}
	return grants, yields, stranded
}

func TestPick(t *testing.T) {
	tests := []struct {
		name     string
		load     Load
		grants   []string
		yields   []string
		stranded []string
	}{
		{name: "nobody waits", load: Load{Workers: []Worker{works("w", 2, DefaultPool)}}},
		{
			name: "no worker at all",
			load: Load{Waiting: []Candidate{waits("a", "a1", DefaultPool, 2, 0)}}, stranded: []string{"a1"},
		},
		{
			name: "no more than the slots",
			load: Load{
				Workers: []Worker{works("w", 2, DefaultPool)},
				Waiting: []Candidate{waits("a", "a1", DefaultPool, 2, 3), waits("a", "a2", DefaultPool, 2, 2), waits("a", "a3", DefaultPool, 2, 1)},
			},
			grants: []string{"a1", "a2"},
		},
		{
			name: "a granted lease that nobody took up yet uses a slot",
			load: Load{
				Workers: []Worker{works("w", 1, DefaultPool)},
				Held:    []Held{holds("b", "b1", "", 2, time.Second)},
				Waiting: []Candidate{waits("a", "a1", DefaultPool, 2, 3)},
			},
		},
		{
			name: "tenants take turns, whoever waits longest first",
			load: Load{
				Workers: []Worker{works("w", 4, DefaultPool)},
				Waiting: []Candidate{
					waits("a", "a1", DefaultPool, 2, 9*time.Second), waits("a", "a2", DefaultPool, 2, 8*time.Second), waits("a", "a3", DefaultPool, 2, 7*time.Second),
					waits("b", "b1", DefaultPool, 2, 2*time.Second), waits("b", "b2", DefaultPool, 2, time.Second),
				},
			},
			grants: []string{"a1", "b1", "a2", "b2"},
		},
		{
			name: "fewest slots before priority",
			load: Load{
				Workers: []Worker{works("w", 2, DefaultPool)},
				Held:    []Held{holds("a", "a0", "w", 2, time.Second)},
				Waiting: []Candidate{waits("a", "a1", DefaultPool, 0, 9*time.Second), waits("b", "b1", DefaultPool, 3, time.Second)},
			},
			grants: []string{"b1"},
		},
		{
			name: "priority before waiting",
			load: Load{
				Workers: []Worker{works("w", 1, DefaultPool)},
				Waiting: []Candidate{waits("a", "a1", DefaultPool, 2, 9*time.Second), waits("b", "b1", DefaultPool, 1, time.Second)},
			},
			grants: []string{"b1"},
		},
		{
			name: "waiting raises the class",
			load: Load{
				Workers: []Worker{works("w", 1, DefaultPool)},
				Waiting: []Candidate{waits("a", "a1", DefaultPool, 3, 3*LongTurn), waits("a", "a2", DefaultPool, 0, time.Second)},
			},
			grants: []string{"a1"},
		},
		{
			name: "a weight of two is two slots for one",
			load: Load{
				Workers: []Worker{works("w", 6, DefaultPool)},
				Weights: map[tenant.ID]int{ten("a"): 2},
				Waiting: []Candidate{
					waits("a", "a1", DefaultPool, 2, 9), waits("a", "a2", DefaultPool, 2, 8), waits("a", "a3", DefaultPool, 2, 7), waits("a", "a4", DefaultPool, 2, 7), waits("a", "a5", DefaultPool, 2, 7),
					waits("b", "b1", DefaultPool, 2, 6), waits("b", "b2", DefaultPool, 2, 5), waits("b", "b3", DefaultPool, 2, 5),
				},
			},
			grants: []string{"a1", "b1", "a2", "a3", "b2", "a4"},
		},
		{
			name: "another pool's slots do not count",
			load: Load{
				Workers: []Worker{works("w", 1, DefaultPool), works("x", 1, "eu")},
				Held:    []Held{holds("b", "b0", "w", 2, time.Second)},
				Waiting: []Candidate{waits("a", "a1", DefaultPool, 2, 9), waits("a", "a2", "eu", 2, 1)},
			},
			grants: []string{"a2"},
		},
		{
			name: "a pool without workers moves to the default pool",
			load: Load{
				Workers: []Worker{works("w", 1, DefaultPool)},
				Waiting: []Candidate{waits("a", "a1", "eu", 2, 9)},
			},
			grants: []string{"a1>default"},
		},
		{
			name: "and waits when there is none of that either",
			load: Load{
				Workers: []Worker{works("w", 1, "us")},
				Waiting: []Candidate{waits("a", "a1", "eu", 2, 9)},
			},
			stranded: []string{"a1"},
		},
		{
			name: "a worker of one pool is used before one of several",
			load: Load{
				Workers: []Worker{works("w", 1, DefaultPool, "eu"), works("x", 1, DefaultPool)},
				Waiting: []Candidate{waits("a", "a1", DefaultPool, 0, 9), waits("a", "a2", "eu", 2, 1)},
			},
			grants: []string{"a1", "a2"},
		},
		{
			name: "who has two more yields after a short turn",
			load: Load{
				Now:     noon,
				Workers: []Worker{works("w", 2, DefaultPool)},
				Held:    []Held{holds("a", "a1", "w", 2, ShortTurn), holds("a", "a2", "w", 2, ShortTurn+1)},
				Waiting: []Candidate{waits("b", "b1", DefaultPool, 2, 1)},
			},
			yields: []string{"a2"},
		},
		{
			name: "but not before",
			load: Load{
				Now:     noon,
				Workers: []Worker{works("w", 2, DefaultPool)},
				Held:    []Held{holds("a", "a1", "w", 2, ShortTurn-1), holds("a", "a2", "w", 2, ShortTurn-1)},
				Waiting: []Candidate{waits("b", "b1", DefaultPool, 2, 1)},
			},
		},
		{
			name: "who has one more changes places after a long turn",
			load: Load{
				Now:     noon,
				Workers: []Worker{works("w", 1, DefaultPool)},
				Held:    []Held{holds("a", "a1", "w", 2, LongTurn)},
				Waiting: []Candidate{waits("b", "b1", DefaultPool, 2, 1)},
			},
			yields: []string{"a1"},
		},
		{
			name: "not for somebody of a lower class",
			load: Load{
				Now:     noon,
				Workers: []Worker{works("w", 1, DefaultPool)},
				Held:    []Held{holds("a", "a1", "w", 1, time.Hour)},
				Waiting: []Candidate{waits("b", "b1", DefaultPool, 2, 1)},
			},
		},
		{
			name: "unless that one has waited long enough",
			load: Load{
				Now:     noon,
				Workers: []Worker{works("w", 1, DefaultPool)},
				Held:    []Held{holds("a", "a1", "w", 1, time.Hour)},
				Waiting: []Candidate{waits("b", "b1", DefaultPool, 2, LongTurn)},
			},
			yields: []string{"a1"},
		},
		{
			name: "a tenant's own bulk makes way for its critical",
			load: Load{
				Now:     noon,
				Workers: []Worker{works("w", 2, DefaultPool)},
				Held:    []Held{holds("a", "a1", "w", 0, time.Hour), holds("a", "a2", "w", 3, ShortTurn)},
				Waiting: []Candidate{waits("a", "a3", DefaultPool, 0, 1)},
			},
			yields: []string{"a2"},
		},
		{
			name: "nobody yields to whoever has as much",
			load: Load{
				Now:     noon,
				Workers: []Worker{works("w", 2, DefaultPool)},
				Held:    []Held{holds("a", "a1", "w", 2, time.Hour), holds("b", "b1", "w", 2, time.Second)},
				Waiting: []Candidate{waits("b", "b2", DefaultPool, 2, 1)},
			},
		},
		{
			name: "who nears its maximum delay before a higher class of the same tenant",
			load: Load{
				Workers: []Worker{works("w", 1, DefaultPool)},
				Waiting: []Candidate{waits("a", "a1", DefaultPool, 1, 9*time.Second), limited(waits("a", "a2", DefaultPool, 3, 5*time.Second), 10*time.Second)},
			},
			grants: []string{"a2"},
		},
		{
			name: "less than half of the maximum delay is nothing special",
			load: Load{
				Workers: []Worker{works("w", 1, DefaultPool)},
				Waiting: []Candidate{waits("a", "a1", DefaultPool, 1, 9*time.Second), limited(waits("a", "a2", DefaultPool, 3, 5*time.Second-1), 10*time.Second)},
			},
			grants: []string{"a1"},
		},
		{
			name: "who nears its maximum delay is no more than critical",
			load: Load{
				Workers: []Worker{works("w", 1, DefaultPool)},
				Waiting: []Candidate{waits("a", "a1", DefaultPool, 0, 9*time.Second), limited(waits("a", "a2", DefaultPool, 2, 8*time.Second), time.Second)},
			},
			grants: []string{"a1"},
		},
		{
			name: "fewest slots before a maximum delay",
			load: Load{
				Workers: []Worker{works("w", 2, DefaultPool)},
				Held:    []Held{holds("a", "a0", "w", 2, time.Second)},
				Waiting: []Candidate{limited(waits("a", "a1", DefaultPool, 1, 9*time.Second), time.Second), waits("b", "b1", DefaultPool, 3, time.Second)},
			},
			grants: []string{"b1"},
		},
		{
			name: "a short turn for who nears its maximum delay",
			load: Load{
				Workers: []Worker{works("w", 1, DefaultPool)},
				Held:    []Held{holds("a", "a1", "w", 2, ShortTurn)},
				Waiting: []Candidate{limited(waits("a", "a2", DefaultPool, 2, 5*time.Second), 10*time.Second)},
			},
			yields: []string{"a1"},
		},
		{
			name: "critical ones keep their slot from who nears its maximum delay",
			load: Load{
				Workers: []Worker{works("w", 1, DefaultPool)},
				Held:    []Held{holds("a", "a1", "w", 0, LongTurn-1)},
				Waiting: []Candidate{limited(waits("a", "a2", DefaultPool, 2, 5*time.Second), 10*time.Second)},
			},
		},
		{
			name: "another tenant's share is not taken for a maximum delay",
			load: Load{
				Workers: []Worker{works("w", 2, DefaultPool)},
				Held:    []Held{holds("a", "a1", "w", 2, time.Hour), holds("b", "b1", "w", 2, LongTurn-1)},
				Waiting: []Candidate{limited(waits("a", "a2", DefaultPool, 3, time.Minute), time.Second)},
			},
			yields: []string{"a1"},
		},
		{
			name: "one slot is on its way already",
			load: Load{
				Now:     noon,
				Workers: []Worker{works("w", 2, DefaultPool)},
				Held: []Held{
					holds("a", "a1", "w", 2, time.Hour),
					{Tenant: ten("a"), Service: svc("a2"), Pool: DefaultPool, Worker: named("w"), Since: ago(time.Hour), Yield: true},
				},
				Waiting: []Candidate{waits("b", "b1", DefaultPool, 2, 1)},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.load.Now.IsZero() {
				tt.load.Now = noon
			}
			grants, yields, stranded := Pick(tt.load).strings()
			if !slices.Equal(grants, tt.grants) {
				t.Errorf("granted %v, want %v", grants, tt.grants)
			}
			if !slices.Equal(yields, tt.yields) {
				t.Errorf("asked %v to yield, want %v", yields, tt.yields)
			}
			if !slices.Equal(stranded, tt.stranded) {
				t.Errorf("stranded %v, want %v", stranded, tt.stranded)
			}
		})
	}
}

func drawLoad(t *rapid.T) Load {
	pools := []string{DefaultPool, "eu", "us"}
	l := Load{Now: noon, Weights: map[tenant.ID]int{}}
	for i := range rapid.IntRange(0, 4).Draw(t, "workers") {
		l.Workers = append(l.Workers, Worker{
			ID: named(fmt.Sprintf("w%d", i)), Slots: rapid.IntRange(0, 5).Draw(t, "slots"),
			Pools: rapid.SliceOfNDistinct(rapid.SampledFrom(pools), 1, 3, rapid.ID[string]).Draw(t, "pools"),
		})
	}
	tenants := rapid.IntRange(1, 6).Draw(t, "tenants")
	for i := range tenants {
		if w := rapid.IntRange(0, 3).Draw(t, "weight"); w > 0 {
			l.Weights[ten(fmt.Sprintf("t%d", i))] = w
		}
	}
	someone := func() tenant.ID { return ten(fmt.Sprintf("t%d", rapid.IntRange(0, tenants-1).Draw(t, "tenant"))) }
	for _, w := range l.Workers {
		for i := range rapid.IntRange(0, w.Slots).Draw(t, "held") {
			h := Held{
				Tenant: someone(), Service: svc(fmt.Sprintf("h%s.%d", short(w.ID), i)), Pool: rapid.SampledFrom(w.Pools).Draw(t, "pool"), Worker: w.ID,
				Priority: rapid.IntRange(0, 3).Draw(t, "class"), Since: ago(time.Duration(rapid.IntRange(0, 200).Draw(t, "since")) * time.Second),
				Yield: rapid.IntRange(0, 9).Draw(t, "yields") == 0,
			}
			if rapid.IntRange(0, 9).Draw(t, "pending") == 0 {
				h.Worker, h.Yield = uuid.Nil, false
			}
			l.Held = append(l.Held, h)
		}
	}
	for i := range rapid.IntRange(0, 40).Draw(t, "waiting") {
		l.Waiting = append(l.Waiting, Candidate{
			Tenant: someone(), Service: svc(fmt.Sprintf("c%d", i)), Pool: rapid.SampledFrom(pools).Draw(t, "pool"),
			Priority: rapid.IntRange(0, 3).Draw(t, "class"), Since: ago(time.Duration(rapid.IntRange(0, 200).Draw(t, "since")) * time.Second),
			MaxDelay: time.Duration(rapid.IntRange(0, 200).Draw(t, "most")) * time.Second,
		})
	}
	return l
}

func (l Load) weight(id tenant.ID) int { return max(l.Weights[id], 1) }

func TestPickLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLoad(t)
		plan := Pick(l)

		served := map[string]bool{}
		slots := 0
		for _, w := range l.Workers {
			slots += w.Slots
			for _, p := range w.Pools {
				served[p] = true
			}
		}
		if n := len(l.Held) + len(plan.Grants); n > max(slots, len(l.Held)) {
			t.Fatalf("%d leases on %d slots", n, slots)
		}
		seen := map[service.ID]bool{}
		held := map[queueKey]int{}
		for _, h := range l.Held {
			held[queueKey{h.Pool, h.Tenant}]++
		}
		for _, g := range plan.Grants {
			if seen[g.Service] {
				t.Fatalf("%s is granted twice", short(g.Service))
			}
			seen[g.Service] = true
			if !served[g.On] {
				t.Fatalf("%s goes to the pool %s, which nobody serves", short(g.Service), g.On)
			}
			if g.Moved() && served[g.Pool] {
				t.Fatalf("%s is moved from the pool %s, which has workers", short(g.Service), g.Pool)
			}
			held[queueKey{g.On, g.Tenant}]++
		}
		for _, c := range plan.Stranded {
			if seen[c.Service] || served[c.Pool] || served[DefaultPool] {
				t.Fatalf("%s is stranded, but could run", short(c.Service))
			}
			seen[c.Service] = true
		}

		// Nobody who got a slot would, without it, still have more than someone who went without.
		for _, c := range l.Waiting {
			if seen[c.Service] {
				continue
			}
			pool := c.Pool
			if !served[pool] {
				pool = DefaultPool
			}
			mine := held[queueKey{pool, c.Tenant}]
			for _, g := range plan.Grants {
				if g.On != pool || g.Tenant == c.Tenant {
					continue
				}
				if before := held[queueKey{pool, g.Tenant}] - 1; before*l.weight(c.Tenant) > mine*l.weight(g.Tenant) {
					t.Fatalf("%s went without although %s already had more", short(c.Service), short(g.Tenant))
				}
			}
			free := 0
			for _, w := range l.Workers {
				if w.Serves(pool) {
					free += w.Slots
				}
			}
			if free > len(l.Held)+len(plan.Grants) {
				t.Fatalf("%s went without although the pool %s has a free slot", short(c.Service), pool)
			}
		}

		asked := map[service.ID]bool{}
		for _, h := range plan.Yields {
			if asked[h.Service] || h.Yield || h.Worker == uuid.Nil || l.Now.Sub(h.Since) < ShortTurn {
				t.Fatalf("%s must not be asked to yield", short(h.Service))
			}
			asked[h.Service] = true
		}

		// The order of the input decides nothing.
		other := l
		other.Waiting = slices.Clone(l.Waiting)
		other.Held = slices.Clone(l.Held)
		r := rand.New(rand.NewPCG(1, 2))
		r.Shuffle(len(other.Waiting), func(i, j int) { other.Waiting[i], other.Waiting[j] = other.Waiting[j], other.Waiting[i] })
		r.Shuffle(len(other.Held), func(i, j int) { other.Held[i], other.Held[j] = other.Held[j], other.Held[i] })
		again := Pick(other)
		if !slices.Equal(again.Grants, plan.Grants) {
			t.Fatalf("granted %v, and from the same load in another order %v", plan.Grants, again.Grants)
		}
		if !slices.Equal(again.Yields, plan.Yields) {
			t.Fatalf("asked %v to yield, and from the same load in another order %v", plan.Yields, again.Yields)
		}
	})
}

// world plays services against Pick, a second at a time, as the shell would: granted at once, yielding within a second.
type world struct {
	now     time.Time
	load    Load
	waiting map[tenant.ID][]Candidate    // those waiting longest first
	work    time.Duration                // what each service has to do until it is done; 0: for ever
	left    map[service.ID]time.Duration // of those that were given a slot
	entered map[service.ID]time.Time
	waited  map[service.ID]time.Duration // from the entry to the first slot
	limits  map[service.ID]time.Duration // their maximum delays
}

func newWorld(slots int, work time.Duration) *world {
	return &world{
		now:     noon,
		work:    work,
		load:    Load{Workers: []Worker{works("w", slots, DefaultPool)}},
		waiting: map[tenant.ID][]Candidate{}, left: map[service.ID]time.Duration{}, entered: map[service.ID]time.Time{}, waited: map[service.ID]time.Duration{},
		limits: map[service.ID]time.Duration{},
	}
}

func (w *world) enter(t tenant.ID, s service.ID, class int, most time.Duration) {
	w.limits[s] = most
	w.waiting[t] = append(w.waiting[t], Candidate{Tenant: t, Service: s, Pool: DefaultPool, Priority: class, Since: w.now, MaxDelay: most})
	w.entered[s] = w.now
}

func (w *world) second() {
	l := w.load
	l.Now = w.now
	for _, waiting := range w.waiting { // as the shell does: not all of a tenant's, when these are very many
		l.Waiting = append(l.Waiting, waiting[:min(len(waiting), 2*l.Workers[0].Slots+20)]...)
	}
	plan := Pick(l)
	for _, g := range plan.Grants {
		w.load.Held = append(w.load.Held, Held{Tenant: g.Tenant, Service: g.Service, Pool: g.On, Priority: g.Priority, Since: w.now, Worker: named("w")})
		if _, known := w.waited[g.Service]; !known {
			w.left[g.Service] = w.work
			w.waited[g.Service] = w.now.Sub(w.entered[g.Service])
		}
	}
	for _, g := range plan.Grants {
		waiting := w.waiting[g.Tenant]
		i := slices.IndexFunc(waiting, func(c Candidate) bool { return c.Service == g.Service })
		if i == 0 {
			w.waiting[g.Tenant] = waiting[1:]
		} else {
			w.waiting[g.Tenant] = slices.Delete(waiting, i, i+1)
		}
	}
	for _, y := range plan.Yields {
		i := slices.IndexFunc(w.load.Held, func(h Held) bool { return h.Service == y.Service })
		w.load.Held[i].Yield = true
	}
	w.now = w.now.Add(time.Second)
	w.load.Held = slices.DeleteFunc(w.load.Held, func(h Held) bool {
		if w.work > 0 {
			if w.left[h.Service] -= time.Second; w.left[h.Service] <= 0 {
				return true
			}
		}
		if h.Yield {
			w.waiting[h.Tenant] = append(w.waiting[h.Tenant], Candidate{Tenant: h.Tenant, Service: h.Service, Pool: DefaultPool, Priority: h.Priority, Since: w.now, MaxDelay: w.limits[h.Service]})
		}
		return h.Yield
	})
}

// One tenant with 100,000 services that want to run, and all at once by their maximum delay, 99 others with 10 each: the others wait at most twice as long as
// they would without it.
func TestNoisyTenantDelaysNobody(t *testing.T) {
	crowd := make([]Candidate, 100_000)
	for i := range crowd {
		crowd[i] = Candidate{Tenant: ten("noisy"), Service: svc(fmt.Sprintf("n%06d", i)), Pool: DefaultPool, Since: noon, MaxDelay: time.Second}
	}
	for _, work := range []time.Duration{time.Second, 7 * time.Second, 40 * time.Second} {
		t.Run(work.String(), func(t *testing.T) {
			measure := func(noisy []Candidate) (p95, worst time.Duration) {
				w := newWorld(100, work)
				w.waiting[ten("noisy")] = slices.Clone(noisy)
				for range 15 { // it has all slots, for more than a short turn where the work is long
					if len(noisy) > 0 {
						w.second()
					} else {
						w.now = w.now.Add(time.Second)
					}
				}
				var quiet []service.ID
				for i := range 99 {
					for k := range 10 {
						s := svc(fmt.Sprintf("q%d.%d", i, k))
						quiet = append(quiet, s)
						w.enter(ten(fmt.Sprintf("quiet%d", i)), s, 2, 0)
					}
				}
				waiting := slices.Clone(quiet)
				for len(waiting) > 0 {
					w.second()
					waiting = slices.DeleteFunc(waiting, func(s service.ID) bool { _, ok := w.waited[s]; return ok })
				}
				var times []time.Duration
				for _, s := range quiet {
					times = append(times, w.waited[s])
				}
				slices.Sort(times)
				return times[len(times)*95/100], times[len(times)-1]
			}
			alone95, aloneWorst := measure(nil)
			p95, worst := measure(crowd)
			t.Logf("work %s: p95 %s alone, %s beside the noisy one; worst %s and %s", work, alone95, p95, aloneWorst, worst)
			if p95 > 2*alone95 || worst > 2*aloneWorst {
				t.Errorf("quiet tenants wait %s (worst %s), more than twice the %s (%s) without the noisy one", p95, worst, alone95, aloneWorst)
			}
		})
	}
}

// Services that never end on their own, more than there are slots, of any class and tenant: each gets its turn.
func TestNobodyStarves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(1, 4).Draw(t, "slots")
		w := newWorld(slots, 0)
		n := rapid.IntRange(1, 12).Draw(t, "services")
		for i := range n {
			w.enter(ten(fmt.Sprintf("t%d", rapid.IntRange(0, 3).Draw(t, "tenant"))), svc(fmt.Sprintf("s%d", i)), rapid.IntRange(0, 3).Draw(t, "class"),
				time.Duration(rapid.IntRange(0, 60).Draw(t, "most"))*time.Second)
		}
		// Three long turns to rise to the highest class, then one for everybody else before it.
		bound := time.Duration(4+n) * (LongTurn + 5*time.Second)
		for w.now.Sub(noon) < bound {
			w.second()
		}
		if len(w.waited) != n {
			t.Fatalf("%d of %d services had a turn within %s", len(w.waited), n, bound)
		}
		for _, c := range slices.Concat(slices.Collect(maps.Values(w.waiting))...) {
			if long := w.now.Sub(c.Since); long > bound {
				t.Fatalf("%s has waited %s for its next turn", short(c.Service), long)
			}
		}
	})
}

func BenchmarkPick(b *testing.B) {
	l := Load{Now: noon, Workers: []Worker{works("w", 256, DefaultPool)}}
	for i := range 1000 {
		for k := range 100 {
			l.Waiting = append(l.Waiting, waits(fmt.Sprintf("t%d", i), fmt.Sprintf("s%d.%d", i, k), DefaultPool, 2, time.Duration(k)))
		}
	}
	for b.Loop() {
		Pick(l)
	}
}
