// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// KeyID names an API key.
type KeyID uuid.UUID

// String returns the public form, "key_...".
func (id KeyID) String() string { return ident.Format(ident.Key, id) }

// ParseKeyID reads the public form.
func ParseKeyID(s string) (KeyID, error) {
	id, err := ident.Parse(ident.Key, s)
	return KeyID(id), err
}

// Key is an API key as it can be shown: all but the key itself.
type Key struct {
	ID         KeyID
	Name       string
	LastFour   string
	Scopes     []Scope
	CreatedBy  string // the principal's public id
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time // to the minute; zero: never used
	RevokedAt  time.Time // zero: not revoked
	Version    int64
}

// revoked is the key, worth nothing any more.
func (k Key) revoked(now time.Time) (Key, error) {
	if !k.RevokedAt.IsZero() {
		return k, fault.New(fault.Conflict, "auth.key_already_revoked", "The key was revoked already.")
	}
	k.RevokedAt = now
	k.Version++
	return k, nil
}

// Last use is noted at most this often.
const lastUsedEvery = time.Minute

// CreateKey makes an API key. The text is returned once and kept nowhere. expires may be zero for a key that does not.
func (m *Manager) CreateKey(ctx context.Context, who Principal, name string, scopes []Scope, expires time.Time) (KeyText, Key, error) {
	name, bad := tidyName(name, "/name")
	if err := invalid(bad); err != nil {
		return "", Key{}, err
	}
	names := make([]string, len(scopes))
	for i, s := range scopes {
		names[i] = string(s)
	}
	scopes, err := ParseScopes(names)
	if err != nil {
		return "", Key{}, err
	}
	// Whoever may make keys could otherwise make themselves one that runs the installation.
	if slices.Contains(scopes, ScopeOperator) && (who.Kind != KindMember || !who.Operates) {
		return "", Key{}, fault.New(fault.Forbidden, "auth.operators_only", "Only a person who runs the installation gives a key the scope operator, signed in and not with an API key.").
			At(fault.Field{Pointer: "/scopes", Code: "auth.operators_only", Message: "This scope is for people who run the installation."})
	}
	var text KeyText
	var k Key
	err = m.do(ctx, who, EditKeys, func(tx Tx) error {
		if !expires.IsZero() && !expires.After(tx.Now()) {
			return invalid([]fault.Field{{Pointer: "/expiresAt", Code: "auth.expiry_past", Message: "The key would have expired already.", Remedy: "Give a time to come, or none."}})
		}
		text = newKeyText(LivePrefix)
		k = Key{
			ID: KeyID(uuid.Must(uuid.NewV7())), Name: name, LastFour: text.lastFour(), Scopes: scopes, CreatedBy: who.ID,
			CreatedAt: tx.Now(), ExpiresAt: expires.UTC().Truncate(time.Microsecond), Version: 1,
		}
		if expires.IsZero() {
			k.ExpiresAt = time.Time{}
		}
		if err := tx.InsertAPIKey(ctx, k, text.hash()); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("key.created", k.ID.String(), map[string]any{"name": name, "scopes": scopes, "lastFour": k.LastFour}))
	})
	if err != nil {
		return "", Key{}, err
	}
	return text, k, nil
}

// Keys lists the API keys, up to limit, behind after in the order of their making, revoked ones included; limit 0 means all.
func (m *Manager) Keys(ctx context.Context, who Principal, after KeyID, limit int) (keys []Key, err error) {
	err = m.do(ctx, who, ViewKeys, func(tx Tx) error {
		keys, err = tx.APIKeys(ctx, after, limit)
		return err
	})
	return keys, err
}

// Key returns one API key.
func (m *Manager) Key(ctx context.Context, who Principal, id KeyID) (k Key, err error) {
	err = m.do(ctx, who, ViewKeys, func(tx Tx) error {
		k, err = tx.APIKey(ctx, id)
		return err
	})
	return k, err
}

// RevokeKey makes the key worthless with its next use. The row stays, for the audit log's sake. version is the one read, or 0.
func (m *Manager) RevokeKey(ctx context.Context, who Principal, id KeyID, version int64) (k Key, err error) {
	err = m.do(ctx, who, EditKeys, func(tx Tx) error {
		k, err = tx.LockAPIKey(ctx, id)
		if err != nil {
			return err
		}
		if err := stale(version, k.Version, "the key"); err != nil {
			return err
		}
		if k, err = k.revoked(tx.Now()); err != nil {
			return err
		}
		if err := tx.SaveAPIKey(ctx, k); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("key.revoked", id.String(), map[string]any{"name": k.Name, "lastFour": k.LastFour}))
	})
	return k, err
}

// ByKey returns the principal that the API key stands for. The faults are auth.key_malformed, found without any look-up,
// auth.key_unknown, auth.key_revoked, auth.key_expired and auth.tenant_suspended.
func (m *Manager) ByKey(ctx context.Context, text string, from Caller) (Principal, error) {
	key, ok := parseKeyText(text)
	if !ok {
		return Principal{}, fault.New(fault.Unauthenticated, "auth.key_malformed",
			"This is not an API key: one begins with %s and has 36 characters after it, the last of which check the others. Copy it again.", LivePrefix)
	}
	k, id, state, found, err := m.dir.KeyByHash(ctx, key.hash())
	if err != nil {
		return Principal{}, err
	}
	now := m.dir.Now()
	switch {
	case !found:
		return Principal{}, fault.New(fault.Unauthenticated, "auth.key_unknown", "There is no such API key. Make a new one under Settings, API keys.")
	case !k.RevokedAt.IsZero():
		return Principal{}, fault.New(fault.Unauthenticated, "auth.key_revoked", "The API key ending in %s was revoked. Make a new one under Settings, API keys.", k.LastFour)
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return Principal{}, fault.New(fault.Unauthenticated, "auth.key_expired", "The API key ending in %s expired. Make a new one under Settings, API keys.", k.LastFour)
	case state != tenant.Active:
		return Principal{}, suspended()
	}
	if now.Sub(k.LastUsedAt) >= lastUsedEvery {
		if err := m.dir.TouchKey(ctx, id, k.ID, lastUsedEvery); err != nil {
			return Principal{}, err
		}
	}
	if slices.Contains(k.Scopes, ScopeOperator) {
		// The key is worth as much as its maker: who runs the installation no more has no key that does.
		maker, err := ParseUserID(k.CreatedBy)
		operates := false
		if err == nil {
			if operates, err = m.dir.IsOperator(ctx, maker); err != nil {
				return Principal{}, err
			}
		}
		if !operates {
			k.Scopes = slices.DeleteFunc(slices.Clone(k.Scopes), func(s Scope) bool { return s == ScopeOperator })
		}
	}
	return Principal{
		Kind: KindKey, ID: k.ID.String(), Name: k.Name, Tenant: id, Scopes: k.Scopes, RequestID: from.RequestID, IP: from.IP,
	}, nil
}
