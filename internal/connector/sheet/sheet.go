// SPDX-License-Identifier: Apache-2.0

// Package sheet makes a connector of tables that people keep and that can only be read whole: spreadsheets, and bases whose rows
// have no time of change. What changed is found by comparing with digests that the cursor carries, so nothing is kept in the
// table, and a row is who its key column says it is, wherever it stands. A place that tells of its changes implements Told, and
// is read whole only once.
//
// A place of such tables implements Source; one whose rows are known only by their position implements Grid, see Positional.
package sheet

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/written"
	"github.com/syncline-dev/syncline/internal/record"
)

// Row is a record as the place has it.
type Row struct {
	Key    record.Key
	Fields record.Fields
	Handle any // what the source finds it by
}

// Table is all of an object at one time.
type Table struct {
	Fields []connector.FieldInfo
	Key    []string
	Rows   []*Row
	Made   bool // the place makes keys
	Open   bool // records can have fields that none has yet
	// Estimate is how many rows there are in all, about, where Rows are not all of them.
	Estimate int64
	byKey    map[record.Key]*Row
	sorted   []*Row
}

// Edit is one change that was decided against a table.
type Edit struct {
	Row    *Row          // nil for a new record
	Set    record.Fields // the fields to set, in the form in which they are kept
	Delete bool
	Key    record.Key // of the row after it
}

// ErrMoved says that a row was not any more as it was when the edit was decided.
var ErrMoved = errors.New("sheet: the row was changed by somebody else")

// Source is a place of tables. Errors are classified.
type Source interface {
	Check(ctx context.Context) error
	Objects(ctx context.Context) ([]record.Object, error)
	// Load reads the whole table. Rows without a key are left out by the caller; keys are made by it from the key fields,
	// unless Made.
	Load(ctx context.Context, object record.Object) (*Table, error)
	// Keep returns the form in which a field keeps a value, or an error that says in words why it cannot.
	Keep(f connector.FieldInfo, v record.Value) (record.Value, error)
	// Apply carries the edits out and answers each: nil, ErrMoved, or an error of class Reject. Of a new record's edit it fills in
	// Key where the place makes it. The error is for what became of the rest being unknown.
	Apply(ctx context.Context, object record.Object, t *Table, edits []*Edit) ([]error, error)
	Close() error
}

// ByHash is the detection.
const ByHash = "hash"

// Deletes and Guarantee are what a connector of tables says of itself in its Spec.
const (
	Deletes   = "list-diff: a row that is not there any more; a table that went empty at once is held by the safety brake"
	Guarantee = "effectively once: rows are recognised by their key column, compared with the expected state just before writing, and looked at again afterwards"
)

// Settings are those of each connector of tables.
func Settings() []connector.Setting {
	return []connector.Setting{
		{Name: "key", Title: "Key column", Kind: connector.Text, Default: "id",
			Doc: "The column by which rows are told apart: id, or by table, where * stands for anything: Orders=number; Stock*=sku."},
		{Name: "maxRows", Title: "Most rows", Kind: connector.Integer, Default: "20000", Doc: "A table with more rows than this is refused: it is read whole each time."},
	}
}

// Options are those settings, parsed.
type Options struct {
	keys []rule
	most int
}

type rule struct{ tables, column string }

// ReadOptions parses the settings.
func ReadOptions(settings connector.Settings) (o Options, err error) {
	o.most = 20_000
	if _, err := fmt.Sscan(settings["maxRows"], &o.most); err != nil && settings["maxRows"] != "" || o.most < 1 {
		o.most = 20_000
	}
	for _, part := range strings.Split(settings["key"], ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		tables, column, named := strings.Cut(part, "=")
		if !named {
			tables, column = "", part
		}
		r := rule{strings.TrimSpace(tables), strings.TrimSpace(column)}
		if _, bad := path.Match(r.tables, ""); bad != nil || r.column == "" {
			return o, &connector.Error{Class: connector.Reconnect, Code: "sheet.key_malformed", Message: fmt.Sprintf("The setting key cannot be understood at %q. Write id, or Orders=number; Stock*=sku.", part)}
		}
		o.keys = append(o.keys, r)
	}
	return o, nil
}

