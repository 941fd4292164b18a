// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
)

// oneRecord requires a service and one of its records.
func oneRecord(cmd *cobra.Command, args []string) error {
	if len(args) != 2 {
		return usageError{fmt.Errorf("%s takes a service and one of its records, by id or by its key in any system", cmd.Name())}
	}
	return nil
}

func freezeCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "freeze SERVICE RECORD",
		Short: "Write nothing of a record to any system, until it is thawed",
		Long: `Write nothing of a record to any system, until it is thawed. What people change in the systems goes on being seen. A write that was on its way
may still arrive; the systems are named.`,
		Example: `  syncline freeze stock SKU-1 --reason "Being counted"`,
		Args:    oneRecord,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			key := uuid.NewString()
			res, err := s.api.FreezeRecordWithResponse(cmd.Context(), args[0], args[1], &client.FreezeRecordParams{IdempotencyKey: &key}, client.FreezeRequest{Reason: &reason})
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			return s.froze(res.JSON200, "is frozen")
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who find it frozen")
	return cmd
}

func thawCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "thaw SERVICE RECORD",
		Short:   "Let a frozen record go on",
		Long:    "Let a frozen record go on. The systems that it is not equal with get what came in meanwhile.",
		Example: `  syncline thaw stock SKU-1`,
		Args:    oneRecord,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			key := uuid.NewString()
			res, err := s.api.ThawRecordWithResponse(cmd.Context(), args[0], args[1], &client.ThawRecordParams{IdempotencyKey: &key})
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			return s.froze(res.JSON200, "goes on")
		},
	}
}

// froze prints what became of the record.
func (s *session) froze(f *client.FrozenRecord, what string) error {
	if s.json {
		return s.printJSON(f)
	}
	s.say("%s (%s) %s.", f.Record.MatchKey, f.Record.ID, what)
	if len(f.UnderWay) > 0 {
		s.say("A write to %s was on its way and may still arrive; the record's history tells.", strings.Join(f.UnderWay, ", "))
	}
	return nil
}
