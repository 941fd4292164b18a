// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
)

// cheap is a cost that lets tests hash many passwords.
var cheap = auth.PasswordCost{Memory: 64, Iterations: 1}

const password = "correct horse battery"

// home is where the tests' requests come from.
var home = auth.Caller{IP: "192.0.2.1", UserAgent: "Browser", RequestID: "req_1"}

// bundle is a database of the test's own, a clock that it moves, and a manager.
type bundle struct {
	*auth.Manager
	db  *store.DB
	url string
	at  *atomic.Int64
}

func setup(t *testing.T, options ...func(*auth.Options)) *bundle {
	t.Helper()
	b := &bundle{url: storetest.URL(t), at: &atomic.Int64{}}
	b.at.Store(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).UnixMicro())
	b.db = storetest.Open(t, b.url, func() time.Time { return time.UnixMicro(b.at.Load()) })
	b.Manager = b.manager(t, options...)
	return b
}

// manager is another process on the same database.
func (b *bundle) manager(t *testing.T, options ...func(*auth.Options)) *auth.Manager {
	o := auth.Options{Cost: cheap}
	for _, set := range options {
		set(&o)
	}
	return auth.NewManager(b.db.Operator(), store.InTx(b.db, func(tx *store.Tx) auth.Tx { return tx }), storetest.Vault(t), o)
}

func (b *bundle) forward(d time.Duration) { b.at.Add(d.Microseconds()) }

// person signs somebody up, with a tenant of their own.
func (b *bundle) person(t *testing.T, name string) (auth.Token, auth.Session) {
	t.Helper()
	token, s, err := b.SignUp(t.Context(), auth.NewAccount{
		Email: strings.ToLower(name) + "@example.com", Name: name, Password: password, TenantName: name + " Ltd",
	}, auth.Caller{IP: "192.0.2." + fmt.Sprint(len(name)), UserAgent: home.UserAgent})
	if err != nil {
		t.Fatal(err)
	}
	return token, s
}

// colleague invites a person into who's tenant, and has them accept.
func (b *bundle) colleague(t *testing.T, who auth.Principal, name string, role auth.Role) (auth.Token, auth.Session) {
	t.Helper()
	link, _, err := b.Invite(t.Context(), who, strings.ToLower(name)+"@example.com", role)
	if err != nil {
		t.Fatal(err)
	}
	token, s, err := b.Accept(t.Context(), link, name, password, home)
	if err != nil {
		t.Fatal(err)
	}
	return token, s
}

// acts lists what the audit log holds, "action subject-or-empty", the oldest first, and checks that it is whole.
func (b *bundle) acts(t *testing.T, who auth.Principal) (acts []string) {
	t.Helper()
	for _, e := range b.entries(t, who) {
		acts = append(acts, e.Action)
	}
	return acts
}

func (b *bundle) entries(t *testing.T, who auth.Principal) []audit.Entry {
	t.Helper()
	overseer := auth.System(who.Tenant, "test")
	entries, err := b.AuditTrail(t.Context(), overseer, audit.Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := b.VerifyAudit(t.Context(), overseer); err != nil || !r.Whole() || r.Entries != int64(len(entries)) {
		t.Errorf("the audit log: %+v, %v", r, err)
	}
	slices.Reverse(entries)
	return entries
}

func (b *bundle) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

func (b *bundle) text(t *testing.T, query string, args ...any) (s string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func want(t *testing.T, err error, code string) {
	t.Helper()
	if !fault.IsCode(err, code) {
		t.Errorf("got %v, want the fault %s", err, code)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func contextThatIsOver(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx, cancel
}
