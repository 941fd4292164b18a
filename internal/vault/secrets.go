// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Secret is what ${NAME} in a service document stands for, as it can be shown: all but the value.
type Secret struct {
	Name      string
	SetBy     string // the public id of who set the present value
	CreatedAt time.Time
	UpdatedAt time.Time
	Version   int64
}

// SealedValue is a sealed value with the wrapped key that opens it, read at the same moment.
type SealedValue struct {
	Name   string
	Sealed []byte
	Key    []byte
}

// Tx is what secrets need of a transaction bound to a tenant.
type Tx interface {
	Now() time.Time
	Tenant() tenant.ID
	Audit(ctx context.Context, e audit.Entry) error

	// TenantKeyToSeal returns the wrapped key and keeps a rotation waiting until the commit.
	TenantKeyToSeal(ctx context.Context) ([]byte, error)
	// TenantKeyToRotate returns the wrapped key and waits for, and keeps waiting, whoever seals.
	TenantKeyToRotate(ctx context.Context) ([]byte, error)
	SetTenantKey(ctx context.Context, wrapped []byte) error

	SaveSecret(ctx context.Context, name string, sealed []byte, by string) (Secret, error)
	// Secrets lists up to limit secrets in the order of names, behind after; limit 0 means all.
	Secrets(ctx context.Context, after string, limit int) ([]Secret, error)
	Secret(ctx context.Context, name string) (Secret, error)
	LockSecret(ctx context.Context, name string) (Secret, error)
	DeleteSecret(ctx context.Context, name string) error
	SealedSecrets(ctx context.Context, names []string) ([]SealedValue, error)

	// EachSealed calls fn with the name (SecretName, ConnectionName) of everything sealed with the tenant's key, and stores
	// what it returns when changed is true.
	EachSealed(ctx context.Context, fn func(name string, sealed []byte) (again []byte, changed bool, err error)) error
}

// Directory has the statements across tenants that a new master key takes; *store.Operator has them.
type Directory interface {
	// KeysNotWrappedBy lists up to limit tenants behind after whose wrapped key does not begin with prefix.
	KeysNotWrappedBy(ctx context.Context, prefix []byte, after tenant.ID, limit int) ([]WrappedKey, error)
	CountKeysNotWrappedBy(ctx context.Context, prefix []byte) (int64, error)
	// SwapTenantKey replaces a wrapped key unless it was replaced meanwhile, and says whether it did.
	SwapTenantKey(ctx context.Context, id tenant.ID, old, fresh []byte, e audit.Entry) (bool, error)
}

// WrappedKey is a tenant's wrapped key.
type WrappedKey struct {
	Tenant tenant.ID
	Key    []byte
}

// Secrets has the operations on tenants' secrets and keys.
type Secrets struct {
	vault *Vault
	dir   Directory
	inTx  func(context.Context, tenant.ID, func(Tx) error) error
}

// NewSecrets makes the operations.
func NewSecrets(v *Vault, dir Directory, inTx func(context.Context, tenant.ID, func(Tx) error) error) *Secrets {
	return &Secrets{v, dir, inTx}
}

// NamePattern is the form of a secret's name.
const NamePattern = `^[A-Z][A-Z0-9_]{0,99}$`

var namePattern = regexp.MustCompile(NamePattern)

// maxValue is the greatest length of a value, in bytes; a key file with a chain of certificates fits.
const maxValue = 64 * 1024

// CheckName says whether a name may be that of a secret.
func CheckName(name string) error {
	if namePattern.MatchString(name) {
		return nil
	}
	return fault.New(fault.Invalid, "vault.secret_name_malformed",
		"A secret's name is made of capital letters, digits and underscores, begins with a letter and has at most 100 characters, like CRM_TOKEN.").
		At(fault.Field{Pointer: "/name", Code: "vault.secret_name_malformed", Message: "This cannot be the name of a secret.", Remedy: "Write it like CRM_TOKEN."})
}

// NewOnly as the version given to Set means that there must be no secret of that name yet.
const NewOnly int64 = -1

