// SPDX-License-Identifier: Apache-2.0

// Package fault is the error a caller can act on: a kind that decides what happens next, a stable code with a page in
// docs/errors, and a message that names the place and the remedy.
package fault

import (
	"errors"
	"fmt"
)

// Kind groups faults by what the caller can do about them. The HTTP status follows from it alone (api/errors.go).
type Kind int

// The kinds, in the order of their HTTP status.
const (
	Invalid         Kind = iota + 1 // 422: the input is wrong; the fields say where
	Malformed                       // 400: the request cannot be read at all
	Unauthenticated                 // 401: nobody is signed in, or the key is not valid
	Forbidden                       // 403: signed in, but not allowed
	NotFound                        // 404: no such thing for this tenant
	Conflict                        // 409: the state of the thing forbids it
	Stale                           // 412: somebody changed it since it was read
	Required                        // 428: a precondition such as If-Match is missing
	TooMany                         // 429: slow down
	Unavailable                     // 503: a system we depend on does not answer; try again
)

// A Field is one faulty place in the input.
type Field struct {
	Pointer string `json:"pointer,omitempty"` // RFC 6901 JSON pointer into the request body, "" for the whole
	Line    int    `json:"line,omitempty"`    // 1-based, for documents
	Column  int    `json:"column,omitempty"`  // 1-based, for documents
	Code    string `json:"code,omitempty"`    // stable, as Error.Code
	Message string `json:"message"`           // what is wrong there
	Remedy  string `json:"remedy,omitempty"`  // what to write instead
}

// Error is a failure the caller can act on. Message is for them; Err is for us and never leaves the process.
type Error struct {
	Kind    Kind
	Code    string // stable and documented: "service.version_stale"
	Message string // one or two sentences fit for the caller, with the remedy
	Fields  []Field
	Err     error
}

// New makes a fault; the message is formatted as by fmt.Sprintf.
func New(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes a fault that keeps err for the log.
func Wrap(err error, kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...), Err: err}
}

// At returns a copy of e that also names the faulty fields.
func (e *Error) At(fields ...Field) *Error {
	c := *e
	c.Fields = append(append([]Field(nil), e.Fields...), fields...)
	return &c
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Code + ": " + e.Message + ": " + e.Err.Error()
	}
	return e.Code + ": " + e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// As returns the fault in err's chain, or nil.
func As(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// KindOf returns the kind of the fault in err's chain, or 0 for any other error.
func KindOf(err error) Kind {
	if e := As(err); e != nil {
		return e.Kind
	}
	return 0
}

// IsCode says whether err's chain holds a fault with that code.
func IsCode(err error, code string) bool {
	e := As(err)
	return e != nil && e.Code == code
}
