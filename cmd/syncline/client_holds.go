// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
)

func holdsCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "holds [SERVICE]",
		Short: "What the safety brake holds",
		Long: `What the safety brake holds: changes larger than anybody meant, which wait for somebody to decide. Nothing of them is lost,
and nothing is sent. Exits with 1 when something waits.`,
		Example: `  syncline holds
  syncline holds stock --all`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("holds takes the name of one service, or none for all")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			service := ""
			if len(args) == 1 {
				service = args[0]
			}
			return s.holds(cmd.Context(), service, all)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "those that were decided, too")
	return cmd
}

func (s *session) holds(ctx context.Context, service string, all bool) error {
	params := &client.ListHoldsParams{}
	if service != "" {
		params.FilterService = &service
	}
	if !all {
		open := client.HoldStateOpen
		params.FilterState = &open
	}
	var list []client.Hold
	waiting := 0
	for {
		res, err := s.api.ListHoldsWithResponse(ctx, params)
		if err != nil {
			return answered(nil, nil, err)
		}
		if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
			return err
		}
		list = append(list, res.JSON200.Data...)
		next, err := res.JSON200.NextCursor.Get()
		if err != nil {
			break
		}
		params.Cursor = &next
	}
	for _, h := range list {
		if h.State == client.HoldStateOpen {
			waiting++
		}
	}
	switch {
	case s.json:
		if err := s.printJSON(list); err != nil {
			return err
		}
	case len(list) == 0:
		s.say("Nothing is held.")
	default:
		err := s.table(func(row func(...any)) {
			row("HOLD", "SERVICE", "SYSTEM", "KIND", "STATE", "CHANGES", "SINCE", "")
			for _, h := range list {
				row(h.ID, h.ServiceName, h.System, h.Kind, h.State, max(h.Held, h.Total), h.OpenedAt.Local().Format(time.DateTime), h.Reason)
			}
		})
		if err != nil {
			return err
		}
	}
	if waiting > 0 {
		s.say("%d wait for somebody to decide: syncline release HOLD or syncline reject HOLD --reason WHY.", waiting)
		return exitWith(exitFailed)
	}
	return nil
}

// oneHold requires exactly one argument.
func oneHold(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("%s takes the id of one hold; syncline holds lists them", cmd.Name())}
	}
	return nil
}

func releaseCommand() *cobra.Command {
	var note string
	cmd := &cobra.Command{
		Use:     "release HOLD",
		Short:   "Let what the safety brake holds go on",
		Long:    "Let what the safety brake holds go on. The records are read again and taken in as they are then.",
		Example: `  syncline release hld_069w3jzff1r00010400000000g --note "The summer range ended"`,
		Args:    oneHold,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			key := uuid.NewString()
			res, err := s.api.ReleaseHoldWithResponse(cmd.Context(), args[0], &client.ReleaseHoldParams{IdempotencyKey: &key}, client.Release{Note: &note})
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			return s.decided(res.JSON202, "go on")
		},
	}
	cmd.Flags().StringVar(&note, "note", "", "why, for the audit log")
	return cmd
}

func rejectCommand() *cobra.Command {
	var reason string
	var restore bool
	cmd := &cobra.Command{
		Use:   "reject HOLD --reason WHY",
		Short: "Say that what the safety brake holds shall not be",
		Long: `Say that what the safety brake holds shall not be. With --restore the system is brought back to what the others hold, where
it takes changes; without, it keeps what it has.`,
		Example: `  syncline reject hld_069w3jzff1r00010400000000g --reason "Deleted by mistake" --restore`,
		Args:    oneHold,
		RunE: func(cmd *cobra.Command, args []string) error {
			if reason == "" {
				return usageError{fmt.Errorf("say why with --reason; it is kept")}
			}
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			key := uuid.NewString()
			res, err := s.api.RejectHoldWithResponse(cmd.Context(), args[0], &client.RejectHoldParams{IdempotencyKey: &key}, client.Rejection{Reason: reason, Restore: &restore})
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			return s.decided(res.JSON202, "shall not be")
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept")
	cmd.Flags().BoolVar(&restore, "restore", false, "bring the system back to what the others hold")
	return cmd
}

func (s *session) decided(h *client.Hold, what string) error {
	if s.json {
		return s.printJSON(h)
	}
	return s.print("%s: %d changes from %s in %s %s\n", h.ID, h.Total, h.System, h.ServiceName, what)
}
