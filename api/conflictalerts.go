// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"time"

	"github.com/oapi-codegen/nullable"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/ident"
)

func showConflictAlert(a engine.ConflictAlert) spec.ConflictAlert {
	field := nullable.NewNullNullable[string]()
	if a.Field != nil {
		field.Set(*a.Field)
	}
	return spec.ConflictAlert{
		ID: public(ident.ConflictAlert, a.ID), Service: a.Service.Public(), ServiceName: a.ServiceName, Field: field, Conflicts: a.Conflicts, Count: a.Count,
		WithinSeconds: int64(a.Within / time.Second), At: a.At.UTC(),
	}
}

func (s *server) ListConflictAlerts(ctx context.Context, req spec.ListConflictAlertsRequestObject) (spec.ListConflictAlertsResponseObject, error) {
	limit := limitOf(req.Params.Limit)
	q := engine.AlertQuery{Limit: limit + 1}
	var err error
	if q.Service, err = s.serviceNamed(ctx, req.Params.FilterService, auth.ViewRecords); err != nil {
		return nil, err
	}
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &q.Before); err != nil {
		return nil, err
	}
	list, err := s.Records.ConflictAlerts(ctx, who(ctx), q)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showConflictAlert, func(a engine.ConflictAlert) any { return a.ID })
	return spec.ListConflictAlerts200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}