// Set keeps a value under a name, in place of the one there may be. version is the one read, 0 for whatever is there, or
// NewOnly.
func (s *Secrets) Set(ctx context.Context, who auth.Principal, name, value string, version int64) (secret Secret, err error) {
	if err := who.May(auth.EditSecrets); err != nil {
		return Secret{}, err
	}
	if err := CheckName(name); err != nil {
		return Secret{}, err
	}
	if value == "" || len(value) > maxValue {
		return Secret{}, fault.New(fault.Invalid, "vault.secret_value_malformed", "A secret's value has 1 to %d bytes.", maxValue).
			At(fault.Field{Pointer: "/value", Code: "vault.secret_value_malformed", Message: "The value is empty or too long.", Remedy: fmt.Sprintf("Give 1 to %d bytes.", maxValue)})
	}
	err = s.inTx(ctx, who.Tenant, func(tx Tx) error {
		key, err := tx.TenantKeyToSeal(ctx)
		if err != nil {
			return err
		}
		if version > 0 {
			before, err := tx.LockSecret(ctx, name)
			if err != nil {
				return err
			}
			if before.Version != version {
				return stale()
			}
		}
		sealed, err := s.vault.Seal(key, tx.Tenant(), SecretName(name), []byte(value))
		if err != nil {
			return err
		}
		if secret, err = tx.SaveSecret(ctx, name, sealed, who.ID); err != nil {
			return err
		}
		if version == NewOnly && secret.Version != 1 {
			return fault.New(fault.Stale, "vault.secret_exists", "There is a secret %s already. Read it, and replace the value of its version.", name)
		}
		return tx.Audit(ctx, who.Did("secret.set", name, map[string]any{"version": secret.Version}))
	})
	return secret, err
}

func stale() error {
	return fault.New(fault.Stale, "vault.version_stale", "Somebody changed the secret meanwhile. Read it again and repeat your change.")
}

// List returns names and times, never values, up to limit, behind after in the order of names; limit 0 means all.
func (s *Secrets) List(ctx context.Context, who auth.Principal, after string, limit int) (secrets []Secret, err error) {
	if err := who.May(auth.ViewSecrets); err != nil {
		return nil, err
	}
	err = s.inTx(ctx, who.Tenant, func(tx Tx) error {
		secrets, err = tx.Secrets(ctx, after, limit)
		return err
	})
	return secrets, err
}

// Get returns one secret's name and times, never its value.
func (s *Secrets) Get(ctx context.Context, who auth.Principal, name string) (secret Secret, err error) {
	if err := who.May(auth.ViewSecrets); err != nil {
		return Secret{}, err
	}
	err = s.inTx(ctx, who.Tenant, func(tx Tx) error {
		secret, err = tx.Secret(ctx, name)
		return err
	})
	return secret, err
}

// Delete removes a secret. What still names it fails from then on with vault.secret_unknown. version is the one read, or 0.
func (s *Secrets) Delete(ctx context.Context, who auth.Principal, name string, version int64) error {
	if err := who.May(auth.EditSecrets); err != nil {
		return err
	}
	return s.inTx(ctx, who.Tenant, func(tx Tx) error {
		before, err := tx.LockSecret(ctx, name)
		if err != nil {
			return err
		}
		if version != 0 && before.Version != version {
			return stale()
		}
		if err := tx.DeleteSecret(ctx, name); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("secret.deleted", name, nil))
	})
}

// Resolve returns the values of the names, for use at this moment. Names that do not exist are all in the fault
// vault.secret_unknown. It asks no permission: it serves the running of services, not people.
func (s *Secrets) Resolve(ctx context.Context, id tenant.ID, names []string) (values map[string]string, err error) {
	if len(names) == 0 {
		return map[string]string{}, nil
	}
	err = s.inTx(ctx, id, func(tx Tx) error {
		values, err = s.ResolveIn(ctx, tx, names)
		return err
	})
	return values, err
}

// SecretReader is what ResolveIn needs of a transaction; every Tx is one.
type SecretReader interface {
	Tenant() tenant.ID
	SealedSecrets(ctx context.Context, names []string) ([]SealedValue, error)
}

// ResolveIn is Resolve within a transaction that is open already.
func (s *Secrets) ResolveIn(ctx context.Context, tx SecretReader, names []string) (map[string]string, error) {
	sealed, err := tx.SealedSecrets(ctx, slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !namePattern.MatchString(name) }))
	if err != nil {
		return nil, err
	}
	values := make(map[string]string, len(sealed))
	for _, v := range sealed {
		plain, err := s.vault.Open(v.Key, tx.Tenant(), SecretName(v.Name), v.Sealed)
		if err != nil {
			return nil, fmt.Errorf("opening the secret %s: %w", v.Name, err)
		}
		values[v.Name] = string(plain)
	}
	var unknown []string
	for _, name := range names {
		if _, ok := values[name]; !ok && !slices.Contains(unknown, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		fields := make([]fault.Field, len(unknown))
		for i, name := range unknown {
			fields[i] = fault.Field{Code: "vault.secret_unknown", Message: "There is no secret " + name + ".", Remedy: "Set it under Settings, Secrets."}
		}
		return nil, fault.New(fault.Invalid, "vault.secret_unknown", "These secrets are not set: %s. Set them under Settings, Secrets.", strings.Join(unknown, ", ")).At(fields...)
	}
	return values, nil
}

