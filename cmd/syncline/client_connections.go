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
  syncline connections health helpdesk
  syncline connections reset helpdesk
  syncline connections authorization helpdesk
  syncline connections subscriptions
  syncline connections subscriptions pause helpdesk`,
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
		"Show the access that somebody gave on the vendor's page. Giving it takes a person and a browser: the page to begin at is printed.", (*session).authorization),
		connectionAct("health NAME", "How it did in the last 30 days", "Show state, uptime, ends of credentials, quota left and the spells of the last 30 days. Exits with 1 when it is not healthy.", (*session).health),
		connectionAct("test NAME", "Try it now", "Open it and check that the system answers and allows what sync needs. Exits with 1 when it does not.", (*session).testConnection),
		connectionAct("reset NAME", "Let it begin anew", "Forget breaker, pauses, budgets and token, and open it anew. Links, cursors, settings and the access that a person gave stay.", (*session).resetConnection))
	subscriptions := &cobra.Command{
		Use:   "subscriptions [NAME]",
		Short: "Whose vendors are asked to tell of changes, and how that stands",
		Long: `List the connections whose vendor is asked to tell of changes: since when it does, until when, when that is renewed, or why asking failed. They
are made, renewed and ended by themselves, with the services that listen: pausing a service ends its listening. Exits with 1 when one fails.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			return s.subscriptions(cmd.Context(), args)
		},
	}
	subscriptions.AddCommand(
		connectionAct("renew NAME", "Ask its vendor at once to go on", "Lengthen a subscription that ends, or end any other and make it anew, as after somebody deleted it at the vendor. Exits with 1 when the vendor refuses.", (*session).renewSubscription),
		connectionAct("pause NAME", "Let its vendor's telling rest", "End the subscription at the vendor until it is resumed. Changes are found by looking meanwhile.", (*session).pauseSubscription),
		connectionAct("resume NAME", "Ask its vendor to tell again", "End the pause and ask the vendor, where a service listens. Exits with 1 when the vendor refuses.", (*session).resumeSubscription))
	cmd.AddCommand(subscriptions)
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

// subscribed is a connection with its subscription, as it is printed in JSON.
type subscribed struct {
	Connection   string                        `json:"connection"`
	Subscription client.ConnectionSubscription `json:"subscription"`
}

func (s *session) subscriptions(ctx context.Context, names []string) error {
	if len(names) == 0 {
		list, err := s.allConnections(ctx)
		if err != nil {
			return err
		}
		for _, c := range list {
			names = append(names, c.ID)
		}
	}
	found, failing := []subscribed{}, false
	for _, name := range names {
		res, err := s.api.GetConnectionWithResponse(ctx, name, nil)
		if err != nil {
			return answered(nil, nil, err)
		}
		if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
			return err
		}
		if sub, err := res.JSON200.Subscription.Get(); err == nil {
			found = append(found, subscribed{res.JSON200.Name, sub})
			failing = failing || sub.State == client.ConnectionSubscriptionStateFailing
		}
	}
	switch {
	case s.json:
		if err := s.printJSON(found); err != nil {
			return err
		}
	case len(found) == 0:
		s.say("No vendor is asked to tell of changes: no service that runs listens through these connections.")
	default:
		err := s.table(func(row func(...any)) {
			row("CONNECTION", "STATE", "SINCE", "UNTIL", "RENEWED", "ADDRESS", "")
			for _, f := range found {
				sub := f.Subscription
				row(f.Connection, sub.State, moment(sub.Since.Get()), moment(sub.Until.Get()), moment(sub.RenewAt.Get()), sub.Callback, sub.Reason)
			}
		})
		if err != nil {
			return err
		}
	}
	if failing {
		return exitWith(1)
	}
	return nil
}

