// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	logpkg "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

const (
	heartbeat   = 5 * time.Second  // how often an idle server says that it is there
	silentAfter = 30 * time.Second // after that a silent server counts as gone
)

// run is one connection that reads the log from a place on. All but syncer and streamer is guarded by feed.mu.
type run struct {
	f        *feed
	syncer   *replication.BinlogSyncer
	stopped  chan struct{} // closed when nobody wants it any more
	boundary place         // everything before it is in the queues
	tx       *txn          // being read; nil between transactions
	files    map[string]fileID
	prepared map[string]*txn
	ready    bool
	ended    error // why it ended
}

// fileID tells a file of the log from one of the same name of another server.
type fileID struct{ birth, owner uint32 }

// mariadbPrepared is the flag of a MariaDB transaction that is prepared and not yet committed (FL_PREPARED_XA).
const mariadbPrepared = 64

var errStopped = errors.New("no longer needed")

// newRun makes a run that does not read yet.
func (f *feed) newRun(begin place) *run {
	a, flavor := f.s.access, logpkg.MySQLFlavor
	if f.s.server.mariadb {
		flavor = logpkg.MariaDBFlavor
	}
	r := &run{f: f, stopped: make(chan struct{}), boundary: begin, files: make(map[string]fileID), prepared: make(map[string]*txn)}
	config := replication.BinlogSyncerConfig{
		ServerID: 1<<31 | rand.Uint32()>>1, // must differ from all other replicas'
		Flavor:   flavor, Host: a.host, Port: uint16(a.port), User: a.user, Password: a.password, Charset: "utf8mb4", Localhost: "syncline",
		Dialer: a.dial, HeartbeatPeriod: heartbeat, ReadTimeout: silentAfter, DisableRetrySync: true, DiscardGTIDSet: true,
		Logger:                  slog.New(slog.DiscardHandler),
		FillZeroLogPos:          f.s.server.mariadb && f.s.server.atLeast(11, 4), // those leave positions out of events
		RowsEventDecodeFunc:     r.keepRows,
		SynchronousEventHandler: r,
	}
	if f.s.server.encrypted {
		config.TLSConfig = a.tls
	}
	r.syncer = replication.NewBinlogSyncer(config)
	return r
}

// start connects and has the server send from the run's boundary on. f.mu is not held.
func (r *run) start(begin place) {
	streamer, err := r.syncer.StartSync(logpkg.Position{Name: begin.File, Pos: uint32(begin.Pos)})
	f := r.f
	if err != nil {
		defer f.running.Done()
		f.mu.Lock()
		r.ended = err
		f.broadcast()
		f.mu.Unlock()
		return
	}
	go func() {
		defer f.running.Done()
		_, err := streamer.GetEvent(context.Background()) // events go to HandleEvent; here comes only the end
		f.mu.Lock()
		defer f.mu.Unlock()
		if r.ended == nil {
			r.ended = err
		}
		f.broadcast()
		for w := range f.watchers {
			w.fail(r)
		}
	}()
}

// keepRows stops the library from decoding rows: only keys are of interest, and only of some tables.
func (r *run) keepRows(e *replication.RowsEvent, data []byte) error {
	n, err := e.DecodeHeader(data)
	if err != nil {
		return err
	}
	e.Rows = [][]any{{data[n:]}}
	return nil
}

// HandleEvent takes the events in order; an error ends the run.
func (r *run) HandleEvent(e *replication.BinlogEvent) error {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	select {
	case <-r.stopped:
		return errStopped
	default:
	}
	if err := r.event(e); err != nil {
		r.ended = err
		return err
	}
	return nil
}

