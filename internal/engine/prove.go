// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Tuning of the proof.
const (
	proofRange    = 1000             // entities compared by one digest: what is read when one of them differs
	proofLook     = 30 * time.Second // how often a comparison that is asked for is looked for, apart from nudges
	proofSave     = time.Second      // how often its place is stored
	proofRest     = 9                // an unasked comparison rests so many times as long as it works
	proofSettle   = time.Second      // between two looks at a record that differs
	proofPatience = time.Minute      // how long a system may take to be read to its end
	proofTries    = 5                // looks at a record that keeps changing
	proofSamples  = 5000             // differences kept of each system and reason
	proofOpen     = 2000             // differences looked at together
	proofEarly    = time.Minute      // so much before it is due a service that runs on a schedule compares, as it will not be there then
)

// ProofTx is the transaction as the proof needs it.
type ProofTx interface {
	Now() time.Time
	// Proof reads where the service's proof stands; a service that has none gets one, due after a while.
	Proof(ctx context.Context, s service.ID) (Proof, error)
	// BeginProof notes that a comparison is under way; what the one before it found and did not complete goes. It is false when
	// the one that was asked for was cancelled meanwhile.
	BeginProof(ctx context.Context, g Guard, p Proof) (begun bool, err error)
	// SaveProof passes the guard and stores the comparison's place and what it found. goOn is false when somebody cancelled
	// it; asked says that somebody asked for one after it began.
	SaveProof(ctx context.Context, g Guard, p Proof, found []Difference) (goOn, asked bool, err error)
	// EndProof ends the comparison. With a result it is complete and replaces the one before; without, it was given up.
	EndProof(ctx context.Context, g Guard, p Proof, due time.Time) error
	// CountEntities estimates how many entities there are to compare.
	CountEntities(ctx context.Context, s service.ID) (int64, error)
	// CountSeat counts the records of the seat that are known by a link and not frozen.
	CountSeat(ctx context.Context, s service.ID, seat *Seat) (int64, error)
	// NextCompared reads the entities of the collection behind the id, in order, with all that explains differences. Deleted
	// ones are among them while a system has a record of them.
	NextCompared(ctx context.Context, s service.ID, collection string, after record.EntityID, limit int) (Compared, error)
	// CompareKeys reads the entities of the seat's records with these keys. What is held or dead of the keys is told for keys
	// without an entity, too.
	CompareKeys(ctx context.Context, s service.ID, seat *Seat, keys []record.Key) (Compared, error)
	// Healed lists what the comparison took in of the entities, by system.
	Healed(ctx context.Context, s service.ID, pass uuid.UUID, ids []record.EntityID) (map[record.System]map[record.EntityID]Healing, error)
	Emit(ctx context.Context, typ string, service uuid.UUID, data any) error
}

// Healing is drift of an entity that a comparison took in.
type Healing struct {
	Fields []string // that differed, in the order of their names; none where it was the whole record
	Made   bool     // no entity had known of it
}

// Proving lets the engine prove equality, with these transactions.
func (e *Engine) Proving(inTx func(context.Context, tenant.ID, func(ProofTx) error) error) *Engine {
	e.inProof = inTx
	return e
}

func (f *flow) inProof(ctx context.Context, fn func(ProofTx) error) error {
	return f.engine.inProof(ctx, f.tenant, fn)
}

// mustProve says whether the flow has to stay for a comparison.
func (f *flow) mustProve() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.proving
}

// wantsProof notes, when a flow begins, whether it is to compare.
func (f *flow) wantsProof(ctx context.Context) error {
	if f.engine.inProof == nil {
		return nil
	}
	return f.inProof(ctx, func(tx ProofTx) error {
		p, err := tx.Proof(ctx, f.guard.Service)
		f.proving = p.Running() || !f.due(p).After(tx.Now())
		return err
	})
}

// due is when the flow compares unasked. One that ends with its run does so a little early: else a comparison as often as the
// runs, each of which begins just before it is due, would be every second run's.
func (f *flow) due(p Proof) time.Time {
	if f.plan.Realtime || f.plan.Proof <= 0 || p.Result == nil {
		return p.DueAt
	}
	return p.DueAt.Add(-min(proofEarly, f.plan.Proof/10))
}

