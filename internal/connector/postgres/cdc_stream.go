// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// logStream reads the consumer's replication slot and keeps, for each of its tables, the keys that changed, in the order
// of commits. It lives as long as its connection; the next reader starts another, and the server sends again all that was
// not acknowledged.
//
// Positions are those of the commit records: a position p stands for all commits before p.
type logStream struct {
	made   string // which making of the slot
	cancel context.CancelFunc
	done   chan struct{} // closed when the stream has ended

	mu       sync.Mutex
	err      error // why it ended
	queues   map[uint32]*queue
	position uint64 // all commits before were received
	held     int    // entries in all queues
	most     int    // of them
	watchers map[*streamWatcher]struct{}
	room     chan struct{} // gets a token when entries were dropped
}

// queue is the changes of one table.
type queue struct {
	t        *table
	entries  []entry
	floor    uint64    // entries of commits before are not in memory
	acked    uint64    // commits before are safely stored
	dropped  uint64    // the first commit with entries that were dropped from memory and are not acknowledged, 0 for none
	asked    uint64    // the position of the last reader
	lastRead time.Time // when somebody last read
}

// entry is a changed key.
type entry struct {
	lsn  uint64
	n    int    // its number among the table's changes of the commit
	xid  uint32 // the transaction, to ask whether it is visible yet
	key  record.Key
	at   time.Time
	lost bool // not a change but the loss of all: TRUNCATE, or a change of the key's columns
}

// maxHeld bounds the entries in memory, of perhaps 150 bytes each. More than that waits on the server.
const maxHeld = 200_000

// idleAfter is when a table counts as not being read, so that its entries may be dropped from memory. They are sent again
// when somebody reads it.
const idleAfter = 10 * time.Second

// statusEvery is how often the server is told what is acknowledged.
const statusEvery = time.Second

// stream returns the running stream, or starts it.
func (s *system) stream(ctx context.Context, c *pgconn.PgConn) (*logStream, error) {
	s.starting.Lock()
	defer s.starting.Unlock()
	s.mu.Lock()
	st := s.log
	s.mu.Unlock()
	if st != nil && st.alive() {
		return st, nil
	}
	made, names, err := s.publication(ctx, c)
	if err != nil {
		return nil, err
	}
	st = &logStream{made: made, done: make(chan struct{}), queues: map[uint32]*queue{}, watchers: map[*streamWatcher]struct{}{}, room: make(chan struct{}, 1), most: s.mostHeld}
	for _, q := range names {
		t, err := s.table(ctx, c, objectName(q, s.schema))
		if connector.Classify(err).Class == connector.Reject {
			continue // not fit for reading any more, which its own reader will be told
		}
		if err != nil {
			return nil, err
		}
		st.queues[t.oid] = &queue{t: t}
	}
	config, err := dialConfig(s.settings, s.env, s.second, "syncline stream "+s.consumer())
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["replication"] = "database"
	conn, err := s.startReplication(ctx, c, config)
	if err != nil {
		return nil, err
	}
	if st.position, err = s.confirmedAt(ctx, c); err != nil {
		conn.Close(ctx)
		return nil, err
	}
	running, cancel := context.WithCancel(context.Background())
	st.cancel = cancel
	go func() { //nolint:gosec // the stream outlives the request that opened it, until it is closed
		err := st.run(running, conn, s.consumer())
		closing, stop := context.WithTimeout(context.Background(), time.Second)
		defer stop()
		conn.Close(closing)
		st.mu.Lock()
		st.err = err
		st.mu.Unlock()
		close(st.done)
	}()
	s.mu.Lock()
	s.log = st
	s.mu.Unlock()
	return st, nil
}

