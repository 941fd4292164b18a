// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"time"

	"github.com/oapi-codegen/nullable"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// lagSpan is the span that a service's lag is shown for.
const lagSpan = 15 * time.Minute

func (s *server) GetServiceStatus(ctx context.Context, req spec.GetServiceStatusRequestObject) (spec.GetServiceStatusResponseObject, error) {
	v, r, err := s.serviceOf(ctx, req.Service, auth.ViewServices)
	if err != nil {
		return nil, err
	}
	statuses, err := s.Records.Statuses(ctx, who(ctx), v.ID)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	minutes, err := s.Records.Minutes(ctx, who(ctx), v.ID, now.Add(-lagSpan), now.Add(time.Minute))
	if err != nil {
		return nil, err
	}
	out := spec.GetServiceStatus200JSONResponse{
		Service: v.ID.Public(), Name: v.Name, State: spec.ServiceState(v.State), Reason: v.Reason, Revision: v.Revision,
		Systems: []spec.SystemStatus{}, Sources: []spec.SourceStatus{}, Run: nullable.NewNullNullable[spec.Run](),
	}
	lookups, err := s.Records.Lookups(ctx, who(ctx), v.ID)
	if err != nil {
		return nil, err
	}
	for i := range lookups {
		out.Sources = append(out.Sources, s.showSource(ctx, &lookups[i]))
	}
	if out.OpenConflicts, out.OpenDeadLetters, err = s.Records.CountOpen(ctx, who(ctx), v.ID); err != nil {
		return nil, err
	}
	open, err := s.Services.Runs(ctx, who(ctx), service.RunFilter{Service: v.ID, States: []service.RunState{service.RunRunning, service.RunQueued}})
	if err != nil {
		return nil, err
	}
	if len(open) > 0 { // newest first: the oldest is the one under way or next
		out.Run.Set(showRun(open[len(open)-1]))
	}
	if out.Consistency, err = s.consistencyOf(ctx, v.ID, r.Document); err != nil {
		return nil, err
	}
	lags := lagsOf(minutes)
	byID := map[record.System]engine.SystemStatus{}
	for _, status := range statuses {
		byID[status.System] = status
	}
	// The document's systems come first and in its order, also those that have done nothing yet.
	for _, system := range r.Document.Systems {
		id := record.System(system.ID)
		out.Systems = append(out.Systems, showSystem(id, s.connectorType(ctx, system.Type), byID[id], lags[id]))
		delete(byID, id)
	}
	for _, status := range statuses {
		if _, left := byID[status.System]; left {
			out.Systems = append(out.Systems, showSystem(status.System, "", status, lags[status.System]))
		}
	}
	return out, nil
}

func (s *server) showSource(ctx context.Context, f *engine.LookupFigures) spec.SourceStatus {
	left := nullable.NewNullNullable[int64]()
	if n := f.Left(); n >= 0 {
		left.Set(n)
	}
	return spec.SourceStatus{
		Source: string(f.Source), Connector: s.connectorType(ctx, f.Connector), Asked: f.Asked, Known: f.Known, Filled: f.Filled, Waiting: f.Waiting,
		Left: left, Since: f.Since, Until: f.Until, FailingSince: maybeTime(f.FailingSince), Error: codedError(f.ErrorCode, f.Error),
	}
}

// consistencyOf tells the guarantee that a service is asked for, and how far it is behind at the moment.
func (s *server) consistencyOf(ctx context.Context, id service.ID, doc *service.Document) (out spec.ServiceConsistency, err error) {
	delay, system, err := s.Records.Delay(ctx, who(ctx), id)
	if err != nil {
		return out, err
	}
	out = spec.ServiceConsistency{
		Level: spec.ServiceConsistencyLevel(doc.ConsistencyLevel()), DelayMs: delay.Milliseconds(), Late: doc.Late(delay), System: string(system),
	}
	out.MaxDelayMs.SetNull()
	if most := doc.MaxDelay(); most > 0 {
		out.MaxDelayMs.Set(most.Milliseconds())
	}
	return out, nil
}

// connectorType is the type that a document's type or alias stands for.
func (s *server) connectorType(ctx context.Context, typ string) string {
	if c, err := s.Connections.Catalog().Get(ctx, who(ctx).Tenant, typ); err == nil {
		return c.Spec().Type
	}
	return typ
}

func lagsOf(minutes []engine.Minute) map[record.System]spec.Lag {
	out := map[record.System]spec.Lag{}
	for _, m := range minutes {
		lag := out[m.System]
		lag.AverageMs += m.LagMs // a sum until the end
		lag.MaxMs = max(lag.MaxMs, m.LagMaxMs)
		lag.Count += m.LagCount
		out[m.System] = lag
	}
	for system, lag := range out {
		if lag.Count > 0 {
			lag.AverageMs /= lag.Count
		}
		out[system] = lag
	}
	return out
}

func showSystem(id record.System, connectorType string, status engine.SystemStatus, lag spec.Lag) spec.SystemStatus {
	out := spec.SystemStatus{
		System: string(id), Connector: connectorType, Phase: phaseOf(status.Flows), Objects: shown(status.Flows, showFlow),
		Owed: status.Owed, OwedAgeMs: status.OwedAge.Milliseconds(), Lag: lag,
	}
	out.Records.Synced = status.Links[record.Synced]
	out.Records.Pending = status.Links[record.Pending]
	out.Records.Conflict = status.Links[record.InDoubt]
	out.Records.Rejected = status.Links[record.Rejected]
	out.Records.Frozen = status.Links[record.Frozen]
	return out
}

// phaseOf is the system's phase in one word: what needs attention goes first.
func phaseOf(flows []engine.Flow) spec.SystemStatusPhase {
	phase := spec.SystemStatusPhaseWaiting
	for _, f := range flows {
		switch {
		case f.FailingSince != nil:
			return spec.SystemStatusPhaseFailing
		case f.Phase == connector.Snapshot:
			phase = spec.SystemStatusPhaseSnapshot
		case phase == spec.SystemStatusPhaseWaiting:
			phase = spec.SystemStatusPhaseStream
		}
	}
	return phase
}

func showFlow(f engine.Flow) spec.ObjectStatus {
	total := nullable.NewNullNullable[int64]()
	if f.Total > 0 {
		total.Set(f.Total)
	}
	every := nullable.NewNullNullable[int64]()
	if f.LookEvery > 0 {
		every.Set(f.LookEvery.Milliseconds())
	}
	return spec.ObjectStatus{
		LookEveryMs: every, NextLookAt: maybeTime(f.NextLookAt),
		Object: string(f.Object), Phase: spec.ObjectStatusPhase(f.Phase), Done: f.Done, Total: total, Detection: f.Detection, DetectionReason: f.Why,
		ReadAt: maybeTime(f.ReadAt), ChangedAt: maybeTime(f.ChangedAt), FailingSince: maybeTime(f.FailingSince), Error: codedError(f.ErrorCode, f.Error),
	}
}
