// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"context"
	"database/sql"
	"encoding/base64"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// SQLUsers are the users of a database. Tell it the shape of each object with Know.
type SQLUsers struct {
	DB    *sql.DB
	Quote func(name string) string // an identifier as in SQL; for objects too
	Mark  func(i int) string       // the i-th placeholder, from 1
	// Value turns a canonical value into the driver's; nil for Argument.
	Value func(f connector.FieldInfo, v record.Value) any
	// Touch is a column to set to an expression in each insert and update: the time of the change. "" for none.
	Touch, TouchWith string

	mu     sync.Mutex
	shapes map[record.Object]Shape
}

// Know tells what the object looks like.
func (u *SQLUsers) Know(object record.Object, shape Shape) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.shapes == nil {
		u.shapes = map[record.Object]Shape{}
	}
	u.shapes[object] = shape
}

func (u *SQLUsers) shape(object record.Object) Shape {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.shapes[object]
}

// Argument gives a canonical value to a driver in the text form that databases read: JSON and lists as JSON, bytes as
// []byte.
func Argument(f connector.FieldInfo, v record.Value) any {
	switch v := v.(type) {
	case nil:
		return nil
	case bool:
		if f.Type == connector.TypeJSON {
			return string(record.AppendJSON(nil, v))
		}
		return v
	case string:
		switch f.Type {
		case connector.TypeBytes:
			b, err := base64.StdEncoding.DecodeString(v)
			if err != nil {
				panic(err)
			}
			return b
		case connector.TypeJSON:
			return string(record.AppendJSON(nil, v))
		}
		return v
	case record.Number:
		return string(v)
	}
	return string(record.AppendJSON(nil, v))
}

// Insert implements Users.
func (u *SQLUsers) Insert(t testing.TB, object record.Object, rows ...record.Fields) {
	t.Helper()
	tx := u.Begin(t)
	tx.Insert(t, object, rows...)
	tx.Commit(t)
}

// Update implements Users.
func (u *SQLUsers) Update(t testing.TB, object record.Object, key record.Key, set record.Fields) {
	t.Helper()
	sqlEdits{u, u.DB}.Update(t, object, key, set)
}

// Delete implements Users.
func (u *SQLUsers) Delete(t testing.TB, object record.Object, keys ...record.Key) {
	t.Helper()
	tx := u.Begin(t)
	tx.Delete(t, object, keys...)
	tx.Commit(t)
}

// Begin implements Users.
func (u *SQLUsers) Begin(t testing.TB) Transaction {
	t.Helper()
	tx, err := u.DB.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatalf("a user cannot begin: %v", err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	return &sqlTransaction{sqlEdits{u, tx}, tx}
}

type sqlTransaction struct {
	sqlEdits
	tx *sql.Tx
}

func (x *sqlTransaction) Commit(t testing.TB) {
	t.Helper()
	if err := x.tx.Commit(); err != nil {
		t.Fatalf("a user cannot commit: %v", err)
	}
}

func (x *sqlTransaction) Rollback(t testing.TB) {
	t.Helper()
	if err := x.tx.Rollback(); err != nil {
		t.Fatalf("a user cannot roll back: %v", err)
	}
}

type sqlEdits struct {
	u  *SQLUsers
	on interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	}
}

func (e sqlEdits) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := e.on.ExecContext(ctx, statement, args...); err != nil {
		t.Fatalf("a user's edit failed: %s: %v", statement, err)
	}
}

// args collects values for placeholders.
type args struct {
	u    *SQLUsers
	list []any
}

func (a *args) mark(v any) string {
	a.list = append(a.list, v)
	return a.u.Mark(len(a.list))
}

func (a *args) value(s Shape, name string, v record.Value) string {
	f, _ := s.Field(name)
	if a.u.Value != nil {
		return a.mark(a.u.Value(f, v))
	}
	return a.mark(Argument(f, v))
}

func (e sqlEdits) Insert(t testing.TB, object record.Object, rows ...record.Fields) {
	t.Helper()
	s := e.u.shape(object)
	const perStatement = 200
	for len(rows) > 0 {
		n := min(len(rows), perStatement)
		a := &args{u: e.u}
		var columns, lists []string
		for _, f := range s.Fields {
			if !f.Generated {
				columns = append(columns, e.u.Quote(f.Name))
			}
		}
		for _, row := range rows[:n] {
			var marks []string
			for _, f := range s.Fields {
				if !f.Generated {
					marks = append(marks, a.value(s, f.Name, row[f.Name]))
				}
			}
			if e.u.Touch != "" {
				marks = append(marks, e.u.TouchWith)
			}
			lists = append(lists, "("+strings.Join(marks, ", ")+")")
		}
		if e.u.Touch != "" {
			columns = append(columns, e.u.Quote(e.u.Touch))
		}
		e.exec(t, "INSERT INTO "+e.u.Quote(string(object))+" ("+strings.Join(columns, ", ")+") VALUES "+strings.Join(lists, ", "), a.list...)
		rows = rows[n:]
	}
}

func (e sqlEdits) Update(t testing.TB, object record.Object, key record.Key, set record.Fields) {
	t.Helper()
	s := e.u.shape(object)
	a := &args{u: e.u}
	var sets []string
	for _, f := range s.Fields {
		if v, given := set[f.Name]; given {
			sets = append(sets, e.u.Quote(f.Name)+" = "+a.value(s, f.Name, v))
		}
	}
	if e.u.Touch != "" {
		sets = append(sets, e.u.Quote(e.u.Touch)+" = "+e.u.TouchWith)
	}
	e.exec(t, "UPDATE "+e.u.Quote(string(object))+" SET "+strings.Join(sets, ", ")+" WHERE "+e.where(t, a, s, key), a.list...)
}

func (e sqlEdits) Delete(t testing.TB, object record.Object, keys ...record.Key) {
	t.Helper()
	s := e.u.shape(object)
	for _, k := range keys {
		a := &args{u: e.u}
		where := e.where(t, a, s, k)
		e.exec(t, "DELETE FROM "+e.u.Quote(string(object))+" WHERE "+where, a.list...)
	}
}

func (e sqlEdits) where(t testing.TB, a *args, s Shape, key record.Key) string {
	t.Helper()
	parts, err := key.Parts(len(s.Key))
	if err != nil {
		t.Fatal(err)
	}
	var conditions []string
	for i, name := range s.Key {
		conditions = append(conditions, e.u.Quote(name)+" = "+a.mark(parts[i]))
	}
	return strings.Join(conditions, " AND ")
}
