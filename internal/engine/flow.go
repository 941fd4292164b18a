// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Tuning of a flow. Sizes are records, times are what a person would wait for.
const (
	defaultBatch  = 500
	snapshotBatch = 2000
	backlogBatch  = 1000                  // of changes, while one page follows the other
	queueDepth    = 4                     // attempts waiting for a sender; more than that goes to the backlog
	controlEvery  = time.Second           // how soon a pause, a new revision or a queued run is noticed by an idle flow
	quickEvery    = 50 * time.Millisecond // how often the end of a run is looked for
	sweepEvery    = 30 * time.Second      // reading all the same, though a watcher says that nothing changed
	moveEvery     = 10 * time.Second      // saving a cursor that moved over nothing of interest
	ackEvery      = time.Second           // telling a system what it need not keep
	choreEvery    = 10 * time.Second
	shapeEvery    = 30 * time.Second       // how long a schema change may go unnoticed that breaks nothing
	nudgeEvery    = 250 * time.Millisecond // telling browsers
	firstBackoff  = 200 * time.Millisecond
	maxBackoff    = 30 * time.Second
	maxSkew       = 10 * time.Minute // how far the clocks of two workers may be apart
	maxMoved      = 10               // reads of a record that never holds still before a person is asked
)

// Opener opens a service's systems; package connection has it.
type Opener interface {
	// OpenSystem opens the system of that id in the document. consumer names the service towards the system, detection is
	// the document's wish. The class is the connector's price class.
	OpenSystem(ctx context.Context, t tenant.ID, s service.ID, doc *service.Document, system, consumer string) (connector.System, connector.Spec, error)
}

// Engine carries services' data.
type Engine struct {
	inTx    func(context.Context, tenant.ID, func(Tx) error) error
	inProof func(context.Context, tenant.ID, func(ProofTx) error) error           // nil: equality is not proven
	chore   func(context.Context, tenant.ID, service.ID, *service.Document) error // done now and then for a service; nil for none
	open    Opener
	log     *slog.Logger

	mu    sync.Mutex
	flows map[service.ID]chan struct{} // what this process carries, to be nudged

	// Seam is called at named points between steps; tests crash there. Nil in production.
	Seam func(point string)
	// Woke is called by each goroutine of a flow, by its name, when it starts and whenever it was woken; see turn.go. Nil in
	// production.
	Woke func(who string)
}

// New makes an engine. inTx runs a transaction bound to a tenant.
func New(inTx func(context.Context, tenant.ID, func(Tx) error) error, open Opener, log *slog.Logger) *Engine {
	return &Engine{inTx: inTx, open: open, log: log, flows: make(map[service.ID]chan struct{})}
}

// Nudge makes the flow of a service, if it is carried here, look at once for what was asked of it: a run, a decision, a
// pause. It never blocks.
func (e *Engine) Nudge(s service.ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.flows[s]; c != nil {
		signal(c)
	}
}

func (e *Engine) seam(point string) {
	if e.Seam != nil {
		e.Seam(point)
	}
}

// Carry executes the service's queued runs and, when it is realtime, follows its systems until ctx ends. The caller holds
// the service's lease with that fence. again says that the service should be carried again at once: it has a new revision.
// An error means that it could not be carried now; it is recorded with the service's cursors as well.
func (e *Engine) Carry(ctx context.Context, t tenant.ID, s service.ID, fence int64) (again bool, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	nudged := make(chan struct{}, 1)
	e.mu.Lock()
	e.flows[s] = nudged
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.flows[s] == nudged {
			delete(e.flows, s)
		}
	}()
	f := &flow{engine: e, tenant: t, guard: Guard{Service: s, Fence: fence}, stop: stop, nudged: nudged, proof: make(chan struct{}, 1), linked: make(chan struct{}, 1), shapes: make(chan struct{}, 1),
		log: e.log.With("tenant", t.String(), "service", s.String())}
	err = f.carry(ctx)
	if cause := context.Cause(ctx); cause != nil && (err == nil || errors.Is(err, context.Canceled)) {
		err = cause
	}
	switch {
	case errors.Is(err, ErrRevised):
		return true, nil
	case errors.Is(err, ErrPaused), errors.Is(err, ErrFenced), errors.Is(err, errDone), errors.Is(err, context.Canceled):
		return false, nil
	}
	return false, err
}

var errUnsettled = errors.New("engine: a write was not settled")