// RotateTenant gives the tenant a fresh key and seals everything of the tenant's again with it, in one commit. Whoever
// reads meanwhile goes on with the old one.
func (s *Secrets) RotateTenant(ctx context.Context, who auth.Principal) error {
	if err := who.May(auth.EditTenant); err != nil {
		return err
	}
	return s.inTx(ctx, who.Tenant, func(tx Tx) error {
		id := tx.Tenant()
		wrapped, err := tx.TenantKeyToRotate(ctx)
		if err != nil {
			return err
		}
		fresh, err := s.vault.Renew(wrapped, id)
		if err != nil {
			return err
		}
		again := 0
		err = tx.EachSealed(ctx, func(name string, sealed []byte) ([]byte, bool, error) {
			// What Renew drops are keys before the present one. Nothing is sealed with those, because the rotation that made
			// the present one sealed everything again; if something were, it would fail here and nothing would be changed.
			resealed, changed, err := s.vault.Reseal(fresh, id, name, sealed)
			if err != nil {
				return nil, false, fmt.Errorf("resealing %s: %w", name, err)
			}
			if changed {
				again++
			}
			return resealed, changed, nil
		})
		if err != nil {
			return err
		}
		if err := tx.SetTenantKey(ctx, fresh); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("tenant.key_renewed", ident.Format(ident.Tenant, id), map[string]any{"resealed": again}))
	})
}

// Rotation is how far a rotation of the master key is.
type Rotation struct {
	Done  int64 // tenants' keys wrapped by the first master key since it began
	Total int64 // those to do when it began
}

// RotateMaster wraps all tenants' keys with the first master key, tenant by tenant, while everything goes on working: the
// other master keys open what is not done yet. It may be stopped and started again at any time, and run in several processes
// at once. When it returns without an error no key is wrapped by another master key, and those can be taken out of the
// configuration. Tenants' keys that do not open are left as they are and named in the error.
func (s *Secrets) RotateMaster(ctx context.Context, progress func(Rotation)) (Rotation, error) {
	prefix := s.vault.CurrentPrefix()
	total, err := s.dir.CountKeysNotWrappedBy(ctx, prefix)
	if err != nil {
		return Rotation{}, err
	}
	r := Rotation{Total: total}
	var failed []string
	var last tenant.ID
	for {
		keys, err := s.dir.KeysNotWrappedBy(ctx, prefix, last, 100)
		if err != nil {
			return r, err
		}
		if len(keys) == 0 {
			break
		}
		for _, k := range keys {
			last = k.Tenant
			if err := s.rewrap(ctx, k); err != nil {
				if fault.KindOf(err) != fault.Unavailable || fault.IsCode(err, "store.unavailable") {
					return r, err
				}
				failed = append(failed, ident.Format(ident.Tenant, k.Tenant)+" ("+fault.As(err).Code+")")
				continue
			}
			r.Done++
			if progress != nil {
				progress(r)
			}
		}
	}
	if len(failed) > 0 {
		return r, fault.New(fault.Unavailable, "vault.rotation_incomplete",
			"The keys of %d tenants could not be wrapped again: %s. Keep the old master keys until they are.", len(failed), strings.Join(failed, ", "))
	}
	// Somebody may have made a tenant meanwhile in a process that does not know the new key yet.
	left, err := s.dir.CountKeysNotWrappedBy(ctx, prefix)
	if err != nil {
		return r, err
	}
	if left > 0 {
		return r, fault.New(fault.Unavailable, "vault.rotation_incomplete",
			"%d tenants' keys were wrapped by an old master key meanwhile: a process still works with the old configuration. Restart it and rotate again.", left)
	}
	return r, nil
}

func (s *Secrets) rewrap(ctx context.Context, k WrappedKey) error {
	fresh, err := s.vault.Rewrap(k.Key, k.Tenant)
	if err != nil {
		return err
	}
	// Not swapped means that somebody else rewrapped or renewed it: both wrap with their first key.
	_, err = s.dir.SwapTenantKey(ctx, k.Tenant, k.Key, fresh,
		auth.System(k.Tenant, "vault").Did("tenant.key_rewrapped", ident.Format(ident.Tenant, k.Tenant), nil))
	return err
}
