// SPDX-License-Identifier: Apache-2.0

// Package notify tells programs what happens: the words of events, and webhooks, by which they are sent to customers' servers.
//
// An event is a row that is written in the commit of the fact it tells of (Tx.Emit of the store), and that is all that the fact
// costs. The sender follows the events in commit order, endpoint by endpoint: one commit writes what is owed to an endpoint
// together with the endpoint's place in the events, and events stay until every endpoint has them. So each event is sent at least
// once, whatever dies when. Sending happens outside of transactions, and its outcomes are written for all of them at once.
//
//	pending ─► taken up (due later, so that one who dies gives it back) ─┬─► delivered: answered with 2xx
//	   ▲                                                                 ├─► pending again, after a pause that grows
//	   └──────── resent by a person ◄──── failed: no try is left, or the endpoint is disabled
package notify

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/ident"
)

// Event is something that happened.
type Event struct {
	ID      string // opaque, in commit order
	At      time.Time
	Type    string // "run.finished"; see Types
	Service uuid.UUID
	Data    json.RawMessage
}

// Type is a kind of event. docs/events.md has the same table; a test keeps the two equal.
type Type struct {
	Name     string
	Needs    auth.Permission // what it takes to be told
	Frequent bool            // sent to a webhook only when it is asked for by name
}

// Types are all kinds of events.
var Types = []Type{
	{Name: "service.changed", Needs: auth.ViewServices},
	{Name: "service.pool_moved", Needs: auth.ViewServices},
	{Name: "run.queued", Needs: auth.ViewServices},
	{Name: "run.cancelled", Needs: auth.ViewServices},
	{Name: "run.started", Needs: auth.ViewServices},
	{Name: "run.progress", Needs: auth.ViewServices, Frequent: true},
	{Name: "run.finished", Needs: auth.ViewServices},
	{Name: "activity", Needs: auth.ViewServices, Frequent: true},
	{Name: "system.failing", Needs: auth.ViewServices},
	{Name: "source.failing", Needs: auth.ViewServices},
	{Name: "schema.changed", Needs: auth.ViewServices},
	{Name: "schema.decided", Needs: auth.ViewServices},
	{Name: "lookups", Needs: auth.ViewServices, Frequent: true},
	{Name: "connection.changed", Needs: auth.ViewConnections},
	{Name: "connection.deleted", Needs: auth.ViewConnections},
	{Name: "connection.unhealthy", Needs: auth.ViewConnections},
	{Name: "connection.recovered", Needs: auth.ViewConnections},
	{Name: "connection.expiring", Needs: auth.ViewConnections},
	{Name: "conflict", Needs: auth.ViewRecords},
	{Name: "conflict.resolved", Needs: auth.ViewRecords},
	{Name: "conflict.alert", Needs: auth.ViewRecords},
	{Name: "duplicate.merged", Needs: auth.ViewRecords},
	{Name: "duplicate.dismissed", Needs: auth.ViewRecords},
	{Name: "duplicate.put_off", Needs: auth.ViewRecords},
	{Name: "duplicate.unmerged", Needs: auth.ViewRecords},
	{Name: "hold", Needs: auth.ViewServices},
	{Name: "hold.released", Needs: auth.ViewServices},
	{Name: "hold.rejected", Needs: auth.ViewServices},
	{Name: "proof.started", Needs: auth.ViewServices, Frequent: true},
	{Name: "proof.progress", Needs: auth.ViewServices, Frequent: true},
	{Name: "proof.completed", Needs: auth.ViewServices},
	{Name: "proof.cancelled", Needs: auth.ViewServices},
	{Name: "proof.drift", Needs: auth.ViewServices},
	{Name: "plan.progress", Needs: auth.ViewServices, Frequent: true},
	{Name: "plan.completed", Needs: auth.ViewServices},
	{Name: "reconciliation", Needs: auth.ViewServices},
	{Name: "discrepancy.resolved", Needs: auth.ViewRecords},
	{Name: "discrepancy.flagged", Needs: auth.ViewRecords},
	{Name: "dead_letter", Needs: auth.ViewRecords},
	{Name: "dead_letter.redriven", Needs: auth.ViewRecords},
	{Name: "dead_letter.discarded", Needs: auth.ViewRecords},
	{Name: "dead_letter.edited", Needs: auth.ViewRecords},
	{Name: "dead_letter.settled", Needs: auth.ViewRecords},
	{Name: "lag", Needs: auth.ViewServices},
	{Name: "record.compensated", Needs: auth.ViewRecords},
	{Name: "record.frozen", Needs: auth.ViewRecords},
	{Name: "record.thawed", Needs: auth.ViewRecords},
	{Name: "rule.met", Needs: auth.ViewRecords},
	{Name: "rule.generate_invoice", Needs: auth.ViewRecords},
	{Name: "rule.lapsed", Needs: auth.ViewRecords},
	{Name: "rule.answered", Needs: auth.ViewRecords},
	{Name: "usage.threshold_reached", Needs: auth.ViewUsage},
	{Name: "usage.integration_started", Needs: auth.ViewUsage},
	{Name: "budget.reached", Needs: auth.ViewInvoices},
	{Name: "budget.paused", Needs: auth.ViewInvoices},
	{Name: "subscription.changed", Needs: auth.ViewInvoices},
	{Name: "credit.granted", Needs: auth.ViewInvoices},
	{Name: "credit.withdrawn", Needs: auth.ViewInvoices},
	{Name: "invoice.closed", Needs: auth.ViewInvoices},
	{Name: "invoice.adjusted", Needs: auth.ViewInvoices},
	{Name: "invoice.adjustment_removed", Needs: auth.ViewInvoices},
	{Name: "invoice.approved", Needs: auth.ViewInvoices},
	{Name: "invoice.approval_withdrawn", Needs: auth.ViewInvoices},
	{Name: "invoice.finalized", Needs: auth.ViewInvoices},
	{Name: "invoice.paid", Needs: auth.ViewInvoices},
	{Name: "invoice.payment_failed", Needs: auth.ViewInvoices},
	{Name: "invoice.voided", Needs: auth.ViewInvoices},
	{Name: "invoice.uncollectible", Needs: auth.ViewInvoices},
	{Name: "invoice.refunded", Needs: auth.ViewInvoices},
	{Name: "invoice.disputed", Needs: auth.ViewInvoices},
	{Name: "invoice.credit_drafted", Needs: auth.ViewInvoices},
	{Name: "invoice.credited", Needs: auth.ViewInvoices},
	{Name: "invoice.credit_discarded", Needs: auth.ViewInvoices},
	{Name: "webhook.disabled", Needs: auth.ViewWebhooks},
	{Name: "webhook.test", Needs: auth.ViewWebhooks},
}

