// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Write applies the batch in one transaction and, when no row is faulty, one round trip.
func (s *system) Write(ctx context.Context, object record.Object, writes []connector.Write) ([]connector.Receipt, error) {
	if len(writes) == 0 {
		return nil, nil
	}
	receipts := make([]connector.Receipt, len(writes))
	err := s.on(ctx, "writing", func(c *pgconn.PgConn) error {
		t, err := s.table(ctx, c, object)
		if err != nil {
			return err
		}
		b := &batch{s: s, t: t, writes: writes, receipts: receipts}
		if b.byLog, err = s.writesAreSeenByLog(ctx, c, t); err != nil {
			return err
		}
		if writes[0].Attempt != uuid.Nil {
			if b.remembers, err = s.remembering(ctx, c); err != nil {
				return err
			}
		}
		for _, round := range b.rounds() {
			if err := b.apply(ctx, c, round); err != nil {
				return err
			}
		}
		return nil
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42P01" && strings.Contains(pg.Message, "syncline.writes") {
		s.mu.Lock()
		s.remembers = nil
		s.mu.Unlock()
		return nil, &connector.Error{Class: connector.Retry, Code: "postgresql.in_use", Err: err,
			Message: "The table in which writes are remembered was removed with another service; it is made again, and the batch will be tried again."}
	}
	if connector.Classify(err).Class == connector.Drift {
		s.forget(object)
	}
	if err != nil {
		return nil, err
	}
	return receipts, nil
}

// batch is one call of Write under way.
type batch struct {
	s         *system
	t         *table
	byLog     bool // mark the transaction for logical replication
	remembers bool // note what was written
	writes    []connector.Write
	receipts  []connector.Receipt
	written   []written // what is committed, in the form in which it is remembered
	noting    []written // the same, with what is about to be
}

func (b *batch) refuse(i int, code, format string, args ...any) {
	b.receipts[i] = connector.Receipt{Outcome: connector.Refused, Key: b.writes[i].Key,
		Err: &connector.Error{Class: connector.Reject, Code: "postgresql." + code, Message: fmt.Sprintf(format, args...)}}
}

// rounds groups the writes by what statement they need. A record that occurs more than once is written in as many
// rounds, since a statement sees each row as it was before.
func (b *batch) rounds() [][]*group {
	type round struct {
		groups []*group
		keys   map[record.Key]struct{}
	}
	var all []*round
	for i := range b.writes {
		g, row, ok := b.prepare(i)
		if !ok {
			continue
		}
		n := 0
		if key := row.key; key != "" {
			for n < len(all) {
				if _, taken := all[n].keys[key]; !taken {
					break
				}
				n++
			}
		}
		if n == len(all) {
			all = append(all, &round{keys: make(map[record.Key]struct{}, len(b.writes))})
		}
		if row.key != "" {
			all[n].keys[row.key] = struct{}{}
		}
		into := (*group)(nil)
		for _, have := range all[n].groups {
			if have.same(g) {
				into = have
				break
			}
		}
		if into == nil {
			into = g
			all[n].groups = append(all[n].groups, g)
		}
		into.rows = append(into.rows, row)
	}
	rounds := make([][]*group, len(all))
	for i, r := range all {
		// What is freed by deletes and updates can be taken by creates.
		for _, kind := range []kind{deletes, updates, creates} {
			for _, g := range r.groups {
				if g.kind == kind {
					rounds[i] = append(rounds[i], g)
				}
			}
		}
	}
	return rounds
}

type kind int

const (
	deletes kind = iota
	updates
	creates
)

// group is writes that one statement can do.
type group struct {
	kind   kind
	set    []int // columns to write
	expect []int // columns to compare with what is expected
	made   bool  // creates whose key the server makes
	hollow bool  // nothing can be written; only the answer is to be found: nothing to set, or an expectation no row meets
	rows   []row
}

// row is one write in the form of the wire.
type row struct {
	at    int        // in batch.writes
	key   record.Key // "" when the server makes it
	keys  []string   // the key's parts
	cells []cell     // set, then expect
}

type cell struct {
	text string
	null bool
}

func (g *group) same(h *group) bool {
	return g.kind == h.kind && g.made == h.made && g.hollow == h.hollow && equalInts(g.set, h.set) && equalInts(g.expect, h.expect)
}

func equalInts(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// prepare encodes a write and says what group it is of; what cannot be written at all is refused here.
func (b *batch) prepare(i int) (*group, row, bool) {
	w, t := &b.writes[i], b.t
	g, r := &group{kind: updates}, row{at: i, key: w.Key}
	switch {
	case w.Op == record.Delete:
		g.kind = deletes
	case w.Create:
		g.kind = creates
	}
	if g.kind != deletes {
		unknown := len(w.Fields)
		for n := range t.columns {
			col := &t.columns[n]
			v, given := w.Fields[col.name]
			if !given {
				continue
			}
			unknown--
			if col.always == "generated" {
				b.refuse(i, "read_only_column", "The column %s is computed by the database and cannot be written; leave it out of the mapping.", col.name)
				return nil, r, false
			}
			s, ok, err := col.encode(v)
			if err != nil {
				b.refuse(i, "value_unfit", "The column %v.", err)
				return nil, r, false
			}
			g.set, r.cells = append(g.set, n), append(r.cells, cell{s, !ok})
		}
		if unknown > 0 {
			for name := range w.Fields {
				if _, there := t.byName[name]; !there {
					b.refuse(i, "no_such_column", "The table %s has no column %q; add it there, or take it out of the mapping.", t.sql(), name)
					return nil, r, false
				}
			}
		}
	}
	if !b.findKey(i, g, &r) {
		return nil, r, false
	}
	if g.kind != creates {
		for n := range t.columns {
			col := &t.columns[n]
			v, given := w.Expect[col.name]
			if !given {
				continue
			}
			s, ok, err := col.encode(v)
			if err != nil {
				g.hollow = true // no row holds such a value
				s, ok = "", false
			}
			g.expect, r.cells = append(g.expect, n), append(r.cells, cell{s, !ok})
		}
		for name := range w.Expect {
			if _, there := t.byName[name]; !there {
				g.hollow = true
			}
		}
	}
	if g.kind == updates && len(g.set) == 0 {
		g.hollow = true
	}
	return g, r, true
}

// findKey sets the row's key, and takes the key's columns out of an update that leaves them as they are.
func (b *batch) findKey(i int, g *group, r *row) bool {
	w, t := &b.writes[i], b.t
	if w.Key == "" {
		values := make([]record.Value, len(t.key))
		for n, k := range t.key {
			col := &t.columns[k]
			if values[n] = w.Fields[col.name]; values[n] != nil {
				continue
			}
			if g.kind != creates || col.def == "" && !col.identity {
				b.refuse(i, "no_key", "The key column %s of %s has no value, and the database does not make one.", col.name, t.sql())
				return false
			}
			g.made = true
			g.drop(k, r)
		}
		if g.made {
			return true
		}
		r.key = record.MakeKey(values...)
	}
	var ok bool
	if r.keys, ok = t.keyTexts(r.key); !ok {
		switch g.kind {
		case deletes: // what cannot be there is gone
			b.receipts[i] = connector.Receipt{Outcome: connector.Already, Key: r.key}
		case updates:
			b.receipts[i] = connector.Receipt{Outcome: connector.Gone, Key: r.key}
		default:
			b.refuse(i, "value_unfit", "%s is no key for the table %s.", short(string(r.key)), t.sql())
		}
		return false
	}
	switch g.kind {
	case creates:
		for n, k := range t.key { // the key may be named beside the fields
			if !g.sets(k) {
				g.insert(k, cell{text: r.keys[n]}, r)
			}
		}
	case updates:
		for n, k := range t.key {
			if v, given := w.Fields[t.columns[k].name]; given && record.Text(v) == record.Text(keyPart(r.key, n, len(t.key))) {
				g.drop(k, r)
			}
		}
	}
	return true
}

func keyPart(k record.Key, n, of int) record.Value {
	parts, err := k.Parts(of)
	if err != nil {
		return nil
	}
	return parts[n]
}

func (g *group) sets(column int) bool {
	for _, c := range g.set {
		if c == column {
			return true
		}
	}
	return false
}

// drop takes a column out of what is set; the cells hold only set columns yet.
func (g *group) drop(column int, r *row) {
	for n, c := range g.set {
		if c == column {
			g.set = append(g.set[:n:n], g.set[n+1:]...)
			r.cells = append(r.cells[:n:n], r.cells[n+1:]...)
			return
		}
	}
}

// insert adds a column to what is set, in the order of the table.
func (g *group) insert(column int, c cell, r *row) {
	n := 0
	for n < len(g.set) && g.set[n] < column {
		n++
	}
	g.set = append(g.set[:n:n], append([]int{column}, g.set[n:]...)...)
	r.cells = append(r.cells[:n:n], append([]cell{c}, r.cells[n:]...)...)
}

// apply writes the groups of a round and fills in the receipts.
func (b *batch) apply(ctx context.Context, c *pgconn.PgConn, groups []*group) error {
	statements := append([]statement{{sql: "BEGIN"}}, b.mark()...)
	results := make([][]result, len(groups))
	busy := false
	for i, g := range groups {
		if !g.hollow {
			statements = append(statements, b.statement(g, g.rows, &results[i]))
			busy = true
		}
	}
	if busy {
		err := b.commit(ctx, c, statements, groups, results)
		if err != nil {
			if c.IsClosed() {
				return err
			}
			if c.TxStatus() != 'I' {
				if err := execute(ctx, c, "ROLLBACK"); err != nil {
					return err
				}
			}
			if !ofInput(classify("writing", err)) {
				return err
			}
			if results, err = b.applyCarefully(ctx, c, groups); err != nil {
				return err
			}
		}
	}
	for i, g := range groups {
		b.settle(g, results[i])
	}
	return b.answer(ctx, c, groups)
}

// commit runs a round's statements, which fill in the results, and commits them, in one round trip or, when what was written is to be
// remembered, in two.
func (b *batch) commit(ctx context.Context, c *pgconn.PgConn, statements []statement, groups []*group, results [][]result) error {
	end := statement{sql: "COMMIT"}
	if !b.remembers {
		return pipeline(ctx, c, append(statements, end)...)
	}
	if err := pipeline(ctx, c, statements...); err != nil {
		return err
	}
	note, err := b.remember(groups, results)
	if err != nil {
		return err
	}
	if err := pipeline(ctx, c, append(note, end)...); err != nil {
		return err
	}
	b.committed()
	return nil
}

// committed says that what was noted last is committed.
func (b *batch) committed() {
	if b.noting != nil {
		b.written, b.noting = b.noting, nil
	}
}

// mark are the statements by which readers for the same consumer know the transaction as their own.
func (b *batch) mark() []statement {
	list := []statement{{sql: "SELECT set_config('syncline.origin', $1, true)", params: []param{text(b.s.consumer())}}}
	if b.remembers { // who recalls waits until the transaction is over, also when nobody waits for its answer any more
		list = append(list, statement{sql: "SELECT FROM syncline.writes WHERE consumer = $1 AND relation = $2 FOR UPDATE", params: []param{text(b.s.consumer()), b.t.id()}})
	}
	if b.byLog {
		list = append(list, statement{sql: "SELECT pg_logical_emit_message(true, '" + originPrefix + "', $1)", params: []param{text(b.s.consumer())}})
	}
	return list
}

// result is what a statement says of one row.
type result struct {
	row    *row
	err    error
	stored record.Fields // when it is not as asked for
	key    record.Key    // when the server made it
}

// settle turns results into receipts; rows without one are left for answer.
func (b *batch) settle(g *group, results []result) {
	for _, r := range results {
		b.receipts[r.row.at] = b.receipt(g, r)
	}
}

func (b *batch) receipt(g *group, r result) connector.Receipt {
	if r.err != nil {
		return connector.Receipt{Outcome: connector.Refused, Key: r.row.key, Err: r.err}
	}
	receipt := connector.Receipt{Outcome: connector.Applied, Key: r.row.key, Stored: r.stored}
	if r.key != "" {
		receipt.Key = r.key
	}
	if r.key == "" && g.kind != deletes && (r.stored != nil || g.kind == updates && b.rekeys(g)) {
		f := b.writes[r.row.at].Fields
		if r.stored != nil { // the same key in another form
			f = r.stored
		}
		if key, ok := b.t.keyIn(f, receipt.Key); ok {
			receipt.Key = key
		}
	}
	return receipt
}

// rekeys says whether the group sets key columns.
func (b *batch) rekeys(g *group) bool {
	for _, k := range b.t.key {
		if g.sets(k) {
			return true
		}
	}
	return false
}

// keyIn is the key with those of its parts that the fields have taken from them.
func (t *table) keyIn(f record.Fields, otherwise record.Key) (record.Key, bool) {
	parts, err := otherwise.Parts(len(t.key))
	if err != nil {
		return "", false
	}
	values := make([]record.Value, len(t.key))
	for i, k := range t.key {
		v, given := f[t.columns[k].name]
		if !given {
			if len(t.key) == 1 {
				return otherwise, true
			}
			v = t.columns[k].value(parts[i])
		}
		values[i] = v
	}
	return record.MakeKey(values...), true
}

// value is a key part's canonical value from its text.
func (c *column) value(text string) record.Value {
	switch c.typ {
	case connector.TypeInteger, connector.TypeNumber, connector.TypeFloat:
		if n, err := record.ParseNumber(text); err == nil {
			return n
		}
	case connector.TypeBoolean:
		return text == "true"
	}
	return text
}

// applyCarefully writes the groups when some row among them is faulty: what fails is cut into halves until a faulty row
// is alone.
func (b *batch) applyCarefully(ctx context.Context, c *pgconn.PgConn, groups []*group) ([][]result, error) {
	results := make([][]result, len(groups))
	err := inTransaction(ctx, c, func() error {
		// Constraints that would be checked at the end are checked with each statement, or they would fail all of them.
		if err := pipeline(ctx, c, append(b.mark(), statement{sql: "SET CONSTRAINTS ALL IMMEDIATE"})...); err != nil {
			return err
		}
		for i, g := range groups {
			if g.hollow {
				continue
			}
			var err error
			if results[i], err = b.bisect(ctx, c, g, g.rows); err != nil {
				return err
			}
		}
		note, err := b.remember(groups, results)
		if err != nil || len(note) == 0 {
			return err
		}
		return pipeline(ctx, c, note...)
	})
	if err == nil {
		b.committed()
	}
	return results, err
}

func (b *batch) bisect(ctx context.Context, c *pgconn.PgConn, g *group, rows []row) ([]result, error) {
	var results []result
	err := pipeline(ctx, c, statement{sql: "SAVEPOINT syncline"}, b.statement(g, rows, &results), statement{sql: "RELEASE SAVEPOINT syncline"})
	if err == nil {
		return results, nil
	}
	failed := classify("writing", err)
	if c.IsClosed() || !ofInput(failed) {
		return nil, err
	}
	if err := execute(ctx, c, "ROLLBACK TO SAVEPOINT syncline", "RELEASE SAVEPOINT syncline"); err != nil {
		return nil, err
	}
	if len(rows) == 1 {
		return []result{{row: &rows[0], err: b.reason(g, failed)}}, nil
	}
	half := len(rows) / 2
	first, err := b.bisect(ctx, c, g, rows[:half])
	if err != nil {
		return nil, err
	}
	second, err := b.bisect(ctx, c, g, rows[half:])
	return append(first, second...), err
}

// answer finds out what became of rows that no statement touched: as asked for already, moved, or gone.
func (b *batch) answer(ctx context.Context, c *pgconn.PgConn, groups []*group) error {
	var statements []statement
	for _, g := range groups {
		var open []row
		for _, r := range g.rows {
			switch {
			case b.receipts[r.at].Outcome != "":
			case g.made:
				b.receipts[r.at] = connector.Receipt{Outcome: connector.Refused, Err: b.suppressed()}
			default:
				open = append(open, r)
			}
		}
		if len(open) > 0 {
			statements = append(statements, b.question(g, open))
		}
	}
	if len(statements) == 0 {
		return nil
	}
	return pipeline(ctx, c, statements...)
}

func atoi(b []byte) (int, error) { return strconv.Atoi(string(b)) }
