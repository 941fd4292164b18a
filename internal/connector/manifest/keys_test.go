// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/fault"
)

const things = "\n  type: type\n  key: id\n  objects: {\"thing.\": things}\n"

func hooked(t *testing.T, base, more string) *manifest.Connector {
	t.Helper()
	return dialled(t, thingsWith(base, more), &transport.Pool{Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}, nil, connector.Env{}).c
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Keys are fetched by the id that a message names, with the connection's proof: a key by itself as Plaid and eBay have it, or one of a
// set. They are kept in mind; one that is not known, or not used any more, proves nothing.
func TestKeysAreFetched(t *testing.T) {
	t.Parallel()
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	module, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	point, err := curve.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&curve.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	var down atomic.Bool
	ended := map[string]any{"old": "2020-01-01T00:00:00Z"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		var body map[string]string
		_ = json.NewDecoder(r.Body).Decode(&body)
		kid := body["key_id"]
		switch {
		case down.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/webhook_verification_key/get" && body["client_id"] == "app" && body["secret"] == "s3" && (kid == "good" || kid == "old"):
			_ = json.NewEncoder(w).Encode(map[string]any{"key": map[string]any{"alg": "ES256", "crv": "P-256", "kid": kid, "kty": "EC", "x": b64(point[1:33]), "y": b64(point[33:]), "expired_at": ended[kid]}})
		case r.URL.Path == "/webhook_verification_key/get":
			w.WriteHeader(http.StatusBadRequest)
		case r.URL.Path == "/commerce/notification/v1/public_key/good" && r.Header.Get("Authorization") == "Bearer s3":
			_ = json.NewEncoder(w).Encode(map[string]any{"algorithm": "ECDSA", "digest": "SHA1", "key": "-----BEGIN PUBLIC KEY-----" + base64.StdEncoding.EncodeToString(der) + "-----END PUBLIC KEY-----"})
		case r.URL.Path == "/jwks":
			_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{
				map[string]any{"kty": "EC", "crv": "P-256", "kid": "other", "x": b64(point[1:33]), "y": b64(point[33:])},
				map[string]any{"kty": "RSA", "kid": "good", "n": b64(module.N.Bytes()), "e": b64(big.NewInt(int64(module.E)).Bytes())}}})
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	now := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	const body = `{"type":"thing.changed","id":"7"}`
	hash := sha256.Sum256([]byte(body))
	token := func(alg, kid string, at time.Time) string {
		head, _ := json.Marshal(map[string]string{"alg": alg, "kid": kid, "typ": "JWT"})
		claims, _ := json.Marshal(map[string]any{"iat": at.Unix(), "request_body_sha256": hex.EncodeToString(hash[:])})
		message := b64(head) + "." + b64(claims)
		digest := sha256.Sum256([]byte(message))
		if alg == "RS256" {
			sig, err := rsa.SignPKCS1v15(rand.Reader, module, crypto.SHA256, digest[:])
			if err != nil {
				t.Fatal(err)
			}
			return message + "." + b64(sig)
		}
		r, s, err := ecdsa.Sign(rand.Reader, curve, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		sig := make([]byte, 64)
		r.FillBytes(sig[:32])
		s.FillBytes(sig[32:])
		return message + "." + b64(sig)
	}
	wrapped := func(_, kid string, _ time.Time) string {
		digest := sha1.Sum([]byte(body))
		sig, err := ecdsa.SignASN1(rand.Reader, curve, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(map[string]string{"alg": "ecdsa", "kid": kid, "signature": base64.StdEncoding.EncodeToString(sig), "digest": "SHA1"})
		return base64.StdEncoding.EncodeToString(text)
	}
	settings := connector.Settings{"secret": "s3"}
	const auth = "settings: [{name: secret, secret: true}]\nauth: [{kind: bearer, token: \"{settings.secret}\"}]\n"
	for name, test := range map[string]struct {
		verify, header, alg string
		make                func(alg, kid string, at time.Time) string
		old                 bool // messages end
	}{
		"Plaid": {`{kind: jwt, header: Plaid-Verification, bodyHash: request_body_sha256, tolerance: 5m, keys: {request: {method: POST, path: /webhook_verification_key/get, body: {client_id: app, secret: "{settings.secret}", key_id: "{kid}"}}, at: key, ended: key.expired_at}}`,
			"Plaid-Verification", "ES256", token, true},
		"eBay": {`{kind: ecdsa, header: X-EBAY-SIGNATURE, wrapped: true, field: signature, keyId: kid, algorithm: sha1, keys: {request: {path: "/commerce/notification/v1/public_key/{kid}"}, at: key}}`,
			"X-Ebay-Signature", "", wrapped, false},
		"a set of keys": {`{kind: jwt, header: Authorization, prefix: "Bearer ", bodyHash: request_body_sha256, tolerance: 5m, keys: {request: {path: /jwks}, at: keys, lasts: 1h}}`, "Authorization", "RS256", token, true},
	} {
		t.Run(name, func(t *testing.T) {
			asked.Store(0)
			c := hooked(t, server.URL, auth+"webhook:\n  verify: ["+test.verify+"]"+things)
			env := connector.Env{Tenant: "ten_1", Consumer: "con_1"}
			at := now
			send := func(kid string, made time.Time, body string) error {
				t.Helper()
				value := test.make(test.alg, kid, made)
				if test.header == "Authorization" {
					value = "Bearer " + value
				}
				v, err := c.Inbound(t.Context(), settings, env, manifest.Inbound{Method: "POST", URL: "https://sync.example/hooks/1", Header: http.Header{test.header: {value}}, Body: []byte(body), Now: at})
				if err == nil && (len(v.Hints) != 1 || v.Hints[0].Key != "7") {
					t.Errorf("it is read as %+v", v)
				}
				return err
			}
			var wait sync.WaitGroup
			for range 20 {
				wait.Go(func() {
					if err := send("good", now, body); err != nil {
						t.Error(err)
					}
				})
			}
			if wait.Wait(); asked.Load() != 1 {
				t.Errorf("for twenty messages the key was fetched %d times", asked.Load())
			}
			unverified := func(what string, err error, times int64) {
				t.Helper()
				if !fault.IsCode(err, "webhook.unverified") || asked.Load() != times {
					t.Errorf("%s: %v; the vendor was asked %d times, not %d", what, err, asked.Load(), times)
				}
			}
			unverified("another body", send("good", now, strings.Replace(body, "7", "8", 1)), 1)
			if test.old {
				unverified("an old message of an unknown key", send("unknown-1", now.Add(-6*time.Minute), body), 1)
			}
			unverified("an id that is none", send("../../admin", now, body), 1)
			unverified("an unknown key", send("unknown-2", now, body), 2)
			unverified("the same again", send("unknown-2", now, body), 2)
			if name == "Plaid" {
				unverified("a key that is not used any more", send("old", now, body), 3)
			}
			// A vendor that does not answer is no proof of anything: the message shall come again.
			down.Store(true)
			if err := send("later", now, body); err == nil || fault.As(err) != nil {
				t.Errorf("while the vendor is down: %v", err)
			}
			down.Store(false)
			for i := range 20 {
				_ = send(fmt.Sprintf("flood-%d", i), now, body)
			}
			if n := asked.Load(); n > 12 {
				t.Errorf("a flood made us ask %d times", n)
			}
			before := asked.Load()
			if at = now.Add(25 * time.Hour); send("good", at, body) != nil || asked.Load() != before+1 {
				t.Errorf("after a day the key was fetched %d times more", asked.Load()-before)
			}
			// The guard against private addresses is in the way.
			guarded := env
			guarded.Consumer, guarded.Dial = "con_2", func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("a private address") }
			before = asked.Load()
			env = guarded
			if err := send("good", at, body); err == nil || asked.Load() != before {
				t.Errorf("past the guard: %v", err)
			}
		})
	}
}

// What a message says is read in each of its shapes, from JSON and XML, and only of the account that is meant; secrets may be in the
// body; and the answers to messages and to the vendor's tries are as the vendor wants them.
func TestShapesAndReplies(t *testing.T) {
	t.Parallel()
	const auth = "settings: [{name: secret, secret: true}, {name: realm}]\n"
	settings := connector.Settings{"secret": "s3", "realm": "9130"}
	send := func(t *testing.T, c *manifest.Connector, method, address, body string) (manifest.Verdict, error) {
		t.Helper()
		return c.Inbound(t.Context(), settings, connector.Env{}, manifest.Inbound{Method: method, URL: address, Header: http.Header{"X-Token": {"s3"}}, Body: []byte(body), Now: time.Now()})
	}
	hints := func(v manifest.Verdict) (out string) {
		for i, h := range v.Hints {
			out += fmt.Sprintf("%s/%s %s; ", h.Object, h.Key, v.IDs[i])
		}
		return out
	}
	t.Run("QuickBooks in both", func(t *testing.T) {
		t.Parallel()
		c := hooked(t, "https://a.example", auth+`webhook:
  verify: [{kind: secret, header: X-Token, secret: "{settings.secret}"}]
  account: intuitaccountid
  accountIs: "{settings.realm}"
  type: type
  key: intuitentityid
  id: id
  objects: {qbo.customer.: things}
  bodies:
    - when: {path: eventNotifications, exists: true}
      events: "eventNotifications.*.dataChangeEvent.entities"
      type: name
      key: id
      id: none
      objects: {Customer: things}
`)
		for body, want := range map[string]string{
			`[{"specversion":"1.0","id":"e1","type":"qbo.customer.updated.v1","intuitentityid":"7","intuitaccountid":"9130"},{"specversion":"1.0","id":"e2","type":"qbo.customer.created.v1","intuitentityid":"8","intuitaccountid":"1"},{"specversion":"1.0","id":"e3","type":"qbo.invoice.created.v1","intuitentityid":"9","intuitaccountid":"9130"}]`: "things/7 e1; ",
			`{"eventNotifications":[{"realmId":"9130","dataChangeEvent":{"entities":[{"name":"Customer","id":"1","operation":"Create"},{"name":"Item","id":"2"}]}},{"realmId":"9130","dataChangeEvent":{"entities":[{"name":"Customer","id":"3"}]}}]}`:                                                                                                   "things/1 ; things/3 ; ",
		} {
			if v, err := send(t, c, "POST", "https://sync.example/hooks/1", body); err != nil || hints(v) != want {
				t.Errorf("%s\nis read as %s, %v", body, hints(v), err)
			}
		}
	})
	t.Run("a secret in the body", func(t *testing.T) {
		t.Parallel()
		c := hooked(t, "https://a.example", auth+`webhook:
  verify: [{kind: secret, body: "value.*.clientState", secret: "{settings.secret}"}]
  handshake: {kind: echoQuery, name: validationToken, status: 202}
  reply: {status: 202}
  events: value
  type: changeType
  key: resource
  objects: {updated: things}
`)
		for body, ok := range map[string]bool{
			`{"value":[{"clientState":"s3","changeType":"updated","resource":"7"},{"clientState":"s3","changeType":"updated","resource":"8"}]}`: true,
			`{"value":[{"clientState":"s3","changeType":"updated","resource":"7"},{"clientState":"s4","changeType":"updated","resource":"8"}]}`: false,
			`{"value":[{"changeType":"updated","resource":"7"}]}`:                                                                               false,
			`{"value":[]}`: false,
			`nonsense`:     false,
		} {
			v, err := send(t, c, "POST", "https://sync.example/hooks/1", body)
			if ok && (err != nil || v.Status != http.StatusAccepted || hints(v) != "things/7 ; things/8 ; ") || !ok && !fault.IsCode(err, "webhook.unverified") {
				t.Errorf("%s: %+v, %v", body, v, err)
			}
		}
		if v, err := send(t, c, "POST", "https://sync.example/hooks/1?validationToken=abc", ""); err != nil || v.Status != http.StatusAccepted || v.Body != "abc" {
			t.Errorf("the try is answered with %+v, %v", v, err)
		}
	})
	t.Run("XML with a receipt", func(t *testing.T) {
		t.Parallel()
		c := hooked(t, "https://a.example", auth+`webhook:
  verify: [{kind: secret, query: token, secret: "{settings.secret}"}]
  format: xml
  lists: [Event]
  events: Envelope.Body.Event
  type: "@kind"
  key: Id
  objects: {thing: things}
  reply: {type: text/xml, body: "<ok>{yes}</ok>"}
`)
		v, err := send(t, c, "POST", "https://sync.example/hooks/1?token=s3", `<e:Envelope xmlns:e="urn:e"><e:Body><Event kind="thing"><Id>7</Id></Event></e:Body></e:Envelope>`)
		if err != nil || hints(v) != "things/7 ; " || v.Body != "<ok>{yes}</ok>" || v.Header["Content-Type"] != "text/xml" || v.Status != 200 {
			t.Errorf("%+v, %v", v, err)
		}
		for _, body := range []string{`<a><b></a>`, `<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>`, `{}`} {
			if _, err := send(t, c, "POST", "https://sync.example/hooks/1?token=s3", body); !fault.IsCode(err, "webhook.malformed") {
				t.Errorf("%s: %v", body, err)
			}
		}
	})
	for recipe, says := range map[string]string{
		`verify: [{kind: hmac, header: a}]`:                                                                 "not said what a message is verified with",
		`verify: [{kind: hmac, body: a, secret: b}]`:                                                        "Only a secret can be in the body",
		`verify: [{kind: hmac, header: a, keys: {request: {path: /}}}]`:                                     "no",
		`verify: [{kind: ecdsa, header: a, wrapped: true, keyId: k, keys: {request: {path: /}}}]`:           "where the header has the signature",
		`verify: [{kind: secret, header: a, secret: b}], reply: {status: 302}`:                              "no status of success",
		`verify: [{kind: secret, header: a, secret: b}], reply: {body: c}`:                                  "what the reply's body is",
		`verify: [{kind: secret, header: a, secret: b}], account: c`:                                        "whose events are meant",
		`verify: [{kind: secret, header: a, secret: b}], bodies: [{when: {path: c}, objects: {d: others}}]`: "not an object here",
	} {
		_, err := manifest.Parse([]byte(thingsWith("https://a.example", "webhook: {"+recipe+"}")))
		if !fault.IsCode(err, "manifest.invalid") || !strings.Contains(fmt.Sprint(fault.As(err).Fields), says) {
			t.Errorf("%s gives %v", recipe, err)
		}
	}
}

// What Google Cloud Pub/Sub pushes has the message inside, and is signed for everybody with the same keys: whose subscription it is stands
// in the token.
func TestPushedMessages(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/certs" || r.Header.Get("Authorization") != "" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]any{"kty": "RSA", "kid": "google", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}}})
	}))
	defer server.Close()
	c := hooked(t, server.URL, `settings: [{name: audience}, {name: account}]
webhook:
  unwrap: message.data
  verify: [{kind: jwt, header: Authorization, prefix: "Bearer ", tolerance: 5m, keys: {request: {path: "`+server.URL+`/certs", bare: true}, at: keys}, claims: {aud: "{settings.audience}", email: "{settings.account}"}}]`+things)
	now := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	token := func(claims map[string]any) string {
		head, _ := json.Marshal(map[string]string{"alg": "RS256", "kid": "google", "typ": "JWT"})
		claims["iat"], claims["exp"] = now.Unix(), now.Add(time.Hour).Unix()
		said, _ := json.Marshal(claims)
		message := b64(head) + "." + b64(said)
		digest := sha256.Sum256([]byte(message))
		sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + message + "." + b64(sig)
	}
	pushed := func(data string) string {
		return `{"message": {"attributes": {"eventType": "OBJECT_FINALIZE"}, "data": "` + base64.StdEncoding.EncodeToString([]byte(data)) + `", "messageId": "136969346945"}, "subscription": "projects/p/subscriptions/s"}`
	}
	ours := map[string]any{"aud": "https://sync.example/hooks/1", "email": "push@p.iam.gserviceaccount.com"}
	good := connector.Settings{"audience": "https://sync.example/hooks/1", "account": "push@p.iam.gserviceaccount.com"}
	for name, test := range map[string]struct {
		settings   connector.Settings
		claims     map[string]any
		body       string
		hints      int
		unverified bool
	}{
		"ours":                          {good, ours, pushed(`{"type":"thing.changed","id":"7"}`), 1, false},
		"not in base64":                 {good, ours, `{"message": {"data": "{\"type\":\"thing.changed\",\"id\":\"7\"}"}}`, 1, false},
		"nothing inside":                {good, ours, `{"message": {"attributes": {}}}`, 0, false},
		"somebody else's subscription":  {good, map[string]any{"aud": ours["aud"], "email": "push@other.iam.gserviceaccount.com"}, pushed(`{"type":"thing.changed","id":"7"}`), 0, true},
		"for another address":           {good, map[string]any{"aud": "https://elsewhere", "email": ours["email"]}, pushed(`{"type":"thing.changed","id":"7"}`), 0, true},
		"without a claim":               {good, map[string]any{"aud": ours["aud"]}, pushed(`{"type":"thing.changed","id":"7"}`), 0, true},
		"a connection that says nobody": {connector.Settings{}, map[string]any{"aud": "", "email": ""}, pushed(`{"type":"thing.changed","id":"7"}`), 0, true},
	} {
		v, err := c.Inbound(t.Context(), test.settings, connector.Env{Tenant: "ten_1", Consumer: "con_1"}, manifest.Inbound{Method: "POST", URL: "https://sync.example/hooks/1", Header: http.Header{"Authorization": {token(maps.Clone(test.claims))}}, Body: []byte(test.body), Now: now})
		if test.unverified != fault.IsCode(err, "webhook.unverified") || !test.unverified && err != nil || len(v.Hints) != test.hints || test.hints > 0 && v.Hints[0].Key != "7" {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
	if _, err := c.Inbound(t.Context(), good, connector.Env{Tenant: "ten_1", Consumer: "con_1"}, manifest.Inbound{Method: "POST", URL: "https://sync.example/hooks/1", Header: http.Header{"Authorization": {token(maps.Clone(ours))}}, Body: []byte(pushed("no message")), Now: now}); !fault.IsCode(err, "webhook.malformed") {
		t.Errorf("what is no message gives %v", err)
	}
}