// Needs says which permission it takes to be told of a type. A type that is not in the table takes the one that shows contents of
// records.
func Needs(typ string) auth.Permission {
	if i := slices.IndexFunc(Types, func(t Type) bool { return t.Name == typ }); i >= 0 {
		return Types[i].Needs
	}
	return auth.ViewRecords
}

// Wanted says whether a type is among those asked for: a name, or a beginning with a * after it.
func Wanted(filter []string, typ string) bool {
	return slices.ContainsFunc(filter, func(f string) bool {
		beginning, all := strings.CutSuffix(f, "*")
		return f == typ || all && strings.HasPrefix(typ, beginning)
	})
}

// usual says whether the type is sent to an endpoint that asks for nothing in particular.
func usual(typ string) bool {
	return !slices.ContainsFunc(Types, func(t Type) bool { return t.Name == typ && t.Frequent })
}

// An Envelope is a CloudEvents 1.0 event in JSON: what streams and webhooks carry.
type Envelope struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject,omitempty"`
	Time        time.Time       `json:"time"`
	ContentType string          `json:"datacontenttype"`
	Data        json.RawMessage `json:"data"`
}

// Envelop makes the event as readers get it.
func Envelop(e Event) Envelope {
	out := Envelope{SpecVersion: "1.0", ID: e.ID, Source: "/v1", Type: "dev.syncline." + e.Type + ".v1", Time: e.At.UTC(), ContentType: "application/json"}
	if e.Service != uuid.Nil {
		out.Source = "/v1/services/" + ident.Format(ident.Service, e.Service)
	}
	out.Subject, out.Data = told(e)
	return out
}

// eventIDs are the members of an event's data that name something, with the prefix of its ids.
var eventIDs = map[string]string{
	"service": ident.Service, "connection": ident.Connection, "run": ident.Run, "record": ident.Entity,
	"conflict": ident.Conflict, "deadLetter": ident.DeadLetter,
}

// told is an event's data as docs/events.md describes it, and what it is about: every id with its prefix, and under the name
// of what it names.
func told(e Event) (subject string, data json.RawMessage) {
	var members map[string]any
	dec := json.NewDecoder(bytes.NewReader(e.Data))
	dec.UseNumber()
	if dec.Decode(&members) != nil || members == nil {
		return "", json.RawMessage("{}")
	}
	about, _, _ := strings.Cut(e.Type, ".")
	if about == "dead_letter" {
		about = "deadLetter"
	}
	if id, there := members["id"]; there && eventIDs[about] != "" {
		members[about] = id
		delete(members, "id")
	}
	for name, prefix := range eventIDs {
		text, _ := members[name].(string)
		if id, err := uuid.Parse(text); err == nil {
			members[name] = ident.Format(prefix, id)
		}
	}
	subject, _ = members[about].(string)
	data, err := json.Marshal(members)
	if err != nil {
		return subject, json.RawMessage("{}")
	}
	return subject, data
}
