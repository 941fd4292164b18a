// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"time"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
)

func showKey(k auth.Key) spec.APIKey {
	scopes := make([]spec.Scope, len(k.Scopes))
	for i, scope := range k.Scopes {
		scopes[i] = spec.Scope(scope)
	}
	return spec.APIKey{
		ID: k.ID.String(), Name: k.Name, LastFour: k.LastFour, Scopes: scopes, CreatedBy: k.CreatedBy, CreatedAt: k.CreatedAt.UTC(),
		ExpiresAt: someTime(k.ExpiresAt), LastUsedAt: someTime(k.LastUsedAt), RevokedAt: someTime(k.RevokedAt), Version: k.Version,
	}
}

// keyTag: the last use is noted without a new version.
func keyTag(k auth.Key) string { return etag(k.Version, k.LastUsedAt.UnixMicro()) }

func (s *server) ListAPIKeys(ctx context.Context, req spec.ListAPIKeysRequestObject) (spec.ListAPIKeysResponseObject, error) {
	var after auth.KeyID
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &after); err != nil {
		return nil, err
	}
	limit := limitOf(req.Params.Limit)
	list, err := s.Auth.Keys(ctx, who(ctx), after, limit+1)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showKey, func(k auth.Key) any { return k.ID })
	return spec.ListAPIKeys200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func (s *server) CreateAPIKey(ctx context.Context, req spec.CreateAPIKeyRequestObject) (spec.CreateAPIKeyResponseObject, error) {
	var expires time.Time
	if v, err := req.Body.ExpiresAt.Get(); err == nil {
		expires = v
	}
	text, k, err := s.Auth.CreateKey(ctx, who(ctx), req.Body.Name, words[auth.Scope](&req.Body.Scopes), expires)
	if err != nil {
		return nil, err
	}
	shown := showKey(k)
	return spec.CreateAPIKey201JSONResponse{
		Body: spec.CreatedAPIKey{
			ID: shown.ID, Name: shown.Name, LastFour: shown.LastFour, Scopes: shown.Scopes, CreatedBy: shown.CreatedBy, CreatedAt: shown.CreatedAt,
			ExpiresAt: shown.ExpiresAt, LastUsedAt: shown.LastUsedAt, RevokedAt: shown.RevokedAt, Version: shown.Version, Key: text.Reveal(),
		},
		Headers: spec.CreateAPIKey201ResponseHeaders{Location: "/v1/api-keys/" + shown.ID, ETag: keyTag(k)},
	}, nil
}

func (s *server) GetAPIKey(ctx context.Context, req spec.GetAPIKeyRequestObject) (spec.GetAPIKeyResponseObject, error) {
	if err := who(ctx).May(auth.ViewKeys); err != nil {
		return nil, err
	}
	id, err := auth.ParseKeyID(req.APIKey)
	if err != nil {
		return nil, err
	}
	k, err := s.Auth.Key(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	tag := keyTag(k)
	if current(req.Params.IfNoneMatch, tag) {
		return spec.GetAPIKey304Response{Headers: spec.NotModifiedResponseHeaders{ETag: tag}}, nil
	}
	return spec.GetAPIKey200JSONResponse{Body: showKey(k), Headers: spec.GetAPIKey200ResponseHeaders{ETag: tag}}, nil
}

func (s *server) RevokeAPIKey(ctx context.Context, req spec.RevokeAPIKeyRequestObject) (spec.RevokeAPIKeyResponseObject, error) {
	if err := who(ctx).May(auth.EditKeys); err != nil {
		return nil, err
	}
	version, err := wantedOrAny(req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	id, err := auth.ParseKeyID(req.APIKey)
	if err != nil {
		return nil, err
	}
	if _, err := s.Auth.RevokeKey(ctx, who(ctx), id, version); err != nil {
		return nil, err
	}
	return spec.RevokeAPIKey204Response{}, nil
}
