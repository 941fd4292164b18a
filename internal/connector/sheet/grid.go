// SPDX-License-Identifier: Apache-2.0

package sheet

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Cell is a value to write at a place.
type Cell struct {
	Row, Column int // from 0; row 0 is the first below the header
	Value       any // text, number (as text of record.Number), true or false, nil for none
}

// Grid is a place whose tables are cells: the first line has the columns' names, and rows are known by nothing but their position,
// which changes when people sort, move and insert. Errors are classified.
type Grid interface {
	Check(ctx context.Context) error
	Objects(ctx context.Context) ([]record.Object, error)
	// All returns the header and all rows; short rows end in empty cells.
	All(ctx context.Context, object record.Object) (header []string, rows [][]any, err error)
	// Some returns those rows as they are now, in that order; -1 is the header.
	Some(ctx context.Context, object record.Object, rows []int) ([][]any, error)
	// Set writes cells.
	Set(ctx context.Context, object record.Object, cells []Cell) error
	// Append adds rows behind the last one.
	Append(ctx context.Context, object record.Object, rows [][]any) error
	// Remove deletes rows; those below move up.
	Remove(ctx context.Context, object record.Object, rows []int) error
	// Wait lets time pass by the place's clock.
	Wait(ctx context.Context, d time.Duration) error
	Close() error
}

// Positional makes a Source of a Grid.
//
// No such place can make a write depend on what a row holds. So a row's key and values are read again just before it is written;
// only cells that change are written; and the rows are read again afterwards. When somebody sorted or moved rows in the instant
// between, the cells of another row were hit: they get back what they held, and the write is decided again.
func Positional(g Grid, o Options) Source { return &positional{g, o} }

type positional struct {
	Grid
	options Options
}

func (p *positional) Load(ctx context.Context, object record.Object) (*Table, error) {
	header, rows, err := p.All(ctx, object)
	if err != nil {
		return nil, err
	}
	key := p.options.KeyColumn(object)
	t := &Table{Key: []string{key}}
	columns := map[string]int{}
	for i, name := range header {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if _, twice := columns[name]; twice {
			return nil, &connector.Error{Class: connector.Reject, Code: "sheet.header", Message: fmt.Sprintf("In %s two columns are called %s. Give one of them another name.", object, name)}
		}
		columns[name] = i
	}
	if len(columns) == 0 {
		return nil, &connector.Error{Class: connector.Reject, Code: "sheet.header", Message: fmt.Sprintf("The first line of %s is empty. Write the names of the columns there.", object)}
	}
	if _, there := columns[key]; !there {
		return nil, &connector.Error{Class: connector.Reject, Code: "sheet.no_key", Message: fmt.Sprintf("%s has no column %s, by which its rows would be told apart. Add it, or name another column in the connection's setting key.", object, key)}
	}
	for i, cells := range rows {
		r := &Row{Fields: record.Fields{}, Handle: i}
		for name, c := range columns {
			r.Fields[name] = nil
			if c < len(cells) {
				r.Fields[name] = value(cells[c])
			}
		}
		t.Rows = append(t.Rows, r)
	}
	for i, name := range header {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		typ := infer(t.Rows, name)
		t.Fields = append(t.Fields, connector.FieldInfo{Name: name, Type: typ, Native: "column " + Letters(i), Nullable: name != key, Scale: -1})
	}
	return t, nil
}

// value is a cell's canonical value; an empty cell has none.
func value(cell any) record.Value {
	if s, ok := cell.(string); ok && s == "" {
		return nil
	}
	v, err := record.Canonical(cell)
	if err != nil {
		return fmt.Sprint(cell)
	}
	return v
}

