// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/oapi-codegen/nullable"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/notify"
)

func showEndpoint(e notify.Endpoint) spec.WebhookEndpoint {
	return spec.WebhookEndpoint{
		ID: public(ident.Webhook, e.ID), Name: e.Name, URL: e.URL, Types: e.Types, State: spec.WebhookEndpointState(e.State), Reason: someText(e.Reason),
		OldSecretUntil: someTime(e.OldUntil), FailingSince: someTime(e.FailingSince), DeliveredAt: someTime(e.DeliveredAt), CreatedAt: e.CreatedAt.UTC(), CreatedBy: e.CreatedBy, Version: e.Version,
	}
}

func withSecret(e notify.Endpoint, secret notify.Secret) spec.WebhookEndpointWithSecret {
	v := showEndpoint(e)
	return spec.WebhookEndpointWithSecret{
		ID: v.ID, Name: v.Name, URL: v.URL, Types: v.Types, State: v.State, Reason: v.Reason, OldSecretUntil: v.OldSecretUntil, FailingSince: v.FailingSince,
		DeliveredAt: v.DeliveredAt, CreatedAt: v.CreatedAt, CreatedBy: v.CreatedBy, Version: v.Version, Secret: secret.Reveal(),
	}
}

func someNumber(n int) nullable.Nullable[int] {
	if n == 0 {
		return nullable.NewNullNullable[int]()
	}
	return nullable.NewNullableWithValue(n)
}

func showDelivery(d notify.Delivery) spec.WebhookDelivery {
	due := nullable.NewNullNullable[time.Time]()
	if d.State == notify.Pending {
		due.Set(d.DueAt.UTC())
	}
	return spec.WebhookDelivery{
		ID: public(ident.Delivery, d.ID), Endpoint: public(ident.Webhook, d.Endpoint), EndpointName: d.EndpointName, Event: d.Event, Type: d.Type, EventAt: d.At.UTC(),
		State: spec.WebhookDeliveryState(d.State), Attempts: d.Attempts, NextAttemptAt: due, SettledAt: someTime(d.SettledAt), Status: someNumber(d.Status), Problem: someText(d.Problem),
	}
}

func (s *server) ListWebhookEndpoints(ctx context.Context, _ spec.ListWebhookEndpointsRequestObject) (spec.ListWebhookEndpointsResponseObject, error) {
	list, err := s.Webhooks.List(ctx, who(ctx))
	if err != nil {
		return nil, err
	}
	return spec.ListWebhookEndpoints200JSONResponse{Data: shown(list, showEndpoint)}, nil
}

func (s *server) CreateWebhookEndpoint(ctx context.Context, req spec.CreateWebhookEndpointRequestObject) (spec.CreateWebhookEndpointResponseObject, error) {
	var types []string
	if req.Body.Types != nil {
		types = *req.Body.Types
	}
	e, secret, err := s.Webhooks.Create(ctx, who(ctx), req.Body.Name, req.Body.URL, types)
	if err != nil {
		return nil, err
	}
	return spec.CreateWebhookEndpoint201JSONResponse{
		Body:    withSecret(e, secret),
		Headers: spec.CreateWebhookEndpoint201ResponseHeaders{Location: "/v1/webhook-endpoints/" + public(ident.Webhook, e.ID), ETag: etag(e.Version)},
	}, nil
}

// webhookAt reads the id of an endpoint for somebody with the permission.
func webhookAt(ctx context.Context, id string, what auth.Permission) (uuid.UUID, error) {
	if err := who(ctx).May(what); err != nil {
		return uuid.UUID{}, err
	}
	return named(ident.Webhook, id)
}

