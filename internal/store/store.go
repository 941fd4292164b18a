// SPDX-License-Identifier: Apache-2.0

// Package store is our PostgreSQL: transactions bound to one tenant, the SQL of each concept, and enqueueing. It decides
// nothing; one file serves one concept and satisfies that concept's Tx interface.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/store/internal/db"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// The roles that statements run as; migrations make them. Neither can bypass row-level security.
const (
	appRole      = "syncline_app"
	operatorRole = "syncline_operator"
)

// DB holds the connections to our database.
type DB struct {
	app      *pgxpool.Pool // as appRole: everything on behalf of a tenant
	operator *pgxpool.Pool // as operatorRole: the named statements across tenants (see Operator)
	jobs     *river.Client[pgx.Tx]
	now      func() time.Time
}

// Options are what Open may be told beside the address.
type Options struct {
	MaxConns int32            // of the application pool; 0 means 16
	Now      func() time.Time // the clock; nil means time.Now
}

// Open connects to the database at url, whose user must be a member of both roles. It fails when the schema is not there.
func Open(ctx context.Context, url string, o Options) (*DB, error) {
	if o.MaxConns == 0 {
		o.MaxConns = 16
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	app, err := pool(ctx, url, appRole, o.MaxConns)
	if err != nil {
		return nil, err
	}
	operator, err := pool(ctx, url, operatorRole, 6)
	if err != nil {
		app.Close()
		return nil, err
	}
	// FetchCooldown is, for a client that only inserts, how long a further insert stays without a notification.
	jobs, err := river.NewClient(riverpgxv5.New(app), &river.Config{Schema: JobSchema, Logger: quiet, FetchCooldown: river.FetchCooldownMin})
	if err != nil {
		app.Close()
		operator.Close()
		return nil, fmt.Errorf("preparing the job queue: %w", err)
	}
	return &DB{app: app, operator: operator, jobs: jobs, now: o.Now}, nil
}

func pool(ctx context.Context, url, role string, max int32) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("reading the database address: %w", err)
	}
	config.MaxConns = max
	config.ConnConfig.RuntimeParams["role"] = role
	config.ConnConfig.RuntimeParams["application_name"] = "syncline"
	config.ConnConfig.RuntimeParams["timezone"] = "UTC"
	// A plan made while a table was small would be kept while a first sync fills it with millions of rows.
	config.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
	config.AfterConnect = takeArrays
	p, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the database: %w", err)
	}
	var bypass bool
	err = p.QueryRow(ctx, `SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user`).Scan(&bypass)
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("connecting to the database as %s: %w", role, err)
	}
	if bypass {
		p.Close()
		return nil, fmt.Errorf("the database role %s can bypass row-level security; take SUPERUSER and BYPASSRLS from it", role)
	}
	return p, nil
}

// Close waits for running transactions and closes all connections.
func (d *DB) Close() {
	d.app.Close()
	d.operator.Close()
}

// Pool is the application pool, for River's worker side and the listener in cmd.
func (d *DB) Pool() *pgxpool.Pool { return d.app }

// Ping says whether the database answers.
func (d *DB) Ping(ctx context.Context) error { return d.app.Ping(ctx) }

// Tx is one transaction bound to one tenant. It has the methods of every package's Tx interface.
type Tx struct {
	tx     pgx.Tx
	q      *db.Queries
	jobs   *river.Client[pgx.Tx]
	tenant tenant.ID
	now    time.Time
	live   bool // an event was written: notify at commit
}

// Now is the one time of all rows of the commit, UTC, to the microsecond.
func (t *Tx) Now() time.Time { return t.now }

// Tenant is the tenant that the transaction is bound to.
func (t *Tx) Tenant() tenant.ID { return t.tenant }

