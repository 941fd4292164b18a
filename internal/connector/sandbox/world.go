// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"time"
)

// Record is one record of a vendor, its fields as the vendor's wire has them.
type Record struct {
	ID       string         `json:"id"`
	Fields   map[string]any `json:"fields"`
	Created  time.Time      `json:"created"`
	Modified time.Time      `json:"modified"`
	Seq      int64          `json:"seq"` // of the last change, over all tables
	Deleted  time.Time      `json:"deleted,omitzero"`
	Purged   bool           `json:"purged,omitempty"` // deleted for good: no list has it any more
}

// Live says whether the record is there.
func (r *Record) Live() bool { return r.Deleted.IsZero() }

// Table is a set of records.
type Table struct {
	Records map[string]*Record `json:"records"`
	Next    int64              `json:"next"` // the last id given
}

// Token is an access token that the vendor has given out.
type Token struct {
	Expires time.Time `json:"expires,omitzero"`
	Refresh string    `json:"refresh,omitempty"`
}

// Hook is a subscription.
type Hook struct {
	ID     string `json:"id,omitempty"`
	URL    string `json:"url"`
	Secret string `json:"secret"`
}

// World is the state of one account.
type World struct {
	Tables map[string]*Table  `json:"tables"`
	Seq    int64              `json:"seq"`
	Tokens map[string]Token   `json:"tokens,omitempty"` // access tokens with their ends
	Grants map[string]bool    `json:"grants,omitempty"` // refresh tokens; false is one that was used and was good once
	Codes  map[string]Code    `json:"codes,omitempty"`  // authorization codes that are good
	Hooks  []Hook             `json:"hooks,omitempty"`
	Jobs   map[string]any     `json:"jobs,omitempty"`
	Kept   map[string]string  `json:"kept,omitempty"` // whatever a vendor has to remember
	Usage  map[string]*Window `json:"usage,omitempty"`
	Faults []Fault            `json:"faults,omitempty"`
	Last   time.Time          `json:"last,omitzero"` // no two changes have the same time unless frozen
	Frozen bool               `json:"frozen,omitempty"`

	now  func() time.Time
	rand *rand.Rand
}

// Window counts calls.
type Window struct {
	Since time.Time `json:"since"`
	Used  int       `json:"used"`
}

// NewWorld is an empty account.
func NewWorld(now func() time.Time, seed uint64) *World {
	if now == nil {
		now = time.Now
	}
	return &World{Tables: map[string]*Table{}, Tokens: map[string]Token{}, Grants: map[string]bool{}, Codes: map[string]Code{}, Jobs: map[string]any{}, Kept: map[string]string{}, Usage: map[string]*Window{}, now: now,
		rand: rand.New(rand.NewPCG(seed, seed))}
}

// LoadWorld is an account as Save wrote it.
func LoadWorld(state []byte, now func() time.Time, seed uint64) (*World, error) {
	w := NewWorld(now, seed)
	d := json.NewDecoder(bytes.NewReader(state))
	d.UseNumber()
	if err := d.Decode(w); err != nil {
		return nil, fmt.Errorf("reading a sandbox: %w", err)
	}
	return w, nil
}

// Save writes the account's state.
func (w *World) Save() ([]byte, error) { return json.Marshal(w) }

// Now is the vendor's clock.
func (w *World) Now() time.Time { return w.now().UTC() }

// Table is the table of that name.
func (w *World) Table(name string) *Table {
	t := w.Tables[name]
	if t == nil {
		t = &Table{Records: map[string]*Record{}}
		w.Tables[name] = t
	}
	return t
}

// moment is the time of a change. While the world is frozen all changes have the same time, which is the hardest case for
// who reads by time.
func (w *World) moment() time.Time {
	t := w.Now()
	if w.Frozen {
		if w.Last.IsZero() {
			w.Last = t
		}
		return w.Last
	}
	w.Last = t
	return t
}

// Insert makes a record; an empty id is made.
func (w *World) Insert(table, id string, fields map[string]any) *Record {
	t := w.Table(table)
	if id == "" {
		t.Next++
		id = strconv.FormatInt(t.Next, 10)
	}
	w.Seq++
	now := w.moment()
	r := &Record{ID: id, Fields: maps.Clone(fields), Created: now, Modified: now, Seq: w.Seq}
	t.Records[id] = r
	return r
}

// Update sets fields of a record.
func (w *World) Update(table, id string, set map[string]any) *Record {
	r := w.Table(table).Records[id]
	if r == nil {
		return nil
	}
	w.Seq++
	for k, v := range set {
		if held, ok := r.Fields[k].(map[string]any); ok {
			if inner, ok := v.(map[string]any); ok {
				merged := maps.Clone(held)
				maps.Copy(merged, inner)
				v = merged
			}
		}
		r.Fields[k] = v
	}
	r.Modified, r.Seq = w.moment(), w.Seq
	return r
}

// Delete marks a record as deleted, as vendors do; Restore takes it back.
func (w *World) Delete(table, id string) bool {
	r := w.Table(table).Records[id]
	if r == nil || !r.Live() {
		return false
	}
	w.Seq++
	now := w.moment()
	r.Deleted, r.Modified, r.Seq = now, now, w.Seq
	return true
}

// Restore takes a deletion back.
func (w *World) Restore(table, id string) bool {
	r := w.Table(table).Records[id]
	if r == nil || r.Live() || r.Purged {
		return false
	}
	w.Seq++
	r.Deleted, r.Modified, r.Seq = time.Time{}, w.moment(), w.Seq
	return true
}

// Get is a live record.
func (w *World) Get(table, id string) *Record {
	if r := w.Table(table).Records[id]; r != nil && r.Live() {
		return r
	}
	return nil
}

// Find is the first live record with that value, whose texts are equal but for case.
func (w *World) Find(table, field string, value any, not string) *Record {
	for _, r := range w.Sorted(table) {
		if r.Live() && r.ID != not && Same(r.Fields[field], value) {
			return r
		}
	}
	return nil
}

// Sorted are a table's records, deleted ones too, by number or text of their id.
func (w *World) Sorted(table string) []*Record {
	out := slices.Collect(maps.Values(w.Table(table).Records))
	sort.Slice(out, func(i, j int) bool { return Before(out[i].ID, out[j].ID) })
	return out
}

// Before orders ids: numbers by size, texts by letters.
func Before(a, b string) bool {
	x, err1 := strconv.ParseInt(a, 10, 64)
	y, err2 := strconv.ParseInt(b, 10, 64)
	if err1 == nil && err2 == nil {
		return x < y
	}
	return a < b
}

// Live counts the live records.
func (w *World) Live(table string) (n int) {
	for _, r := range w.Table(table).Records {
		if r.Live() {
			n++
		}
	}
	return n
}

// Spend counts a call and says how long to wait when the window of that name is full.
func (w *World) Spend(name string, calls int, per time.Duration) (wait time.Duration, left int) {
	u := w.Usage[name]
	now := w.Now()
	if u == nil || now.Sub(u.Since) >= per {
		u = &Window{Since: now}
		w.Usage[name] = u
	}
	if u.Used >= calls {
		return u.Since.Add(per).Sub(now), 0
	}
	u.Used++
	return 0, calls - u.Used
}

// Chance is true with that probability.
func (w *World) Chance(p float64) bool { return p > 0 && w.rand.Float64() < p }