// infer is the type of what stands in a column; cells can hold anything, so mixed and empty columns are of any type.
func infer(rows []*Row, name string) connector.Type {
	seen := map[connector.Type]bool{}
	for _, r := range rows {
		switch v := r.Fields[name].(type) {
		case string:
			seen[connector.TypeText] = true
		case bool:
			seen[connector.TypeBoolean] = true
		case record.Number:
			if strings.Contains(string(v), ".") {
				seen[connector.TypeNumber] = true
			} else {
				seen[connector.TypeInteger] = true
			}
		}
	}
	switch {
	case len(seen) == 2 && seen[connector.TypeInteger] && seen[connector.TypeNumber]:
		return connector.TypeNumber
	case len(seen) == 1:
		for t := range seen {
			return t
		}
	}
	return connector.TypeJSON
}

// maxText is how many characters a cell keeps: the least of the vendors' limits.
const maxText = 32_767

// Keep: a cell holds a text, a number of 15 digits, or true or false; lists and objects stand there as JSON.
func (p *positional) Keep(_ connector.FieldInfo, v record.Value) (record.Value, error) {
	switch v := v.(type) {
	case nil, bool:
		return v, nil
	case record.Number:
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil || math.IsInf(f, 0) {
			return nil, fmt.Errorf("cannot keep the number %s", v)
		}
		back, err := record.Canonical(f)
		if err != nil || !record.Equal(back, v) {
			return nil, fmt.Errorf("cannot keep the number %s: cells keep 15 digits. Map it to a text", v)
		}
		return v, nil
	case string:
		if v == "" {
			return nil, nil
		}
		if utf8.RuneCountInString(v) > maxText {
			return nil, fmt.Errorf("keeps at most %d characters", maxText)
		}
		return v, nil
	default:
		return string(record.AppendJSON(nil, v)), nil
	}
}

func (p *positional) Apply(ctx context.Context, object record.Object, t *Table, edits []*Edit) ([]error, error) {
	return p.apply(ctx, object, t, edits, 0)
}

// apply is Apply; depth counts the batches for which it mends.
func (p *positional) apply(ctx context.Context, object record.Object, t *Table, edits []*Edit, depth int) ([]error, error) {
	at, moved, err := p.look(ctx, object, t, edits)
	if err != nil {
		return nil, err
	}
	b := &carried{object: object, before: t, at: at, edits: edits, answers: make([]error, len(edits)), tried: make([]bool, len(edits))}
	for _, c := range at {
		b.width = max(b.width, c+1)
	}
	broken := p.carry(ctx, b, moved)
	if broken != nil && !slices.Contains(b.tried, true) {
		return nil, broken
	}
	// Also what failed may have hit other rows: that it did is not heard, or the next of its calls failed.
	err = p.insist(ctx, func(ctx context.Context) error { return p.verify(ctx, b, depth) })
	return b.answers, cmp.Or(broken, err)
}

// carried is a batch on its way.
type carried struct {
	object  record.Object
	before  *Table
	at      map[string]int // where the columns are
	width   int
	edits   []*Edit
	answers []error
	tried   []bool // cells of a row were set for it, or a row was removed: perhaps another than was meant
}

// carry writes what was not moved.
func (p *positional) carry(ctx context.Context, b *carried, moved []bool) error {
	var cells []Cell
	var gone []int
	var added [][]any
	for i, e := range b.edits {
		switch {
		case moved[i], e.Row != nil && e.Row.Handle == nil: // the second: made by this very batch, and not there yet
			b.answers[i] = ErrMoved
		case e.Row == nil:
			row := make([]any, b.width)
			for name, v := range e.Set {
				row[b.at[name]] = v
			}
			added = append(added, row)
		case e.Delete:
			gone = append(gone, e.Row.Handle.(int))
		default:
			b.tried[i] = true
			for name, v := range e.Set {
				cells = append(cells, Cell{e.Row.Handle.(int), b.at[name], v})
			}
		}
	}
	if len(cells) > 0 {
		slices.SortFunc(cells, func(a, b Cell) int { return (a.Row-b.Row)*100_000 + a.Column - b.Column })
		if err := p.Set(ctx, b.object, cells); err != nil {
			return err
		}
	}
	if len(added) > 0 {
		if err := p.Append(ctx, b.object, added); err != nil {
			return err
		}
	}
	if len(gone) == 0 {
		return nil
	}
	var err error
	if len(cells)+len(added) > 0 {
		// That took its time: who moved rows meanwhile would lose one that nobody meant. Without a second look nothing is removed.
		_, moved, err = p.look(ctx, b.object, b.before, b.edits)
	}
	gone = gone[:0]
	for i, e := range b.edits {
		switch {
		case b.answers[i] != nil || !e.Delete:
		case err != nil || moved[i]:
			b.answers[i] = ErrMoved
		default:
			b.tried[i] = true
			gone = append(gone, e.Row.Handle.(int))
		}
	}
	if len(gone) == 0 {
		return nil
	}
	slices.Sort(gone)
	slices.Reverse(gone) // from below, so that those above stay where they are
	return p.Remove(ctx, b.object, slices.Compact(gone))
}