var errDone = errors.New("engine: nothing more to do")

// flow is one service in motion on this worker.
type flow struct {
	engine *Engine
	tenant tenant.ID
	guard  Guard
	log    *slog.Logger
	stop   context.CancelCauseFunc
	nudged chan struct{}
	proof  chan struct{} // somebody may want equality proven
	shapes chan struct{} // a schema change may have been decided about
	linked chan struct{} // links came or went that records with references may wait for
	plan   *Plan
	doc    *service.Document
	lag    lagState          // of control
	moved  map[uuid.UUID]int // refusals with nothing to set back, as of so many tries: the record moved on since, or waits; of control
	lanes  []*lane
	asking []*asking       // the lookup services
	asked  chan struct{}   // a run beside the stream may be wanted
	commit map[string]lock // per collection: records of two systems that meet for the first time meet one after the other

	// sole is, per collection, the one system whose records make all that there is of it, as long as that is so: "" when there
	// is nothing yet, mixed when nothing is known. Under the collection's commit lock.
	sole map[string]record.System

	mu       sync.Mutex
	run      *service.Run  // the run being executed; nil between runs
	aside    service.RunID // the run being executed beside the stream; zero for none
	runSince time.Time
	dead     bool  // there may be open inward dead letters
	refused  bool  // and outward ones
	holding  bool  // the brake may hold something
	proving  bool  // the flow stays until equality is proven
	links    int64 // how often links came or went
	untied   int64 // the last of these after which no record was found whose wait is over
	troubled map[record.System]bool
	objects  map[record.System][]record.Object
}

// lane is one object of one system in motion.
//
// Its lock is held while it is read and the page committed, and from the load of an attempt until its receipts are
// settled. So no page can hold a record in a state from before a write that was settled since, and no echo of a creation
// can arrive before its link is there.
type lane struct {
	*Seat
	flow *flow
	lock lock
	// Set before a write and cleared when its receipts are settled; under lock. A lane that finds it set does nothing more:
	// what became of the write is found out by the next flow.
	unsettled bool
	edits     map[record.Key]Redrive // corrections that count for the records being read again; under lock
	doubt     bool                   // an attempt was cut short and may have reached the system: found out before anything else; under lock
	queue     chan Attempt
	room      chan struct{} // a token per free place in queue
	wake      chan struct{} // something to read
	duty      chan struct{} // something in the backlog may be due

	mu        sync.Mutex
	pos       Position
	saved     record.Cursor
	savedAt   time.Time
	ackedAt   time.Time
	notedAt   time.Time
	looksIn   time.Duration // the wait that was written last
	since     time.Time     // when this flow's snapshot began
	readAt    time.Time     // when the last read began that reached the end
	sending   int
	failing   time.Time // sends fail until then
	alarm     time.Time // when the backlog is looked at because something rested
	watching  bool
	nudgedAt  time.Time
	nudge     map[string]int64
	moved     map[record.EntityID]int
	turn      int64                        // of the attempt queued last
	turns     map[record.EntityID]int64    // the entities of queued attempts: the turn of the last one with it; 0 when something else changed it since
	settling  map[record.EntityID]struct{} // the entities of the attempt that is being settled
	settled   map[record.EntityID]struct{} // those settled since the intake began that is under way; nil without one
	halted    bool                         // the run was cancelled: the snapshot goes on with the next one
	usedSlot  time.Time
	unknown   bool          // nothing was known of the object when its snapshot began, so nothing of it can be missing; of the reading goroutine
	begun     bool          // a snapshot was begun; of the reading goroutine
	grown     int           // the size of the next page of changes, while there is a backlog; of the reading goroutine
	cleared   bool          // old trouble of a system that is only written to was cleared; of the reading goroutine
	gathering bool          // the brake keeps records that a reading did not show, until its end
	complete  chan struct{} // closed when the snapshot is complete
	completed sync.Once
}

// mixed stands for a system where nothing is known of whose records there are.
const mixed record.System = "@mixed"

func (f *flow) inTx(ctx context.Context, fn func(Tx) error) error {
	return f.engine.inTx(ctx, f.tenant, fn)
}