// KeyColumn is the column by which the table's rows are told apart.
func (o Options) KeyColumn(object record.Object) string {
	rest := "id"
	for _, r := range o.keys {
		if r.tables == "" {
			rest = r.column
		} else if ok, _ := path.Match(r.tables, string(object)); ok {
			return r.column
		}
	}
	return rest
}

// System is an open place.
type System struct {
	source  Source
	options Options
	pace    connector.Pace

	keyed Keyed  // nil: rows cannot be read by key
	told  Told   // nil: the place does not tell, or was asked not to
	asked string // the detection asked for
	why   string // why it does not tell
	now   func() time.Time

	mu     sync.Mutex
	chosen map[record.Object]choice

	written written.Records // what comparing may not see
}

// New makes a system of a source. It starts nothing.
func New(source Source, o Options, env connector.Env, pace connector.Pace) (connector.System, error) {
	s := &System{source: source, options: o, pace: pace, asked: env.Detection, chosen: map[record.Object]choice{}, now: time.Now}
	s.keyed, _ = source.(Keyed)
	told, tells := source.(Told)
	switch d := env.Detection; {
	case d == ByHash:
		s.why = "The service asks for it: the table is read whole and compared with what was there before."
		return s, nil
	case d == ByStream && tells, d == "", d == "auto":
	case tells:
		return nil, &connector.Error{Class: connector.Reject, Code: "sheet.detection_unknown", Message: fmt.Sprintf("Changes here cannot be detected by %q; use auto, %s or %s.", d, ByStream, ByHash)}
	default:
		return nil, &connector.Error{Class: connector.Reject, Code: "sheet.detection_unknown", Message: fmt.Sprintf("Changes in tables cannot be detected by %q; use auto or %s.", d, ByHash)}
	}
	if s.told = told; !tells {
		s.why = "The table keeps no times of change, so it is read whole and compared with what was there before."
	}
	if l, ok := source.(Listener); ok {
		return &Following{s, l}, nil
	}
	return s, nil
}

// Clock makes the system read the time there.
func (s *System) Clock(now func() time.Time) { s.now = now }

// Check implements connector.System.
func (s *System) Check(ctx context.Context) error { return s.source.Check(ctx) }

// Close implements connector.System.
func (s *System) Close() error { return s.source.Close() }

// Pace implements connector.Pacer.
func (s *System) Pace() connector.Pace { return s.pace }

// Objects implements connector.Discoverer.
func (s *System) Objects(ctx context.Context) ([]record.Object, error) {
	out, err := s.source.Objects(ctx)
	slices.Sort(out)
	return out, err
}

// Describe implements connector.Discoverer.
func (s *System) Describe(ctx context.Context, objects ...record.Object) ([]connector.ObjectInfo, error) {
	var out []connector.ObjectInfo
	for _, o := range objects {
		if s.keyed != nil {
			t, err := s.keyed.Shape(ctx, o)
			if err != nil {
				return nil, err
			}
			out = append(out, connector.ObjectInfo{Name: o, Fields: t.Fields, Key: t.Key, Rows: t.Estimate, Open: t.Open})
			continue
		}
		t, err := s.load(ctx, o)
		if err != nil {
			return nil, err
		}
		out = append(out, connector.ObjectInfo{Name: o, Fields: t.Fields, Key: t.Key, Rows: int64(len(t.Rows)), Open: t.Open})
	}
	return out, nil
}

// Detection implements connector.Chooser.
func (s *System) Detection(ctx context.Context, object record.Object) (detection, why string, err error) {
	c, err := s.choose(ctx, object)
	if err != nil {
		return "", "", err
	}
	if c.told {
		return ByStream, c.why, nil
	}
	return ByHash, c.why, nil
}

