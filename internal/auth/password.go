// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"runtime"
	"time"

	"github.com/alexedwards/argon2id"

	"github.com/syncline-dev/syncline/internal/fault"
)

// PasswordCost is how hard hashing a password is made. It is stored with each hash, so that it can be raised: whoever signs
// in next gets a hash of the new cost.
type PasswordCost struct {
	Memory     uint32 // KiB
	Iterations uint32
}

// DefaultCost is OWASP's recommendation for argon2id with little memory: 19 MiB, two passes, one lane. It takes some 30 ms,
// and bounded as below the whole process never needs more than a few times 19 MiB for it.
var DefaultCost = PasswordCost{Memory: 19 * 1024, Iterations: 2}

func (c PasswordCost) params() *argon2id.Params {
	return &argon2id.Params{Memory: c.Memory, Iterations: c.Iterations, Parallelism: 1, SaltLength: 16, KeyLength: 32}
}

// hasher hashes passwords, a bounded number at once: each takes memory and a whole core.
type hasher struct {
	params  *argon2id.Params
	turns   chan struct{}
	decoy   string        // a hash that nothing matches, for people who do not exist
	waiting time.Duration // at most, for a turn
}

func newHasher(cost PasswordCost) *hasher {
	p := cost.params()
	noise := make([]byte, p.SaltLength+p.KeyLength)
	rand.Read(noise)
	b64 := base64.RawStdEncoding
	return &hasher{
		params:  p,
		turns:   make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		waiting: 10 * time.Second,
		decoy: fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", p.Memory, p.Iterations, p.Parallelism,
			b64.EncodeToString(noise[:p.SaltLength]), b64.EncodeToString(noise[p.SaltLength:])),
	}
}

func (h *hasher) turn(ctx context.Context) (done func(), err error) {
	late := time.NewTimer(h.waiting)
	defer late.Stop()
	select {
	case h.turns <- struct{}{}:
		return func() { <-h.turns }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-late.C:
		return nil, fault.New(fault.TooMany, "auth.busy", "Too many people are signing in at this moment. Try again in a few seconds.")
	}
}

func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	done, err := h.turn(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	return argon2id.CreateHash(password, h.params)
}

// check says whether the password belongs to the hash, and whether the hash was made at another cost than today's. With an
// empty hash it takes just as long and says no.
func (h *hasher) check(ctx context.Context, password, hash string) (match, outdated bool, err error) {
	if len(password) > maxPassword {
		password = "" // no password is that long; the work is done all the same
	}
	done, err := h.turn(ctx)
	if err != nil {
		return false, false, err
	}
	defer done()
	if hash == "" {
		_, _, err := argon2id.CheckHash(password, h.decoy)
		return false, false, err
	}
	match, made, err := argon2id.CheckHash(password, hash)
	if err != nil {
		return false, false, fmt.Errorf("checking a password: %w", err)
	}
	return match, match && *made != *h.params, nil
}