const (
	lookTries  = 6                // how often it is tried to look again, a minute's quota being used up
	lookWithin = 10 * time.Second // for a try that the caller does not wait for any more
)

// insist looks again although the place is busy or the caller has ended meanwhile: cells that hit another row look like a person's edit
// to whoever reads the table next, and only who wrote them knows better.
func (p *positional) insist(ctx context.Context, look func(context.Context) error) error {
	for try := 1; ; try++ {
		ended := ctx.Err() != nil
		err := lookOn(ctx, look)
		if err == nil || ended || try == lookTries {
			return err
		}
		if ctx.Err() != nil {
			continue // once more, without the caller
		}
		e := connector.Classify(err)
		if e.Class != connector.Retry && e.Class != connector.SlowDown {
			return err
		}
		_ = p.Wait(ctx, max(e.After, time.Duration(try)*500*time.Millisecond)) // it fails when the caller ends
	}
}

func lookOn(ctx context.Context, look func(context.Context) error) error {
	if ctx.Err() != nil {
		alone, stop := context.WithTimeout(context.WithoutCancel(ctx), lookWithin)
		defer stop()
		return look(alone)
	}
	return look(ctx)
}

// look reads header and rows again just before they are written: where the columns are now, and for each edit whether its row is
// not any more what the edit was decided against.
func (p *positional) look(ctx context.Context, object record.Object, t *Table, edits []*Edit) (at map[string]int, moved []bool, err error) {
	rows, of := []int{-1}, []int{-1}
	for i, e := range edits {
		if e.Row != nil && e.Row.Handle != nil {
			rows, of = append(rows, e.Row.Handle.(int)), append(of, i)
		}
	}
	present, err := p.Some(ctx, object, rows)
	if err != nil {
		return nil, nil, err
	}
	at = map[string]int{}
	for i, c := range present[0] {
		if name := strings.TrimSpace(record.Text(value(c))); name != "" {
			at[name] = i
		}
	}
	for _, f := range t.Fields {
		if _, there := at[f.Name]; !there {
			return nil, nil, &connector.Error{Class: connector.Drift, Code: "sheet.column_unknown", Message: fmt.Sprintf("%s has no column %s any more.", object, f.Name)}
		}
	}
	moved = make([]bool, len(edits))
	for j := 1; j < len(rows); j++ {
		for name, v := range t.at(rows[j]) {
			var is record.Value
			if c := at[name]; c < len(present[j]) {
				is = value(present[j][c])
			}
			if !record.Equal(is, v) {
				moved[of[j]] = true
				break
			}
		}
	}
	return at, moved, nil
}

// at is the row that stood there when the table was read.
func (t *Table) at(position int) record.Fields {
	i, found := slices.BinarySearchFunc(t.Rows, position, func(r *Row, n int) int { return r.Handle.(int) - n })
	if !found {
		return nil
	}
	return t.Rows[i].Fields
}

