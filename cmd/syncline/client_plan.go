// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/api/client"
)

// foresee has a plan of a document made, and shows it.
func (s *session) foresee(ctx context.Context, f documentFile) error {
	asking, done := outlasting(ctx)
	defer done()
	res, err := s.api.PlanServiceWithBodyWithResponse(asking, f.name, &client.PlanServiceParams{IdempotencyKey: uuid.NewString()}, f.mediaType(), bytes.NewReader(f.source))
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	p, err := s.followPlan(ctx, res.JSON202)
	if err != nil {
		return err
	}
	if err := s.printServicePlan(p); err != nil {
		return err
	}
	if hash, err := p.Hash.Get(); err == nil {
		s.say("To do exactly this: syncline apply -f %s --plan %s", f.path, hash)
	}
	return nil
}

// followPlan waits for a plan and says how it does. When ctx ends the plan is cancelled.
func (s *session) followPlan(ctx context.Context, p *client.ServicePlan) (*client.ServicePlan, error) {
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	said := ""
	for p.FinishedAt.IsNull() && p.Error.IsNull() {
		text := planProgress(p)
		switch {
		case s.quiet:
		case s.live:
			_, _ = fmt.Fprintf(s.talk, "\r\x1b[K%s", text) // nobody looks any more, then
		case string(p.Progress.Step)+p.Progress.System != said:
			said = string(p.Progress.Step) + p.Progress.System
			s.say("%s", text)
		}
		select {
		case <-ctx.Done():
			s.say("Cancelling the plan.")
			res, err := s.api.CancelServicePlanWithResponse(context.WithoutCancel(ctx), p.Service, p.ID)
			if err != nil {
				return nil, answered(nil, nil, err)
			}
			return nil, fmt.Errorf("the plan is cancelled: %w", answeredOr(answered(res.HTTPResponse, res.Body, nil), ctx.Err()))
		case <-look.C:
		}
		res, err := s.api.GetServicePlanWithResponse(ctx, p.Service, p.ID)
		if ctx.Err() != nil {
			continue
		}
		if err != nil {
			return nil, answered(nil, nil, err)
		}
		if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
			return nil, err
		}
		p = res.JSON200
	}
	if s.live && !s.quiet {
		_, _ = fmt.Fprint(s.talk, "\r\x1b[K") // likewise
	}
	return p, nil
}

func answeredOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

func planProgress(p *client.ServicePlan) string {
	switch at := p.Progress; at.Step {
	case client.ServicePlanProgressStepReading:
		if at.Total > 0 {
			return fmt.Sprintf("reading %s: %d of %d records", at.System, at.Done, at.Total)
		}
		return fmt.Sprintf("reading %s: %d records", at.System, at.Done)
	case client.ServicePlanProgressStepComparing:
		return fmt.Sprintf("comparing: %d records", at.Done)
	default:
		return "the plan is " + string(p.State)
	}
}

// printServicePlan writes what would happen. A plan that could not be made is an error.
func (s *session) printServicePlan(p *client.ServicePlan) error {
	if s.json {
		if err := s.printJSON(p); err != nil {
			return err
		}
	}
	if e, err := p.Error.Get(); err == nil {
		if !s.json {
			s.say("The plan could not be made: %s (%s)", e.Message, e.Code)
		}
		return exitWith(exitFailed)
	}
	if p.State != client.ServicePlanStateReady {
		s.say("The plan is %s.", p.State)
		return exitWith(exitFailed)
	}
	if s.json {
		return nil
	}
	if p.TakesEffect == client.ServicePlanTakesEffectNextChange {
		s.say("Applying reads nothing anew: it counts for each record from its next change on. This is what reading all records again would do:")
	}
	err := s.table(func(row func(...any)) {
		row("SYSTEM", "READ", "CREATE", "UPDATE", "DELETE", "MATCHED", "CONFLICTS", "OPEN", "DUPLICATE", "AMBIGUOUS", "INVALID", "FILTERED", "HELD", "WAITING", "CIRCULAR", "ORPHANS")
		line := func(name string, f client.ServicePlanFigures) {
			row(name, f.Records, f.Creates, f.Updates, f.Deletes, f.Matched, f.Conflicts, f.OpenConflicts, f.Duplicates, f.Ambiguous, f.Invalid, f.Filtered, f.Held, f.AwaitingReference, f.Circular, f.Orphans)
		}
		for _, system := range p.Systems {
			line(system.System, system.Figures)
		}
		line("in all", p.Totals)
	})
	if err != nil {
		return err
	}
	for _, e := range p.Samples {
		if err := s.print("  %-9s %s %s %s\n", e.Kind, e.System, orElse(e.Title, e.Key), sampleText(e)); err != nil {
			return err
		}
	}
	for _, w := range p.Warnings {
		s.say("Warning: %s", w.Message)
	}
	if c, err := p.Cost.Get(); err == nil {
		s.say("It would add %s %s to this month, for %d operations.", c.Cost, strings.ToUpper(c.Currency), p.Totals.Operations)
	} else {
		s.say("%d operations.", p.Totals.Operations)
	}
	return nil
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// sampleText is what changes, on one line.
func sampleText(e client.ServicePlanSample) string {
	var parts []string
	names := slices.Sorted(maps.Keys(e.After))
	if len(e.After) == 0 {
		names = slices.Sorted(maps.Keys(e.Before))
	}
	for _, f := range names {
		before, had := e.Before[f]
		after, has := e.After[f]
		switch {
		case had && has:
			parts = append(parts, fmt.Sprintf("%s: %s -> %s", f, short(before), short(after)))
		case has:
			parts = append(parts, fmt.Sprintf("%s: %s", f, short(after)))
		default:
			parts = append(parts, fmt.Sprintf("%s: %s", f, short(before)))
		}
	}
	text := []rune(strings.Join(parts, ", "))
	if len(text) > 160 {
		text = append(text[:157], []rune("...")...)
	}
	return string(text)
}
