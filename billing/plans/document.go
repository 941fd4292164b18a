// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/service"
)

// Said is what somebody knows of the systems of a document that is to be estimated; nil where they do not.
type Said struct {
	Records *int64 // in each collection
	Changes *int64 // records that change in a month, in all systems of each collection
}

// DocumentEstimate is what a service would cost.
type DocumentEstimate struct {
	Service string
	Plan    billing.Plan
	AddOns  []billing.Feature // those of the plan in force, and those that the service lacks
	First   Estimate          // on top of the present month so far: the first sync
	Month   Estimate          // on top of a month of all other services
	Assumed []Assumption
	Lacking []service.Need // features that the plan in force does not have; Month has their add-ons
}

// Assumption is a quantity that the estimate rests on.
type Assumption struct {
	Name   string // "records", "changes", "systems"
	Value  int64
	Source AssumptionSource
	Text   string // the assumption as a sentence
	Change string // how another value is given; "" when it follows from the document
}

// AssumptionSource says where a quantity comes from.
type AssumptionSource string

// The sources.
const (
	FromAsker    AssumptionSource = "said"     // whoever asks said so
	FromLedger   AssumptionSource = "measured" // what the service had and did
	FromDocument AssumptionSource = "document"
	FromNobody   AssumptionSource = "assumed" // nothing is known
)

// What is taken where nothing is known.
const (
	assumedRecords = 10_000 // in each collection
	assumedShare   = 10     // one record of so many changes in a month
)

// EstimateDocument says what the service of a document would cost under the plan in force: to begin with, and in each month from
// then on. premium says which connectors are of the premium class.
func (m *Manager) EstimateDocument(ctx context.Context, who auth.Principal, doc *service.Document, premium func(connector string) bool, said Said) (out DocumentEstimate, err error) {
	if err := who.May(auth.ViewUsage); err != nil {
		return out, err
	}
	for pointer, n := range map[string]*int64{"/records": said.Records, "/changes": said.Changes} {
		if n != nil && (*n < 0 || *n > most) {
			return out, faulty(pointer, fmt.Sprintf("%d is not a quantity; write a whole number from 0 to %d.", *n, int64(most)))
		}
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		out, err = estimateDocument(ctx, tx, doc, premium, said)
		return err
	})
	if !who.Can(auth.ViewInvoices) {
		out.First.hide()
		out.Month.hide()
	}
	return out, err
}

// known is what the ledger has of a service.
type known struct {
	records    map[string]int64 // by class of price
	operations int64            // of the last 28 days
	systems    []string         // in use in the present month
}

func knownOf(ctx context.Context, tx Tx, p billing.Period, name string) (out known, err error) {
	s, err := tx.Service(ctx, name)
	if fault.KindOf(err) == fault.NotFound {
		return known{}, nil
	}
	if err != nil {
		return known{}, err
	}
	id := uuid.UUID(s.ID)
	if out.records, err = tx.RecordsOf(ctx, id, p.Start(), p.End()); err != nil {
		return out, err
	}
	places, err := tx.UsageByPlace(ctx, tx.Now().AddDate(0, 0, -lookback), tx.Now())
	if err != nil {
		return out, err
	}
	for _, place := range places {
		if place.Service == id && place.Meter == billing.SyncOperations {
			out.operations += place.Units
		}
	}
	used, err := tx.IntegrationsIn(ctx, p.Start(), p.End())
	for _, i := range used {
		if i.Service == id {
			out.systems = append(out.systems, string(i.System))
		}
	}
	return out, err
}

func estimateDocument(ctx context.Context, tx Tx, doc *service.Document, premium func(string) bool, said Said) (out DocumentEstimate, err error) {
	p, err := periodNow(ctx, tx)
	if err != nil {
		return out, err
	}
	list, err := tx.Subscriptions(ctx)
	if err != nil {
		return out, err
	}
	held := billing.SubscriptionAt(list, tx.Now())
	out.Service, out.Plan, out.AddOns = doc.Service, held.Plan, slices.Clone(held.AddOns)
	for _, n := range doc.Needs() {
		if held.Has(n.Feature) {
			continue
		}
		out.Lacking = append(out.Lacking, n)
		if _, offered := held.Plan.AddOn(n.Feature); offered && !slices.Contains(out.AddOns, n.Feature) {
			out.AddOns = append(out.AddOns, n.Feature)
		}
	}
	has, err := knownOf(ctx, tx, p, doc.Service)
	if err != nil {
		return out, err
	}
	var first, month Assumed
	first, month, out.Assumed = assume(doc, premium, said, has)
	if out.First, err = estimate(ctx, tx, first); err != nil {
		return out, err
	}

	// A month like the last one of the other services.
	last := p.Previous().In(p.Zone)
	others, err := tx.QuantitiesIn(ctx, last.Start(), last.End())
	if err != nil {
		return out, err
	}
	own, err := recordsThen(ctx, tx, doc.Service, last)
	if err != nil {
		return out, err
	}
	others = without(others, doc.Service, own)
	if out.Month.Before, err = Month(held.Plan, held.AddOns, others); err != nil {
		return out, err
	}
	cells, _ := month.cells(held.Plan)
	if out.Month.After, err = Month(held.Plan, out.AddOns, append(slices.Clone(others), cells...)); err != nil {
		return out, err
	}
	out.Month.compare()
	return out, nil
}

