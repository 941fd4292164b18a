// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

func TestFeedJoinsChangesWithDeliveries(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	a, b, c := record.NewEntityID(), record.NewEntityID(), record.NewEntityID()
	entry := func(e record.EntityID, kind record.JournalKind, op record.JournalOp, system string, ago time.Duration, lag time.Duration, standing record.LinkState, before, after record.Fields) engine.Recent {
		return engine.Recent{
			Entry:       record.Entry{ID: uuid.Must(uuid.NewV7()), Entity: e, At: now.Add(-ago), Kind: kind, Op: op, System: record.System(system), Before: before, After: after},
			ServiceName: "stock", Fields: record.Fields{"name": "Ridge Vest"}, Lag: lag, Standing: standing,
		}
	}
	quantity := func(n int64) record.Fields {
		return record.Fields{"quantity": record.Int(n), "updated_at": record.Int(n)}
	}
	items := feedItems([]engine.Recent{
		entry(c, record.Changed, record.Updated, "shop", time.Second, 0, record.InDoubt, quantity(1), quantity(2)),
		entry(a, record.Delivered, record.Updated, "market", 2*time.Second, 90*time.Millisecond, record.Synced, nil, quantity(2)),
		entry(a, record.Delivered, record.Updated, "shop", 2*time.Second, 40*time.Millisecond, record.Synced, nil, quantity(2)),
		entry(a, record.Delivered, record.Linked, "shop", 2*time.Second, 0, record.Synced, nil, nil),
		entry(a, record.Changed, record.Updated, "warehouse", 5*time.Second, 0, record.Synced, quantity(1), quantity(2)),
		entry(b, record.Changed, record.Deleted, "shop", 9*time.Second, 0, record.Rejected, quantity(1), nil),
	}, now, true)
	type line struct {
		end  string
		tone ui.Tone
	}
	want := []line{
		{"shop, waits for a decision", ui.Split},
		{"warehouse → shop, market, 90 ms", ui.OK},
		{"shop, refused", ui.Bad},
	}
	if len(items) != len(want) {
		t.Fatalf("%d lines", len(items))
	}
	for i, w := range want {
		if items[i].End != w.end || items[i].Tone != w.tone {
			t.Errorf("line %d: %q, %s", i, items[i].End, items[i].Tone)
		}
	}
	if !items[0].Fresh || items[1].Fresh {
		t.Error("only what has just happened is fresh")
	}
	l := feedLine(entry(a, record.Changed, record.Updated, "shop", 0, 0, record.Synced, quantity(1), quantity(2)), false)
	if l.Title != "Ridge Vest" || l.What != "quantity" || l.Before != "1" || l.After != "2" || l.more() != "and 1 field" || l.Service != "" {
		t.Errorf("the line is %+v", l)
	}
}

