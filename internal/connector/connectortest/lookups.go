// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"errors"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/record"
)

// Lookups describes an object that is only asked about single records, to RunLookups.
type Lookups struct {
	Settings connector.Settings
	Bad      connector.Settings // credentials that are refused
	Object   record.Object
	By       string   // the field it is asked by
	Field    string   // a field of the answer
	Values   []string // what it is asked by, at least three
	Unknown  string   // what it does not know
	Refused  string   // what it will not take; "" where it takes anything
	// Add lets it know a record.
	Add  func(s *sandbox.Server, value, field string)
	Open func(t *testing.T) (connector.Connector, connector.Env, *sandbox.Server)
}

const (
	asked     = "it is asked about single records, and nothing is listed or told"
	unwritten = "nothing is written there"
)

// RunLookups checks what the engine relies on in a source of enrichment: answers belong to their questions, what is not known is
// no error, trouble is classified, and nothing can be listed.
func RunLookups(t *testing.T, l Lookups) {
	t.Helper()
	c, env, server := l.Open(t)
	points := newScore(t, c.Spec(), card.Card{Objects: "lookups: " + string(l.Object), Read: true, Detection: "only asked", Judge: "simulator"}, map[card.Line]string{
		card.Pages: asked, card.Ties: asked, card.Webhook: asked, card.Twice: unwritten, card.Delete: unwritten, card.Partial: unwritten,
		card.Expired: "its key does not end; one that is refused is told as bad credentials", card.Unknown: unwritten,
	})
	points.count(t, card.Limit, card.Schema)
	open := func(settings connector.Settings) connector.System {
		t.Helper()
		checked, err := c.Spec().Check(settings)
		if err != nil {
			t.Fatal(err)
		}
		sys, err := c.Open(t.Context(), checked, env)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sys.Close() })
		return sys
	}
	sys := open(l.Settings)
	finder, ok := sys.(connector.Finder)
	if !ok {
		t.Fatal("it cannot be asked: it is no Finder")
	}
	infos, err := sys.(connector.Discoverer).Describe(t.Context(), l.Object)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{l.By, l.Field} {
		if _, known := infos[0].Field(f); !known {
			t.Errorf("%s has no field %s", l.Object, f)
		}
	}
	queries := []record.Fields{{l.By: l.Unknown}}
	for i := len(l.Values) - 1; i >= 0; i-- { // in another order than it learns them
		queries = append(queries, record.Fields{l.By: l.Values[i]})
	}
	for _, v := range l.Values {
		l.Add(server, v, "about "+v)
	}
	found, err := finder.Find(t.Context(), l.Object, []string{l.Field}, queries)
	if err != nil {
		t.Fatal(err)
	}
	if len(found[0]) != 0 {
		t.Errorf("it says of what it does not know: %v", found[0])
	}
	for i, q := range queries[1:] {
		want := "about " + record.Text(q[l.By])
		if got := found[i+1]; len(got) != 1 || got[0].Op != record.Upsert || got[0].Fields[l.Field] != want {
			t.Errorf("asked about %v it says %v, want %s", q, got, want)
		}
	}
	class := func(what string, err error, want connector.Class) {
		t.Helper()
		var e *connector.Error
		if !errors.As(err, &e) || e.Class != want || e.Code == "" || e.Message == "" {
			t.Errorf("%s: %v, want an error of class %s", what, err, want)
		}
	}
	if l.Refused != "" {
		_, err := finder.Find(t.Context(), l.Object, nil, []record.Fields{{l.By: l.Refused}})
		class("what it will not take", err, connector.Reject)
	}
	_, err = open(l.Bad).(connector.Finder).Find(t.Context(), l.Object, nil, queries[:1])
	class("bad credentials", err, connector.Reconnect)
	_, err = sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: l.Object, Limit: 10})
	class("a list", err, connector.Reject)
	server.Plant(sandbox.Broken(1), sandbox.TooMany(1)) // passes by itself
	if found, err := finder.Find(t.Context(), l.Object, []string{l.Field}, queries[1:2]); err != nil || len(found[0]) != 1 {
		t.Errorf("after trouble: %v, %v", found, err)
	}
}
