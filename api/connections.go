// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"time"

	"github.com/oapi-codegen/nullable"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/ident"
)

func showConnection(c connection.Connection) spec.Connection {
	owner := nullable.NewNullNullable[string]()
	if c.Owner != nil {
		owner.Set(public(ident.Service, *c.Owner))
	}
	settings := map[string]string{}
	maps.Copy(settings, c.Settings)
	return spec.Connection{
		ID: c.ID.Public(), Name: c.Name, Connector: c.Connector, Settings: settings, SecretSettings: texts(c.Secrets), Service: owner,
		State: spec.ConnectionState(c.State), Reason: c.Reason, CheckedAt: maybeTime(c.CheckedAt),
		CreatedAt: c.CreatedAt.UTC(), UpdatedAt: c.UpdatedAt.UTC(), Version: c.Version,
	}
}

// connectionTag: its health, and who uses it, change without a new version.
func connectionTag(c connection.Connection, usedBy ...string) string {
	checked := int64(0)
	if c.CheckedAt != nil {
		checked = c.CheckedAt.UnixMicro()
	}
	return etag(c.Version, c.State, "\x00", c.Reason, "\x00", checked, "\x00", usedBy)
}

func showListening(l *connection.Listening) nullable.Nullable[spec.ConnectionSubscription] {
	if l == nil {
		return nullable.NewNullNullable[spec.ConnectionSubscription]()
	}
	return nullable.NewNullableWithValue(spec.ConnectionSubscription{
		State: spec.ConnectionSubscriptionState(l.State()), Callback: l.Callback, Since: maybeTime(l.Since), Until: maybeTime(l.EndsAt), RenewAt: maybeTime(l.RenewAt), Reason: l.Reason, PausedAt: maybeTime(l.PausedAt),
	})
}

func (s *server) ListConnections(ctx context.Context, req spec.ListConnectionsRequestObject) (spec.ListConnectionsResponseObject, error) {
	limit := limitOf(req.Params.Limit)
	f := connection.Filter{States: words[connection.State](req.Params.FilterState), Connector: word(req.Params.FilterConnector), Limit: limit + 1}
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &f.After); err != nil {
		return nil, err
	}
	if c, err := s.Connections.Catalog().Get(ctx, who(ctx).Tenant, f.Connector); err == nil {
		f.Connector = c.Spec().Type // it may have been named by an alias
	}
	list, err := s.Connections.List(ctx, who(ctx), f)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showConnection, func(c connection.Connection) any { return c.Name })
	return spec.ListConnections200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

func (s *server) CreateConnection(ctx context.Context, req spec.CreateConnectionRequestObject) (spec.CreateConnectionResponseObject, error) {
	n := connection.New{Name: req.Body.Name, Connector: req.Body.Connector}
	if req.Body.Settings != nil {
		n.Settings = *req.Body.Settings
	}
	c, err := s.Connections.Create(ctx, who(ctx), n)
	if err != nil {
		return nil, err
	}
	return spec.CreateConnection201JSONResponse{
		Body:    showConnection(c),
		Headers: spec.CreateConnection201ResponseHeaders{ETag: connectionTag(c), Location: "/v1/connections/" + c.ID.Public()},
	}, nil
}

func (s *server) GetConnection(ctx context.Context, req spec.GetConnectionRequestObject) (spec.GetConnectionResponseObject, error) {
	c, err := s.Connections.Get(ctx, who(ctx), req.Connection)
	if err != nil {
		return nil, err
	}
	usedBy, err := s.Connections.UsedBy(ctx, who(ctx), c.ID.Public())
	if err != nil {
		return nil, err
	}
	listening, err := s.Connections.Listening(ctx, who(ctx), c.ID.Public())
	if err != nil {
		return nil, err
	}
	body := showConnection(c)
	body.Subscription = showListening(listening)
	tag := connectionTag(c, append(usedBy, fmt.Sprintf("%+v", body.Subscription))...)
	if current(req.Params.IfNoneMatch, tag) {
		return spec.GetConnection304Response{Headers: spec.NotModifiedResponseHeaders{ETag: tag}}, nil
	}
	usedBy = texts(usedBy)
	body.UsedBy = &usedBy
	return spec.GetConnection200JSONResponse{Body: body, Headers: spec.GetConnection200ResponseHeaders{ETag: tag}}, nil
}

