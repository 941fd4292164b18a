// SPDX-License-Identifier: Apache-2.0

package connector

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/record"
)

// ListRequest asks for the next page of an object's records as they are.
type ListRequest struct {
	Object record.Object
	Fields []string      // the fields wanted; the key fields are read in any case. Empty: all
	Cursor record.Cursor // nil: from the beginning
	Limit  int           // at most so many; 1 to 10,000
	From   record.Key    // the first key wanted, in the system's order of keys; "" is open
	To     record.Key    // the last one wanted; "" is open
	Since  time.Time     // only records that changed since, by the system's own word; zero for all
}

// Lister can show an object's records without preparing to see changes: nothing is left in the system, and no reader's place
// moves. Plans and backfills read so.
type Lister interface {
	// List returns Upserts in a stable order. Page.Cursor is where the next List goes on while Page.More says so. An error of the
	// code ListSince means that the system cannot tell what changed since.
	List(ctx context.Context, req ListRequest) (Page, error)
}

// ListSince is the code of the error that an object cannot be listed by time.
const ListSince = "list.since"

// CannotTell is the error that nothing in the object says when its records changed.
func CannotTell(object record.Object, why string) error {
	return &Error{Class: Reject, Code: ListSince, Message: strings.TrimSpace(fmt.Sprintf("It cannot be told which records of %s changed since a time. %s", object, why))}
}

// List shows the next page of an object: by the system's Lister, else by the first reading of its Reader, whose place is
// kept by nobody.
func List(ctx context.Context, s System, req ListRequest) (Page, error) {
	if l, ok := s.(Lister); ok {
		return l.List(ctx, req)
	}
	r, ok := s.(Reader)
	if !ok {
		return Page{}, &Error{Class: Reject, Code: "list.not_possible", Message: fmt.Sprintf("Records of %s cannot be read.", req.Object)}
	}
	page, err := r.Read(ctx, ReadRequest{Object: req.Object, Fields: req.Fields, Cursor: req.Cursor, Limit: req.Limit})
	if err != nil {
		return Page{}, err
	}
	kept := page.Changes[:0]
	for _, c := range page.Changes {
		switch {
		case c.Op != record.Upsert, req.From != "" && compareKeys(c.Key, req.From) < 0, req.To != "" && compareKeys(c.Key, req.To) > 0:
			continue
		case !req.Since.IsZero() && c.At.IsZero():
			return Page{}, CannotTell(req.Object, "The system does not say when its records changed.")
		case c.At.Before(req.Since):
			continue
		}
		kept = append(kept, c)
	}
	page.Changes, page.More = kept, page.Phase == Snapshot
	return page, nil
}

// compareKeys orders keys: whole numbers by their value, everything else as text.
func compareKeys(a, b record.Key) int {
	x, okX := wholeNumber(string(a))
	y, okY := wholeNumber(string(b))
	if !okX || !okY || x == y {
		return strings.Compare(x, y)
	}
	if negative := x[0] == '-'; negative != (y[0] == '-') {
		if negative {
			return -1
		}
		return 1
	} else if negative {
		x, y = y[1:], x[1:]
	}
	if len(x) != len(y) {
		return len(x) - len(y)
	}
	return strings.Compare(x, y)
}

// wholeNumber says whether the text is a whole number as canonical values write them.
func wholeNumber(s string) (string, bool) {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || len(digits) > 1 && digits[0] == '0' || strings.Trim(digits, "0123456789") != "" {
		return s, false
	}
	return s, true
}
