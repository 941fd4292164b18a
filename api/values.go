// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/oapi-codegen/nullable"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
)

// maybeTime is null for nil; times leave in UTC.
func maybeTime(t *time.Time) nullable.Nullable[time.Time] {
	if t == nil {
		return nullable.NewNullNullable[time.Time]()
	}
	return someTime(*t)
}

// someTime is null for the zero time.
func someTime(t time.Time) nullable.Nullable[time.Time] {
	if t.IsZero() {
		return nullable.NewNullNullable[time.Time]()
	}
	return nullable.NewNullableWithValue(t.UTC())
}

// someText is null for "".
func someText(s string) nullable.Nullable[string] {
	if s == "" {
		return nullable.NewNullNullable[string]()
	}
	return nullable.NewNullableWithValue(s)
}

// texts is an empty list for nil, and the names as text.
func texts[S ~string](list []S) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

// words turns names of openapi.yaml into ours or back; nil stays nil.
func words[To, From ~string](list *[]From) []To {
	if list == nil {
		return nil
	}
	out := make([]To, len(*list))
	for i, v := range *list {
		out[i] = To(v)
	}
	return out
}

// word is the value, or "" for nil.
func word[S ~string](p *S) S {
	if p == nil {
		return ""
	}
	return *p
}

// given is the value, or the zero value for nil.
func given[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// optional is nil for the zero value.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// joined lists names for a message.
func joined(names []string) string { return strings.Join(names, ", ") }

// public shows an id with its prefix.
func public[ID ~[16]byte](prefix string, id ID) string { return ident.Format(prefix, id) }

// named reads an id of that kind; a malformed one is a thing that there is not.
func named(prefix, id string) (uuid.UUID, error) { return ident.Parse(prefix, id) }

// fields shows findings.
func fields(list []fault.Field) []spec.ProblemField {
	return shown(list, func(f fault.Field) spec.ProblemField {
		return spec.ProblemField{
			Pointer: optional(f.Pointer), Line: optional(f.Line), Column: optional(f.Column),
			Code: optional(f.Code), Message: f.Message, Remedy: optional(f.Remedy),
		}
	})
}
