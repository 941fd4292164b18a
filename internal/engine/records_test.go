// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"testing"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
)

// A person's wish comes before all else that a record waits for, and what has arrived waits for nothing.
func TestWaitsFor(t *testing.T) {
	quiet := map[record.System]engine.Waiting{"shop": {Reason: "quiet"}}
	synced := map[record.System]*record.Link{"shop": {System: "shop", State: record.Synced}}
	for name, c := range map[string]struct {
		detail engine.Detail
		want   string
	}{
		"nothing":             {engine.Detail{Entity: &record.Entity{}}, ""},
		"its turn":            {engine.Detail{Entity: &record.Entity{}, Waiting: quiet}, "quiet"},
		"approval":            {engine.Detail{Entity: &record.Entity{Held: []string{record.Approval}}}, "approval"},
		"approval, elsewhere": {engine.Detail{Entity: &record.Entity{Held: []string{record.Approval}, Links: synced}}, ""},
		"a delivery's own":    {engine.Detail{Entity: &record.Entity{Held: []string{record.Approval}}, Waiting: quiet}, "quiet"},
		"frozen":              {engine.Detail{Entity: &record.Entity{Held: []string{record.Ice}}, Waiting: quiet, Freeze: &engine.Freeze{By: "Ada", Reason: "A count"}}, "frozen"},
	} {
		w, waits := c.detail.WaitsFor("shop")
		if waits != (c.want != "") || w.Reason != c.want {
			t.Errorf("%s: waits for %q", name, w.Reason)
		}
	}
}
