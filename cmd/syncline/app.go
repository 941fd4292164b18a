// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"golang.org/x/sync/errgroup"

	"github.com/syncline-dev/syncline/billing/invoicing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/billing/stripe"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/catalog"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/delivery"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/live"
	"github.com/syncline-dev/syncline/internal/notify"
	"github.com/syncline-dev/syncline/internal/reconcile"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/scheduler"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/telemetry"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/vault"
	"github.com/syncline-dev/syncline/internal/webhook"
	"github.com/syncline-dev/syncline/internal/worker"
)

// app is everything wired together: one concrete database handed to each package as the interface it declares.
type app struct {
	config      config
	log         *slog.Logger
	db          *store.DB
	vault       *vault.Vault
	sealing     [][]byte // keys for what the API hands out and takes back
	metrics     *telemetry.Metrics
	secrets     *vault.Secrets
	auth        *auth.Manager
	connections *connection.Manager
	services    *service.Manager
	reader      *engine.Reader
	decider     *engine.Decider
	deadLetters *delivery.Manager
	holds       *safety.Holds
	editor      *safety.Editor
	planner     *safety.Planner
	proofs      *engine.Proofs
	reconciler  *reconcile.Manager
	invoicer    *invoicing.Invoicer
	closer      *invoicing.Closer
	collector   *invoicing.Collector // nil: nobody collects
	plans       *plans.Manager
	webhooks    *notify.Manager
	notifier    *notify.Sender
	hub         *live.Hub
	scheduler   *scheduler.Scheduler
	engine      *engine.Engine
	demoEmail   string // the demo tenant's login, shown on the sign-in page; empty in production
	demoDir     string // where the demo's databases and their passwords are
}

// newApp connects to the database and wires the packages. It starts nothing.
func newApp(ctx context.Context, c config, master vault.Master, guard connection.GuardOptions, log *slog.Logger) (*app, error) {
	db, err := store.Open(ctx, c.DatabaseURL, store.Options{MaxConns: c.MaxConns})
	if err != nil {
		return nil, err
	}
	g, err := connection.NewGuard(guard)
	if err != nil {
		db.Close()
		return nil, usageError{fmt.Errorf("SYNCLINE_ALLOW_NETWORKS: %w", err)}
	}
	a := &app{config: c, log: log, db: db, vault: vault.New(master), sealing: master.Derive("api"), metrics: telemetry.NewMetrics()}
	pool := transport.NewPool() // what connections of one vendor account share
	registry := connector.NewRegistry(connectors(c, pool)...)
	a.secrets = vault.NewSecrets(a.vault, db.Operator(), store.InTx(db, func(tx *store.Tx) vault.Tx { return tx }))
	a.auth = auth.NewManager(db.Operator(), store.InTx(db, func(tx *store.Tx) auth.Tx { return tx }), a.vault,
		auth.Options{SignUpClosed: c.SignUpClosed, Region: c.Region})
	a.connections = connection.NewManager(store.InTx(db, func(tx *store.Tx) connection.Tx { return tx }), registry, a.vault, a.secrets, service.Expand, g).
		WithCatalog(catalog.New(registry).WithOwn(store.InTx(db, func(tx *store.Tx) catalog.Tx { return tx }), ownConnector(pool))).
		WithSandboxes(newSandboxes(store.InTx(db, func(tx *store.Tx) sandboxTx { return tx })))
	a.services = service.NewManager(store.InTx(db, func(tx *store.Tx) service.Tx { return tx }), a.connections)
	a.reader = engine.NewReader(store.InTx(db, func(tx *store.Tx) engine.ReadTx { return tx }))
	a.decider = engine.NewDecider(store.InTx(db, func(tx *store.Tx) engine.DecideTx { return tx }))
	a.deadLetters = delivery.NewManager(store.InTx(db, func(tx *store.Tx) delivery.Tx { return tx }))
	a.editor = safety.NewEditor(store.InTx(db, func(tx *store.Tx) safety.EditTx { return tx }))
	a.reconciler = reconcile.NewManager(store.InTx(db, func(tx *store.Tx) reconcile.Tx { return tx }))
	a.proofs = engine.NewProofs(store.InTx(db, func(tx *store.Tx) engine.ProofAskTx { return tx }))
	a.planner = safety.NewPlanner(store.InTx(db, func(tx *store.Tx) safety.PlanTx { return tx }), a.services, log)
	a.holds = safety.NewHolds(store.InTx(db, func(tx *store.Tx) safety.HoldTx { return tx }))
	a.invoicer = invoicing.NewInvoicer(store.InTx(db, func(tx *store.Tx) invoicing.Tx { return tx })).
		WithGrace(c.InvoiceGrace).WithIssuer(c.InvoiceIssuer)
	pay, err := c.stripe()
	if err != nil {
		db.Close()
		return nil, usageError{err}
	}
	if pay != nil {
		a.invoicer = a.invoicer.Collected()
		a.collector = invoicing.NewCollector(store.InTx(db, func(tx *store.Tx) invoicing.CollectTx { return tx }),
			store.InOperatorTx(db, func(tx *store.OperatorTx) invoicing.CollectOperatorTx { return tx }), a.invoicer, stripe.New(*pay), log)
	}
	a.closer = invoicing.NewCloser(store.InOperatorTx(db, func(tx *store.OperatorTx) invoicing.OperatorTx { return tx }), a.invoicer, log)
	a.plans = plans.NewManager(store.InTx(db, func(tx *store.Tx) plans.Tx { return tx }))
	a.webhooks = notify.NewManager(store.InTx(db, func(tx *store.Tx) notify.Tx { return tx }), a.vault, guard.AllowLoopback)
	a.notifier = notify.NewSender(store.InTx(db, func(tx *store.Tx) notify.SendTx { return tx }), db.Operator(), a.vault, webhook.New(g.Dial, webhook.Timeout).Post, log)
	a.engine = engine.New(store.InTx(db, func(tx *store.Tx) engine.Tx { return tx }), a.services, log).
		Proving(store.InTx(db, func(tx *store.Tx) engine.ProofTx { return tx })).WithChore(a.reconciler.Chore)
	a.scheduler = scheduler.New(store.InOperatorTx(db, func(tx *store.OperatorTx) scheduler.Tx { return tx }), a.services, log)
	a.hub = live.NewHub(func(ctx context.Context, channels ...string) (live.Listener, error) {
		return db.Listen(ctx, channels...)
	}, store.LiveChannel, log)
	return a, nil
}

