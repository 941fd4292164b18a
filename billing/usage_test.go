// SPDX-License-Identifier: Apache-2.0

package billing_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/record"
)

var november = billing.Month{Year: 2026, Month: time.November}.In(time.UTC)

func TestRecordsLive(t *testing.T) {
	service, entity := uuid.New(), record.NewEntityID()
	born := func(s string, n int64) billing.UsageEvent {
		return billing.RecordsCreated("c"+s, at(s), service, "stock", "products", n)
	}
	died := func(s string, n int64) billing.UsageEvent {
		return billing.RecordsDeleted("d"+s, at(s), service, "stock", "products", n)
	}
	again := func(s, since string) billing.UsageEvent {
		return billing.RecordRevived("r"+s, at(s), service, "stock", "products", entity, at(since))
	}
	tests := []struct {
		name   string
		events []billing.UsageEvent
		want   int64
	}{
		{"none", nil, 0},
		{"made before and still there", []billing.UsageEvent{born("2026-01-05T00:00:00Z", 7)}, 7},
		{"made and deleted before", []billing.UsageEvent{born("2026-01-05T00:00:00Z", 7), died("2026-10-31T23:59:59Z", 7)}, 0},
		{"deleted at the very start: not live in the period", []billing.UsageEvent{born("2026-01-05T00:00:00Z", 1), died("2026-11-01T00:00:00Z", 1)}, 0},
		{"deleted just after the start", []billing.UsageEvent{born("2026-01-05T00:00:00Z", 1), died("2026-11-01T00:00:00.000001Z", 1)}, 1},
		{"made at the very start", []billing.UsageEvent{born("2026-11-01T00:00:00Z", 3)}, 3},
		{"made and deleted within", []billing.UsageEvent{born("2026-11-05T00:00:00Z", 3), died("2026-11-06T00:00:00Z", 3)}, 3},
		{"made at the very end: the next period's", []billing.UsageEvent{born("2026-12-01T00:00:00Z", 3)}, 0},
		{"deleted and revived within, from before", []billing.UsageEvent{
			born("2026-01-05T00:00:00Z", 1), died("2026-11-06T00:00:00Z", 1), again("2026-11-07T00:00:00Z", "2026-11-06T00:00:00Z")}, 1},
		{"made, deleted, revived, deleted, revived within", []billing.UsageEvent{
			born("2026-11-02T00:00:00Z", 1), died("2026-11-03T00:00:00Z", 1), again("2026-11-04T00:00:00Z", "2026-11-03T00:00:00Z"),
			died("2026-11-05T00:00:00Z", 1), again("2026-11-06T00:00:00Z", "2026-11-05T00:00:00Z")}, 1},
		{"deleted before, revived within", []billing.UsageEvent{
			born("2026-01-05T00:00:00Z", 1), died("2026-03-06T00:00:00Z", 1), again("2026-11-07T00:00:00Z", "2026-03-06T00:00:00Z")}, 1},
		{"deleted before, revived after: dead all the period", []billing.UsageEvent{
			born("2026-01-05T00:00:00Z", 1), died("2026-03-06T00:00:00Z", 1), again("2026-12-07T00:00:00Z", "2026-03-06T00:00:00Z")}, 0},
		{"other meters do not count", []billing.UsageEvent{
			billing.Operations(uuid.New(), 0, at("2026-11-05T00:00:00Z"), service, "shop", "stock", "products", 99)}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := billing.RecordsLive(november, tt.events); got != tt.want {
				t.Errorf("%d records, want %d", got, tt.want)
			}
		})
	}
}

// life is when one entity was live: from each even instant up to the odd one after it.
type life []time.Time

