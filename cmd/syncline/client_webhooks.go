// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
)

func webhooksCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "webhooks",
		Short: "Servers of yours that are told of events",
		Long:  "Servers of yours that are told of events as they happen. Without a verb it lists them.",
		Example: `  syncline webhooks
  syncline webhooks create "Billing back end" https://example.com/webhooks/syncline --type 'invoice.*' --type conflict
  syncline webhooks deliveries --state failed`,
		Args: cobra.NoArgs,
		RunE: withSession(func(ctx context.Context, s *session, _ []string) error { return s.webhooks(ctx) }),
	}
	cmd.AddCommand(webhookCreateCommand(), webhookChangeCommand(), webhookRotateCommand(), webhookTestCommand(), webhookDeliveriesCommand(), webhookResendCommand(), webhookDeleteCommand())
	return cmd
}

// withSession connects and runs the verb.
func withSession(fn func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		s, err := connect(cmd)
		if err != nil {
			return err
		}
		return fn(cmd.Context(), s, args)
	}
}

// exactly requires as many arguments as there are names.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usageError{fmt.Errorf("%s takes %s", cmd.Name(), strings.Join(names, " and "))}
		}
		return nil
	}
}

func (s *session) webhooks(ctx context.Context) error {
	res, err := s.api.ListWebhookEndpointsWithResponse(ctx)
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	list := res.JSON200.Data
	if s.json {
		return s.printJSON(list)
	}
	if len(list) == 0 {
		s.say("No webhook endpoint yet: syncline webhooks create NAME URL.")
		return nil
	}
	return s.table(func(row func(...any)) {
		row("ENDPOINT", "NAME", "STATE", "TYPES", "URL", "")
		for _, e := range list {
			types := strings.Join(e.Types, ",")
			if types == "" {
				types = "all but frequent"
			}
			why, _ := e.Reason.Get()
			row(e.ID, e.Name, e.State, types, e.URL, why)
		}
	})
}

func (s *session) printEndpoint(e *client.WebhookEndpointWithSecret) error {
	if s.json {
		return s.printJSON(e)
	}
	s.say("The secret verifies what is sent to %s. It is shown this once.", e.URL)
	return s.print("%s\t%s\n", e.ID, e.Secret)
}

func webhookCreateCommand() *cobra.Command {
	var types []string
	cmd := &cobra.Command{
		Use: "create NAME URL", Short: "Be told of events", Args: exactly("a name", "an address"),
		Example: `  syncline webhooks create "Billing back end" https://example.com/webhooks/syncline --type 'invoice.*'`,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			res, err := s.api.CreateWebhookEndpointWithResponse(ctx, &client.CreateWebhookEndpointParams{IdempotencyKey: uuid.NewString()}, client.NewWebhookEndpoint{Name: args[0], URL: args[1], Types: &types})
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			return s.printEndpoint(res.JSON201)
		}),
	}
	cmd.Flags().StringArrayVar(&types, "type", nil, "a type of event, or a beginning with a * after it; may be given several times")
	return cmd
}

func webhookChangeCommand() *cobra.Command {
	var name, url, state string
	var types []string
	cmd := &cobra.Command{
		Use: "change ENDPOINT", Short: "Change an endpoint, pause it, make it active again", Args: exactly("the id of an endpoint"),
		Example: `  syncline webhooks change whk_069w3jzff1r00010400000000g --state active`,
	}
	cmd.RunE = withSession(func(ctx context.Context, s *session, args []string) error {
		var patch client.WebhookEndpointPatch
		if cmd.Flags().Changed("name") {
			patch.Name = &name
		}
		if cmd.Flags().Changed("url") {
			patch.URL = &url
		}
		if cmd.Flags().Changed("type") {
			patch.Types = &types
		}
		if cmd.Flags().Changed("state") {
			to := client.WebhookEndpointPatchState(state)
			patch.State = &to
		}
		if patch == (client.WebhookEndpointPatch{}) {
			return usageError{fmt.Errorf("say what to change: --name, --url, --type or --state")}
		}
		res, err := s.api.UpdateWebhookEndpointWithApplicationMergePatchPlusJSONBodyWithResponse(ctx, args[0], &client.UpdateWebhookEndpointParams{IfMatch: "*"}, patch)
		if err != nil {
			return answered(nil, nil, err)
		}
		if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
			return err
		}
		if s.json {
			return s.printJSON(res.JSON200)
		}
		return s.print("%s is %s.\n", res.JSON200.ID, res.JSON200.State)
	})
	cmd.Flags().StringVar(&name, "name", "", "another name")
	cmd.Flags().StringVar(&url, "url", "", "another address")
	cmd.Flags().StringArrayVar(&types, "type", nil, "the types of events instead of the present ones")
	cmd.Flags().StringVar(&state, "state", "", "active or paused")
	return cmd
}

func webhookRotateCommand() *cobra.Command {
	var hours int
	cmd := &cobra.Command{
		Use: "rotate ENDPOINT", Short: "Exchange the secret; the one before it goes on signing for a while", Args: exactly("the id of an endpoint"),
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			key := uuid.NewString()
			res, err := s.api.RotateWebhookSecretWithResponse(ctx, args[0], &client.RotateWebhookSecretParams{IdempotencyKey: &key}, client.WebhookRotation{OverlapHours: &hours})
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			return s.printEndpoint(res.JSON200)
		}),
	}
	cmd.Flags().IntVar(&hours, "overlap", 24, "hours for which both secrets hold, up to 168")
	return cmd
}