func (f *flow) carry(ctx context.Context) error {
	var svc service.Service
	var doc *service.Document
	var positions []Position
	var doubts []SeatID
	var holds []Hold
	empty := false
	err := f.inTx(ctx, func(tx Tx) (err error) {
		if svc, doc, err = tx.Loadable(ctx, f.guard.Service); err != nil {
			return err
		}
		f.guard.Revision = svc.Revision
		if doubts, err = tx.Recover(ctx, f.guard); err != nil {
			return err
		}
		if f.dead, f.refused, err = tx.HasDeadLetters(ctx, f.guard.Service); err != nil {
			return err
		}
		if holds, err = tx.Holds(ctx, f.guard.Service); err != nil {
			return err
		}
		if positions, err = tx.Positions(ctx, f.guard.Service); err != nil {
			return err
		}
		empty, err = tx.Empty(ctx, f.guard.Service)
		return err
	})
	if err != nil {
		return err
	}
	f.engine.seam("recovered")
	systems, err := f.openAll(ctx, doc)
	defer func() {
		for _, s := range systems {
			if err := s.Close(); err != nil {
				f.log.Warn("closing a system", "error", err)
			}
		}
	}()
	if err != nil {
		return err
	}
	f.doc, f.moved = doc, make(map[uuid.UUID]int)
	f.prepare(positions, doubts, empty)
	f.remember(holds)
	if err := f.choose(ctx); err != nil {
		return err
	}
	if err := f.overtaken(ctx); err != nil {
		return err
	}
	// A run that waits is taken up before the first page, so that what comes in is the run's.
	if err := f.supervise(ctx); err != nil || ctx.Err() != nil {
		if err == nil {
			err = context.Cause(ctx)
		}
		return err
	}
	var work sync.WaitGroup
	start := func(name string, fn func(context.Context) error) {
		work.Add(1)
		ctx := f.numbered(ctx, name)
		go func() {
			defer work.Done()
			defer func() {
				if p := recover(); p != nil {
					f.stop(fmt.Errorf("engine: %s panicked: %v", name, p))
				}
			}()
			woke(ctx)
			if err := fn(ctx); err != nil && ctx.Err() == nil {
				f.stop(fmt.Errorf("%s: %w", name, err))
			}
		}()
	}
	if err := f.wantsProof(ctx); err != nil {
		return err
	}
	start("control", f.control)
	start("looking at schemas", func(ctx context.Context) error { return f.watchShapes(ctx, doc) })
	start("reading beside", f.beside)
	if f.engine.inProof != nil {
		start("proving", f.prove)
	}
	if f.plan.refers() {
		start("references", f.references)
	}
	if f.engine.chore != nil {
		start("chores", func(ctx context.Context) error { return f.chores(ctx, doc) })
	}
	for _, a := range f.asking {
		start("asking "+string(a.Name), func(ctx context.Context) error { return a.ask(ctx, doc) })
	}
	for _, l := range f.lanes {
		start("reading "+l.name(), l.pull)
		start("sending to "+l.name(), l.send)
		if w, ok := l.Open.(connector.Watcher); ok && l.Reads && f.plan.Realtime {
			start("watching "+l.name(), func(ctx context.Context) error { return l.watch(ctx, w) })
		}
	}
	work.Wait()
	return context.Cause(ctx)
}

func (f *flow) prepare(positions []Position, doubts []SeatID, empty bool) {
	f.commit, f.asked = make(map[string]lock), make(chan struct{}, 1)
	f.sole = make(map[string]record.System)
	for _, s := range f.plan.Sources {
		f.asking = append(f.asking, newAsking(f, s))
	}
	for _, c := range f.plan.Collections {
		f.commit[c.Name] = newLock()
		if !empty {
			f.sole[c.Name] = mixed
		}
	}
	for _, seat := range f.plan.Seats {
		l := &lane{Seat: seat, flow: f, lock: newLock(), queue: make(chan Attempt, queueDepth), room: make(chan struct{}, queueDepth),
			wake: make(chan struct{}, 1), duty: make(chan struct{}, 1), since: time.Now(), nudge: make(map[string]int64),
			moved: make(map[record.EntityID]int), turns: make(map[record.EntityID]int64), complete: make(chan struct{})}
		for range queueDepth {
			l.room <- struct{}{}
		}
		l.pos = Position{System: seat.System, Object: seat.Object, Phase: connector.Snapshot}
		for _, p := range positions {
			if p.System == seat.System && p.Object == seat.Object {
				l.pos = p
			}
		}
		if len(seat.Refs) > 0 {
			seat.links = f
		}
		l.saved = l.pos.Cursor
		l.doubt = slices.Contains(doubts, SeatID{seat.System, seat.Collection.Name})
		if l.pos.Phase == connector.Stream {
			l.completed.Do(func() { close(l.complete) })
		}
		f.lanes = append(f.lanes, l)
	}
}

