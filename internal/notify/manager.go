// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/vault"
)

// Tx is what webhooks need of a transaction bound to one tenant.
type Tx interface {
	Now() time.Time
	Tenant() tenant.ID

	// TenantKeyToSeal is read before rows are locked.
	TenantKeyToSeal(ctx context.Context) ([]byte, error)

	// WebhookEndpoints are in the order of their making. A single one that is not there is the fault webhook.not_found.
	WebhookEndpoints(ctx context.Context) ([]Endpoint, error)
	WebhookEndpoint(ctx context.Context, id uuid.UUID) (Endpoint, error)
	LockWebhookEndpoint(ctx context.Context, id uuid.UUID) (Endpoint, error)
	// AddWebhookEndpoint and, with fromNow, SaveWebhookEndpoint let the endpoint begin with what is emitted from now on.
	AddWebhookEndpoint(ctx context.Context, e Endpoint) error
	SaveWebhookEndpoint(ctx context.Context, e Endpoint, fromNow bool) error
	DropWebhookEndpoint(ctx context.Context, id uuid.UUID) error

	WebhookDeliveries(ctx context.Context, q DeliveryQuery) ([]Delivery, error)
	WebhookDelivery(ctx context.Context, id uuid.UUID) (Delivery, error)
	AddWebhookDeliveries(ctx context.Context, list []Delivery) error
	// ResendWebhook makes a delivery due now; ResendWebhooks those of an endpoint that failed for events since a time.
	ResendWebhook(ctx context.Context, id uuid.UUID) error
	ResendWebhooks(ctx context.Context, endpoint uuid.UUID, since time.Time) (int64, error)
	// FailWebhooks gives up what is pending of an endpoint.
	FailWebhooks(ctx context.Context, endpoint uuid.UUID, problem string) (int64, error)

	Audit(ctx context.Context, e audit.Entry) error
	Emit(ctx context.Context, typ string, service uuid.UUID, data any) error
}

// Vault seals secrets; *vault.Vault is one.
type Vault interface {
	Seal(wrapped []byte, id tenant.ID, name string, plaintext []byte) ([]byte, error)
	Open(wrapped []byte, id tenant.ID, name string, sealed []byte) ([]byte, error)
}

// Manager has the operations on webhook endpoints and their deliveries.
type Manager struct {
	inTx      func(context.Context, tenant.ID, func(Tx) error) error
	vault     Vault
	plainHTTP bool
}

// NewManager makes the operations. plainHTTP lets endpoints be without encryption, for development.
func NewManager(inTx func(context.Context, tenant.ID, func(Tx) error) error, v Vault, plainHTTP bool) *Manager {
	return &Manager{inTx: inTx, vault: v, plainHTTP: plainHTTP}
}

// List returns the tenant's endpoints.
func (m *Manager) List(ctx context.Context, who auth.Principal) (list []Endpoint, err error) {
	if err := who.May(auth.ViewWebhooks); err != nil {
		return nil, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		list, err = tx.WebhookEndpoints(ctx)
		return err
	})
	return list, err
}

// Get returns an endpoint, or the fault webhook.not_found.
func (m *Manager) Get(ctx context.Context, who auth.Principal, id uuid.UUID) (e Endpoint, err error) {
	if err := who.May(auth.ViewWebhooks); err != nil {
		return e, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		e, err = tx.WebhookEndpoint(ctx, id)
		return err
	})
	return e, err
}

// Create makes an endpoint and its secret, which is shown this once.
func (m *Manager) Create(ctx context.Context, who auth.Principal, name, url string, types []string) (e Endpoint, secret Secret, err error) {
	if err := who.May(auth.EditWebhooks); err != nil {
		return e, "", err
	}
	secret = NewSecret()
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		key, err := tx.TenantKeyToSeal(ctx) // its lock also lets two at a time count one after the other
		if err != nil {
			return err
		}
		list, err := tx.WebhookEndpoints(ctx)
		if err != nil {
			return err
		}
		if len(list) >= MaxEndpoints {
			return fault.New(fault.Conflict, "webhook.too_many", "A tenant has at most %d webhook endpoints. Remove one that is not needed.", MaxEndpoints)
		}
		e = Endpoint{ID: uuid.Must(uuid.NewV7()), Name: name, URL: url, Types: types, State: Active, CreatedAt: tx.Now(), CreatedBy: who.ID, Version: 1}
		if e.Types == nil {
			e.Types = []string{}
		}
		if err := e.check(m.plainHTTP); err != nil {
			return err
		}
		if e.Sealed, err = m.vault.Seal(key, tx.Tenant(), vault.WebhookName(e.ID), []byte(secret)); err != nil {
			return err
		}
		if err := tx.AddWebhookEndpoint(ctx, e); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("webhook.created", e.public(), map[string]any{"name": e.Name, "url": e.URL, "types": e.Types}))
	})
	return e, secret, err
}

