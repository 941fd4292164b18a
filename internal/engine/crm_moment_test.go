// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/hubspot"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/salesforce"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/connector/zendesk"
	"github.com/syncline-dev/syncline/internal/record"
)

// moment is a vendor at which people edit while a write waits or is on its way.
type moment struct {
	t      *testing.T
	server *sandbox.Server
	system connector.System
	object record.Object
	first  string                // the field that is written
	phone  string                // another one
	onWait func()                // a write waits
	onCall func(r *http.Request) // a call arrives

}

func (m *moment) RoundTrip(r *http.Request) (*http.Response, error) {
	if m.onCall != nil {
		m.onCall(r)
	}
	return m.server.RoundTrip(r)
}

func newMoment(t *testing.T, name string) *moment {
	t.Helper()
	clock := sandbox.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), time.Millisecond)
	m := &moment{t: t}
	pool := &transport.Pool{Now: clock.Now, Wait: func(ctx context.Context, d time.Duration) error {
		if m.onWait != nil {
			m.onWait()
		}
		return clock.Wait(ctx, d)
	}}
	var conn *manifest.Connector
	var vendor sandbox.Vendor
	settings := connector.Settings{}
	switch name {
	case "hubspot":
		conn, vendor, m.object, m.first, m.phone = hubspot.New(pool), &hubspot.Simulator{}, "contacts", "firstname", "phone"
		settings["accessToken"] = "sandbox_h"
	case "salesforce":
		conn, vendor, m.object, m.first, m.phone = salesforce.New(pool), &salesforce.Simulator{}, "Contact", "FirstName", "Phone"
		settings["instanceUrl"], settings["accessToken"] = "https://acme.my.salesforce.com", "sandbox_s"
	default:
		conn, vendor, m.object, m.first, m.phone = zendesk.New(pool), &zendesk.Simulator{}, "users", "notes", "phone"
		settings["subdomain"], settings["apiToken"] = "acme", "sandbox_z"
	}
	m.server = sandbox.NewServer(vendor, sandbox.NewWorld(clock.Now, 7), false)
	m.server.Sleep = func(ctx context.Context, d time.Duration) { _ = clock.Wait(ctx, d) }
	checked, err := conn.Spec().Check(settings)
	if err != nil {
		t.Fatal(err)
	}
	if m.system, err = conn.Open(t.Context(), checked, connector.Env{Consumer: "moment", Sandbox: m}); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *moment) table() string { return m.server.Vendor().Tables()[0].Name }

// edit is what a person does in the vendor's own screens.
func (m *moment) edit(id string, f map[string]any) string {
	return m.server.Edit(context.Background(), m.table(), id, f)
}

func (m *moment) holds(id, field string) (v string) {
	m.server.Do(context.Background(), func(x *sandbox.Exchange) {
		for _, r := range x.W.Sorted(m.table()) {
			if r.ID == id {
				v = text(r.Fields[field])
			}
		}
	})
	return v
}

func (m *moment) insert(n int) string {
	f := map[string]any{"email": fmt.Sprintf("p%d@example.com", n), m.first: "Old", m.phone: "+14155550100", "lastname": "L", "name": "P L"}
	if m.object == "Contact" {
		f = map[string]any{"Email": fmt.Sprintf("p%d@example.com", n), m.first: "Old", m.phone: "+14155550100", "LastName": "L"}
	}
	return m.edit("", f)
}

func (m *moment) write(ids ...string) []connector.Receipt {
	m.t.Helper()
	writes := make([]connector.Write, len(ids))
	for i, id := range ids {
		writes[i] = connector.Write{ID: record.NewEntityID(), Op: record.Upsert, Key: record.Key(id), Fields: record.Fields{m.first: "Ours"}, Expect: record.Fields{m.first: "Old"}}
	}
	got, err := m.system.(connector.Writer).Write(m.t.Context(), m.object, writes)
	if err != nil {
		m.t.Fatal(err)
	}
	return got
}

// A write that a vendor sends back to wait meets a record that people went on with meanwhile: what they wrote into the field is
// found, not written over, and another field is no reason not to write.
func TestEditWhileAWriteWaits(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"hubspot", "salesforce", "zendesk"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, trouble := range []sandbox.Fault{
				{Times: 1, Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "3", "Content-Type": "application/json"}, Body: `{"message":"slow down"}`},
			} {
				m := newMoment(t, name)
				same, other := m.insert(1), m.insert(2)
				for id, f := range map[string]map[string]any{same: {m.first: "Theirs"}, other: {m.phone: "+14155550199"}} {
					edited := false
					m.onCall = func(r *http.Request) {
						if r.Method == http.MethodPatch || r.Method == http.MethodPut {
							m.onCall = nil
							m.server.Plant(trouble)
							m.onWait = func() {
								m.onWait = nil
								edited = true
								m.edit(id, f)
							}
						}
					}
					got := m.write(id)
					if !edited {
						t.Fatalf("the write did not wait: %+v", got)
					}
					if id == same {
						if got[0].Outcome != connector.Moved || m.holds(id, m.first) != "Theirs" {
							t.Errorf("the same field: %s, it holds %q", got[0].Outcome, m.holds(id, m.first))
						}
					} else if got[0].Outcome != connector.Applied || m.holds(id, m.first) != "Ours" || m.holds(id, m.phone) != "+14155550199" {
						t.Errorf("another field: %s, it holds %q and %q", got[0].Outcome, m.holds(id, m.first), m.holds(id, m.phone))
					}
				}
			}
		})
	}
}

// While the first part of a long batch is written, people edit a record of a later part.
func TestEditWhileABatchIsWritten(t *testing.T) {
	t.Parallel()
	m := newMoment(t, "hubspot")
	ids := make([]string, 250)
	for i := range ids {
		ids[i] = m.insert(i)
	}
	batches := 0
	m.onCall = func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/batch/update") {
			if batches++; batches == 1 {
				m.edit(ids[180], map[string]any{m.first: "Theirs"})
				m.edit(ids[220], map[string]any{m.phone: "+14155550177"})
			}
		}
	}
	for i, r := range m.write(ids...) {
		want, held := connector.Applied, "Ours"
		if i == 180 {
			want, held = connector.Moved, "Theirs"
		}
		if r.Outcome != want || m.holds(ids[i], m.first) != held {
			t.Errorf("record %d: %s, it holds %q", i, r.Outcome, m.holds(ids[i], m.first))
		}
	}
	if m.holds(ids[220], m.phone) != "+14155550177" {
		t.Error("a phone was lost")
	}
	if batches != 3 {
		t.Errorf("%d batches were sent, want 3", batches)
	}
}
