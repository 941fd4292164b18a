// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"io"
	"strings"
)

// State is a state word of the API as a badge: its word, an icon and a tone. The words are the same in the API, the
// command line and the documents; here only the underscore becomes a space.
type State struct {
	Word  string // "active", "action_required", "running", "synced", ...
	Plain bool   // without the fill, for lists in which every row has one
	ID    string // set when the badge is updated by itself
}

// Render writes the badge.
func (s State) Render(ctx context.Context, w io.Writer) error { return state(s).Render(ctx, w) }

type look struct {
	tone Tone
	icon string
}

// states lists every word once. Where two subjects share a word it means the same for both.
var states = map[string]look{
	// services
	"draft":           {Idle, "pencil"},
	"active":          {OK, "circle-check"},
	"paused":          {Idle, "pause"},
	"action_required": {Warn, "triangle-alert"},
	"archived":        {Idle, "archive"},
	// runs
	"queued":    {Idle, "clock"},
	"running":   {Info, "refresh-cw"},
	"succeeded": {OK, "check"},
	"partial":   {Warn, "circle-dashed"},
	"failed":    {Bad, "circle-x"},
	"cancelled": {Idle, "ban"},
	// plans
	"ready": {OK, "check"},
	// record links
	"synced":   {OK, "check"},
	"pending":  {Info, "clock"},
	"conflict": {Split, "split"},
	"wanted":   {Warn, "clock"},
	"taken":    {Info, "refresh-cw"},
	"rejected": {Bad, "circle-x"},
	"frozen":   {Idle, "snowflake"},
	// holds
	"released": {Info, "play"},
	"alerted":  {Warn, "bell"},
	// connections
	"healthy":  {OK, "circle-check"},
	"degraded": {Warn, "triangle-alert"},
	"expired":  {Bad, "hourglass"},
	"revoked":  {Bad, "unplug"},
	// invoices, as Stripe says them
	"open":          {Info, "circle-dot"},
	"paid":          {OK, "check"},
	"void":          {Idle, "ban"},
	"uncollectible": {Bad, "circle-x"},
	// a service against its schedule
	"on_time":   {OK, "check"},
	"on_track":  {OK, "activity"},
	"delayed":   {Warn, "clock"},
	"never_run": {Idle, "circle-dashed"},
	// members, keys, deliveries
	"invited":   {Info, "mail"},
	"delivered": {OK, "check"},
	"resolved":  {OK, "check"},
	"flagged":   {Warn, "triangle-alert"},
	"snoozed":   {Idle, "alarm-clock"},
	"unchecked": {Idle, "circle-dashed"},
	"redriven":  {Info, "rotate-ccw"},
	"discarded": {Idle, "ban"},
	"settled":   {OK, "check"},
	"deleted":   {Idle, "trash-2"},
	"expiring":  {Warn, "hourglass"},
	"disabled":  {Bad, "unplug"},
}

// StateTone is the tone of a state word; unknown words are Idle, because lists of states are open.
func StateTone(word string) Tone {
	if l, ok := states[word]; ok {
		return l.tone
	}
	return Idle
}

func stateIcon(word string) string {
	if l, ok := states[word]; ok {
		return l.icon
	}
	return "circle"
}

// Words turns a word of the API into a label: "action_required" is "Action required".
func Words(word string) string {
	text := strings.ReplaceAll(word, "_", " ")
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// Badge is a short label that is not a state.
type Badge struct {
	Text string
	Tone Tone // Idle when empty
	Icon string
	Href string
}

// Render writes the badge.
func (b Badge) Render(ctx context.Context, w io.Writer) error { return badge(b).Render(ctx, w) }

// Counter is a small number beside a label; nothing is shown for zero.
type Counter struct {
	N     int64
	Tone  Tone   // "" is quiet
	Label string // what is counted, for screen readers: "open conflicts"
	ID    string
}

// Render writes the counter.
func (c Counter) Render(ctx context.Context, w io.Writer) error { return counter(c).Render(ctx, w) }

func (c Counter) text() string {
	if c.N > 9999 {
		return compact(c.N)
	}
	return Number(c.N)
}