func webhookTestCommand() *cobra.Command {
	return &cobra.Command{
		Use: "test ENDPOINT", Short: "Send a test event and wait for the answer", Args: exactly("the id of an endpoint"),
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			res, err := s.api.TestWebhookEndpointWithResponse(ctx, args[0], &client.TestWebhookEndpointParams{IdempotencyKey: uuid.NewString()})
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			return s.sent(ctx, res.JSON202.ID)
		}),
	}
}

// sent waits for what came of a delivery's first attempt from now on.
func (s *session) sent(ctx context.Context, id string) error {
	tried := -1
	for deadline := time.Now().Add(30 * time.Second); ; {
		res, err := s.api.GetWebhookDeliveryWithResponse(ctx, id)
		if err != nil {
			return answered(nil, nil, err)
		}
		if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
			return err
		}
		d := res.JSON200
		if tried < 0 {
			tried = len(d.Tried)
			if d.State == client.WebhookDeliveryStateDelivered || tried > 0 && d.Attempts == 1 {
				tried = 0 // it was quicker than we
			}
		}
		if len(d.Tried) > tried || time.Now().After(deadline) {
			if s.json {
				if err := s.printJSON(d); err != nil {
					return err
				}
			} else if err := s.printDelivery(d); err != nil {
				return err
			}
			if d.State != client.WebhookDeliveryStateDelivered {
				return exitWith(exitFailed)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookAgain):
		}
	}
}

func (s *session) printDelivery(d *client.WebhookDeliveryInFull) error {
	if len(d.Tried) == 0 {
		return s.print("%s is %s; no worker has sent it yet.\n", d.ID, d.State)
	}
	last := d.Tried[0]
	text := fmt.Sprintf("%s is %s", d.ID, d.State)
	if status, err := last.Status.Get(); err == nil {
		text += fmt.Sprintf(": answered %d in %d ms", status, last.Milliseconds)
	}
	if why, err := last.Problem.Get(); err == nil {
		text += ". " + why
	}
	return s.print("%s\n", text)
}

func webhookDeliveriesCommand() *cobra.Command {
	var state, typ string
	var limit int
	cmd := &cobra.Command{
		Use: "deliveries [ENDPOINT]", Short: "What was and is to be sent, the newest first", Args: cobra.MaximumNArgs(1),
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			some := client.Limit(limit)
			params := &client.ListWebhookDeliveriesParams{Limit: &some}
			if len(args) == 1 {
				params.FilterEndpoint = &args[0]
			}
			if state != "" {
				w := client.WebhookDeliveryState(state)
				params.FilterState = &w
			}
			if typ != "" {
				params.FilterType = &typ
			}
			res, err := s.api.ListWebhookDeliveriesWithResponse(ctx, params)
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			if s.json {
				return s.printJSON(res.JSON200.Data)
			}
			return s.table(func(row func(...any)) {
				row("DELIVERY", "ENDPOINT", "TYPE", "STATE", "TRIES", "AT", "")
				for _, d := range res.JSON200.Data {
					why, _ := d.Problem.Get()
					row(d.ID, d.EndpointName, d.Type, d.State, d.Attempts, d.EventAt.Local().Format(time.DateTime), why)
				}
			})
		}),
	}
	cmd.Flags().StringVar(&state, "state", "", "pending, delivered or failed")
	cmd.Flags().StringVar(&typ, "type", "", "a type of event, or a beginning with a * after it")
	cmd.Flags().IntVar(&limit, "limit", 25, "how many, up to 100")
	return cmd
}

func webhookResendCommand() *cobra.Command {
	var since string
	cmd := &cobra.Command{
		Use: "resend DELIVERY | ENDPOINT --since TIME", Short: "Send one delivery again, or all of an endpoint that failed since a time", Args: exactly("the id of a delivery, or of an endpoint with --since"),
		Example: `  syncline webhooks resend whd_069w3jzff1r00010400000000g
  syncline webhooks resend whk_069w3jzff1r00010400000000g --since 2026-11-23T00:00:00Z`,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			key := uuid.NewString()
			if since == "" {
				res, err := s.api.ResendWebhookDeliveryWithResponse(ctx, args[0], &client.ResendWebhookDeliveryParams{IdempotencyKey: &key})
				if err != nil {
					return answered(nil, nil, err)
				}
				if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
					return err
				}
				if s.json {
					return s.printJSON(res.JSON202)
				}
				return s.print("%s is sent again.\n", args[0])
			}
			at, err := time.Parse(time.RFC3339, since)
			if err != nil {
				return usageError{fmt.Errorf("--since is a time such as 2026-11-23T00:00:00Z, not %q", since)}
			}
			res, err := s.api.ResendWebhooksWithResponse(ctx, args[0], &client.ResendWebhooksParams{IdempotencyKey: &key}, client.WebhookResend{Since: at})
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			if s.json {
				return s.printJSON(res.JSON202)
			}
			return s.print("%d are sent again.\n", res.JSON202.Resent)
		}),
	}
	cmd.Flags().StringVar(&since, "since", "", "of events since this time, all that failed")
	return cmd
}

func webhookDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete ENDPOINT", Short: "Remove an endpoint with its deliveries", Args: exactly("the id of an endpoint"),
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			res, err := s.api.DeleteWebhookEndpointWithResponse(ctx, args[0], &client.DeleteWebhookEndpointParams{IfMatch: "*"})
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			return s.print("%s is removed.\n", args[0])
		}),
	}
}
