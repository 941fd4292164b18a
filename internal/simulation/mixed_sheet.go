// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/googlesheets"
	"github.com/syncline-dev/syncline/internal/connector/sheet"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

// spreadsheet is a sheet that people keep: rows are known by their position alone, which changes as they please.
type spreadsheet struct {
	o   *outside
	rng *rand.Rand // of the people

	mu      sync.Mutex
	header  []string
	rows    []*gridRow
	typed   int // cells that people wrote
	applied int64
	sorting int // of thousand writes, people move rows in the instant before it
	hits    []hit
	onHit   func(name string) // told of a name that was written into a row for which it was not meant
	limit   int               // calls a minute, of reads and of writes
	minute  time.Time
	used    map[string]int
}

// gridRow is a row; it stays itself wherever it stands.
type gridRow struct{ cells []any }

// hit is what a write did to a row that had come to stand where another was meant, and nobody has put right.
type hit struct {
	row        *gridRow
	column     string
	was, wrote any
	removed    bool
}

func newSheet(gate *Gate, name, id string, own *rand.Rand) *outside {
	o := newOutside(gate, name, record.System(id), products)
	o.memory, o.recalls, o.watches, o.object = nil, false, false, "Products"
	s := &spreadsheet{o: o, rng: own, header: []string{"sku", "name", "quantity", "price"}, used: make(map[string]int), limit: pick(own, 15, 60, 60)}
	s.sorting = own.IntN(2) * own.IntN(300)
	if own.IntN(2) == 0 {
		slices.Reverse(s.header)
	}
	o.place, o.user = s, s
	o.kind = &kind{able: func(b base) connector.System {
		return struct {
			base
			pacing
		}{b, pacing{b}}
	}}
	return o
}

// Spec is the connector's.
func (*spreadsheet) Spec() connector.Spec { return googlesheets.New(transport.NewPool()).Spec() }

func (s *spreadsheet) open(_ context.Context, l *line, consumer string) (connector.System, error) {
	options, err := sheet.ReadOptions(connector.Settings{"key": "sku"})
	if err != nil {
		return nil, err
	}
	return sheet.New(sheet.Positional(&cells{seam: seam{s.o, l}, of: s}, options), options, connector.Env{Consumer: consumer}, sheet.Every())
}

// LosePlaces does nothing: what was seen is in the cursor itself.
func (*spreadsheet) LosePlaces(record.Object) {}

// Declare adds a column somewhere, or takes one away.
func (s *spreadsheet) Declare(info connector.ObjectInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.typed++
	_, wanted := info.Field("colour")
	at := slices.Index(s.header, "colour")
	switch {
	case wanted && at < 0:
		at = s.rng.IntN(len(s.header) + 1)
		for _, r := range s.rows {
			r.widen(at)
			r.cells = slices.Insert(r.cells, at, any(nil))
		}
		s.header = slices.Insert(s.header, at, "colour")
	case !wanted && at >= 0:
		for _, r := range s.rows {
			if at < len(r.cells) {
				r.cells = slices.Delete(r.cells, at, at+1)
			}
		}
		s.header = slices.Delete(s.header, at, at+1)
	}
}

func (r *gridRow) widen(to int) {
	for len(r.cells) < to {
		r.cells = append(r.cells, nil)
	}
}

func (r *gridRow) at(column int) any {
	if column < 0 || column >= len(r.cells) || r.cells[column] == "" {
		return nil
	}
	return r.cells[column]
}

func (r *gridRow) isBlank() bool {
	return !slices.ContainsFunc(r.cells, func(c any) bool { return c != nil && c != "" })
}

// The rest is what people see and do.

func (s *spreadsheet) find(key record.Key) *gridRow {
	c := slices.Index(s.header, "sku")
	for _, r := range s.rows {
		if r.at(c) != nil && record.MakeKey(r.at(c)) == key {
			return r
		}
	}
	return nil
}

func (s *spreadsheet) fields(r *gridRow) record.Fields {
	out := record.Fields{}
	for i, name := range s.header {
		if name != "colour" {
			out[name] = r.at(i)
		}
	}
	return out
}

// Put types into the cells of a row, or makes one: below the last, or somewhere among the others.
func (s *spreadsheet) Put(key record.Key, fields record.Fields) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.typed++
	r := s.find(key)
	if r == nil {
		r = &gridRow{}
		r.set(slices.Index(s.header, "sku"), string(key))
		at := len(s.rows)
		if s.rng.IntN(2) == 0 {
			at = s.rng.IntN(at + 1)
		}
		s.rows = slices.Insert(s.rows, at, r)
	}
	for name, v := range fields {
		r.set(slices.Index(s.header, name), v)
	}
	s.hits = slices.DeleteFunc(s.hits, func(h hit) bool { _, typed := fields[h.column]; return h.row == r && typed })
}

func (r *gridRow) set(column int, v any) {
	r.widen(column + 1)
	r.cells[column] = v
}

// Delete takes the row out, or empties it and leaves a blank line.
func (s *spreadsheet) Delete(key record.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.typed++
	r := s.find(key)
	switch {
	case r == nil:
	case s.rng.IntN(3) == 0:
		clear(r.cells)
	default:
		s.rows = slices.DeleteFunc(s.rows, func(other *gridRow) bool { return other == r })
	}
}