// startReplication opens the slot. A connection that still holds it is that of a program that died or lost the work to
// us; after a while it is ended.
func (s *system) startReplication(ctx context.Context, c *pgconn.PgConn, config *pgconn.Config) (*pgconn.PgConn, error) {
	for attempt := 0; ; attempt++ {
		conn, err := pgconn.ConnectConfig(ctx, config)
		if err != nil {
			return nil, err
		}
		plugin := []string{"proto_version '1'", "publication_names '" + strings.ReplaceAll(quote(s.slotName()), "'", "''") + "'"}
		if major, _ := strconv.Atoi(strings.FieldsFunc(conn.ParameterStatus("server_version")+" ", func(r rune) bool { return r < '0' || r > '9' })[0]); major >= 14 {
			plugin = append(plugin, "messages 'true'")
		}
		err = pglogrepl.StartReplication(ctx, conn, s.slotName(), 0, pglogrepl.StartReplicationOptions{Mode: pglogrepl.LogicalReplication, PluginArgs: plugin})
		if err == nil {
			return conn, nil
		}
		conn.Close(ctx)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "55006" || attempt == 60 {
			return nil, err
		}
		if attempt == 30 {
			err := statement{sql: "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL", params: []param{text(s.slotName())}}.run(ctx, c)
			if err != nil {
				return nil, err
			}
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func (s *system) stopStream() {
	s.mu.Lock()
	st := s.log
	s.log = nil
	s.mu.Unlock()
	if st != nil {
		st.close()
	}
}

func (st *logStream) close() {
	st.cancel()
	<-st.done
}

func (st *logStream) alive() bool {
	select {
	case <-st.done:
		return false
	default:
		return true
	}
}

// relation is a table as the stream describes it.
type relation struct {
	message  *pglogrepl.RelationMessage
	keyAt    []int // nil until they could be found
	decoders []decoder
}

// transaction is one being received.
type transaction struct {
	open    bool
	own     bool
	xid     uint32
	at      time.Time
	entries map[uint32][]entry
}

// run receives until the connection breaks or ctx ends.
func (st *logStream) run(ctx context.Context, conn *pgconn.PgConn, consumer string) error {
	relations := map[uint32]*relation{}
	var tx transaction
	var status time.Time
	reply := true // ask once, to learn the position soon
	for {
		if now := time.Now(); reply || now.Sub(status) >= statusEvery {
			if err := pglogrepl.SendStandbyStatusUpdate(ctx, conn, pglogrepl.StandbyStatusUpdate{WALWritePosition: pglogrepl.LSN(st.confirmed()), ReplyRequested: status.IsZero()}); err != nil {
				return err
			}
			status, reply = now, false
		}
		waiting, stop := context.WithDeadline(ctx, status.Add(statusEvery))
		message, err := conn.ReceiveMessage(waiting)
		stop()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if pgconn.Timeout(err) && !conn.IsClosed() {
				continue
			}
			return err
		}
		switch message := message.(type) {
		case *pgproto3.ErrorResponse:
			return pgconn.ErrorResponseToPgError(message)
		case *pgproto3.CopyData:
			switch message.Data[0] {
			case pglogrepl.PrimaryKeepaliveMessageByteID:
				alive, err := pglogrepl.ParsePrimaryKeepaliveMessage(message.Data[1:])
				if err != nil {
					return err
				}
				reply = reply || alive.ReplyRequested
				if !tx.open {
					st.advance(uint64(alive.ServerWALEnd))
				}
			case pglogrepl.XLogDataByteID:
				data, err := pglogrepl.ParseXLogData(message.Data[1:])
				if err != nil {
					return err
				}
				m, err := pglogrepl.Parse(data.WALData)
				if err != nil {
					return err
				}
				if err := st.receive(ctx, conn, m, relations, &tx, consumer); err != nil {
					return err
				}
			}
		case *pgproto3.CopyDone:
			return errors.New("the server ended the replication")
		}
	}
}

func (st *logStream) receive(ctx context.Context, conn *pgconn.PgConn, m pglogrepl.Message, relations map[uint32]*relation, tx *transaction, consumer string) error {
	switch m := m.(type) {
	case *pglogrepl.BeginMessage:
		*tx = transaction{open: true, xid: m.Xid, at: m.CommitTime, entries: map[uint32][]entry{}}
	case *pglogrepl.LogicalDecodingMessage:
		if m.Transactional && m.Prefix == originPrefix && string(m.Content) == consumer {
			tx.own = true
		}
	case *pglogrepl.RelationMessage:
		relations[m.RelationID] = &relation{message: m}
	case *pglogrepl.InsertMessage:
		tx.note(m.RelationID, st.resolved(relations[m.RelationID]), m.Tuple)
	case *pglogrepl.UpdateMessage:
		tx.note(m.RelationID, st.resolved(relations[m.RelationID]), m.NewTuple)
		if m.OldTuple != nil { // the key changed, or the identity is the whole row
			tx.note(m.RelationID, st.resolved(relations[m.RelationID]), m.OldTuple)
		}
	case *pglogrepl.DeleteMessage:
		tx.note(m.RelationID, st.resolved(relations[m.RelationID]), m.OldTuple)
	case *pglogrepl.TruncateMessage:
		for _, id := range m.RelationIDs {
			tx.entries[id] = append(tx.entries[id], entry{lost: true})
		}
	case *pglogrepl.CommitMessage:
		err := st.commit(ctx, conn, tx, uint64(m.CommitLSN), uint64(m.TransactionEndLSN))
		*tx = transaction{}
		return err
	}
	return nil
}

// resolved finds the key's columns in the stream's description; nil when they are not there as the catalogs said.
func (st *logStream) resolved(r *relation) *relation {
	if r == nil || r.keyAt != nil {
		return r
	}
	var t *table
	st.mu.Lock()
	if q := st.queues[r.message.RelationID]; q != nil {
		t = q.t
	}
	st.mu.Unlock()
	if t == nil {
		return nil
	}
	var keyAt []int
	var decoders []decoder
	for _, k := range t.key {
		col := &t.columns[k]
		at := -1
		for i, c := range r.message.Columns {
			if c.Name == col.name {
				at = i
			}
		}
		if at < 0 {
			return nil
		}
		keyAt, decoders = append(keyAt, at), append(decoders, col.decoder())
	}
	r.keyAt, r.decoders = keyAt, decoders
	return r
}

// note adds the key of a changed row. One that cannot be read is the loss of the place: nothing is passed over.
func (tx *transaction) note(id uint32, r *relation, tuple *pglogrepl.TupleData) {
	e := entry{lost: true}
	if r != nil && tuple != nil {
		values := make([]record.Value, len(r.keyAt))
		e.lost = false
		for i, at := range r.keyAt {
			if at >= len(tuple.Columns) || tuple.Columns[at].DataType != pglogrepl.TupleDataTypeText {
				e.lost = true
				break
			}
			values[i] = r.decoders[i](string(tuple.Columns[at].Data))
		}
		if !e.lost {
			e.key = record.MakeKey(values...)
		}
	}
	tx.entries[id] = append(tx.entries[id], e)
}

// commit puts the transaction's keys into the queues, once there is room.
func (st *logStream) commit(ctx context.Context, conn *pgconn.PgConn, tx *transaction, lsn, end uint64) error {
	if !tx.own {
		if err := st.makeRoom(ctx, conn); err != nil {
			return err
		}
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if !tx.own {
		for id, entries := range tx.entries {
			q := st.queues[id]
			if q == nil {
				q = &queue{dropped: lsn}
				st.queues[id] = q
			}
			if q.t == nil { // just published; who will read it is about to say so, and gets the changes sent again
				q.floor = lsn + 1
				continue
			}
			for i := range entries {
				entries[i].lsn, entries[i].n, entries[i].xid, entries[i].at = lsn, i, tx.xid, tx.at
			}
			q.entries = append(q.entries, entries...)
			st.held += len(entries)
			st.wake(id)
		}
	}
	st.position = max(st.position, end)
	return nil
}

// makeRoom waits while too much is held in memory. The server is kept informed meanwhile, or it would hang up.
func (st *logStream) makeRoom(ctx context.Context, conn *pgconn.PgConn) error {
	for {
		st.mu.Lock()
		if st.held >= st.most {
			st.drop(false)
		}
		if st.held >= st.most {
			st.drop(true)
		}
		full := st.held >= st.most
		st.mu.Unlock()
		if !full {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-st.room:
		case <-time.After(statusEvery):
			if err := pglogrepl.SendStandbyStatusUpdate(ctx, conn, pglogrepl.StandbyStatusUpdate{WALWritePosition: pglogrepl.LSN(st.confirmed())}); err != nil {
				return err
			}
		}
	}
}

// drop forgets entries that readers have passed or, of tables that nobody reads, all. What is not acknowledged can be
// had from the server again. st.mu is held.
func (st *logStream) drop(idle bool) {
	for _, q := range st.queues {
		to := q.asked
		if idle && time.Since(q.lastRead) > idleAfter && len(q.entries) > 0 {
			to = q.entries[len(q.entries)-1].lsn + 1
		}
		st.dropBefore(q, to)
	}
}

func (st *logStream) dropBefore(q *queue, lsn uint64) {
	n := sort.Search(len(q.entries), func(i int) bool { return q.entries[i].lsn >= lsn })
	if n == 0 {
		return
	}
	for i := range n {
		if e := q.entries[i]; e.lsn >= q.acked && q.dropped == 0 {
			q.dropped = e.lsn
		}
	}
	q.floor = max(q.floor, q.entries[n-1].lsn+1)
	q.entries = append([]entry(nil), q.entries[n:]...)
	st.held -= n
	select {
	case st.room <- struct{}{}:
	default:
	}
}

// acknowledge notes that the table's changes of all commits before lsn are stored.
func (st *logStream) acknowledge(oid uint32, lsn uint64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	q := st.queues[oid]
	if q == nil || lsn <= q.acked {
		return
	}
	q.acked = lsn
	st.dropBefore(q, lsn)
	if q.dropped != 0 && q.dropped < lsn {
		q.dropped = 0
		if q.floor > lsn {
			q.dropped = lsn
		}
	}
}

// confirmed is the position before which no table needs anything: a table without unstored changes holds nothing back.
func (st *logStream) confirmed() uint64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	lsn := st.position
	for _, q := range st.queues {
		if q.dropped != 0 {
			lsn = min(lsn, q.dropped)
		}
		if len(q.entries) > 0 {
			lsn = min(lsn, q.entries[0].lsn)
		}
	}
	return lsn
}

// advance notes that all commits before lsn were received.
func (st *logStream) advance(lsn uint64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.position = max(st.position, lsn)
}

// begin makes the stream keep the table's changes.
func (st *logStream) begin(t *table) {
	st.mu.Lock()
	defer st.mu.Unlock()
	q := st.queues[t.oid]
	if q == nil {
		q = &queue{}
		st.queues[t.oid] = q
	}
	q.t, q.lastRead = t, time.Now()
}

// leave forgets a table.
func (st *logStream) leave(oid uint32) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if q := st.queues[oid]; q != nil {
		st.held -= len(q.entries)
		delete(st.queues, oid)
	}
}

// streamWatcher is a Watch under way; its fields are guarded by logStream.mu.
type streamWatcher struct {
	changed map[uint32]bool // tables watched -> told of since
	bell    chan struct{}
}

func (st *logStream) wake(oid uint32) {
	for w := range st.watchers {
		if _, watched := w.changed[oid]; watched {
			w.changed[oid] = true
			select {
			case w.bell <- struct{}{}:
			default:
			}
		}
	}
}

func (st *logStream) failure() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.err == nil {
		return fmt.Errorf("the stream of changes ended")
	}
	return st.err
}
