// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/oapi-codegen/nullable"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/ident"
)

func showInvoice(i billing.Invoice) spec.Invoice {
	return spec.Invoice{
		ID: public(ident.Invoice, i.ID), Period: showPeriod(i.Period), State: spec.InvoiceState(i.State),
		RateCard: spec.RateCard{Name: i.RateCard, Version: i.CardVersion}, Total: showMoney(i.Total),
		CreatedAt: i.CreatedAt.UTC(), ComputedAt: i.ComputedAt.UTC(), Version: i.Version,
		Number: numbered(i.Number, i.Name()), ClosedAt: someTime(i.ClosedAt), FinalizedAt: someTime(i.FinalizedAt), SettledAt: someTime(i.SettledAt),
		Settlement: someText(i.Settlement), Approval: acted(i.ApprovedBy, i.ApprovedName, i.ApprovedAt),
		Credited: showMoney(billing.Money{Amount: i.Credited.Amount, Currency: i.Currency}), Due: showMoney(i.Due()),
		Flags: shown(i.Flags, func(f billing.Flag) spec.InvoiceFlag { return spec.InvoiceFlag{Code: string(f.Code), Text: f.Text} }),
	}
}

// numbered is null for what has no number yet.
func numbered(n int64, name string) nullable.Nullable[string] {
	if n == 0 {
		return nullable.NewNullNullable[string]()
	}
	return nullable.NewNullableWithValue(name)
}

// acted is null for what nobody did yet.
func acted(by, name string, at time.Time) nullable.Nullable[spec.Act] {
	if at.IsZero() {
		return nullable.NewNullNullable[spec.Act]()
	}
	return nullable.NewNullableWithValue(spec.Act{By: by, Name: name, At: at.UTC()})
}

func showLine(l billing.Line) spec.InvoiceLine {
	out := spec.InvoiceLine{
		Position: l.Position, Price: l.Price, Title: l.Title, Kind: spec.LineKind(cmp.Or(l.Kind, billing.UsageLine)), Meter: optional(spec.Meter(l.Meter)), Quantity: l.Quantity, Amount: showMoney(l.Amount), Charged: l.Charged,
		Explanation: shown(l.Explanation, showStep),
	}
	if !l.Of.IsZero() {
		out.Period = optional(l.Of.String())
	}
	if l.ID != uuid.Nil {
		id := public(ident.Line, l.ID)
		out.ID = &id
	}
	return out
}

func (s *server) ListInvoices(ctx context.Context, req spec.ListInvoicesRequestObject) (spec.ListInvoicesResponseObject, error) {
	if err := who(ctx).May(auth.ViewInvoices); err != nil {
		return nil, err
	}
	p := invoicing.Page{Limit: limitOf(req.Params.Limit)}
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &p.After); err != nil {
		return nil, err
	}
	id := who(ctx).Tenant
	f := invoicing.Filter{Review: req.Params.FilterReview != nil && *req.Params.FilterReview}
	if req.Params.FilterState != nil {
		f.States = []billing.InvoiceState{billing.InvoiceState(*req.Params.FilterState)}
	}
	if p.After == "" {
		if _, err := s.Invoicer.Draft(ctx, id, billing.Month{}); err != nil {
			return nil, err
		}
	}
	list, after, err := s.Invoicer.Find(ctx, id, f, p)
	if err != nil {
		return nil, err
	}
	next := s.onward(ctx, after)
	data, err := s.collecting(ctx, list)
	return spec.ListInvoices200JSONResponse{Data: data, NextCursor: next, HasMore: after != ""}, err
}

// collecting shows invoices with where collecting them stands.
func (s *server) collecting(ctx context.Context, list []billing.Invoice) ([]spec.Invoice, error) {
	ids := make([]uuid.UUID, len(list))
	for n, i := range list {
		ids[n] = i.ID
	}
	collections, err := s.Invoicer.Collections(ctx, who(ctx), ids...)
	if err != nil {
		return nil, err
	}
	return shown(list, func(i billing.Invoice) spec.Invoice {
		out := showInvoice(i)
		out.Collection = showCollection(s.Invoicer.Stage(i, collections[i.ID]), i, collections[i.ID])
		return out
	}), nil
}