// prove compares whenever it is asked for or due, for as long as the flow lives.
func (f *flow) prove(ctx context.Context) error {
	for _, l := range f.lanes { // what a first sync has not read yet is no drift
		if ctx.Err() != nil {
			return nil // both may be there: always the same answer
		}
		select {
		case <-l.complete:
		case <-ctx.Done():
			return nil
		}
		woke(ctx)
	}
	for ctx.Err() == nil {
		var p Proof
		wait := proofLook
		err := f.inProof(ctx, func(tx ProofTx) (err error) {
			p, err = tx.Proof(ctx, f.guard.Service)
			wait = min(wait, f.due(p).Sub(tx.Now()))
			return err
		})
		if err == nil && (p.Running() || wait <= 0) && !(f.plan.Proof == 0 && !p.Running()) {
			err = f.compare(ctx, p)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case isStop(err):
			return err
		case err != nil: // the data flows on; the comparison goes on later where it was
			f.log.Warn("comparing the systems", "error", err)
			wait = proofLook
		}
		f.mu.Lock()
		stayed := f.proving
		f.proving = false
		f.mu.Unlock()
		if stayed {
			signal(f.nudged)
		}
		if !sleep(ctx, max(wait, proofSettle), f.proof) {
			return nil
		}
	}
	return nil
}

// comparison is a pass under way.
type comparison struct {
	*flow
	Proof
	asked   bool // somebody waits: it does not rest
	found   []Difference
	savedAt time.Time
	stopped bool // somebody cancelled it
	resumed bool // another one, or this worker at another time, began it
	anew    bool // somebody asked for one that begins later
	seats   map[*lane]*SeatProof
	digests map[*lane]bool
	scanned map[*lane]map[record.EntityID]Standing // what scans found of records with an entity
	absent  map[*lane]int64                        // records that were not there any more
}

// compare carries a comparison through to its end, or goes on with one that was stopped.
func (f *flow) compare(ctx context.Context, p Proof) error {
	c := &comparison{flow: f, Proof: p, asked: p.AskedAt != nil || p.AskedBy != "", seats: make(map[*lane]*SeatProof), digests: make(map[*lane]bool),
		scanned: make(map[*lane]map[record.EntityID]Standing), absent: make(map[*lane]int64)}
	if c.Progress == nil || c.Progress.Revision != f.plan.Revision || c.Pass == uuid.Nil || p.AskedAt != nil && c.Pass != uuid.Nil && p.AskedAt.After(*c.StartedAt) {
		if begun, err := c.begin(ctx); err != nil || !begun {
			return err
		}
	} else {
		c.resumed = true
	}
	for i := range c.Progress.Seats {
		s := &c.Progress.Seats[i]
		s.samples = make(map[Reason]int)
		for _, l := range f.lanes {
			if l.System == s.System && l.Object == s.Object {
				c.seats[l] = s
				_, able := l.Open.(connector.Digester)
				c.digests[l] = able && len(l.Refs) == 0 && s.How != "records"
			}
		}
	}
	for c.Progress.Collection < len(f.plan.Collections) && !c.stopped {
		if err := c.collection(ctx, f.plan.Collections[c.Progress.Collection]); err != nil || ctx.Err() != nil {
			return err
		}
		if !c.stopped {
			c.step("scan", 0)
			c.Progress.Collection++
		}
	}
	return c.finish(ctx)
}

func (c *comparison) begin(ctx context.Context) (begun bool, err error) {
	c.Pass = newID()
	c.Progress = &ProofProgress{Revision: c.plan.Revision, Stage: "scan"}
	for _, l := range c.lanes {
		s := SeatProof{System: l.System, Object: l.Object, Collection: l.Collection.Name, How: "records"}
		_, digests := l.Open.(connector.Digester)
		_, reads := l.Open.(connector.KeyReader)
		switch {
		case digests && reads && len(l.Refs) > 0:
			s.Why = "Its records refer to others, by keys that are other ones in each system, so they are read."
		case digests && reads:
			s.How = "digests"
		case !reads:
			s.How, s.Why = "none", "The connector cannot read single records, so what it was sent cannot be compared with what it holds."
		default:
			s.Why = "The system does not compute digests, so its records are read."
		}
		c.Progress.Seats = append(c.Progress.Seats, s)
	}
	return begun, c.inProof(ctx, func(tx ProofTx) (err error) {
		now := tx.Now()
		c.StartedAt = &now
		if c.Progress.Estimate, err = tx.CountEntities(ctx, c.guard.Service); err != nil {
			return err
		}
		if begun, err = tx.BeginProof(ctx, c.guard, c.Proof); err != nil || !begun {
			return err
		}
		return tx.Emit(ctx, "proof.started", uuid.UUID(c.guard.Service), map[string]any{"total": c.Progress.Estimate, "by": c.AskedBy})
	})
}