func (r *run) event(e *replication.BinlogEvent) error {
	h := e.Header
	switch ev := e.Event.(type) {
	case *replication.RotateEvent:
		r.tx = nil
		r.boundary = place{File: string(ev.NextLogName), Pos: ev.Position}
		return nil
	case *replication.FormatDescriptionEvent:
		return r.fileBegun(fileID{h.Timestamp, h.ServerID})
	case *replication.MariadbGTIDEvent:
		r.begin(h, ev.GTID.String(), seconds(h))
		r.tx.explicit = !ev.IsStandalone()
		if ev.Flags&mariadbPrepared != 0 {
			r.tx.xa = "?" // XA END will say its name
		}
		return nil
	case *replication.GTIDEvent:
		r.beginMySQL(h, ev)
		return nil
	case *replication.GtidTaggedLogEvent:
		r.beginMySQL(h, &ev.GTIDEvent)
		return nil
	case *replication.QueryEvent:
		return r.statement(h, string(ev.Schema), string(ev.Query))
	case *replication.XIDEvent:
		r.end(h)
		return nil
	case *replication.RowsEvent:
		return r.rows(h, ev)
	case *replication.TransactionPayloadEvent:
		for _, inner := range ev.Events {
			if inner.Header.LogPos == 0 {
				inner.Header.LogPos = h.LogPos
			}
			if err := r.event(inner); err != nil {
				return err
			}
		}
		return nil
	case *replication.HeartbeatEvent:
		return nil
	case *replication.ExecuteLoadQueryEvent:
		r.everyTableLost("mysql.statement_logged", "Rows were loaded by a statement that the server logged without the rows (binlog_format was not ROW); the table is read anew.")
		return nil
	case *replication.GenericEvent:
		switch h.EventType {
		case replication.XA_PREPARE_LOG_EVENT:
			r.prepare(h, ev.Data)
			return nil
		case replication.INCIDENT_EVENT:
			r.everyTableLost("mysql.log_gap", "The server says that its binary log has a gap; the table is read anew.")
			return nil
		}
	}
	if r.tx == nil && h.LogPos != 0 && h.Flags&replication.LOG_EVENT_ARTIFICIAL_F == 0 {
		r.boundary.Pos = unwrap(r.boundary.Pos, h.LogPos)
		r.f.broadcast()
	}
	return nil
}

// unwrap completes a position, of which events hold the lower 32 bits: files of the log outgrow 4 GB when a single
// transaction does.
func unwrap(before uint64, low uint32) uint64 {
	p := before&^(1<<32-1) | uint64(low)
	if p < before {
		p += 1 << 32
	}
	return p
}

func seconds(h *replication.EventHeader) time.Time { return time.Unix(int64(h.Timestamp), 0).UTC() }

// fileBegun learns which file this is. The server sends the description at the beginning of each file, and of the file
// in whose middle reading begins.
func (r *run) fileBegun(id fileID) error {
	r.files[r.boundary.File] = id
	for _, sb := range r.f.subs {
		if sb.from.File == r.boundary.File && sb.birth != 0 && (sb.birth != id.birth || sb.owner != id.owner) {
			sb.queue = append(sb.queue, hint{tx: &txn{start: sb.from.boundary()}, row: sb.from.Skip, extra: &extra{err: lost("mysql.log_replaced",
				"The server's binary log is another one than when %s was last read (a fail-over, a restore, or RESET MASTER); the table is read anew.", sb.t.name)}})
		}
	}
	r.ready = true
	r.f.broadcast()
	return nil
}

func (r *run) begin(h *replication.EventHeader, gtid string, when time.Time) {
	r.tx = &txn{start: r.boundary, gtid: gtid, when: when, rows: make(map[*sub]int)}
}

func (r *run) beginMySQL(h *replication.EventHeader, e *replication.GTIDEvent) {
	gtid, when := "", seconds(h)
	if h.EventType != replication.ANONYMOUS_GTID_EVENT {
		if id, err := uuid.FromBytes(e.SID); err == nil {
			gtid = id.String() + ":" + strconv.FormatInt(e.GNO, 10)
		}
	}
	if e.OriginalCommitTimestamp != 0 {
		when = e.OriginalCommitTime().UTC()
	} else if e.ImmediateCommitTimestamp != 0 {
		when = e.ImmediateCommitTime().UTC()
	}
	r.begin(h, gtid, when)
}

// end closes the transaction: everything before its end is now in the queues.
func (r *run) end(h *replication.EventHeader) {
	r.tx = nil
	if h.LogPos != 0 {
		r.boundary.Pos = unwrap(r.boundary.Pos, h.LogPos)
	}
	r.f.broadcast()
	for w := range r.f.watchers {
		w.ring()
	}
}

