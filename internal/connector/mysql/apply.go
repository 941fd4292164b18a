// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// rowsPerStatement and bytesPerStatement bound one statement.
const (
	rowsPerStatement  = 1000
	bytesPerStatement = 4 << 20
)

// each does the jobs with as few statements as possible. make writes the statement for some jobs; a statement that fails
// for the sake of a record is tried again with each half of its jobs, so that only that record fails.
func (b *batch) each(ctx context.Context, jobs []*job, statement func([]*job) string, run func(context.Context, string, []*job) error) error {
	if len(jobs) == 0 {
		return nil
	}
	if err := b.mark(ctx); err != nil {
		return err
	}
	if len(jobs) > rowsPerStatement {
		return b.halves(ctx, jobs, statement, run)
	}
	q := statement(jobs)
	if limit := min(bytesPerStatement, b.s.server.packet/2); len(q) > limit {
		if len(jobs) > 1 {
			return b.halves(ctx, jobs, statement, run)
		}
		if len(q) > b.s.server.packet-1024 {
			jobs[0].refuse(&connector.Error{Class: connector.Reject, Code: "mysql.too_large", Message: fmt.Sprintf("The record has %d bytes, but the server takes %d at once. Raise its max_allowed_packet.", len(q), b.s.server.packet)})
			return nil
		}
	}
	err := run(ctx, q, jobs)
	switch {
	case err == nil:
		b.changed = true
		for _, j := range jobs {
			j.applied()
		}
		return nil
	case !concernsRecord(err):
		return err
	case len(jobs) > 1:
		return b.halves(ctx, jobs, statement, run)
	}
	j := jobs[0]
	switch number(err) {
	case 1062, 1452, 1451: // another record of the batch may have been in the way, or somebody made the row meanwhile
		if j.left--; j.left >= 0 {
			b.again = append(b.again, j)
			j.waiting = true
			return nil
		}
	}
	j.refuse(refusal(err))
	return nil
}

func (b *batch) halves(ctx context.Context, jobs []*job, statement func([]*job) string, run func(context.Context, string, []*job) error) error {
	half := len(jobs) / 2
	if err := b.each(ctx, jobs[:half], statement, run); err != nil {
		return err
	}
	return b.each(ctx, jobs[half:], statement, run)
}

func (j *job) refuse(err *connector.Error) {
	*j.receipt = connector.Receipt{Outcome: connector.Refused, Key: j.w.Key, Err: err}
}

func (j *job) applied() {
	j.waiting = false
	key := j.key
	if j.renamed != "" {
		key = j.renamed
	} else if j.now != nil {
		key = j.now.key
	}
	*j.receipt = connector.Receipt{Outcome: connector.Applied, Key: key}
	if j.w.Op == record.Upsert {
		j.receipt.Stored = j.stored(nil)
	}
}

// mark says in the log whose transaction this is, before its first change.
func (b *batch) mark(ctx context.Context) error {
	if b.marked {
		return nil
	}
	b.marked = true
	_, _, err := exec(ctx, b.conn, b.s.markStatement(b.t.schema+"."+b.t.name, b.attempt))
	if n := number(err); n == 1146 || n == 1142 || n == 1054 { // somebody removed the table or our right to it
		b.s.mu.Lock()
		b.s.helpers.origin, b.s.helpers.lookedFor = false, time.Time{}
		b.s.mu.Unlock()
		if !b.s.remembers {
			return nil // then without
		}
		return b.s.helperMissing(err)
	}
	b.noted = err == nil
	return err
}

func (b *batch) simply(ctx context.Context, q string, _ []*job) error {
	_, _, err := exec(ctx, b.conn, q)
	return err
}

func (b *batch) remove(ctx context.Context, jobs []*job) error {
	return b.each(ctx, jobs, func(jobs []*job) string {
		keys := make([][]string, len(jobs))
		for i, j := range jobs {
			keys[i] = b.t.rowLiterals(j)
		}
		return "DELETE FROM " + b.t.from() + " WHERE " + b.t.keyIn(keys)
	}, b.simply)
}

// rowLiterals is the key of the job's row in the row's own spelling.
func (t *table) rowLiterals(j *job) []string {
	if j.now.key == j.key {
		return j.literal
	}
	literals, _, err := t.keyLiterals(j.now.key)
	if err != nil {
		return j.literal // it came from this table, so this does not happen
	}
	return literals
}

// change updates rows, those with the same columns in one statement.
func (b *batch) change(ctx context.Context, jobs []*job) error {
	var order []string
	groups := make(map[string][]*job)
	for _, j := range jobs {
		id := ""
		for _, c := range j.columns {
			id += strconv.Itoa(c.position) + ","
		}
		if groups[id] == nil {
			order = append(order, id)
		}
		groups[id] = append(groups[id], j)
	}
	for _, id := range order {
		if err := b.each(ctx, groups[id], b.t.updateStatement, b.simply); err != nil {
			return err
		}
	}
	return nil
}