func (c *comparison) step(stage string, seat int) {
	c.Progress.Stage, c.Progress.Seat, c.Progress.Place, c.Progress.After = stage, seat, nil, nil
}

// collection compares one: first the systems that show all their records but make no digests, then the entities, then the
// records that no entity knows of in the others.
func (c *comparison) collection(ctx context.Context, coll *Collection) error {
	for _, stage := range []string{"scan", "entities", "rest"} {
		if c.Progress.Stage != stage {
			continue
		}
		if stage == "entities" {
			if err := c.entities(ctx, coll); err != nil || ctx.Err() != nil || c.stopped {
				return err
			}
			c.step("rest", 0)
			continue
		}
		for c.Progress.Seat < len(c.lanes) {
			l := c.lanes[c.Progress.Seat]
			scanner, ok := l.Open.(connector.Scanner)
			if ok && l.Collection == coll && c.digests[l] == (stage == "rest") && c.seats[l].Failed == "" && c.seats[l].How != "none" {
				if err := c.scan(ctx, l, scanner); err != nil || ctx.Err() != nil || c.stopped {
					return err
				}
				// The next step, not the end of this one: whoever goes on with the comparison would begin it again, and count twice.
				c.step(stage, c.Progress.Seat+1)
				if err := c.save(ctx, true); err != nil || c.stopped {
					return err
				}
				continue
			}
			c.step(stage, c.Progress.Seat+1)
		}
		if stage == "scan" {
			c.step("entities", 0)
		}
	}
	return nil
}

// entities compares them range by range with every system.
func (c *comparison) entities(ctx context.Context, coll *Collection) error {
	var lanes []*lane
	byKey := make(map[*lane]bool) // whose records are read or digested here
	for _, l := range c.lanes {
		if l.Collection != coll {
			continue
		}
		lanes = append(lanes, l)
		s := c.seats[l]
		if s.How == "none" || s.Failed != "" {
			continue
		}
		byKey[l] = true
		if _, scans := l.Open.(connector.Scanner); scans && !c.digests[l] {
			// All that is there was seen already; only when something is not there the records are asked for by key.
			var known int64
			err := c.inProof(ctx, func(tx ProofTx) (err error) { known, err = tx.CountSeat(ctx, c.guard.Service, l.Seat); return err })
			if err != nil {
				return err
			}
			byKey[l] = s.Seen < known
		}
	}
	after := record.EntityID{}
	if c.Progress.After != nil {
		after = record.EntityID(*c.Progress.After)
	}
	for !c.stopped && ctx.Err() == nil {
		began := time.Now()
		var page Compared
		err := c.inProof(ctx, func(tx ProofTx) (err error) {
			page, err = tx.NextCompared(ctx, c.guard.Service, coll.Name, after, proofRange)
			return err
		})
		if err != nil || len(page.Entities) == 0 {
			return err
		}
		healed, err := c.healed(ctx, page.Entities)
		if err != nil {
			return err
		}
		differs := make(map[record.EntityID]bool)
		for _, l := range lanes {
			drifted := c.scanned[l]
			if byKey[l] && c.seats[l].Failed == "" {
				found, err := c.records(ctx, l, page.Entities)
				if err != nil {
					return err
				}
				if len(found) > 0 {
					drifted = maps.Clone(drifted)
					if drifted == nil {
						drifted = found
					} else {
						maps.Copy(drifted, found)
					}
				}
			}
			if before := healed[l.System]; len(before) > 0 {
				all := make(map[record.EntityID]Standing, len(drifted)+len(before))
				for id, h := range before {
					all[id] = Standing{Reason: ByDrift, Fields: h.Fields}
				}
				maps.Copy(all, drifted)
				drifted = all
			}
			if err := c.stand(ctx, l, &page, drifted, differs); err != nil {
				return err
			}
		}
		for _, e := range page.Entities {
			if e.DeletedAt == nil {
				c.Progress.Total++
				if !differs[e.ID] {
					c.Progress.Equal++
				}
			}
		}
		after = page.Entities[len(page.Entities)-1].ID
		last := uuid.UUID(after)
		c.Progress.After = &last
		c.Progress.Done += int64(len(page.Entities))
		if err := c.save(ctx, false); err != nil {
			return err
		}
		if len(page.Entities) < proofRange {
			return nil
		}
		c.rest(ctx, time.Since(began))
	}
	return nil
}