func (r *run) statement(h *replication.EventHeader, schema, q string) error {
	switch q { // the most frequent ones
	case "BEGIN":
		if r.tx == nil {
			r.begin(h, "", seconds(h))
		}
		r.tx.explicit = true
		return nil
	case "COMMIT", "ROLLBACK":
		r.end(h)
		return nil
	}
	words := tokens(q)
	switch verb(words) {
	case "SAVEPOINT", "RELEASE":
		return nil
	case "ROLLBACK":
		if has(words, "TO") {
			return nil
		}
		r.end(h)
		return nil
	case "COMMIT":
		r.end(h)
		return nil
	case "XA":
		r.xa(h, q, words)
		return nil
	}
	if r.tx == nil {
		r.begin(h, "", seconds(h))
	}
	tx := r.tx
	for object, sb := range r.f.subs {
		effect := effectOn(words, schema, sb.t.schema, sb.t.name, r.f.s.server.foldNames)
		if effect == effectNone || tx.start.before(sb.from.boundary()) || sb.full != nil {
			continue
		}
		switch effect {
		case effectReplaced:
			r.f.s.forget(object)
			r.tableLost(sb, lost("mysql.table_replaced", "Rows of %s came or went without a trace in the log (%s); the table is read anew.", sb.t.name, strings.ToUpper(words[0])))
		case effectUnlogged:
			r.tableLost(sb, lost("mysql.statement_logged", "Rows of %s were changed by a statement that the server logged without the rows (binlog_format was not ROW); the table is read anew.", sb.t.name))
		case effectAltered:
			r.altered(object, sb)
		}
		if r.f.run != r {
			return errStopped
		}
	}
	if !tx.explicit {
		r.end(h)
	}
	return nil
}

// altered learns the table's shape again. What is known afterwards is the table as it is now; when the log holds a
// further alteration, its rows in between may not fit, and then the table is read anew.
func (r *run) altered(object record.Object, sb *sub) {
	r.f.s.forget(object)
	ctx, cancel := context.WithTimeout(context.Background(), silentAfter)
	defer cancel()
	r.f.mu.Unlock()
	t, err := r.f.s.table(ctx, object)
	r.f.mu.Lock()
	switch {
	case err != nil:
		r.tableLost(sb, lost("mysql.table_replaced", "The table %s was altered and can no longer be read as before; it is read anew.", sb.t.name))
	case strings.Join(t.keyNames(), ",") != strings.Join(sb.t.keyNames(), ","):
		r.tableLost(sb, lost("mysql.key_changed", "The key of %s was changed; the table is read anew.", sb.t.name))
	default:
		sb.t, sb.now = t, t.shape()
		r.push(sb, func(row int) hint { return hint{tx: r.tx, row: row, extra: &extra{shape: sb.now}} })
	}
}

func (r *run) tableLost(sb *sub, why *connector.Error) {
	if at := (place{File: r.tx.start.File, Pos: r.tx.start.Pos, Skip: r.tx.rows[sb]}); !at.before(sb.from) {
		sb.lostAt = &at
	}
	r.push(sb, func(row int) hint { return hint{tx: r.tx, row: row, extra: &extra{err: why}} })
}

func (r *run) everyTableLost(code, why string) {
	if r.tx == nil {
		r.tx = &txn{start: r.boundary, rows: make(map[*sub]int)}
	}
	for _, sb := range r.f.subs {
		r.tableLost(sb, lost(code, "%s", why))
	}
}

// push numbers a hint of the running transaction and queues it.
func (r *run) push(sb *sub, hinted func(row int) hint) {
	row := r.tx.rows[sb]
	r.tx.rows[sb] = row + 1
	r.f.push(r, sb, hinted(row))
}

func (r *run) sub(schema, name string) *sub {
	for _, sb := range r.f.subs {
		if sb.t.name == name && sb.t.schema == schema || r.f.s.server.foldNames && strings.EqualFold(sb.t.name, name) && strings.EqualFold(sb.t.schema, schema) {
			return sb
		}
	}
	return nil
}

