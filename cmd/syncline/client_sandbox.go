// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
)

func sandboxCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sandbox CONNECTION",
		Short: "The simulated account of a connection: its records, and trouble on demand",
		Long:  "Show what a simulated account holds and the trouble that its next calls meet; change records as somebody at the vendor would (docs/sandbox.md).",
		Example: `  syncline sandbox crm-contact-sync/salesforce
  syncline sandbox edit crm-contact-sync/hubspot contacts 501 phone=+4930123456
  syncline sandbox trouble crm-contact-sync/zendesk --kind lost-answer --share 20
  syncline sandbox trouble crm-contact-sync/zendesk --heal`,
		Args: exactArgs(1, "sandbox takes one connection; syncline export names those of a service"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			return s.sandbox(cmd.Context(), args[0])
		},
	}
	var gone bool
	edit := &cobra.Command{
		Use:   "edit CONNECTION TABLE [KEY] FIELD=VALUE...",
		Short: "Change a record as somebody at the vendor would; without a key, make one",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usageError{fmt.Errorf("edit takes a connection, a table, the key of a record or none for a new one, and its fields")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			body := client.SandboxEdit{Table: args[1]}
			rest := args[2:]
			if len(rest) > 0 && !strings.Contains(rest[0], "=") {
				body.Key, rest = &rest[0], rest[1:]
			}
			fields := map[string]string{}
			for _, f := range rest {
				name, value, ok := strings.Cut(f, "=")
				if !ok {
					return usageError{fmt.Errorf("%q is no FIELD=VALUE", f)}
				}
				fields[name] = value
			}
			if gone == (len(fields) > 0) {
				return usageError{fmt.Errorf("give fields to change, or --delete and a key")}
			}
			if !gone {
				body.Fields = &fields
			}
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			res, err := s.api.EditSandboxWithResponse(cmd.Context(), args[0], body)
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			s.say("Done. The service sees it at its next look.")
			return nil
		},
	}
	edit.Flags().BoolVar(&gone, "delete", false, "delete the record")
	var kind string
	var share, times, seconds int
	var heal bool
	trouble := &cobra.Command{
		Use:   "trouble CONNECTION --kind KIND [--share PERCENT] [--times N] [--seconds S]",
		Short: "Let the simulated vendor fail: rate-limit, unavailable, slow, lost-answer, tokens-end, hooks-lost, hooks-doubled",
		Args:  exactArgs(1, "trouble takes one connection"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if heal == (kind != "") {
				return usageError{fmt.Errorf("give --kind, or --heal")}
			}
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			return s.trouble(cmd.Context(), args[0], kind, share, times, seconds)
		},
	}
	trouble.Flags().StringVar(&kind, "kind", "", "what happens")
	trouble.Flags().IntVar(&share, "share", 0, "per cent of the calls that meet it; 0 is all")
	trouble.Flags().IntVar(&times, "times", 0, "how many calls meet it until it is over; 0 is without end")
	trouble.Flags().IntVar(&seconds, "seconds", 0, "how long a slow answer takes, or what a rate limit says to wait; 0 is 2")
	trouble.Flags().BoolVar(&heal, "heal", false, "take all trouble away")
	reset := &cobra.Command{
		Use:   "reset CONNECTION",
		Short: "Make the simulated account as new; a service that uses it sees its old records as deleted",
		Args:  exactArgs(1, "reset takes one connection"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			res, err := s.api.ResetSandboxWithResponse(cmd.Context(), args[0])
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			s.say("The account is as new.")
			return nil
		},
	}
	cmd.AddCommand(edit, trouble, reset)
	return cmd
}

// exactArgs requires n arguments and says what they are.
func exactArgs(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("%s", what)}
		}
		return nil
	}
}

func (s *session) account(ctx context.Context, connection string) (*client.Sandbox, error) {
	res, err := s.api.GetSandboxWithResponse(ctx, connection)
	if err != nil {
		return nil, answered(nil, nil, err)
	}
	return res.JSON200, answered(res.HTTPResponse, res.Body, nil)
}

func (s *session) sandbox(ctx context.Context, connection string) error {
	account, err := s.account(ctx, connection)
	if err != nil {
		return err
	}
	if s.json {
		return s.printJSON(account)
	}
	for _, t := range account.Tables {
		s.say("%s (%s): %d", t.Title, t.Name, t.Total)
		if len(t.Records) == 0 {
			continue
		}
		var columns []string
		for _, r := range t.Records {
			for name := range r.Fields {
				if !slices.Contains(columns, name) {
					columns = append(columns, name)
				}
			}
		}
		slices.Sort(columns)
		err := s.table(func(row func(...any)) {
			head := []any{"KEY"}
			for _, c := range columns {
				head = append(head, strings.ToUpper(c))
			}
			row(head...)
			for _, r := range t.Records {
				line := []any{r.Key}
				for _, c := range columns {
					line = append(line, r.Fields[c])
				}
				row(line...)
			}
		})
		if err != nil {
			return err
		}
	}
	for _, f := range account.Faults {
		s.say("Trouble: %s, share %d %%, times %d, seconds %d (0 is all, no end).", f.Kind, given(f.Share), given(f.Times), given(f.Seconds))
	}
	return nil
}

// trouble adds one to what waits; none of that kind heals the account.
func (s *session) trouble(ctx context.Context, connection, kind string, share, times, seconds int) error {
	body := client.SandboxFaults{Faults: []client.SandboxFault{}}
	if kind != "" {
		account, err := s.account(ctx, connection)
		if err != nil {
			return err
		}
		body.Faults = append(account.Faults, client.SandboxFault{Kind: client.SandboxTrouble(kind), Share: &share, Times: &times, Seconds: &seconds})
	}
	res, err := s.api.SetSandboxFaultsWithResponse(ctx, connection, body)
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	if kind == "" {
		s.say("The vendor answers as usual again.")
	} else {
		s.say("The next calls meet it. Take it away with syncline sandbox trouble %s --heal.", connection)
	}
	return nil
}

// given is the value, or the zero value for nil.
func given[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