// Get returns the record's row.
func (s *spreadsheet) Get(key record.Key) record.Fields {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.find(key); r != nil {
		return s.fields(r)
	}
	return nil
}

// All returns the rows that have a key.
func (s *spreadsheet) All() map[record.Key]record.Fields {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[record.Key]record.Fields)
	c := slices.Index(s.header, "sku")
	for _, r := range s.rows {
		if v := r.at(c); v != nil {
			out[record.MakeKey(v)] = s.fields(r)
		}
	}
	return out
}

// Writes counts records that were written, by the receipts: cells that hit another row, and were put right, count once.
func (s *spreadsheet) Writes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.applied
}

func (s *spreadsheet) took(receipts []connector.Receipt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range receipts {
		if receipts[i].Outcome == connector.Applied {
			s.applied++
		}
	}
}

// Tamper is Put or Delete: who reads all of it sees everything.
func (s *spreadsheet) Tamper(key record.Key, fields record.Fields) { tamper(s, key, fields) }

func tamper(p people, key record.Key, fields record.Fields) {
	if fields == nil {
		p.Delete(key)
	} else {
		p.Put(key, fields)
	}
}

// others is what people do beside writing records: they sort, move rows, leave lines blank, and write notes and sums.
func (s *spreadsheet) others() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.rng.IntN(4); n > 0 {
		s.arrange(s.rng.IntN)
		return "rows are sorted or moved"
	}
	s.typed++
	note := &gridRow{}
	if s.rng.IntN(2) == 0 {
		note.set(slices.Index(s.header, "name"), "sum of all")
		note.set(slices.Index(s.header, "quantity"), record.Int(int64(s.rng.IntN(1000))))
	}
	s.rows = slices.Insert(s.rows, s.rng.IntN(len(s.rows)+1), note)
	return "a line without a key is put in"
}

// arrange sorts, turns round, moves one row or inserts a blank one.
func (s *spreadsheet) arrange(intN func(int) int) {
	if len(s.rows) == 0 {
		return
	}
	switch intN(4) {
	case 0:
		slices.Reverse(s.rows)
	case 1:
		c := intN(len(s.header))
		slices.SortStableFunc(s.rows, func(a, b *gridRow) int { return strings.Compare(record.Text(a.at(c)), record.Text(b.at(c))) })
	case 2:
		from := intN(len(s.rows))
		r := s.rows[from]
		s.rows = slices.Delete(s.rows, from, from+1)
		s.rows = slices.Insert(s.rows, intN(len(s.rows)+1), r)
	case 3:
		s.rows = slices.Insert(s.rows, intN(len(s.rows)), &gridRow{})
	}
}

// wrong are the hits that are still there: their writer died or was refused before it looked again.
func (s *spreadsheet) wrong() (cells map[record.Key]record.Fields, removed map[record.Key]record.Fields) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cells, removed = make(map[record.Key]record.Fields), make(map[record.Key]record.Fields)
	sku := slices.Index(s.header, "sku")
	for _, h := range s.hits {
		key := h.row.at(sku)
		if key == nil {
			continue
		}
		k := record.MakeKey(key)
		switch {
		case h.removed && s.find(k) == nil:
			removed[k] = s.fields(h.row)
		case !h.removed && slices.Contains(s.rows, h.row) && record.Equal(h.row.at(slices.Index(s.header, h.column)), h.wrote):
			if cells[k] == nil {
				cells[k] = record.Fields{}
			}
			if _, known := cells[k][h.column]; !known {
				cells[k][h.column] = h.was
			}
		}
	}
	s.hits = nil
	return cells, removed
}

// mend is somebody who sees what stands in the wrong row, and puts it right. Nothing but the connector's second look can do it for
// them, and who wrote died before that.
func (r *Run) mend(c *customer) {
	for _, o := range c.systems {
		s, ok := o.place.(*spreadsheet)
		if !ok {
			continue
		}
		s.sorting, s.limit = 0, 60 // as Google's: with fewer, readings fail now and then for ever
		cells, removed := s.wrong()
		for _, k := range sortedRecordKeys(cells) {
			c.apart = false
			r.tell("%s: somebody sees what was written into the row of %s by mistake", o.name, k)
			r.put(c, o, k, cells[k])
		}
		for _, k := range sortedRecordKeys(removed) {
			c.apart = false
			if w := c.last[string(k)]; w == nil || !w.deleted {
				r.tell("%s: somebody misses the row of %s, which was taken out by mistake", o.name, k)
				r.put(c, o, k, removed[k])
			}
		}
	}
}

// cells is the sheet as an opened connector reaches it.
type cells struct {
	seam
	of     *spreadsheet
	seen   int        // cells that people had written when all was read last
	looked []*gridRow // the rows when some were read last
}

func (c *cells) Check(ctx context.Context) error { return c.call(ctx, "check") }
func (c *cells) Close() error                    { return nil }