// updateStatement joins the table with the new values. The rows are locked and known to be there.
func (t *table) updateStatement(jobs []*job) string {
	var q []byte
	if len(jobs) == 1 {
		j := jobs[0]
		q = append(q, "UPDATE "+t.from()+" SET "...)
		for i, c := range j.columns {
			if i > 0 {
				q = append(q, ',')
			}
			q = append(append(append(q, name(c)...), '='), j.values[i].literal...)
		}
		return string(append(q, " WHERE "+t.keyIn([][]string{t.rowLiterals(j)})...))
	}
	q = append(q, "UPDATE ("...)
	for n, j := range jobs {
		if n > 0 {
			q = append(q, " UNION ALL SELECT "...)
		} else {
			q = append(q, "SELECT "...)
		}
		for i, l := range t.rowLiterals(j) {
			if i > 0 {
				q = append(q, ',')
			}
			q = append(q, l...)
			if n == 0 {
				q = fmt.Appendf(q, " AS k%d", i)
			}
		}
		for i, v := range j.values {
			q = append(append(q, ','), v.literal...)
			if n == 0 {
				q = fmt.Appendf(q, " AS v%d", i)
			}
		}
	}
	q = append(q, ") v STRAIGHT_JOIN "+t.from()+" t FORCE INDEX ("+quote(t.keyIndex)+") ON "...)
	for i, k := range t.key {
		if i > 0 {
			q = append(q, " AND "...)
		}
		q = append(q, "t."+name(k)+" = "+k.joined(fmt.Sprintf("v.k%d", i))...)
	}
	q = append(q, " SET "...)
	for i, c := range jobs[0].columns {
		if i > 0 {
			q = append(q, ',')
		}
		q = fmt.Appendf(q, "t.%s=v.v%d", name(c), i)
	}
	return string(q)
}

// joined gives a literal that has gone through a derived table the column's type again, so that the index serves.
func (c *column) joined(expression string) string {
	switch c.kind {
	case kindText, kindChar, kindEnum:
		return "CONVERT(" + expression + " USING " + c.charset + ") COLLATE " + c.collation
	case kindDate:
		return "CAST(" + expression + " AS DATE)"
	case kindDateTime, kindTimestamp:
		return "CAST(" + expression + " AS DATETIME(6))"
	case kindTime:
		return "CAST(" + expression + " AS TIME(6))"
	case kindUUID:
		return "CAST(" + expression + " AS UUID)"
	}
	return expression
}

// add inserts rows, those whose key the server makes apart.
func (b *batch) add(ctx context.Context, jobs []*job) error {
	var named, unnamed []*job
	for _, j := range jobs {
		if j.key != "" {
			named = append(named, j)
		} else {
			unnamed = append(unnamed, j)
		}
	}
	// In one order by all writers, so that they rather wait for each other than meet in a deadlock.
	slices.SortFunc(named, func(a, c *job) int { return strings.Compare(string(a.key), string(c.key)) })
	if err := b.each(ctx, named, b.t.insertStatement, b.simply); err != nil {
		return err
	}
	return b.each(ctx, unnamed, b.t.insertStatement, b.insertUnnamed)
}

func (t *table) insertStatement(jobs []*job) string {
	used := make(map[*column]bool)
	for _, j := range jobs {
		for _, c := range j.columns {
			used[c] = true
		}
	}
	var columns []*column
	at := make(map[*column]int)
	for _, c := range t.columns {
		if used[c] {
			at[c] = len(columns)
			columns = append(columns, c)
		}
	}
	q := []byte("INSERT INTO " + t.from() + " (" + list(columns, name) + ") VALUES ")
	literals := make([]string, len(columns))
	for n, j := range jobs {
		for i := range literals {
			literals[i] = "DEFAULT"
		}
		for i, c := range j.columns {
			literals[at[c]] = j.values[i].literal
		}
		if n > 0 {
			q = append(q, ',')
		}
		q = append(append(append(q, '('), strings.Join(literals, ",")...), ')')
	}
	return string(q)
}

// insertUnnamed inserts and learns the keys that the server made.
func (b *batch) insertUnnamed(ctx context.Context, q string, jobs []*job) error {
	keys := make([]record.Key, 0, len(jobs))
	if b.s.server.returning() {
		r := b.t.reader(b.t.key)
		err := query(ctx, b.conn, q+" RETURNING "+selectList(b.t.key, ""), func(values []driver.Value) error {
			one, err := r.row(values)
			keys = append(keys, one.key)
			return err
		})
		if err != nil {
			return err
		}
	} else {
		_, first, err := exec(ctx, b.conn, q)
		if err != nil {
			return err
		}
		// One statement whose number of rows is known beforehand gets consecutive values.
		// Source: MySQL Reference Manual, "AUTO_INCREMENT Handling in InnoDB".
		for i, j := range jobs {
			values := make([]record.Value, len(b.t.key))
			for k, c := range b.t.key {
				if at := slices.Index(j.columns, c); at >= 0 {
					values[k] = j.values[at].kept
				} else {
					values[k] = record.Int(first + int64(i)*b.s.server.step)
				}
			}
			keys = append(keys, record.MakeKey(values...))
		}
	}
	if len(keys) != len(jobs) {
		return fmt.Errorf("%d rows were inserted instead of %d", len(keys), len(jobs))
	}
	for i, j := range jobs {
		j.key = keys[i]
		var err error
		if j.literal, _, err = b.t.keyLiterals(keys[i]); err != nil {
			return err
		}
	}
	return nil
}

// readBack reads what became of written values, where that was not sure.
func (b *batch) readBack(ctx context.Context, jobs []*job) error {
	columns := slices.Clone(b.t.key)
	byKey := make(map[record.Key]*job)
	var literals [][]string
	for _, j := range jobs {
		if j.waiting || j.receipt.Outcome != connector.Applied {
			continue
		}
		unsure := false
		for i, c := range j.columns {
			if !b.t.triggers && j.values[i].sure {
				continue
			}
			unsure = true
			if !slices.Contains(columns, c) {
				columns = append(columns, c)
			}
		}
		if !unsure {
			continue
		}
		l, _, err := b.t.keyLiterals(j.receipt.Key)
		if err != nil {
			return err
		}
		byKey[j.receipt.Key] = j
		literals = append(literals, l)
	}
	return b.t.byKeys(ctx, b.conn, columns, literals, "", func(r row) error {
		if j := byKey[r.key]; j != nil {
			j.receipt.Stored = j.stored(r.fields)
		}
		return nil
	})
}