func (e Endpoint) public() string { return ident.Format(ident.Webhook, e.ID) }

// change runs fn on a locked endpoint; version is the one that the caller has seen, 0 for any.
func (m *Manager) change(ctx context.Context, who auth.Principal, id uuid.UUID, version int64, fn func(tx Tx, key []byte, e *Endpoint) error) (e Endpoint, err error) {
	if err := who.May(auth.EditWebhooks); err != nil {
		return e, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		key, err := tx.TenantKeyToSeal(ctx)
		if err != nil {
			return err
		}
		if e, err = tx.LockWebhookEndpoint(ctx, id); err != nil {
			return err
		}
		if version != 0 && version != e.Version {
			return fault.New(fault.Stale, "webhook.version_stale", "The webhook endpoint changed since you looked (it is at version %d, and you saw %d). Read it again.", e.Version, version)
		}
		return fn(tx, key, &e)
	})
	return e, err
}

// Change is what is to be different about an endpoint; nil leaves it as it is.
type Change struct {
	Name  *string
	URL   *string
	Types *[]string
	State *EndpointState // Active or Paused
}

// Change changes an endpoint. One that is made active again is sent what happens from then on.
func (m *Manager) Change(ctx context.Context, who auth.Principal, id uuid.UUID, version int64, c Change) (Endpoint, error) {
	return m.change(ctx, who, id, version, func(tx Tx, _ []byte, e *Endpoint) error {
		before := *e
		if c.Name != nil {
			e.Name = *c.Name
		}
		if c.URL != nil {
			e.URL = *c.URL
		}
		if c.Types != nil {
			e.Types = *c.Types
		}
		if err := e.check(m.plainHTTP); err != nil {
			return err
		}
		fromNow := false
		if c.State != nil && *c.State != e.State {
			e.State, e.Reason = *c.State, ""
			switch e.State {
			case Active:
				fromNow, e.FailingSince = true, time.Time{}
			case Paused:
				if _, err := tx.FailWebhooks(ctx, e.ID, "The endpoint was paused."); err != nil {
					return err
				}
			default:
				return fault.New(fault.Invalid, "webhook.invalid", "An endpoint can be made active or paused, not %s.", e.State).At(fault.Field{Pointer: "/state", Code: "webhook.invalid", Message: "Neither active nor paused."})
			}
		}
		e.Version++
		if err := tx.SaveWebhookEndpoint(ctx, *e, fromNow); err != nil {
			return err
		}
		shown := func(e Endpoint) map[string]any {
			return map[string]any{"name": e.Name, "url": e.URL, "types": e.Types, "state": e.State}
		}
		return tx.Audit(ctx, who.Did("webhook.changed", e.public(), map[string]any{"before": shown(before), "after": shown(*e)}))
	})
}

// Rotate gives an endpoint another secret. The one before it goes on signing beside it for the overlap.
func (m *Manager) Rotate(ctx context.Context, who auth.Principal, id uuid.UUID, overlap time.Duration) (Endpoint, Secret, error) {
	secret := NewSecret()
	e, err := m.change(ctx, who, id, 0, func(tx Tx, key []byte, e *Endpoint) error {
		if overlap < 0 || overlap > maxOverlap {
			return fault.New(fault.Invalid, "webhook.invalid", "The secret before goes on signing for 0 to %d hours.", int(maxOverlap.Hours())).
				At(fault.Field{Pointer: "/overlapHours", Code: "webhook.invalid", Message: "Too long, or less than nothing."})
		}
		e.OldSealed, e.OldUntil = nil, time.Time{}
		if overlap > 0 {
			e.OldSealed, e.OldUntil = e.Sealed, tx.Now().Add(overlap)
		}
		var err error
		if e.Sealed, err = m.vault.Seal(key, tx.Tenant(), vault.WebhookName(e.ID), []byte(secret)); err != nil {
			return err
		}
		e.Version++
		if err := tx.SaveWebhookEndpoint(ctx, *e, false); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("webhook.secret_rotated", e.public(), map[string]any{"overlap": overlap.String()}))
	})
	return e, secret, err
}