// choose notes how each object's changes are seen, and why.
func (f *flow) choose(ctx context.Context) error {
	for _, l := range f.lanes {
		c, ok := l.Open.(connector.Chooser)
		if !ok {
			continue
		}
		detection, why, err := c.Detection(ctx, l.Object)
		if err != nil {
			return f.trouble(ctx, l.System, err)
		}
		if detection == l.pos.Detection && why == l.pos.Why {
			continue
		}
		l.pos.Detection, l.pos.Why = detection, why
		if err := f.inTx(ctx, func(tx Tx) error { return tx.SavePosition(ctx, f.guard, l.pos) }); err != nil {
			return err
		}
	}
	return nil
}

// trouble records that a system fails, where people look, and returns the error.
func (f *flow) trouble(ctx context.Context, system record.System, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c := connector.Classify(err)
	f.mu.Lock()
	if f.troubled == nil {
		f.troubled = make(map[record.System]bool)
	}
	f.troubled[system] = true
	object := record.Object("")
	if named := f.objects[system]; len(named) > 0 {
		object = named[0]
	}
	f.mu.Unlock()
	note := f.inTx(ctx, func(tx Tx) error {
		if err := tx.NoteTrouble(ctx, f.guard.Service, system, object, c.Code, c.Message); err != nil {
			return err
		}
		return tx.Emit(ctx, "system.failing", uuid.UUID(f.guard.Service), map[string]any{"system": system, "code": c.Code, "message": c.Message})
	})
	if ctx.Err() != nil {
		return ctx.Err() // stopping is no trouble
	}
	if note != nil {
		f.log.Warn("recording a system's trouble", "error", note)
	}
	f.log.Warn("a system fails", "system", system, "class", c.Class, "error", err)
	return fmt.Errorf("%s: %w", system, err)
}

// recovered says whether the system had trouble that is now over, once.
func (f *flow) recovered(system record.System) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.troubled[system]
	delete(f.troubled, system)
	return was
}

// control watches over the flow: pauses and new revisions stop it, queued runs are begun, finished ones ended.
func (f *flow) control(ctx context.Context) error {
	for {
		if err := f.supervise(ctx); err != nil {
			return err
		}
		// While a run is under way its end is looked for often; it costs nothing unless all lanes are quiet.
		for left := controlEvery; left > 0; {
			step := left
			if f.current() != nil {
				step = min(left, quickEvery)
			}
			began := time.Now()
			switch why := await(ctx, step, f.nudged); {
			case why == ended:
				return nil
			case why == signalled:
				left = 0
				signal(f.proof)
				signal(f.shapes)
				for _, a := range f.asking {
					if a.Source.Changed {
						signal(a.wake) // somebody may have edited a record; that it looks keeps nobody from being quiet, who may have nudged
					}
				}
			case f.current() != nil && f.quiet():
				left = 0
			default:
				left -= max(time.Since(began), step)
			}
		}
	}
}

// WithChore lets the worker that carries a service do something for it now and then; several are done one after the other.
func (e *Engine) WithChore(chore func(context.Context, tenant.ID, service.ID, *service.Document) error) *Engine {
	before := e.chore
	if e.chore = chore; before != nil {
		e.chore = func(ctx context.Context, t tenant.ID, s service.ID, doc *service.Document) error {
			return errors.Join(before(ctx, t, s, doc), chore(ctx, t, s, doc))
		}
	}
	return e
}

func (f *flow) chores(ctx context.Context, doc *service.Document) error {
	for {
		if err := f.engine.chore(ctx, f.tenant, f.guard.Service, doc); err != nil && ctx.Err() == nil {
			f.log.Warn("a chore failed; it is tried again", "error", err)
		}
		if !sleep(ctx, choreEvery, nil) {
			return nil
		}
	}
}

func (f *flow) current() *service.Run {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.run
}

func (f *flow) runID() service.RunID {
	if r := f.current(); r != nil {
		return r.ID
	}
	return service.RunID{}
}

