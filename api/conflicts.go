// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"time"

	"github.com/google/uuid"
	openapi_types "github.com/oapi-codegen/runtime/types"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/conflict"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

func showConflict(c engine.Case) spec.Conflict {
	state := spec.ConflictStateResolved
	if c.Open {
		state = spec.ConflictStateOpen
	}
	return spec.Conflict{
		ID: public(ident.Conflict, c.ID), Service: c.Service.Public(), ServiceName: c.ServiceName, Record: public(ident.Entity, c.Entity), RecordTitle: c.Title,
		Collection: c.Collection, Field: someText(c.Field), Base: c.Base, Sides: shown(c.Sides, showSide), State: state, Strategy: string(c.Strategy),
		Winner: someText(string(c.Winner)), Result: c.Result, Reason: c.Reason, DecidedBy: c.DecidedBy,
		OpenedAt: c.OpenedAt.UTC(), ResolvedAt: maybeTime(c.ResolvedAt), Version: c.Version,
	}
}

func showSide(side conflict.Side) spec.ConflictSide {
	return spec.ConflictSide{System: string(side.System), Value: side.Value, At: someTime(side.At), SeenAt: someTime(side.SeenAt), Deleted: side.Deleted}
}

func (s *server) ListConflicts(ctx context.Context, req spec.ListConflictsRequestObject) (spec.ListConflictsResponseObject, error) {
	limit := limitOf(req.Params.Limit)
	q := engine.CaseQuery{Field: word(req.Params.FilterField), Limit: limit + 1}
	var err error
	if q.Service, err = s.serviceNamed(ctx, req.Params.FilterService, auth.ViewRecords); err != nil {
		return nil, err
	}
	if req.Params.FilterRecord != nil {
		id, err := named(ident.Entity, *req.Params.FilterRecord)
		if err != nil {
			return nil, err
		}
		q.Entity = record.EntityID(id)
	}
	if req.Params.FilterState != nil {
		open := *req.Params.FilterState == spec.ConflictStateOpen
		q.Open = &open
	}
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &q.Before); err != nil {
		return nil, err
	}
	list, err := s.Records.Cases(ctx, who(ctx), q)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showConflict, func(c engine.Case) any { return c.ID })
	return spec.ListConflicts200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func conflictAnswer(c engine.Case) spec.ConflictJSONResponse {
	return spec.ConflictJSONResponse{Body: showConflict(c), Headers: spec.ConflictResponseHeaders{ETag: etag(c.Version)}}
}

