// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"sort"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
)

func duplicatesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "duplicates",
		Short: "Records that are one thing: list, merge, tell apart",
		Long:  `Pairs of records of a service that are, or may be, one thing: list them, merge them, say that they are two, take a merge back.`,
		Example: `  syncline duplicates list crm-contact-sync
  syncline duplicates merge crm-contact-sync dup_069w3jzff1r00010400000000g --survivor rec_069w3jzff1r00010400000000g
  syncline duplicates dismiss crm-contact-sync dup_069w3jzff1r00010400000000g --reason "her sister"
  syncline duplicates undo crm-contact-sync dup_069w3jzff1r00010400000000g
  syncline duplicates find crm-contact-sync`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(duplicatesListCommand(), duplicatesFindCommand(), duplicatesMergeCommand(), duplicatesDismissCommand(), duplicatesUndoCommand())
	return cmd
}

func duplicatesListCommand() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use: "list SERVICE", Short: "List pairs, those that wait unless another state is asked for", Args: oneService,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			wanted := client.DuplicateState(state)
			res, err := s.api.ListDuplicatesWithResponse(cmd.Context(), args[0], &client.ListDuplicatesParams{FilterState: &wanted})
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			if s.json {
				return s.printJSON(res.JSON200)
			}
			if len(res.JSON200.Data) == 0 {
				return s.print("No pair is %s.\n", state)
			}
			return s.table(func(row func(...any)) {
				row("ID", "ALIKE", "RECORDS", "IN WHAT")
				for _, p := range res.JSON200.Data {
					var in, records []string
					for _, f := range p.Fields {
						in = append(in, fmt.Sprintf("%s %.2f", f.Field, f.Likeness))
					}
					for _, r := range p.Records {
						var systems []string
						for system, key := range r.Systems {
							systems = append(systems, system+" "+key)
						}
						sort.Strings(systems)
						records = append(records, r.Record+" ("+strings.Join(systems, ", ")+")")
					}
					row(p.ID, fmt.Sprintf("%.2f", p.Score), strings.Join(records, " = "), strings.Join(in, ", "))
				}
			})
		},
	}
	cmd.Flags().StringVar(&state, "state", "open", "open, later, merged, dismissed or gone")
	return cmd
}

func duplicatesFindCommand() *cobra.Command {
	return &cobra.Command{
		Use: "find SERVICE", Short: "Have all records compared anew, in the background", Args: oneService,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			key := uuid.NewString()
			res, err := s.api.FindDuplicatesWithResponse(cmd.Context(), args[0], &client.FindDuplicatesParams{IdempotencyKey: &key})
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			if s.json {
				return s.printJSON(res.JSON200)
			}
			return s.print("The records of %d collections are compared anew.\n", len(res.JSON200.Data))
		},
	}
}

// pairArgs are a service and a pair.
func pairArgs(_ *cobra.Command, args []string) error {
	if len(args) != 2 {
		return usageError{fmt.Errorf("name the service and the pair")}
	}
	return nil
}

func (s *session) showPair(p *client.Duplicate, err error) error {
	switch {
	case err != nil:
		return err
	case s.json:
		return s.printJSON(p)
	}
	return s.print("%s is %s.\n", p.ID, p.State)
}

func duplicatesMergeCommand() *cobra.Command {
	var survivor, strategy, losers, reason string
	cmd := &cobra.Command{
		Use: "merge SERVICE PAIR", Short: "Make one record of the two", Args: pairArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			req := client.DuplicateMerge{Reason: &reason}
			if survivor != "" {
				req.Survivor = &survivor
			}
			if strategy != "" {
				wanted := client.DuplicateMergeStrategy(strategy)
				req.Strategy = &wanted
			}
			if losers != "" {
				wanted := client.DuplicateMergeLosers(losers)
				req.Losers = &wanted
			}
			key := uuid.NewString()
			res, err := s.api.MergeDuplicateWithResponse(cmd.Context(), args[0], args[1], &client.MergeDuplicateParams{IdempotencyKey: &key}, req)
			if err != nil {
				return answered(nil, nil, err)
			}
			return s.showPair(res.JSON200, answered(res.HTTPResponse, res.Body, nil))
		},
	}
	cmd.Flags().StringVar(&survivor, "survivor", "", "the record that stays; the document's strategy chooses when absent")
	cmd.Flags().StringVar(&strategy, "strategy", "", "another strategy than the document's, such as most-recent")
	cmd.Flags().StringVar(&losers, "losers", "", "what becomes of a second record in one system: keep, archive or delete; as the document says when absent")
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept")
	return cmd
}

func duplicatesDismissCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "dismiss SERVICE PAIR", Short: "Say that they are two things; it is remembered", Args: pairArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			key := uuid.NewString()
			res, err := s.api.DismissDuplicateWithResponse(cmd.Context(), args[0], args[1], &client.DismissDuplicateParams{IdempotencyKey: &key}, client.DuplicateReason{Reason: &reason})
			if err != nil {
				return answered(nil, nil, err)
			}
			return s.showPair(res.JSON200, answered(res.HTTPResponse, res.Body, nil))
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept")
	return cmd
}

func duplicatesUndoCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "undo SERVICE PAIR", Short: "Take a merge back; later edits stay", Args: pairArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			key := uuid.NewString()
			res, err := s.api.UndoDuplicateWithResponse(cmd.Context(), args[0], args[1], &client.UndoDuplicateParams{IdempotencyKey: &key}, client.DuplicateReason{Reason: &reason})
			if err != nil {
				return answered(nil, nil, err)
			}
			return s.showPair(res.JSON200, answered(res.HTTPResponse, res.Body, nil))
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept")
	return cmd
}
