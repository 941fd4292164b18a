// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/idempotency"
	"github.com/syncline-dev/syncline/internal/store/internal/db"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// ClaimKey claims an idempotency key for a request with that fingerprint (a digest of method, path and body). It returns
// the first answer when there is one, and otherwise the claim to finish or release. The faults are idempotency.running and
// idempotency.mismatch. It is a transaction of its own, so that a second request sees the claim at once.
func (d *DB) ClaimKey(ctx context.Context, id tenant.ID, key string, fingerprint []byte) (claim idempotency.Claim, answer *idempotency.Answer, err error) {
	err = d.InTenant(ctx, id, func(tx *Tx) error {
		claim, answer, err = tx.claimKey(ctx, key, fingerprint)
		return err
	})
	return claim, answer, err
}

func (t *Tx) claimKey(ctx context.Context, key string, fingerprint []byte) (idempotency.Claim, *idempotency.Answer, error) {
	claim := idempotency.Claim{Tenant: uuid.UUID(t.tenant), Key: key, At: t.now}
	// A claim can vanish between the two statements, because it was released or too old; then it is ours to make.
	for range 3 {
		claimed, err := t.q.ClaimIdempotencyKey(ctx, db.ClaimIdempotencyKeyParams{Key: key, Fingerprint: fingerprint, CreatedAt: t.now})
		if err != nil {
			return claim, nil, unavailable(err)
		}
		if claimed == 1 {
			return claim, nil, nil
		}
		row, err := t.q.IdempotencyKey(ctx, key)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return claim, nil, unavailable(err)
		}
		age := t.now.Sub(row.CreatedAt)
		if age < idempotency.Keep {
			switch {
			case !bytes.Equal(row.Fingerprint, fingerprint):
				return claim, nil, idempotency.Mismatch()
			case row.Status != nil && *row.Status == idempotency.Unanswered:
				if age < idempotency.Lapse { // its process is most likely still at it
					return claim, nil, idempotency.Running()
				}
				return claim, nil, idempotency.AnswerLost()
			case row.Status != nil:
				answer := &idempotency.Answer{Status: int(*row.Status), Body: row.Body}
				if err := json.Unmarshal(row.Header, &answer.Header); err != nil {
					return claim, nil, fmt.Errorf("reading a kept answer: %w", err)
				}
				return claim, answer, nil
			case age < idempotency.Lapse:
				return claim, nil, idempotency.Running()
			}
		}
		taken, err := t.q.TakeIdempotencyKeyOver(ctx, db.TakeIdempotencyKeyOverParams{
			Key: key, Fingerprint: fingerprint, Now: t.now, Seen: row.CreatedAt, SeenStatus: row.Status,
		})
		if err != nil {
			return claim, nil, unavailable(err)
		}
		if taken == 1 {
			return claim, nil, nil
		}
	}
	return claim, nil, idempotency.Running()
}

// FinishKey keeps the answer for the claim's key. Called in the transaction of the effect it makes the two one: when the
// claim was lost the fault idempotency.lost ends the transaction, and the effect with it.
func (t *Tx) FinishKey(ctx context.Context, c idempotency.Claim, a idempotency.Answer) error {
	header, err := json.Marshal(a.Header)
	if err != nil {
		return fmt.Errorf("keeping an answer: %w", err)
	}
	if a.Body == nil {
		a.Body = []byte{}
	}
	n, err := t.q.FinishIdempotencyKey(ctx, db.FinishIdempotencyKeyParams{
		Key: c.Key, ClaimedAt: c.At, Status: int32(a.Status), Header: header, Body: a.Body,
	})
	if err != nil {
		return unavailable(err)
	}
	if n == 0 {
		return idempotency.Lost()
	}
	return nil
}

// markKey notes, in the commit of the effect, that the work for the context's claim was done.
func (t *Tx) markKey(ctx context.Context) error {
	c, ok := idempotency.From(ctx)
	if !ok {
		return nil
	}
	if c.Tenant != uuid.UUID(t.tenant) {
		// An operator's work for a tenant: the key is in their own. Nothing follows in this transaction but the commit, and its one
		// statement sees the rows of one tenant, too (invariant 7). The text is a parsed uuid.
		if _, err := t.tx.Exec(ctx, "set local syncline.tenant_id = '"+c.Tenant.String()+"'"); err != nil {
			return unavailable(err)
		}
	}
	n, err := t.q.MarkIdempotencyKey(ctx, db.MarkIdempotencyKeyParams{Key: c.Key, ClaimedAt: c.At})
	if err != nil {
		return unavailable(err)
	}
	if n == 0 {
		return idempotency.Lost()
	}
	return nil
}

// FinishKey keeps the answer for the claim's key, in a transaction of its own.
func (d *DB) FinishKey(ctx context.Context, id tenant.ID, c idempotency.Claim, a idempotency.Answer) error {
	return d.InTenant(ctx, id, func(tx *Tx) error { return tx.FinishKey(ctx, c, a) })
}

// ReleaseKey gives the claim back, because the request had no effect and its answer is not worth keeping: the input was
// wrong, or a system we depend on did not answer.
func (d *DB) ReleaseKey(ctx context.Context, id tenant.ID, c idempotency.Claim) error {
	return d.InTenant(ctx, id, func(tx *Tx) error {
		return unavailable(tx.q.ReleaseIdempotencyKey(ctx, db.ReleaseIdempotencyKeyParams{Key: c.Key, ClaimedAt: c.At}))
	})
}

// DropKeys removes idempotency keys older than idempotency.Keep, of all tenants. Named operator statement: it reads
// nothing but the age.
func (o *Operator) DropKeys(ctx context.Context) (int64, error) {
	n, err := db.New(o.d.operator).DeleteIdempotencyKeysBefore(ctx, o.Now().Add(-idempotency.Keep))
	return n, unavailable(err)
}