// healed is what the comparison took in of the entities before it was handed over: it was not counted then, and is equal now.
func (c *comparison) healed(ctx context.Context, entities []*record.Entity) (out map[record.System]map[record.EntityID]Healing, err error) {
	if !c.resumed || len(entities) == 0 {
		return nil, nil
	}
	ids := make([]record.EntityID, len(entities))
	for i, e := range entities {
		ids[i] = e.ID
	}
	return out, c.inProof(ctx, func(tx ProofTx) error {
		out, err = tx.Healed(ctx, c.guard.Service, c.Pass, ids)
		return err
	})
}

// rest leaves the systems to others for a while, unless somebody waits.
func (c *comparison) rest(ctx context.Context, worked time.Duration) {
	if !c.asked {
		sleep(ctx, min(worked*proofRest, 10*time.Second), c.proof)
	}
}

// records compares the records that the entities have in the lane's system with their shadows: by digest where the system
// makes one, and one by one where that differs. It returns what really differed and was taken in.
func (c *comparison) records(ctx context.Context, l *lane, entities []*record.Entity) (map[record.EntityID]Standing, error) {
	s := c.seats[l]
	var here []*record.Entity
	for _, e := range entities {
		if k := e.Links[l.System]; k != nil && k.State != record.Frozen && e.DeletedAt == nil {
			here = append(here, e)
		}
	}
	if len(here) == 0 {
		return nil, nil
	}
	s.Records += int64(len(here))
	rest := here
	if c.digests[l] {
		fields, natives := l.compared()
		want, keys, unknown := rangeDigest(l.Seat, here, fields, natives)
		var have connector.Digest
		exact := false
		ok, err := c.asking(ctx, l, func() (err error) {
			have, exact, err = l.Open.(connector.Digester).Digest(ctx, l.Object, natives, keys)
			return err
		})
		if err != nil || !ok {
			return nil, err
		}
		switch {
		case !exact:
			c.digests[l] = false
			s.How, s.Why = "records", "A mapped column has a type whose digest the database cannot make, so its records are read."
		case have == want:
			s.Ranges++
			rest = unknown
		default:
			s.Ranges++
			s.Differing++
		}
	}
	if len(rest) == 0 {
		return nil, nil
	}
	keys := make([]record.Key, len(rest))
	byKey := make(map[record.Key]*record.Entity, len(rest))
	for i, e := range rest {
		keys[i] = e.Links[l.System].Key
		byKey[keys[i]] = e
	}
	suspects := make(map[record.Key][]byte)
	for part := range slices.Chunk(keys, 500) {
		var changes []record.Change
		ok, err := c.asking(ctx, l, func() (err error) {
			if changes, err = l.Open.(connector.KeyReader).ReadKeys(ctx, l.Object, l.Map.Natives(), part); err == nil {
				err = l.Inward(ctx, changes)
			}
			return err
		})
		if err != nil || !ok {
			return nil, err
		}
		if err := l.sameNames(ctx, rest, changes); err != nil {
			return nil, err
		}
		s.Read += int64(len(changes))
		mapped := MapAll(l.Seat, changes)
		for i := range mapped {
			if e := byKey[mapped[i].Key]; e != nil && len(differing(l.Seat, e, &mapped[i])) > 0 {
				suspects[mapped[i].Key] = reading(mapped[i].Change)
			}
		}
	}
	return c.settle(ctx, l, suspects)
}

// reading is what a record was seen as, to compare with what it is seen as later.
func reading(c *record.Change) []byte {
	if c.Op == record.Delete {
		return []byte("-")
	}
	return record.AppendJSON(nil, map[string]any(c.Fields))
}

// asking asks a system, some times over when it fails. ok is false when it goes on failing: then nothing can be said of it
// in this comparison.
func (c *comparison) asking(ctx context.Context, l *lane, ask func() error) (ok bool, err error) {
	for try := 0; ; try++ {
		began := time.Now()
		err := ask()
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case err == nil:
			if took := time.Since(began); !c.digests[l] {
				c.rest(ctx, took)
			}
			return true, nil
		case isStop(err):
			return false, err
		}
		problem := connector.Classify(err)
		if problem.Class == connector.Drift {
			return false, l.flow.trouble(ctx, l.System, err) // the plan is compiled anew
		}
		if try == 3 {
			c.seats[l].Failed = problem.Message
			return false, nil
		}
		sleep(ctx, max(backoff(try), min(problem.After, time.Minute)), nil)
	}
}

