// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/scheduler"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Store is our database. A transaction sees what is committed, locks the rows it changes as PostgreSQL does, and writes
// all of it or nothing when it commits.
type Store struct {
	gate *Gate

	mu      sync.Mutex
	tenants map[tenant.ID]*rows
	order   []tenant.ID
	locks   map[string]*rowLock
	workers map[uuid.UUID]*workerRow
	serial  int
	now     func() time.Time // nil is time.Now

	// Told at commits; nil is nobody.
	onJob    func(service.SyncArgs)
	onWake   func(service.ID)
	onIntake func(tenant.ID, engine.Guard, engine.Intake) error
}

// rows are one tenant's.
type rows struct {
	services map[service.ID]*serviceRow
	usage    map[string]billing.UsageEvent
	audited  []string // what was compensated, by the audit log
}

type serviceRow struct {
	service.Service
	docs   map[int]*service.Document
	nextAt time.Time // when the next scheduled run is due; zero for never
	every  time.Duration
	lease  *leaseRow
	late   bool

	entities   map[record.EntityID]*record.Entity
	keys       map[linkKey]record.EntityID
	former     map[deliveryKey][]record.Key
	once       map[formerKey]int // for the checks: whose keys these were at some time, and how long the journal was when they first were
	lookups    map[lookupKey]*lookupRow
	periods    map[periodKey]*periodRow
	onAnswer   func(engine.LookupRow, *lookupRow, time.Time) // told of what a lookup service said, at the commit; nil is nobody
	journal    []record.Entry
	conflicts  map[uuid.UUID]*engine.Conflict
	dead       []*deadRow
	attempts   map[uuid.UUID]*attemptRow
	deliveries map[deliveryKey]*deliveryRow
	cursors    map[cursorKey]*cursorRow
	runs       []*service.Run
	proof      *proofRow
	places     map[service.RunID][]byte // of those beside the stream
	holds      []*engine.Hold
	held       map[heldKey]*heldRow
	fates      map[referenceKey]fated
	tallies    map[cursorKey]engine.Tally
	looked     map[record.EntityID]bool // what somebody loaded to send it, and has not settled: it may be on its way
	lost       map[record.System]int    // how many duties were in attempts that were cut short
}

type linkKey struct {
	system record.System
	object record.Object
	key    record.Key
}

type deliveryKey struct {
	system record.System
	entity record.EntityID
}

type cursorKey struct {
	system record.System
	object record.Object
}

type deadRow struct {
	engine.DeadLetter
	state string // open, redriven, settled
	tries int
}

type attemptRow struct {
	engine.Attempt
	at, since time.Time
}

type deliveryRow struct {
	waits      engine.Waits
	waitsFor   record.EntityID
	collection string
	since, due time.Time
}

type cursorRow struct {
	engine.Position
	failing bool
	code    string
}

type leaseRow struct {
	fence     int64
	worker    uuid.UUID
	expires   time.Time
	pool      string
	since     time.Time
	yield     bool
	failures  int
	notBefore time.Time
}

type workerRow struct {
	scheduler.Worker
	seen time.Time
}

// NewStore makes an empty database; a nil gate lets everybody pass.
func NewStore(gate *Gate) *Store {
	return &Store{gate: gate, tenants: make(map[tenant.ID]*rows), locks: make(map[string]*rowLock), workers: make(map[uuid.UUID]*workerRow)}
}

// AddService makes a service of the tenant, active, with its first revision and, when kind is given, a queued run.
func (s *Store) AddService(t tenant.ID, id service.ID, doc *service.Document, now time.Time, kind service.RunKind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.tenants[t]
	if r == nil {
		r = &rows{services: make(map[service.ID]*serviceRow), usage: make(map[string]billing.UsageEvent)}
		s.tenants[t] = r
		s.order = append(s.order, t)
	}
	row := &serviceRow{
		Service:  service.Service{ID: id, Name: doc.Service, State: service.Active, Revision: 1, Realtime: doc.Schedule().Kind == service.Realtime},
		docs:     map[int]*service.Document{1: doc},
		entities: make(map[record.EntityID]*record.Entity), keys: make(map[linkKey]record.EntityID), once: make(map[formerKey]int), former: make(map[deliveryKey][]record.Key),
		lookups: make(map[lookupKey]*lookupRow), periods: make(map[periodKey]*periodRow),
		conflicts: make(map[uuid.UUID]*engine.Conflict), attempts: make(map[uuid.UUID]*attemptRow),
		deliveries: make(map[deliveryKey]*deliveryRow), cursors: make(map[cursorKey]*cursorRow), lost: make(map[record.System]int),
		looked: make(map[record.EntityID]bool), places: make(map[service.RunID][]byte),
		held: make(map[heldKey]*heldRow), fates: make(map[referenceKey]fated), tallies: make(map[cursorKey]engine.Tally),
	}
	row.UpdatedAt = now
	r.services[id] = row
	if kind != "" {
		row.runs = append(row.runs, newRun(row, kind, now))
	}
}

