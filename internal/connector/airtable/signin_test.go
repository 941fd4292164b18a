// SPDX-License-Identifier: Apache-2.0

package airtable_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/airtable"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/fault"
)

// tokens keeps them for all who use the account, as the process does; renewals are counted.
type tokens struct {
	mu      sync.Mutex
	kept    map[string]string
	renewed int
}

func (k *tokens) Load(context.Context) (map[string]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kept, nil
}

func (k *tokens) Renew(ctx context.Context, stale string, get func(context.Context, map[string]string) (map[string]string, error)) (map[string]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.kept["access_token"]; t != "" && t != stale {
		return k.kept, nil
	}
	next, err := get(ctx, k.kept)
	if err != nil {
		return nil, err
	}
	k.kept, k.renewed = next, k.renewed+1
	return next, nil
}

// people answers the vendor's page with a yes and gives what the person comes back with.
func people(t *testing.T, server http.RoundTripper, address string) url.Values {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader("decision=allow"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := server.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	to, err := url.Parse(res.Header.Get("Location"))
	if err != nil || res.StatusCode != http.StatusFound {
		body, _ := io.ReadAll(res.Body)
		t.Fatalf("%d %v %s", res.StatusCode, err, body)
	}
	return to.Query()
}

// A person gives access; fifty workers meet the token's end at once, and one of them renews it, for a refresh token is good once. What
// else is filled in does not count, and an access that was taken back says so.
func TestSignIn(t *testing.T) {
	t.Parallel()
	clock := sandbox.NewClock(time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC), time.Millisecond)
	server := sandbox.NewServer(&airtable.Simulator{Rate: 100_000}, sandbox.NewWorld(clock.Now, 1), true)
	c := airtable.New(&transport.Pool{Now: clock.Now, Wait: clock.Wait})
	how, ok := c.Grantable()
	if !ok || strings.Join(how.Needs, " ") != "clientId" || len(how.Scopes) != 3 {
		t.Fatalf("it is given by %+v", how)
	}
	if _, err := c.AskAt(connector.Settings{"base": base}, connector.Ask{}); !fault.IsCode(err, "connection.authorization_unready") {
		t.Errorf("without an app it asks: %v", err)
	}
	for what, settings := range map[string]connector.Settings{
		"with a secret": {"base": base, "clientId": "app", "clientSecret": "s&cret +", "environment": "sandbox", "token": "another, which does not work"},
		"a public app":  {"base": base, "clientId": "app", "environment": "sandbox"},
	} {
		settings, err := c.Spec().Check(settings)
		if err != nil {
			t.Fatal(err)
		}
		ask := connector.Ask{Redirect: "https://sync.example.com/connections/authorized", State: "state", Verifier: "a verifier that is long enough to be one, 43 letters"}
		address, err := c.AskAt(settings, ask)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(ask.Verifier))
		for _, part := range []string{"https://airtable.com/oauth2/v1/authorize?", "code_challenge=" + base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method=S256", "state=state", "client_id=app", "scope=data.records%3Aread+data.records%3Awrite+schema.bases%3Aread"} {
			if !strings.Contains(address, part) {
				t.Errorf("%s: the page is at %s, without %s", what, address, part)
			}
		}
		env := connector.Env{Sandbox: server, Consumer: "svc_1", Tenant: "t"}
		if _, err := c.Redeem(t.Context(), settings, env, ask, url.Values{"error": {"access_denied"}, "error_description": {"No."}}); !fault.IsCode(err, "connection.authorization_refused") || !strings.Contains(err.Error(), "access_denied: No") {
			t.Errorf("%s: a no is %v", what, err)
		}
		other := ask
		other.Verifier = "of somebody who saw the code and did not ask the question"
		if _, err := c.Redeem(t.Context(), settings, env, other, people(t, server, address)); !fault.IsCode(err, "connection.authorization_refused") {
			t.Errorf("%s: another verifier is %v", what, err)
		}
		kept, err := c.Redeem(t.Context(), settings, env, ask, people(t, server, address))
		if err != nil || kept[connector.Granted] == "" || kept["refresh_token"] == "" || kept["refresh_expires_at"] != clock.Now().Add(60*24*time.Hour).UTC().Format(time.RFC3339) {
			t.Fatalf("%s: %v, %v", what, kept, err)
		}
		k := &tokens{kept: kept}
		env.Credentials = k
		fifty := func() {
			t.Helper()
			var wait sync.WaitGroup
			for range 50 {
				wait.Go(func() {
					sys, err := c.Open(t.Context(), settings, env)
					if err != nil {
						t.Error(err)
						return
					}
					defer sys.Close()
					if err := sys.Check(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			wait.Wait()
		}
		if fifty(); k.renewed != 0 {
			t.Errorf("%s: a fresh token is renewed %d times", what, k.renewed)
		}
		for round := 1; round <= 3; round++ {
			server.Do(t.Context(), func(x *sandbox.Exchange) { clear(x.W.Tokens) })
			if fifty(); k.renewed != round {
				t.Fatalf("%s: %d renewals after %d ends", what, k.renewed, round)
			}
		}
		clock.Advance(2 * time.Hour) // now it is known to have ended
		if fifty(); k.renewed != 4 || k.kept[connector.Granted] == "" {
			t.Errorf("%s: %d renewals, and %v is kept", what, k.renewed, k.kept)
		}
		server.Do(t.Context(), func(x *sandbox.Exchange) {
			clear(x.W.Tokens)
			clear(x.W.Grants)
		})
		sys, err := c.Open(t.Context(), settings, env)
		if err != nil {
			t.Fatal(err)
		}
		if err := sys.Check(t.Context()); connector.Classify(err).Code != "connection.authorization_ended" {
			t.Errorf("%s: taken back is %v", what, err)
		}
		_ = sys.Close()
	}
}
