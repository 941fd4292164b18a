// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// A batch is written in one transaction: the rows are locked and read in one query, compared here with what is expected
// and asked for, and written with one statement per kind of change. A statement that fails for the sake of one record
// is tried again with each half of its records.

// tries is how often a batch is begun again when the server chose it as the victim of a deadlock.
const tries = 10

// job is one write on its way.
type job struct {
	w       *connector.Write
	receipt *connector.Receipt

	key     record.Key // in the database's spelling; "" when the server makes it
	literal []string   // the key's parts
	renamed record.Key // the key after the write, when Fields change it
	moved   []string   // the parts of renamed

	columns []*column // to be set, in table order
	values  []encoded // one per column
	asked   []string  // the names under which they were asked for

	now  *row // the row under lock; nil when there is none
	then *row // the row that has the key renamed

	left      int  // how often it may be tried again, when another record of the batch was in its way
	waiting   bool // it will be tried again
	postponed bool // another job has its row
}

// Write applies the batch.
func (s *system) Write(ctx context.Context, object record.Object, writes []connector.Write) ([]connector.Receipt, error) {
	t, err := s.table(ctx, object)
	if err != nil {
		return nil, err
	}
	receipts, err := s.write(ctx, t, writes)
	var e *connector.Error
	if errors.As(err, &e) && e.Class == connector.Drift {
		s.forget(object) // the table is not what we know; nothing was written
		if t, err = s.table(ctx, object); err == nil {
			receipts, err = s.write(ctx, t, writes)
		}
	}
	return receipts, err
}

func (s *system) write(ctx context.Context, t *table, writes []connector.Write) ([]connector.Receipt, error) {
	doing := "writing to " + t.name
	if !t.transactional {
		return nil, &connector.Error{Class: connector.Reject, Code: "mysql.not_transactional",
			Message: fmt.Sprintf("The table %s is kept by the engine %s, which has no transactions, so writes to it cannot be made safe. Convert it: ALTER TABLE %s ENGINE=InnoDB.", t.name, t.engine, quote(t.name))}
	}
	for attempt := 1; ; attempt++ {
		marked, err := s.mayMark(ctx, s.remembers)
		if err != nil {
			return nil, classify(err, doing)
		}
		if s.remembers && !marked {
			return nil, s.helperMissing(nil)
		}
		receipts := make([]connector.Receipt, len(writes))
		var jobs []*job
		for i := range writes {
			if j := t.prepare(&writes[i], &receipts[i]); j != nil {
				jobs = append(jobs, j)
			}
		}
		if len(jobs) == 0 {
			return receipts, nil
		}
		err = s.transact(ctx, t, jobs, marked)
		var e *connector.Error
		if errors.As(err, &e) && e.Code == "mysql.helper_missing" && attempt < tries {
			continue // another service took the last row out of the table and the table with it
		}
		if n := number(err); (n == 1213 || n == 1020) && attempt < tries {
			if err := pause(ctx, rand.N(time.Duration(attempt)*5*time.Millisecond)); err != nil {
				return nil, classify(err, doing)
			}
			continue
		}
		if err != nil {
			return nil, classify(err, doing)
		}
		return receipts, nil
	}
}

