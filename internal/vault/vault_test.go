// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/tenant"
)

func someone() tenant.ID { return tenant.ID(uuid.Must(uuid.NewV7())) }

func withKeys(t testing.TB, keys ...string) *Vault {
	t.Helper()
	m, err := ParseMaster(strings.Join(keys, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return New(m)
}

func tenantKey(t testing.TB, v *Vault, id tenant.ID) []byte {
	t.Helper()
	key, err := v.NewTenantKey(id)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func seal(t testing.TB, v *Vault, key []byte, id tenant.ID, name, value string) []byte {
	t.Helper()
	sealed, err := v.Seal(key, id, name, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	if !fault.IsCode(err, code) {
		t.Errorf("got %v, want the fault %s", err, code)
	}
}

func TestSealedOpensOnlyInItsPlace(t *testing.T) {
	v, a, b := withKeys(t, NewMasterKey()), someone(), someone()
	keyA, keyB := tenantKey(t, v, a), tenantKey(t, v, b)
	sealed := seal(t, v, keyA, a, SecretName("CRM_TOKEN"), "tok_123")
	if plain, err := v.Open(keyA, a, SecretName("CRM_TOKEN"), sealed); err != nil || string(plain) != "tok_123" {
		t.Fatalf("it opened as %q, %v", plain, err)
	}
	if again := seal(t, v, keyA, a, SecretName("CRM_TOKEN"), "tok_123"); bytes.Equal(again, sealed) {
		t.Error("sealing the same value twice gives the same bytes, which tells that they are equal")
	}
	id := uuid.New()
	tests := []struct {
		name   string
		key    []byte
		tenant tenant.ID
		place  string
		code   string
	}{
		{"another name", keyA, a, SecretName("CRM_TOKEN2"), "vault.sealed_damaged"},
		{"another kind of thing", keyA, a, ConnectionName(id), "vault.sealed_damaged"},
		{"another tenant with its own key", keyB, b, SecretName("CRM_TOKEN"), "vault.sealed_damaged"},
		{"another tenant's key for the same tenant", keyB, a, SecretName("CRM_TOKEN"), "vault.tenant_key_damaged"},
		{"the key stolen into another tenant's row", keyA, b, SecretName("CRM_TOKEN"), "vault.tenant_key_damaged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := v.Open(tt.key, tt.tenant, tt.place, sealed)
			wantCode(t, err, tt.code)
		})
	}
}

func TestEveryChangedByteIsNoticed(t *testing.T) {
	v, id := withKeys(t, NewMasterKey()), someone()
	key := tenantKey(t, v, id)
	sealed := seal(t, v, key, id, "secret/X", "the value")
	rapid.Check(t, func(t *rapid.T) {
		flip := func(b []byte) []byte {
			c := bytes.Clone(b)
			c[rapid.IntRange(0, len(c)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
			return c
		}
		if _, err := v.Open(key, id, "secret/X", flip(sealed)); !fault.IsCode(err, "vault.sealed_damaged") {
			t.Fatalf("a changed value opened: %v", err)
		}
		if _, err := v.Open(flip(key), id, "secret/X", sealed); fault.As(err) == nil {
			t.Fatalf("a changed key opened: %v", err)
		}
		cut := rapid.IntRange(0, len(sealed)-1).Draw(t, "cut")
		if _, err := v.Open(key, id, "secret/X", sealed[:cut]); !fault.IsCode(err, "vault.sealed_damaged") {
			t.Fatalf("a value cut to %d bytes opened: %v", cut, err)
		}
	})
}

func TestMasterKeysAreChangedWithoutLosingAnything(t *testing.T) {
	oldKey, newKey, id := NewMasterKey(), NewMasterKey(), someone()
	before := withKeys(t, oldKey)
	key := tenantKey(t, before, id)
	sealed := seal(t, before, key, id, "secret/X", "v")

	between := withKeys(t, newKey, oldKey) // the new one wraps, both open
	if between.Current(key) {
		t.Error("a key wrapped by the old master key counts as current")
	}
	if _, err := between.Open(key, id, "secret/X", sealed); err != nil {
		t.Errorf("before the rotation: %v", err)
	}
	rewrapped, err := between.Rewrap(key, id)
	if err != nil {
		t.Fatal(err)
	}
	if !between.Current(rewrapped) {
		t.Error("the rewrapped key does not count as current")
	}
	after := withKeys(t, newKey)
	if plain, err := after.Open(rewrapped, id, "secret/X", sealed); err != nil || string(plain) != "v" {
		t.Errorf("after the rotation: %q, %v", plain, err)
	}
	_, err = after.Open(key, id, "secret/X", sealed)
	wantCode(t, err, "vault.master_key_missing")
	_, err = before.Open(rewrapped, id, "secret/X", sealed)
	wantCode(t, err, "vault.master_key_missing")
}

func TestTenantKeyIsRenewed(t *testing.T) {
	v, id := withKeys(t, NewMasterKey()), someone()
	first := tenantKey(t, v, id)
	sealed := seal(t, v, first, id, "secret/X", "v")
	second, err := v.Renew(first, id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Open(second, id, "secret/X", sealed); err != nil {
		t.Errorf("what the previous key sealed does not open: %v", err)
	}
	resealed, changed, err := v.Reseal(second, id, "secret/X", sealed)
	if err != nil || !changed {
		t.Fatalf("resealing: changed %v, %v", changed, err)
	}
	if _, changed, err := v.Reseal(second, id, "secret/X", resealed); err != nil || changed {
		t.Errorf("resealing what is sealed with the present key: changed %v, %v", changed, err)
	}
	if _, err := v.Open(first, id, "secret/X", sealed); err != nil {
		t.Errorf("renewing changed the old key set: %v", err)
	}
	_, err = v.Open(first, id, "secret/X", resealed)
	wantCode(t, err, "vault.sealed_damaged")

	third, err := v.Renew(second, id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Open(third, id, "secret/X", resealed); err != nil {
		t.Errorf("what the previous key sealed does not open: %v", err)
	}
	_, err = v.Open(third, id, "secret/X", sealed)
	wantCode(t, err, "vault.sealed_damaged") // the first key is gone
}

func TestParseMaster(t *testing.T) {
	a, b := NewMasterKey(), NewMasterKey()
	for name, text := range map[string]string{
		"one to a line":          a + "\n" + b + "\n",
		"commas":                 a + "," + b,
		"remarks and windows":    "# the new one\r\n" + a + "\r\n\r\n  # the old one\r\n" + b,
		"without padding":        strings.TrimRight(a, "=") + " " + strings.TrimRight(b, "="),
		"the alphabet for links": strings.NewReplacer("+", "-", "/", "_").Replace(a + " " + b),
	} {
		m, err := ParseMaster(text)
		if err != nil || len(m.keys) != 2 || m.First() != withKeys(t, a).master.First() {
			t.Errorf("%s: %d keys, %v; want two, the first first", name, len(m.keys), err)
		}
	}
	for name, text := range map[string]string{
		"nothing":     "",
		"remarks":     "# nothing here\n",
		"too short":   "c2hvcnQ=",
		"too long":    a[:43] + b,
		"not base64":  strings.Repeat("!", 43),
		"twice":       a + "\n" + a,
		"hexadecimal": strings.Repeat("0f", 32),
	} {
		_, err := ParseMaster(text)
		wantCode(t, err, "vault.master_key_malformed")
		if err != nil && len(text) > 20 && strings.Contains(err.Error(), text[:20]) {
			t.Errorf("%s: the message repeats the key: %v", name, err)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	v, id := withKeys(t, NewMasterKey()), someone()
	for range cacheSize + 10 {
		if _, err := v.Seal(tenantKey(t, v, id), id, "secret/X", []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	if len(v.cache) != cacheSize {
		t.Errorf("the cache holds %d keys, want %d", len(v.cache), cacheSize)
	}
}

func TestManyAtOnce(t *testing.T) {
	v, id := withKeys(t, NewMasterKey()), someone()
	key := tenantKey(t, v, id)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				sealed, err := v.Seal(key, id, "secret/X", []byte("v"))
				if err == nil {
					_, err = v.Open(key, id, "secret/X", sealed)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}
