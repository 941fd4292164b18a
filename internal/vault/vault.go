// SPDX-License-Identifier: Apache-2.0

// Package vault keeps secrets: it seals values with a key of the tenant's own, which lies in the database wrapped by a
// master key that does not.
//
// Master keys come from the installation's configuration. Each tenant has a key set (Tink, AES-256-GCM), stored in
// tenants.sealed_key, wrapped by the first master key. Whatever is sealed is bound to its tenant and to a name
// (SecretName, ConnectionName): a sealed value moved to another row or another tenant does not open.
//
// The Vault itself touches no database: callers hand over the wrapped key that their transaction read, so that a rotation
// is seen by the very next statement. Read the wrapped key with tx.TenantKey to open, and with tx.TenantKeyToSeal to seal:
// the latter keeps a rotation waiting until the sealed value is committed.
package vault

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/google/uuid"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Wrapped key sets begin with this, then the MasterID, then Tink's encrypted key set.
const wrappedVersion = 1

const wrappedHeader = 1 + masterIDSize

// How many tenants' unwrapped keys a process keeps. One is about 2 KB.
const cacheSize = 1024

// Vault seals and opens values. It is safe for concurrent use.
type Vault struct {
	master Master

	mu    sync.Mutex
	cache map[cacheKey]*opened // by the wrapped form, so an entry is never stale, only unused
}

type cacheKey [sha256.Size]byte

type opened struct {
	handle *keyset.Handle
	aead   tink.AEAD
}

// New makes a vault with these master keys.
func New(master Master) *Vault {
	return &Vault{master: master, cache: map[cacheKey]*opened{}}
}

// SecretName is the name that a tenant's secret is sealed under.
func SecretName(name string) string { return "secret/" + name }

// ConnectionName is the name that a connection's secret settings are sealed under.
func ConnectionName[ID ~[16]byte](id ID) string { return "connection/" + uuid.UUID(id).String() }

// WebhookName is what the secret of a webhook endpoint is sealed as.
func WebhookName[ID ~[16]byte](id ID) string { return "webhook/" + uuid.UUID(id).String() }

// NewTenantKey makes a tenant's key set, wrapped: what tenants.sealed_key holds.
func (v *Vault) NewTenantKey(id tenant.ID) ([]byte, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("making a tenant's key: %w", err)
	}
	return v.wrap(handle, id)
}

// Seal encrypts a value of the tenant's under its wrapped key. name says what the value is (SecretName, ConnectionName).
func (v *Vault) Seal(wrapped []byte, id tenant.ID, name string, plaintext []byte) ([]byte, error) {
	o, err := v.unwrap(wrapped, id)
	if err != nil {
		return nil, err
	}
	sealed, err := o.aead.Encrypt(plaintext, bound(id, name))
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return sealed, nil
}

// Open decrypts what Seal made for the same tenant and name. Anything else is the fault vault.sealed_damaged.
func (v *Vault) Open(wrapped []byte, id tenant.ID, name string, sealed []byte) ([]byte, error) {
	o, err := v.unwrap(wrapped, id)
	if err != nil {
		return nil, err
	}
	plaintext, err := o.aead.Decrypt(sealed, bound(id, name))
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "vault.sealed_damaged",
			"A stored secret does not open: it was changed, or belongs to another place. Set it again.")
	}
	return plaintext, nil
}

// Current says whether the wrapped key is wrapped by the first master key.
func (v *Vault) Current(wrapped []byte) bool {
	return bytes.HasPrefix(wrapped, v.CurrentPrefix())
}

// CurrentPrefix is what every key wrapped by the first master key begins with.
func (v *Vault) CurrentPrefix() []byte {
	first := v.master.First()
	return append([]byte{wrappedVersion}, first[:]...)
}

// Rewrap wraps the same key set with the first master key. What was sealed with it stays as it is.
func (v *Vault) Rewrap(wrapped []byte, id tenant.ID) ([]byte, error) {
	o, err := v.unwrap(wrapped, id)
	if err != nil {
		return nil, err
	}
	return v.wrap(o.handle, id)
}

