// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/record"
)

// outside is a customer's system: an in-memory one behind a network that is slow, forgets and fails.
type outside struct {
	gate   *Gate
	name   string // unique in the run: tenant and system
	id     record.System
	object record.Object
	info   connector.ObjectInfo // as it is without what schema changes add
	place  place
	memory *connectortest.Memory // the place, where it is an in-memory system; else nil
	user   people

	// What it does, of thousand calls.
	failing   int // nothing happens, an error comes back
	unheard   int // a write happens, and an error comes back
	breaking  int // the first part of a batch is written, and an error comes back
	halting   int // a part of a batch is written, and the receipts say which
	refusing  int // a call is answered with "slow down"
	losing    int // a notification is lost
	late      int // a notification comes late
	doubling  int // a notification comes twice
	slow      int // a call takes its time
	recalls   bool
	forgot    atomic.Bool // it was asked what it wrote, and could not tell
	finds     bool
	watches   bool
	pageLimit int
	picky     bool                // refuses bad names
	wide      bool                // has a column more
	existed   map[record.Key]bool // records that were ever there
	named     map[record.Key]bool // records that people named as parents
	norm      map[string]func(record.Value) record.Value
	clock     func() time.Time
	kind      *kind                    // of a mixed service's system; nil for others
	stamped   map[record.Key]time.Time // when people last changed a record, by the system's clock
	emptied   *emptied                 // nil while it was not

	mu      sync.Mutex
	expired bool            // the token
	writing map[string]bool // objects in a Write at this moment, by consumer
	pages   map[string][]page
	broken  error
	spoil   func([]connector.Write)                      // for a test of the checks: changes what is sent; nil for nothing
	written func([]connector.Write)                      // told of what arrives
	took    func([]connector.Write, []connector.Receipt) // and of what became of it
}

// place is what keeps a system's records.
type place interface {
	Spec() connector.Spec
	// open connects a consumer to it by way of a line; nil is somebody who only looks, without trouble.
	open(ctx context.Context, l *line, consumer string) (connector.System, error)
	LosePlaces(object record.Object)
	Declare(info connector.ObjectInfo)
}

// people edit a system's records behind every connector's back, as connectortest.User says.
type people interface {
	Put(key record.Key, fields record.Fields)
	Delete(key record.Key)
	Get(key record.Key) record.Fields
	All() map[record.Key]record.Fields
	Writes() int64
	Tamper(key record.Key, fields record.Fields)
}

// inMemory is the suite's own system as a place.
type inMemory struct{ *connectortest.Memory }

func (m inMemory) open(ctx context.Context, _ *line, consumer string) (connector.System, error) {
	return m.Open(ctx, connector.Settings{}, connector.Env{Consumer: consumer})
}

// page is what a Read returned, kept to check what is made of it.
type page struct {
	from string
	n    int
}

func newOutside(gate *Gate, name string, id record.System, info connector.ObjectInfo) *outside {
	m := connectortest.NewMemory(info)
	return &outside{gate: gate, name: name, id: id, object: info.Name, info: info, place: inMemory{m}, memory: m, user: m.User(info.Name), recalls: true, finds: true, watches: true, pageLimit: 1000,
		norm: make(map[string]func(record.Value) record.Value), clock: time.Now, stamped: make(map[record.Key]time.Time), existed: make(map[record.Key]bool), named: make(map[record.Key]bool), writing: make(map[string]bool), pages: make(map[string][]page)}
}

// open connects a process to the system.
func (o *outside) open(ctx context.Context, l *line, consumer string) (connector.System, connector.Spec, error) {
	if err := o.call(ctx, l, "open"); err != nil {
		return nil, connector.Spec{}, err
	}
	inner, err := o.place.open(ctx, l, consumer)
	if err != nil {
		return nil, connector.Spec{}, err
	}
	b := base{outside: o, line: l, inner: inner, consumer: consumer}
	if o.kind != nil {
		return o.kind.able(b), o.place.Spec(), nil
	}
	m := scanned{b, scanning{b}, once{b}}
	var s connector.System
	switch {
	case o.recalls && o.watches:
		s = struct {
			scanned
			recalling
			watching
		}{m, recalling{b}, watching{b}}
	case o.recalls:
		s = struct {
			scanned
			recalling
		}{m, recalling{b}}
	case o.watches:
		s = struct {
			scanned
			watching
		}{m, watching{b}}
	default:
		s = m
	}
	return s, o.place.Spec(), nil
}

func (o *outside) trouble(class connector.Class, after time.Duration) error {
	return &connector.Error{Class: class, Code: "memory.planted", Message: "The network does not want to.", After: after}
}

