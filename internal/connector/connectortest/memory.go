// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"context"
	"slices"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Memory is a connector to a system inside the process. All systems opened from one Memory share its records. It is
// safe for concurrent use; its zero value is not ready, use NewMemory.
type Memory struct {
	mu       sync.Mutex
	typ      string
	token    string
	renewal  string // the token once the write under way is through
	clock    func() time.Time
	seq      uint64 // of the last change in any object
	suppress bool
	objects  map[record.Object]*table
	watchers map[*watcher]struct{}
	faults   []Fault
	limit    rate
	opened   int // systems open now
}

// NewMemory makes an empty system with these objects. Its clock starts at 2026-01-01 and goes on one millisecond with
// each change; see SetClock.
func NewMemory(objects ...connector.ObjectInfo) *Memory {
	m := &Memory{typ: "memory", objects: map[record.Object]*table{}, watchers: map[*watcher]struct{}{}}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	m.clock = func() time.Time { return start.Add(time.Duration(m.seq) * time.Millisecond) }
	for _, o := range objects {
		m.Declare(o)
	}
	return m
}

// Named makes the connector's type another word than "memory", so that one registry can hold several.
func (m *Memory) Named(typ string) *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.typ = typ
	return m
}

// Declare adds an object, or changes the shape of one that is there; its records stay.
func (m *Memory) Declare(info connector.ObjectInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t, there := m.objects[info.Name]; there {
		t.info = info
		return
	}
	m.objects[info.Name] = newTable(info)
}

// Drop removes an object with all its records.
func (m *Memory) Drop(object record.Object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, object)
}

// SetClock makes the system tell the time by now, which is called with the system locked.
func (m *Memory) SetClock(now func() time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock = now
}

// SuppressEchoes sets whether a consumer's own writes are left out of what it reads. They are not at first, so that the
// engine's own recognition of echoes is under test.
func (m *Memory) SuppressEchoes(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.suppress = on
}

// SetToken makes the system accept only connections with that token; "" accepts all.
func (m *Memory) SetToken(token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.token = token
}

// Opened returns how many systems are open at this moment; a test can see that all were closed.
func (m *Memory) Opened() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.opened
}

// LosePlaces makes every cursor handed out so far unreadable (class LostPlace).
func (m *Memory) LosePlaces(object record.Object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seq++
	m.objects[object].floor = m.seq
}

// Normalise makes the system keep f(value) of every value written to the field, by users and connectors alike.
func (m *Memory) Normalise(object record.Object, field string, f func(record.Value) record.Value) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[object].normalise[field] = f
}

// Check makes the object refuse what check returns an error for: a constraint. It is asked with the whole record as it
// would become, for connectors' writes only.
func (m *Memory) Check(object record.Object, check func(record.Key, record.Fields) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[object].check = check
}

// Unique makes each of the fields refuse a value that another record has; nulls are not values.
func (m *Memory) Unique(object record.Object, fields ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[object].unique = fields
}

// table is one object's records.
type table struct {
	remembered map[string]remembered // by consumer
	info       connector.ObjectInfo
	rows       map[record.Key]*row
	log        []logEntry   // changes in order; those that no reader needs any more are dropped now and then
	sorted     []record.Key // every key of rows in order, but for pending
	pending    []record.Key
	live       int
	serial     int64 // last key made by the system
	written    int64 // changes by Write
	floor      uint64
	normalise  map[string]func(record.Value) record.Value
	unique     []string
	check      func(record.Key, record.Fields) error
}

// row is a record, or the tombstone of one.
type row struct {
	key     record.Key
	fields  record.Fields
	deleted bool
	version uint64
	at      time.Time
	last    []stampBy // the last change by each origin
}

type stampBy struct {
	origin string // a consumer, "" for users
	seq    uint64
}

type logEntry struct {
	seq    uint64
	row    *row
	origin string
}

func newTable(info connector.ObjectInfo) *table {
	return &table{info: info, rows: map[record.Key]*row{}, normalise: map[string]func(record.Value) record.Value{}}
}