// Remove removes an endpoint with its deliveries.
func (m *Manager) Remove(ctx context.Context, who auth.Principal, id uuid.UUID, version int64) error {
	_, err := m.change(ctx, who, id, version, func(tx Tx, _ []byte, e *Endpoint) error {
		if err := tx.DropWebhookEndpoint(ctx, e.ID); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("webhook.removed", e.public(), map[string]any{"name": e.Name, "url": e.URL}))
	})
	return err
}

// Test sends an event of the type webhook.test to the endpoint, whatever it asks for.
func (m *Manager) Test(ctx context.Context, who auth.Principal, id uuid.UUID) (d Delivery, err error) {
	_, err = m.change(ctx, who, id, 0, func(tx Tx, _ []byte, e *Endpoint) error {
		if e.State != Active {
			return notActive(*e)
		}
		data, err := json.Marshal(map[string]any{"webhook": e.public(), "name": e.Name, "by": who.ID})
		if err != nil {
			return err
		}
		d = owed(*e, Event{ID: "test-" + uuid.NewString(), At: tx.Now(), Type: "webhook.test", Data: data}, tx.Now())
		if err := tx.AddWebhookDeliveries(ctx, []Delivery{d}); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("webhook.tested", e.public(), nil))
	})
	return d, err
}

func notActive(e Endpoint) error {
	return fault.New(fault.Conflict, "webhook.not_active", "The endpoint %s is %s, so nothing is sent to it. Make it active first.", e.Name, e.State)
}

// owed is the delivery of an event to an endpoint.
func owed(e Endpoint, event Event, now time.Time) Delivery {
	body, err := json.Marshal(Envelop(event))
	if err != nil {
		body = []byte("{}") // an envelope of texts and valid JSON can always be written
	}
	return Delivery{
		ID: uuid.Must(uuid.NewV7()), Endpoint: e.ID, EndpointName: e.Name, Event: event.ID, Type: event.Type, At: event.At, Body: string(body), State: Pending, DueAt: now, CreatedAt: now,
	}
}

// Deliveries lists what was and is to be sent, the newest first.
func (m *Manager) Deliveries(ctx context.Context, who auth.Principal, q DeliveryQuery) (list []Delivery, err error) {
	if err := who.May(auth.ViewWebhooks); err != nil {
		return nil, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		if q.Endpoint != uuid.Nil {
			if _, err := tx.WebhookEndpoint(ctx, q.Endpoint); err != nil {
				return err
			}
		}
		list, err = tx.WebhookDeliveries(ctx, q)
		return err
	})
	return list, err
}

// Delivery returns one with its attempts, or the fault webhook.delivery_not_found.
func (m *Manager) Delivery(ctx context.Context, who auth.Principal, id uuid.UUID) (d Delivery, err error) {
	if err := who.May(auth.ViewWebhooks); err != nil {
		return d, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		d, err = tx.WebhookDelivery(ctx, id)
		return err
	})
	return d, err
}

// Resend has a delivery sent again, with all its tries, whether it got through or not. The message has the same id.
func (m *Manager) Resend(ctx context.Context, who auth.Principal, id uuid.UUID) (d Delivery, err error) {
	if err := who.May(auth.EditWebhooks); err != nil {
		return d, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		if d, err = tx.WebhookDelivery(ctx, id); err != nil {
			return err
		}
		e, err := tx.LockWebhookEndpoint(ctx, d.Endpoint)
		if err != nil {
			return err
		}
		if e.State != Active {
			return notActive(e)
		}
		if err := tx.ResendWebhook(ctx, id); err != nil {
			return err
		}
		if err := tx.Audit(ctx, who.Did("webhook.resent", e.public(), map[string]any{"delivery": ident.Format(ident.Delivery, id)})); err != nil {
			return err
		}
		d, err = tx.WebhookDelivery(ctx, id)
		return err
	})
	return d, err
}

// ResendFailed has everything sent again that failed of the endpoint for events since a time, and says how much that is.
func (m *Manager) ResendFailed(ctx context.Context, who auth.Principal, endpoint uuid.UUID, since time.Time) (n int64, err error) {
	_, err = m.change(ctx, who, endpoint, 0, func(tx Tx, _ []byte, e *Endpoint) error {
		if e.State != Active {
			return notActive(*e)
		}
		if n, err = tx.ResendWebhooks(ctx, endpoint, since); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("webhook.resent", e.public(), map[string]any{"since": since, "deliveries": n}))
	})
	return n, err
}
