// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/record"
)

var october = time.Date(2024, 10, 1, 0, 0, 0, 0, time.UTC)

func fact(fields record.Fields, systems ...record.System) *record.Entity {
	e := &record.Entity{ID: record.NewEntityID(), Collection: "c", MatchKey: record.Text(fields["invoiceId"]), Fields: fields, Links: map[record.System]*record.Link{}, CreatedAt: october}
	for _, s := range systems {
		e.Links[s] = &record.Link{System: s, Key: record.Key(fmt.Sprint(s, "-1"))}
	}
	return e
}

func amount(n string, day int, more ...any) record.Fields {
	f := record.Fields{"amount": record.Number(n), "date": fmt.Sprintf("2024-10-%02d", day)}
	for i := 0; i+1 < len(more); i += 2 {
		f[more[i].(string)] = more[i+1]
	}
	return f
}

func TestCompare(t *testing.T) {
	books, stripe, bank := record.System("quickbooks"), record.System("stripe"), record.System("bank-feed")
	all := []record.System{books, stripe, bank}
	both := []record.System{books, stripe}
	off := func(e *record.Entity, s record.System, v string) *record.Entity {
		e.Links[s].Behind = record.Fields{"amount": record.Number(v)}
		return e
	}
	type in struct {
		e *record.Entity
		s []record.System
	}
	tests := []struct {
		name    string
		in      []in
		matched int64
		want    string
	}{
		{"linked and equal", []in{{fact(amount("10", 2), books, stripe), both}}, 1, ""},
		{"within the tolerance", []in{{off(fact(amount("10", 2), books, stripe), stripe, "10.01"), both}}, 1, ""},
		{"beyond it", []in{{off(fact(amount("10", 2, "invoiceId", "I1"), books, stripe), stripe, "10.02"), both}}, 0, "I1 amount -0.02;"},
		{"only one has it", []in{{fact(amount("10", 2, "invoiceId", "I1"), books), both}}, 0, "I1 unmatched in [stripe];"},
		{"by reference", []in{{fact(amount("10", 2, "invoiceId", "I1"), books), []record.System{books}}, {fact(amount("10", 9, "invoiceId", "i1 "), bank), []record.System{bank}}}, 1, ""},
		{"by reference, another amount", []in{{fact(amount("10", 2, "invoiceId", "I1"), books), []record.System{books}}, {fact(amount("7", 9, "invoiceId", "I1"), bank), []record.System{bank}}}, 0, "i1 amount 3;"},
		{"by amount and date", []in{{fact(amount("10", 2), books), []record.System{books}}, {fact(amount("10", 5), bank), []record.System{bank}}}, 1, ""},
		{"too far apart in time", []in{{fact(amount("10", 2), books), []record.System{books}}, {fact(amount("10", 12), bank), []record.System{bank}}}, 0, " unmatched in [stripe bank-feed]; unmatched in [quickbooks stripe];"},
		{"another currency", []in{{fact(amount("10", 2, "currency", "usd"), books), []record.System{books}}, {fact(amount("10", 2, "currency", "eur"), bank), []record.System{bank}}}, 0, " unmatched in [stripe bank-feed]; unmatched in [quickbooks stripe];"},
		{"each is matched once, the nearest first", []in{{fact(amount("10", 2, "invoiceId", "I1"), books), []record.System{books}}, {fact(amount("10", 6), bank), []record.System{bank}}, {fact(amount("10", 3), bank), []record.System{bank}}}, 1, " unmatched in [quickbooks stripe];"},
		{"outside the span", []in{{fact(record.Fields{"amount": record.Number("1"), "date": "2024-11-01"}, books), both}}, 0, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := New(Options{Systems: all, Tolerance: big.NewRat(1, 100)}, october, october.AddDate(0, 1, 0))
			for _, i := range test.in {
				c.Add(i.e, i.s)
			}
			c.End()
			got := ""
			for _, f := range c.Found {
				if f.Unmatched {
					got += fmt.Sprintf("%s unmatched in %v;", f.Title, f.MissingIn)
				} else {
					got += fmt.Sprintf("%s %s %s;", f.Title, f.Field, f.Difference)
				}
			}
			if c.Matched != test.matched || got != test.want {
				t.Errorf("matched %d, found %q; want %d, %q", c.Matched, got, test.matched, test.want)
			}
		})
	}
}
