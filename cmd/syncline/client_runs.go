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

func runsCommand() *cobra.Command {
	var state string
	var limit int
	cmd := &cobra.Command{
		Use: "runs [SERVICE]", Short: "First syncs, backfills and other runs: list, follow, cancel, go on",
		Long: "Runs, the newest first, of one service or of all: first syncs, backfills and those that somebody or the clock asked for.",
		Example: `  syncline runs stock
  syncline runs --state running
  syncline runs follow run_069w3jzff1r00010400000000g
  syncline runs cancel run_069w3jzff1r00010400000000g
  syncline runs resume run_069w3jzff1r00010400000000g`,
		Args: atMostOne,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			return s.runs(ctx, firstOf(args), state, limit)
		}),
	}
	cmd.Flags().StringVar(&state, "state", "", "queued, running, succeeded, partial, failed or cancelled")
	cmd.Flags().IntVar(&limit, "limit", 20, "how many at most")
	one := func(verb, short string, act func(context.Context, *session, string) error) *cobra.Command {
		return &cobra.Command{
			Use: verb + " RUN", Short: short, Args: exactly("the id of a run"),
			Example: "  syncline runs " + verb + " run_069w3jzff1r00010400000000g",
			RunE:    withSession(func(ctx context.Context, s *session, args []string) error { return act(ctx, s, args[0]) }),
		}
	}
	cmd.AddCommand(
		one("show", "How one run does", func(ctx context.Context, s *session, id string) error {
			run, err := s.getRun(ctx, id)
			if err != nil {
				return err
			}
			return s.showRun(run)
		}),
		one("follow", "Follow a run to its end; Ctrl-C leaves it alone", func(ctx context.Context, s *session, id string) error {
			run, err := s.getRun(ctx, id)
			if err != nil {
				return err
			}
			run, err = s.follow(ctx, run, func(ctx context.Context, _ *client.Run) (*client.Run, error) { return nil, ctx.Err() })
			if err != nil {
				return err
			}
			return s.ended(run.Service, run)
		}),
		one("cancel", "Stop a run; what was committed stays, and a backfill can be resumed", func(ctx context.Context, s *session, id string) error {
			run, err := s.cancel(ctx, id)
			if err != nil {
				return err
			}
			return s.showRun(run)
		}),
		one("resume", "Go on with a backfill that was cancelled or failed, and follow it; Ctrl-C cancels it", func(ctx context.Context, s *session, id string) error {
			asking, done := outlasting(ctx)
			defer done()
			res, err := s.api.ResumeRunWithResponse(asking, id, &client.ResumeRunParams{IdempotencyKey: uuid.NewString()})
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			return s.followToEnd(ctx, res.JSON202.Service, res.JSON202, false)
		}),
	)
	return cmd
}

func (s *session) runs(ctx context.Context, service, state string, limit int) error {
	params := &client.ListRunsParams{FilterService: given(service), Limit: atMost(limit)}
	if state != "" {
		params.FilterState = &client.FilterRunState{client.RunState(state)}
	}
	res, err := s.api.ListRunsWithResponse(ctx, params)
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
		s.say("No run.")
		return nil
	}
	services, err := s.services(ctx)
	if err != nil {
		return err
	}
	names := make(map[string]string)
	for _, v := range services {
		names[v.ID] = v.Name
	}
	return s.table(func(row func(...any)) {
		row("RUN", "SERVICE", "KIND", "STATE", "SINCE", "DONE", "BY")
		for i := range res.JSON200.Data {
			r := &res.JSON200.Data[i]
			row(r.ID, orElse(names[r.Service], r.Service), r.Kind, r.State, r.CreatedAt.Local().Format(time.DateTime), doneOf(r), r.Actor)
		}
	})
}

// doneOf is how many records of a run are done, of how many when that is known.
func doneOf(r *client.Run) string {
	if r.Progress.Total == 0 {
		return fmt.Sprint(r.Progress.Done)
	}
	return fmt.Sprintf("%d of %d", r.Progress.Done, r.Progress.Total)
}

// showRun prints how a run does.
func (s *session) showRun(run *client.Run) error {
	if s.json {
		return s.printJSON(run)
	}
	if err := s.printRun(run); err != nil {
		return err
	}
	if run.FinishedAt.IsNull() {
		s.say("%s", progressText(run, 0))
	}
	if e, err := run.Error.Get(); err == nil {
		s.say("%s (%s)", e.Message, e.Code)
	}
	return nil
}