// call is what every call meets on its way there.
func (o *outside) call(ctx context.Context, l *line, what string) error {
	who := l.name + " " + o.name
	o.gate.Step(who, what)
	if l.killed() {
		return context.Canceled
	}
	if o.gate.chance(o.slow) {
		o.gate.sleep(ctx, who, time.Duration(1+o.gate.intN(3000))*time.Millisecond)
	}
	switch {
	case l.killed():
		return context.Canceled
	case ctx.Err() != nil:
		return ctx.Err()
	case o.isExpired():
		return o.trouble(connector.Reconnect, 0)
	case o.gate.chance(o.refusing):
		return o.trouble(connector.SlowDown, time.Duration(1+o.gate.intN(20))*time.Second)
	case o.gate.chance(o.failing):
		return o.trouble(connector.Retry, 0)
	}
	return nil
}

func (o *outside) isExpired() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.expired
}

// base has what every system can.
type base struct {
	*outside
	line     *line
	inner    connector.System
	consumer string
}

var (
	_ connector.Discoverer = base{}
	_ connector.Reader     = base{}
	_ connector.KeyReader  = base{}
	_ connector.Finder     = base{}
	_ connector.Writer     = base{}
	_ connector.Chooser    = base{}
)

// scanned is a system all of whose records can be read apart from its stream, and whose snapshot shows each once.
type scanned struct {
	base
	scanning
	once
}

// scanning is a system that can be read apart from its stream.
type scanning struct{ of base }

// once is a system whose snapshot shows each key once.
type once struct{ of base }

func (b base) Check(ctx context.Context) error { return b.inner.Check(ctx) }
func (b base) Close() error                    { return b.inner.Close() }

func (b base) Detection(ctx context.Context, object record.Object) (string, string, error) {
	if b.kind != nil && b.kind.detection != "" {
		return b.kind.detection, "The connector does so.", nil
	}
	return b.inner.(connector.Chooser).Detection(ctx, object)
}

func (b base) Objects(ctx context.Context) ([]record.Object, error) {
	return b.inner.(connector.Discoverer).Objects(ctx)
}

func (b base) Describe(ctx context.Context, objects ...record.Object) ([]connector.ObjectInfo, error) {
	if err := b.call(ctx, b.line, "describe"); err != nil {
		return nil, err
	}
	return b.inner.(connector.Discoverer).Describe(ctx, objects...)
}

func (b base) Read(ctx context.Context, req connector.ReadRequest) (connector.Page, error) {
	if err := b.call(ctx, b.line, "read"); err != nil {
		return connector.Page{}, err
	}
	req.Limit = min(req.Limit, b.pageLimit)
	p, err := b.inner.(connector.Reader).Read(ctx, req)
	if err != nil {
		return p, err
	}
	b.mu.Lock()
	read := page{string(req.Cursor), len(p.Changes)}
	key := b.consumer + string(p.Cursor)
	if !slices.Contains(b.pages[key], read) {
		b.pages[key] = append(b.pages[key], read)
	}
	b.mu.Unlock()
	b.gate.Note("%s read %d %s -> %s", b.name, len(p.Changes), req.Cursor, p.Cursor)
	b.gate.Step(b.line.name+" "+b.name, "has read")
	return p, b.alive(ctx)
}

func (b base) alive(ctx context.Context) error {
	if b.line.killed() {
		return context.Canceled
	}
	return ctx.Err()
}

func (s scanning) Scan(ctx context.Context, req connector.ScanRequest) (connector.Scanned, error) {
	b := s.of
	if err := b.call(ctx, b.line, "scan"); err != nil {
		return connector.Scanned{}, err
	}
	req.Limit = min(req.Limit, b.pageLimit)
	page, err := b.inner.(connector.Scanner).Scan(ctx, req)
	b.gate.Step(b.line.name+" "+b.name, "has scanned")
	if err == nil {
		err = b.alive(ctx)
	}
	return page, err
}

func (o once) ReadsOnce(object record.Object) bool {
	return o.of.inner.(connector.OnceReader).ReadsOnce(object)
}

func (b base) ReadKeys(ctx context.Context, object record.Object, fields []string, keys []record.Key) ([]record.Change, error) {
	if err := b.call(ctx, b.line, "read keys"); err != nil {
		return nil, err
	}
	list, err := b.inner.(connector.KeyReader).ReadKeys(ctx, object, fields, keys)
	b.gate.Step(b.line.name+" "+b.name, "has read keys")
	if err == nil {
		err = b.alive(ctx)
	}
	return list, err
}

func (b base) Find(ctx context.Context, object record.Object, fields []string, queries []record.Fields) ([][]record.Change, error) {
	if err := b.call(ctx, b.line, "find"); err != nil {
		return nil, err
	}
	return b.inner.(connector.Finder).Find(ctx, object, fields, queries)
}

