// SPDX-License-Identifier: Apache-2.0

package web

import (
	"strconv"
	"strings"

	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

// EstimateView is what a service would cost, and what that rests on. A plan and the editor show it.
type EstimateView struct {
	Unknown  bool   // the document cannot be read, so it cannot be told yet
	Problem  string // why what was typed is no quantity
	Plan     string // the plan in force
	First    CostPart
	Month    CostPart
	Assumed  []AssumedLine
	Lacking  []string
	Records  ui.Field
	Changes  ui.Field
	MayGuess bool // quantities can be given
}

// CostPart is one amount with its lines.
type CostPart struct {
	Title string
	Text  string
	Total ui.Money
	Lines []CostLine
}

// CostLine is one line of an estimate, with the steps of its amount.
type CostLine struct {
	Title  string
	More   string // "+10,000 operations"
	Amount ui.Money
	Steps  []string
}

// AssumedLine is one assumption.
type AssumedLine struct {
	Text   string
	Source string
}

// sourceWords say where a quantity comes from.
var sourceWords = map[plans.AssumptionSource]string{
	plans.FromAsker: "as you say", plans.FromLedger: "measured", plans.FromDocument: "from the document", plans.FromNobody: "assumed, because nothing is known",
}

// costPart shows an estimate.
func costPart(title, text string, e plans.Estimate) CostPart {
	out := CostPart{Title: title, Text: text, Total: moneyOf(e.Cost)}
	for _, a := range e.Added {
		line := CostLine{Title: a.Title, Amount: moneyOf(a.Cost)}
		if unit := a.Meter.Unit(a.More); unit != "" && a.More != 0 {
			sign := "+"
			if a.More < 0 {
				sign = ""
			}
			line.More = sign + ui.Number(a.More) + " " + unit
		}
		for _, s := range a.Explanation {
			line.Steps = append(line.Steps, s.Text)
		}
		out.Lines = append(out.Lines, line)
	}
	return out
}

func estimateFields() (records, changes ui.Field) {
	number := map[string]any{"inputmode": "numeric", "min": "0"}
	return ui.Field{Name: "records", ID: "estimate-records", Label: "Records in each collection", Optional: true, Autocomplete: "off", Attrs: number},
		ui.Field{Name: "changes", ID: "estimate-changes", Label: "Records that change in a month", Optional: true, Autocomplete: "off", Attrs: number}
}

// quantity reads a number as people type it; nil for nothing.
func quantity(text string) (*int64, error) {
	text = strings.NewReplacer(",", "", " ", "", "_", "").Replace(text)
	if text == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return nil, fault.New(fault.Invalid, "plans.usage_malformed", "%q is not a quantity; write a whole number such as 10,000.", text)
	}
	return &n, nil
}

// documentEstimate prices the text of the editor.
func (h *Handler) documentEstimate(v *visit) error {
	text := v.document()
	view := EstimateView{}
	view.Records, view.Changes = estimateFields()
	view.Records.Value, view.Changes.Value = v.form("records"), v.form("changes")
	doc, err := service.Parse([]byte(text), formatOf(text))
	if err != nil {
		view.Unknown = true
		return v.render(EstimateCard(view))
	}
	var said plans.Said
	if said.Records, err = quantity(view.Records.Value); err == nil {
		said.Changes, err = quantity(view.Changes.Value)
	}
	if err == nil {
		specs, specErr := h.Connections.Catalog().Specs(v.ctx(), v.who.Tenant)
		if specErr != nil {
			return specErr
		}
		var e plans.DocumentEstimate
		if e, err = h.Plans.EstimateDocument(v.ctx(), v.who, doc, connector.PremiumAmong(specs), said); err == nil {
			return v.render(EstimateCard(estimateOf(e, view)))
		}
	}
	if !refused(err) {
		return err
	}
	view.Problem = fault.As(err).Message
	return v.render(EstimateCard(view))
}

func estimateOf(e plans.DocumentEstimate, view EstimateView) EstimateView {
	view.MayGuess, view.Plan = true, e.Plan.Card.Title
	view.First = costPart("To begin with", "once, on top of this month so far", e.First)
	view.Month = costPart("A month from then on", "on top of your other services", e.Month)
	for _, a := range e.Assumed {
		view.Assumed = append(view.Assumed, AssumedLine{Text: a.Text, Source: sourceWords[a.Source]})
	}
	for _, n := range e.Lacking {
		view.Lacking = append(view.Lacking, "It "+n.Why+": "+string(n.Feature)+" has to be added to the plan first; the month counts it.")
	}
	return view
}