func (s *server) GetWebhookEndpoint(ctx context.Context, req spec.GetWebhookEndpointRequestObject) (spec.GetWebhookEndpointResponseObject, error) {
	id, err := webhookAt(ctx, req.WebhookEndpoint, auth.ViewWebhooks)
	if err != nil {
		return nil, err
	}
	e, err := s.Webhooks.Get(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	return spec.GetWebhookEndpoint200JSONResponse{Body: showEndpoint(e), Headers: spec.GetWebhookEndpoint200ResponseHeaders{ETag: etag(e.Version)}}, nil
}

func (s *server) UpdateWebhookEndpoint(ctx context.Context, req spec.UpdateWebhookEndpointRequestObject) (spec.UpdateWebhookEndpointResponseObject, error) {
	id, err := webhookAt(ctx, req.WebhookEndpoint, auth.EditWebhooks)
	if err != nil {
		return nil, err
	}
	version, err := wantedOrAny(req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	c := notify.Change{Name: req.Body.Name, URL: req.Body.URL, Types: req.Body.Types}
	if req.Body.State != nil {
		state := notify.EndpointState(*req.Body.State)
		c.State = &state
	}
	e, err := s.Webhooks.Change(ctx, who(ctx), id, version, c)
	if err != nil {
		return nil, err
	}
	return spec.UpdateWebhookEndpoint200JSONResponse{Body: showEndpoint(e), Headers: spec.UpdateWebhookEndpoint200ResponseHeaders{ETag: etag(e.Version)}}, nil
}

func (s *server) DeleteWebhookEndpoint(ctx context.Context, req spec.DeleteWebhookEndpointRequestObject) (spec.DeleteWebhookEndpointResponseObject, error) {
	id, err := webhookAt(ctx, req.WebhookEndpoint, auth.EditWebhooks)
	if err != nil {
		return nil, err
	}
	version, err := wantedOrAny(req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	if err := s.Webhooks.Remove(ctx, who(ctx), id, version); err != nil {
		return nil, err
	}
	return spec.DeleteWebhookEndpoint204Response{}, nil
}

func (s *server) RotateWebhookSecret(ctx context.Context, req spec.RotateWebhookSecretRequestObject) (spec.RotateWebhookSecretResponseObject, error) {
	id, err := webhookAt(ctx, req.WebhookEndpoint, auth.EditWebhooks)
	if err != nil {
		return nil, err
	}
	overlap := notify.DefaultOverlap
	if req.Body != nil && req.Body.OverlapHours != nil {
		overlap = time.Duration(*req.Body.OverlapHours) * time.Hour
	}
	e, secret, err := s.Webhooks.Rotate(ctx, who(ctx), id, overlap)
	if err != nil {
		return nil, err
	}
	return spec.RotateWebhookSecret200JSONResponse(withSecret(e, secret)), nil
}

func (s *server) TestWebhookEndpoint(ctx context.Context, req spec.TestWebhookEndpointRequestObject) (spec.TestWebhookEndpointResponseObject, error) {
	id, err := webhookAt(ctx, req.WebhookEndpoint, auth.EditWebhooks)
	if err != nil {
		return nil, err
	}
	d, err := s.Webhooks.Test(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	return spec.TestWebhookEndpoint202JSONResponse{Body: showDelivery(d), Headers: spec.TestWebhookEndpoint202ResponseHeaders{Location: "/v1/webhook-deliveries/" + public(ident.Delivery, d.ID)}}, nil
}

func (s *server) ResendWebhooks(ctx context.Context, req spec.ResendWebhooksRequestObject) (spec.ResendWebhooksResponseObject, error) {
	id, err := webhookAt(ctx, req.WebhookEndpoint, auth.EditWebhooks)
	if err != nil {
		return nil, err
	}
	n, err := s.Webhooks.ResendFailed(ctx, who(ctx), id, req.Body.Since)
	if err != nil {
		return nil, err
	}
	return spec.ResendWebhooks202JSONResponse{Resent: n}, nil
}

func (s *server) ListWebhookDeliveries(ctx context.Context, req spec.ListWebhookDeliveriesRequestObject) (spec.ListWebhookDeliveriesResponseObject, error) {
	if err := who(ctx).May(auth.ViewWebhooks); err != nil {
		return nil, err
	}
	limit := limitOf(req.Params.Limit)
	q := notify.DeliveryQuery{State: notify.DeliveryState(word(req.Params.FilterState)), Type: word(req.Params.FilterType), Limit: limit + 1}
	if f := word(req.Params.FilterEndpoint); f != "" {
		var err error
		if q.Endpoint, err = named(ident.Webhook, f); err != nil {
			return nil, err
		}
	}
	if err := s.cursors.read(of(ctx), req.Params.Cursor, &q.Before); err != nil {
		return nil, err
	}
	list, err := s.Webhooks.Deliveries(ctx, who(ctx), q)
	if err != nil {
		return nil, err
	}
	data, next, more := page(ctx, s, list, limit, showDelivery, func(d notify.Delivery) any { return d.ID })
	return spec.ListWebhookDeliveries200JSONResponse{Data: data, NextCursor: next, HasMore: more}, nil
}

// deliveryAt reads the id of a delivery for somebody with the permission.
func deliveryAt(ctx context.Context, id string, what auth.Permission) (uuid.UUID, error) {
	if err := who(ctx).May(what); err != nil {
		return uuid.UUID{}, err
	}
	return named(ident.Delivery, id)
}

func (s *server) GetWebhookDelivery(ctx context.Context, req spec.GetWebhookDeliveryRequestObject) (spec.GetWebhookDeliveryResponseObject, error) {
	id, err := deliveryAt(ctx, req.WebhookDelivery, auth.ViewWebhooks)
	if err != nil {
		return nil, err
	}
	d, err := s.Webhooks.Delivery(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	v := showDelivery(d)
	return spec.GetWebhookDelivery200JSONResponse{
		ID: v.ID, Endpoint: v.Endpoint, EndpointName: v.EndpointName, Event: v.Event, Type: v.Type, EventAt: v.EventAt, State: v.State, Attempts: v.Attempts,
		NextAttemptAt: v.NextAttemptAt, SettledAt: v.SettledAt, Status: v.Status, Problem: v.Problem, Body: d.Body,
		Tried: shown(d.Tried, func(a notify.Attempt) spec.WebhookAttempt {
			return spec.WebhookAttempt{Number: a.Number, At: a.At.UTC(), Milliseconds: a.Took.Milliseconds(), Status: someNumber(a.Status), Problem: someText(a.Problem), Excerpt: someText(a.Excerpt)}
		}),
	}, nil
}

func (s *server) ResendWebhookDelivery(ctx context.Context, req spec.ResendWebhookDeliveryRequestObject) (spec.ResendWebhookDeliveryResponseObject, error) {
	id, err := deliveryAt(ctx, req.WebhookDelivery, auth.EditWebhooks)
	if err != nil {
		return nil, err
	}
	d, err := s.Webhooks.Resend(ctx, who(ctx), id)
	if err != nil {
		return nil, err
	}
	return spec.ResendWebhookDelivery202JSONResponse(showDelivery(d)), nil
}
