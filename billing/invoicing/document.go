// SPDX-License-Identifier: Apache-2.0

package invoicing

import (
	"context"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/paper"
	"github.com/syncline-dev/syncline/internal/auth"
)

// File is a document to be kept.
type File struct {
	Name  string
	Media string
	Body  []byte
}

// PDF writes the invoice as PDF.
func (i *Invoicer) PDF(ctx context.Context, who auth.Principal, id uuid.UUID) (File, error) {
	d, err := i.document(ctx, who, id)
	if err != nil {
		return File{}, err
	}
	body, err := paper.PDF(d)
	return File{Name: d.FileName() + ".pdf", Media: "application/pdf", Body: body}, err
}

// CSV writes the invoice's lines as CSV.
func (i *Invoicer) CSV(ctx context.Context, who auth.Principal, id uuid.UUID) (File, error) {
	d, err := i.document(ctx, who, id)
	if err != nil {
		return File{}, err
	}
	body, err := paper.CSV(d)
	return File{Name: d.FileName() + ".csv", Media: "text/csv", Body: body}, err
}

func (i *Invoicer) document(ctx context.Context, who auth.Principal, id uuid.UUID) (paper.Document, error) {
	v, err := i.Current(ctx, who, id)
	if err != nil {
		return paper.Document{}, err
	}
	d := paper.Document{Issuer: i.issuer, Invoice: v}
	err = i.inTx(ctx, who.Tenant, func(tx Tx) error {
		if d.Customer, err = tx.TenantName(ctx); err != nil {
			return err
		}
		notes, err := tx.CreditNotes(ctx, &id, nil, 1000)
		for n := len(notes) - 1; n >= 0; n-- {
			if notes[n].State == billing.CreditIssued {
				d.Credits = append(d.Credits, notes[n])
			}
		}
		return err
	})
	return d, err
}
