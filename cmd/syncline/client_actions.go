// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
)

// What business rules want done, for those who do it: each is taken up by one alone.

func actionsCommand() *cobra.Command {
	var all bool
	var action string
	cmd := &cobra.Command{
		Use:   "actions [SERVICE]",
		Short: "What business rules want done: invoices to be made",
		Long: `What business rules want done, for people and programs that do it: records of rules with the action generate_invoice. Without a verb it lists
those that wait or are taken up, of one service or of all, and exits with 1 when any waits. The action's id is the key by which it is
done once: pass it on to the system that makes the invoice.`,
		Example: `  syncline actions stock
  syncline actions take act_069w3jzff1r00010400000000g
  syncline actions done act_069w3jzff1r00010400000000g --reference INV-2026-0042
  syncline actions release act_069w3jzff1r00010400000000g --reason "The accounting system is down"
  syncline actions --all --action mark_reconciled`,
		Args: atMostOne,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			return s.actions(ctx, firstOf(args), action, all)
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "everything that rules did, whether it waits or not")
	cmd.Flags().StringVar(&action, "action", "", "only this action, in the document's word")
	cmd.AddCommand(actionTakeCommand(), actionDoneCommand(), actionReleaseCommand())
	return cmd
}

func (s *session) actions(ctx context.Context, service, action string, all bool) error {
	wanted, taken := client.RuleActionStateWanted, client.RuleActionStateTaken
	states := []*client.RuleActionState{&wanted, &taken}
	if all {
		states = []*client.RuleActionState{nil}
	}
	list := []client.RuleAction{}
	for _, state := range states {
		params := &client.ListRuleActionsParams{FilterService: given(service), FilterAction: given(action), FilterState: state}
		some, err := s.ruleActions(ctx, params)
		if err != nil {
			return err
		}
		list = append(list, some...)
	}
	in := inbox[client.RuleAction]{
		none: "Business rules want nothing done.", how: "syncline actions take ACTION",
		head: []any{"ACTION", "SERVICE", "RECORD", "RULE", "DOES", "STATE", "SINCE", "BY", "REFERENCE"},
		row: func(a *client.RuleAction) []any {
			return []any{a.ID, a.ServiceName, orElse(a.RecordTitle, a.Record), a.Rule, a.Action, a.State, a.At.Local().Format(time.DateTime), orElse(a.DecidedBy, a.TakenBy), a.Reference}
		},
		waits: func(a *client.RuleAction) bool { return a.State == wanted },
	}
	return in.show(s, list)
}

// actionVerb is a verb about one action.
func actionVerb(use, short, example, what string, do func(ctx context.Context, s *session, id string) (*client.RuleAction, error)) *cobra.Command {
	return &cobra.Command{
		Use: use + " ACTION", Short: short, Args: exactly("the id of what a rule wants done"), Example: example,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			a, err := do(ctx, s, args[0])
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(a)
			}
			return s.print("%s: %s of %s in %s %s\n", a.ID, a.Action, orElse(a.RecordTitle, a.Record), a.ServiceName, what)
		}),
	}
}

func actionTakeCommand() *cobra.Command {
	return actionVerb("take", "Take it up; nobody else gets it", "  syncline actions take act_069w3jzff1r00010400000000g", "is yours",
		func(ctx context.Context, s *session, id string) (*client.RuleAction, error) {
			key := uuid.NewString()
			res, err := s.api.TakeRuleActionWithResponse(ctx, id, &client.TakeRuleActionParams{IdempotencyKey: &key})
			if err != nil {
				return nil, answered(nil, nil, err)
			}
			return res.JSON200, answered(res.HTTPResponse, res.Body, nil)
		})
}

func actionDoneCommand() *cobra.Command {
	var reference, reason string
	cmd := actionVerb("done", "Say that it is done", "  syncline actions done act_069w3jzff1r00010400000000g --reference INV-2026-0042", "is done",
		func(ctx context.Context, s *session, id string) (*client.RuleAction, error) {
			key := uuid.NewString()
			res, err := s.api.CompleteRuleActionWithResponse(ctx, id, &client.CompleteRuleActionParams{IdempotencyKey: &key}, client.RuleActionDone{Reference: given(reference), Reason: given(reason)})
			if err != nil {
				return nil, answered(nil, nil, err)
			}
			return res.JSON200, answered(res.HTTPResponse, res.Body, nil)
		})
	cmd.Flags().StringVar(&reference, "reference", "", "what came of it, such as the invoice's number")
	cmd.Flags().StringVar(&reason, "reason", "", "a note; it is kept")
	return cmd
}

func actionReleaseCommand() *cobra.Command {
	var reason string
	cmd := actionVerb("release", "Give it back: it waits for the next one", `  syncline actions release act_069w3jzff1r00010400000000g --reason "The accounting system is down"`, "is given back",
		func(ctx context.Context, s *session, id string) (*client.RuleAction, error) {
			key := uuid.NewString()
			res, err := s.api.ReleaseRuleActionWithResponse(ctx, id, &client.ReleaseRuleActionParams{IdempotencyKey: &key}, client.RuleAnswer{Reason: given(reason)})
			if err != nil {
				return nil, answered(nil, nil, err)
			}
			return res.JSON200, answered(res.HTTPResponse, res.Body, nil)
		})
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept")
	return cmd
}
