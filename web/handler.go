// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/delivery"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/live"
	"github.com/syncline-dev/syncline/internal/notify"
	"github.com/syncline-dev/syncline/internal/reconcile"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/vault"
	"github.com/syncline-dev/syncline/web/static"
)

// Deps are what the pages call. They decide nothing themselves: each act is one operation of a manager, the same that the
// API calls.
type Deps struct {
	Auth        *auth.Manager
	Secrets     *vault.Secrets
	Connections *connection.Manager
	Services    *service.Manager
	Reader      *engine.Reader
	Decider     *engine.Decider
	DeadLetters *delivery.Manager
	Holds       *safety.Holds
	Proofs      *engine.Proofs
	Reconciler  *reconcile.Manager
	Editor      *safety.Editor
	Planner     *safety.Planner
	Invoicer    *invoicing.Invoicer
	Collector   *invoicing.Collector // nil: nobody collects
	Plans       *plans.Manager
	Webhooks    *notify.Manager
	Hub         *live.Hub
	// Events returns up to limit of the tenant's events behind last, in commit order, and the id to go on from. With an
	// empty last it returns none, and the id of the present end.
	Events func(ctx context.Context, id tenant.ID, last string, limit int) (events []Event, next string, err error)

	PublicURL  string // as people reach the dashboard, "https://sync.example.com"; empty on a developer's machine
	SignUpOpen bool   // people may make accounts; the operation itself decides, this only shows the link
	Demo       Demo   // of `syncline dev`; zero in production
	Version    string // of the program
	Log        *slog.Logger
}

// Demo is what the pages say of the demo tenant.
type Demo struct {
	Email   string // its login, shown on the sign-in page
	Service string // its service, by name
	Dir     string // the data directory, where the passwords of its databases are
}

// Event is something that happened, as the live stream tells it: no data but ids.
type Event struct {
	ID      string // opaque; what a browser gives back as Last-Event-ID
	At      time.Time
	Type    string // "run.progress", "service.changed", ...
	Service service.ID
	Data    json.RawMessage
}

// Handler serves the dashboard.
type Handler struct {
	Deps
	secure     bool // cookies are for https alone
	outlines   outlines
	objects    objects
	heartbeats time.Duration // of the live stream; also how often it looks whether the session still is
}

// New makes the dashboard's handler. It answers everything but the API.
func New(d Deps) http.Handler { return newHandler(d).routes() }

func newHandler(d Deps) *Handler {
	return &Handler{Deps: d, secure: strings.HasPrefix(d.PublicURL, "https://"), heartbeats: 15 * time.Second}
}

// routes is the table of all pages. Each file of pages adds its own; see routesOf in that file.
func (h *Handler) routes() http.Handler {
	r := chi.NewRouter()
	r.Use(h.identify, SecurityHeaders, h.recover, h.sameOrigin, middleware.Compress(5, "text/html", "application/json"))
	r.Handle(static.Prefix+"*", static.Handler())
	h.routesSign(r)
	h.routesDocs(r)
	h.routesPricing(r)
	h.routesLive(r)
	h.routesOverview(r)
	h.routesServices(r)
	h.routesRuns(r)
	h.routesEditor(r)
	h.routesServicePlans(r)
	h.routesRevisions(r)
	h.routesTryIt(r)
	h.routesData(r)
	h.routesSandbox(r)
	h.routesSearch(r)
	r.NotFound(h.anybody(func(v *visit) error { return errNoPage }))
	r.MethodNotAllowed(h.anybody(func(v *visit) error { return errNoPage }))
	return r
}
