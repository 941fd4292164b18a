// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
)

func pauseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "pause SERVICE", Short: "Let a service rest",
		Long: `Let a service rest: nothing is read or written until it is resumed, and nothing is lost meanwhile. It stops with its next commit; a write
that is on its way may still arrive.`,
		Example: `  syncline pause stock`,
		Args:    oneService,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			res, err := s.api.PauseServiceWithResponse(ctx, args[0], nil)
			if err != nil {
				return answered(nil, nil, err)
			}
			return s.becameOf(res.HTTPResponse, res.Body, res.JSON200)
		}),
	}
}

func resumeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "resume SERVICE", Short: "Let a paused service go on",
		Long:    "Let a service that was paused or put away go on from where it stood; what changed meanwhile is caught up. A draft begins to work.",
		Example: `  syncline resume stock`,
		Args:    oneService,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			res, err := s.api.ResumeServiceWithResponse(ctx, args[0], nil)
			if err != nil {
				return answered(nil, nil, err)
			}
			return s.becameOf(res.HTTPResponse, res.Body, res.JSON200)
		}),
	}
}

func archiveCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "archive SERVICE", Short: "Put a service away",
		Long: `Put a service away: open runs are cancelled, and what it left in the systems to see changes is removed. Its records and their history stay to
be read; resuming it, or applying a document, makes it live again.`,
		Example: `  syncline archive stock --yes`,
		Args:    oneService,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			if s.live && !yes && !s.ask(ctx, fmt.Sprintf("Put %s away? [y/N] ", args[0])) {
				s.say("Nothing was done.")
				return exitWith(exitFailed)
			}
			res, err := s.api.ArchiveServiceWithResponse(ctx, args[0], nil)
			if err != nil {
				return answered(nil, nil, err)
			}
			return s.becameOf(res.HTTPResponse, res.Body, res.JSON200)
		}),
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// becameOf prints what became of a service.
func (s *session) becameOf(res *http.Response, body []byte, v *client.Service) error {
	if err := answered(res, body, nil); err != nil {
		return err
	}
	if s.json {
		return s.printJSON(v)
	}
	s.say("%s is %s.", v.Name, v.State)
	return nil
}

func revisionsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "revisions SERVICE", Short: "A service's documents so far: who put which into force, when and why",
		Long:    "A service's documents so far, the newest first: who put which into force, when and why. rollback makes an old one live again.",
		Example: `  syncline revisions stock`,
		Args:    oneService,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			params := &client.ListRevisionsParams{}
			list, err := every(func(cursor *string) (data []client.RevisionSummary, next maybe, err error) {
				params.Cursor = cursor
				res, err := s.api.ListRevisionsWithResponse(ctx, args[0], params)
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
			if s.json {
				return s.printJSON(list)
			}
			return s.table(func(row func(...any)) {
				row("REVISION", "AT", "BY", "NOTE")
				for _, r := range list {
					row(r.Number, r.CreatedAt.Local().Format(time.DateTime), r.Author, r.Note)
				}
			})
		}),
	}
}

func rollbackCommand() *cobra.Command {
	var note string
	cmd := &cobra.Command{
		Use: "rollback SERVICE REVISION", Short: "Make an old revision of a service live again",
		Long: `Make an old revision of a service live again, as a new revision with the old document. Records stay as they are: undo takes back what a
revision did to them.`,
		Example: `  syncline rollback stock 3 --note "The new rule lost orders"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 2 {
				if n, err := strconv.Atoi(args[1]); err == nil && n > 0 {
					return nil
				}
			}
			return usageError{fmt.Errorf("rollback takes a service and the number of one of its revisions")}
		},
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			number, err := strconv.Atoi(args[1])
			if err != nil {
				return err // Args looked at it
			}
			key := uuid.NewString()
			res, err := s.api.RollbackServiceWithResponse(ctx, args[0], &client.RollbackServiceParams{IdempotencyKey: &key}, client.Rollback{Revision: number, Note: given(note)})
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			if s.json {
				return s.printJSON(res.JSON200)
			}
			s.say("%s is at revision %d, which says what revision %d said.", args[0], res.JSON200.Revision, number)
			return nil
		}),
	}
	cmd.Flags().StringVar(&note, "note", "", "why, for the history")
	return cmd
}
