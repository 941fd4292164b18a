// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/oapi-codegen/nullable"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
)

func showAdjustment(a billing.Adjustment) spec.Adjustment {
	return spec.Adjustment{
		ID: public(ident.Adjustment, a.ID), Title: a.Title, Reason: a.Reason, Amount: showMoney(a.Amount),
		MadeBy: spec.Act{By: a.Actor, Name: a.ActorName, At: a.CreatedAt.UTC()},
	}
}

func showCreditNote(c billing.CreditNote) spec.CreditNote {
	return spec.CreditNote{
		ID: public(ident.CreditNote, c.ID), Invoice: public(ident.Invoice, c.Invoice), Number: numbered(c.Number, c.Name()), State: spec.CreditNoteState(c.State),
		Amount: showMoney(c.Amount), Reason: c.Reason, WrittenBy: spec.Act{By: c.Actor, Name: c.ActorName, At: c.CreatedAt.UTC()},
		Decided: acted(c.DecidedBy, c.DecidedName, c.DecidedAt), Version: c.Version,
	}
}

// wholeInvoice shows the invoice with lines and adjustments.
func (s *server) wholeInvoice(ctx context.Context, i billing.Invoice) (spec.Invoice, error) {
	adjustments, err := s.Invoicer.Adjustments(ctx, who(ctx), i.ID)
	if err != nil {
		return spec.Invoice{}, err
	}
	all, err := s.collecting(ctx, []billing.Invoice{i})
	if err != nil {
		return spec.Invoice{}, err
	}
	body, lines, made := all[0], shown(i.Lines, showLine), shown(adjustments, showAdjustment)
	body.Lines, body.Adjustments = &lines, &made
	return body, nil
}

func (s *server) invoiceAnswer(ctx context.Context, i billing.Invoice, err error) (spec.InvoiceJSONResponse, error) {
	if err != nil {
		return spec.InvoiceJSONResponse{}, err
	}
	body, err := s.wholeInvoice(ctx, i)
	return spec.InvoiceJSONResponse{Body: body, Headers: spec.InvoiceResponseHeaders{ETag: etag(i.Version)}}, err
}

// editing reads which invoice is to be changed, and the version that was seen.
func editing(ctx context.Context, invoice string, ifMatch *string) (uuid.UUID, int64, error) {
	if err := who(ctx).May(auth.EditInvoices); err != nil {
		return uuid.Nil, 0, err
	}
	id, err := named(ident.Invoice, invoice)
	if err != nil {
		return uuid.Nil, 0, err
	}
	version := int64(0)
	if ifMatch != nil {
		version, err = wantedOrAny(*ifMatch)
	}
	return id, version, err
}

// amount reads what openapi.yaml's pattern let through.
func amount(text string) (decimal.Decimal, error) {
	d, err := decimal.NewFromString(text)
	if err != nil {
		return d, fault.Wrap(err, fault.Invalid, "billing.amount_invalid", "%q is not an amount.", text).
			At(fault.Field{Pointer: "/amount", Code: "billing.amount_invalid", Message: "Not an amount.", Remedy: "Write it like \"-25.00\"."})
	}
	return d, nil
}

