// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/vault"
)

// Message is what is sent to a server.
type Message struct {
	URL       string
	ID        string
	At        time.Time
	Signature string
	Body      []byte
}

// Answer is what came of it.
type Answer struct {
	Status     int    // 0: no answer
	Problem    string // why it counts as a failure; "" when it was taken
	Excerpt    string // the beginning of the answer's body, fit to be shown
	RetryAfter time.Duration
	Took       time.Duration
}

// Gone says whether the server wants nothing more.
func (a Answer) Gone() bool { return a.Status == 410 }

// Post sends a message and comes back within a bounded time; webhook.Client has one.
type Post func(ctx context.Context, m Message) Answer

// Followed is an endpoint with its place in the events.
type Followed struct {
	Endpoint
	Last string // the id of the last event of which it has its delivery
}

// Claimed is a delivery that this process sends, and nobody else until it is due again.
type Claimed struct {
	Delivery
	URL   string
	Tries int // this one included
	// What the endpoint signs with, and the key that opens it.
	Sealed, OldSealed []byte
	OldUntil          time.Time
	Key               []byte
}

// Outcome is what came of a claimed delivery.
type Outcome struct {
	Claimed
	Answer
	SentAt time.Time
	Next   time.Time // when to try again; zero: not any more
}

// SendTx is a transaction as sending needs it.
type SendTx interface {
	Tx
	// FollowWebhooks returns the active endpoints, locked, without those that another process is at.
	FollowWebhooks(ctx context.Context) ([]Followed, error)
	EventsAfter(ctx context.Context, last string, limit int) (events []Event, next string, err error)
	// MoveWebhooks writes the endpoints' places.
	MoveWebhooks(ctx context.Context, places map[uuid.UUID]string) error
	// ClaimWebhooks takes up to each deliveries that are due of each active endpoint but those named, and makes them due again
	// after the lease.
	ClaimWebhooks(ctx context.Context, lease time.Duration, each int, but []uuid.UUID) ([]Claimed, error)
	// SettleWebhooks writes outcomes and attempts. What another process took up meanwhile is left to it. It returns since when the
	// endpoint fails, zero if anything got through.
	SettleWebhooks(ctx context.Context, endpoint uuid.UUID, list []Outcome) (failingSince time.Time, err error)
}

// Operator looks across tenants; *store.Operator does.
type Operator interface {
	// TenantsToNotify lists tenants with events that an active endpoint does not have yet, or with deliveries that are due.
	TenantsToNotify(ctx context.Context) ([]tenant.ID, error)
}

// How much is done at once, and how long a claim lasts: longer than sending a batch takes, with every answer at its slowest.
const (
	eventsAtATime = 500
	batch         = 20
	atOnce        = 4  // messages to one endpoint
	endpoints     = 32 // endpoints being sent to
	claimFor      = 3 * time.Minute
)

// Sender sends what endpoints are owed.
type Sender struct {
	inTx     func(context.Context, tenant.ID, func(SendTx) error) error
	operator Operator
	vault    Vault
	post     Post
	log      *slog.Logger
	every    time.Duration
	chance   func() float64
	wake     chan struct{}

	mu   sync.Mutex
	busy map[uuid.UUID]bool // endpoints that this process is sending to
}

// NewSender makes a sender. It starts nothing.
func NewSender(inTx func(context.Context, tenant.ID, func(SendTx) error) error, operator Operator, v Vault, post Post, log *slog.Logger) *Sender {
	return &Sender{inTx: inTx, operator: operator, vault: v, post: post, log: log, every: 2 * time.Second, chance: rand.Float64, wake: make(chan struct{}, 1), busy: map[uuid.UUID]bool{}}
}

// Wake makes the sender look now. It never blocks.
func (s *Sender) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run sends until ctx ends; what is being sent then is sent again by another.
func (s *Sender) Run(ctx context.Context) error {
	var sending sync.WaitGroup
	defer sending.Wait()
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	failing := false
	for {
		err := s.look(ctx, &sending)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if failed := err != nil; failed != failing {
			failing = failed
			if failed {
				s.log.ErrorContext(ctx, "webhooks cannot be sent", "error", err)
			} else {
				s.log.InfoContext(ctx, "webhooks are sent again")
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-s.wake:
		}
	}
}

// Drain sends everything that is due now and waits for it; it is what Run does, once, for tests.
func (s *Sender) Drain(ctx context.Context) error {
	var sending sync.WaitGroup
	err := s.look(ctx, &sending)
	sending.Wait()
	return err
}

func (s *Sender) look(ctx context.Context, sending *sync.WaitGroup) error {
	tenants, err := s.operator.TenantsToNotify(ctx)
	if err != nil {
		return err
	}
	var first error
	for _, id := range tenants {
		if err := s.tenant(ctx, id, sending); err != nil && first == nil {
			first = fmt.Errorf("tenant %s: %w", id, err) // the others are not to wait for it
		}
	}
	return first
}

func (s *Sender) tenant(ctx context.Context, id tenant.ID, sending *sync.WaitGroup) error {
	for more := true; more; {
		var err error
		if more, err = s.follow(ctx, id); err != nil {
			return err
		}
	}
	var claimed []Claimed
	err := s.inTx(ctx, id, func(tx SendTx) (err error) {
		but, room := s.occupied()
		if !room {
			return nil // one that ends wakes us
		}
		claimed, err = tx.ClaimWebhooks(ctx, claimFor, batch, but)
		return err
	})
	if err != nil {
		return err
	}
	groups := map[uuid.UUID][]Claimed{}
	for _, c := range claimed {
		groups[c.Endpoint] = append(groups[c.Endpoint], c)
	}
	for endpoint, list := range groups {
		s.mu.Lock()
		s.busy[endpoint] = true
		s.mu.Unlock()
		sending.Go(func() {
			defer s.Wake()
			defer func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				delete(s.busy, endpoint)
			}()
			if err := s.send(ctx, id, endpoint, list); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "the outcome of webhooks cannot be written; they are sent again", "endpoint", endpoint, "error", err)
			}
		})
	}
	return nil
}