// quiet says whether every lane has read to its end since the run began and nothing is being sent.
func (f *flow) quiet() bool {
	f.mu.Lock()
	since := f.runSince
	tied := f.links != f.untied
	f.mu.Unlock()
	if tied {
		return false // records may go on that waited for others
	}
	for _, a := range f.asking {
		if !a.idle() {
			return false
		}
	}
	for _, l := range f.lanes {
		l.mu.Lock()
		ok := l.sending == 0 && (!l.readAt.Before(since) || (!l.Reads && l.pos.Phase == connector.Stream))
		l.mu.Unlock()
		if !ok {
			return false
		}
	}
	return true
}

func (f *flow) supervise(ctx context.Context) error {
	var owing map[SeatID]Owing
	var next service.Run
	var found, beside bool
	var redrives []Redrive
	var holds []Hold
	var lag lagState
	quiet := false
	err := f.inTx(ctx, func(tx Tx) (err error) {
		if err = tx.Guard(ctx, f.guard); err != nil {
			return err
		}
		for _, l := range f.lanes {
			if err = l.tellRest(ctx, tx); err != nil {
				return err
			}
		}
		if owing, err = tx.Owing(ctx, f.guard.Service); err != nil {
			return err
		}
		// In this order: what is claimed after it was looked at whether anything is sent would be seen neither there nor here,
		// and the run would end in the middle of it.
		quiet = f.current() != nil && f.quiet()
		if redrives, err = tx.Redriven(ctx, f.guard.Service); err != nil {
			return err
		}
		if f.mayHold() {
			if holds, err = tx.Holds(ctx, f.guard.Service); err != nil {
				return err
			}
		}
		if lag, err = f.tellLag(ctx, tx); err != nil {
			return err
		}
		if next, found, err = tx.NextRun(ctx, f.guard.Service); err != nil {
			return err
		}
		if _, _, beside, err = tx.NextBeside(ctx, f.guard.Service); err != nil {
			return err
		}
		switch {
		case !found:
			return nil
		case next.CancelAt != nil:
			next, err = f.end(ctx, tx, next, service.RunCancelled)
		case next.State == service.RunQueued:
			if next, err = next.To(service.RunRunning, tx.Now()); err == nil {
				err = f.saveRun(ctx, tx, next, "run.started")
			}
		case quiet && f.current() != nil && f.current().ID == next.ID && dueNow(owing, tx.Now()) == 0:
			state := service.RunSucceeded
			for _, c := range next.Counts {
				if c.Rejected > 0 || c.Conflicts > 0 || c.Held > 0 {
					state = service.RunPartial
				}
			}
			for _, o := range owing {
				if o.Count > 0 {
					state = service.RunPartial
				}
			}
			next, err = f.end(ctx, tx, next, state)
		default:
			err = tx.Emit(ctx, "run.progress", uuid.UUID(f.guard.Service), progressOf(next))
		}
		return err
	})
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	}
	f.lag = lag
	for _, l := range f.lanes {
		if o := owing[SeatID{l.System, l.Collection.Name}]; o.Count > 0 {
			signal(l.duty)
		}
	}
	f.adopt(next, found)
	if beside {
		signal(f.asked)
	}
	if len(redrives) > 0 {
		if err := f.redrive(ctx, redrives); err != nil {
			return err
		}
	}
	if err := f.carryHolds(ctx, holds); err != nil {
		return err
	}
	if err := f.compensate(ctx); err != nil {
		return err
	}
	if !f.plan.Realtime && !beside && (!found || next.Over()) && !f.mustProve() {
		f.stop(errDone)
	}
	return nil
}

// lagState is whether a service is later than its document allows, as far as people were told.
type lagState string

const (
	lagUnknown  lagState = "" // whoever carried the service before knew
	lagWithin   lagState = "within"
	lagExceeded lagState = "exceeded"
)

// tellLag tells that something has been owed for longer than the document's maximum delay, and when that is over.
func (f *flow) tellLag(ctx context.Context, tx Tx) (lagState, error) {
	most := f.plan.MaxDelay
	var delay time.Duration
	var system record.System
	now := lagWithin
	if most > 0 {
		since, oldest, err := tx.Oldest(ctx, f.guard.Service)
		if err != nil {
			return f.lag, err
		}
		if system = oldest; !since.IsZero() {
			delay = max(tx.Now().Sub(since), 0)
		}
		if delay > most {
			now = lagExceeded
		}
	}
	if now == f.lag {
		return now, nil
	}
	changed, err := tx.MarkLate(ctx, f.guard.Service, now == lagExceeded)
	if err != nil || !changed {
		return now, err
	}
	return now, tx.Emit(ctx, "lag", uuid.UUID(f.guard.Service), map[string]any{"state": now, "system": system, "delayMs": delay.Milliseconds(), "maxDelayMs": most.Milliseconds()})
}