func showCollection(stage invoicing.CollectionStage, i billing.Invoice, c *invoicing.Collection) nullable.Nullable[spec.InvoiceCollection] {
	if stage == "" {
		return nullable.NewNullNullable[spec.InvoiceCollection]()
	}
	if c == nil {
		c = &invoicing.Collection{Refunded: billing.Zero(i.Currency)}
	}
	return nullable.NewNullableWithValue(spec.InvoiceCollection{
		State: spec.InvoiceCollectionState(stage), ExternalID: someText(c.External), URL: someText(c.URL), SentAt: someTime(c.SentAt), Problem: someText(c.Problem), Tries: c.Tries,
		FailedAt: someTime(c.FailedAt), NextTryAt: someTime(c.NextAt), Payments: c.Payments, PaymentFailure: someText(c.Failure), NextPaymentAt: someTime(c.NextPaymentAt),
		Refunded: showMoney(c.Refunded), Dispute: someText(c.Dispute), UpdatedAt: someTime(c.UpdatedAt),
	})
}

// onward signs where a list goes on whose own package says so.
func (s *server) onward(ctx context.Context, after string) nullable.Nullable[string] {
	if after == "" {
		return noCursor()
	}
	return nullable.NewNullableWithValue(s.cursors.write(of(ctx), after))
}

// invoice reads an invoice; a draft is computed anew first.
func (s *server) invoice(ctx context.Context, text string) (billing.Invoice, error) {
	if err := who(ctx).May(auth.ViewInvoices); err != nil {
		return billing.Invoice{}, err
	}
	id, err := named(ident.Invoice, text)
	if err != nil {
		return billing.Invoice{}, err
	}
	return s.Invoicer.Current(ctx, who(ctx), id)
}

func (s *server) GetInvoice(ctx context.Context, req spec.GetInvoiceRequestObject) (spec.GetInvoiceResponseObject, error) {
	i, err := s.invoice(ctx, req.Invoice)
	if err != nil {
		return nil, err
	}
	tag := etag(i.Version)
	if current(req.Params.IfNoneMatch, tag) {
		return spec.GetInvoice304Response{Headers: spec.NotModifiedResponseHeaders{ETag: tag}}, nil
	}
	body, err := s.wholeInvoice(ctx, i)
	if err != nil {
		return nil, err
	}
	return spec.GetInvoice200JSONResponse{Body: body, Headers: spec.GetInvoice200ResponseHeaders{ETag: tag}}, nil
}

func (s *server) ListLineOperations(ctx context.Context, req spec.ListLineOperationsRequestObject) (spec.ListLineOperationsResponseObject, error) {
	i, err := s.invoice(ctx, req.Invoice)
	if err != nil {
		return nil, err
	}
	line, err := named(ident.Line, req.Line)
	if err != nil {
		return nil, err
	}
	p := invoicing.Page{Limit: limitOf(req.Params.Limit)}
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &p.After); err != nil {
		return nil, err
	}
	list, after, err := s.Invoicer.LineOperations(ctx, who(ctx).Tenant, i.ID, line, p)
	if err != nil {
		return nil, err
	}
	show := func(o invoicing.Operation) spec.Operation {
		return spec.Operation{
			ID: public(ident.Journal, o.ID), At: o.At.UTC(), Service: public(ident.Service, o.Service), System: string(o.System), Object: string(o.Object),
			DataClass: o.DataClass, Record: public(ident.Entity, o.Entity), Op: spec.OperationOp(o.Op), Fields: texts(o.Fields), Realtime: o.Realtime, Complex: o.Complex,
		}
	}
	return spec.ListLineOperations200JSONResponse{Data: shown(list, show), NextCursor: s.onward(ctx, after), HasMore: after != ""}, nil
}