// Renew adds a fresh key to the key set, which seals from now on. The one that sealed until now goes on opening; older
// ones are dropped, so everything must have been sealed with the present one before (see Secrets.RotateTenant).
func (v *Vault) Renew(wrapped []byte, id tenant.ID) ([]byte, error) {
	o, err := v.unwrap(wrapped, id)
	if err != nil {
		return nil, err
	}
	present, err := o.handle.Primary()
	if err != nil {
		return nil, fmt.Errorf("renewing a tenant's key: %w", err)
	}
	m := keyset.NewManagerFromHandle(o.handle)
	fresh, err := m.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("renewing a tenant's key: %w", err)
	}
	if err := m.SetPrimary(fresh); err != nil {
		return nil, fmt.Errorf("renewing a tenant's key: %w", err)
	}
	for _, k := range o.handle.KeysetInfo().GetKeyInfo() {
		if k.GetKeyId() != present.KeyID() {
			if err := m.Delete(k.GetKeyId()); err != nil {
				return nil, fmt.Errorf("renewing a tenant's key: %w", err)
			}
		}
	}
	handle, err := m.Handle()
	if err != nil {
		return nil, fmt.Errorf("renewing a tenant's key: %w", err)
	}
	return v.wrap(handle, id)
}

// Reseal seals the value again if it was not sealed with the key set's present key; changed says whether it did.
func (v *Vault) Reseal(wrapped []byte, id tenant.ID, name string, sealed []byte) (again []byte, changed bool, err error) {
	o, err := v.unwrap(wrapped, id)
	if err != nil {
		return nil, false, err
	}
	present, err := o.handle.Primary()
	if err != nil {
		return nil, false, fmt.Errorf("resealing: %w", err)
	}
	if sealedWith(sealed) == present.KeyID() {
		return sealed, false, nil
	}
	plaintext, err := v.Open(wrapped, id, name, sealed)
	if err != nil {
		return nil, false, err
	}
	again, err = v.Seal(wrapped, id, name, plaintext)
	return again, true, err
}

// sealedWith reads the id of the key from Tink's prefix: a byte 1 and four of the id.
func sealedWith(sealed []byte) uint32 {
	if len(sealed) < 5 || sealed[0] != 1 {
		return 0
	}
	return uint32(sealed[1])<<24 | uint32(sealed[2])<<16 | uint32(sealed[3])<<8 | uint32(sealed[4])
}

// bound is the associated data: tenant and name. The uuid has a fixed length, so no two pairs are alike.
func bound(id tenant.ID, name string) []byte {
	return append(append([]byte("syncline sealed v1\x00"), id[:]...), name...)
}

func boundKey(id tenant.ID) []byte {
	return append([]byte("syncline tenant key v1\x00"), id[:]...)
}

func (v *Vault) wrap(handle *keyset.Handle, id tenant.ID) ([]byte, error) {
	out := bytes.NewBuffer(v.CurrentPrefix())
	if err := handle.WriteWithAssociatedData(keyset.NewBinaryWriter(out), v.master.keys[0].aead, boundKey(id)); err != nil {
		return nil, fmt.Errorf("wrapping a tenant's key: %w", err)
	}
	return out.Bytes(), nil
}

func (v *Vault) unwrap(wrapped []byte, id tenant.ID) (*opened, error) {
	key := cacheKey(sha256.Sum256(append(id[:], wrapped...)))
	v.mu.Lock()
	o := v.cache[key]
	v.mu.Unlock()
	if o != nil {
		return o, nil
	}
	if len(wrapped) <= wrappedHeader || wrapped[0] != wrappedVersion {
		return nil, damagedKey(nil)
	}
	master := v.master.find(MasterID(wrapped[1:wrappedHeader]))
	if master == nil {
		return nil, fault.New(fault.Unavailable, "vault.master_key_missing",
			"The master key that protects this tenant's key is not among those configured. Add it behind the others until the rotation is done.")
	}
	handle, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(wrapped[wrappedHeader:])), master, boundKey(id))
	if err != nil {
		return nil, damagedKey(err)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, damagedKey(err)
	}
	o = &opened{handle, primitive}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.cache) >= cacheSize {
		// Any one will do: unwrapping again costs microseconds. The bound is what matters.
		for old := range v.cache {
			delete(v.cache, old)
			break
		}
	}
	v.cache[key] = o
	return o, nil
}

func damagedKey(err error) error {
	return fault.Wrap(err, fault.Unavailable, "vault.tenant_key_damaged",
		"The tenant's key does not open: it was changed, or belongs to another tenant. Restore the tenants table from a backup.")
}
