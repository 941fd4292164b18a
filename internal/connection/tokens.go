// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/vault"
)

// How renewing tokens goes about it.
const (
	tokenClaim   = 90 * time.Second       // longer than a call to a system takes, so a claim that ran out is of one that was cut off
	tokenWait    = 100 * time.Millisecond // between looks of those that wait for another's answer
	tokenFresh   = 2 * time.Second        // how long what was read is taken as it is; an ended token is found out by using it
	accessToken  = "access_token"
	tokensSealed = "/tokens"
)

// TokenTx is what keeping tokens needs of a transaction.
type TokenTx interface {
	// ConnectionTokens returns what is kept sealed, nil for nothing.
	ConnectionTokens(ctx context.Context, id ID) ([]byte, error)
	// ClaimTokens claims the renewal until then, and says whether it was free; cutOff when an earlier claim was not ended by who made it.
	ClaimTokens(ctx context.Context, id ID, claim uuid.UUID, until time.Time) (claimed, cutOff bool, err error)
	// SaveTokens keeps them and ends the claim; false when the claim is another's by now. nil keeps what is there.
	SaveTokens(ctx context.Context, id ID, claim uuid.UUID, sealed []byte) (bool, error)
	// PutTokens replaces what is kept, whoever renews it meanwhile.
	PutTokens(ctx context.Context, id ID, sealed []byte) error
	// DropTokens forgets them: the credentials that they were bought with were changed.
	DropTokens(ctx context.Context, id ID) error
}

// tokens keeps a connection's tokens sealed in our database, for all processes.
type tokens struct {
	m      *Manager
	tenant tenant.ID
	id     ID

	read time.Time
	kept map[string]string
	lock chan struct{} // of size 1
}

var _ connector.Credentials = (*tokens)(nil)

func (m *Manager) tokensOf(id tenant.ID, c ID) *tokens {
	return &tokens{m: m, tenant: id, id: c, lock: make(chan struct{}, 1)}
}

func (t *tokens) hold(ctx context.Context) (release func(), err error) {
	select {
	case t.lock <- struct{}{}:
		return func() { <-t.lock }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Load returns what is kept.
func (t *tokens) Load(ctx context.Context) (map[string]string, error) {
	release, err := t.hold(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if time.Since(t.read) < tokenFresh {
		return t.kept, nil
	}
	return t.load(ctx)
}

func (t *tokens) load(ctx context.Context) (map[string]string, error) {
	var kept map[string]string
	err := t.m.inTx(ctx, t.tenant, func(tx Tx) error {
		sealed, err := tx.ConnectionTokens(ctx, t.id)
		if err != nil || sealed == nil {
			return err
		}
		key, err := tx.TenantKey(ctx)
		if err != nil {
			return err
		}
		plain, err := t.m.vault.Open(key, t.tenant, vault.ConnectionName(t.id)+tokensSealed, sealed)
		if err != nil {
			return err
		}
		return json.Unmarshal(plain, &kept)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the tokens of a connection: %w", err)
	}
	t.kept, t.read = kept, time.Now()
	return kept, nil
}

// Renew replaces them. One of all that call, in any process, asks; the others wait for its answer. No transaction is open while a
// system is asked. The answer is stored before anybody uses it. Who is cut off between asking and storing leaves a claim that runs
// out; the next one then asks with the refresh token that is kept, which most systems take for a while longer, and where not, the
// error says what happened.
func (t *tokens) Renew(ctx context.Context, stale string, get func(context.Context, map[string]string) (map[string]string, error)) (map[string]string, error) {
	release, err := t.hold(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	claim := uuid.New()
	for {
		kept, err := t.load(ctx)
		if err != nil {
			return nil, err
		}
		if token := kept[accessToken]; token != "" && token != stale {
			return kept, nil // somebody else brought it
		}
		var claimed, cutOff bool
		err = t.m.inTx(ctx, t.tenant, func(tx Tx) error {
			claimed, cutOff, err = tx.ClaimTokens(ctx, t.id, claim, tx.Now().Add(tokenClaim))
			return err
		})
		if err != nil {
			return nil, err
		}
		if claimed {
			return t.ask(ctx, claim, cutOff, stale, get)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(tokenWait):
		}
	}
}

func (t *tokens) ask(ctx context.Context, claim uuid.UUID, cutOff bool, stale string, get func(context.Context, map[string]string) (map[string]string, error)) (map[string]string, error) {
	kept, err := t.load(ctx) // the one before may have ended between our look and our claim
	if err != nil {
		return nil, errors.Join(err, t.save(ctx, claim, nil))
	}
	if token := kept[accessToken]; token != "" && token != stale {
		return kept, t.save(ctx, claim, nil)
	}
	next, err := get(ctx, kept)
	// What was answered is kept even when nobody waits for it any more: the old refresh token may be worth nothing now.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err != nil {
		if c := connector.Classify(err); cutOff && c.Class == connector.Reconnect {
			e := *c
			e.Message += " An earlier renewal was cut off before its answer could be kept; the system may have counted that as used."
			err = &e
		}
		return nil, errors.Join(err, t.save(ctx, claim, nil))
	}
	if err := t.save(ctx, claim, next); err != nil {
		return nil, err
	}
	t.kept, t.read = next, time.Now()
	return next, nil
}

// save keeps the tokens, nil for those that are there, and ends the claim.
func (t *tokens) save(ctx context.Context, claim uuid.UUID, next map[string]string) error {
	err := t.m.inTx(ctx, t.tenant, func(tx Tx) error {
		var sealed []byte
		if next != nil {
			key, err := tx.TenantKeyToSeal(ctx)
			if err != nil {
				return err
			}
			plain, err := json.Marshal(next)
			if err != nil {
				return err
			}
			if sealed, err = t.m.vault.Seal(key, t.tenant, vault.ConnectionName(t.id)+tokensSealed, plain); err != nil {
				return err
			}
		}
		_, err := tx.SaveTokens(ctx, t.id, claim, sealed)
		return err
	})
	if err != nil {
		return fmt.Errorf("keeping the tokens of a connection: %w", err)
	}
	return nil
}

// forgetToken forgets the access token. What a person gave stays: it cannot be bought again.
func (m *Manager) forgetToken(ctx context.Context, tx Tx, key []byte, c Connection, kept map[string]string) error {
	if kept[connector.Granted] == "" || kept["refresh_token"] == "" {
		if kept[connector.Granted] != "" {
			return nil
		}
		return tx.DropTokens(ctx, c.ID)
	}
	less := maps.Clone(kept)
	delete(less, accessToken)
	delete(less, "expires_at")
	plain, err := json.Marshal(less)
	if err != nil {
		return err
	}
	sealed, err := m.vault.Seal(key, tx.Tenant(), vault.ConnectionName(c.ID)+tokensSealed, plain)
	if err != nil {
		return err
	}
	return tx.PutTokens(ctx, c.ID, sealed)
}
