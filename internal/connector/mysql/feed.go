// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

const (
	queueLength = 50_000           // hints kept per object; beyond, the log waits or is read again later
	activeFor   = 10 * time.Second // an object that was read so recently is worth waiting for when its queue is full
	drainWait   = 5 * time.Second  // how long the log waits for a full queue to be read
	lagWait     = 2 * time.Second  // how long a reader waits for the log to be read up to its view
	forgetAfter = 5 * time.Minute  // an object not read for so long no longer decides where reading begins
)

// feed reads the binary log once for all objects of a system and keeps, per object, hints of which records changed.
//
// A hint names a key and stands at a place in the log. The state of the record is read from the table when the hint is
// taken, so that no state ever goes back in time, and several hints of one key become one change. Hints stay until a
// reader comes with a cursor behind them. When a reader comes with a cursor before what is kept, the log is read again
// from there, by a new run.
type feed struct {
	s   *system
	lag time.Duration // lagWait

	attaching sync.Mutex // held while a place is looked for or a run is started; before mu

	mu       sync.Mutex
	run      *run
	subs     map[record.Object]*sub
	watchers map[*watcher]struct{}
	moved    chan struct{} // closed and replaced when anything here changes
	waiting  int           // who waits for moved
	closed   bool
	running  sync.WaitGroup
}

// sub is what the feed keeps for one object.
type sub struct {
	t        *table
	from     place  // what stands before is dealt with and not kept
	shape    *shape // at from
	now      *shape // where the run is
	birth    uint32 // of the file of from; 0 when unknown
	owner    uint32
	open     *place // where transactions that are prepared but not committed began (XA)
	queue    []hint
	full     *place    // the queue holds hints up to here only
	lostAt   *place    // here the table became another one; a reader that comes from behind begins with what it is now
	lastRead time.Time // zero: only watched
}

// txn is a transaction in the log. Its end is not known while it is being read, but all of it is committed.
type txn struct {
	start    place // the boundary before it
	when     time.Time
	gtid     string
	consumer string // who marked it as its own write
	object   string // the table it marked
	explicit bool   // it ends with a commit of its own, not with its first statement
	xa       string // the name of the prepared transaction that it is
	rows     map[*sub]int
	held     []heldHint // of a prepared transaction: nothing has happened until it is committed
}

type heldHint struct {
	object record.Object
	key    logKey
}

// hint says that the record of a key, or with extra the table itself, changed.
type hint struct {
	tx    *txn
	row   int
	key   record.Key
	extra *extra
}

// extra is what few hints have.
type extra struct {
	key   logKey
	err   *connector.Error // the object cannot be read on from here
	shape *shape           // rows after this place have this shape
}

func (h *hint) at() place { return place{File: h.tx.start.File, Pos: h.tx.start.Pos, Skip: h.row} }

func newFeed(s *system) *feed {
	return &feed{s: s, lag: lagWait, subs: make(map[record.Object]*sub), watchers: make(map[*watcher]struct{}), moved: make(chan struct{})}
}

var errClosed = &connector.Error{Class: connector.Retry, Code: "mysql.closed", Message: "The connection was closed; it will be opened again."}

// errMoved says that another object had the log read again from elsewhere: attach once more.
var errMoved = errors.New("the log is being read from another place")

// close ends the run and waits until it is gone.
func (f *feed) close() {
	f.mu.Lock()
	f.closed = true
	f.stop()
	f.broadcast()
	for w := range f.watchers {
		w.broken = errClosed
		select {
		case w.bell <- struct{}{}:
		default:
		}
	}
	f.mu.Unlock()
	f.running.Wait()
}

// stop ends the run in the background; f.mu is held.
func (f *feed) stop() {
	if r := f.run; r != nil {
		f.run = nil
		close(r.stopped)
		f.running.Go(r.syncer.Close)
	}
}

// broadcast wakes who waits; f.mu is held.
func (f *feed) broadcast() {
	if f.waiting > 0 {
		close(f.moved)
		f.moved = make(chan struct{})
	}
}

// wait releases f.mu until something has moved or the time or ctx is over, and says whether something has.
func (f *feed) wait(ctx context.Context, timeout <-chan time.Time) bool {
	moved := f.moved
	f.waiting++
	f.mu.Unlock()
	ok := false
	select {
	case <-moved:
		ok = true
	case <-timeout:
	case <-ctx.Done():
	}
	f.mu.Lock()
	f.waiting--
	return ok
}

// attach makes sure that the feed keeps the object's hints from the cursor's place on, reading the log again from there
// when it does not.
func (f *feed) attach(ctx context.Context, t *table, c *logCursor, reading bool) error {
	f.attaching.Lock()
	defer f.attaching.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return errClosed
	}
	sb := f.subs[t.object]
	if !f.keeps(sb, c) {
		if sb == nil {
			sb = &sub{}
			f.subs[t.object] = sb
		}
		*sb = sub{t: t, from: c.At, shape: c.Shape, birth: c.Birth, owner: c.Owner, lastRead: sb.lastRead}
		if sb.shape == nil {
			sb.shape = t.shape()
		}
		if reading {
			sb.lastRead = time.Now()
		}
		if r := f.run; r != nil && r.ended == nil && r.tx == nil && c.From == nil && c.At.compare(r.boundary) == 0 {
			sb.now = sb.shape // the run stands just there
		} else if err := f.restart(ctx, t.object, c); err != nil {
			return err
		}
	}
	sb.open = c.From
	if reading {
		sb.lastRead = time.Now()
	}
	return f.identify(sb, c)
}

