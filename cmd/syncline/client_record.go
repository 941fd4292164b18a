// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
)

func recordCommand() *cobra.Command {
	var after string
	cmd := &cobra.Command{
		Use:   "record SERVICE RECORD",
		Short: "One record: its values, where it stands in each system, what it refers to and what refers to it",
		Long: `One record, named by its id or by its key in any system: its values, whether rules mark it as reconciled, where it stands in
each system and what it waits for there, what it refers to, and how many records refer to it.`,
		Example: `  syncline record stock SKU-1
  syncline record sales 5001 --json
  syncline record stock SKU-1 --after "$TOKEN"
  syncline record history stock SKU-1
  syncline record edit stock SKU-1 --system shop price=12.50`,
		Args: oneRecord,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			res, err := s.api.GetRecordWithResponse(cmd.Context(), args[0], args[1], &client.GetRecordParams{SynclineConsistencyToken: given(after)})
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			// By its id, so that both answers are about the same record.
			status, err := s.api.GetRecordStatusWithResponse(cmd.Context(), args[0], res.JSON200.ID, nil)
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(status.HTTPResponse, status.Body, nil); err != nil {
				return err
			}
			if s.json {
				return s.printJSON(map[string]any{"record": res.JSON200, "status": status.JSON200})
			}
			return s.showRecord(res.JSON200, *status.JSON200)
		},
	}
	cmd.Flags().StringVar(&after, "after", "", "a consistency token: answer when all systems have what it stands for")
	cmd.AddCommand(recordHistoryCommand(), recordEditCommand())
	return cmd
}

func recordsCommand() *cobra.Command {
	var search, collection, state string
	var deleted bool
	var limit int
	cmd := &cobra.Command{
		Use: "records SERVICE", Short: "The records of a service: search, and which are not equal everywhere",
		Long: "The records of a service, by collection and key. --state shows those that stand so in at least one system.",
		Example: `  syncline records stock
  syncline records stock --search desk
  syncline records stock --state conflict`,
		Args: oneService,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			params := &client.ListRecordsParams{Limit: atMost(limit), Search: given(search), FilterCollection: given(collection), FilterState: given(client.LinkState(state)), FilterDeleted: &deleted}
			res, err := s.api.ListRecordsWithResponse(ctx, args[0], params)
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
				s.say("No record.")
				return nil
			}
			err = s.table(func(row func(...any)) {
				row("RECORD", "COLLECTION", "KEY", "CHANGED", "SYSTEMS")
				for i := range res.JSON200.Data {
					r := &res.JSON200.Data[i]
					stands := make([]string, len(r.Systems))
					for i, l := range r.Systems {
						stands[i] = fmt.Sprintf("%s: %s", l.System, l.State)
					}
					row(r.ID, r.Collection, r.MatchKey, r.ChangedAt.Local().Format(time.DateTime), strings.Join(stands, ", "))
				}
			})
			if err == nil && res.JSON200.HasMore {
				s.say("There are more: --limit, or --search.")
			}
			return err
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&search, "search", "", "a part of any key, or of the text in any field")
	flags.StringVar(&collection, "collection", "", "only of this collection")
	flags.StringVar(&state, "state", "", "conflict, frozen, pending, rejected or synced: in at least one system")
	flags.BoolVar(&deleted, "deleted", false, "those that were deleted, too")
	flags.IntVar(&limit, "limit", 50, "how many at most")
	return cmd
}

func recordHistoryCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "history SERVICE RECORD", Short: "What happened to a record: from which system or person, and what went where",
		Example: `  syncline record history stock SKU-1`,
		Args:    oneRecord,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			res, err := s.api.ListRecordHistoryWithResponse(ctx, args[0], args[1], &client.ListRecordHistoryParams{Limit: atMost(limit)})
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			if s.json {
				return s.printJSON(res.JSON200)
			}
			err = s.table(func(row func(...any)) {
				row("AT", "WHAT", "SYSTEM", "BY", "CAUSE", "FIELDS")
				for _, e := range res.JSON200.Data {
					cause, _ := e.Cause.Get() // none
					row(e.At.Local().Format(time.DateTime), fmt.Sprintf("%s, %s", e.Kind, e.Op), e.System, e.Actor, cause, changedText(e))
				}
			})
			if err == nil && res.JSON200.HasMore {
				s.say("There is more: --limit.")
			}
			return err
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "how many entries at most, the newest first")
	return cmd
}