func TestPlaceInList(t *testing.T) {
	tests := []struct {
		name, address, after, next string
		shown                      int
		want                       ui.Pager
	}{
		{"one page", "/services", "", "", 3, ui.Pager{Shown: "3 services"}},
		{"a single one", "/services", "", "", 1, ui.Pager{Shown: "1 service"}},
		{"the first of several", "/services?q=a", "", "m", 25, ui.Pager{Shown: "1 to 25", Next: "/services?after=m&q=a"}},
		{"in the middle", "/services?after=m&q=a", "m", "t", 25, ui.Pager{Shown: "26 to 50", Prev: "/services?q=a", Next: "/services?after=m&after=t&q=a"}},
		{"the last", "/services?after=m&after=t", "t", "", 4, ui.Pager{Shown: "51 to 54", Prev: "/services?after=m"}},
		{"behind the end", "/services?after=z", "z", "", 0, ui.Pager{Shown: "no more services", Prev: "/services"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := &visit{r: httptest.NewRequest(http.MethodGet, tt.address, nil)}
			p := v.place()
			if p.after() != tt.after {
				t.Errorf("after %q", p.after())
			}
			if got := p.pager(tt.shown, tt.next, "service", "services"); got != tt.want {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestTellSumsUp(t *testing.T) {
	s := service.NewID()
	list := []Event{{Type: "activity", Service: s}, {Type: "activity", Service: s}, {Type: "service.changed", Service: s}, {Type: "connection.changed"}}
	id := s.Public()
	want := []told{{"journal", id}, {"service", id}, {"summary", ""}, {"state", id}, {"connection", ""}, {"service", ""}}
	got := tell(list)
	if len(got) != len(want) {
		t.Fatalf("told %v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("told %v at %d", got[i], i)
		}
	}
}

func TestInsertionReplacesTheWord(t *testing.T) {
	tests := []struct {
		name, text string
		c          service.Completion
		want       string
	}{
		{"a word begun", "type: post", service.Completion{Insert: "postgresql", From: 7}, "postgresql"},
		{"nothing yet", "type: ", service.Completion{Insert: "postgresql", From: 7}, "postgresql"},
		{"a secret begun", "password: ${WARE", service.Completion{Insert: "${WAREHOUSE}", From: 11}, "WAREHOUSE}"},
		{"within a word", "a-bc", service.Completion{Insert: "xyz", From: 3}, "a-xyz"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := insertion(tt.text, 1, len([]rune(tt.text))+1, tt.c); got != tt.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestHeadersCarryAnyText(t *testing.T) {
	for _, text := range []string{"plain", "Büro 東京 🚀", `"quotes" and \ and ` + "\n"} {
		body, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		header := asciiJSON(body)
		for _, c := range []byte(header) {
			if c < 0x20 || c > 0x7e {
				t.Errorf("%q holds the byte %x", header, c)
			}
		}
		var back string
		if err := json.Unmarshal([]byte(header), &back); err != nil || back != text {
			t.Errorf("%q came back as %q (%v)", text, back, err)
		}
	}
}

func TestDocLinks(t *testing.T) {
	for _, tt := range []struct{ dir, to, want string }{
		{"", "errors/", "/docs/errors"},
		{"", "security.md#roles", "/docs/security#roles"},
		{"errors", "service.state.md", "/docs/errors/service.state"},
		{"errors", "../security.md", "/docs/security"},
		{"connectors", "mysql.md", "/docs/connectors/mysql"},
		{"connectors", "../../openapi.yaml", "/docs"},
		{"", "README.md", "/docs"},
		{"", "https://example.com/a.md", "https://example.com/a.md"},
		{"", "#part", "#part"},
	} {
		if got := docLink(tt.dir, tt.to); got != tt.want {
			t.Errorf("%s in %q leads to %s", tt.to, tt.dir, got)
		}
	}
}

func TestScheduleWords(t *testing.T) {
	for when, want := range map[string]string{
		"realtime": "as changes happen", "15m": "every 15 min", "1m": "every minute", "hourly": "every hour", "6h": "every 6 hours", "daily": "every day at 00:00", "7 3 * * *": "cron 7 3 * * *", "3d": "every 3 days", "90s": "every 90 s",
	} {
		s, err := service.ParseSchedule(service.Frequency{When: when})
		if err != nil {
			t.Fatal(err)
		}
		if got := scheduleWords(s); got != want {
			t.Errorf("%s is %q", when, got)
		}
	}
}

func TestSpansCoverThePresent(t *testing.T) {
	now := time.Date(2026, 11, 23, 14, 59, 59, 0, time.UTC)
	for name, step := range map[string]time.Duration{"24h": time.Hour, "7d": 6 * time.Hour} {
		over, buckets := spanOf(name, now)
		end := over.Since.Add(time.Duration(buckets) * over.Step)
		if over.Step != step || !end.After(now) || end.Sub(now) > step {
			t.Errorf("%s is %v to %v", name, over.Since, end)
		}
	}
}

// A system that the document gives a zone says so; one without says nothing of zones.
func TestSystemShowsItsZone(t *testing.T) {
	for zone, want := range map[string]bool{"Europe/Berlin": true, "": false} {
		var page strings.Builder
		line := SystemLine{System: SystemRef{ID: "erp", Type: "mysql"}, Object: "orders", Zone: zone}
		if err := serviceSystem(line).Render(context.Background(), &page); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(page.String(), "<dt>Times without a zone</dt><dd>Europe/Berlin</dd>") != want || strings.Contains(page.String(), "without a zone") != want {
			t.Errorf("zone %q: %s", zone, page.String())
		}
	}
}
