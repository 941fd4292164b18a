// SPDX-License-Identifier: Apache-2.0

package invoicing_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/store"
)

// The same facts, added at once and in order, and shuffled, doubled, delayed past the end of their month, with the sums moved on or
// not: the same invoice, step by step, to the cent. What comes when the month is closed is a line of the next.
func TestTheSameCentsInAnyOrder(t *testing.T) {
	b := setup(t, "Europe/Vienna")
	b.since("2026-09-30T23:00:00Z")
	r := rand.New(rand.NewPCG(1, 2))
	zone, err := billing.Zone("Europe/Vienna")
	b.must(err)
	october := november.Previous().In(zone)
	var events []billing.UsageEvent
	for n := range 400 {
		// The clocks go back in this month.
		at := october.Start().Add(time.Duration(r.Int64N(int64(october.End().Sub(october.Start()))))).Truncate(time.Microsecond)
		system := record.System([]string{"shop", "crm", "sap"}[r.IntN(3)])
		switch n % 5 {
		case 0:
			events = append(events, billing.IntegrationUsed(at, b.service, system, system == "sap"))
		case 1:
			events = append(events, billing.RecordsCreated(fmt.Sprint("c", n), at, b.service, "stock", "products", r.Int64N(300)+1))
		default:
			e := billing.Operations(uuid.Must(uuid.NewV7()), 0, at, b.service, system, "stock", "products", r.Int64N(4_000)+1)
			e.Realtime, e.Complex = r.IntN(2) == 0, r.IntN(3) == 0
			events = append(events, e)
		}
	}
	services := b.service
	first := ""
	for round := range 4 {
		b.tenant = b.newTenant("Europe/Vienna")
		b.service = services
		b.exec(`UPDATE tenants SET created_at = '2026-09-30T23:00:00Z' WHERE id = $1`, uuid.UUID(b.tenant))
		list := append([]billing.UsageEvent(nil), events...)
		move := func() {}
		if round > 0 {
			list = append(list, events[:r.IntN(len(events))]...)
			r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			move = func() {
				b.must(b.db.InTenant(b.ctx, b.tenant, func(tx *store.Tx) error { _, err := tx.MoveUsage(b.ctx, r.IntN(200)); return err }))
			}
		}
		for len(list) > 0 {
			n := min(len(list), 1+r.IntN(60))
			b.add(list[:n]...)
			list = list[n:]
			move()
			if round == 2 {
				b.draft(november.Previous()) // somebody looks at it meanwhile
			}
		}
		b.setNow("2026-11-23T12:00:00Z")
		_, err := b.invoicer.Close(b.ctx, b.tenant)
		b.must(err)
		got := shown(b.draft(november.Previous()))
		if first == "" {
			first = got
		}
		if v := b.draft(november.Previous()); round > 0 && v.Total.Amount.IsZero() || stripVersion(got) != stripVersion(first) {
			t.Errorf("round %d: got\n%s\nwant\n%s", round, got, first)
		}
	}
}

// stripVersion takes off how often a draft was computed, which is in its first line.
func stripVersion(s string) string {
	for i := range s {
		if s[i] == '\n' {
			var month, state, card, total, version string
			if _, err := fmt.Sscan(s[:i], &month, &state, &card, &total, &version); err == nil {
				return month + card + total + s[i:]
			}
		}
	}
	return s
}

// A month is closed by its events, whatever somebody did to the sums; the audit log says that they were mended.
func TestClosingCountsTheEvents(t *testing.T) {
	b := setup(t, "UTC")
	b.since("2026-10-01T00:00:00Z")
	b.add(b.operations("2026-10-05T10:00:00Z", "shop", 1_000))
	b.must(b.db.InTenant(b.ctx, b.tenant, func(tx *store.Tx) error { _, err := tx.MoveUsage(b.ctx, 10); return err }))
	b.exec(`UPDATE usage_rollups SET units = 90000`)
	_, err := b.invoicer.Close(b.ctx, b.tenant)
	b.must(err)
	if v := b.draft(november.Previous()); v.Total.Fixed() != "5.00" {
		t.Errorf("the month comes to %s, want 5.00", v.Total)
	}
	var mended string
	b.must(b.admin.QueryRow(b.ctx, `SELECT string_agg(subject || ' ' || detail::text, ',') FROM audit_log WHERE action = 'usage.mended'`).Scan(&mended))
	if mended != `2026-10 {"sums":1}` {
		t.Errorf("the audit log says %s", mended)
	}
}