// load reads the table and finds its rows by key.
func (s *System) load(ctx context.Context, object record.Object) (*Table, error) {
	t, err := s.source.Load(ctx, object)
	if err != nil {
		return nil, err
	}
	if len(t.Rows) > s.options.most {
		return nil, &connector.Error{Class: connector.Reject, Code: "sheet.too_many_rows",
			Message: fmt.Sprintf("%s has %d rows; the connection's setting maxRows allows %d.", object, len(t.Rows), s.options.most)}
	}
	return t, s.index(object, t)
}

// index finds the rows by key.
func (s *System) index(object record.Object, t *Table) error {
	t.byKey = make(map[record.Key]*Row, len(t.Rows))
	rows := t.Rows[:0]
	for _, r := range t.Rows {
		if !t.Made {
			if r.Key = keyOf(t.Key, r.Fields); r.Key == "" {
				continue // a blank line, a note, a sum: none of the records
			}
		}
		if t.byKey[r.Key] != nil {
			return &connector.Error{Class: connector.Retry, Code: "sheet.key_not_unique",
				Message: fmt.Sprintf("In %s two rows have %s in the key column %s. Give one of them another value, or name another column in the connection's setting key.", object, r.Key, strings.Join(t.Key, ", "))}
		}
		t.byKey[r.Key] = r
		rows = append(rows, r)
	}
	t.Rows = rows
	t.sorted = slices.Clone(rows)
	sort.Slice(t.sorted, func(i, j int) bool { return t.sorted[i].Key < t.sorted[j].Key })
	return nil
}

// keyOf is "" where a key field has no value.
func keyOf(key []string, fields record.Fields) record.Key {
	values := make([]record.Value, len(key))
	for i, k := range key {
		if values[i] = fields[k]; values[i] == nil || values[i] == "" {
			return ""
		}
	}
	return record.MakeKey(values...)
}

func (t *Table) field(name string) (connector.FieldInfo, bool) {
	i := slices.IndexFunc(t.Fields, func(f connector.FieldInfo) bool { return f.Name == name })
	if i < 0 {
		return connector.FieldInfo{}, false
	}
	return t.Fields[i], true
}

func (t *Table) names() string {
	names := make([]string, len(t.Fields))
	for i, f := range t.Fields {
		names[i] = f.Name
	}
	return strings.Join(names, ", ")
}

func (t *Table) change(r *Row, wanted []string) record.Change {
	c := record.Change{Key: r.Key, Op: record.Upsert, Fields: record.Fields{}}
	if len(wanted) == 0 {
		for _, f := range t.Fields {
			c.Fields[f.Name] = r.Fields[f.Name]
		}
		return c
	}
	for _, name := range slices.Concat(t.Key, wanted) {
		c.Fields[name] = r.Fields[name]
	}
	return c
}

// place is a cursor.
type place struct {
	Snap  bool       `json:"snap,omitempty"`
	After record.Key `json:"after,omitempty"`
	Begun bool       `json:"begun,omitempty"`
	Known []byte     `json:"known,omitempty"` // the digests of what was handed out, packed
	Ours  int        `json:"ours,omitempty"`  // how often there were records of ours among it: what somebody undid leaves Known as it was

	// Where the place tells of changes:
	Told json.RawMessage `json:"told,omitempty"` // where in them
	Span json.RawMessage `json:"span,omitempty"` // where in the table, during the snapshot
	Keys []record.Key    `json:"keys,omitempty"` // told and not handed out
	At   int64           `json:"at,omitempty"`   // when Told was where it is, in seconds since 1970
}

const digestSize = 8

type digest [digestSize]byte

func digestOf(c *record.Change) (d digest) {
	sum := sha256.Sum256(record.AppendJSON(nil, map[string]any(c.Fields)))
	copy(d[:], sum[:])
	return d
}

