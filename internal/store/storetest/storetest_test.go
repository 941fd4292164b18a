// SPDX-License-Identifier: Apache-2.0

package storetest_test

import (
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
)

func TestDatabasesAreApart(t *testing.T) {
	t.Parallel()
	one, two := storetest.New(t), storetest.New(t)
	id := storetest.Tenant(t, one)
	key := func(db *store.DB) (key []byte, err error) {
		err = db.InTenant(t.Context(), id, func(tx *store.Tx) error {
			key, err = tx.TenantKey(t.Context())
			return err
		})
		return key, err
	}
	wrapped, err := key(one)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := storetest.Vault(t).Seal(wrapped, id, "x", []byte("y")); err != nil {
		t.Errorf("the tenant's key does not open: %v", err)
	}
	if _, err := key(two); err == nil {
		t.Error("the second database knows the first one's tenant")
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	db := storetest.NewAt(t, func() time.Time { return noon })
	err := db.InTenant(t.Context(), storetest.Tenant(t, db), func(tx *store.Tx) error {
		if !tx.Now().Equal(noon) {
			t.Errorf("the transaction's time is %v, want the test's %v", tx.Now(), noon)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
