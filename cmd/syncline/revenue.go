// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/shopspring/decimal"
	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// revenueCommand is for whoever runs the installation: it sees sums over all tenants, and so needs the database and no login.
func revenueCommand() *cobra.Command {
	var months int
	var asJSON, byPlan, asCSV bool
	cmd := &cobra.Command{
		Use:     "revenue",
		Short:   "Sum up all tenants' invoices by month and state",
		Long:    "Sum up all tenants' invoices by month and state, from the database that DATABASE_URL names. It names no tenant.",
		Example: "  syncline revenue --months 12\n  syncline revenue --plans\n  syncline revenue --csv\n  syncline revenue --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := readConfig()
			if err != nil {
				return err
			}
			if err := c.needDatabase(); err != nil {
				return err
			}
			if months < 1 || months > 120 {
				return usageError{fmt.Errorf("--months is 1 to 120, not %d", months)}
			}
			db, err := store.Open(cmd.Context(), c.DatabaseURL, store.Options{MaxConns: 2})
			if err != nil {
				return err
			}
			defer db.Close()
			if byPlan || asCSV {
				m := plans.NewManager(store.InTx(db, func(tx *store.Tx) plans.Tx { return tx }), store.InOperated(db, func(tx *store.OperatorTx) plans.OperatorTx { return tx }))
				r, err := m.Revenue(cmd.Context(), auth.Operator(tenant.ID{}, byLogin("")), months)
				if err != nil {
					return err
				}
				if asCSV {
					return r.CSV(cmd.OutOrStdout())
				}
				return bookTable(cmd.OutOrStdout(), r.ByPlan)
			}
			since := billing.PeriodOf(time.Now(), time.UTC).Plus(1 - months)
			list, err := db.Operator().Revenue(cmd.Context(), since)
			if err != nil {
				return err
			}
			if asJSON {
				return revenueJSON(cmd.OutOrStdout(), list)
			}
			return revenueTable(cmd.OutOrStdout(), list)
		},
	}
	cmd.Flags().IntVar(&months, "months", 12, "how many months, the present one included")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	cmd.Flags().BoolVar(&byPlan, "plans", false, "by month and plan: recurring revenue, invoiced, collected, outstanding, credited")
	cmd.Flags().BoolVar(&asCSV, "csv", false, "the same as CSV")
	return cmd
}

func bookTable(w io.Writer, list []plans.Book) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MONTH\tPLAN\tAGREEMENTS\tRECURRING\tINVOICED\tCOLLECTED\tOUTSTANDING\tCREDITED\tREFUNDED")
	for _, b := range list {
		amount := func(d decimal.Decimal) billing.Money { return billing.Money{Amount: d, Currency: b.Currency} }
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", b.Month, b.Plan, b.Agreements, amount(b.Recurring), amount(b.Invoiced), amount(b.Collected), amount(b.Outstanding), amount(b.Credited), amount(b.Refunded))
	}
	return t.Flush()
}

func revenueTable(w io.Writer, list []store.Revenue) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "No invoices yet.")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MONTH\tSTATE\tINVOICES\tTENANTS\tTOTAL\tCREDITED")
	for _, r := range list {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\n", r.Month, r.State, r.Invoices, r.Tenants, r.Total, r.Credited)
	}
	return t.Flush()
}

func revenueJSON(w io.Writer, list []store.Revenue) error {
	type line struct {
		Month    string `json:"month"`
		State    string `json:"state"`
		Invoices int64  `json:"invoices"`
		Tenants  int64  `json:"tenants"`
		Total    string `json:"total"`
		Credited string `json:"credited"`
		Currency string `json:"currency"`
	}
	lines := make([]line, len(list))
	for i, r := range list {
		lines[i] = line{r.Month.String(), string(r.State), r.Invoices, r.Tenants, r.Total.Fixed(), r.Credited.Fixed(), string(r.Total.Currency)}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(lines)
}
