// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"io"
	"strings"
	"time"
)

// Time is a moment: relative in the text, exact on hover, kept true by the page while it is open.
type Time struct {
	At    time.Time // zero shows Never
	Never string    // the text for a zero time; "never" when empty
	Clock bool      // show the time of day with seconds instead of the distance
	Date  bool      // show the date instead of the distance
}

// Render writes the time.
func (t Time) Render(ctx context.Context, w io.Writer) error { return timeOf(t).Render(ctx, w) }

func (t Time) text(r Reader) string {
	switch {
	case t.Clock:
		return t.At.In(r.Zone).Format("15:04:05")
	case t.Date:
		return t.At.In(r.Zone).Format("2 Jan 2006")
	}
	return Ago(t.At, r.Now, r.Zone)
}

// Money is an amount with its currency, and where it helps the rule behind it. The amount is decimal text: money is
// never a float.
type Money struct {
	Amount   string // "1204.50", "-12"
	Currency string // ISO 4217, "USD"
	Estimate bool   // marked as an estimate
	Rule     string // on hover: "graduated: 100,000 at $0.005, ..."
}

// Render writes the amount.
func (m Money) Render(ctx context.Context, w io.Writer) error { return money(m).Render(ctx, w) }

var signs = map[string]string{"USD": "$", "EUR": "€", "GBP": "£"}

// String is the amount as text: $1,204.50, or CHF 1,204.50 where the sign is not unambiguous. Cents are shown even if
// zero; more decimals than two stay, because rates have them.
func (m Money) String() string {
	amount, minus := m.Amount, ""
	if strings.HasPrefix(amount, "-") {
		amount, minus = amount[1:], "−"
	}
	whole, cents, _ := strings.Cut(amount, ".")
	if whole == "" {
		whole = "0"
	}
	if m.Currency != "JPY" && m.Currency != "KRW" {
		for len(cents) < 2 {
			cents += "0"
		}
	}
	if cents != "" {
		cents = "." + cents
	}
	sign, ok := signs[m.Currency]
	if !ok && m.Currency != "" {
		sign = m.Currency + " "
	}
	return minus + sign + group(whole) + cents
}

// ID is an identifier in monospace with a button that copies it. The text is shortened in the middle when Short is
// set; the copy is always whole.
type ID struct {
	Value string
	Href  string
	Short bool
	Label string // what is copied, for screen readers: "service id"
}

// Render writes the identifier.
func (i ID) Render(ctx context.Context, w io.Writer) error { return id(i).Render(ctx, w) }

func (i ID) text() string {
	r := []rune(i.Value)
	if !i.Short || len(r) <= 16 {
		return i.Value
	}
	return string(r[:9]) + "…" + string(r[len(r)-4:])
}

// Copy is a button that copies a text.
type Copy struct {
	Text  string
	From  string // or: the id of the element whose text is copied
	Label string // "Copy service id"
}

// Render writes the button.
func (c Copy) Render(ctx context.Context, w io.Writer) error { return copyButton(c).Render(ctx, w) }

// Value is one field value as people see it.
type Value struct {
	Text   string
	Null   bool // the field is there and empty
	Absent bool // the system has no such field, or the record did not exist
	Masked bool // the reader may not see it
}

// Render writes the value.
func (v Value) Render(ctx context.Context, w io.Writer) error { return value(v).Render(ctx, w) }

// KeyValues is a list of properties.
type KeyValues struct {
	Items []KeyValue
}

// KeyValue is one property: text, or a component.
type KeyValue struct {
	Key  string
	Text string
	Body Fragments // instead of Text
	Mono bool
	Hint string
}

// Render writes the list.
func (k KeyValues) Render(ctx context.Context, w io.Writer) error { return keyValues(k).Render(ctx, w) }

// Person is a member or another actor: initials and name.
type Person struct {
	Name  string
	Small bool
	Bare  bool // initials only; the name is on hover and for screen readers
}

// Render writes the person.
func (p Person) Render(ctx context.Context, w io.Writer) error { return person(p).Render(ctx, w) }
