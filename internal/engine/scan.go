// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/expression"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// scan reads the records of one object that a selection names, apart from its stream of changes, page by page. Where it
// stands can be kept and gone on from.
type scan struct {
	seat  *Seat
	sel   *service.Selection
	keep  func(record.Fields) bool
	again bool // see Mapped.Again
	place scanPlace
}

// scanPlace is where a scan stands.
type scanPlace struct {
	Cursor record.Cursor `json:"cursor,omitempty"`
	Next   int           `json:"next,omitempty"` // of a list of records: the first not read yet
	Seen   int64         `json:"seen"`
	Total  int64         `json:"total,omitempty"`
}

// scanned is a page of a scan.
type scanned struct {
	mapped []Mapped
	seen   int64 // records looked at so far, those that the filter leaves out included
	total  int64 // about how many there are; 0 when unknown
	more   bool
}

func newScan(seat *Seat, sel *service.Selection, again bool) (*scan, error) {
	s := &scan{seat: seat, sel: sel, again: again}
	test, err := filter(sel.Conditions)
	if err != nil {
		return nil, fault.New(fault.Invalid, "run.filter_invalid", "A condition of the filter cannot be used: %v.", err)
	}
	s.keep = test
	if sel.Expression != "" {
		p, err := expression.Compile(sel.Expression)
		if err != nil {
			return nil, fault.New(fault.Invalid, "run.filter_invalid", "The filter's expression cannot be used: %v.", err)
		}
		s.keep = func(f record.Fields) bool {
			ok, err := p.True(expression.Of(f))
			return ok && err == nil && test(f)
		}
	}
	return s, nil
}

// resume takes up a place that was kept; none is the beginning.
func (s *scan) resume(kept []byte) error {
	if len(kept) == 0 {
		return nil
	}
	if err := json.Unmarshal(kept, &s.place); err != nil {
		return fmt.Errorf("reading the place of a scan: %w", err)
	}
	return nil
}

// next reads and maps a page.
func (s *scan) next(ctx context.Context, limit int) (out scanned, err error) {
	var changes []record.Change
	if len(s.sel.Records) > 0 {
		if changes, err = s.byKey(ctx, limit); err != nil {
			return out, err
		}
		out.more, s.place.Total = s.place.Next < len(s.sel.Records), int64(len(s.sel.Records))
	} else {
		page, err := connector.List(ctx, s.seat.Open, connector.ListRequest{Object: s.seat.Object, Fields: s.seat.Map.Natives(), Cursor: s.place.Cursor,
			Limit: limit, From: s.sel.From, To: s.sel.To, Since: s.sel.Since})
		if err != nil {
			return out, err
		}
		changes, out.more = page.Changes, page.More
		s.place.Cursor, s.place.Total = page.Cursor, max(s.place.Total, page.Total)
		s.place.Seen += int64(len(changes))
	}
	out.seen, out.total = s.place.Seen, s.place.Total
	if err := s.seat.Inward(ctx, changes); err != nil {
		return out, err
	}
	out.mapped = MapAll(s.seat, changes)
	if len(s.sel.Conditions) > 0 || s.sel.Expression != "" {
		// What cannot be mapped cannot be judged by its fields either: it is not what was meant.
		out.mapped = slices.DeleteFunc(out.mapped, func(m Mapped) bool { return m.Op == record.Upsert && !s.keep(m.In) })
	}
	for i := range out.mapped {
		out.mapped[i].Again = s.again
	}
	return out, nil
}

func (s *scan) byKey(ctx context.Context, limit int) ([]record.Change, error) {
	reader, ok := s.seat.Open.(connector.KeyReader)
	if !ok {
		return nil, &connector.Error{Class: connector.Reject, Code: "list.by_key", Message: fmt.Sprintf("%s cannot be asked for single records.", s.seat.System)}
	}
	keys := s.sel.Records[s.place.Next:min(s.place.Next+limit, len(s.sel.Records))]
	s.place.Next += len(keys)
	s.place.Seen = int64(s.place.Next)
	if len(keys) == 0 {
		return nil, nil
	}
	return reader.ReadKeys(ctx, s.seat.Object, s.seat.Map.Natives(), keys)
}

// kept is the place to go on from.
func (s *scan) kept() []byte {
	b, err := json.Marshal(s.place)
	if err != nil {
		panic(err) // numbers and bytes
	}
	return b
}