// settle looks at records that differed again, after what was under way has arrived: a record that still is what it was seen
// as, while its system was read to its end twice, is drift. It is taken in as if it had just arrived, by the rules for
// conflicts and under the brake. It returns how the entities stand that were not equal.
func (c *comparison) settle(ctx context.Context, l *lane, suspects map[record.Key][]byte) (map[record.EntityID]Standing, error) {
	out := make(map[record.EntityID]Standing)
	if len(suspects) == 0 {
		return out, nil
	}
	seen := make(map[record.Key]int)
	for try := 0; len(suspects) > 0 && ctx.Err() == nil; try++ {
		if try > 0 && !sleep(ctx, proofSettle, nil) {
			return out, ctx.Err()
		}
		if !c.caughtUp(ctx, l) {
			break
		}
		if err := c.look(ctx, l, suspects, seen, try == proofTries, out); err != nil {
			return out, err
		}
	}
	return out, ctx.Err()
}

// caughtUp waits until the system was read to its end, beginning now.
func (c *comparison) caughtUp(ctx context.Context, l *lane) bool {
	asked := time.Now()
	for time.Since(asked) < proofPatience {
		l.mu.Lock()
		done := l.readAt.After(asked) || !l.Reads
		l.mu.Unlock()
		if done {
			return true
		}
		signal(l.wake)
		if !sleep(ctx, 20*time.Millisecond, nil) {
			return false
		}
	}
	return false
}

// look reads the suspects under the lane's lock, so that nothing of ours is under way, and drops or decides about them. Those
// that it is not sure of stay.
func (c *comparison) look(ctx context.Context, l *lane, suspects map[record.Key][]byte, seen map[record.Key]int, last bool, out map[record.EntityID]Standing) error {
	l.lock.take(ctx)
	defer l.lock.release()
	if err := l.clearDoubts(ctx); err != nil {
		if isStop(err) {
			return err
		}
		return nil // it fails; the next look, or the next comparison, will tell
	}
	for keys := range slices.Chunk(sortedKeys(suspects), proofOpen) {
		var changes []record.Change
		ok, err := c.asking(ctx, l, func() (err error) {
			if changes, err = l.Open.(connector.KeyReader).ReadKeys(ctx, l.Object, l.Map.Natives(), keys); err == nil {
				err = l.Inward(ctx, changes)
			}
			return err
		})
		if err != nil || !ok {
			clear(suspects)
			return err
		}
		var known Compared
		compared := func() error {
			return c.inProof(ctx, func(tx ProofTx) (err error) {
				known, err = tx.CompareKeys(ctx, c.guard.Service, l.Seat, keys)
				return err
			})
		}
		if err := compared(); err != nil {
			return err
		}
		if err := l.sameNames(ctx, known.Entities, changes); err != nil {
			return err
		}
		byKey := make(map[record.Key]*record.Entity)
		for _, e := range known.Entities {
			byKey[e.Links[l.System].Key] = e
		}
		mapped := MapAll(l.Seat, changes)
		var take []record.Change
		fields := make(map[record.Key][]string)
		for i := range mapped {
			m := &mapped[i]
			e, now := byKey[m.Key], reading(m.Change)
			switch {
			case e == nil && m.Op == record.Delete, e != nil && len(differing(l.Seat, e, m)) == 0,
				e != nil && e.Links[l.System].State == record.Frozen, e != nil && e.DeletedAt != nil:
				delete(suspects, m.Key)
				continue
			case known.DeadIn[l.System][m.Key], known.Held[l.System][m.Key]:
				delete(suspects, m.Key) // explained
				if e == nil {
					c.note(l, ByQuarantine, nil, m.Key, nil, known.Held[l.System][m.Key])
				}
				continue
			case string(now) != string(suspects[m.Key]) && !last:
				suspects[m.Key], seen[m.Key] = now, 0
				continue
			case last:
				delete(suspects, m.Key)
				if e != nil {
					out[e.ID] = Standing{Reason: ByPending, Fields: differing(l.Seat, e, m)}
				}
				continue
			}
			if seen[m.Key]++; seen[m.Key] < 2 {
				continue
			}
			delete(suspects, m.Key)
			take = append(take, *m.Change)
			if e != nil {
				fields[m.Key] = differing(l.Seat, e, m)
			}
		}
		if len(take) == 0 {
			continue
		}
		if err := c.missed(ctx, l, take); err != nil {
			return err
		}
		if err := l.intake(ctx, taking{changes: take, proof: c.Pass}); err != nil {
			return err
		}
		if err := l.judge(ctx); err != nil {
			return err
		}
		before := byKey
		if err := compared(); err != nil {
			return err
		}
		byKey = make(map[record.Key]*record.Entity)
		for _, e := range known.Entities {
			byKey[e.Links[l.System].Key] = e
		}
		if err := c.taken(ctx, l, take, before, byKey, fields, &known, out); err != nil {
			return err
		}
	}
	return nil
}