func dueNow(owing map[SeatID]Owing, now time.Time) (n int64) {
	for _, o := range owing {
		if !o.DueAt.After(now) {
			n += o.Count
		}
	}
	return n
}

func progressOf(r service.Run) map[string]any {
	done, total := r.Progress()
	return map[string]any{"run": r.ID.String(), "kind": r.Kind, "state": r.State, "done": done, "total": total, "counts": r.Counts}
}

func (f *flow) end(ctx context.Context, tx Tx, r service.Run, state service.RunState) (service.Run, error) {
	r, err := r.To(state, tx.Now())
	if err != nil {
		return r, err
	}
	return r, f.saveRun(ctx, tx, r, "run.finished")
}

func (f *flow) saveRun(ctx context.Context, tx Tx, r service.Run, event string) error {
	if err := tx.MoveRun(ctx, r); err != nil {
		return err
	}
	return tx.Emit(ctx, event, uuid.UUID(f.guard.Service), progressOf(r))
}

// redrive reads the records of inward dead letters again, as if they had just changed. Where records cannot be read by key, a
// queue's message, the dead letter itself has what it said.
func (f *flow) redrive(ctx context.Context, list []Redrive) error {
	for _, l := range f.lanes {
		var keys []record.Key
		var ids []uuid.UUID
		var said []record.Change
		edits := make(map[record.Key]Redrive)
		for _, r := range list {
			if r.System == l.System && r.Object == l.Object {
				if _, ok := l.Open.(connector.KeyReader); !ok && r.Op == record.Upsert && r.Payload == nil {
					continue // nothing is known of what it said
				}
				said = append(said, record.Change{Key: r.Key, Op: r.Op, Fields: r.Payload})
				keys, ids = append(keys, r.Key), append(ids, r.ID)
				if len(r.Edit) > 0 {
					edits[r.Key] = r
				}
			}
		}
		if len(keys) == 0 {
			continue
		}
		l.lock.take(ctx)
		l.edits = edits
		var err error
		if _, ok := l.Open.(connector.KeyReader); ok {
			err = l.reread(ctx, keys)
		} else {
			err = l.intake(ctx, taking{changes: said})
		}
		l.edits = nil
		l.lock.release()
		if err == nil {
			err = f.inTx(ctx, func(tx Tx) error {
				if err := tx.SettleRedriven(ctx, ids); err != nil {
					return err
				}
				return tx.Emit(ctx, "dead_letter.settled", uuid.UUID(f.guard.Service), map[string]any{"system": l.System, "count": len(ids)})
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// adopt makes the database's word on the run the flow's own.
func (f *flow) adopt(r service.Run, found bool) {
	f.mu.Lock()
	before := f.run
	if !found || r.Over() {
		f.run = nil
	} else {
		if before == nil || before.ID != r.ID {
			f.runSince = time.Now()
		}
		f.run = &r
	}
	started := f.run != nil && (before == nil || before.ID != f.run.ID)
	cancelled := found && r.State == service.RunCancelled
	f.mu.Unlock()
	for _, l := range f.lanes {
		if started || cancelled {
			l.mu.Lock()
			l.halted = cancelled && l.pos.Phase == connector.Snapshot
			l.mu.Unlock()
		}
		if started {
			signal(l.wake)
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// sleep waits for d or until ctx ends or c speaks, and says whether to go on.
func sleep(ctx context.Context, d time.Duration, c <-chan struct{}) bool {
	return await(ctx, d, c) != ended
}

// Why await returned.
type awakening int

const (
	ended awakening = iota // the context
	signalled
	elapsed
)

// await waits like sleep and says what for. What is there already counts in this order: the end, a signal.
func await(ctx context.Context, d time.Duration, c <-chan struct{}) awakening {
	if ctx.Err() != nil {
		return ended
	}
	select {
	case <-c:
		return signalled
	default:
	}
	t := time.NewTimer(d)
	defer t.Stop()
	defer woke(ctx)
	select {
	case <-ctx.Done():
		return ended
	case <-t.C:
		return elapsed
	case <-c:
		return signalled
	}
}

// backoff doubles from first to max.
func backoff(tries int) time.Duration {
	d := firstBackoff << min(tries, 10)
	return min(d, maxBackoff)
}