func newRun(row *serviceRow, kind service.RunKind, now time.Time) *service.Run {
	return &service.Run{ID: service.NewRunID(), Service: row.ID, Kind: kind, State: service.RunQueued, Actor: "simulation", Revision: row.Revision,
		CreatedAt: now, Counts: make(map[record.System]service.Counts), Version: 1}
}

// errGone is what a process gets to hear that cannot reach the database.
func errGone() error {
	return fault.Wrap(errors.New("simulated"), fault.Unavailable, "store.unavailable", "The database does not answer at the moment. Nothing was changed; try again.")
}

// Tx is one transaction.
type Tx struct {
	s      *Store
	who    string
	serial uint64
	link   *line
	tenant tenant.ID
	now    time.Time
	held   []string // keys of row locks
	waits  map[*Tx]bool
	checks []func() error // what must hold at the commit: unique keys
	writes []func()
	after  []func()
	over   bool
}

// line is a process's connection to the database.
type line struct {
	name string
	skew time.Duration // how far its clock is ahead
	mu   sync.Mutex
	dead bool // the process was killed
	cut  bool // it does not reach the database
	open map[*Tx]bool
	// Of thousand transactions so many fail, and so many commit and do not hear of it.
	failing, unheard int
}

func newLine(name string) *line { return &line{name: name, open: make(map[*Tx]bool)} }

func (l *line) down() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead || l.cut
}

func (l *line) killed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

// In runs fn in a transaction of the tenant; the zero tenant is the operator.
func (s *Store) In(ctx context.Context, l *line, t tenant.ID, what string, fn func(*Tx) error) (err error) {
	s.mu.Lock()
	s.serial++
	tx := &Tx{s: s, who: fmt.Sprintf("%s tx%d %s", l.name, s.serial, what), serial: uint64(s.serial), link: l, tenant: t}
	s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	s.gate.Step(tx.who, "begin")
	if l.down() || s.gate.chance(l.failing) {
		return errGone()
	}
	now := time.Now
	if s.now != nil {
		now = s.now
	}
	tx.now = now().Add(l.skew).UTC().Truncate(time.Microsecond)
	l.mu.Lock()
	l.open[tx] = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.open, tx)
		l.mu.Unlock()
		tx.release()
	}()
	if err := fn(tx); err != nil {
		return err
	}
	s.gate.Step(tx.who, "commit")
	if l.down() || ctx.Err() != nil || s.gate.chance(l.failing) {
		return errGone()
	}
	if err := tx.commit(); err != nil {
		return err
	}
	s.gate.Step(tx.who, "committed")
	if l.down() || s.gate.chance(l.unheard) {
		return errGone()
	}
	return nil
}

func (t *Tx) commit() error {
	t.s.mu.Lock()
	var err error
	for _, check := range t.checks {
		if err = check(); err != nil {
			break
		}
	}
	if err == nil {
		for _, write := range t.writes {
			write()
		}
	}
	after := t.after
	t.s.mu.Unlock()
	t.release()
	if err != nil {
		return err
	}
	for _, f := range after {
		f()
	}
	return nil
}

// step is between two statements.
func (t *Tx) step(ctx context.Context, point string) error {
	t.s.gate.Step(t.who, point)
	if t.link.down() {
		return errGone()
	}
	return ctx.Err()
}

// Now is the one time of all rows of the commit, by the process's clock.
func (t *Tx) Now() time.Time { return t.now }

func (t *Tx) rows() *rows { return t.s.tenants[t.tenant] }