func (s *server) GetConflict(ctx context.Context, req spec.GetConflictRequestObject) (spec.GetConflictResponseObject, error) {
	if err := who(ctx).May(auth.ViewRecords); err != nil {
		return nil, err
	}
	id, err := named(ident.Conflict, req.Conflict)
	if err != nil {
		return nil, err
	}
	c, err := s.Records.Case(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	if tag := etag(c.Version); current(req.Params.IfNoneMatch, tag) {
		return spec.GetConflict304Response{Headers: spec.NotModifiedResponseHeaders{ETag: tag}}, nil
	}
	return spec.GetConflict200JSONResponse{ConflictJSONResponse: conflictAnswer(c)}, nil
}

func (s *server) ResolveConflict(ctx context.Context, req spec.ResolveConflictRequestObject) (spec.ResolveConflictResponseObject, error) {
	if err := who(ctx).May(auth.ResolveConflicts); err != nil {
		return nil, err
	}
	id, err := named(ident.Conflict, req.Conflict)
	if err != nil {
		return nil, err
	}
	decision, err := decisionOf(*req.Body)
	if err != nil {
		return nil, err
	}
	if req.Params.IfMatch != nil {
		if decision.Version, err = wantedOrAny(*req.Params.IfMatch); err != nil {
			return nil, err
		}
	}
	c, err := s.Decider.Resolve(ctx, who(ctx), id, decision)
	if err != nil {
		return nil, err
	}
	token := s.tokens.write(who(ctx).Tenant, wrote{Service: uuid.UUID(c.Service), Record: uuid.UUID(c.Entity), Version: c.Wrote})
	return spec.ResolveConflict200JSONResponse{DecidedConflictJSONResponse: spec.DecidedConflictJSONResponse{Body: showConflict(c),
		Headers: spec.DecidedConflictResponseHeaders{ETag: etag(c.Version), SynclineConsistencyToken: token}}}, nil
}

// decisionOf reads a decision: exactly one of its three forms.
func decisionOf(body spec.Decision) (engine.Decision, error) {
	d := engine.Decision{Side: record.System(word(body.Side)), Strategy: conflict.Strategy(word(body.Strategy)), Reason: word(body.Reason)}
	given := 0
	for _, is := range []bool{body.Side != nil, body.Strategy != nil, body.Value.IsSpecified()} {
		if is {
			given++
		}
	}
	if given != 1 {
		return d, fault.New(fault.Invalid, "conflict.decision_invalid", "Give exactly one of side, value and strategy.").
			At(fault.Field{Message: "A decision names one side, gives one value, or lets a strategy decide.", Remedy: "Leave the others out."})
	}
	if body.Value.IsSpecified() {
		var v record.Value
		if raw, err := body.Value.Get(); err == nil {
			if v, err = record.ParseJSON(raw); err != nil {
				return d, fault.Wrap(err, fault.Invalid, "conflict.decision_invalid", "The value cannot be read.").At(fault.Field{Pointer: "/value", Message: "The value cannot be read."})
			}
		}
		d.Value = &v
	}
	return d, nil
}

func (s *server) GetConflictStatistics(ctx context.Context, req spec.GetConflictStatisticsRequestObject) (spec.GetConflictStatisticsResponseObject, error) {
	var span engine.ConflictSpan
	var err error
	if span.Service, err = s.serviceNamed(ctx, req.Params.FilterService, auth.ViewRecords); err != nil {
		return nil, err
	}
	if t := req.Params.FilterSince; t != nil {
		span.Since = *t
	}
	if t := req.Params.FilterUntil; t != nil {
		span.Until = *t
	}
	st, err := s.Records.ConflictStatistics(ctx, who(ctx), span)
	if err != nil {
		return nil, err
	}
	return spec.GetConflictStatistics200JSONResponse(showStatistics(st)), nil
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

func showStatistics(st engine.ConflictStatistics) (out spec.ConflictStatistics) {
	out.Since, out.Until = st.Since.UTC(), st.Until.UTC()
	out.Opened, out.Open, out.ByRule, out.ByPerson = st.Opened, st.Open, st.ByRule, st.ByPerson
	out.WaitedSeconds, out.Overturned = seconds(st.Waited), st.Overturned
	out.Days = shown(st.Days, func(d engine.ConflictDay) spec.ConflictDay {
		return spec.ConflictDay{Day: openapi_types.Date{Time: d.Day}, Waiting: d.Waiting, ByRule: d.Ruled, ByPerson: d.ByPerson}
	})
	out.Fields = shown(st.Fields, func(f engine.ConflictField) spec.ConflictFieldCount {
		return spec.ConflictFieldCount{Service: f.Service.Public(), ServiceName: f.ServiceName, Collection: f.Collection, Field: someText(f.Field), Count: f.Count, Open: f.Open}
	})
	out.Pairs = shown(st.Pairs, func(p engine.ConflictPair) spec.ConflictPair {
		return spec.ConflictPair{Systems: []string{string(p.A), string(p.B)}, Count: p.Count, Won: []int64{p.WonA, p.WonB}}
	})
	out.People = shown(st.People, func(p engine.ConflictPerson) spec.ConflictPerson {
		return spec.ConflictPerson{Name: p.Name, Decided: p.Decided, Overturned: p.Overturned, WaitedSeconds: seconds(p.Waited)}
	})
	out.Strategies = shown(st.Strategies, func(s engine.ConflictStrategy) spec.ConflictStrategyCount {
		return spec.ConflictStrategyCount{Strategy: string(s.Strategy), Decided: s.Decided, Overturned: s.Overturned}
	})
	return out
}

func (s *server) ReplayConflicts(ctx context.Context, req spec.ReplayConflictsRequestObject) (spec.ReplayConflictsResponseObject, error) {
	id, err := s.serviceNamed(ctx, &req.Service, auth.ViewRecords)
	if err != nil {
		return nil, err
	}
	tried := service.FieldResolution{Strategy: req.Body.Strategy, Expression: word(req.Body.Expression), Arrays: string(word(req.Body.Arrays)), ArrayKey: word(req.Body.ArrayKey)}
	if req.Body.Priority != nil {
		tried.Priority = *req.Body.Priority
	}
	since := time.Time{}
	if req.Body.Since != nil {
		since = *req.Body.Since
	}
	r, err := s.Records.ReplayConflicts(ctx, who(ctx), id, tried, word(req.Body.Field), since)
	if err != nil {
		return nil, err
	}
	return spec.ReplayConflicts200JSONResponse{
		Conflicts: r.Conflicts, Same: r.Same, Different: r.Different, Left: r.Left, Decided: r.Decided, Agreed: r.Agreed,
		Changes: shown(r.Changes, func(c engine.ReplayChange) spec.ReplayChange {
			was := showConflict(c.Case)
			return spec.ReplayChange{Conflict: was.ID, Record: was.Record, RecordTitle: was.RecordTitle, Field: c.Field, OpenedAt: was.OpenedAt, State: was.State,
				Result: was.Result, Winner: was.Winner, DecidedBy: was.DecidedBy, WouldBe: c.Would.Value, WouldWin: someText(string(c.Would.Winner)), Reason: c.Would.Reason}
		}),
	}, nil
}
