// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
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
			for i := range list {
				what, sides := findingText(&list[i])
				row(list[i].ID, list[i].Title, what, sides)
			}
		}
	})
}

// findingText is what a reconciliation found, and who holds what.
func findingText(d *client.Discrepancy) (what, holds string) {
	what = "missing in " + strings.Join(d.MissingIn, ", ")
	if d.Field != "" {
		what = d.Field + " differs"
	}
	if d.Difference != nil {
		what += " by " + d.Difference.String()
	}
	sides := make([]string, len(d.Sides))
	for i, one := range d.Sides {
		sides[i] = one.System + " " + one.Key
		if one.Value != nil {
			sides[i] += fmt.Sprint(" ", one.Value)
		}
	}
	return what, strings.Join(sides, ", ")
}

func discrepanciesCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "discrepancies [SERVICE]", Short: "What reconciliations found and nobody has decided yet",
		Long: `What reconciliations found. Without a verb it lists those that wait, of one service or of all, and exits with 1 when there are any.`,
		Example: `  syncline discrepancies financial-sync
  syncline discrepancies resolve dsc_069w3jzff1r00010400000000g --as rounding-difference --adjustment -0.01
  syncline discrepancies flag dsc_069w3jzff1r00010400000000g --reason amount-mismatch --assign-to accounting-team`,
		Args: atMostOne,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			return s.discrepancies(ctx, firstOf(args), all)
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "those that were decided, too")
	cmd.AddCommand(discrepancyResolveCommand(), discrepancyFlagCommand())
	return cmd
}

func (s *session) discrepancies(ctx context.Context, service string, all bool) error {
	params := &client.ListDiscrepanciesParams{FilterService: given(service)}
	list, err := every(func(cursor *string) (data []client.Discrepancy, next maybe, err error) {
		params.Cursor = cursor
		res, err := s.api.ListDiscrepanciesWithResponse(ctx, params)
		if err != nil {
			return nil, next, answered(nil, nil, err)
		}
		if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
			return nil, next, err
		}
		return res.JSON200.Data, res.JSON200.NextCursor, nil
	})
	if err != nil {
		return err
	}
	waits := func(d *client.Discrepancy) bool { return d.State != client.DiscrepancyStateResolved }
	if !all {
		list = slices.DeleteFunc(list, func(d client.Discrepancy) bool { return !waits(&d) })
	}
	in := inbox[client.Discrepancy]{
		none: "No discrepancy.", how: "syncline discrepancies resolve DISCREPANCY --as WHAT",
		head: []any{"DISCREPANCY", "RECORD", "STATE", "FINDING", "WHO HOLDS WHAT", "FOR"},
		row: func(d *client.Discrepancy) []any {
			what, sides := findingText(d)
			return []any{d.ID, d.Title, d.State, what, sides, d.AssignedTo}
		},
		waits: waits,
	}
	return in.show(s, list)
}

func discrepancyResolveCommand() *cobra.Command {
	var what, adjustment string
	cmd := &cobra.Command{
		Use: "resolve DISCREPANCY --as WHAT", Short: "Say what a discrepancy was, and what was booked for it", Args: exactly("the id of a discrepancy"),
		Example: `  syncline discrepancies resolve dsc_069w3jzff1r00010400000000g --as rounding-difference --adjustment -0.01`,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			key := uuid.NewString()
			body := client.DiscrepancyResolution{Resolution: what, Adjustment: given(json.Number(adjustment))}
			res, err := s.api.ResolveDiscrepancyWithResponse(ctx, args[0], &client.ResolveDiscrepancyParams{IdempotencyKey: &key}, body)
			if err != nil {
				return answered(nil, nil, err)
			}
			return s.showDiscrepancy(res.JSON200, answered(res.HTTPResponse, res.Body, nil))
		}),
	}
	cmd.Flags().StringVar(&what, "as", "", "what it was, such as rounding-difference")
	cmd.Flags().StringVar(&adjustment, "adjustment", "", "what was booked for it, a number")
	return cmd
}

func discrepancyFlagCommand() *cobra.Command {
	var reason, assignee string
	cmd := &cobra.Command{
		Use: "flag DISCREPANCY --reason WHY", Short: "Have somebody look at a discrepancy", Args: exactly("the id of a discrepancy"),
		Example: `  syncline discrepancies flag dsc_069w3jzff1r00010400000000g --reason amount-mismatch --assign-to accounting-team`,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			key := uuid.NewString()
			body := client.DiscrepancyFlag{Reason: reason, AssignTo: given(assignee)}
			res, err := s.api.FlagForReviewWithResponse(ctx, args[0], &client.FlagForReviewParams{IdempotencyKey: &key}, body)
			if err != nil {
				return answered(nil, nil, err)
			}
			return s.showDiscrepancy(res.JSON200, answered(res.HTTPResponse, res.Body, nil))
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why")
	cmd.Flags().StringVar(&assignee, "assign-to", "", "who shall")
	return cmd
}

func (s *session) showDiscrepancy(d *client.Discrepancy, err error) error {
	switch {
	case err != nil:
		return err
	case s.json:
		return s.printJSON(d)
	}
	what, _ := findingText(d)
	s.say("%s, %s: %s.", d.Title, what, d.State)
	return nil
}
