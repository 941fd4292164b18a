// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"hash"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// signed is a message with a recipe that must hold for it, and for nothing that differs in one byte.
type signed struct {
	verify Verify
	secret string
	in     Inbound
}

func (c *signed) holds(t *testing.T, in Inbound) bool {
	t.Helper()
	u, err := url.Parse(in.URL)
	if err != nil {
		t.Fatal(err)
	}
	v := c.verify
	v.Secret = "{settings.secret}"
	return v.holds(&system{scope: scope{"settings": map[string]any{"secret": c.secret}}}, in, u)
}

func sum(h func() hash.Hash, key, message string) []byte {
	m := hmac.New(h, []byte(key))
	_, _ = m.Write([]byte(message))
	return m.Sum(nil)
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// Every recipe that vendors use. Where there is a published vector it is the message; elsewhere the signature is made here by the
// vendor's words, apart from the code that verifies.
func TestSignatureRecipes(t *testing.T) {
	t.Parallel()
	now := time.Unix(1614265330, 0)
	stamp := "1614265330"
	const body = `{"id":7,"text":"Grüße"}`
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	raw := base64.RawURLEncoding
	jwk := fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, raw.EncodeToString(point[1:33]), raw.EncodeToString(point[33:]))
	digest := sha256.Sum256([]byte(stamp + body))
	der, err = ecdsa.SignASN1(rand.Reader, private, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	token := func(alg string, claims map[string]any, sign func(message string) []byte) string {
		head, _ := json.Marshal(map[string]string{"alg": alg, "typ": "JWT"})
		middle, _ := json.Marshal(claims)
		message := raw.EncodeToString(head) + "." + raw.EncodeToString(middle)
		return message + "." + raw.EncodeToString(sign(message))
	}
	es256 := func(message string) []byte {
		d := sha256.Sum256([]byte(message))
		r, s, err := ecdsa.Sign(rand.Reader, private, d[:])
		if err != nil {
			t.Fatal(err)
		}
		out := make([]byte, 64)
		r.FillBytes(out[:32])
		s.FillBytes(out[32:])
		return out
	}
	claims := map[string]any{"iat": now.Unix(), "request_body_sha256": sha([]byte(body))}
	post := func(h http.Header, body string) Inbound {
		return Inbound{Method: "POST", URL: "https://sync.example/hooks/a?b=c", Header: h, Body: []byte(body), Now: now}
	}
	cases := map[string]signed{
		// GitHub's documentation has this one.
		"SHA-256 in hexadecimal": {Verify{Kind: "hmac", Header: "X-Hub-Signature-256", Prefix: "sha256=", Encoding: "hex"}, "It's a Secret to Everybody",
			post(header("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"), "Hello, World!")},
		// RFC 2202, section 3, case 2.
		"SHA-1 in hexadecimal": {Verify{Kind: "hmac", Header: "X-Hub-Signature", Prefix: "sha1=", Algorithm: "sha1", Encoding: "hex"}, "Jefe",
			post(header("X-Hub-Signature", "sha1=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"), "what do ya want for nothing?")},
		// RFC 4231, section 4.3: the same with SHA-256, and with SHA-512.
		"SHA-256 in base64": {Verify{Kind: "hmac", Header: "X-Shopify-Hmac-Sha256"}, "Jefe",
			post(header("X-Shopify-Hmac-Sha256", base64.StdEncoding.EncodeToString(unhex(t, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"))), "what do ya want for nothing?")},
		"SHA-512": {Verify{Kind: "hmac", Header: "Signature", Algorithm: "sha512", Encoding: "hex"}, "Jefe",
			post(header("Signature", "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"), "what do ya want for nothing?")},
		// The specification of Standard Webhooks has this one.
		"Standard Webhooks": {Verify{Kind: "hmac", Header: "webhook-signature", Key: "base64", Field: "v1", Separator: " ", Assign: ",", Message: "{id}.{timestamp}.{body}", ID: "webhook-id", Timestamp: "webhook-timestamp", Tolerance: "5m"},
			"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
			post(header("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp", stamp, "webhook-signature", "v1,bm9ldHUjKzFob2VudXRob2VodWUzMjRvdWVvdW9ldQo= v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="), `{"test": 2432232314}`)},
		"Stripe": {Verify{Kind: "hmac", Header: "Stripe-Signature", Encoding: "hex", Field: "v1", Message: "{timestamp}.{body}", Tolerance: "5m"}, "whsec_test",
			post(header("Stripe-Signature", "t="+stamp+",v1="+hex.EncodeToString(sum(sha256.New, "whsec_test", stamp+"."+body))+",v0=00"), body)},
		"Slack": {Verify{Kind: "hmac", Header: "X-Slack-Signature", Prefix: "v0=", Encoding: "hex", Message: "v0:{timestamp}:{body}", Timestamp: "X-Slack-Request-Timestamp", Tolerance: "5m"}, "signing",
			post(header("X-Slack-Signature", "v0="+hex.EncodeToString(sum(sha256.New, "signing", "v0:"+stamp+":"+body)), "X-Slack-Request-Timestamp", stamp), body)},
		"Zendesk": {Verify{Kind: "hmac", Header: "X-Zendesk-Webhook-Signature", Message: "{timestamp}{body}", Timestamp: "X-Zendesk-Webhook-Signature-Timestamp", Tolerance: "5m"}, "signing",
			post(header("X-Zendesk-Webhook-Signature", base64.StdEncoding.EncodeToString(sum(sha256.New, "signing", "2021-02-25T15:02:10Z"+body)), "X-Zendesk-Webhook-Signature-Timestamp", "2021-02-25T15:02:10Z"), body)},
		"HubSpot v3": {Verify{Kind: "hmac", Header: "X-HubSpot-Signature-v3", Message: "{method}{url}{body}{timestamp}", Timestamp: "X-HubSpot-Request-Timestamp", Tolerance: "5m"}, "client secret",
			post(header("X-HubSpot-Signature-v3", base64.StdEncoding.EncodeToString(sum(sha256.New, "client secret", "POST"+"https://sync.example/hooks/a?b=c"+body+stamp+"000")), "X-HubSpot-Request-Timestamp", stamp+"000"), body)},
		"Intercom": {Verify{Kind: "hmac", Header: "X-Hub-Signature", Prefix: "sha1=", Algorithm: "sha1", Encoding: "hex"}, "client secret",
			post(header("X-Hub-Signature", "sha1="+hex.EncodeToString(sum(sha1.New, "client secret", body))), body)},
		"BambooHR": {Verify{Kind: "hmac", Header: "X-BambooHR-Signature", Encoding: "hex", Message: "{body}{timestamp}", Timestamp: "X-BambooHR-Timestamp", Tolerance: "5m"}, "private key",
			post(header("X-BambooHR-Signature", hex.EncodeToString(sum(sha256.New, "private key", body+stamp)), "X-BambooHR-Timestamp", stamp), body)},
		"Airtable": {Verify{Kind: "hmac", Header: "X-Airtable-Content-MAC", Prefix: "hmac-sha256=", Encoding: "hex", Key: "base64"}, base64.StdEncoding.EncodeToString([]byte("mac secret")),
			post(header("X-Airtable-Content-MAC", "hmac-sha256="+hex.EncodeToString(sum(sha256.New, "mac secret", body))), body)},
		"ECDSA": {Verify{Kind: "ecdsa", Header: "X-Signature", Message: "{timestamp}{body}", Timestamp: "X-Timestamp", Tolerance: "5m"}, public,
			post(header("X-Signature", base64.StdEncoding.EncodeToString(der), "X-Timestamp", stamp), body)},
		"ECDSA with several keys": {Verify{Kind: "ecdsa", Header: "X-Signature", Message: "{timestamp}{body}", Timestamp: "X-Timestamp", Tolerance: "5m"}, otherKey(t) + public,
			post(header("X-Signature", base64.StdEncoding.EncodeToString(der), "X-Timestamp", stamp), body)},
		"Plaid's token": {Verify{Kind: "jwt", Header: "Plaid-Verification", BodyHash: "request_body_sha256", Tolerance: "5m"}, jwk,
			post(header("Plaid-Verification", token("ES256", claims, es256)), body)},
		"a token with a secret": {Verify{Kind: "jwt", Header: "Authorization", Prefix: "Bearer ", BodyHash: "request_body_sha256", Tolerance: "5m"}, "app secret",
			post(header("Authorization", "Bearer "+token("HS256", claims, func(m string) []byte { return sum(sha256.New, "app secret", m) })), body)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if !c.holds(t, c.in) {
				t.Fatal("the vendor's message is refused")
			}
			changed := c.in
			changed.Body = []byte(strings.Replace(string(c.in.Body), string(c.in.Body[:1]), " ", 1))
			if c.holds(t, changed) {
				t.Error("a changed body is taken")
			}
			late := c.in
			late.Now = now.Add(6 * time.Minute)
			if c.verify.Tolerance != "" && c.holds(t, late) {
				t.Error("an old message is taken")
			}
			bare := c.in
			bare.Header = c.in.Header.Clone()
			bare.Header.Del(c.verify.Header)
			if c.holds(t, bare) {
				t.Error("a message without a signature is taken")
			}
			other := c
			other.secret = strings.Replace(c.secret, "e", "f", 1)
			if c.verify.Kind == "ecdsa" || strings.HasPrefix(c.secret, "{") {
				other.secret = otherKey(t)
			}
			if other.secret != c.secret && other.holds(t, c.in) {
				t.Error("another secret's signature is taken")
			}
		})
	}

	t.Run("the key decides the algorithm", func(t *testing.T) {
		forged := token("HS256", claims, func(m string) []byte { return sum(sha256.New, public, m) })
		for name, tok := range map[string]string{"a public key as a secret": forged, "none": token("none", claims, func(string) []byte { return nil })} {
			c := signed{Verify{Kind: "jwt", Header: "T", Tolerance: "5m"}, public, post(header("T", tok), body)}
			if c.holds(t, c.in) {
				t.Errorf("%s is taken", name)
			}
		}
	})
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func otherKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// A shared token counts when it is the same, and secrets of subscriptions count beside the settings'.
func TestSharedToken(t *testing.T) {
	t.Parallel()
	v := Verify{Kind: "secret", Header: "Authorization", Prefix: "Bearer ", Secret: "{settings.secret}"}
	s := &system{scope: scope{"settings": map[string]any{"secret": ""}}}
	u := &url.URL{}
	in := Inbound{Header: header("Authorization", "Bearer shared")}
	if v.holds(s, in, u) {
		t.Error("nothing is set, and it is taken")
	}
	if in.Secrets = []string{"shared"}; !v.holds(s, in, u) {
		t.Error("the subscription's secret is not taken")
	}
	if in.Secrets = []string{"share"}; v.holds(s, in, u) {
		t.Error("another secret is taken")
	}
}

// The ways in which vendors try an address.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	s := &system{scope: scope{"settings": map[string]any{"token": "verification"}}}
	const at = "https://sync.example/hooks/a"
	for name, test := range map[string]struct {
		h       Handshake
		in      Inbound
		header  string
		body    string
		offered string
	}{
		"Asana":    {Handshake{Kind: "echoHeader", Name: "X-Hook-Secret", Learn: true}, Inbound{Method: "POST", URL: at, Header: header("X-Hook-Secret", "s3")}, "s3", "", "s3"},
		"Okta":     {Handshake{Kind: "echoHeader", Name: "X-Okta-Verification-Challenge", Answer: "verification"}, Inbound{Method: "GET", URL: at, Header: header("X-Okta-Verification-Challenge", "abc")}, "", `{"verification":"abc"}`, ""},
		"Dropbox":  {Handshake{Kind: "echoQuery", Name: "challenge"}, Inbound{Method: "GET", URL: at + "?challenge=<b>"}, "", "<b>", ""},
		"Slack":    {Handshake{Kind: "echoField", Name: "challenge"}, Inbound{Method: "POST", URL: at, Body: []byte(`{"challenge":"abc"}`)}, "", "abc", ""},
		"eBay":     {Handshake{Kind: "hashChallenge", Name: "challenge_code", Secret: "{settings.token}"}, Inbound{Method: "GET", URL: at + "?challenge_code=abc"}, "", `{"challengeResponse":"` + sha([]byte("abcverification"+at)) + `"}`, ""},
		"Intercom": {Handshake{Kind: "probe"}, Inbound{Method: "HEAD", URL: at}, "", "", ""},
	} {
		u, err := url.Parse(test.in.URL)
		if err != nil {
			t.Fatal(err)
		}
		got, done := test.h.answer(s, test.in, u)
		if !done || got.Status != http.StatusOK || got.Body != test.body || got.Header[test.h.Name] != test.header || got.Offered != test.offered {
			t.Errorf("%s: %+v, %v", name, got, done)
		}
	}
	if _, done := (&Handshake{Kind: "probe"}).answer(s, Inbound{Method: "POST", Body: []byte("{}")}, &url.URL{}); done {
		t.Error("a message is taken for a probe")
	}
}
