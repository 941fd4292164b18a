// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/record"
)

// A record that people change rests: what they type meanwhile is carried once, as it is in the end. The first sync does not
// wait.
func TestQuietPeriod(t *testing.T) {
	b := newBench(t, twoWay+"  quietPeriod: 1h\n", "warehouse", "shop")
	b.fill(3)
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 3 && b.settledDown() })
	writes := b.user("shop").Writes()
	due := int64(0)
	for _, name := range []string{"O", "Oa", "Oak"} {
		b.user("warehouse").Put("A000", record.Fields{"name": name})
		b.eventually("the record to rest", func() bool {
			return b.number(`SELECT count(*) FROM entities WHERE fields ->> 'name' = $1`, name) == 1 &&
				b.number(`SELECT count(*) FROM deliveries WHERE system = 'shop' AND waits = 'quiet' AND due_at > now() + interval '50 minutes'`) == 1
		})
		at := b.number(`SELECT (extract(epoch FROM due_at) * 1000000)::bigint FROM deliveries`)
		if at <= due {
			t.Errorf("the change to %s does not make it rest longer", name)
		}
		due = at
	}
	if n := b.user("shop").Writes() - writes; n != 0 {
		t.Fatalf("the shop was written to %d times meanwhile", n)
	}
	b.exec(`UPDATE deliveries SET due_at = now()`) // an hour later
	b.eventually("the last of it", func() bool { return b.user("shop").Get("A000")["name"] == "Oak" && b.settledDown() })
	if n := b.user("shop").Writes() - writes; n != 1 {
		t.Errorf("the shop was written to %d times, want once", n)
	}
}

// When the time is over nothing else is needed. A service with an interval has no such time.
func TestQuietPeriodEnds(t *testing.T) {
	b := newBench(t, twoWay+"  quietPeriod: 1s\n", "warehouse", "shop")
	b.start()
	b.eventually("an empty shop", func() bool { return b.number(`SELECT count(*) FROM cursors WHERE phase = 'stream'`) == 2 })
	b.user("warehouse").Put("A", product("A", 1))
	b.eventually("the record", func() bool { return b.user("shop").Get("A") != nil && b.settledDown() })
	if n := b.number(`SELECT count(*) FROM journal c JOIN journal d USING (entity_id) WHERE c.kind = 'change' AND d.kind = 'delivery' AND d.at >= c.at + interval '1 second'`); n != 1 {
		t.Error("the record was carried before the second was over")
	}
	w := newBench(t, strings.Replace(twoWay, "frequency: realtime", "frequency: 15m", 1)+"  quietPeriod: 1h\n", "warehouse", "shop")
	w.user("warehouse").Put("A", product("A", 1))
	w.exec(`INSERT INTO runs (tenant_id, id, service_id, kind, state, actor, revision, created_at) VALUES ($1, gen_random_uuid(), $2, 'scheduled', 'queued', 'schedule', 1, now())`, [16]byte(w.tenant), [16]byte(w.service))
	w.start()
	w.eventually("the record in its run", func() bool { return w.user("shop").Get("A") != nil })
}
