// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/vault"
)

func showSecret(v vault.Secret) spec.Secret {
	return spec.Secret{Name: v.Name, SetBy: v.SetBy, CreatedAt: v.CreatedAt.UTC(), UpdatedAt: v.UpdatedAt.UTC(), Version: v.Version}
}

func (s *server) ListSecrets(ctx context.Context, req spec.ListSecretsRequestObject) (spec.ListSecretsResponseObject, error) {
	var after string
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &after); err != nil {
		return nil, err
	}
	limit := limitOf(req.Params.Limit)
	list, err := s.Secrets.List(ctx, who(ctx), after, limit+1)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showSecret, func(v vault.Secret) any { return v.Name })
	return spec.ListSecrets200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func (s *server) GetSecret(ctx context.Context, req spec.GetSecretRequestObject) (spec.GetSecretResponseObject, error) {
	v, err := s.Secrets.Get(ctx, who(ctx), req.Secret)
	if err != nil {
		return nil, err
	}
	tag := etag(v.Version)
	if current(req.Params.IfNoneMatch, tag) {
		return spec.GetSecret304Response{Headers: spec.NotModifiedResponseHeaders{ETag: tag}}, nil
	}
	return spec.GetSecret200JSONResponse{Body: showSecret(v), Headers: spec.GetSecret200ResponseHeaders{ETag: tag}}, nil
}

func (s *server) SetSecret(ctx context.Context, req spec.SetSecretRequestObject) (spec.SetSecretResponseObject, error) {
	onlyNew := req.Params.IfNoneMatch != nil
	wanted, err := precondition(req.Params.IfMatch, onlyNew)
	if err != nil {
		return nil, err
	}
	version := int64(0)
	switch {
	case onlyNew:
		version = vault.NewOnly
	case wanted != nil:
		version = *wanted
	}
	v, err := s.Secrets.Set(ctx, who(ctx), req.Secret, req.Body.Value, version)
	if err != nil {
		return nil, err
	}
	tag := etag(v.Version)
	if v.Version == 1 {
		return spec.SetSecret201JSONResponse{Body: showSecret(v), Headers: spec.SetSecret201ResponseHeaders{ETag: tag, Location: "/v1/secrets/" + v.Name}}, nil
	}
	return spec.SetSecret200JSONResponse{Body: showSecret(v), Headers: spec.SetSecret200ResponseHeaders{ETag: tag}}, nil
}

func (s *server) DeleteSecret(ctx context.Context, req spec.DeleteSecretRequestObject) (spec.DeleteSecretResponseObject, error) {
	version, err := wantedOrAny(req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	if err := s.Secrets.Delete(ctx, who(ctx), req.Secret, version); err != nil {
		return nil, err
	}
	return spec.DeleteSecret204Response{}, nil
}
