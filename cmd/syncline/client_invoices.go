// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
)

func invoicesCommand() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "invoices [INVOICE]",
		Short: "Invoices, and where collecting them stands",
		Long: `Invoices, the newest month first, with where collecting each stands: waiting, retrying, refused, sent, payment_failed, paid, refunded,
disputed or closed. With the id of one: its lines, why its last payment failed, when it is tried again, and where the customer pays.`,
		Example: `  syncline invoices
  syncline invoices --state open
  syncline invoices bil_069w3jzff1r00010400000000g`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("invoices takes the id of one invoice, or none for all")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return s.invoice(cmd.Context(), args[0])
			}
			return s.invoices(cmd.Context(), state)
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "draft, open, paid, void or uncollectible")
	return cmd
}

func (s *session) invoices(ctx context.Context, state string) error {
	params := &client.ListInvoicesParams{}
	if state != "" {
		f := client.InvoiceState(state)
		params.FilterState = &f
	}
	var list []client.Invoice
	for {
		res, err := s.api.ListInvoicesWithResponse(ctx, params)
		if err != nil {
			return answered(nil, nil, err)
		}
		if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
			return err
		}
		list = append(list, res.JSON200.Data...)
		next, err := res.JSON200.NextCursor.Get()
		if err != nil || !res.JSON200.HasMore {
			break
		}
		params.Cursor = &next
	}
	if s.json {
		return s.printJSON(list)
	}
	return s.table(func(row func(...any)) {
		row("INVOICE", "NUMBER", "MONTH", "STATE", "TOTAL", "DUE", "COLLECTION", "WHAT NEXT")
		for _, i := range list {
			stage, next := collectionWords(i)
			row(i.ID, nullOr(i.Number, "-"), i.Period.Month, i.State, moneyWords(i.Total), moneyWords(i.Due), stage, next)
		}
	})
}

func moneyWords(m client.Money) string { return m.Amount + " " + strings.ToUpper(m.Currency) }

// collectionWords are where collecting stands, and what happens next.
func collectionWords(i client.Invoice) (stage, next string) {
	c, err := i.Collection.Get()
	if err != nil {
		return "-", "-"
	}
	next = "-"
	if at, err := c.NextTryAt.Get(); err == nil {
		next = "tried again " + at.Local().Format(time.DateTime)
	} else if at, err := c.NextPaymentAt.Get(); err == nil {
		next = "payment tried again " + at.Local().Format(time.DateTime)
	}
	return string(c.State), next
}

func (s *session) invoice(ctx context.Context, id string) error {
	res, err := s.api.GetInvoiceWithResponse(ctx, id, &client.GetInvoiceParams{})
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	i := res.JSON200
	if s.json {
		return s.printJSON(i)
	}
	if err := s.print("%s  %s  %s  %s, %s due\n", nullOr(i.Number, i.ID), i.Period.Month, i.State, moneyWords(i.Total), moneyWords(i.Due)); err != nil {
		return err
	}
	if i.Lines != nil {
		err := s.table(func(row func(...any)) {
			for _, l := range *i.Lines {
				row("  "+l.Title, l.Quantity, moneyWords(l.Amount))
			}
		})
		if err != nil {
			return err
		}
	}
	c, err := i.Collection.Get()
	if err != nil {
		return s.print("Nobody collects it.\n")
	}
	return s.table(func(row func(...any)) {
		row("Collection:", c.State)
		text := func(name, value string) {
			if value != "" {
				row(name+":", value)
			}
		}
		when := func(name string, at time.Time, err error) {
			if err == nil {
				row(name+":", at.Local().Format(time.DateTime))
			}
		}
		at, err := c.SentAt.Get()
		when("Sent", at, err)
		text("Problem", nullOr(c.Problem, ""))
		if c.Tries > 0 {
			row("Tries that failed:", c.Tries)
		}
		at, err = c.NextTryAt.Get()
		when("Tried again", at, err)
		if c.Payments > 0 {
			row("Payments tried:", c.Payments)
		}
		text("Last payment failed", nullOr(c.PaymentFailure, ""))
		at, err = c.NextPaymentAt.Get()
		when("Payment tried again", at, err)
		if strings.Trim(c.Refunded.Amount, "0.") != "" {
			row("Paid back:", moneyWords(c.Refunded))
		}
		text("Dispute", nullOr(c.Dispute, ""))
		text("The customer pays at", nullOr(c.URL, ""))
	})
}

// nullOr is the value, or what stands for none.
func nullOr(v maybe, none string) string {
	if text, err := v.Get(); err == nil {
		return text
	}
	return none
}
