// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"encoding/binary"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// param is a parameter of a statement in the form of the wire.
type param struct {
	value  []byte // nil is null
	oid    uint32 // 0 leaves the type to the server
	format int16  // 0 text, 1 binary
}

func text(s string) param { return param{value: []byte(s), oid: pgtype.TextOID} }

func number(n int64) param { return param{value: strconv.AppendInt(nil, n, 10), oid: pgtype.Int8OID} }

// texts is a text[]; see textArray for one with nulls.
func texts(list []string) param {
	var a textArray
	a.begin(len(list))
	for _, s := range list {
		a.add(s)
	}
	return a.param()
}

// textArray builds a text[] in the binary form of the wire, which costs next to nothing.
type textArray struct {
	b []byte
	n uint32
}

func (a *textArray) begin(expected int) {
	a.b = append(make([]byte, 0, 20+expected*16), 0, 0, 0, 1, 0, 0, 0, 1)
	a.b = binary.BigEndian.AppendUint32(a.b, pgtype.TextOID)
	a.b = append(a.b, 0, 0, 0, 0, 0, 0, 0, 1)
}

func (a *textArray) add(s string) {
	a.b = binary.BigEndian.AppendUint32(a.b, uint32(len(s)))
	a.b = append(a.b, s...)
	a.n++
}

func (a *textArray) addNull() {
	a.b = append(a.b, 0xff, 0xff, 0xff, 0xff)
	a.n++
}

func (a *textArray) param() param {
	if a.n == 0 { // an array without elements has no dimension
		return param{value: []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, pgtype.TextOID}, oid: pgtype.TextArrayOID, format: 1}
	}
	binary.BigEndian.PutUint32(a.b[12:], a.n)
	return param{value: a.b, oid: pgtype.TextArrayOID, format: 1}
}

// statement is SQL with its parameters and what to do with each row; values are in text form and valid only during
// the call.
type statement struct {
	sql    string
	params []param
	row    func(values [][]byte) error
}

func split(params []param) (values [][]byte, oids []uint32, formats []int16) {
	values, oids, formats = make([][]byte, len(params)), make([]uint32, len(params)), make([]int16, len(params))
	for i, p := range params {
		values[i], oids[i], formats[i] = p.value, p.oid, p.format
	}
	return values, oids, formats
}

// run executes one statement.
func (st statement) run(ctx context.Context, c *pgconn.PgConn) error {
	values, oids, formats := split(st.params)
	return st.collect(c.ExecParams(ctx, st.sql, values, oids, formats, nil))
}

func (st statement) collect(r *pgconn.ResultReader) error {
	var failed error
	for r.NextRow() {
		if st.row != nil && failed == nil {
			failed = st.row(r.Values())
		}
	}
	if _, err := r.Close(); err != nil {
		return err
	}
	return failed
}

// pipeline executes the statements in one round trip. What follows a failed one is not executed; without BEGIN and
// COMMIT among them they are one transaction all the same.
func pipeline(ctx context.Context, c *pgconn.PgConn, statements ...statement) error {
	b := &pgconn.Batch{}
	for _, st := range statements {
		values, oids, formats := split(st.params)
		b.ExecParams(st.sql, values, oids, formats, nil)
	}
	results := c.ExecBatch(ctx, b)
	i := 0
	var failed error
	for results.NextResult() {
		r := results.ResultReader()
		if i < len(statements) {
			if err := statements[i].collect(r); err != nil && failed == nil {
				failed = err
			}
		}
		i++
	}
	if err := results.Close(); err != nil && failed == nil {
		failed = err
	}
	return failed
}

// execute runs statements without parameters, each for itself.
func execute(ctx context.Context, c *pgconn.PgConn, statements ...string) error {
	for _, sql := range statements {
		if _, err := c.Exec(ctx, sql).ReadAll(); err != nil {
			return err
		}
	}
	return nil
}

// inTransaction runs f between BEGIN and COMMIT, or ROLLBACK when it fails.
func inTransaction(ctx context.Context, c *pgconn.PgConn, f func() error) error {
	if err := execute(ctx, c, "BEGIN"); err != nil {
		return err
	}
	err := f()
	if err == nil {
		return execute(ctx, c, "COMMIT")
	}
	if !c.IsClosed() {
		_ = execute(context.WithoutCancel(ctx), c, "ROLLBACK")
	}
	return err
}
