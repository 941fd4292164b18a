// SPDX-License-Identifier: Apache-2.0

package vault_test

import (
	"bytes"
	"testing"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/vault"
)

func TestDerivedKeysFollowTheMasterKeys(t *testing.T) {
	parse := func(text string) vault.Master {
		m, err := vault.ParseMaster(text)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	old, fresh := vault.NewMasterKey(), vault.NewMasterKey()
	before, after := parse(old).Derive("cursors"), parse(fresh+","+old).Derive("cursors")
	if len(before) != 1 || len(before[0]) != 32 || len(after) != 2 {
		t.Fatalf("derived %d and %d keys", len(before), len(after))
	}
	if !bytes.Equal(before[0], after[1]) || bytes.Equal(after[0], after[1]) {
		t.Error("a rotation must put a new key in front and keep the old one")
	}
	if bytes.Equal(before[0], parse(old).Derive("answers")[0]) {
		t.Error("two purposes have one key")
	}
}

func TestASecretThatMustBeNew(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := storetest.Tenant(t, b.db)
	admin := person(id, auth.Admin)
	if s, err := b.secrets.Set(t.Context(), admin, "CRM_TOKEN", "one", vault.NewOnly); err != nil || s.Version != 1 {
		t.Fatalf("set as new: %+v, %v", s, err)
	}
	_, err := b.secrets.Set(t.Context(), admin, "CRM_TOKEN", "two", vault.NewOnly)
	wantCode(t, err, "vault.secret_exists")
	wantValues(t, b.secrets, id, map[string]string{"CRM_TOKEN": "one"})
}