// keeps says whether the sub's queue has everything behind the cursor, or will have; f.mu is held.
func (f *feed) keeps(sb *sub, c *logCursor) bool {
	if sb == nil || f.run == nil || f.run.ended != nil || c.At.before(sb.from) || sb.lostAt != nil && sb.lostAt.before(c.At) {
		return false
	}
	return sb.full == nil || c.At.before(*sb.full)
}

// identify refuses a cursor of another server's or another life's log; f.mu is held.
func (f *feed) identify(sb *sub, c *logCursor) error {
	id, known := f.run.files[c.At.File]
	if known && c.Birth != 0 && (id.birth != c.Birth || id.owner != c.Owner) {
		delete(f.subs, sb.t.object)
		return lost("mysql.log_replaced", "The server's binary log is another one than when %s was last read (a fail-over, a restore, or RESET MASTER); the table is read anew.", sb.t.name)
	}
	return nil
}

// restart reads the log from the cursor on, or from before it where other objects are being read from; f.mu is held.
func (f *feed) restart(ctx context.Context, object record.Object, c *logCursor) error {
	begin := c.At.boundary()
	if c.From != nil && c.From.before(begin) {
		begin = *c.From
	}
	own := begin
	for o, sb := range f.subs {
		if o == object || time.Since(sb.lastRead) > forgetAfter || f.run == nil || f.run.ended != nil {
			continue
		}
		for _, p := range []place{sb.from.boundary(), *cmp.Or(sb.open, &sb.from)} {
			if p = p.boundary(); p.before(begin) {
				begin = p
			}
		}
	}
	err := f.start(ctx, begin)
	var e *connector.Error
	if errors.As(err, &e) && e.Class == connector.LostPlace && begin != own { // it was the others' place that is gone
		for o := range f.subs {
			if o != object {
				delete(f.subs, o)
			}
		}
		err = f.start(ctx, own)
	}
	if err != nil {
		delete(f.subs, object)
	}
	return err
}

// start begins a new run and waits until the server sends; f.mu is held.
func (f *feed) start(ctx context.Context, begin place) error {
	if begin.Pos > math.MaxUint32 { // the protocol knows no such place; what is read before it is passed over
		begin.Pos = 4
	}
	if f.closed {
		return errClosed
	}
	f.stop()
	r := f.newRun(begin)
	f.run = r
	f.running.Add(1) // here, under the lock, so that close cannot miss it; r.start takes it over
	for _, sb := range f.subs {
		sb.queue, sb.full, sb.lostAt, sb.now = nil, nil, nil, sb.shape
		if sb.from.before(begin) { // nobody has read it for long
			sb.from, sb.birth, sb.owner = begin, 0, 0
		}
	}
	f.broadcast()
	f.mu.Unlock() // nobody who waits for the feed shall wait for the network
	r.start(begin)
	f.mu.Lock()
	for !r.ready && r.ended == nil && ctx.Err() == nil && f.run == r && !f.closed {
		f.wait(ctx, nil)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case f.closed:
		return errClosed
	case r.ended != nil:
		return classify(r.ended, "reading the binary log")
	}
	return nil
}

// push adds a hint to the sub's queue, waiting a while for a slow reader; f.mu is held, but not all the time.
func (f *feed) push(r *run, sb *sub, h hint) {
	for w := range f.watchers {
		w.note(sb.t.object)
	}
	if sb.full != nil || h.at().before(sb.from) {
		return
	}
	if len(sb.queue) >= queueLength {
		f.broadcast()
		timeout := time.NewTimer(drainWait)
		defer timeout.Stop()
		for len(sb.queue) >= queueLength && time.Since(sb.lastRead) < activeFor && f.run == r {
			select {
			case <-timeout.C:
				sb.lastRead = time.Time{}
			default:
				f.pause(r, timeout.C)
			}
		}
		if f.run != r {
			return
		}
	}
	if len(sb.queue) >= queueLength {
		at := h.at()
		sb.full = &at
		return
	}
	sb.queue = append(sb.queue, h)
}

// pause waits for readers without blocking the end of the run; f.mu is held before and after.
func (f *feed) pause(r *run, timeout <-chan time.Time) {
	moved := f.moved
	f.waiting++
	f.mu.Unlock()
	select {
	case <-moved:
	case <-r.stopped:
	case <-timeout:
	}
	f.mu.Lock()
	f.waiting--
}

