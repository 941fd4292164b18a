// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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
  syncline record stock SKU-1 --after "$TOKEN"`,
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
