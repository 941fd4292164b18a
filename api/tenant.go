// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/tenant"
)

func showTenant(t tenant.Tenant) spec.Tenant {
	return spec.Tenant{
		ID: public(ident.Tenant, t.ID), Name: t.Name, Slug: t.Slug, State: spec.TenantState(t.State), Region: t.Region,
		TimeZone: t.TimeZone, Demo: t.Demo, CreatedAt: t.CreatedAt.UTC(), Version: t.Version,
	}
}

func (s *server) GetTenant(ctx context.Context, req spec.GetTenantRequestObject) (spec.GetTenantResponseObject, error) {
	t, err := s.Auth.Tenant(ctx, who(ctx))
	if err != nil {
		return nil, err
	}
	tag := etag(t.Version)
	if current(req.Params.IfNoneMatch, tag) {
		return spec.GetTenant304Response{Headers: spec.NotModifiedResponseHeaders{ETag: tag}}, nil
	}
	return spec.GetTenant200JSONResponse{Body: showTenant(t), Headers: spec.GetTenant200ResponseHeaders{ETag: tag}}, nil
}

func (s *server) UpdateTenant(ctx context.Context, req spec.UpdateTenantRequestObject) (spec.UpdateTenantResponseObject, error) {
	version, err := wantedOrAny(req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	t, err := s.Auth.ReviseTenant(ctx, who(ctx), word(req.Body.Name), word(req.Body.TimeZone), version)
	if err != nil {
		return nil, err
	}
	return spec.UpdateTenant200JSONResponse{Body: showTenant(t), Headers: spec.UpdateTenant200ResponseHeaders{ETag: etag(t.Version)}}, nil
}
