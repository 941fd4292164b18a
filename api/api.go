// SPDX-License-Identifier: Apache-2.0

// Package api serves openapi.yaml: operations as handlers that decode, call and encode, and decide nothing.
//
// A request passes, in this order: its log event and the guard against panics (request.go), the router, authentication
// (auth.go), the rate limit (ratelimit.go), the check against openapi.yaml (validate.go), the idempotency key
// (idempotency.go), and then its handler, one file per resource. Whatever goes wrong on the way becomes a problem document
// in one place (errors.go).
package api

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/delivery"
	"github.com/syncline-dev/syncline/internal/duplicate"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/idempotency"
	"github.com/syncline-dev/syncline/internal/live"
	"github.com/syncline-dev/syncline/internal/notify"
	"github.com/syncline-dev/syncline/internal/reconcile"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/telemetry"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/vault"
)

// Tx is what the API itself needs of a transaction; *store.Tx has it. Everything else is asked of the managers.
type Tx interface {
	// EventsAfter returns events behind the one with that id; "" returns none, and the id to go on from.
	EventsAfter(ctx context.Context, last string, limit int) (events []live.Event, next string, err error)
}

// Keys keeps idempotency keys with their answers; *store.DB does.
type Keys interface {
	ClaimKey(ctx context.Context, id tenant.ID, key string, fingerprint []byte) (idempotency.Claim, *idempotency.Answer, error)
	FinishKey(ctx context.Context, id tenant.ID, c idempotency.Claim, a idempotency.Answer) error
	ReleaseKey(ctx context.Context, id tenant.ID, c idempotency.Claim) error
}

// Deps are what the API works with.
type Deps struct {
	Auth        *auth.Manager
	Secrets     *vault.Secrets
	Connections *connection.Manager
	Services    *service.Manager
	Records     *engine.Reader
	Decider     *engine.Decider
	DeadLetters *delivery.Manager
	Holds       *safety.Holds
	Editor      *safety.Editor
	Planner     *safety.Planner
	Proofs      *engine.Proofs
	Reconciler  *reconcile.Manager
	Duplicates  *duplicate.Manager
	Invoicer    *invoicing.Invoicer
	Plans       *plans.Manager
	Webhooks    *notify.Manager
	Hub         *live.Hub
	InTx        func(context.Context, tenant.ID, func(Tx) error) error
	Keys        Keys

	// Sealing are keys of 32 bytes: the first signs cursors and seals kept answers, all are accepted. They must be the same
	// in all processes: vault.Master.Derive("api").
	Sealing [][]byte

	Ready   []Check // what /readyz asks
	Log     *slog.Logger
	Metrics *telemetry.Metrics
	Version string

	PublicURL     string                       // where people reach the installation, for links; "" makes them relative
	SessionCookie string                       // the name of the dashboard's cookie, as web calls it; "" means DefaultSessionCookie
	RateLimit     RateLimit                    // per key or member; the zero value means DefaultRateLimit
	ClientIP      func(r *http.Request) string // who sent it, without port; nil takes the connection's other end
}

// DefaultSessionCookie is the name of the dashboard's cookie.
const DefaultSessionCookie = "syncline_session"

// server implements the operations of openapi.yaml.
type server struct {
	Deps
	ops     map[string]*operation // by method and path as in openapi.yaml: "GET /v1/tenant"
	cursors cursors
	tokens  tokens
	answers sealer
	limits  *limiter
	origins *http.CrossOriginProtection
	openapi []byte
}

var _ spec.StrictServerInterface = (*server)(nil)

// New makes the handler of the API. It panics when openapi.yaml, which is built in, cannot be used.
func New(d Deps) http.Handler {
	if d.SessionCookie == "" {
		d.SessionCookie = DefaultSessionCookie
	}
	if d.RateLimit == (RateLimit{}) {
		d.RateLimit = DefaultRateLimit
	}
	if d.ClientIP == nil {
		d.ClientIP = otherEnd
	}
	if len(d.Sealing) == 0 {
		panic("api: no sealing keys")
	}
	s := &server{
		Deps: d, cursors: newCursors(d.Sealing), tokens: newTokens(d.Sealing), answers: newSealer(d.Sealing), limits: newLimiter(d.RateLimit),
		origins: http.NewCrossOriginProtection(),
	}
	var err error
	if s.openapi, err = spec.GetSpecJSON(); err == nil {
		s.ops, err = operations(s.openapi)
	}
	if err != nil {
		panic("api: openapi.yaml: " + err.Error())
	}
	return s.observe(s.router())
}

// router brings each documented operation to its handler.
func (s *server) router() chi.Router {
	root := chi.NewRouter()
	root.NotFound(func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, addressUnknown(r)) })
	root.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, methodNotAllowed(root, w, r)) })
	root.Group(func(r chi.Router) {
		r.Use(s.operate)
		strict := spec.NewStrictHandlerWithOptions(s, nil, spec.StrictHTTPServerOptions{RequestErrorHandlerFunc: s.unreadable, ResponseErrorHandlerFunc: s.fail})
		spec.HandlerWithOptions(strict, spec.ChiServerOptions{BaseRouter: r, ErrorHandlerFunc: s.unreadable})
	})
	return root
}