func (s *Sender) occupied() (list []uuid.UUID, room bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list = make([]uuid.UUID, 0, len(s.busy))
	for id := range s.busy {
		list = append(list, id)
	}
	return list, len(list) < endpoints
}

// follow writes what endpoints are owed of the next events, in one commit with their places.
func (s *Sender) follow(ctx context.Context, id tenant.ID) (more bool, err error) {
	err = s.inTx(ctx, id, func(tx SendTx) error {
		list, err := tx.FollowWebhooks(ctx)
		if err != nil || len(list) == 0 {
			return err
		}
		// Those at the same place are read for together; all are at the end, mostly.
		byPlace := map[string][]Followed{}
		for _, f := range list {
			byPlace[f.Last] = append(byPlace[f.Last], f)
		}
		var owing []Delivery
		places := map[uuid.UUID]string{}
		for last, group := range byPlace {
			events, next, err := tx.EventsAfter(ctx, last, eventsAtATime)
			if err != nil {
				return err
			}
			if len(events) == 0 {
				continue
			}
			more = more || len(events) == eventsAtATime
			for _, f := range group {
				places[f.ID] = next
				for _, e := range events {
					if f.wants(e.Type) {
						owing = append(owing, owed(f.Endpoint, e, tx.Now()))
					}
				}
			}
		}
		if len(places) == 0 {
			return nil
		}
		if err := tx.AddWebhookDeliveries(ctx, owing); err != nil {
			return err
		}
		return tx.MoveWebhooks(ctx, places)
	})
	return more && err == nil, err
}

// send sends deliveries of one endpoint and writes what came of them.
func (s *Sender) send(ctx context.Context, id tenant.ID, endpoint uuid.UUID, list []Claimed) error {
	outcomes := make([]Outcome, len(list))
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, c := range list {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			outcomes[i] = s.one(ctx, id, c)
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return ctx.Err() // what was cut off is no failure of the receiver's
	}
	return s.inTx(ctx, id, func(tx SendTx) error {
		var gone *Outcome
		for i := range outcomes {
			o := &outcomes[i]
			if o.Problem == "" {
				continue
			}
			if o.Gone() {
				gone = o
			}
			o.Next, _ = next(o.Tries, tx.Now(), o.RetryAfter, s.chance())
		}
		since, err := tx.SettleWebhooks(ctx, endpoint, outcomes)
		if err != nil {
			return err
		}
		switch {
		case gone != nil:
			return disable(ctx, tx, endpoint, "It answered 410, which says that it wants nothing more.")
		case !since.IsZero() && tx.Now().Sub(since) >= disableAfter:
			return disable(ctx, tx, endpoint, fmt.Sprintf("Nothing got through since %s.", since.UTC().Format("2 January 2006 15:04 MST")))
		}
		return nil
	})
}

// one sends a delivery.
func (s *Sender) one(ctx context.Context, id tenant.ID, c Claimed) Outcome {
	at := c.DueAt.Add(-claimFor) // when it was taken up
	out := Outcome{Claimed: c, SentAt: at}
	var secrets []Secret
	for _, sealed := range [][]byte{c.Sealed, c.OldSealed} {
		if sealed == nil || len(secrets) > 0 && !at.Before(c.OldUntil) {
			continue
		}
		plain, err := s.vault.Open(c.Key, id, vault.WebhookName(c.Endpoint), sealed)
		if err != nil {
			s.log.ErrorContext(ctx, "the secret of a webhook endpoint does not open", "endpoint", c.Endpoint, "error", err)
			out.Answer = Answer{Problem: "The secret of the endpoint cannot be read here. Rotate it."}
			return out
		}
		secrets = append(secrets, Secret(plain))
	}
	out.Answer = s.post(ctx, Message{URL: c.URL, ID: c.Event, At: at, Body: []byte(c.Body), Signature: Sign(secrets, c.Event, at, []byte(c.Body))})
	return out
}

// disable stops sending to an endpoint and tells of it.
func disable(ctx context.Context, tx SendTx, id uuid.UUID, reason string) error {
	e, err := tx.LockWebhookEndpoint(ctx, id)
	if fault.KindOf(err) == fault.NotFound {
		return nil // removed meanwhile
	}
	if err != nil || e.State != Active {
		return err
	}
	e.State, e.Reason = Disabled, reason
	e.Version++
	if err := tx.SaveWebhookEndpoint(ctx, e, false); err != nil {
		return err
	}
	if _, err := tx.FailWebhooks(ctx, id, "The endpoint was disabled: "+reason); err != nil {
		return err
	}
	if err := tx.Audit(ctx, auth.System(tx.Tenant(), "webhooks").Did("webhook.disabled", e.public(), map[string]any{"reason": reason})); err != nil {
		return err
	}
	return tx.Emit(ctx, "webhook.disabled", uuid.Nil, map[string]any{"webhook": e.public(), "name": e.Name, "url": e.URL, "reason": reason})
}