func (s *server) GetInvoiceDocument(ctx context.Context, req spec.GetInvoiceDocumentRequestObject) (spec.GetInvoiceDocumentResponseObject, error) {
	if err := who(ctx).May(auth.ViewInvoices); err != nil {
		return nil, err
	}
	id, err := named(ident.Invoice, req.Invoice)
	if err != nil {
		return nil, err
	}
	name := func(f invoicing.File) spec.GetInvoiceDocument200ResponseHeaders {
		return spec.GetInvoiceDocument200ResponseHeaders{ContentDisposition: fmt.Sprintf("attachment; filename=%q", f.Name)}
	}
	if word(req.Params.Format) == "csv" {
		f, err := s.Invoicer.CSV(ctx, who(ctx), id)
		if err != nil {
			return nil, err
		}
		return spec.GetInvoiceDocument200TextCsvResponse{Body: bytes.NewReader(f.Body), ContentLength: int64(len(f.Body)), Headers: name(f)}, nil
	}
	f, err := s.Invoicer.PDF(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	return spec.GetInvoiceDocument200ApplicationPdfResponse{Body: bytes.NewReader(f.Body), ContentLength: int64(len(f.Body)), Headers: name(f)}, nil
}

func (s *server) AdjustInvoice(ctx context.Context, req spec.AdjustInvoiceRequestObject) (spec.AdjustInvoiceResponseObject, error) {
	id, version, err := editing(ctx, req.Invoice, req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	sum, err := amount(req.Body.Amount)
	if err != nil {
		return nil, err
	}
	i, made, err := s.Invoicer.Adjust(ctx, who(ctx), id, version, req.Body.Title, req.Body.Reason, sum)
	if err != nil {
		return nil, err
	}
	body, err := s.wholeInvoice(ctx, i)
	if err != nil {
		return nil, err
	}
	return spec.AdjustInvoice201JSONResponse{Body: body, Headers: spec.AdjustInvoice201ResponseHeaders{
		ETag: etag(i.Version), Location: "/v1/invoices/" + body.ID + "/adjustments/" + public(ident.Adjustment, made.ID),
	}}, nil
}

func (s *server) RemoveAdjustment(ctx context.Context, req spec.RemoveAdjustmentRequestObject) (spec.RemoveAdjustmentResponseObject, error) {
	id, version, err := editing(ctx, req.Invoice, &req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	adjustment, err := named(ident.Adjustment, req.Adjustment)
	if err != nil {
		return nil, err
	}
	i, err := s.Invoicer.RemoveAdjustment(ctx, who(ctx), id, adjustment, version)
	a, err := s.invoiceAnswer(ctx, i, err)
	return spec.RemoveAdjustment200JSONResponse{InvoiceJSONResponse: a}, err
}

func (s *server) ApproveInvoice(ctx context.Context, req spec.ApproveInvoiceRequestObject) (spec.ApproveInvoiceResponseObject, error) {
	id, version, err := editing(ctx, req.Invoice, &req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	i, err := s.Invoicer.Approve(ctx, who(ctx), id, version)
	a, err := s.invoiceAnswer(ctx, i, err)
	return spec.ApproveInvoice200JSONResponse{InvoiceJSONResponse: a}, err
}

func (s *server) WithdrawApproval(ctx context.Context, req spec.WithdrawApprovalRequestObject) (spec.WithdrawApprovalResponseObject, error) {
	id, version, err := editing(ctx, req.Invoice, &req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	i, err := s.Invoicer.Withdraw(ctx, who(ctx), id, version)
	a, err := s.invoiceAnswer(ctx, i, err)
	return spec.WithdrawApproval200JSONResponse{InvoiceJSONResponse: a}, err
}

func (s *server) FinalizeInvoice(ctx context.Context, req spec.FinalizeInvoiceRequestObject) (spec.FinalizeInvoiceResponseObject, error) {
	id, version, err := editing(ctx, req.Invoice, &req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	i, err := s.Invoicer.Finalize(ctx, who(ctx), id, version)
	a, err := s.invoiceAnswer(ctx, i, err)
	return spec.FinalizeInvoice200JSONResponse{InvoiceJSONResponse: a}, err
}

func (s *server) VoidInvoice(ctx context.Context, req spec.VoidInvoiceRequestObject) (spec.VoidInvoiceResponseObject, error) {
	id, version, err := editing(ctx, req.Invoice, &req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	i, _, err := s.Invoicer.Void(ctx, who(ctx), id, version, req.Body.Reason, req.Body.Replace != nil && *req.Body.Replace)
	a, err := s.invoiceAnswer(ctx, i, err)
	return spec.VoidInvoice200JSONResponse{InvoiceJSONResponse: a}, err
}

func (s *server) GiveUpInvoice(ctx context.Context, req spec.GiveUpInvoiceRequestObject) (spec.GiveUpInvoiceResponseObject, error) {
	id, version, err := editing(ctx, req.Invoice, &req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	i, err := s.Invoicer.GiveUp(ctx, who(ctx), id, version, req.Body.Reason)
	a, err := s.invoiceAnswer(ctx, i, err)
	return spec.GiveUpInvoice200JSONResponse{InvoiceJSONResponse: a}, err
}

func (s *server) PayInvoice(ctx context.Context, req spec.PayInvoiceRequestObject) (spec.PayInvoiceResponseObject, error) {
	id, version, err := editing(ctx, req.Invoice, &req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	i, err := s.Invoicer.Pay(ctx, who(ctx), id, version, req.Body.Reference)
	a, err := s.invoiceAnswer(ctx, i, err)
	return spec.PayInvoice200JSONResponse{InvoiceJSONResponse: a}, err
}

func (s *server) ApproveInvoices(ctx context.Context, req spec.ApproveInvoicesRequestObject) (spec.ApproveInvoicesResponseObject, error) {
	if err := who(ctx).May(auth.EditInvoices); err != nil {
		return nil, err
	}
	versions, order := map[uuid.UUID]int64{}, make([]uuid.UUID, 0, len(req.Body.Invoices))
	for n, item := range req.Body.Invoices {
		id, err := ident.Parse(ident.Invoice, item.ID)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "id.malformed", "The id of an invoice cannot be read.").
				At(fault.Field{Pointer: fmt.Sprintf("/invoices/%d/id", n), Code: "id.malformed", Message: "Not the id of an invoice."})
		}
		if _, twice := versions[id]; !twice {
			order = append(order, id)
		}
		versions[id] = item.Version
	}
	preview := req.Body.Preview != nil && *req.Body.Preview
	outcomes, err := s.Invoicer.ApproveAll(ctx, who(ctx), versions, order, preview)
	if err != nil {
		return nil, err
	}
	out := spec.ApproveInvoices200JSONResponse{Preview: preview, Total: showMoney(billing.Zero(billing.USD)), Outcomes: []spec.ApprovalOutcome{}}
	total := billing.Money{}
	for n, o := range outcomes {
		shown := spec.ApprovalOutcome{
			Invoice: public(ident.Invoice, order[n]), Approved: o.Err == nil, Total: nullable.NewNullNullable[spec.Money](),
			Code: nullable.NewNullNullable[string](), Message: nullable.NewNullNullable[string](),
		}
		if o.Invoice.ID != uuid.Nil {
			shown.Total.Set(showMoney(o.Invoice.Total))
		}
		if f := fault.As(o.Err); f != nil {
			shown.Code.Set(f.Code)
			shown.Message.Set(f.Message)
		} else {
			if total.Currency == "" {
				total = billing.Zero(o.Invoice.Currency)
			}
			if total.Currency == o.Invoice.Currency {
				total = total.Add(o.Invoice.Total)
			}
		}
		out.Outcomes = append(out.Outcomes, shown)
	}
	if total.Currency != "" {
		out.Total = showMoney(total)
	}
	return out, nil
}

func (s *server) CreateCreditNote(ctx context.Context, req spec.CreateCreditNoteRequestObject) (spec.CreateCreditNoteResponseObject, error) {
	id, _, err := editing(ctx, req.Invoice, nil)
	if err != nil {
		return nil, err
	}
	sum, err := amount(req.Body.Amount)
	if err != nil {
		return nil, err
	}
	c, err := s.Invoicer.Credit(ctx, who(ctx), id, sum, req.Body.Reason)
	if err != nil {
		return nil, err
	}
	return spec.CreateCreditNote201JSONResponse{Body: showCreditNote(c), Headers: spec.CreateCreditNote201ResponseHeaders{
		ETag: etag(c.Version), Location: "/v1/credit-notes/" + public(ident.CreditNote, c.ID),
	}}, nil
}

func (s *server) ListCreditNotes(ctx context.Context, req spec.ListCreditNotesRequestObject) (spec.ListCreditNotesResponseObject, error) {
	if err := who(ctx).May(auth.ViewInvoices); err != nil {
		return nil, err
	}
	var after *uuid.UUID
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &after); err != nil {
		return nil, err
	}
	var invoice *uuid.UUID
	if text := word(req.Params.FilterInvoice); text != "" {
		id, err := named(ident.Invoice, text)
		if err != nil {
			return nil, err
		}
		invoice = &id
	}
	limit := limitOf(req.Params.Limit)
	list, err := s.Invoicer.CreditNotes(ctx, who(ctx), invoice, after, limit+1)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showCreditNote, func(c billing.CreditNote) any { return c.ID })
	return spec.ListCreditNotes200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func creditNoteAnswer(c billing.CreditNote) spec.CreditNoteJSONResponse {
	return spec.CreditNoteJSONResponse{Body: showCreditNote(c), Headers: spec.CreditNoteResponseHeaders{ETag: etag(c.Version)}}
}

func (s *server) GetCreditNote(ctx context.Context, req spec.GetCreditNoteRequestObject) (spec.GetCreditNoteResponseObject, error) {
	if err := who(ctx).May(auth.ViewInvoices); err != nil {
		return nil, err
	}
	id, err := named(ident.CreditNote, req.CreditNote)
	if err != nil {
		return nil, err
	}
	c, err := s.Invoicer.CreditNote(ctx, who(ctx), id)
	return spec.GetCreditNote200JSONResponse{CreditNoteJSONResponse: creditNoteAnswer(c)}, err
}

func (s *server) IssueCreditNote(ctx context.Context, req spec.IssueCreditNoteRequestObject) (spec.IssueCreditNoteResponseObject, error) {
	c, err := s.decideCredit(ctx, req.CreditNote, req.Params.IfMatch, s.Invoicer.IssueCredit)
	return spec.IssueCreditNote200JSONResponse{CreditNoteJSONResponse: creditNoteAnswer(c)}, err
}

func (s *server) DiscardCreditNote(ctx context.Context, req spec.DiscardCreditNoteRequestObject) (spec.DiscardCreditNoteResponseObject, error) {
	c, err := s.decideCredit(ctx, req.CreditNote, req.Params.IfMatch, s.Invoicer.DiscardCredit)
	return spec.DiscardCreditNote200JSONResponse{CreditNoteJSONResponse: creditNoteAnswer(c)}, err
}

func (s *server) decideCredit(ctx context.Context, note, ifMatch string, decide func(context.Context, auth.Principal, uuid.UUID, int64) (billing.CreditNote, error)) (billing.CreditNote, error) {
	if err := who(ctx).May(auth.EditInvoices); err != nil {
		return billing.CreditNote{}, err
	}
	id, err := named(ident.CreditNote, note)
	if err != nil {
		return billing.CreditNote{}, err
	}
	version, err := wantedOrAny(ifMatch)
	if err != nil {
		return billing.CreditNote{}, err
	}
	return decide(ctx, who(ctx), id, version)
}