func (s *server) UpdateConnection(ctx context.Context, req spec.UpdateConnectionRequestObject) (spec.UpdateConnectionResponseObject, error) {
	if err := who(ctx).May(auth.EditConnections); err != nil {
		return nil, err
	}
	version, err := wanted(req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	change := connection.Change{Name: req.Body.Name, IfMatch: version}
	if req.Body.Settings != nil {
		// A merge patch goes by what is there; the version read here makes sure that it still is.
		before, err := s.Connections.Get(ctx, who(ctx), req.Connection)
		if err != nil {
			return nil, err
		}
		if version == nil {
			change.IfMatch = &before.Version
		}
		change.Settings = merged(before.Settings, *req.Body.Settings)
	}
	c, err := s.Connections.Update(ctx, who(ctx), req.Connection, change)
	if err != nil {
		return nil, err
	}
	return spec.UpdateConnection200JSONResponse{Body: showConnection(c), Headers: spec.UpdateConnection200ResponseHeaders{ETag: connectionTag(c)}}, nil
}

// merged applies a merge patch to settings (RFC 7396). null removes a setting; the manager takes "" for a secret one's removal.
func merged(settings connector.Settings, patch map[string]*string) connector.Settings {
	out := connector.Settings{}
	maps.Copy(out, settings)
	for name, value := range patch {
		if value == nil {
			out[name] = ""
		} else {
			out[name] = *value
		}
	}
	return out
}

func (s *server) DeleteConnection(ctx context.Context, req spec.DeleteConnectionRequestObject) (spec.DeleteConnectionResponseObject, error) {
	version, err := wanted(req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	if err := s.Connections.Delete(ctx, who(ctx), req.Connection, version); err != nil {
		return nil, err
	}
	return spec.DeleteConnection204Response{}, nil
}

func (s *server) TestConnection(ctx context.Context, req spec.TestConnectionRequestObject) (spec.TestConnectionResponseObject, error) {
	c, err := s.Connections.Test(ctx, who(ctx), req.Connection)
	if err != nil {
		return nil, err
	}
	return spec.TestConnection200JSONResponse{Body: showConnection(c), Headers: spec.TestConnection200ResponseHeaders{ETag: connectionTag(c)}}, nil
}

func (s *server) ResetConnection(ctx context.Context, req spec.ResetConnectionRequestObject) (spec.ResetConnectionResponseObject, error) {
	c, err := s.Connections.Reset(ctx, who(ctx), req.Connection)
	if err != nil {
		return nil, err
	}
	return spec.ResetConnection200JSONResponse{Body: showConnection(c), Headers: spec.ResetConnection200ResponseHeaders{ETag: connectionTag(c)}}, nil
}

func (s *server) RenewConnectionSubscription(ctx context.Context, req spec.RenewConnectionSubscriptionRequestObject) (spec.RenewConnectionSubscriptionResponseObject, error) {
	l, err := s.Connections.RenewSubscription(ctx, who(ctx), req.Connection)
	if err != nil {
		return nil, err
	}
	return spec.RenewConnectionSubscription200JSONResponse{Subscription: showListening(l)}, nil
}

func (s *server) PauseConnectionSubscription(ctx context.Context, req spec.PauseConnectionSubscriptionRequestObject) (spec.PauseConnectionSubscriptionResponseObject, error) {
	l, err := s.Connections.PauseSubscription(ctx, who(ctx), req.Connection)
	if err != nil {
		return nil, err
	}
	return spec.PauseConnectionSubscription200JSONResponse{Subscription: showListening(l)}, nil
}

func (s *server) ResumeConnectionSubscription(ctx context.Context, req spec.ResumeConnectionSubscriptionRequestObject) (spec.ResumeConnectionSubscriptionResponseObject, error) {
	l, err := s.Connections.ResumeSubscription(ctx, who(ctx), req.Connection)
	if err != nil {
		return nil, err
	}
	return spec.ResumeConnectionSubscription200JSONResponse{Subscription: showListening(l)}, nil
}

func (s *server) GetConnectionHealth(ctx context.Context, req spec.GetConnectionHealthRequestObject) (spec.GetConnectionHealthResponseObject, error) {
	c, h, err := s.Connections.History(ctx, who(ctx), req.Connection)
	if err != nil {
		return nil, err
	}
	v := h.Vitals
	body := spec.ConnectionHealth{
		State: spec.ConnectionState(c.State), Reason: c.Reason, CheckedAt: maybeTime(c.CheckedAt), NextCheckAt: nullable.NewNullNullable[time.Time](), Failures: v.Failures,
		TookMilliseconds: v.Took.Milliseconds(), EndsAt: maybeTime(v.EndsAt), Ends: v.Ends, Quota: nullable.NewNullNullable[spec.ConnectionQuota](), Endpoint: v.Endpoint,
		Uptime: spec.ConnectionUptime{Day: part(h.Up[0]), Week: part(h.Up[1]), Month: part(h.Up[2])},
		Spells: shown(h.Spells, func(s connection.Spell) spec.ConnectionSpell {
			return spec.ConnectionSpell{Since: s.Since.UTC(), SeenAt: s.SeenAt.UTC(), State: spec.ConnectionState(s.State), Reason: s.Reason, Checks: s.Checks}
		}),
	}
	if !v.NextCheckAt.IsZero() {
		body.NextCheckAt.Set(v.NextCheckAt.UTC())
	}
	if v.QuotaLeft != nil && v.QuotaOf != nil && v.QuotaAt != nil {
		body.Quota.Set(spec.ConnectionQuota{Left: *v.QuotaLeft, Of: *v.QuotaOf, ResetsAt: maybeTime(v.QuotaResetsAt), At: v.QuotaAt.UTC()})
	}
	return spec.GetConnectionHealth200JSONResponse(body), nil
}

// part is a part of the whole, null where nothing is known.
func part(f float64) nullable.Nullable[float64] {
	if f < 0 {
		return nullable.NewNullNullable[float64]()
	}
	return nullable.NewNullableWithValue(f)
}

func (s *server) GetConnectionAuthorization(ctx context.Context, req spec.GetConnectionAuthorizationRequestObject) (spec.GetConnectionAuthorizationResponseObject, error) {
	c, g, err := s.Connections.Grant(ctx, who(ctx), req.Connection)
	if err != nil {
		return nil, err
	}
	base := strings.TrimSuffix(s.PublicURL, "/")
	return spec.GetConnectionAuthorization200JSONResponse{
		Possible: g.Possible, AuthorizedAt: maybeTime(g.At), AuthorizedBy: g.By, Scopes: g.Scopes, Asks: texts(g.Asks), Missing: texts(g.Missing),
		RedirectURI: base + connection.Returning, Page: base + "/connections/" + url.PathEscape(c.Name) + "/authorize", Refusal: g.Refusal, RefusedAt: maybeTime(g.RefusedAt),
	}, nil
}

func (s *server) ListConnectionObjects(ctx context.Context, req spec.ListConnectionObjectsRequestObject) (spec.ListConnectionObjectsResponseObject, error) {
	list, err := s.Connections.Objects(ctx, who(ctx), req.Connection)
	if err != nil {
		return nil, err
	}
	return spec.ListConnectionObjects200JSONResponse{Data: shown(list, showObject), NextCursor: noCursor()}, nil
}

func showObject(o connector.ObjectInfo) spec.Object {
	out := spec.Object{Name: string(o.Name), Key: texts(o.Key), Rows: nullable.NewNullNullable[int64]()}
	if o.Rows >= 0 {
		out.Rows.Set(o.Rows)
	}
	out.Fields = shown(o.Fields, func(f connector.FieldInfo) spec.ObjectField {
		field := spec.ObjectField{
			Name: f.Name, Type: string(f.Type), Native: f.Native, Nullable: f.Nullable, ReadOnly: f.ReadOnly, Generated: f.Generated,
			MaxLength: optional(f.MaxLength), Scale: optional(f.Scale),
		}
		if len(f.Enum) > 0 {
			field.Enum = &f.Enum
		}
		return field
	})
	return out
}
