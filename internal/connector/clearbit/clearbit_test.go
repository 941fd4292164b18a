// SPDX-License-Identifier: Apache-2.0

package clearbit_test

import (
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/clearbit"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

func TestLookups(t *testing.T) {
	for name, l := range map[string]connectortest.Lookups{
		"people": {
			Object: "people", By: "email", Field: "title",
			Add: func(s *sandbox.Server, value, field string) {
				s.Edit(t.Context(), "people", "", map[string]any{"email": value, "employment.title": field})
			},
			Values: []string{"ada@example.com", "o'neil+x@example.com", "grace@example.com"}, Unknown: "nobody@example.com", Refused: "nobody",
		},
		"companies": {
			Object: "companies", By: "domain", Field: "industry",
			Add: func(s *sandbox.Server, value, field string) {
				s.Edit(t.Context(), "companies", "", map[string]any{"domain": value, "category.industry": field})
			},
			Values: []string{"acme.example", "b.example", "xn--c-1ga.example"}, Unknown: "nobody.example", Refused: "no domain",
		},
	} {
		t.Run(name, func(t *testing.T) {
			l.Settings, l.Bad = connector.Settings{"apiKey": "sandbox_key"}, connector.Settings{"apiKey": "wrong", "environment": "sandbox"}
			l.Open = func(*testing.T) (connector.Connector, connector.Env, *sandbox.Server) {
				clock := sandbox.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), 100*time.Millisecond)
				s := sandbox.NewServer(&clearbit.Simulator{}, sandbox.NewWorld(clock.Now, 1), false)
				return clearbit.New(&transport.Pool{Now: clock.Now, Wait: clock.Wait}), connector.Env{Sandbox: s}, s
			}
			connectortest.RunLookups(t, l)
		})
	}
}

// What the model's fields are in Clearbit's records.
func TestModels(t *testing.T) {
	clock := sandbox.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), 100*time.Millisecond)
	s := sandbox.NewServer(&clearbit.Simulator{}, sandbox.NewWorld(clock.Now, 1), true)
	c := clearbit.New(&transport.Pool{Now: clock.Now, Wait: clock.Wait})
	sys, err := c.Open(t.Context(), connector.Settings{"apiKey": "sandbox_key"}, connector.Env{Sandbox: s})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sys.Close() }()
	infos, err := sys.(connector.Discoverer).Describe(t.Context(), "people", "companies")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ model, field, native string }{{"contacts", "firstName", "givenName"}, {"companies", "industry", "industry"}} {
		if infos[i].Model != want.model || infos[i].Bindings[want.field] != want.native {
			t.Errorf("%s is %s with %v", infos[i].Name, infos[i].Model, infos[i].Bindings)
		}
	}
	found, err := sys.(connector.Finder).Find(t.Context(), "people", nil, []record.Fields{{"email": "Lena.Berg@example.com"}})
	if err != nil || len(found[0]) != 1 || found[0][0].Fields["title"] != "Head of Operations" || found[0][0].Fields["company"] != "Nordlicht" {
		t.Errorf("it knows %v, %v", found, err)
	}
}
