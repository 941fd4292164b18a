// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/idempotency"
)

func TestAHundredTimesIsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	c := p.as("POST", "/v1/api-keys", `{"name":"once","scopes":["read"]}`, "Idempotency-Key", newKey())
	answers := make([]answer, 100)
	var wait sync.WaitGroup
	answered, first := make(chan struct{}), sync.Once{}
	for i := range answers {
		wait.Go(func() {
			for deadline := time.After(patience); ; {
				a := w.do(c)
				if a.status != http.StatusConflict || a.code() != "idempotency.running" {
					answers[i] = a
					first.Do(func() { close(answered) })
					return
				}
				if a.header.Get("Retry-After") == "" {
					t.Error("told to come back, and not when")
				}
				select { // asking on and on would keep the one from being answered
				case <-answered:
				case <-deadline:
					answers[i] = a
					return
				}
			}
		})
	}
	wait.Wait()
	replayed := 0
	for _, a := range answers {
		if a.status != 201 || string(a.body) != string(answers[0].body) || a.header.Get("Location") != answers[0].header.Get("Location") || a.header.Get("ETag") != answers[0].header.Get("ETag") {
			t.Fatalf("an answer differs: %d %s", a.status, a.body)
		}
		if a.header.Get("Idempotency-Replayed") == "true" {
			replayed++
		}
	}
	if n := w.number(`SELECT count(*) FROM api_keys WHERE name = 'once'`); n != 1 || replayed != 99 {
		t.Errorf("%d keys were made, %d answers repeated", n, replayed)
	}
	// What is kept does not hold the key in clear.
	key := answers[0].json(t)["key"].(string)
	if n := w.number(`SELECT count(*) FROM idempotency_keys WHERE position($1::bytea in body) > 0`, []byte(key)); n != 0 {
		t.Error("the API key lies in the database in clear")
	}
	if strings.Contains(w.log.String(), key) {
		t.Error("the API key is in the log")
	}
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	const body = `{"email":"new@example.com","role":"viewer"}`
	invite := func(body, key string) call { return p.as("POST", "/v1/invitations", body, "Idempotency-Key", key) }
	w.refused(400, "idempotency.key_missing", p.as("POST", "/v1/invitations", body))
	w.refused(400, "idempotency.key_malformed", invite(body, "a key with spaces"))
	w.refused(400, "request.parameter_invalid", invite(body, strings.Repeat("k", 256)))
	first := w.want(201, invite(body, "one"))
	if again := w.want(201, invite(body, "one")); string(again.body) != string(first.body) || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("repeated: %s", again.body)
	}
	w.refused(422, "idempotency.mismatch", invite(`{"email":"new@example.com","role":"editor"}`, "one"))
	// Nobody else gets the answer, though they use the same key for the same request.
	w.refused(422, "idempotency.mismatch", invite(body, "one").by("", p.sessions[auth.Owner]))
	w.refused(422, "idempotency.mismatch", call{method: "POST", path: "/v1/invitations", body: body, session: p.sessions[auth.Viewer], header: []string{"Idempotency-Key", "one"}})
	// What failed had no effect, and the key is free.
	w.refused(422, "auth.input_invalid", invite(`{"email":"nobody","role":"viewer"}`, "two"))
	w.refused(422, "request.invalid", invite(`{"email":"nobody"}`, "two"))
	w.want(201, invite(`{"email":"two@example.com","role":"viewer"}`, "two"))
	// Optional elsewhere, and it counts there too.
	w.refused(404, "dead_letter.not_found", p.as("POST", "/v1/dead-letters/dlq_06f3k8t2v0h7x1m9q4r5s6t7w8:redrive", "", "Idempotency-Key", "three"))
}

// The process ends between the effect and the answer.
func TestAnAnswerThatIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	keys := &forgetful{Keys: w.db}
	w.deps.Keys = keys
	w.serve()
	c := p.as("POST", "/v1/connections", `{"name":"shop","connector":"left-a"}`, "Idempotency-Key", "one")
	w.want(201, c)
	w.refused(409, "idempotency.running", c)
	w.exec(`UPDATE idempotency_keys SET created_at = created_at - $2::interval WHERE tenant_id = $1`, uuid.UUID(p.tenant), (idempotency.Lapse + time.Minute).String())
	w.refused(409, "idempotency.answer_lost", c)
	if n := w.number(`SELECT count(*) FROM connections WHERE tenant_id = $1`, uuid.UUID(p.tenant)); n != 1 {
		t.Errorf("%d connections were made", n)
	}
	if keys.asked == 0 {
		t.Error("nobody tried to keep the answer")
	}
}

// A second process of the installation, with other master keys in front, still opens what the first one kept.
func TestKeptAnswersSurviveARotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	c := p.as("POST", "/v1/connections", `{"name":"shop","connector":"left-a"}`, "Idempotency-Key", "one")
	first := w.want(201, c)
	cursor := w.want(200, p.as("GET", "/v1/members?limit=1", "")).json(t)["nextCursor"].(string)
	fresh := make([]byte, 32)
	fresh[0] = 1
	w.deps.Sealing = append([][]byte{fresh}, w.deps.Sealing...)
	w.serve()
	if again := w.want(201, c); string(again.body) != string(first.body) {
		t.Errorf("repeated: %s", again.body)
	}
	w.want(200, p.as("GET", "/v1/members?limit=1&cursor="+cursor, ""))
	w.deps.Sealing = w.deps.Sealing[:1] // the old key was taken away
	w.serve()
	w.refused(400, "request.cursor_invalid", p.as("GET", "/v1/members?limit=1&cursor="+cursor, ""))
}
