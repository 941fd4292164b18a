// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
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
)

// thingsWith is a manifest of one object at base, with more of it.
func thingsWith(base, more string) string {
	return "manifest: 1\ntype: things\ntitle: Things\nsummary: Things.\nbaseUrl: " + base + "\ncheck: {path: /}\n" + more + `
objects:
  things:
    key: [id]
    fields: [{name: id}]
    list: {request: {path: /things}, paging: {style: none}}
    deletes: {mode: never}
    get: {request: {path: "/things/{key}"}}
`
}

func dialled(t *testing.T, source string, pool *transport.Pool, settings connector.Settings, env connector.Env) *opened {
	t.Helper()
	m, err := manifest.Parse([]byte(source))
	if err != nil {
		t.Fatal(err)
	}
	c, err := manifest.New(m, manifest.Hooks{}, pool)
	if err != nil {
		t.Fatal(err)
	}
	return &opened{t, c, settings, env}
}

type opened struct {
	*testing.T
	c        *manifest.Connector
	settings connector.Settings
	env      connector.Env
}

func (o *opened) check() error {
	o.Helper()
	sys, err := o.c.Open(o.Context(), o.settings, o.env)
	if err != nil {
		return err
	}
	defer func() { _ = sys.Close() }()
	return sys.Check(o.Context())
}