// verify looks at the table again: every row that was written has its key and its values, and no other row was hit. What was hit
// gets back what it held, which is a batch like the other: rows may move again.
func (p *positional) verify(ctx context.Context, b *carried, depth int) error {
	for try := 0; ; try++ {
		after, wrong, err := p.wrong(ctx, b)
		if err != nil || len(wrong) == 0 || depth == maxTries {
			return err
		}
		answers, err := p.apply(ctx, b.object, after, wrong, depth+1)
		if err != nil || !slices.Contains(answers, ErrMoved) || try == maxTries {
			return err
		}
	}
}

// wrong notes what of the batch did not arrive, and says what there is to put right, in the table as it is.
func (p *positional) wrong(ctx context.Context, b *carried) (after *Table, edits []*Edit, err error) {
	if after, err = p.Load(ctx, b.object); err != nil {
		return nil, nil, err
	}
	now := make(map[record.Key]*Row, len(after.Rows))
	for _, r := range after.Rows {
		if r.Key = keyOf(after.Key, r.Fields); r.Key != "" {
			now[r.Key] = r
		}
	}
	last := make(map[record.Key]int)
	for i, e := range b.edits {
		if b.answers[i] == nil {
			last[e.Key] = i
		}
	}
	own := make(map[record.Key]*Edit) // by the key that their row had, those that arrived
	for i, e := range b.edits {
		if b.answers[i] != nil {
			continue
		}
		r := now[e.Key]
		switch {
		case last[e.Key] != i:
		case e.Delete && r != nil, !e.Delete && (r == nil || !holds(r.Fields, e.Set) && !b.arrived(e, r)):
			b.answers[i] = ErrMoved // somebody was there in that instant: look again
			continue
		}
		if e.Row != nil {
			own[e.Row.Key] = e
		}
	}
	// What else is not as it was, and looks as if we did it? The batch's own rows are among those that can be hit.
	for _, r := range b.before.Rows {
		e := own[r.Key]
		if r.Key == "" || e != nil && (e.Delete || e.Key != r.Key) {
			continue
		}
		is := now[r.Key]
		if is == nil {
			if b.missed(func(e *Edit) bool { return e.Delete }) {
				edits = append(edits, &Edit{Set: r.Fields, Key: r.Key})
			}
			continue
		}
		back := record.Fields{}
		for name, v := range r.Fields {
			if record.Equal(is.Fields[name], v) {
				continue
			}
			if e != nil {
				if _, ours := e.Set[name]; ours {
					continue
				}
			}
			if b.missed(func(e *Edit) bool { return e.sets(name, is.Fields[name]) }) {
				back[name] = v
			}
		}
		if len(back) > 0 {
			edits = append(edits, &Edit{Row: is, Set: back, Key: r.Key})
		}
	}
	return after, edits, nil
}

// arrived says whether the row has any of what the edit changed in it. All cells of a row are written at once, so the others were
// changed since: the next reading tells of them, against what was written. A value that another row was to get as well tells nothing.
func (b *carried) arrived(e *Edit, r *Row) bool {
	if e.Row == nil {
		return false
	}
	for name, v := range e.Set {
		if !record.Equal(e.Row.Fields[name], v) && record.Equal(r.Fields[name], v) &&
			!slices.ContainsFunc(b.edits, func(other *Edit) bool { return other != e && other.Row != nil && other.sets(name, v) }) {
			return true
		}
	}
	return false
}

func (e *Edit) sets(name string, v record.Value) bool {
	set, ours := e.Set[name]
	return ours && record.Equal(set, v)
}

// missed says whether something that was tried, and is like that, did not hit its row.
func (b *carried) missed(like func(*Edit) bool) bool {
	for i, e := range b.edits {
		if b.tried[i] && b.answers[i] != nil && like(e) {
			return true
		}
	}
	return false
}

// Letters is a column's name in a spreadsheet: A, Z, AA.
func Letters(column int) string {
	var out []byte
	for n := column + 1; n > 0; n = (n - 1) / 26 {
		out = append(out, byte('A'+(n-1)%26))
	}
	slices.Reverse(out)
	return string(out)
}
