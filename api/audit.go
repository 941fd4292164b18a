// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/hex"
	"encoding/json"

	"github.com/oapi-codegen/nullable"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/audit"
)

func showEntry(e audit.Entry) spec.AuditEntry {
	detail := e.Detail
	if len(detail) == 0 {
		detail = json.RawMessage("{}")
	}
	return spec.AuditEntry{
		Seq: e.Seq, At: e.At.UTC(), Actor: spec.AuditActor{Kind: spec.AuditActorKind(e.ActorKind), ID: e.ActorID, Name: e.ActorName},
		Action: e.Action, Subject: e.Subject, Detail: detail, RequestID: e.RequestID, IP: e.IP,
		PreviousHash: hex.EncodeToString(e.Prev), Hash: hex.EncodeToString(e.Hash),
	}
}

func (s *server) ListAuditTrail(ctx context.Context, req spec.ListAuditTrailRequestObject) (spec.ListAuditTrailResponseObject, error) {
	limit := limitOf(req.Params.Limit)
	f := audit.Filter{Actor: word(req.Params.FilterActor), Action: word(req.Params.FilterAction), Subject: word(req.Params.FilterSubject), Limit: limit + 1}
	if t := req.Params.FilterSince; t != nil {
		f.Since = *t
	}
	if t := req.Params.FilterUntil; t != nil {
		f.Until = *t
	}
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &f.Before); err != nil {
		return nil, err
	}
	list, err := s.Auth.AuditTrail(ctx, who(ctx), f)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showEntry, func(e audit.Entry) any { return e.Seq })
	return spec.ListAuditTrail200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func (s *server) VerifyAuditTrail(ctx context.Context, _ spec.VerifyAuditTrailRequestObject) (spec.VerifyAuditTrailResponseObject, error) {
	r, err := s.Auth.VerifyAudit(ctx, who(ctx))
	if err != nil {
		return nil, err
	}
	broken := nullable.NewNullNullable[int64]()
	if !r.Whole() {
		broken.Set(r.BrokenAt)
	}
	return spec.VerifyAuditTrail200JSONResponse{
		Whole: r.Whole(), Entries: r.Entries, BrokenAt: broken, Head: spec.AuditHead{Seq: r.Head.Seq, Hash: hex.EncodeToString(r.Head.Hash)},
	}, nil
}
