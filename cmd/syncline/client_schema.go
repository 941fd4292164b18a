// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
)

func schemaCommand() *cobra.Command {
	var accept, dismiss string
	var all bool
	cmd := &cobra.Command{
		Use:   "schema SERVICE",
		Short: "Fields that came, went or changed their type, and what is to become of them",
		Long: `Fields that came, went or changed their type in the service's systems. They are left alone until somebody accepts the change,
which reads the records again for it, or dismisses it. Everything else syncs on.`,
		Example: `  syncline schema stock
  syncline schema stock --accept sch_069w3jzff1r00010400000000g
  syncline schema stock --dismiss sch_069w3jzff1r00010400000000g`,
		Args: oneService,
		RunE: func(cmd *cobra.Command, args []string) error {
			if accept != "" && dismiss != "" {
				return usageError{fmt.Errorf("accept one or dismiss one, not both at once")}
			}
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			if accept != "" || dismiss != "" {
				return s.decideSchema(cmd.Context(), accept, dismiss)
			}
			return s.schemaChanges(cmd.Context(), args[0], all)
		},
	}
	cmd.Flags().StringVar(&accept, "accept", "", "the id of a change that the service is to go by")
	cmd.Flags().StringVar(&dismiss, "dismiss", "", "the id of a change whose field is to be left alone")
	cmd.Flags().BoolVar(&all, "all", false, "those that were decided, too")
	return cmd
}

func (s *session) schemaChanges(ctx context.Context, service string, all bool) error {
	params := &client.ListSchemaChangesParams{}
	if !all {
		open := client.SchemaChangeStateOpen
		params.FilterState = &open
	}
	var list []client.SchemaChange
	for {
		res, err := s.api.ListSchemaChangesWithResponse(ctx, service, params)
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
	switch {
	case s.json:
		return s.printJSON(list)
	case len(list) == 0:
		s.say("No field waits for a decision.")
		return nil
	}
	return s.table(func(row func(...any)) {
		row("CHANGE", "SYSTEM", "OBJECT", "FIELD", "WHAT", "WAS", "IS", "STATE")
		for _, c := range list {
			row(c.ID, c.System, c.Object, c.Field, c.Kind, c.Was, c.Is, c.State)
		}
	})
}

func (s *session) decideSchema(ctx context.Context, accept, dismiss string) error {
	key := uuid.NewString()
	var change *client.SchemaChange
	if accept != "" {
		res, err := s.api.AcceptSchemaChangeWithResponse(ctx, accept, &client.AcceptSchemaChangeParams{IdempotencyKey: &key})
		if err != nil {
			return answered(nil, nil, err)
		}
		if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
			return err
		}
		change = res.JSON200
	} else {
		res, err := s.api.DismissSchemaChangeWithResponse(ctx, dismiss, &client.DismissSchemaChangeParams{IdempotencyKey: &key})
		if err != nil {
			return answered(nil, nil, err)
		}
		if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
			return err
		}
		change = res.JSON200
	}
	if s.json {
		return s.printJSON(change)
	}
	return s.print("%s: %s of %s in %s is %s\n", change.ID, change.Field, change.Object, change.System, change.State)
}
