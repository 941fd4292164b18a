// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
)

func undoCommand() *cobra.Command {
	var u undoFlags
	cmd := &cobra.Command{
		Use:   "undo SERVICE",
		Short: "Take changes back",
		Long: `Take changes back: what came in while a run was open, what a person or key did, what a business rule wrote, or what happened within a span of time. Shows
first what would be done. A field that somebody else changed since is kept. With --yes it is done; records that changed in between
make it stop.`,
		Example: `  syncline undo stock --run run_069w3jzff1r00010400000000g
  syncline undo stock --rule mark-up --since 2026-11-23T10:00:00Z
  syncline undo stock --actor "Ada Lovelace" --since 2026-11-23T10:00:00Z --yes`,
		Args: oneService,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			return s.undo(cmd.Context(), args[0], u)
		},
	}
	f := cmd.Flags()
	f.StringVar(&u.run, "run", "", "what came in while this run was open")
	f.StringVar(&u.actor, "actor", "", "what this person or key did")
	f.StringVar(&u.rule, "rule", "", "what the business rule of this name wrote")
	f.StringVar(&u.system, "system", "", "only changes that came from this system")
	f.StringVar(&u.since, "since", "", "not before this time, as 2026-11-23T10:00:00Z")
	f.StringVar(&u.until, "until", "", "before this time")
	f.BoolVar(&u.yes, "yes", false, "do it")
	return cmd
}

type undoFlags struct {
	run, actor, rule, system, since, until string
	yes                                    bool
}

func (u undoFlags) request() (client.UndoRequest, error) {
	var out client.UndoRequest
	for _, f := range []struct {
		text string
		to   **string
	}{{u.run, &out.Run}, {u.actor, &out.Actor}, {u.rule, &out.Rule}, {u.system, &out.System}} {
		if text := f.text; text != "" {
			*f.to = &text
		}
	}
	for _, f := range []struct {
		name, text string
		to         **time.Time
	}{{"--since", u.since, &out.Since}, {"--until", u.until, &out.Until}} {
		if f.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, f.text)
		if err != nil {
			return out, usageError{fmt.Errorf("%s takes a time such as 2026-11-23T10:00:00Z, not %q", f.name, f.text)}
		}
		*f.to = &at
	}
	return out, nil
}

func (s *session) undo(ctx context.Context, service string, flags undoFlags) error {
	body, err := flags.request()
	if err != nil {
		return err
	}
	var last *http.Response
	ask := func(dry bool, hash *string) (*client.Undo, error) {
		body.DryRun, body.Hash = &dry, hash
		key := uuid.NewString()
		res, err := s.api.UndoChangesWithResponse(ctx, service, &client.UndoChangesParams{IdempotencyKey: &key}, body)
		if err != nil {
			return nil, answered(nil, nil, err)
		}
		last = res.HTTPResponse
		return res.JSON200, answered(res.HTTPResponse, res.Body, nil)
	}
	u, err := ask(true, nil)
	if err != nil {
		return err
	}
	if flags.yes && u.Records > 0 {
		if u, err = ask(false, &u.Hash); err != nil {
			return err
		}
	}
	s.sayToken(last)
	if s.json {
		return s.printJSON(u)
	}
	if len(u.Reversals) > 0 {
		err := s.table(func(row func(...any)) {
			row("RECORD", "", "WHAT", "FIELDS")
			for _, r := range u.Reversals {
				what := map[client.ReversalOp]string{client.ReversalOpCreate: "lives again", client.ReversalOpDelete: "goes", client.ReversalOpUpdate: "set back"}[r.Op]
				row(r.Record, r.Title, what, len(r.After))
			}
		})
		if err != nil {
			return err
		}
	}
	for _, k := range u.Keeps {
		field := k.Field
		if field == "" {
			field = "the record"
		}
		s.say("Kept: %s of %s. %s", field, k.Title, k.Why)
	}
	switch {
	case u.Applied:
		s.say("%d records are taken back, %d things kept.", u.Records, u.Kept)
	case u.Records == 0:
		s.say("Nothing to take back: %d changes were looked at.", u.Selected)
	default:
		s.say("%d records would be taken back, %d things kept. Repeat with --yes to do it.", u.Records, u.Kept)
	}
	return nil
}