func recordsThen(ctx context.Context, tx Tx, name string, p billing.Period) (map[string]int64, error) {
	s, err := tx.Service(ctx, name)
	if fault.KindOf(err) == fault.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return tx.RecordsOf(ctx, uuid.UUID(s.ID), p.Start(), p.End())
}

// without leaves out what one service used, so that it is not counted twice.
func without(all []billing.Quantity, name string, records map[string]int64) (out []billing.Quantity) {
	for _, q := range all {
		if strings.HasSuffix(q.Integration, " of "+name) {
			continue
		}
		if q.Meter == billing.Records {
			q.Units -= records[q.DataClass]
		}
		if q.Units > 0 {
			out = append(out, q)
		}
	}
	return out
}

// assume makes quantities of a document: of its beginning, and of each month.
func assume(doc *service.Document, premium func(string) bool, said Said, has known) (first, month Assumed, list []Assumption) {
	for _, s := range doc.Systems {
		joins := !slices.Contains(has.systems, s.ID)
		if premium(s.Type) {
			month.Premium++
			if joins {
				first.Premium++
			}
			continue
		}
		month.Standard++
		if joins {
			first.Standard++
		}
	}
	joining := first.Standard + first.Premium
	var shared []service.Collection
	for _, c := range doc.Collections() {
		if c.Shared() {
			shared = append(shared, c)
		}
	}
	had := int64(0)
	for _, n := range has.records {
		had += n
	}
	perCollection, source := int64(assumedRecords), FromNobody
	switch {
	case said.Records != nil:
		perCollection, source = *said.Records, FromAsker
	case had > 0 && len(shared) > 0:
		perCollection, source = had/int64(len(shared)), FromLedger
	}
	changed, changeSource := perCollection/assumedShare, FromNobody
	if said.Changes != nil {
		changed, changeSource = *said.Changes, FromAsker
	}
	left := map[string]int64{} // records that are under management already, by class
	for class, n := range has.records {
		left[billing.RecordClass(class)] += n
	}
	for _, c := range shared {
		var systems []string
		fresh := int64(0)
		for _, member := range c.Members {
			if slices.Contains(systems, member.System) {
				continue
			}
			systems = append(systems, member.System)
			if !slices.Contains(has.systems, member.System) {
				fresh++
			}
		}
		others := int64(len(systems) - 1)
		class := billing.RecordClass(c.Model)
		newRecords := max(0, perCollection-left[class])
		left[class] = max(0, left[class]-perCollection)
		first.count(class, newRecords)
		month.count(class, perCollection)
		first.Syncs += perCollection * min(fresh, others)
		month.Syncs += changed * others
		asked, askedMonthly := doc.Lookups(c.Name, newRecords, changed)
		first.Enrichments += asked
		month.Enrichments += askedMonthly
	}
	if said.Changes == nil && has.operations > 0 {
		month.Syncs, changeSource = has.operations*30/lookback, FromLedger
	}
	if doc.Schedule().Kind == service.Realtime {
		month.RealtimeSyncs = month.Syncs // a first sync is none
	}
	if doc.Complex() {
		first.ComplexSyncs, month.ComplexSyncs = first.Syncs, month.Syncs
	}
	collections := fmt.Sprintf("%d collections", len(shared))
	if len(shared) == 1 {
		collections = "one collection"
	}
	list = append(list,
		Assumption{Name: "records", Value: perCollection, Source: source, Change: "records",
			Text: fmt.Sprintf("%s records in %s. Those that a system lacks are made there; those that match cost nothing, so the first sync costs at most this.", billing.Count(perCollection), collections)},
		Assumption{Name: "changes", Value: month.Syncs, Source: changeSource, Change: "changes", Text: changesText(changeSource, changed, month.Syncs)},
		Assumption{Name: "systems", Value: month.Standard + month.Premium, Source: FromDocument,
			Text: fmt.Sprintf("%d systems of the document, %d of them new in this month, %d premium.", month.Standard+month.Premium, joining, month.Premium)},
	)
	if month.RealtimeSyncs > 0 {
		list = append(list, Assumption{Name: "realtime", Value: month.RealtimeSyncs, Source: FromDocument, Text: "Changes are synced in real time, because the document's frequency says so."})
	}
	if month.ComplexSyncs > 0 {
		list = append(list, Assumption{Name: "complex", Value: month.ComplexSyncs, Source: FromDocument, Text: "Every operation is complex, because business rules of the document compute fields."})
	}
	if most := max(first.Enrichments, month.Enrichments); most > 0 {
		list = append(list, Assumption{Name: "lookups", Value: most, Source: FromDocument,
			Text: fmt.Sprintf("At most %s lookups to begin with and %s in each month, if every answer fills something; what the sources do not know costs nothing.", billing.Count(first.Enrichments), billing.Count(month.Enrichments))})
	}
	return first, month, list
}

func changesText(source AssumptionSource, changed, operations int64) string {
	if source == FromLedger {
		return fmt.Sprintf("%s operations a month, as many as the service did in its last %d days.", billing.Count(operations), lookback)
	}
	return fmt.Sprintf("%s records change in a month in each collection, and each change goes to every other system: %s operations.", billing.Count(changed), billing.Count(operations))
}

func (u *Assumed) count(class string, n int64) {
	switch class {
	case "contacts":
		u.Contacts += n
	case "products":
		u.Products += n
	default:
		u.Transactions += n
	}
}