// taken is a batch of hints.
type taken struct {
	keys  []record.Key // each once, in the order of their first hint
	when  map[record.Key]time.Time
	raw   []logKey // keys that the server must convert
	rawAt []time.Time
	gtids []string // the transactions they are of
	next  logCursor
	more  bool // there are further hints
	early bool // the next hint is of a transaction that the snapshot does not hold yet
}

// take returns the hints behind the cursor that stand before the place visible, for at most limit keys. With drop, hints
// of transactions that this consumer marked as its own write are left out.
func (f *feed) take(t *table, c *logCursor, limit int, visible place, drop bool) (taken, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sb := f.subs[t.object]
	if f.closed {
		return taken{}, errClosed
	}
	if f.run == nil || !f.keeps(sb, c) {
		return taken{}, errMoved
	}
	sb.advance(c)
	f.broadcast() // there is room in the queue
	sb.lastRead = time.Now()
	if err := f.identify(sb, c); err != nil {
		return taken{}, err
	}
	out := taken{when: make(map[record.Key]time.Time)}
	shape := sb.shape
	i, lastTx := 0, (*txn)(nil)
	gtid := c.GTID
	for ; i < len(sb.queue); i++ {
		h := &sb.queue[i]
		if !h.tx.start.before(visible) {
			out.early = true
			break
		}
		if h.extra != nil && h.extra.err != nil {
			if i == 0 {
				return out, h.extra.err
			}
			break
		}
		if h.extra != nil && h.extra.shape != nil {
			shape = h.extra.shape
			continue
		}
		own := drop && h.tx.consumer == f.s.env.Consumer && h.tx.object == t.schema+"."+t.name
		if !own && !out.add(h, limit) {
			break
		}
		if h.tx != lastTx && !own && h.tx.gtid != "" {
			out.gtids = append(out.gtids, h.tx.gtid)
		}
		lastTx = h.tx
	}
	at := f.run.boundary
	// There is more when hints are left, when the queue was cut, and when the log has not been read up to the view yet.
	out.more = i < len(sb.queue) || sb.full != nil || at.before(visible)
	if lastTx != nil && lastTx.gtid != "" {
		gtid = lastTx.gtid
	}
	if i > 0 { // the last one may be inside a transaction that is still being read
		behind := sb.queue[i-1].at()
		behind.Skip++
		if at.before(behind) {
			at = behind
		}
	}
	switch {
	case i < len(sb.queue):
		at = sb.queue[i].at()
	case sb.full != nil:
		at = *sb.full
	case at.before(c.At):
		at = c.At
	}
	out.next = logCursor{At: at, Shape: shape, GTID: gtid, From: f.run.openSince(at)}
	if id, ok := f.run.files[at.File]; ok {
		out.next.Birth, out.next.Owner = id.birth, id.owner
	}
	return out, nil
}

// add takes the hint unless it is of a further key than limit allows.
func (o *taken) add(h *hint, limit int) bool {
	keys := []record.Key{h.key}
	if h.extra != nil {
		if h.extra.key.raw != nil {
			if len(o.keys)+len(o.raw) >= limit {
				return false
			}
			o.raw, o.rawAt = append(o.raw, h.extra.key), append(o.rawAt, h.tx.when)
			return true
		}
		if h.extra.key.other != "" {
			keys = append(keys, h.extra.key.other)
		}
	}
	if n := len(o.keys) + len(o.raw); n > 0 && n+len(keys) > limit {
		for _, k := range keys {
			if _, known := o.when[k]; !known {
				return false
			}
		}
	}
	for _, k := range keys {
		at, known := o.when[k]
		if !known {
			o.keys = append(o.keys, k)
		}
		if !known || h.tx.when.After(at) {
			o.when[k] = h.tx.when
		}
	}
	return true
}

// advance drops what stands before the cursor.
func (sb *sub) advance(c *logCursor) {
	to := c.At
	n := 0
	for n < len(sb.queue) && sb.queue[n].at().before(to) {
		if x := sb.queue[n].extra; x != nil && x.shape != nil {
			sb.shape = x.shape
		}
		n++
	}
	if n > 0 {
		sb.queue = slices.Delete(sb.queue, 0, n)
	}
	if !to.before(sb.from) {
		sb.from, sb.birth, sb.owner = to, c.Birth, c.Owner
	}
}

// caughtUp waits until the run has passed the place or the object has limit hints, but not long: the log may be far ahead. A reader
// then gets what there is, which may be nothing, and More: its cursor moves up with the log, and it comes again.
func (f *feed) caughtUp(ctx context.Context, object record.Object, to place, limit int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	timeout := time.NewTimer(f.lag)
	defer timeout.Stop()
	for {
		r := f.run
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case f.closed:
			return errClosed
		case r == nil:
			return errMoved
		case r.ended != nil:
			return classify(r.ended, "reading the binary log")
		case !r.boundary.before(to):
			return nil
		}
		if sb := f.subs[object]; sb == nil || len(sb.queue) >= limit || sb.full != nil {
			return nil
		}
		if !f.wait(ctx, timeout.C) && ctx.Err() == nil {
			return nil
		}
	}
}