// set stores the record's new state (nil: deleted) as a change of its own.
func (m *Memory) set(t *table, key record.Key, fields record.Fields, origin string) *row {
	m.seq++
	r, there := t.rows[key]
	if !there {
		r = &row{key: key, deleted: true}
		t.rows[key] = r
		t.pending = append(t.pending, key)
	}
	if was, is := !r.deleted, fields != nil; is != was {
		if is {
			t.live++
		} else {
			t.live--
		}
	}
	r.fields, r.deleted, r.version, r.at = fields, fields == nil, m.seq, m.clock()
	if i := slices.IndexFunc(r.last, func(s stampBy) bool { return s.origin == origin }); i >= 0 {
		r.last[i].seq = m.seq
	} else {
		r.last = append(r.last, stampBy{origin, m.seq})
	}
	t.log = append(t.log, logEntry{m.seq, r, origin})
	if len(t.log) > 64 && len(t.log) > 4*len(t.rows) {
		t.log = slices.DeleteFunc(t.log, func(e logEntry) bool { return !slices.Contains(e.row.last, stampBy{e.origin, e.seq}) })
	}
	return r
}

// lastBySomeoneElse is the latest change that reader should see: of anybody, or of anybody but itself.
func (r *row) lastBySomeoneElse(reader string) uint64 {
	var last uint64
	for _, s := range r.last {
		if reader == "" || s.origin != reader {
			last = max(last, s.seq)
		}
	}
	return last
}

// keys returns all keys in order, tombstones included.
func (t *table) keys() []record.Key {
	if len(t.pending) > 0 {
		slices.Sort(t.pending)
		merged := make([]record.Key, 0, len(t.sorted)+len(t.pending))
		a, b := t.sorted, t.pending
		for len(a) > 0 && len(b) > 0 {
			if a[0] < b[0] {
				merged, a = append(merged, a[0]), a[1:]
			} else {
				merged, b = append(merged, b[0]), b[1:]
			}
		}
		t.sorted, t.pending = append(append(merged, a...), b...), nil
	}
	return t.sorted
}

func (t *table) change(r *row, fields []string) record.Change {
	c := record.Change{Key: r.key, Op: record.Upsert, Version: strconv.FormatUint(r.version, 10), At: r.at}
	if r.deleted {
		c.Op = record.Delete
		return c
	}
	c.Fields = t.pick(r.fields, fields)
	return c
}

// pick returns the fields asked for and the key's; all when none are asked for.
func (t *table) pick(all record.Fields, want []string) record.Fields {
	if len(want) == 0 {
		return all.Clone()
	}
	out := make(record.Fields, len(want)+len(t.info.Key))
	for _, f := range want {
		if v, there := all[f]; there {
			out[f] = v
		}
	}
	for _, f := range t.info.Key {
		out[f] = all[f]
	}
	return out
}

func (m *Memory) lookup(object record.Object) (*table, error) {
	t, there := m.objects[object]
	if !there {
		return nil, &connector.Error{Class: connector.Drift, Code: "memory.no_such_object", Message: "There is no object " + strconv.Quote(string(object)) + " in this system; it has " + m.names() + "."}
	}
	return t, nil
}

func (m *Memory) names() string {
	names := make([]string, 0, len(m.objects))
	for n := range m.objects {
		names = append(names, string(n))
	}
	sort.Strings(names)
	s := ""
	for i, n := range names {
		if i > 0 {
			s += ", "
		}
		s += n
	}
	return s
}

// Spec declares the connector.
func (m *Memory) Spec() connector.Spec {
	m.mu.Lock()
	defer m.mu.Unlock()
	return connector.Spec{
		Type: m.typ, Title: "In-memory system", Class: "standard",
		Summary: "Keeps records in this process, for tests and trials.",
		Settings: []connector.Setting{
			{Name: "token", Title: "Token", Kind: connector.Text, Secret: true, Doc: "What the system was told to ask for, if anything."},
		},
		Detections: []string{"stream", "polling"},
		Deletes:    "tombstone",
		Guarantee:  "effectively once: a write compares with what the record holds and changes it in one step",
	}
}

// Open connects to the system.
func (m *Memory) Open(_ context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	spec := m.Spec()
	if d := env.Detection; d != "" && d != "auto" && !slices.Contains(spec.Detections, d) {
		return nil, &connector.Error{Class: connector.Reject, Code: "memory.detection", Message: "An in-memory system cannot detect changes by " + strconv.Quote(d) + "; use stream or polling."}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opened++
	return &system{m: m, token: settings["token"], consumer: env.Consumer, detection: env.Detection}, nil
}
