// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
)

func estimateCommand() *cobra.Command {
	var records, changes int64
	cmd := &cobra.Command{
		Use:   "estimate FILE",
		Short: "Say what the service of a document would cost",
		Long: `Say what the service of a document would cost under the plan in force: what its beginning adds to this month, and what it adds to each
month from then on. No system is read; what is taken for known is listed, and other values are given by --records and --changes. For
figures from the systems themselves make a plan.`,
		Example: `  syncline estimate stock.yaml
  syncline estimate stock.yaml --records 250000 --changes 40000`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("estimate takes the path of one service document")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			docs, err := s.readDocuments(args)
			if err != nil {
				return err
			}
			params := &client.EstimateServiceParams{}
			if cmd.Flags().Changed("records") {
				params.Records = &records
			}
			if cmd.Flags().Changed("changes") {
				params.Changes = &changes
			}
			return s.estimate(cmd.Context(), docs[0], params)
		},
	}
	cmd.Flags().Int64Var(&records, "records", 0, "records in each collection")
	cmd.Flags().Int64Var(&changes, "changes", 0, "records that change in a month, in each collection")
	return cmd
}

func (s *session) estimate(ctx context.Context, f documentFile, params *client.EstimateServiceParams) error {
	res, err := s.api.EstimateServiceWithBodyWithResponse(ctx, params, f.mediaType(), bytes.NewReader(f.source))
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	e := res.JSON200
	if s.json {
		return s.printJSON(e)
	}
	err = s.table(func(row func(...any)) {
		part := func(title string, c client.CostEstimate) {
			row(title, "", c.Cost+" "+strings.ToUpper(c.Currency))
			for _, l := range c.Added {
				more := ""
				if l.More != 0 && l.Unit != "" {
					more = fmt.Sprintf("%+d %s", l.More, l.Unit)
				}
				row("  "+l.Title, more, l.Cost)
			}
		}
		part(e.Service+", to begin with", e.First)
		part("a month from then on", e.Monthly)
	})
	if err != nil {
		return err
	}
	s.say("Estimated under %s:", e.PlanTitle)
	for _, a := range e.Assumptions {
		text := "  " + a.Text + " (" + string(a.Source) + ")"
		if flag, err := a.Parameter.Get(); err == nil {
			text += " Other: --" + flag
		}
		s.say("%s", text)
	}
	for _, l := range e.Lacking {
		s.say("  The plan lacks %s: the service %s. It is counted in the month.", l.Feature, l.Why)
	}
	return nil
}
