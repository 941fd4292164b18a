// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
)

// Form is how usage is written out.
type Form string

// The forms.
const (
	CSV   Form = "csv"   // a row for each counted fact
	JSONL Form = "jsonl" // the same, an object for each line
	FOCUS Form = "focus" // costs, with the columns of the FinOps Open Cost and Usage Specification; see focus.go
)

// Counted is one fact of the ledger with the name of its service.
type Counted struct {
	billing.UsageEvent
	ServiceName string
}

// exportPage is how many facts are read at once; the whole ledger is never in memory.
const exportPage = 5_000

// Export writes the usage of a month to w, a part at a time. The zero month is the present one. Nothing is written when it
// fails before the first row.
func (m *Manager) Export(ctx context.Context, who auth.Principal, month billing.Month, form Form, w io.Writer) error {
	need := auth.ViewUsage
	if form == FOCUS {
		need = auth.ViewInvoices
	}
	if err := who.May(need); err != nil {
		return err
	}
	var p billing.Period
	var costs []focusDocument
	var name string
	err := m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		if p, err = periodNow(ctx, tx); err != nil {
			return err
		}
		if !month.IsZero() {
			if asked := month.In(p.Zone); asked.Start().After(p.Start()) {
				return fault.New(fault.Invalid, "invoicing.period_future", "The period %s has not begun; ask for %s or an earlier one.", month, p.Month)
			}
			p = month.In(p.Zone)
		}
		if form != FOCUS {
			return nil
		}
		list, err := tx.Subscriptions(ctx)
		if err != nil {
			return err
		}
		if name, err = tx.TenantName(ctx); err != nil {
			return err
		}
		issued, credits, err := tx.IssuedInvoice(ctx, p.Month)
		if err != nil {
			return err
		}
		if issued != nil { // what was billed, with what was adjusted, late or paid from credit
			costs = append(costs, focusDocument{number: issued.Name(), lines: issued.Lines})
			for _, c := range credits {
				costs = append(costs, credited(c))
			}
			return nil
		}
		rated, err := rate(ctx, tx, p, list)
		costs = []focusDocument{{lines: rated.Lines}}
		return err
	})
	if err != nil {
		return err
	}
	if form == FOCUS {
		return focus(w, who, name, p, costs)
	}
	write, flush := rows(form, w)
	for _, meter := range billing.Meters {
		after := Counted{}
		for {
			var page []Counted
			err := m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
				page, err = tx.UsageEvents(ctx, meter, p.Start(), p.End(), after.At, after.Key, exportPage)
				return err
			})
			if err != nil {
				return err
			}
			for _, c := range page {
				if err := write(c); err != nil {
					return err
				}
			}
			if len(page) < exportPage {
				break
			}
			after = page[len(page)-1]
		}
	}
	return flush()
}

var usageColumns = []string{"at", "meter", "quantity", "service", "serviceName", "system", "object", "dataClass", "realtime", "complex", "premium", "key"}

func rows(form Form, w io.Writer) (write func(Counted) error, flush func() error) {
	if form == JSONL {
		e := json.NewEncoder(w)
		return func(c Counted) error {
			return e.Encode(map[string]any{
				"at": c.At.UTC().Format(time.RFC3339Nano), "meter": c.Meter, "quantity": c.Quantity, "service": public(c.Service), "serviceName": c.ServiceName,
				"system": c.System, "object": c.Object, "dataClass": c.DataClass, "realtime": c.Realtime, "complex": c.Complex, "premium": c.Premium, "key": c.Key,
			})
		}, func() error { return nil }
	}
	out := csv.NewWriter(w)
	headed := false
	head := func() error {
		if headed {
			return nil
		}
		headed = true
		return out.Write(usageColumns)
	}
	return func(c Counted) error {
			if err := head(); err != nil {
				return err
			}
			return out.Write([]string{
				c.At.UTC().Format(time.RFC3339Nano), string(c.Meter), strconv.FormatInt(c.Quantity, 10), public(c.Service), cell(c.ServiceName), cell(string(c.System)), cell(string(c.Object)),
				cell(c.DataClass), strconv.FormatBool(c.Realtime), strconv.FormatBool(c.Complex), strconv.FormatBool(c.Premium), c.Key,
			})
		}, func() error {
			if err := head(); err != nil {
				return err
			}
			out.Flush()
			return out.Error()
		}
}

func public(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return ident.Format(ident.Service, id)
}

// cell keeps a spreadsheet from taking text for a formula.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