// Lives draws lives around November 2026, on a coarse grid so that instants fall on the period's bounds too.
func drawLives(t *rapid.T) []life {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) life {
		hours := rapid.SliceOfNDistinct(rapid.IntRange(-4, 34), 1, 7, rapid.ID[int]).Draw(t, "days")
		var l life
		last := -1 << 30
		for _, h := range hours {
			if h > last { // keeps the order without favouring early days
				l = append(l, november.Start().AddDate(0, 0, h))
				last = h
			}
		}
		return l
	}), 0, 12).Draw(t, "lives")
}

func (l life) events(service uuid.UUID, id int) []billing.UsageEvent {
	var events []billing.UsageEvent
	entity := record.EntityID(uuid.NewSHA1(uuid.Nil, []byte{byte(id)}))
	for n, when := range l {
		commit := entity.String() + when.String()
		switch {
		case n == 0:
			events = append(events, billing.RecordsCreated(commit, when, service, "stock", "products", 1))
		case n%2 == 1:
			events = append(events, billing.RecordsDeleted(commit, when, service, "stock", "products", 1))
		default:
			events = append(events, billing.RecordRevived(commit, when, service, "stock", "products", entity, l[n-1]))
		}
	}
	return events
}

func (l life) liveIn(p billing.Period) bool {
	for n := 0; n < len(l); n += 2 {
		from := l[n]
		if from.Before(p.End()) && (n+1 == len(l) || l[n+1].After(p.Start())) {
			return true
		}
	}
	return false
}

// The ledger's sum says of any lives how many distinct entities were live in any period, as looking at each says.
func TestRecordsLiveAgreesWithEachLife(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lives := drawLives(t)
		var events []billing.UsageEvent
		for n, l := range lives {
			events = append(events, l.events(uuid.Nil, n)...)
		}
		rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		for _, m := range []billing.Month{november.Previous(), november.Month, november.Next()} {
			p := m.In(time.UTC)
			var want int64
			for _, l := range lives {
				if l.liveIn(p) {
					want++
				}
			}
			if got := billing.RecordsLive(p, events); got != want {
				t.Fatalf("%s: %d records, want %d of %v", p, got, want, lives)
			}
		}
	})
}

// One event per quarter hour says for every zone in which periods a system was in use.
func TestIntegrationSlotsNeverStraddleAPeriod(t *testing.T) {
	service := uuid.New()
	rapid.Check(t, func(t *rapid.T) {
		loc := zone(t, rapid.SampledFrom(oddZones).Draw(t, "zone"))
		month := billing.Month{Year: rapid.IntRange(2020, 2037).Draw(t, "year"), Month: time.Month(rapid.IntRange(1, 12).Draw(t, "month"))}
		start := month.In(loc).Start()
		before := billing.IntegrationUsed(start.Add(-time.Microsecond), service, "crm", false)
		after := billing.IntegrationUsed(start, service, "crm", false)
		if before.Key == after.Key {
			t.Fatalf("use before and after the start of %s in %s share the key %s", month, loc, after.Key)
		}
		if later := billing.IntegrationUsed(start.Add(14*time.Minute), service, "crm", false); later.Key != after.Key {
			t.Fatalf("use within a quarter hour has two keys, %s and %s", after.Key, later.Key)
		}
		if other := billing.IntegrationUsed(start, service, "shop", false); other.Key == after.Key {
			t.Fatal("two systems share a key")
		}
	})
}

func TestEnrichedCountsOncePerCommit(t *testing.T) {
	service := uuid.New()
	a := billing.Enriched("c1", at("2026-11-05T00:00:00Z"), service, "lookup", "people", "contacts", 3)
	again := billing.Enriched("c1", at("2026-11-06T00:00:00Z"), service, "lookup", "people", "contacts", 3)
	other := billing.Enriched("c2", at("2026-11-05T00:00:00Z"), service, "lookup", "people", "contacts", 3)
	if a.Key != again.Key || a.Key == other.Key || a.Meter != billing.Enrichments || a.Quantity != 3 {
		t.Errorf("keys %s, %s, %s of %s", a.Key, again.Key, other.Key, a.Meter)
	}
}