func (c *cells) Wait(ctx context.Context, d time.Duration) error {
	if c.l != nil {
		c.o.gate.sleep(ctx, c.l.name+" "+c.o.name, d)
	}
	return ctx.Err()
}

func (c *cells) Objects(context.Context) ([]record.Object, error) {
	return []record.Object{c.of.o.object}, nil
}

// quota is a call of the minute's: reads and writes have their own.
func (c *cells) quota(ctx context.Context, which, what string) error {
	if err := c.call(ctx, what); err != nil || c.l == nil {
		return err
	}
	s := c.of
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Sub(s.minute) >= time.Minute {
		s.minute = now
		clear(s.used)
	}
	if s.used[which] >= s.limit {
		return &connector.Error{Class: connector.SlowDown, Code: "http.rate_limited", Message: "The quota of the minute is used up.", After: s.minute.Add(time.Minute).Sub(now)}
	}
	s.used[which]++
	return nil
}

func (c *cells) All(ctx context.Context, _ record.Object) (header []string, rows [][]any, err error) {
	if err := c.quota(ctx, "read", "read all"); err != nil {
		return nil, nil, err
	}
	s := c.of
	s.mu.Lock()
	defer s.mu.Unlock()
	c.seen = s.typed
	last := len(s.rows)
	for last > 0 && s.rows[last-1].isBlank() {
		last--
	}
	for _, r := range s.rows[:last] {
		rows = append(rows, slices.Clone(r.cells))
	}
	return slices.Clone(s.header), rows, nil
}

func (c *cells) Some(ctx context.Context, _ record.Object, rows []int) ([][]any, error) {
	if err := c.quota(ctx, "read", "read rows"); err != nil {
		return nil, err
	}
	s := c.of
	s.mu.Lock()
	defer s.mu.Unlock()
	c.looked = slices.Clone(s.rows)
	out := make([][]any, len(rows))
	for i, at := range rows {
		switch {
		case at < 0:
			for _, name := range s.header {
				out[i] = append(out[i], name)
			}
		case at < len(s.rows):
			out[i] = slices.Clone(s.rows[at].cells)
		}
	}
	return out, nil
}

// instant is the one between looking and writing: people may sort there. It returns the rows that are meant, those that stood there at the
// look: a call that takes its time gives people theirs. Nobody types in it: of what is typed and written over in the same instant nothing can
// know.
func (c *cells) instant() []*gridRow {
	if c.seen == c.of.typed && c.chance(c.of.sorting) {
		c.of.arrange(c.o.gate.intN)
		c.o.gate.Note("%s: rows are moved in the instant before they are written", c.o.name)
	}
	return c.looked
}

func (c *cells) Set(ctx context.Context, _ record.Object, list []sheet.Cell) error {
	if err := c.quota(ctx, "write", "set cells"); err != nil {
		return err
	}
	c.set(list)
	return c.changed(ctx)
}

func (c *cells) set(list []sheet.Cell) {
	s := c.of
	s.mu.Lock()
	defer s.mu.Unlock()
	meant := c.instant()
	for _, cell := range list {
		for len(s.rows) <= cell.Row {
			s.rows = append(s.rows, &gridRow{})
		}
		r := s.rows[cell.Row]
		column := s.header[cell.Column]
		s.hits = slices.DeleteFunc(s.hits, func(h hit) bool { return h.row == r && h.column == column && record.Equal(h.was, cell.Value) })
		if cell.Row < len(meant) && meant[cell.Row] != r {
			s.hits = append(s.hits, hit{row: r, column: column, was: r.at(cell.Column), wrote: cell.Value})
			if name, ok := cell.Value.(string); ok && column == "name" && s.onHit != nil {
				s.onHit(name)
			}
		}
		r.set(cell.Column, cell.Value)
	}
}

func (c *cells) Append(ctx context.Context, _ record.Object, rows [][]any) error {
	if err := c.quota(ctx, "write", "append rows"); err != nil {
		return err
	}
	c.append(rows)
	return c.changed(ctx)
}

func (c *cells) append(rows [][]any) {
	s := c.of
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.rows)
	for last > 0 && s.rows[last-1].isBlank() {
		last--
	}
	s.rows = s.rows[:last]
	for _, cells := range rows {
		s.rows = append(s.rows, &gridRow{slices.Clone(cells)})
	}
}

func (c *cells) Remove(ctx context.Context, _ record.Object, rows []int) error {
	if err := c.quota(ctx, "write", "remove rows"); err != nil {
		return err
	}
	c.remove(rows)
	return c.changed(ctx)
}

func (c *cells) remove(rows []int) {
	s := c.of
	s.mu.Lock()
	defer s.mu.Unlock()
	meant := c.instant()
	for _, at := range rows {
		if at >= len(s.rows) {
			continue
		}
		r := s.rows[at]
		if at < len(meant) && meant[at] != r {
			s.hits = append(s.hits, hit{row: r, removed: true})
		}
		s.rows = slices.Delete(s.rows, at, at+1)
	}
}

var (
	_ place      = (*spreadsheet)(nil)
	_ people     = (*spreadsheet)(nil)
	_ sheet.Grid = (*cells)(nil)
)
