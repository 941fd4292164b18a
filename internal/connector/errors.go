// SPDX-License-Identifier: Apache-2.0

package connector

import (
	"errors"
	"fmt"
	"time"
)

// Class says what happens next after an outside system's error; nothing else is looked at.
type Class string

// The classes.
const (
	Retry     Class = "retry"      // passing trouble: try again with back-off
	SlowDown  Class = "slow_down"  // too many requests: try again after Error.After
	Reconnect Class = "reconnect"  // credentials or address are wrong: a person must mend the connection
	Drift     Class = "drift"      // the object's shape is not what it was
	Conflict  Class = "conflict"   // the record moved on meanwhile
	Reject    Class = "refused"    // the system will never take this input
	Missing   Class = "gone"       // the record, object or log position no longer exists
	LostPlace Class = "lost_place" // the cursor is no longer readable: a new snapshot is needed, nothing else is lost
)

// Error is an outside system's error, classified once where it enters.
type Error struct {
	Class   Class
	Code    string        // stable, with a page in docs/errors: "postgresql.no_primary_key"
	Message string        // for the customer: what happened and what to do; never contains a secret
	After   time.Duration // for SlowDown
	Err     error         // the system's own words, for the log
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

func (e *Error) Unwrap() error { return e.Err }

// Classify returns the classified error in err's chain; an unclassified one counts as Retry.
func Classify(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Class: Retry, Code: "connector.unclassified", Message: "The system did not answer as expected; it will be tried again.", Err: err}
}