// InTx makes the function with which a package runs its transactions: bound to a tenant, handed over as the package's own
// Tx interface, committed when fn returns nil and rolled back otherwise.
func InTx[T any](d *DB, as func(*Tx) T) func(context.Context, tenant.ID, func(T) error) error {
	return func(ctx context.Context, id tenant.ID, fn func(T) error) error {
		return d.InTenant(ctx, id, func(tx *Tx) error { return fn(as(tx)) })
	}
}

// InTenant runs fn in a transaction bound to the tenant (invariant 7). The binding travels with BEGIN in one message.
func (d *DB) InTenant(ctx context.Context, id tenant.ID, fn func(*Tx) error) error {
	if id.IsZero() {
		return errors.New("store: a transaction needs a tenant")
	}
	// SET LOCAL takes no parameters; the text is a parsed uuid.
	begin := "begin; set local syncline.tenant_id = '" + id.String() + "'"
	tx, err := d.app.BeginTx(ctx, pgx.TxOptions{BeginQuery: begin})
	if err != nil {
		return unavailable(err)
	}
	t := &Tx{tx: tx, q: db.New(tx), jobs: d.jobs, tenant: id, now: d.now().UTC().Truncate(time.Microsecond)}
	return t.finish(ctx, fn)
}

func (t *Tx) finish(ctx context.Context, fn func(*Tx) error) error {
	done := false
	defer func() {
		if !done {
			// The caller's context may be over; the connection is still to be given back clean.
			_ = t.tx.Rollback(context.WithoutCancel(ctx))
		}
	}()
	if err := fn(t); err != nil {
		return err
	}
	if err := t.markKey(ctx); err != nil {
		return err
	}
	if t.live {
		if _, err := t.tx.Exec(ctx, "SELECT pg_notify($1, $2)", LiveChannel, t.tenant.String()); err != nil {
			return unavailable(err)
		}
	}
	if err := t.tx.Commit(ctx); err != nil {
		return unavailable(err)
	}
	done = true
	return nil
}

// Operator runs the named statements that see several tenants' rows. Each of its methods says why it may.
type Operator struct{ d *DB }

// Operator returns the statements across tenants.
func (d *DB) Operator() *Operator { return &Operator{d} }

func (o *Operator) inTx(ctx context.Context, fn func(*OperatorTx) error) error {
	tx, err := o.d.operator.Begin(ctx)
	if err != nil {
		return unavailable(err)
	}
	t := &OperatorTx{tx: tx, q: db.New(tx), jobs: o.d.jobs, now: o.d.now().UTC().Truncate(time.Microsecond)}
	if err := fn(t); err != nil {
		_ = tx.Rollback(context.WithoutCancel(ctx))
		return err
	}
	return unavailable(tx.Commit(ctx))
}

// OperatorTx is one transaction of the operator role.
type OperatorTx struct {
	tx   pgx.Tx
	q    *db.Queries
	jobs *river.Client[pgx.Tx]
	now  time.Time
	own  *Tx // what the transaction became, once it was bound to a tenant
}

// Now is the one time of all rows of the commit.
func (t *OperatorTx) Now() time.Time { return t.now }

// unavailable turns trouble with the connection into a fault that says to try again; other errors pass through.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	var pg *pgconn.PgError
	var dial *pgconn.ConnectError
	switch {
	case errors.As(err, &pg):
		switch pg.Code[:2] {
		case "08", "57", "53":
		default:
			return err
		}
	case errors.As(err, &dial), pgconn.Timeout(err), pgconn.SafeToRetry(err):
	default:
		return err
	}
	return fault.Wrap(err, fault.Unavailable, "store.unavailable", "The database does not answer at the moment. Nothing was changed; try again.")
}

// notFound turns pgx's "no rows" into the fault given.
func notFound(err error, code, format string, args ...any) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return fault.New(fault.NotFound, code, format, args...)
	}
	return unavailable(err)
}

// violates says whether err is a unique violation of that index or constraint.
func violates(err error, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && pg.ConstraintName == constraint
}
