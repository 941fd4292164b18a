// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/idempotency"
	"github.com/syncline-dev/syncline/internal/telemetry"
)

// idempotent carries a request out once per Idempotency-Key. An answer of success is kept and given again. All other
// answers are not kept, because nothing happened: whatever fails is rolled back as a whole, so the request can be sent again.
func (s *server) idempotent(w http.ResponseWriter, r *http.Request, next http.Handler) {
	req := of(r.Context())
	key := r.Header.Get("Idempotency-Key")
	if !req.op.keyed || key == "" {
		next.ServeHTTP(w, r)
		return
	}
	ctx, id := r.Context(), req.who.Tenant
	if err := idempotency.CheckKey(key); err != nil {
		s.fail(w, r, err)
		return
	}
	claim, kept, err := s.Keys.ClaimKey(ctx, id, key, fingerprint(r, req))
	if err == nil && kept != nil {
		err = s.replay(w, req, key, kept)
	}
	if err != nil {
		if fault.IsCode(err, "idempotency.running") {
			err = &httpError{cause: fault.As(err), retryAfter: 1}
		}
		s.fail(w, r, err)
		return
	}
	if kept != nil {
		return
	}

	held := &heldAnswer{header: http.Header{}}
	done := false
	defer func() {
		if !done { // a panic: what was not committed is rolled back
			s.release(ctx, req, claim)
		}
	}()
	next.ServeHTTP(held, r.WithContext(idempotency.With(ctx, claim)))
	done = true
	switch {
	case held.status >= 200 && held.status < 300:
		if err := s.keep(ctx, req, claim, held); err != nil {
			if !fault.IsCode(err, "idempotency.lost") {
				// The work is done and marked so; a repetition is told that its answer was lost.
				telemetry.Add(ctx, slog.String("answerNotKept", err.Error()))
			}
		}
	default:
		s.release(ctx, req, claim)
	}
	held.send(w)
}

// fingerprint tells requests apart. Whoever sent it is part of it: nobody gets an answer that was for somebody else.
func fingerprint(r *http.Request, req *request) []byte {
	h := sha256.New()
	for _, part := range []string{req.who.ID, r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), r.Header.Get("If-Match")} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	h.Write(req.body)
	return h.Sum(nil)
}

// Header fields of an answer that are worth repeating.
var keptHeader = []string{"Content-Type", "Location", "ETag", "Syncline-Consistency-Token"}

func (s *server) keep(ctx context.Context, req *request, claim idempotency.Claim, held *heldAnswer) error {
	a := idempotency.Answer{Status: held.status, Header: map[string][]string{}}
	for _, name := range keptHeader {
		if v := held.header.Values(name); len(v) > 0 {
			a.Header[name] = v
		}
	}
	var err error
	// Answers hold what must not lie in the database in clear: new API keys, links of invitations, customers' data.
	if a.Body, err = s.answers.seal(held.body.Bytes(), boundTo(req, claim.Key)); err != nil {
		return err
	}
	// Whoever asked may have hung up, but the work is done.
	return s.Keys.FinishKey(context.WithoutCancel(ctx), req.who.Tenant, claim, a)
}

func (s *server) replay(w http.ResponseWriter, req *request, key string, kept *idempotency.Answer) error {
	body, err := s.answers.open(kept.Body, boundTo(req, key))
	if err != nil {
		return err
	}
	for name, values := range kept.Header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	w.Header().Set("Idempotency-Replayed", "true")
	w.WriteHeader(kept.Status)
	_, _ = w.Write(body) //nolint:gosec // the answer that this handler gave before; whoever asked may be gone
	return nil
}

func (s *server) release(ctx context.Context, req *request, claim idempotency.Claim) {
	if err := s.Keys.ReleaseKey(context.WithoutCancel(ctx), req.who.Tenant, claim); err != nil {
		// The key stays claimed until it lapses; a repetition is told to wait.
		telemetry.Add(ctx, slog.String("keyNotReleased", err.Error()))
	}
}

func boundTo(req *request, key string) []byte { return []byte(req.who.Tenant.String() + "\x00" + key) }

// heldAnswer keeps an answer back until it is stored.
type heldAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *heldAnswer) Header() http.Header { return a.header }

func (a *heldAnswer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *heldAnswer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

func (a *heldAnswer) send(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // whoever asked may be gone
}

// sealer encrypts kept answers with AES-256-GCM.
type sealer struct{ aeads []cipher.AEAD }

func newSealer(sealing [][]byte) sealer {
	var s sealer
	for _, key := range subkeys(sealing, "answers") {
		block, err := aes.NewCipher(key)
		if err != nil {
			panic(err) // the keys have 32 bytes
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			panic(err)
		}
		s.aeads = append(s.aeads, aead)
	}
	return s
}

func (s sealer) seal(plain, bound []byte) ([]byte, error) {
	nonce := make([]byte, s.aeads[0].NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return s.aeads[0].Seal(nonce, nonce, plain, bound), nil
}

func (s sealer) open(sealed, bound []byte) ([]byte, error) {
	for _, aead := range s.aeads {
		if len(sealed) < aead.NonceSize() {
			break
		}
		if plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], bound); err == nil {
			return plain, nil
		}
	}
	return nil, errors.New("a kept answer does not open with the present keys")
}
