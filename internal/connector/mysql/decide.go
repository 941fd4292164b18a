// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

type action uint8

const (
	actionNone action = iota // it is answered
	actionInsert
	actionUpdate
	actionDelete
)

// decide says what is to be done for a job whose rows are locked, or answers it.
func (t *table) decide(j *job) action {
	if j.postponed {
		j.postponed = false
		return actionNone
	}
	answer := func(o connector.Outcome, r *row) action {
		out := connector.Receipt{Outcome: o, Key: j.w.Key}
		if r != nil {
			out.Key = r.key
		} else if out.Key == "" {
			out.Key = j.key
		}
		switch o {
		case connector.Moved:
			out.Stored = r.fields
		case connector.Already:
			if r != nil && j.w.Op == record.Upsert {
				out.Stored = j.stored(r.fields)
			}
		}
		*j.receipt = out
		return actionNone
	}
	switch {
	case j.w.Op == record.Delete && j.now == nil:
		return answer(connector.Already, nil)
	case j.w.Op == record.Delete && !t.expected(j):
		return answer(connector.Moved, j.now)
	case j.w.Op == record.Delete:
		return actionDelete
	case j.now == nil && j.w.Create:
		return actionInsert
	case j.now == nil && j.then != nil && j.holds(j.then): // renamed before, in an earlier try
		return answer(connector.Already, j.then)
	case j.now == nil:
		return answer(connector.Gone, nil)
	case j.renamed == "" && j.holds(j.now):
		return answer(connector.Already, j.now)
	case j.w.Create, !t.expected(j):
		return answer(connector.Moved, j.now)
	}
	return actionUpdate
}

// holds says whether the row already has the values that are asked for.
func (j *job) holds(r *row) bool {
	for i, c := range j.columns {
		if j.asked[i] == "" {
			continue
		}
		if have := r.fields[c.name]; !record.Equal(have, j.values[i].kept) && !record.Equal(have, j.w.Fields[j.asked[i]]) {
			return false
		}
	}
	return true
}

// expected says whether the row has the values that it is believed to have.
func (t *table) expected(j *job) bool {
	for name, v := range j.w.Expect {
		c := t.column(name)
		have := j.now.fields[c.name]
		if record.Equal(have, v) {
			continue
		}
		if e, err := c.encode(v); err != nil || !record.Equal(have, e.kept) {
			return false
		}
	}
	return true
}

// stored are the fields asked for as the database has them, or nil when all are as asked for.
func (j *job) stored(held record.Fields) record.Fields {
	differ := false
	out := make(record.Fields, len(j.asked))
	for i, name := range j.asked {
		if name == "" {
			continue
		}
		v, read := held[j.columns[i].name]
		if !read {
			v = j.values[i].kept
		}
		out[name] = v
		differ = differ || !record.Equal(v, j.w.Fields[name])
	}
	if !differ {
		return nil
	}
	return out
}
