// SPDX-License-Identifier: Apache-2.0

// Package ui is the visual language of the dashboard: its shell, its components and their formatting.
//
// A component is a struct that is also a templ.Component: @ui.State{Word: "active"}. Those that hold other content
// have a method With: @ui.Card{Title: "Runs"}.With() { ... }. The structs are plain: text, numbers, times and
// addresses, no domain types, so that a page says what it shows and nothing here knows where it came from.
package ui

import (
	"context"
	"time"

	"github.com/a-h/templ"
)

// A Reader is what the components need to know about the person who looks: the server's present time, from which
// relative times are counted, and the zone in which exact times are written. Put it into the context once per request.
type Reader struct {
	Now  time.Time      // zero means time.Now
	Zone *time.Location // nil means UTC
}

type readerKey struct{}

// WithReader returns a context under which components render for r.
func WithReader(ctx context.Context, r Reader) context.Context {
	return context.WithValue(ctx, readerKey{}, r)
}

func reader(ctx context.Context) Reader {
	r, _ := ctx.Value(readerKey{}).(Reader)
	if r.Now.IsZero() {
		r.Now = time.Now()
	}
	if r.Zone == nil {
		r.Zone = time.UTC
	}
	return r
}

// A Tone is the meaning of a colour. It never stands alone: a word or a mark goes with it.
type Tone string

// The tones.
const (
	OK     Tone = "ok"     // as it should be
	Warn   Tone = "warn"   // needs a look, nothing is lost
	Bad    Tone = "bad"    // failed
	Info   Tone = "info"   // under way
	Split  Tone = "split"  // systems disagree
	Idle   Tone = "idle"   // at rest
	Accent Tone = "accent" // ours, no judgement
)

// Fragments are components one after another.
type Fragments = []templ.Component