// allConnections reads all pages.
func (s *session) allConnections(ctx context.Context) ([]client.Connection, error) {
	params := &client.ListConnectionsParams{}
	var list []client.Connection
	for {
		res, err := s.api.ListConnectionsWithResponse(ctx, params)
		if err != nil {
			return nil, answered(nil, nil, err)
		}
		if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
			return nil, err
		}
		list = append(list, res.JSON200.Data...)
		next, err := res.JSON200.NextCursor.Get()
		if err != nil {
			return list, nil //nolint:nilerr // null: there is no further page
		}
		params.Cursor = &next
	}
}

func (s *session) connections(ctx context.Context) error {
	list, err := s.allConnections(ctx)
	if err != nil {
		return err
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

func (s *session) health(ctx context.Context, name string) error {
	res, err := s.api.GetConnectionHealthWithResponse(ctx, name)
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	h := res.JSON200
	if s.json {
		err = s.printJSON(h)
	} else {
		err = s.table(func(row func(...any)) {
			row("state", h.State, h.Reason)
			row("looked at", moment(h.CheckedAt.Get()), "next "+moment(h.NextCheckAt.Get()))
			for _, u := range []struct {
				of  string
				get func() (float64, error)
			}{{"day", h.Uptime.Day.Get}, {"week", h.Uptime.Week.Get}, {"30 days", h.Uptime.Month.Get}} {
				if part, none := u.get(); none == nil {
					row("healthy, last "+u.of, fmt.Sprintf("%.2f%%", 100*part))
				}
			}
			if at, none := h.EndsAt.Get(); none == nil {
				row("ends", at.Local().Format(time.DateTime), h.Ends)
			}
			if q, none := h.Quota.Get(); none == nil {
				row("quota left", fmt.Sprintf("%g of %g", q.Left, q.Of), "whole again "+moment(q.ResetsAt.Get()))
			}
			if h.Endpoint != "" {
				row("second address", h.Endpoint)
			}
			for _, spell := range h.Spells {
				row(spell.Since.Local().Format(time.DateTime), spell.State, spell.Reason)
			}
		})
	}
	if err == nil && h.State != "healthy" {
		return exitWith(1)
	}
	return err
}

func (s *session) testConnection(ctx context.Context, name string) error {
	res, err := s.api.TestConnectionWithResponse(ctx, name)
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	if s.json {
		if err := s.printJSON(res.JSON200); err != nil {
			return err
		}
	} else if err := s.print("%s %s\n", res.JSON200.State, res.JSON200.Reason); err != nil {
		return err
	}
	if res.JSON200.State != "healthy" {
		return exitWith(1)
	}
	return nil
}

func (s *session) resetConnection(ctx context.Context, name string) error {
	res, err := s.api.ResetConnectionWithResponse(ctx, name)
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	if s.json {
		return s.printJSON(res.JSON200)
	}
	s.say("%s begins anew.", res.JSON200.Name)
	return nil
}

func (s *session) renewSubscription(ctx context.Context, name string) error {
	res, err := s.api.RenewConnectionSubscriptionWithResponse(ctx, name)
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	return s.subscribedNow(name, *res.JSON200)
}

func (s *session) pauseSubscription(ctx context.Context, name string) error {
	res, err := s.api.PauseConnectionSubscriptionWithResponse(ctx, name)
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	return s.subscribedNow(name, *res.JSON200)
}

func (s *session) resumeSubscription(ctx context.Context, name string) error {
	res, err := s.api.ResumeConnectionSubscriptionWithResponse(ctx, name)
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	return s.subscribedNow(name, *res.JSON200)
}

// subscribedNow says how it stands with a subscription after somebody did something to it.
func (s *session) subscribedNow(name string, now client.ConnectionSubscriptionNow) error {
	sub, err := now.Subscription.Get()
	none := err != nil // null: nobody listens
	switch {
	case s.json:
		if err := s.printJSON(now); err != nil {
			return err
		}
	case none:
		s.say("The vendor of %s is asked when a service listens.", name)
	default:
		if err := s.print("%s %s\n", sub.State, sub.Reason); err != nil {
			return err
		}
	}
	if !none && sub.State == client.ConnectionSubscriptionStateFailing {
		return exitWith(1)
	}
	return nil
}