func pack(known map[record.Key]digest) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for _, k := range slices.Sorted(maps.Keys(known)) {
		d := known[k]
		line := binary.AppendUvarint(nil, uint64(len(k)))
		line = append(append(line, k...), d[:]...)
		if _, err := z.Write(line); err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return b.Bytes(), err
}

func unpack(b []byte) (map[record.Key]digest, error) {
	out := map[record.Key]digest{}
	if len(b) == 0 {
		return out, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	all, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	for len(all) > 0 {
		n, size := binary.Uvarint(all)
		if size <= 0 || n > uint64(len(all)) || uint64(len(all)-size) < n+digestSize {
			return nil, io.ErrUnexpectedEOF
		}
		key := record.Key(all[size : size+int(n)])
		all = all[size+int(n):]
		var d digest
		copy(d[:], all)
		out[key], all = d, all[digestSize:]
	}
	return out, nil
}

// Read implements connector.Reader. The snapshot hands rows out in the order of their keys and notes their digests; the stream
// hands out what differs from them. An edit to what was already handed out is found by the stream, so there is no gap.
func (s *System) Read(ctx context.Context, req connector.ReadRequest) (connector.Page, error) {
	if req.Limit < 1 || req.Limit > 10_000 {
		return connector.Page{}, &connector.Error{Class: connector.Reject, Code: "sheet.limit", Message: fmt.Sprintf("A page of %d changes cannot be read; ask for 1 to 10,000.", req.Limit)}
	}
	p := place{Snap: true}
	if req.Cursor != nil {
		p = place{}
		if err := json.Unmarshal(req.Cursor, &p); err != nil {
			return connector.Page{}, lost(req.Object, err)
		}
	}
	c, err := s.choose(ctx, req.Object)
	switch {
	case err != nil:
		return connector.Page{}, err
	case c.told:
		return s.readTold(ctx, req, p)
	case p.Told != nil: // it was streamed so far
		return connector.Page{}, lost(req.Object, errors.New(c.why))
	}
	return s.compare(ctx, req, p)
}

// note says that the records were written. Who is told of changes compares nothing.
func (s *System) note(object record.Object, keys []record.Key) {
	s.mu.Lock()
	told := s.chosen[object].told
	s.mu.Unlock()
	if !told {
		s.written.Note(object, keys)
	}
}

// compare reads the whole table, and hands out what differs from what was handed out.
func (s *System) compare(ctx context.Context, req connector.ReadRequest, p place) (connector.Page, error) {
	known, err := unpack(p.Known)
	if err != nil {
		return connector.Page{}, lost(req.Object, err)
	}
	ours := s.written.Since(req.Object, req.Cursor)
	for k := range ours {
		known[k] = digest{}
	}
	t, err := s.load(ctx, req.Object)
	if err != nil {
		return connector.Page{}, err
	}
	for _, f := range req.Fields {
		if _, there := t.field(f); !there && !t.Open {
			return connector.Page{}, &connector.Error{Class: connector.Drift, Code: "sheet.column_unknown", Message: fmt.Sprintf("%s has no column %s any more; it has %s.", req.Object, f, t.names())}
		}
	}
	page := connector.Page{Phase: connector.Stream}
	if p.Snap {
		page.Total = int64(len(t.Rows))
		i := 0
		if p.Begun {
			i = sort.Search(len(t.sorted), func(i int) bool { return t.sorted[i].Key > p.After })
		}
		for ; i < len(t.sorted) && len(page.Changes) < req.Limit; i++ {
			c := t.change(t.sorted[i], req.Fields)
			page.Changes = append(page.Changes, c)
			known[c.Key] = digestOf(&c)
			p.After, p.Begun = c.Key, true
		}
		if i < len(t.sorted) {
			page.Phase, page.More = connector.Snapshot, true
		} else {
			p = place{}
		}
	} else {
		for _, r := range t.sorted {
			c := t.change(r, req.Fields)
			d := digestOf(&c)
			if known[c.Key] == d {
				continue
			}
			if len(page.Changes) == req.Limit {
				page.More = true
				break
			}
			page.Changes = append(page.Changes, c)
			known[c.Key] = d
		}
		for _, k := range slices.Sorted(maps.Keys(known)) {
			if t.byKey[k] != nil {
				continue
			}
			if len(page.Changes) == req.Limit {
				page.More = true
				break
			}
			page.Changes = append(page.Changes, record.Change{Key: k, Op: record.Delete})
			delete(known, k)
		}
	}
	if len(page.Changes) == 0 && req.Cursor != nil && !p.Snap && len(p.Known) > 0 {
		page.Cursor = slices.Clone(req.Cursor) // nothing to pack anew
		return page, nil
	}
	if len(ours) > 0 {
		p.Ours++
	}
	if p.Known, err = pack(known); err != nil {
		return page, err
	}
	b, err := json.Marshal(p)
	page.Cursor = b
	if len(ours) > 0 {
		s.written.Told(req.Object, ours, page.Cursor)
	}
	return page, err
}

func lost(object record.Object, err error) error {
	return &connector.Error{Class: connector.LostPlace, Code: "sheet.lost_place", Message: fmt.Sprintf("The place in %s cannot be read; the table is read anew.", object), Err: err}
}

// ReadKeys implements connector.KeyReader.
func (s *System) ReadKeys(ctx context.Context, object record.Object, fields []string, keys []record.Key) ([]record.Change, error) {
	return s.present(ctx, object, fields, keys)
}

// Find implements connector.Finder.
func (s *System) Find(ctx context.Context, object record.Object, fields []string, queries []record.Fields) ([][]record.Change, error) {
	t, kept, err := s.candidates(ctx, object, queries)
	if err != nil {
		return nil, err
	}
	found := make([][]record.Change, len(queries))
	for i, kept := range kept {
		if len(kept) == 0 {
			continue
		}
		for _, r := range t.sorted {
			if holds(r.Fields, kept) {
				if found[i] = append(found[i], t.change(r, fields)); len(found[i]) == 2 {
					break
				}
			}
		}
	}
	return found, nil
}

// candidates are rows among which those are that the queries ask for, and the queries in the form in which values are kept.
func (s *System) candidates(ctx context.Context, object record.Object, queries []record.Fields) (t *Table, kept []record.Fields, err error) {
	if s.keyed == nil {
		t, err = s.load(ctx, object)
	} else {
		t, err = s.keyed.Shape(ctx, object)
	}
	if err != nil {
		return nil, nil, err
	}
	kept = make([]record.Fields, len(queries))
	var asked []record.Fields
	for i, q := range queries {
		kept[i] = make(record.Fields, len(q))
		for name, v := range q {
			f, _ := t.field(name)
			if kept[i][name], err = s.source.Keep(f, v); err != nil {
				kept[i][name] = v // it is nowhere
			}
		}
		if len(q) > 0 {
			asked = append(asked, kept[i])
		}
	}
	if s.keyed == nil || len(asked) == 0 {
		return t, kept, nil
	}
	if t, err = s.keyed.Where(ctx, object, asked); err != nil {
		return nil, nil, err
	}
	return t, kept, s.index(object, t)
}

func holds(all, some record.Fields) bool {
	for name, v := range some {
		if !record.Equal(all[name], v) {
			return false
		}
	}
	return true
}

// every is the default pace of a table: reading it whole costs the vendor's quota.
var every = connector.Pace{Min: 2 * time.Second, Max: 30 * time.Second}

// Every is the pace for places with quotas of some requests a second.
func Every() connector.Pace { return every }

var (
	_ connector.Discoverer = (*System)(nil)
	_ connector.Reader     = (*System)(nil)
	_ connector.KeyReader  = (*System)(nil)
	_ connector.Finder     = (*System)(nil)
	_ connector.Writer     = (*System)(nil)
	_ connector.Chooser    = (*System)(nil)
	_ connector.Pacer      = (*System)(nil)
)