func (t *Tx) service(id service.ID) (*serviceRow, error) {
	r := t.rows()
	if r == nil || r.services[id] == nil {
		return nil, fault.New(fault.NotFound, "service.not_found", "There is no service with that id.")
	}
	return r.services[id], nil
}

// A row lock is held by one transaction, or shared by several.
type rowLock struct {
	owner  *Tx
	shared map[*Tx]bool
	queue  []*waiter
}

type waiter struct {
	tx        *Tx
	exclusive bool
	granted   chan struct{}
}

func (l *rowLock) free(t *Tx, exclusive bool) bool {
	if l.owner != nil && l.owner != t {
		return false
	}
	if !exclusive {
		return true
	}
	for other := range l.shared {
		if other != t {
			return false
		}
	}
	return true
}

func (l *rowLock) give(t *Tx, exclusive bool) {
	if exclusive {
		l.owner = t
	} else if l.owner != t {
		l.shared[t] = true
	}
}

func (l *rowLock) against(t *Tx) []*Tx {
	var list []*Tx
	if l.owner != nil && l.owner != t {
		list = append(list, l.owner)
	}
	for other := range l.shared {
		if other != t {
			list = append(list, other)
		}
	}
	return list
}

var errDeadlock = errors.New("simulation: deadlock detected")

// lock takes a row's lock until the transaction ends. mu is not held.
func (t *Tx) lock(ctx context.Context, key string, exclusive bool) error {
	s := t.s
	s.mu.Lock()
	l := s.locks[key]
	if l == nil {
		l = &rowLock{shared: make(map[*Tx]bool)}
		s.locks[key] = l
	}
	if l.free(t, exclusive) {
		if l.owner != t && !l.shared[t] {
			t.held = append(t.held, key)
		}
		l.give(t, exclusive)
		s.mu.Unlock()
		return nil
	}
	t.waits = make(map[*Tx]bool)
	for _, other := range l.against(t) {
		t.waits[other] = true
	}
	if t.waitsFor(t, make(map[*Tx]bool)) {
		t.waits = nil
		s.mu.Unlock()
		return errDeadlock
	}
	w := &waiter{tx: t, exclusive: exclusive, granted: make(chan struct{})}
	l.queue = append(l.queue, w)
	s.mu.Unlock()
	select {
	case <-w.granted:
	case <-ctx.Done():
	}
	kind, _, _ := strings.Cut(key, " ") // ids are not the same in a replay
	s.gate.Park(t.who, "lock "+kind)
	s.mu.Lock()
	defer s.mu.Unlock()
	t.waits = nil
	select {
	case <-w.granted:
		return ctx.Err()
	default:
		l.queue = slices.DeleteFunc(l.queue, func(x *waiter) bool { return x == w })
		return ctx.Err()
	}
}

func (t *Tx) waitsFor(target *Tx, seen map[*Tx]bool) bool {
	for other := range t.waits {
		if other == target {
			return true
		}
		if !seen[other] {
			seen[other] = true
			if other.waitsFor(target, seen) {
				return true
			}
		}
	}
	return false
}

// release gives all locks back.
func (t *Tx) release() {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	t.over = true
	for _, key := range t.held {
		l := s.locks[key]
		if l.owner == t {
			l.owner = nil
		}
		delete(l.shared, t)
		for len(l.queue) > 0 && l.free(l.queue[0].tx, l.queue[0].exclusive) {
			w := l.queue[0]
			l.queue = l.queue[1:]
			if w.tx.over {
				continue
			}
			l.give(w.tx, w.exclusive)
			w.tx.held = append(w.tx.held, key)
			close(w.granted)
		}
		if l.owner == nil && len(l.shared) == 0 && len(l.queue) == 0 {
			delete(s.locks, key)
		}
	}
	t.held = nil
}

// kill ends a process: its transactions are rolled back.
func (s *Store) kill(l *line) {
	l.mu.Lock()
	l.dead = true
	open := make([]*Tx, 0, len(l.open))
	for t := range l.open {
		open = append(open, t)
	}
	l.mu.Unlock()
	slices.SortFunc(open, func(a, b *Tx) int { return compareText(a.who, b.who) })
	for _, t := range open {
		t.release()
	}
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

var _ engine.Tx = (*Tx)(nil)
var _ scheduler.Tx = (*Tx)(nil)
