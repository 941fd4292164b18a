// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
)

func reconcileCommand() *cobra.Command {
	var from, to string
	var systems []string
	cmd := &cobra.Command{
		Use:   "reconcile SERVICE --from DAY --to DAY",
		Short: "Compare what systems hold over a span of days",
		Long: `Compare what systems hold over a span of days, as bookkeepers do: what matches, what one has and another has not, and where
amounts differ by more than the document's tolerance. The last day is included. Exits with 1 when something does not add up.`,
		Example: `  syncline reconcile financial-sync --from 2024-10-01 --to 2024-10-31
  syncline reconcile financial-sync --from 2024-10-01 --to 2024-10-31 --systems quickbooks,stripe`,
		Args: oneService,
		RunE: func(cmd *cobra.Command, args []string) error {
			if from == "" || to == "" {
				return usageError{fmt.Errorf("name the first day with --from and the last with --to")}
			}
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			req := client.ReconciliationRequest{StartDate: from, EndDate: to}
			if len(systems) > 0 {
				req.Systems = &systems
			}
			return s.reconcile(cmd.Context(), args[0], req)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "the first day, such as 2024-10-01")
	cmd.Flags().StringVar(&to, "to", "", "the last day, which is included")
	cmd.Flags().StringSliceVar(&systems, "systems", nil, "at least two; those of the document when absent")
	return cmd
}

func (s *session) reconcile(ctx context.Context, service string, req client.ReconciliationRequest) error {
	key := uuid.NewString()
	res, err := s.api.ReconcileWithResponse(ctx, service, &client.ReconcileParams{IdempotencyKey: &key}, req)
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	r := res.JSON200
	for r.State == "queued" { // a worker does it
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookAgain):
		}
		next, err := s.api.GetReconciliationWithResponse(ctx, r.ID)
		if err != nil {
			return answered(nil, nil, err)
		}
		if err := answered(next.HTTPResponse, next.Body, nil); err != nil {
			return err
		}
		r = next.JSON200
	}
	if s.json {
		err = s.printJSON(r)
	} else {
		err = s.showReconciliation(r)
	}
	if err == nil && r.UnmatchedCount+r.DiscrepancyCount > 0 {
		return exitWith(exitFailed)
	}
	return err
}

func (s *session) showReconciliation(r *client.Reconciliation) error {
	if err := s.print("%d matched, %d unmatched, %d discrepancies\n", r.Matched, r.UnmatchedCount, r.DiscrepancyCount); err != nil {
		return err
	}
	if len(r.Unmatched)+len(r.Discrepancies) == 0 {
		return nil
	}
	return s.table(func(row func(...any)) {
		row("ID", "RECORD", "FINDING", "WHO HOLDS WHAT")
		for _, list := range [][]client.Discrepancy{r.Discrepancies, r.Unmatched} {
			for _, d := range list {
				what := "missing in " + strings.Join(d.MissingIn, ", ")
				if d.Field != "" {
					what = d.Field + " differs"
				}
				if d.Difference != nil {
					what += " by " + d.Difference.String()
				}
				var sides []string
				for _, one := range d.Sides {
					text := one.System + " " + one.Key
					if one.Value != nil {
						text += fmt.Sprint(" ", one.Value)
					}
					sides = append(sides, text)
				}
				row(d.ID, d.Title, what, strings.Join(sides, ", "))
			}
		}
	})
}
