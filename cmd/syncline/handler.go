// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"

	"github.com/syncline-dev/syncline/api"
	"github.com/syncline-dev/syncline/internal/demo"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/web"
)

// handler answers everything that comes in: the API, the dashboard, health.
func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	answers := a.api()
	for _, path := range []string{"/v1/", "/livez", "/readyz", "/version"} {
		mux.Handle(path, answers)
	}
	if a.collector != nil {
		mux.Handle("/hooks/stripe", api.PaymentHook(a.collector.Hear, a.log))
	}
	mux.Handle("/hooks/", api.Inbound(a.connections.Receive, a.config.PublicURL, a.log))
	mux.Handle("/", a.dashboard())
	return mux
}

func (a *app) api() http.Handler {
	return api.New(api.Deps{
		Auth: a.auth, Secrets: a.secrets, Connections: a.connections, Services: a.services, Records: a.reader,
		Decider: a.decider, DeadLetters: a.deadLetters, Holds: a.holds, Proofs: a.proofs, Reconciler: a.reconciler, Duplicates: a.duplicates, Editor: a.editor, Planner: a.planner, Invoicer: a.invoicer, Plans: a.plans, Webhooks: a.webhooks, Hub: a.hub,
		InTx: store.InTx(a.db, func(tx *store.Tx) api.Tx { return tx }), Keys: a.db, Sealing: a.sealing,
		Ready: []api.Check{{Name: "database", Ask: a.db.Ping}},
		Log:   a.log, Metrics: a.metrics, Version: version, PublicURL: a.config.PublicURL,
		SessionCookie: web.SessionCookie(a.config.PublicURL),
	})
}

func (a *app) dashboard() http.Handler {
	return web.New(web.Deps{
		Auth: a.auth, Secrets: a.secrets, Connections: a.connections, Services: a.services,
		Reader: a.reader, Decider: a.decider, DeadLetters: a.deadLetters, Holds: a.holds, Proofs: a.proofs, Reconciler: a.reconciler, Duplicates: a.duplicates, Editor: a.editor, Planner: a.planner, Invoicer: a.invoicer, Collector: a.collector, Plans: a.plans, Webhooks: a.webhooks, Hub: a.hub, Events: a.events,
		PublicURL: a.config.PublicURL, SignUpOpen: !a.config.SignUpClosed, Demo: web.Demo{Email: a.demoEmail, Service: demo.ServiceName, Dir: a.demoDir}, Version: version, Log: a.log,
	})
}

// events reads what happened to a tenant, for its open browsers.
func (a *app) events(ctx context.Context, id tenant.ID, last string, limit int) (events []web.Event, next string, err error) {
	err = store.InTx(a.db, func(tx *store.Tx) *store.Tx { return tx })(ctx, id, func(tx *store.Tx) error {
		var list []store.Event
		list, next, err = tx.EventsAfter(ctx, last, limit)
		for _, e := range list {
			events = append(events, web.Event{ID: e.ID, At: e.At, Type: e.Type, Service: service.ID(e.Service), Data: e.Data})
		}
		return err
	})
	return events, next, err
}