// prepare turns a write into a job, or answers it when it cannot be done.
func (t *table) prepare(w *connector.Write, receipt *connector.Receipt) *job {
	refuse := func(code, format string, args ...any) *job {
		*receipt = connector.Receipt{Outcome: connector.Refused, Key: w.Key, Err: &connector.Error{Class: connector.Reject, Code: code, Message: fmt.Sprintf(format, args...)}}
		return nil
	}
	j := &job{w: w, receipt: receipt, left: 2}
	if w.Key != "" {
		var err error
		if j.literal, j.key, err = t.keyLiterals(w.Key); err != nil {
			if w.Op == record.Delete { // no row can have it
				*receipt = connector.Receipt{Outcome: connector.Already, Key: w.Key}
				return nil
			}
			return refuse("mysql.not_valid", "The key %s does not fit the table %s: %v.", shorten(string(w.Key)), t.name, err)
		}
	} else if w.Op == record.Delete || !w.Create {
		return refuse("mysql.no_key", "The write names no record.")
	}
	for name := range w.Expect {
		if t.column(name) == nil {
			return refuse("mysql.no_column", "The table %s has no column %s (any more). Look at what changed in the table and at the mapping.", t.name, name)
		}
	}
	if w.Op == record.Delete {
		return j
	}
	for _, name := range sortedNames(w.Fields) {
		c := t.column(name)
		if c == nil {
			return refuse("mysql.no_column", "The table %s has no column %s (any more). Look at what changed in the table and at the mapping.", t.name, name)
		}
		if c.info.ReadOnly {
			return refuse("mysql.read_only_column", "The column %s cannot be written: the server makes its values, or they are of a type that is only read. Take it out of the mapping in this direction.", name)
		}
		e, err := c.encode(w.Fields[name])
		if err != nil {
			code := "mysql.not_valid"
			if w.Fields[name] == nil {
				code = "mysql.null"
			}
			return refuse(code, "The column %s does not take this value: %v.", name, err)
		}
		j.columns, j.values, j.asked = append(j.columns, c), append(j.values, e), append(j.asked, name)
	}
	if err := t.keyOf(j); err != nil {
		return refuse("mysql.no_key", "The record cannot be created: %v.", err)
	}
	return j
}

// keyOf completes the job's key from its fields, and its fields from its key.
func (t *table) keyOf(j *job) error {
	values, literals, missing := make([]record.Value, len(t.key)), make([]string, len(t.key)), []string(nil)
	for i, k := range t.key {
		at := slices.Index(j.columns, k)
		switch {
		case at >= 0 && j.values[at].kept != nil:
			values[i], literals[i] = j.values[at].kept, k.lookup(j.values[at].literal)
		case at >= 0 && k.increments: // null asks for a new number
			j.drop(at)
			missing = append(missing, k.name)
		default:
			missing = append(missing, k.name)
		}
	}
	switch {
	case !j.w.Create: // the fields may give the record another key
		parts := t.texts(j.key)
		for i, k := range t.key {
			if values[i] == nil {
				values[i], literals[i] = k.fromText(parts[i]), j.literal[i]
			}
		}
		if k := record.MakeKey(values...); k != j.key {
			j.renamed, j.moved = k, literals
			return nil
		}
		for _, k := range t.key { // unchanged
			if at := slices.Index(j.columns, k); at >= 0 {
				j.drop(at)
			}
		}
	case len(missing) == 0:
		j.key, j.literal = record.MakeKey(values...), literals
	case j.key != "":
		parts := t.texts(j.key)
		for i, k := range t.key {
			if values[i] == nil {
				e, err := k.encode(k.fromText(parts[i]))
				if err != nil {
					return err
				}
				j.columns, j.values, j.asked = append(j.columns, k), append(j.values, e), append(j.asked, "")
			}
		}
	default:
		for _, name := range missing {
			if c := t.byName[name]; !c.increments && !(c.info.Generated && t.mariadb) {
				return fmt.Errorf("the key column %s has no value, and the server does not make one", name)
			}
		}
	}
	return nil
}

func (j *job) drop(at int) {
	j.columns, j.values, j.asked = slices.Delete(j.columns, at, at+1), slices.Delete(j.values, at, at+1), slices.Delete(j.asked, at, at+1)
}

// transact does the jobs in one transaction. After an error nothing was written, but for the error of the commit itself.
func (s *system) transact(ctx context.Context, t *table, jobs []*job, marked bool) error {
	conn, err := s.writes.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, _, err := exec(ctx, conn, "BEGIN"); err != nil {
		return err
	}
	b := &batch{s: s, t: t, conn: conn, marked: !marked, attempt: jobs[0].w.Attempt}
	if err = b.run(ctx, jobs); err == nil {
		err = b.remember(ctx, b.attempt, jobs)
	}
	if err == nil && b.changed {
		_, _, err = exec(ctx, conn, "COMMIT")
	} else {
		_, _, rollback := exec(context.WithoutCancel(ctx), conn, "ROLLBACK")
		if err == nil {
			err = rollback
		}
	}
	return err
}