// changedText is what became of each field that an entry of the history is about.
func changedText(e client.HistoryEntry) string {
	before, _ := e.Before.Get() // null for a creation
	after, _ := e.After.Get()   // null for a deletion
	names := make(map[string]bool)
	for f := range before {
		names[f] = true
	}
	for f := range after {
		names[f] = true
	}
	var parts []string
	for _, f := range slices.Sorted(maps.Keys(names)) {
		text := f + ":"
		if v, ok := before[f]; ok {
			text += " " + short(v)
		}
		if v, ok := after[f]; ok {
			text += " -> " + short(v)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

func recordEditCommand() *cobra.Command {
	var system string
	var expect []string
	cmd := &cobra.Command{
		Use: "edit SERVICE RECORD FIELD=VALUE...", Short: "Change fields of a record in all systems that hold a copy",
		Long: `Change fields of a record in the system that is named and in all others that hold a copy. Fields have the record's own names; values are
JSON, or text; null empties a field. With --expect it is refused when a field has another value by now.`,
		Example: `  syncline record edit stock SKU-1 --system shop price=12.50
  syncline record edit stock SKU-1 --system shop quantity=12 --expect quantity=13`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 3 || system == "" {
				return usageError{fmt.Errorf("edit takes a service, one of its records, at least one FIELD=VALUE, and --system")}
			}
			return nil
		},
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			fields, err := assignments(args[2:])
			if err != nil {
				return err
			}
			patch := map[string]any{"fields": fields}
			if len(expect) > 0 {
				if patch["expect"], err = assignments(expect); err != nil {
					return err
				}
			}
			body, err := json.Marshal(patch)
			if err != nil {
				return err
			}
			key := uuid.NewString()
			res, err := s.api.ChangeRecordWithBodyWithResponse(ctx, args[0], system, args[1], &client.ChangeRecordParams{IdempotencyKey: &key}, "application/merge-patch+json", bytes.NewReader(body))
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			s.sayToken(res.HTTPResponse)
			record := res.JSON200
			if res.JSON202 != nil {
				s.say("It stands; not every system has it yet.")
				record = res.JSON202
			}
			if s.json {
				return s.printJSON(record)
			}
			s.say("%s (%s) is at version %d.", record.MatchKey, record.ID, record.Version)
			return nil
		}),
	}
	cmd.Flags().StringVar(&system, "system", "", "the system that the edit is made in")
	cmd.Flags().StringArrayVar(&expect, "expect", nil, "FIELD=VALUE that must hold; may be repeated")
	return cmd
}

func (s *session) showRecord(r *client.Record, status client.RecordStatus) error {
	state := "lives"
	switch {
	case r.DeletedAt.IsSpecified() && !r.DeletedAt.IsNull():
		state = "is deleted"
	case r.Frozen:
		state = "is frozen"
	}
	s.say("%s (%s) of %s %s, version %d.", r.MatchKey, r.ID, r.Collection, state, r.Version)
	if m, err := r.Reconciled.Get(); err == nil {
		s.say("Reconciled since %s by %s.", m.Since.Local().Format(time.DateTime), strings.Join(m.Rules, ", "))
	}
	if f := r.Freeze; f != nil {
		s.say("Frozen since %s by %s: %s", f.At.Local().Format(time.DateTime), f.By, f.Reason)
	}
	if len(r.Held) > 0 {
		s.say("Waits for a decision: %s.", strings.Join(r.Held, ", "))
	}
	err := s.table(func(row func(...any)) {
		row("FIELD", "VALUE", "FROM")
		for _, f := range slices.Sorted(maps.Keys(r.Fields)) {
			from := r.Origin
			if src, ok := r.Sources[f]; ok {
				from = src.System
			}
			row(f, r.Fields[f], from)
		}
	})
	if err != nil {
		return err
	}
	keys := make(map[string]string)
	for _, l := range r.Systems {
		keys[l.System] = l.Key
	}
	err = s.table(func(row func(...any)) {
		row("SYSTEM", "KEY", "STATE", "WAITS FOR")
		for _, system := range slices.Sorted(maps.Keys(status)) {
			st, waits := status[system], ""
			if w := st.Waiting; w != nil {
				waits = w.Text
				if other, err := w.Record.Get(); err == nil {
					waits += " (" + other + ")"
				}
			}
			row(system, keys[system], st.Status, waits)
		}
	})
	if err != nil || r.References == nil || len(r.References.Parents)+len(r.References.Children) == 0 {
		return err
	}
	return s.table(func(row func(...any)) {
		row("REFERENCE", "RECORD", "ID", "STATE")
		for _, p := range r.References.Parents {
			what, id := p.Title, ""
			if n := p.Named; n != nil {
				what = fmt.Sprintf("%s %s of %s", n.Object, n.Key, n.System)
			}
			if known, err := p.Record.Get(); err == nil {
				id = known
			}
			row("its "+p.Field, what, id, p.State)
		}
		for _, c := range r.References.Children {
			what, waiting := fmt.Sprintf("%d %s", c.Count, c.Collection), ""
			if !r.References.Counted {
				what = "at least " + what
			}
			if c.Waiting > 0 {
				waiting = fmt.Sprintf("%d wait for this one", c.Waiting)
			}
			row(c.Field+" of", what, "", waiting)
		}
	})
}