func (a *app) close() { a.db.Close() }

// newWorker makes the worker of this process.
func (a *app) newWorker() (*worker.Worker, error) {
	var collector worker.Collector
	if a.collector != nil {
		collector = a.collector
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return worker.New(riverpgxv5.New(a.db.Pool()), a.db.Leases(), a.engine, a.services, worker.Options{
		Pools: a.config.Pools, Slots: a.config.Slots, Region: a.config.Region, Host: host, Version: version, Schema: store.JobSchema, Log: a.log,
		Collector: collector, Planner: a.planner, TTL: a.config.Lease, Beat: a.config.Lease * 3 / 10, StopWithin: a.config.StopWithin,
	})
}

// background runs what every process of an installation does beside its own work, until ctx ends: hearing of news,
// deciding what runs where, tidying up.
func (a *app) background(ctx context.Context, group *errgroup.Group, w *worker.Worker) {
	a.hub.Handle(store.WakeChannel, func(payload string) {
		a.scheduler.Wake()
		if w != nil {
			var s service.ID // zero for any: some notifications may have been missed
			_ = s.UnmarshalText([]byte(payload))
			w.Wake(s)
		}
	})
	if w != nil {
		a.hub.HandleNews(a.notifier.Wake)
	}
	a.hub.Handle(store.HintChannel, a.connections.Heard)
	group.Go(func() error { return quietly(a.hub.Run(ctx)) })
	group.Go(func() error { return quietly(a.scheduler.Run(ctx)) })
	group.Go(func() error { return quietly(a.tidy(ctx)) })
	group.Go(func() error { return quietly(a.watchBudgets(ctx)) })
	group.Go(func() error { return quietly(a.closer.Run(ctx)) })
	group.Go(func() error { return quietly(a.keepLedger(ctx)) })
	if a.collector != nil {
		group.Go(func() error { return quietly(a.collector.Run(ctx)) })
	}
	if w != nil {
		group.Go(func() error { return quietly(a.notifier.Run(ctx)) })
		group.Go(func() error { return w.Run(ctx) })
	}
}

// quietly makes the end of the program no error.
func quietly(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// tidy drops what is kept for a while only: events for an hour, webhook deliveries for a month, idempotency keys for a day, sessions until they are over.
func (a *app) tidy(ctx context.Context) error {
	every := time.NewTicker(5 * time.Minute)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
		operator := a.db.Operator()
		if _, err := operator.DropEvents(ctx, time.Now().Add(-time.Hour)); err != nil {
			a.log.WarnContext(ctx, "dropping old events", "error", err)
		}
		if _, err := operator.DropWebhookDeliveries(ctx, time.Now().AddDate(0, 0, -30)); err != nil {
			a.log.WarnContext(ctx, "dropping old webhook deliveries", "error", err)
		}
		if _, err := operator.DropKeys(ctx); err != nil {
			a.log.WarnContext(ctx, "dropping old idempotency keys", "error", err)
		}
		if err := a.auth.Tidy(ctx); err != nil {
			a.log.WarnContext(ctx, "dropping sessions that are over", "error", err)
		}
	}
}

// watchBudgets tells tenants of the parts of their budgets that were reached, and of what their usage came to.
func (a *app) watchBudgets(ctx context.Context) error {
	every := time.NewTicker(30 * time.Second)
	defer every.Stop()
	since := time.Now().AddDate(0, -1, 0) // what happened while nobody looked
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
		tenants, err := a.db.Operator().TenantsWithBudgets(ctx)
		if err != nil {
			a.log.WarnContext(ctx, "looking for budgets", "error", err)
			continue
		}
		for _, id := range tenants {
			if _, err := a.plans.WatchBudgets(ctx, id); err != nil && ctx.Err() == nil {
				a.log.WarnContext(ctx, "watching budgets", "tenant", id, "error", err)
			}
		}
		began := time.Now()
		if a.watchUsage(ctx, since) {
			since = began.Add(-time.Hour)
		}
	}
}

// watchUsage looks at every tenant who used something since about then, and says whether all were looked at.
func (a *app) watchUsage(ctx context.Context, since time.Time) bool {
	var after tenant.ID
	all := true
	for {
		page, err := a.db.Operator().Tenants(ctx, after, 500)
		if err != nil {
			a.log.WarnContext(ctx, "looking for usage", "error", err)
			return false
		}
		for _, id := range page {
			if _, err := a.plans.WatchUsage(ctx, id, since); err != nil && ctx.Err() == nil {
				all = false
				a.log.WarnContext(ctx, "watching usage", "tenant", id, "error", err)
			}
			after = id
		}
		if len(page) < 500 {
			return all
		}
	}
}

// newLog makes the program's log, from which secrets are kept out.
func newLog(c config, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		level = slog.LevelInfo
	}
	return telemetry.NewLogger(w, c.LogFormat, level)
}
