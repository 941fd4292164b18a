// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
)

func connectionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "connections",
		Short: "The tenant's links to its systems, and how they do",
		Long:  "List connections with their health. Exits with 1 when one is not healthy or not tried yet.",
		Example: `  syncline connections
  syncline connections authorization helpdesk`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			return s.connections(cmd.Context())
		},
	}
	cmd.AddCommand(connectionAct("authorization NAME", "Whether somebody gave it access in the browser, and where to",
		"Show the access that somebody gave on the vendor's page. Giving it takes a person and a browser: the page to begin at is printed.", (*session).authorization))
	return cmd
}

// connectionAct is a command about one connection.
func connectionAct(use, short, long string, do func(*session, context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("which connection? Give its name or its id")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			return do(s, cmd.Context(), args[0])
		},
	}
}

func (s *session) connections(ctx context.Context) error {
	params := &client.ListConnectionsParams{}
	var list []client.Connection
	for {
		res, err := s.api.ListConnectionsWithResponse(ctx, params)
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
	ill := false
	for _, c := range list {
		ill = ill || c.State != "healthy" && c.State != "unchecked"
	}
	switch {
	case s.json:
		if err := s.printJSON(list); err != nil {
			return err
		}
	case len(list) == 0:
		s.say("There is no connection yet.")
	default:
		err := s.table(func(row func(...any)) {
			row("CONNECTION", "CONNECTOR", "STATE", "CHECKED", "")
			for _, c := range list {
				row(c.Name, c.Connector, c.State, moment(c.CheckedAt.Get()), c.Reason)
			}
		})
		if err != nil {
			return err
		}
	}
	if ill {
		return exitWith(1)
	}
	return nil
}

// moment is a time that may not be there.
func moment(at time.Time, none error) string {
	if none != nil {
		return "-"
	}
	return at.Local().Format(time.DateTime)
}

func (s *session) authorization(ctx context.Context, name string) error {
	res, err := s.api.GetConnectionAuthorizationWithResponse(ctx, name)
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	a := res.JSON200
	if s.json {
		return s.printJSON(a)
	}
	if !a.Possible {
		s.say("Its connector knows no access that is given in the browser.")
		return nil
	}
	return s.table(func(row func(...any)) {
		row("given", moment(a.AuthorizedAt.Get()), a.AuthorizedBy)
		row("asks for", fmt.Sprint(a.Asks), a.Scopes)
		row("redirect address", a.RedirectURI)
		row("page to begin at", a.Page)
		if len(a.Missing) > 0 {
			row("fill in first", fmt.Sprint(a.Missing))
		}
		if a.Refusal != "" {
			row("last try", moment(a.RefusedAt.Get()), a.Refusal)
		}
	})
}