// missed makes deletions that nobody told of a matter of the brake when they are more than a few, or all there were: a
// system that turned empty deletes nothing.
func (c *comparison) missed(ctx context.Context, l *lane, take []record.Change) error {
	n := int64(0)
	for i := range take {
		if take[i].Op == record.Delete {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	c.absent[l] += n
	var known int64
	err := c.inProof(ctx, func(tx ProofTx) (err error) { known, err = tx.CountSeat(ctx, c.guard.Service, l.Seat); return err })
	if err != nil || c.absent[l] <= 10 && known > n {
		return err
	}
	for i := range take {
		take[i].Absent = take[i].Op == record.Delete
	}
	return nil
}

// taken notes what became of records that were taken in.
func (c *comparison) taken(ctx context.Context, l *lane, take []record.Change, before, after map[record.Key]*record.Entity, fields map[record.Key][]string, known *Compared, out map[record.EntityID]Standing) error {
	drifted := 0
	for i := range take {
		key := take[i].Key
		e := cmp.Or(before[key], after[key])
		st := Standing{Reason: ByDrift, Fields: fields[key]}
		switch {
		case known.DeadIn[l.System][key]:
			st.Reason = ByQuarantine
		case known.Held[l.System][key]:
			st.Reason = ByHold
		case e == nil:
			st.Reason = ByUnknown
		}
		if st.Reason == ByDrift {
			drifted++
		}
		if e != nil && (before[key] != nil || c.Progress.Stage == "scan") {
			out[e.ID] = st // the entities are still to come
		} else {
			c.note(l, st.Reason, e, key, st.Fields, false)
		}
	}
	if drifted == 0 {
		return nil
	}
	return c.inProof(ctx, func(tx ProofTx) error {
		return tx.Emit(ctx, "proof.drift", uuid.UUID(c.guard.Service), map[string]any{"system": l.System, "object": l.Object, "records": drifted, "key": take[0].Key})
	})
}

// note counts a difference of the lane's system and keeps it as an example.
func (c *comparison) note(l *lane, r Reason, e *record.Entity, key record.Key, fields []string, held bool) {
	s := c.seats[l]
	if held {
		r = ByHold
	}
	s.count(r)
	if r == ByDrift {
		s.Healed++
	}
	if s.samples[r]++; s.samples[r] > proofSamples {
		return
	}
	d := Difference{ID: newID(), System: l.System, Object: l.Object, Collection: l.Collection.Name, Key: key, Reason: r, Healed: r == ByDrift}
	for _, f := range fields {
		if f != record.WholeRecord {
			d.Fields = append(d.Fields, f)
		}
	}
	if e != nil {
		d.Entity, d.Title = e.ID, e.MatchKey
	}
	c.found = append(c.found, d)
}

// stand counts how the page's entities stand towards the lane's system, and mends duties that were lost.
func (c *comparison) stand(ctx context.Context, l *lane, page *Compared, drifted map[record.EntityID]Standing, differs map[record.EntityID]bool) error {
	s := c.seats[l]
	var lost []*record.Entity
	for _, e := range page.Entities {
		st, moved := drifted[e.ID]
		if !moved {
			st = Explain(e, l.Seat, page)
		}
		switch {
		case st.Equal():
			if e.DeletedAt == nil {
				s.Equal++
			}
			continue
		case st.Lost:
			lost = append(lost, e)
			continue
		}
		differs[e.ID] = true
		c.note(l, st.Reason, e, keyIn(e, l.System), st.Fields, false)
	}
	if len(lost) == 0 {
		return nil
	}
	// Looked at again, one after the other: a duty may just be moving from one table to another.
	if !sleep(ctx, proofSettle, nil) {
		return ctx.Err()
	}
	l.lock.take(ctx)
	defer l.lock.release()
	var owed []record.EntityID
	for _, e := range lost {
		var now Compared
		err := c.inProof(ctx, func(tx ProofTx) (err error) {
			before := e.ID
			for i := len(before) - 1; i >= 0; i-- { // the id just before it
				before[i]--
				if before[i] != 0xff {
					break
				}
			}
			now, err = tx.NextCompared(ctx, c.guard.Service, l.Collection.Name, before, 1)
			return err
		})
		if err != nil {
			return err
		}
		if len(now.Entities) == 0 || now.Entities[0].ID != e.ID {
			continue
		}
		st := Explain(now.Entities[0], l.Seat, &now)
		switch {
		case st.Equal():
			if e.DeletedAt == nil {
				s.Equal++
			}
			continue
		case st.Lost:
			owed = append(owed, e.ID)
		}
		differs[e.ID] = true
		c.note(l, st.Reason, e, keyIn(e, l.System), st.Fields, false)
	}
	if len(owed) == 0 {
		return nil
	}
	err := c.inTx(ctx, func(tx Tx) error {
		if err := tx.Guard(ctx, c.guard); err != nil {
			return err
		}
		return tx.SaveIntake(ctx, c.guard, Intake{Seat: l.Seat, Owed: map[record.System][]record.EntityID{l.System: owed}})
	})
	signal(l.duty)
	return err
}

func keyIn(e *record.Entity, s record.System) record.Key {
	if l := e.Links[s]; l != nil {
		return l.Key
	}
	return ""
}

// scan reads all records of a system: to compare them, where the system makes no digests, and to find those that no entity
// knows of.
func (c *comparison) scan(ctx context.Context, l *lane, scanner connector.Scanner) error {
	s := c.seats[l]
	natives := l.Map.Natives()
	whole := !c.digests[l]
	if !whole {
		natives = l.Info.Key
		// As many records as links, all of which were compared: there are no others.
		var have, known int64
		ok, err := c.asking(ctx, l, func() (err error) { have, err = l.Open.(connector.Digester).Count(ctx, l.Object); return err })
		if err != nil || !ok {
			return err
		}
		err = c.inProof(ctx, func(tx ProofTx) (err error) { known, err = tx.CountSeat(ctx, c.guard.Service, l.Seat); return err })
		if err != nil || have == known {
			return err
		}
	}
	for !c.stopped && ctx.Err() == nil {
		began := time.Now()
		var page connector.Scanned
		ok, err := c.asking(ctx, l, func() (err error) {
			page, err = scanner.Scan(ctx, connector.ScanRequest{Object: l.Object, Fields: natives, Place: c.Progress.Place, Limit: snapshotBatch})
			if err == nil {
				err = l.Inward(ctx, page.Records)
			}
			return err
		})
		if err != nil || !ok {
			return err
		}
		keys := make([]record.Key, len(page.Records))
		for i := range page.Records {
			keys[i] = page.Records[i].Key
		}
		var known Compared
		err = c.inProof(ctx, func(tx ProofTx) (err error) {
			known, err = tx.CompareKeys(ctx, c.guard.Service, l.Seat, keys)
			return err
		})
		if err == nil {
			err = l.sameNames(ctx, known.Entities, page.Records)
		}
		if err != nil {
			return err
		}
		byKey := make(map[record.Key]*record.Entity)
		for _, e := range known.Entities {
			byKey[e.Links[l.System].Key] = e
		}
		healed, err := c.healed(ctx, known.Entities)
		if err != nil {
			return err
		}
		suspects, strangers := make(map[record.Key][]byte), []record.Key(nil)
		mapped := MapAll(l.Seat, page.Records)
		for i := range mapped {
			m := &mapped[i]
			e := byKey[m.Key]
			switch {
			case e == nil:
				strangers = append(strangers, m.Key)
			case !whole:
				if healed[l.System][e.ID].Made { // on this page, whose place was not stored
					c.note(l, ByDrift, e, m.Key, nil, false)
				}
			default:
				if e.Links[l.System].State != record.Frozen {
					s.Seen++
					s.Records++
				}
				if len(differing(l.Seat, e, m)) > 0 {
					suspects[m.Key] = reading(m.Change)
				}
			}
		}
		if whole {
			s.Read += int64(len(page.Records))
		}
		if err := c.strangers(ctx, l, strangers, &known, suspects); err != nil {
			return err
		}
		found, err := c.settle(ctx, l, suspects)
		if err != nil {
			return err
		}
		if c.scanned[l] == nil {
			c.scanned[l] = make(map[record.EntityID]Standing)
		}
		maps.Copy(c.scanned[l], found)
		c.Progress.Place = page.Next
		if page.Next == nil {
			return nil
		}
		if err := c.save(ctx, false); err != nil {
			return err
		}
		c.rest(ctx, time.Since(began))
	}
	return nil
}

// strangers sorts out records that no entity knows of: explained ones are noted, the others are suspects.
func (c *comparison) strangers(ctx context.Context, l *lane, keys []record.Key, known *Compared, suspects map[record.Key][]byte) error {
	var open []record.Key
	for _, k := range keys {
		if known.DeadIn[l.System][k] || known.Held[l.System][k] {
			c.note(l, ByQuarantine, nil, k, nil, known.Held[l.System][k])
			continue
		}
		open = append(open, k)
	}
	if !l.Reads && len(open) > 0 { // nobody takes records from it
		// One that was just written has its link once the writing is settled, which the lane's lock waits for.
		l.lock.take(ctx)
		defer l.lock.release()
		var now Compared
		err := c.inProof(ctx, func(tx ProofTx) (err error) {
			now, err = tx.CompareKeys(ctx, c.guard.Service, l.Seat, open)
			return err
		})
		if err != nil {
			return err
		}
		ours := make(map[record.Key]bool, len(now.Entities))
		for _, e := range now.Entities {
			ours[e.Links[l.System].Key] = true
		}
		for _, k := range open {
			if !ours[k] {
				c.note(l, ByUnknown, nil, k, nil, false)
			}
		}
		return nil
	}
	for part := range slices.Chunk(open, 500) {
		var changes []record.Change
		ok, err := c.asking(ctx, l, func() (err error) {
			if changes, err = l.Open.(connector.KeyReader).ReadKeys(ctx, l.Object, l.Map.Natives(), part); err == nil {
				err = l.Inward(ctx, changes)
			}
			return err
		})
		if err != nil || !ok {
			return err
		}
		for i := range changes {
			if changes[i].Op == record.Upsert {
				suspects[changes[i].Key] = reading(&changes[i])
			}
		}
	}
	return nil
}

// save stores the place now and then, with what was found.
func (c *comparison) save(ctx context.Context, now bool) error {
	if !now && time.Since(c.savedAt) < proofSave && len(c.found) < proofOpen {
		return nil
	}
	return c.inProof(ctx, func(tx ProofTx) error {
		goOn, asked, err := tx.SaveProof(ctx, c.guard, c.Proof, c.found)
		if err != nil {
			return err
		}
		c.savedAt, c.found, c.anew = time.Now(), nil, asked && !c.asked
		c.stopped = !goOn || c.anew
		return tx.Emit(ctx, "proof.progress", uuid.UUID(c.guard.Service), map[string]any{"done": c.Progress.Done, "total": c.Progress.Estimate, "stage": c.Progress.Stage})
	})
}

// finish stores what a complete comparison found, or that it was cancelled.
func (c *comparison) finish(ctx context.Context) error {
	if !c.stopped {
		if err := c.save(ctx, true); err != nil {
			return err
		}
	}
	if c.anew { // somebody asked for one that begins later
		signal(c.proof)
		return nil
	}
	every := c.plan.Proof
	if every <= 0 { // for 0 it is looked at again then; nothing is done unless it is asked for
		every = time.Hour
		for _, s := range c.Progress.Seats {
			if s.How == "records" {
				every = 24 * time.Hour
			}
		}
	}
	return c.inProof(ctx, func(tx ProofTx) error {
		p, data := c.Proof, map[string]any{}
		p.Result = nil
		event := "proof.cancelled"
		if !c.stopped {
			r := &ProofResult{Pass: c.Pass, AsOf: *c.StartedAt, CompletedAt: tx.Now(), Revision: c.Progress.Revision, Total: c.Progress.Total, Equal: c.Progress.Equal, Seats: c.Progress.Seats}
			for i := range r.Seats {
				r.Drift += r.Seats[i].Reasons[ByDrift]
				r.Healed += r.Seats[i].Healed
			}
			p.Result, event = r, "proof.completed"
			data = map[string]any{"equal": r.Equal, "total": r.Total, "drift": r.Drift, "healed": r.Healed, "asOf": r.AsOf.UTC().Format(time.RFC3339Nano), "proven": r.Proven()}
		}
		if err := tx.EndProof(ctx, c.guard, p, tx.Now().Add(every)); err != nil {
			return fmt.Errorf("ending a proof: %w", err)
		}
		return tx.Emit(ctx, event, uuid.UUID(c.guard.Service), data)
	})
}