func (b base) Write(ctx context.Context, object record.Object, writes []connector.Write) ([]connector.Receipt, error) {
	if err := b.call(ctx, b.line, "write"); err != nil {
		return nil, err
	}
	if b.spoil != nil {
		b.spoil(writes)
	}
	b.mu.Lock()
	if b.writing[b.consumer] {
		b.broken = fmt.Errorf("invariant 3: two batches are written to %s at once", b.name)
	}
	b.writing[b.consumer] = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.writing, b.consumer)
		b.mu.Unlock()
	}()
	broken := len(writes) > 1 && b.gate.chance(b.breaking)
	if broken {
		writes = writes[:1+b.gate.intN(len(writes)-1)]
	}
	all, part := writes, []int(nil)
	if len(writes) > 1 && !broken && b.gate.chance(b.halting) {
		part = inTurn(writes)[:1+b.gate.intN(len(writes)-1)]
		writes = make([]connector.Write, len(part))
		for i, at := range part {
			writes[i] = all[at]
		}
	}
	if b.written != nil {
		b.written(writes)
	}
	receipts, err := b.inner.(connector.Writer).Write(ctx, object, writes)
	if err != nil {
		return nil, err
	}
	for i := range writes {
		b.gate.Note("%s %s %s %v: %s %s", b.name, writes[i].Op, writes[i].Key, show(writes[i].Fields), receipts[i].Outcome, receipts[i].Key)
	}
	if b.took != nil {
		b.took(writes, receipts)
	}
	b.gate.Step(b.line.name+" "+b.name, "has written")
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	if broken || b.gate.chance(b.unheard) {
		return nil, b.trouble(connector.Retry, 0)
	}
	if part != nil {
		return b.inParts(all, part, receipts), nil
	}
	return receipts, nil
}

// inTurn is the order in which a system carries a batch out that has a call for each kind of write.
func inTurn(writes []connector.Write) []int {
	turn := func(i int) int {
		switch w := &writes[i]; {
		case w.Op == record.Delete:
			return 0
		case !w.Create:
			return 1
		}
		return 2
	}
	order := make([]int, len(writes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int { return turn(x) - turn(y) })
	return order
}

// inParts are the receipts of a batch of which only a part was carried out.
func (b base) inParts(all []connector.Write, part []int, receipts []connector.Receipt) []connector.Receipt {
	why := b.trouble(connector.Retry, 0)
	if b.gate.intN(2) == 0 {
		why = b.trouble(connector.SlowDown, time.Duration(1+b.gate.intN(20))*time.Second)
	}
	out := make([]connector.Receipt, len(all))
	for i := range all {
		out[i] = connector.Receipt{Outcome: connector.Unsent, Key: all[i].Key, Err: why}
	}
	for i, at := range part {
		out[at] = receipts[i]
	}
	b.gate.Note("%s hands back %d of %d unsent", b.name, len(all)-len(part), len(all))
	return out
}

// acknowledging is a system that wants to know what is safely stored.
type acknowledging struct{ of base }

func (a acknowledging) Acknowledge(ctx context.Context, object record.Object, cursor record.Cursor) error {
	if err := a.of.call(ctx, a.of.line, "acknowledge"); err != nil {
		return err
	}
	return a.of.inner.(connector.Acknowledger).Acknowledge(ctx, object, cursor)
}

// pacing is a system that says how often it is to be asked.
type pacing struct{ of base }

func (p pacing) Pace() connector.Pace { return p.of.inner.(connector.Pacer).Pace() }

// recalling is a system that remembers what it did last.
type recalling struct{ of base }

func (r recalling) Recall(ctx context.Context, object record.Object, attempt uuid.UUID) (map[record.EntityID]connector.Receipt, error) {
	if err := r.of.call(ctx, r.of.line, "recall"); err != nil {
		return nil, err
	}
	recalled, err := r.of.inner.(connector.Recaller).Recall(ctx, object, attempt)
	if errors.Is(err, connector.ErrNotRemembered) {
		r.of.forgot.Store(true)
	}
	return recalled, err
}

// watching is a system that tells of changes, mostly.
type watching struct{ of base }

func (w watching) Watch(ctx context.Context, objects []record.Object, wake func(record.Object)) error {
	b := w.of
	who := b.line.name + " " + b.name + " bell " + b.consumer
	first := true
	// It stops before it looks at what has changed: whoever rang may ring again, or end the flow, before it is let through.
	ctx = connectortest.Woken(ctx, func() { b.gate.Park(who, "rung") })
	return b.inner.(connector.Watcher).Watch(ctx, objects, func(o record.Object) {
		if b.line.killed() || ctx.Err() != nil {
			return
		}
		if first { // that it listens
			first = false
			wake(o)
			return
		}
		switch {
		case b.gate.chance(b.losing):
			return
		case b.gate.chance(b.late):
			b.gate.sleep(ctx, who, time.Duration(b.gate.intN(5000))*time.Millisecond)
		case b.gate.chance(b.doubling):
			wake(o)
		}
		wake(o)
	})
}

func show(f record.Fields) string {
	if f == nil {
		return "-"
	}
	return string(record.AppendJSON(nil, map[string]any(f)))
}