func (r *run) rows(h *replication.EventHeader, e *replication.RowsEvent) error {
	if r.tx == nil {
		r.begin(h, "", seconds(h))
		r.tx.explicit = true
	}
	schema, name := string(e.Table.Schema), string(e.Table.Table)
	data, _ := e.Rows[0][0].([]byte)
	e.Rows = nil
	if name == originTable && schema == r.f.s.access.database {
		r.marked(h.EventType, e, data)
		return nil
	}
	sb := r.sub(schema, name)
	if sb == nil || r.tx.xa == "" && (sb.full != nil || r.tx.start.before(sb.from.boundary())) {
		return nil
	}
	positions, err := sb.t.keyPositions(e.Table, sb.now)
	if err == nil {
		err = sb.t.logKeys(h.EventType, e, data, positions, func(k logKey) {
			if r.tx.xa != "" {
				r.tx.held = append(r.tx.held, heldHint{sb.t.object, k})
				return
			}
			r.pushKey(sb, k)
		})
	}
	var unreadable errUnreadable
	switch {
	case err == nil:
	case errors.As(err, &unreadable):
		r.tableLost(sb, &connector.Error{Class: connector.Reject, Code: "mysql.log_unreadable",
			Message: "The key column " + unreadable.column + " of " + sb.t.name + " cannot be read from the binary log; choose another changeDetection (timestamp or hash) for this service."})
	default:
		r.tableLost(sb, lost("mysql.shape_unknown", "The log holds rows of %s from between two alterations of the table; it is read anew.", sb.t.name))
	}
	if r.f.run != r {
		return errStopped
	}
	return nil
}

func (r *run) pushKey(sb *sub, k logKey) {
	r.push(sb, func(row int) hint {
		out := hint{tx: r.tx, row: row, key: k.key}
		if k.other != "" || k.raw != nil {
			out.extra = &extra{key: k}
		}
		return out
	})
}

// xa follows two-phase transactions: their rows are logged when they are prepared, but happen when they are committed.
func (r *run) xa(h *replication.EventHeader, q string, words []string) {
	id := ""
	if i := strings.IndexAny(q, "'"); i > 0 {
		id = strings.TrimSpace(q[i:]) // the rest after X: 'gtrid',X'bqual',formatID
	}
	switch {
	case has(words[1:min(2, len(words))], "START", "BEGIN"):
		if r.tx == nil {
			r.begin(h, "", seconds(h))
		}
		r.tx.explicit, r.tx.xa = true, id
	case has(words[1:min(2, len(words))], "END"):
		if r.tx != nil && r.tx.xa != "" {
			r.tx.xa = id
		}
	case has(words[1:min(2, len(words))], "COMMIT"):
		id, _, onePhase := strings.Cut(id, " ")
		if r.tx == nil {
			r.begin(h, "", seconds(h))
		}
		if onePhase && r.tx.xa == id {
			r.commitPrepared(r.tx)
		} else if p := r.prepared[id]; p != nil {
			delete(r.prepared, id)
			r.commitPrepared(p)
		} else {
			// It was prepared before reading began; what it changed is not known.
			r.everyTableLost("mysql.transaction_unknown", "A two-phase transaction (XA) was committed that had been prepared before reading began; the table is read anew.")
		}
		r.end(h)
	case has(words[1:min(2, len(words))], "ROLLBACK"):
		delete(r.prepared, id)
		r.end(h)
	}
}

// prepare keeps the hints of the transaction until it is committed.
func (r *run) prepare(h *replication.EventHeader, data []byte) {
	if r.tx != nil && r.tx.xa != "" {
		if len(data) > 0 && data[0] != 0 { // one phase: this is its commit
			r.commitPrepared(r.tx)
		} else if len(r.tx.held) > 0 {
			r.prepared[r.tx.xa] = r.tx
		} else {
			r.prepared[r.tx.xa] = &txn{start: r.tx.start} // of no interest, but known
		}
	}
	r.end(h)
}

func (r *run) commitPrepared(p *txn) {
	r.tx.xa = ""
	for _, h := range p.held {
		if sb := r.f.subs[h.object]; sb != nil {
			r.pushKey(sb, h.key)
		}
	}
}

// openSince is where reading must begin for a cursor at that place, so that transactions prepared before are known; nil
// when none are open.
func (r *run) openSince(at place) *place {
	var first *place
	for _, p := range r.prepared {
		if p.start.before(at) && (first == nil || p.start.before(*first)) {
			start := p.start
			first = &start
		}
	}
	return first
}

// marked reads who says that the running transaction is its own write.
func (r *run) marked(eventType replication.EventType, e *replication.RowsEvent, data []byte) {
	origin := originShape()
	_ = origin.logKeys(eventType, e, data, []int{0, 1}, func(k logKey) {
		if parts, err := k.key.Parts(2); err == nil {
			r.tx.consumer, r.tx.object = parts[0], parts[1]
		}
	})
}
