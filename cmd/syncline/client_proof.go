// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
)

func proofCommand() *cobra.Command {
	var run, list bool
	cmd := &cobra.Command{
		Use:   "proof SERVICE",
		Short: "How many records are equal in all systems, and why the others are not",
		Long: `How many records are equal in all systems, as of when, and why the others are not: what the last complete comparison
found. With --run all records are compared now, and the comparison is followed to its end; Ctrl-C gives it up. Exits with 0
when everything is equal, and with 1 otherwise.`,
		Example: `  syncline proof stock
  syncline proof stock --run --differences`,
		Args: oneService,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			return s.proof(cmd.Context(), args[0], run, list)
		},
	}
	cmd.Flags().BoolVar(&run, "run", false, "compare now, and wait for it")
	cmd.Flags().BoolVar(&list, "differences", false, "list the records that differ")
	return cmd
}

func (s *session) getProof(ctx context.Context, service string) (*client.Proof, error) {
	res, err := s.api.GetProofWithResponse(ctx, service)
	if err != nil {
		return nil, answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return nil, err
	}
	return res.JSON200, nil
}

func (s *session) proof(ctx context.Context, service string, run, list bool) error {
	if run {
		if err := s.prove(ctx, service); err != nil {
			return err
		}
	}
	p, err := s.getProof(ctx, service)
	if err != nil {
		return err
	}
	var differences []client.ProofDifference
	if list && p.State != client.ProofStateNever {
		if differences, err = s.differences(ctx, service); err != nil {
			return err
		}
	}
	switch {
	case s.json && list:
		err = s.printJSON(map[string]any{"proof": p, "differences": differences})
	case s.json:
		err = s.printJSON(p)
	default:
		err = s.showProof(p, differences)
	}
	if err == nil && p.State != client.ProofStateEqual {
		return exitWith(exitFailed)
	}
	return err
}

// prove asks for a comparison and follows it to its end.
func (s *session) prove(ctx context.Context, service string) error {
	before, err := s.getProof(ctx, service)
	if err != nil {
		return err
	}
	asking, done := outlasting(ctx)
	defer done()
	key := uuid.NewString()
	res, err := s.api.ProveWithResponse(asking, service, &client.ProveParams{IdempotencyKey: &key})
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	s.say("Comparing all records of %s. Ctrl-C gives it up.", service)
	said := time.Now()
	for {
		select {
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), waitForCancel)
			defer cancel()
			if _, err := s.api.CancelProofWithResponse(end, service, nil); err != nil {
				return answered(nil, nil, err)
			}
			return ctx.Err()
		case <-time.After(lookAgain):
		}
		p, err := s.getProof(ctx, service)
		if ctx.Err() != nil {
			continue
		}
		if err != nil {
			return err
		}
		running, err := p.Running.Get()
		if err != nil {
			was, _ := before.CompletedAt.Get()
			if is, err := p.CompletedAt.Get(); err != nil || is.Equal(was) {
				return fmt.Errorf("the comparison was given up")
			}
			return nil
		}
		if time.Since(said) > sayAgain {
			said = time.Now()
			s.say("%d of %d compared", running.Done, running.Total)
		}
	}
}

func (s *session) differences(ctx context.Context, service string) (list []client.ProofDifference, err error) {
	params := &client.ListDifferencesParams{}
	for {
		res, err := s.api.ListDifferencesWithResponse(ctx, service, params)
		if err != nil {
			return nil, answered(nil, nil, err)
		}
		if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
			return nil, err
		}
		list = append(list, res.JSON200.Data...)
		next, err := res.JSON200.NextCursor.Get()
		if err != nil {
			return list, nil
		}
		params.Cursor = &next
	}
}

func (s *session) showProof(p *client.Proof, differences []client.ProofDifference) error {
	asOf, err := p.AsOf.Get()
	if err != nil {
		return s.print("Nothing was compared yet.\n")
	}
	if err := s.print("%d of %d equal as of %s\n", p.Equal, p.Total, asOf.Local().Format(time.DateTime)); err != nil {
		return err
	}
	err = s.table(func(row func(...any)) {
		for _, one := range p.Systems {
			if one.Failed != "" {
				row(one.System, one.Object, "not compared", one.Failed, "")
				continue
			}
			var why []string
			for _, reason := range slices.Sorted(maps.Keys(one.Reasons)) {
				why = append(why, fmt.Sprintf("%s %d", reason, one.Reasons[reason]))
			}
			if one.Healed > 0 {
				why = append(why, fmt.Sprintf("healed %d", one.Healed))
			}
			how := fmt.Sprintf("%d compared by %s", one.Records, one.How)
			if one.How == client.ProofSystemHowNone {
				how = "cannot be read"
			}
			row(one.System, one.Object, how, fmt.Sprintf("%d equal", one.Equal), strings.Join(why, ", "))
		}
	})
	if err != nil || len(differences) == 0 {
		return err
	}
	return s.table(func(row func(...any)) {
		row("SYSTEM", "KEY", "RECORD", "REASON", "FIELDS")
		for _, d := range differences {
			reason := string(d.Reason)
			if d.Healed {
				reason += ", healed"
			}
			row(d.System, d.Key, d.Title, reason, strings.Join(d.Fields, ", "))
		}
	})
}
