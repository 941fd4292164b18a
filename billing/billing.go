// SPDX-License-Identifier: Apache-2.0

// Package billing holds the words and rules of money: meters, usage events, prices, rate cards, periods, invoices and
// their states.
//
// Facts become money in three steps, each with its own home. The engine writes usage events in the commit that settles a
// delivery (this package says what an event is, internal/store keeps the ledger). billing/rating turns the quantities of
// a period into explained invoice lines and is a pure function. billing/invoicing joins the two in one transaction.
//
// Amounts are decimals. They are exact until a line is complete and rounded there, once, by RoundLine.
package billing
