// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
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
  syncline duplicates group crm-contact-sync dup_069w3jzff1r00010400000000g
  syncline duplicates merge crm-contact-sync dup_069w3jzff1r00010400000000g --group --strategy most-recent
  syncline duplicates dismiss crm-contact-sync dup_069w3jzff1r00010400000000g --reason "her sister"
  syncline duplicates undo crm-contact-sync dup_069w3jzff1r00010400000000g
  syncline duplicates find crm-contact-sync`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(duplicatesListCommand(), duplicatesFindCommand(), duplicatesGroupCommand(), duplicatesMergeCommand(), duplicatesDismissCommand(), duplicatesLaterCommand(), duplicatesUndoCommand())
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
						records = append(records, r.Record+" ("+keysOf(r)+")")
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

func (s *session) showPair(res *http.Response, body []byte, p *client.Duplicate) error {
	if err := answered(res, body, nil); err != nil {
		return err
	}
	s.sayToken(res)
	if s.json {
		return s.printJSON(p)
	}
	return s.print("%s is %s.\n", p.ID, p.State)
}

// mergeFlags are how a merge is wished for.
type mergeFlags struct {
	survivor, strategy, losers, reason string
	records                            []string
}

func (f *mergeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.survivor, "survivor", "", "the record that stays; the document's strategy chooses when absent")
	cmd.Flags().StringVar(&f.strategy, "strategy", "", "another strategy than the document's, such as most-recent")
	cmd.Flags().StringVar(&f.losers, "losers", "", "what becomes of a second record in one system: keep, archive or delete; as the document says when absent")
	cmd.Flags().StringSliceVar(&f.records, "records", nil, "those of the group that are one; all when absent")
}

func (f *mergeFlags) group() client.DuplicateGroupMerge {
	req := client.DuplicateGroupMerge{Survivor: given(f.survivor), Strategy: given(client.DuplicateGroupMergeStrategy(f.strategy)), Losers: given(client.DuplicateGroupMergeLosers(f.losers)), Reason: given(f.reason)}
	if len(f.records) > 0 {
		req.Records = &f.records
	}
	return req
}

func duplicatesGroupCommand() *cobra.Command {
	var f mergeFlags
	cmd := &cobra.Command{
		Use: "group SERVICE PAIR", Short: "Show all records that may be one with the pair's, and what a merge would make of them", Args: pairArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			g, err := s.previewGroup(cmd.Context(), args[0], args[1], f.group())
			switch {
			case err != nil:
				return err
			case s.json:
				return s.printJSON(g)
			}
			return s.showGroup(g)
		},
	}
	f.add(cmd)
	return cmd
}

func (s *session) previewGroup(ctx context.Context, service, pair string, req client.DuplicateGroupMerge) (*client.DuplicateGroup, error) {
	key := uuid.NewString()
	res, err := s.api.PreviewDuplicateGroupWithResponse(ctx, service, pair, &client.PreviewDuplicateGroupParams{IdempotencyKey: &key}, req)
	if err != nil {
		return nil, answered(nil, nil, err)
	}
	return res.JSON200, answered(res.HTTPResponse, res.Body, nil)
}

// keysOf says in which systems the record is, and as what: "crm 1, shop 77".
func keysOf(r client.DuplicateRecord) string {
	var list []string
	for _, system := range slices.Sorted(maps.Keys(r.Systems)) {
		list = append(list, system+" "+r.Systems[system])
	}
	return strings.Join(list, ", ")
}

func (s *session) showGroup(g *client.DuplicateGroup) error {
	p, err := g.Preview.Get()
	if err != nil { // none: it waits for no decision
		return s.print("%s: %d records are %s.\n", g.Duplicate, len(g.Records), g.State)
	}
	names := make(map[string]bool)
	for _, r := range g.Records {
		for f := range r.Fields {
			names[f] = true
		}
	}
	fields := slices.Sorted(maps.Keys(names))
	cells := func(head, note string, values client.Fields) []any {
		list := []any{head, note}
		for _, f := range fields {
			list = append(list, plain(values[f]))
		}
		return list
	}
	return s.table(func(row func(...any)) {
		head := []any{"RECORD", "IN"}
		for _, f := range fields {
			head = append(head, strings.ToUpper(f))
		}
		row(head...)
		for _, r := range g.Records {
			row(cells(r.Record, keysOf(r), r.Fields)...)
		}
		row(cells("merged", p.Survivor+" stays", p.Fields)...)
	})
}

func duplicatesMergeCommand() *cobra.Command {
	var f mergeFlags
	var group, yes bool
	cmd := &cobra.Command{
		Use: "merge SERVICE PAIR", Short: "Make one record of the two, or of the whole group", Args: pairArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			key := uuid.NewString()
			if group || len(f.records) > 0 {
				return s.mergeGroup(cmd.Context(), args[0], args[1], f.group(), yes)
			}
			req := client.DuplicateMerge{Survivor: given(f.survivor), Strategy: given(client.DuplicateMergeStrategy(f.strategy)), Losers: given(client.DuplicateMergeLosers(f.losers)), Reason: given(f.reason)}
			res, err := s.api.MergeDuplicateWithResponse(cmd.Context(), args[0], args[1], &client.MergeDuplicateParams{IdempotencyKey: &key}, req)
			if err != nil {
				return answered(nil, nil, err)
			}
			return s.showPair(res.HTTPResponse, res.Body, res.JSON200)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.reason, "reason", "", "why; it is kept")
	cmd.Flags().BoolVar(&group, "group", false, "merge all records that may be one with the pair's, in one act")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// mergeGroup shows what the merge would make of the group, asks, and merges what was shown.
func (s *session) mergeGroup(ctx context.Context, service, pair string, req client.DuplicateGroupMerge, yes bool) error {
	g, err := s.previewGroup(ctx, service, pair, req)
	if err != nil {
		return err
	}
	if !s.json {
		if err := s.showGroup(g); err != nil {
			return err
		}
	}
	if s.live && !yes && !s.ask(ctx, "Merge? [y/N] ") {
		s.say("Nothing was merged.")
		return exitWith(exitFailed)
	}
	key := uuid.NewString()
	req.Stamp = &g.Stamp
	res, err := s.api.MergeDuplicateGroupWithResponse(ctx, service, pair, &client.MergeDuplicateGroupParams{IdempotencyKey: &key}, req)
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	s.sayToken(res.HTTPResponse)
	if s.json {
		return s.printJSON(res.JSON200)
	}
	return s.print("%d records are one: %s. `syncline duplicates undo %s %s` takes it back.\n", len(res.JSON200.Records), res.JSON200.Survivor.MustGet(), service, res.JSON200.Duplicate)
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
			return s.showPair(res.HTTPResponse, res.Body, res.JSON200)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept")
	return cmd
}

func duplicatesLaterCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "later SERVICE PAIR", Short: "Put a pair aside; it waits among those of state later", Args: pairArgs,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			key := uuid.NewString()
			res, err := s.api.PostponeDuplicateWithResponse(ctx, args[0], args[1], &client.PostponeDuplicateParams{IdempotencyKey: &key}, client.DuplicateReason{Reason: &reason})
			if err != nil {
				return answered(nil, nil, err)
			}
			return s.showPair(res.HTTPResponse, res.Body, res.JSON200)
		}),
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
			return s.showPair(res.HTTPResponse, res.Body, res.JSON200)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept")
	return cmd
}
