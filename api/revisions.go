// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/service"
)

func (s *server) ListRevisions(ctx context.Context, req spec.ListRevisionsRequestObject) (spec.ListRevisionsResponseObject, error) {
	before := 0
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &before); err != nil {
		return nil, err
	}
	limit := limitOf(req.Params.Limit)
	list, err := s.Services.Revisions(ctx, who(ctx), req.Service, before, limit+1)
	if err != nil {
		return nil, err
	}
	show := func(r service.Revision) spec.RevisionSummary {
		return spec.RevisionSummary{
			Service: r.Service.Public(), Number: r.Number, Author: r.Author, Note: r.Note,
			Format: spec.RevisionSummaryFormat(r.Format), CreatedAt: r.CreatedAt.UTC(),
		}
	}
	data, next, more := page(ctx, s, list, limit, show, func(r service.Revision) any { return r.Number })
	return spec.ListRevisions200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func (s *server) GetRevision(ctx context.Context, req spec.GetRevisionRequestObject) (spec.GetRevisionResponseObject, error) {
	r, err := s.Services.Revision(ctx, who(ctx), req.Service, req.Revision)
	if err != nil {
		return nil, err
	}
	var before *service.Document
	if r.Number > 1 {
		previous, err := s.Services.Revision(ctx, who(ctx), req.Service, r.Number-1)
		if err != nil {
			return nil, err
		}
		before = previous.Document
	}
	document, err := json.Marshal(r.Document)
	if err != nil {
		return nil, fmt.Errorf("writing revision %d: %w", r.Number, err)
	}
	return spec.GetRevision200JSONResponse{
		Service: r.Service.Public(), Number: r.Number, Author: r.Author, Note: r.Note, Format: spec.RevisionDetailFormat(r.Format),
		CreatedAt: r.CreatedAt.UTC(), Document: document, Source: r.Source, Differences: differences(service.Diff(before, r.Document)),
	}, nil
}
