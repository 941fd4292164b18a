// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// ask queues a run beside the stream, as the service manager does.
func (b *bench) ask(kind service.RunKind, sel service.Selection) uuid.UUID {
	b.t.Helper()
	id := uuid.Must(uuid.NewV7())
	selection, err := json.Marshal(sel)
	if err != nil {
		b.t.Fatal(err)
	}
	b.exec(`INSERT INTO runs (tenant_id, id, service_id, kind, state, actor, revision, created_at) VALUES ($1, $2, $3, $4, 'queued', 'Ada', 1, now())`,
		uuid.UUID(b.tenant), id, uuid.UUID(b.service), string(kind))
	b.exec(`INSERT INTO run_selections (tenant_id, run_id, selection) VALUES ($1, $2, $3)`, uuid.UUID(b.tenant), id, string(selection))
	b.engine.Nudge(b.service)
	return id
}

func (b *bench) ended(run uuid.UUID, state service.RunState) {
	b.t.Helper()
	b.eventually("the run to be "+string(state), func() bool {
		return b.number(`SELECT count(*) FROM runs WHERE id = $1 AND state = $2`, run, string(state)) == 1
	})
}

// A rule that came with a revision counts for the records that are there once they are read again, and only for those that the
// selection names; what it does is metered as anything else, and not as realtime.
func TestBackfill(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	b.fill(1200) // more than two pages
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 1200 && b.settledDown() })
	b.halt()
	b.apply(twoWay+"businessRules:\n  - {name: label, source: warehouse, target: shop, mapping: {sku: name}}\n", 2)
	b.start()
	run := b.ask(service.BulkRun, service.Selection{Source: "warehouse", Targets: []string{"shop"}, From: "A100", Expression: `sku < "A900"`})
	b.ended(run, service.RunSucceeded)
	named := 0
	for key, f := range b.user("shop").All() {
		switch {
		case f["name"] == string(key):
			named++
			if key < "A100" || key >= "A900" {
				t.Errorf("%s was not meant", key)
			}
		}
	}
	want := 0
	for i := range 1200 {
		if k := sku(i); k >= "A100" && k < "A900" {
			want++
		}
	}
	if named != want {
		t.Errorf("%d records were read again, %d were meant", named, want)
	}
	if n := b.number(`SELECT (counts->'shop'->>'updated')::int FROM runs WHERE id = $1`, run); n != int64(want) {
		t.Errorf("the run counts %d updates of the shop, want %d", n, want)
	}
	if n := b.number(`SELECT count(*) FROM cursors WHERE phase <> 'stream'`); n != 0 {
		t.Errorf("%d cursors were moved back", n)
	}
}

// A backfill that is cut off in the middle goes on where it stood, in another process, and does nothing twice.
func TestBackfillResumes(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	b.fill(1600)
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 1600 && b.settledDown() })
	b.halt()
	b.apply(twoWay+"businessRules:\n  - {name: label, source: warehouse, target: shop, mapping: {sku: name}}\n", 2)
	before := b.user("shop").Writes()
	crash := newCrash("scanned")
	b.engine.Seam = crash.at
	crash.arm(3) // two pages are committed, the third is read
	b.startCrashing()
	run := b.ask(service.BulkRun, service.Selection{Source: "warehouse"})
	b.eventually("the crash", crash.happened)
	b.crash()
	if n := b.number(`SELECT (place->'scan'->>'seen')::int FROM run_selections WHERE run_id = $1`, run); n != 1000 {
		t.Errorf("the run stands at %d", n)
	}
	b.start()
	b.ended(run, service.RunSucceeded)
	b.eventually("all records to be read again", func() bool {
		for key, f := range b.user("shop").All() {
			if f["name"] != string(key) {
				return false
			}
		}
		return b.settledDown()
	})
	if n := b.user("shop").Writes() - before; n != 1600 {
		t.Errorf("the shop was written %d times, 1600 were needed", n)
	}
	if n := b.number(`SELECT count(*) FROM journal WHERE actor = 'rule label'`); n != 1600 {
		t.Errorf("the history tells of %d names, 1600 were given", n)
	}
}

// Somebody waits for single records: they go before a backfill, and what the target holds is found out.
func TestSyncOneRecord(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	b.fill(3)
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 3 && b.settledDown() })
	run := b.ask(service.RecordsRun, service.Selection{Source: "warehouse", Records: []record.Key{"A001", "A404"}, Force: true})
	b.ended(run, service.RunSucceeded)
	if n := b.number(`SELECT (counts->'warehouse'->>'read')::int FROM runs WHERE id = $1`, run); n != 2 {
		t.Errorf("%d records were read", n)
	}
	if n := b.number(`SELECT count(*) FROM links WHERE synced_at >= (SELECT started_at FROM runs WHERE id = $1)`, run); n == 0 {
		t.Error("no copy says that it was looked at")
	}
	bad := b.ask(service.BulkRun, service.Selection{Source: "warehouse", Expression: "quantity >"})
	b.ended(bad, service.RunFailed)
	if n := b.number(`SELECT count(*) FROM runs WHERE id = $1 AND error_code = 'run.filter_invalid'`, bad); n != 1 {
		t.Error(fmt.Sprint("the run does not say why: ", n))
	}
}