// Fifty workers need a token at once: one buys it, with the secret as RFC 6749 section 2.3.1 has it, and all use it.
func TestClientCredentials(t *testing.T) {
	t.Parallel()
	var bought, refused atomic.Int64
	var mu sync.Mutex
	good := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/token" {
			id, secret, ok := r.BasicAuth()
			if !ok || id != "the+app" || secret != "p%25ss" || r.PostFormValue("grant_type") != "client_credentials" || r.PostFormValue("scope") != "a b" || r.PostFormValue("audience") != "things" {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = w.Write([]byte(`{"error":"invalid_client"}`))
				return
			}
			good = "token-" + time.Now().Format(time.RFC3339Nano)
			bought.Add(1)
			_ = json.NewEncoder(w).Encode(map[string]any{"access_token": good, "expires_in": 3600})
			return
		}
		if r.Header.Get("Authorization") != "Bearer "+good {
			refused.Add(1)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(`{}`))
	}))
	defer server.Close()
	o := dialled(t, thingsWith(server.URL, `settings: [{name: secret, secret: true}]
auth: [{kind: clientCredentials, tokenUrl: "`+server.URL+`/token", clientId: the app, clientSecret: "{settings.secret}", clientAuth: basic, scopes: [a, b], tokenParameters: {audience: things}}]`),
		transport.NewPool(), connector.Settings{"secret": "p%ss"}, connector.Env{})
	all := func() {
		var wait sync.WaitGroup
		for range 50 {
			wait.Go(func() {
				if err := o.check(); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
	}
	all()
	if bought.Load() != 1 || refused.Load() != 0 {
		t.Fatalf("%d tokens were bought, %d calls refused", bought.Load(), refused.Load())
	}
	mu.Lock()
	good = "another" // the token was taken back
	mu.Unlock()
	all()
	if bought.Load() != 2 {
		t.Errorf("%d tokens were bought", bought.Load())
	}
	o.settings = connector.Settings{"secret": "wrong"}
	if err := o.check(); connector.Classify(err).Code != "connection.authorization_ended" {
		t.Errorf("a wrong secret gives %v", err)
	}
}

func inPEM(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// A signed assertion (RFC 7523) is verified by who gives out the token, for both kinds of keys.
func TestAssertion(t *testing.T) {
	t.Parallel()
	ours, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	verify := func(token string) string {
		parts := strings.Split(token, ".")
		if len(parts) != 3 {
			return "not a token"
		}
		var head map[string]string
		var claims struct {
			Iss, Sub, Aud, Jti, Role string
			Iat, Exp                 int64
		}
		for i, into := range []any{&head, &claims} {
			b, err := base64.RawURLEncoding.DecodeString(parts[i])
			if err != nil || json.Unmarshal(b, into) != nil {
				return "not JSON"
			}
		}
		sig, _ := base64.RawURLEncoding.DecodeString(parts[2])
		digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		switch head["alg"] {
		case "RS256":
			if rsa.VerifyPKCS1v15(&ours.PublicKey, crypto.SHA256, digest[:], sig) != nil {
				return "a wrong signature"
			}
		case "ES256":
			if len(sig) != 64 || !ecdsa.Verify(&curve.PublicKey, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
				return "a wrong signature"
			}
		default:
			return "another algorithm"
		}
		now := time.Now().Unix()
		switch {
		case head["kid"] != "key-1" || claims.Iss != "app" || claims.Sub != "admin@example.com" || claims.Aud != "https://login.example/token" || claims.Role != "reader":
			return "other claims"
		case claims.Iat > now+5 || claims.Exp <= now || claims.Exp > now+600 || claims.Jti == "" || seen[claims.Jti]:
			return "another time, or it came before"
		}
		seen[claims.Jti] = true
		return ""
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			if problem := verify(r.PostFormValue("assertion")); problem != "" || r.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
				w.WriteHeader(http.StatusBadRequest)
				_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_grant", "error_description": problem})
				return
			}
			_, _ = w.Write([]byte(`{"access_token":"granted"}`))
		case r.Header.Get("Authorization") != "Bearer granted":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			_, _ = w.Write([]byte(`{}`))
		}
	}))
	defer server.Close()
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		key string
		bad bool
	}{"RSA": {key: inPEM(t, ours)}, "elliptic curve": {key: inPEM(t, curve)}, "a foreign key": {key: inPEM(t, other), bad: true}, "no key": {key: "nonsense", bad: true}} {
		err := dialled(t, thingsWith(server.URL, `settings: [{name: key, secret: true}]
auth: [{kind: assertion, tokenUrl: "`+server.URL+`/token", issuer: app, subject: admin@example.com, audience: "https://login.example/token", key: "{settings.key}", keyId: key-1, claims: {role: reader}}]`),
			transport.NewPool(), connector.Settings{"key": test.key}, connector.Env{}).check()
		if (err != nil) != test.bad {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The system sees the certificate of the connection, and nobody without it gets in.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "syncline at acme"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	var name atomic.Value
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name.Store(r.TLS.PeerCertificates[0].Subject.CommonName)
		_, _ = w.Write([]byte(`{}`))
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	server.TLS.ClientCAs.AddCert(parsed)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	env := connector.Env{TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	source := thingsWith(server.URL, `settings: [{name: certificate}, {name: key, secret: true}]
auth: [{kind: mtls, certificate: "{settings.certificate}", key: "{settings.key}"}, {kind: none}]`)
	if err := dialled(t, source, transport.NewPool(), connector.Settings{"certificate": certificate, "key": inPEM(t, key)}, env).check(); err != nil || name.Load() != "syncline at acme" {
		t.Errorf("%v; the system saw %v", err, name.Load())
	}
	if err := dialled(t, source, transport.NewPool(), nil, env).check(); err == nil {
		t.Error("without a certificate it is let in")
	}
	another, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := dialled(t, source, transport.NewPool(), connector.Settings{"certificate": certificate, "key": inPEM(t, another)}, env).check(); connector.Classify(err).Code != "connection.key_unreadable" {
		t.Errorf("a key of another certificate gives %v", err)
	}
}

// Amazon's own test suite of signature version 4: get-vanilla, get-vanilla-query-order-key-case, post-vanilla.
func TestSignatureVersion4(t *testing.T) {
	t.Parallel()
	for want, check := range map[string]string{
		"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31": `{path: /}`,
		"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500": `{path: "/?Param2=value2&Param1=value1"}`,
		"5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b": `{method: POST, path: /}`,
	} {
		source := strings.Replace(thingsWith("https://example.amazonaws.com", `settings: [{name: key}, {name: secret, secret: true}]
auth: [{kind: sigv4, accessKey: "{settings.key}", secretKey: "{settings.secret}", region: us-east-1, service: service}]`), "check: {path: /}", "check: "+check, 1)
		got := ""
		env := connector.Env{Sandbox: manifest.RoundTrip(func(r *http.Request) (*http.Response, error) {
			got = r.Header.Get("Authorization")
			rec := httptest.NewRecorder()
			_, _ = rec.WriteString("{}")
			return rec.Result(), nil
		})}
		pool := &transport.Pool{Now: func() time.Time { return time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC) }}
		err := dialled(t, source, pool, connector.Settings{"key": "AKIDEXAMPLE", "secret": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", manifest.Environment: "sandbox"}, env).check()
		if err != nil || got != "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature="+want {
			t.Errorf("%s is signed with\n%s, %v", check, got, err)
		}
	}
}
