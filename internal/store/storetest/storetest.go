// SPDX-License-Identifier: Apache-2.0

// Package storetest gives a test a database of its own with our schema, seen through the same roles as in production.
//
//	db := storetest.New(t)             // migrated, empty, dropped when the test ends
//	id := storetest.Tenant(t, db)      // a tenant with a key that storetest.Vault opens
//
// Tests may run in parallel: no two share a database. The connections cannot bypass row-level security, so that tenant
// isolation is under test in every test.
package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/vault"
	"github.com/syncline-dev/syncline/migrations"
)

// MasterKey is the master key of all tests, in the form that vault.ParseMaster reads.
const MasterKey = "dGhpcyBrZXkgaXMgZm9yIHRlc3RzIG9ubHksIDMyIGI="

// New returns a connected, migrated database without any row, closed and dropped when the test ends.
func New(t testing.TB) *store.DB {
	t.Helper()
	return Open(t, URL(t), nil)
}

// NewAt is New with a clock of the test's own.
func NewAt(t testing.TB, now func() time.Time) *store.DB {
	t.Helper()
	return Open(t, URL(t), now)
}

// URL returns the address of a migrated database without any row, dropped when the test ends. It is the owner's address:
// a connection made with it sees everything. Open turns it into what the program works with.
func URL(t testing.TB) string {
	t.Helper()
	return testdb.Template(t, fmt.Sprintf("syncline %d", migrations.Latest), migrations.Up)
}

// Open connects to the database at url as the program does; a nil clock is time.Now. Closed when the test ends.
func Open(t testing.TB, url string, now func() time.Time) *store.DB {
	t.Helper()
	db, err := store.Open(context.Background(), url, store.Options{Now: now})
	if err != nil {
		t.Fatalf("storetest: %v", err)
	}
	t.Cleanup(db.Close)
	return db
}

// Tenant makes an active tenant in UTC with a key of its own.
func Tenant(t testing.TB, db *store.DB) tenant.ID {
	t.Helper()
	id := tenant.ID(uuid.Must(uuid.NewV7()))
	key, err := Vault(t).NewTenantKey(id)
	if err != nil {
		t.Fatalf("storetest: %v", err)
	}
	err = db.Operator().CreateTenant(context.Background(), tenant.Tenant{
		ID: id, Name: "Tenant of " + t.Name(), Slug: id.String(), Region: "default", TimeZone: "UTC",
	}, key)
	if err != nil {
		t.Fatalf("storetest: %v", err)
	}
	return id
}

// Vault returns a vault that opens the keys of the tenants made here.
func Vault(t testing.TB) *vault.Vault {
	t.Helper()
	master, err := vault.ParseMaster(MasterKey)
	if err != nil {
		t.Fatalf("storetest: %v", err)
	}
	return vault.New(master)
}