// batch is the transaction at work.
type batch struct {
	s       *system
	t       *table
	conn    *sql.Conn
	marked  bool // the transaction says whose it is, or cannot
	noted   bool // it says whose it is
	attempt uuid.UUID
	changed bool
	again   []*job
}

func (b *batch) run(ctx context.Context, pending []*job) error {
	for len(pending) > 0 {
		now, later := b.t.apart(pending)
		more, err := b.lock(ctx, now)
		if err != nil {
			return err
		}
		later = append(more, later...)
		var remove, change, add []*job
		for _, j := range now {
			switch b.t.decide(j) {
			case actionDelete:
				remove = append(remove, j)
			case actionUpdate:
				change = append(change, j)
			case actionInsert:
				add = append(add, j)
			}
		}
		// In this order values of unique columns become free before they are taken.
		if err := b.remove(ctx, remove); err != nil {
			return err
		}
		if err := b.change(ctx, change); err != nil {
			return err
		}
		if err := b.add(ctx, add); err != nil {
			return err
		}
		if err := b.readBack(ctx, append(change, add...)); err != nil {
			return err
		}
		if pending = later; len(pending) == 0 {
			pending, b.again = b.again, nil
		}
	}
	return nil
}

// apart takes the jobs that can be done together: each key once. Keys that differ in case alone count as one, because
// the table may take them so.
func (t *table) apart(jobs []*job) (now, later []*job) {
	taken := make(map[string]bool, len(jobs))
	for _, j := range jobs {
		keys := []string{strings.ToLower(string(j.key)), strings.ToLower(string(j.renamed))}
		if j.key != "" && taken[keys[0]] || j.renamed != "" && taken[keys[1]] {
			later = append(later, j)
			taken[keys[0]], taken[keys[1]] = true, true // what comes behind stays behind
			continue
		}
		taken[keys[0]], taken[keys[1]] = true, true
		now = append(now, j)
	}
	return now, later
}

// lock locks and reads the rows of the jobs. Jobs whose row another job has, in another spelling of the key, come back.
func (b *batch) lock(ctx context.Context, jobs []*job) (later []*job, err error) {
	wanted := slices.Clone(b.t.key)
	need := func(c *column) {
		if !slices.Contains(wanted, c) {
			wanted = append(wanted, c)
		}
	}
	byKey := make(map[record.Key]**row, len(jobs))
	var literals [][]string
	for _, j := range jobs {
		j.now, j.then, j.waiting = nil, nil, false
		if j.key != "" {
			byKey[j.key] = &j.now
			literals = append(literals, j.literal)
		}
		if j.renamed != "" {
			byKey[j.renamed] = &j.then
			literals = append(literals, j.moved)
		}
		for _, c := range j.columns {
			need(c)
		}
		for name := range j.w.Expect {
			need(b.t.column(name))
		}
	}
	var strays []row
	err = b.t.byKeys(ctx, b.conn, wanted, literals, " FOR UPDATE", func(r row) error {
		if p := byKey[r.key]; p != nil {
			*p = &r
		} else {
			strays = append(strays, r)
		}
		return nil
	})
	if err != nil || len(strays) == 0 {
		return nil, err
	}
	var open []record.Key
	for k, p := range byKey {
		if *p == nil {
			open = append(open, k)
		}
	}
	owner := make(map[record.Key]bool)
	var postponed []record.Key
	err = b.t.matchSpellings(ctx, b.conn, strays, open, nil, func(k record.Key, r row) {
		if owner[r.key] {
			postponed = append(postponed, k)
			return
		}
		owner[r.key] = true
		*byKey[k] = &r
	})
	for _, j := range jobs {
		if j.key != "" && slices.Contains(postponed, j.key) {
			later = append(later, j)
			j.postponed = true
		}
	}
	return later, err
}
