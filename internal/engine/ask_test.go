// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/record"
)

// A record that was deleted before its turn came counts as not asked about, also when it had an answer once: if it comes back, it may
// come back without it.
func TestQuestionOfARecordThatIsGone(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	asked := Inquired{Entity: record.EntityID{1}, Question: `{"code":"A"}`, Outcome: LookupFilled, AskedAt: &now}
	for name, e := range map[string]*record.Entity{"never there": nil, "deleted": {ID: asked.Entity, DeletedAt: &now}} {
		row, settled := (&questions{}).take(e, asked, now, 1)
		if !settled || row.Outcome != LookupUnasked || row.Question != "" || row.Due != nil {
			t.Errorf("%s: %+v, settled %v", name, row, settled)
		}
	}
}
