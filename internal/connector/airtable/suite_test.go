// SPDX-License-Identifier: Apache-2.0

package airtable_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/airtable"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/sheet/sheettest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

const base = "app00000000000001"

func account() (connector.Connector, *sandbox.Server, *sandbox.Clock) {
	clock := sandbox.NewClock(sheettest.Began, 100*time.Millisecond)
	server := sandbox.NewServer(&airtable.Simulator{Rate: 100_000}, sandbox.NewWorld(clock.Now, 1), false)
	return airtable.New(&transport.Pool{Now: clock.Now, Wait: clock.Wait}), server, clock
}

var good = connector.Settings{"base": base, "clientId": "app", "clientSecret": "sandbox_app", "refreshToken": "sandbox_refresh", "key": "id; natural*=sku"}

func TestSuite(t *testing.T) {
	t.Parallel()
	sheettest.Run(t, sheettest.Place{
		Settings: good,
		Bad: []connector.Settings{{"base": base}, {"base": base, "token": "wrong-token", "environment": "sandbox"}, {"base": "appNone0000000000", "token": "sandbox_token"},
			{"base": base, "clientId": "app", "clientSecret": "sandbox_app", "refreshToken": "taken-back"}},
		Judge:  "its simulator",
		New:    func(*testing.T) (connector.Connector, *sandbox.Server, *sandbox.Clock) { return account() },
		Writes: func(r *http.Request) bool { return r.Method != http.MethodGet && r.URL.Host == "api.airtable.com" },
		Create: func(x *sandbox.Exchange, title string, columns []string, shape connectortest.Shape) {
			types := map[string]string{}
			for _, f := range shape.Fields {
				switch f.Type {
				case connector.TypeInteger:
					types[f.Name] = "number/0"
				case connector.TypeNumber:
					types[f.Name] = "number/8"
				}
			}
			airtable.MakeTable(x.W, title, types, columns...)
		},
		Suite: func(h *connectortest.Harness) {
			h.Types = []connector.Type{connector.TypeText, connector.TypeInteger, connector.TypeNumber}
			h.Can.Schemaless = false
		},
	})
}

// A table without a column of the key's name is told apart by the ids that Airtable makes.
func TestRecordIDs(t *testing.T) {
	t.Parallel()
	c, server, _ := account()
	server.Do(t.Context(), func(x *sandbox.Exchange) {
		airtable.MakeTable(x.W, "Notes", map[string]string{"done": "checkbox", "made": "createdTime"}, "text", "done", "made").Add(map[string]any{"text": "one"})
	})
	checked, err := c.Spec().Check(good)
	if err != nil {
		t.Fatal(err)
	}
	sys, err := c.Open(t.Context(), checked, connector.Env{Sandbox: server, Consumer: "svc_1"})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	receipts, err := sys.(connector.Writer).Write(t.Context(), "Notes", []connector.Write{
		{ID: record.NewEntityID(), Op: record.Upsert, Create: true, Fields: record.Fields{"text": "two", "done": true}},
		{ID: record.NewEntityID(), Op: record.Upsert, Create: true, Fields: record.Fields{"text": "three", "made": "2026-11-23T00:00:00Z"}}})
	if err != nil || receipts[0].Outcome != connector.Applied || receipts[0].Key == "" || receipts[1].Outcome != connector.Refused || connector.Classify(receipts[1].Err).Code != "sheet.column_computed" {
		t.Fatalf("the receipts are %+v, %v", receipts, err)
	}
	changes, err := sys.(connector.KeyReader).ReadKeys(t.Context(), "Notes", nil, []record.Key{receipts[0].Key})
	if err != nil || changes[0].Fields["text"] != "two" || changes[0].Fields["done"] != true {
		t.Errorf("read were %+v, %v", changes, err)
	}
	page, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "Notes", Limit: 10})
	if err != nil || len(page.Changes) != 2 || page.Changes[0].Fields["done"] != false {
		t.Errorf("read were %+v, %v", page.Changes, err)
	}
}
