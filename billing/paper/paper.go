// SPDX-License-Identifier: Apache-2.0

// Package paper writes invoices as documents that people keep: PDF and CSV.
package paper

import (
	"bytes"
	"encoding/csv"
	"strconv"
	"strings"
	"time"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"

	"github.com/syncline-dev/syncline/billing"
)

// Document is an invoice with what stands around it.
type Document struct {
	Issuer   string // who sends it: name and address, several lines
	Customer string // who gets it
	Invoice  billing.Invoice
	Credits  []billing.CreditNote // issued ones
}

// FileName is how the document is called when it is saved, without ending.
func (d Document) FileName() string {
	return strings.ToLower(strings.ReplaceAll(d.Invoice.Name(), " ", "-"))
}

// CSV writes one row per line of the invoice. Text that a spreadsheet would take for a formula gets an apostrophe before it.
func CSV(d Document) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	rows := [][]string{{"invoice", "period", "position", "kind", "title", "meter", "quantity", "amount", "currency"}}
	for _, l := range d.Invoice.Lines {
		of := l.Of
		if of.IsZero() {
			of = d.Invoice.Period.Month
		}
		rows = append(rows, []string{
			d.Invoice.Name(), of.String(), strconv.Itoa(l.Position), string(l.Kind), tame(l.Title), string(l.Meter),
			strconv.FormatInt(l.Quantity, 10), l.Amount.Fixed(), string(l.Amount.Currency),
		})
	}
	if err := w.WriteAll(rows); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func tame(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// The page, in millimetres.
const (
	left, right, top = 18.0, 18.0, 18.0
	width            = 210 - left - right
	foot             = 18.0
)

// PDF writes the invoice on A4. The same invoice gives the same bytes.
func PDF(d Document) ([]byte, error) {
	p := fpdf.New("P", "mm", "A4", "")
	p.AddUTF8FontFromBytes("go", "", goregular.TTF)
	p.AddUTF8FontFromBytes("go", "B", gobold.TTF)
	p.SetCatalogSort(true)
	at := d.Invoice.ComputedAt
	if !d.Invoice.FinalizedAt.IsZero() {
		at = d.Invoice.FinalizedAt
	}
	p.SetCreationDate(at.UTC())
	p.SetModificationDate(at.UTC())
	p.SetTitle(d.Invoice.Name(), true)
	p.SetProducer("Syncline", true)
	p.SetMargins(left, top, right)
	p.SetAutoPageBreak(true, foot+4)
	p.AliasNbPages("")
	p.SetFooterFunc(func() {
		p.SetY(-foot)
		p.SetFont("go", "", 8)
		p.SetTextColor(110, 110, 110)
		p.CellFormat(width/2, 5, printable(d.Invoice.Name()), "", 0, "L", false, 0, "")
		p.CellFormat(width/2, 5, "Page "+strconv.Itoa(p.PageNo())+" of {nb}", "", 0, "R", false, 0, "")
	})
	p.AddPage()
	s := sheet{p}
	s.head(d)
	s.lines(d.Invoice)
	s.sums(d)
	s.why(d.Invoice)
	var b bytes.Buffer
	if err := p.Output(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

type sheet struct{ *fpdf.Fpdf }

func (s sheet) text(style string, size float64, grey int) {
	s.SetFont("go", style, size)
	s.SetTextColor(grey, grey, grey)
}

func (s sheet) head(d Document) {
	v := d.Invoice
	s.text("B", 20, 20)
	s.CellFormat(width/2, 10, "Invoice", "", 0, "L", false, 0, "")
	s.text("B", 12, 20)
	s.CellFormat(width/2, 10, printable(v.Name()), "", 1, "R", false, 0, "")
	if word := mark(v.State); word != "" {
		s.text("B", 10, 90)
		s.CellFormat(width, 6, word, "", 1, "R", false, 0, "")
	}
	s.Ln(4)
	y := s.GetY()
	column := func(x float64, title, body string) float64 {
		s.SetXY(x, y)
		s.text("", 8, 110)
		s.CellFormat(width/3, 4, title, "", 2, "L", false, 0, "")
		s.text("", 10, 20)
		s.MultiCell(width/3-4, 5, printable(body), "", "L", false)
		return s.GetY()
	}
	lowest := column(left, "From", d.Issuer)
	lowest = max(lowest, column(left+width/3, "To", d.Customer))
	dates := "Month " + v.Period.Month.String() + "\n" + day(v.Period.Start(), v.Period) + " to " + day(v.Period.End().Add(-time.Nanosecond), v.Period) + "\n" + v.Period.Zone.String()
	if !v.FinalizedAt.IsZero() {
		dates += "\nIssued " + day(v.FinalizedAt, v.Period)
	}
	lowest = max(lowest, column(left+2*width/3, "Period", dates))
	s.SetXY(left, lowest+6)
}

func day(t time.Time, p billing.Period) string { return t.In(p.Zone).Format("2 January 2006") }

// mark is what is written across an invoice that is not to be paid.
func mark(s billing.InvoiceState) string {
	switch s {
	case billing.Draft:
		return "DRAFT, not an invoice yet"
	case billing.Void:
		return "VOID"
	case billing.Paid:
		return "PAID"
	}
	return ""
}

const (
	quantityWidth = 34.0
	amountWidth   = 34.0
)

func (s sheet) lines(v billing.Invoice) {
	s.text("B", 9, 20)
	s.SetDrawColor(200, 200, 200)
	s.CellFormat(width-quantityWidth-amountWidth, 7, "Position", "B", 0, "L", false, 0, "")
	s.CellFormat(quantityWidth, 7, "Quantity", "B", 0, "R", false, 0, "")
	s.CellFormat(amountWidth, 7, "Amount", "B", 1, "R", false, 0, "")
	s.text("", 9, 20)
	for _, l := range v.Lines {
		if !l.Charged && l.Quantity == 0 {
			continue
		}
		quantity := ""
		if l.Kind != billing.AdjustmentLine {
			quantity = billing.Count(l.Quantity)
		}
		amount := l.Amount.String()
		if !l.Charged {
			amount = "included"
		}
		if s.GetY()+7 > 297-foot-6 {
			s.AddPage()
		}
		y := s.GetY()
		s.MultiCell(width-quantityWidth-amountWidth-2, 6, printable(l.Title), "", "L", false)
		end := s.GetY()
		s.SetXY(left+width-quantityWidth-amountWidth, y)
		s.CellFormat(quantityWidth, 6, quantity, "", 0, "R", false, 0, "")
		s.CellFormat(amountWidth, 6, printable(amount), "", 0, "R", false, 0, "")
		s.SetXY(left, end)
	}
}

func (s sheet) sums(d Document) {
	v := d.Invoice
	s.Ln(2)
	row := func(style, name, amount string) {
		s.text(style, 10, 20)
		s.CellFormat(width-amountWidth, 7, printable(name), "T", 0, "R", false, 0, "")
		s.CellFormat(amountWidth, 7, printable(amount), "T", 1, "R", false, 0, "")
	}
	row("B", "Total", v.Total.String())
	for _, c := range d.Credits {
		row("", "Credit note "+c.Name(), billing.Money{Amount: c.Amount.Amount.Neg(), Currency: c.Amount.Currency}.String())
	}
	if v.State == billing.Open || v.State == billing.Uncollectible {
		row("B", "To be paid", v.Due().String())
	}
	if v.Settlement != "" {
		s.text("", 9, 90)
		s.MultiCell(width, 5, printable(v.Settlement), "", "L", false)
	}
}

// why explains each amount.
func (s sheet) why(v billing.Invoice) {
	s.Ln(6)
	s.text("B", 11, 20)
	s.CellFormat(width, 7, "How each amount came about", "", 1, "L", false, 0, "")
	for _, l := range v.Lines {
		if !l.Charged || l.Quantity == 0 && l.Amount.Amount.IsZero() {
			continue
		}
		s.text("B", 9, 20)
		s.MultiCell(width, 5, printable(l.Title+": "+l.Amount.String()), "", "L", false)
		s.text("", 8.5, 70)
		for _, step := range l.Explanation {
			s.SetX(left + 4)
			s.MultiCell(width-4, 4.5, printable(step.Text), "", "L", false)
			s.SetX(left)
		}
		s.Ln(1.5)
	}
}

// printable leaves out what the font's file cannot address: control characters, and what lies beyond the basic plane.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r < 0x20 || r == 0x7f:
			return ' '
		case r > 0xffff:
			return '\ufffd'
		}
		return r
	}, s)
}
