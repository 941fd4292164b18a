// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/fault"
)

// selfSigned is a certificate and its key, in PEM.
func selfSigned(t *testing.T, name string) (certificate, key string, parsed *x509.Certificate) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	if parsed, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), inPEM(t, private), parsed
}

// A token is bought with client id and secret by who shows its certificate, and used with it (ADP); or the certificate alone is the proof
// (RFC 8705).
func TestClientCredentialsWithACertificate(t *testing.T) {
	t.Parallel()
	certificate, key, parsed := selfSigned(t, "syncline at acme")
	var mu sync.Mutex
	var asked []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.Path+" by "+r.TLS.PeerCertificates[0].Subject.CommonName)
		mu.Unlock()
		id, secret, basic := r.BasicAuth()
		switch {
		case r.URL.Path == "/token" && r.PostFormValue("grant_type") == "client_credentials" && (basic && id == "app" && secret == "s3" || r.PostFormValue("client_id") == "by-certificate" && r.PostFormValue("client_secret") == ""):
			_, _ = w.Write([]byte(`{"access_token":"bought","expires_in":3600}`))
		case r.URL.Path != "/token" && r.Header.Get("Authorization") == "Bearer bought":
			_, _ = w.Write([]byte(`{}`))
		default:
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"error":"invalid_client"}`))
		}
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	server.TLS.ClientCAs.AddCert(parsed)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	env := connector.Env{TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	source := func(way string) string {
		return thingsWith(server.URL, `settings: [{name: secret, secret: true}, {name: certificate}, {name: key, secret: true}]
auth: [{kind: clientCredentials, tokenUrl: "`+server.URL+`/token", `+way+`, certificate: "{settings.certificate}", certificateKey: "{settings.key}"}]`)
	}
	settings := connector.Settings{"secret": "s3", "certificate": certificate, "key": key}
	for _, way := range []string{`clientId: app, clientSecret: "{settings.secret}", clientAuth: basic`, `clientId: by-certificate, clientAuth: none`} {
		asked = nil
		if err := dialled(t, source(way), transport.NewPool(), settings, env).check(); err != nil || strings.Join(asked, ", ") != "/token by syncline at acme, / by syncline at acme" {
			t.Errorf("%s: %v; asked was %v", way, err, asked)
		}
	}
	another, other, _ := selfSigned(t, "somebody")
	if err := dialled(t, source(`clientId: by-certificate, clientAuth: none`), transport.NewPool(), connector.Settings{"certificate": another, "key": other}, env).check(); err == nil {
		t.Error("another certificate is let in")
	}
	if err := dialled(t, source(`clientId: app, clientSecret: "{settings.secret}"`), transport.NewPool(), connector.Settings{"secret": "s3"}, env).check(); connector.Classify(err).Code != "connection.credentials_missing" {
		t.Errorf("without a certificate: %v", err)
	}
}

// The client proves itself with a signed token (private_key_jwt, RFC 7523 section 2.2), once for each question, and no secret is sent.
func TestPrivateKeyJWT(t *testing.T) {
	t.Parallel()
	ours, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var address string
	seen := map[string]bool{}
	proven := func(r *http.Request) bool {
		parts := strings.Split(r.PostFormValue("client_assertion"), ".")
		if len(parts) != 3 || r.PostFormValue("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || r.PostFormValue("client_secret") != "" || r.Header.Get("Authorization") != "" {
			return false
		}
		signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
		digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		var head struct{ Alg, Kid string }
		var claims struct {
			Iss, Sub, Aud, Jti string
			Exp                int64
		}
		for i, into := range []any{&head, &claims} {
			b, _ := base64.RawURLEncoding.DecodeString(parts[i])
			if json.Unmarshal(b, into) != nil {
				return false
			}
		}
		if seen[claims.Jti] || rsa.VerifyPKCS1v15(&ours.PublicKey, crypto.SHA256, digest[:], signature) != nil {
			return false
		}
		seen[claims.Jti] = true
		return head.Alg == "RS256" && head.Kid == "k1" && claims.Iss == "app" && claims.Sub == "app" && claims.Aud == address+"/token" && claims.Exp > time.Now().Unix() && claims.Jti != ""
	}
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		grant := r.PostFormValue("grant_type")
		switch {
		case r.URL.Path == "/token" && proven(r) && (grant == "client_credentials" && r.PostFormValue("scope") == "okta.users.read" || grant == "refresh_token" && r.PostFormValue("refresh_token") == "refresh"):
			_, _ = w.Write([]byte(`{"access_token":"bought"}`))
		case r.URL.Path != "/token" && r.Header.Get("Authorization") == "Bearer bought":
			_, _ = w.Write([]byte(`{}`))
		default:
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"error":"invalid_client"}`))
		}
	}))
	defer server.Close()
	address = server.URL
	for name, test := range map[string]struct {
		way, key, code string
	}{
		"for itself":          {`kind: clientCredentials, scopes: [okta.users.read]`, inPEM(t, ours), ""},
		"for a person":        {`kind: oauth2, refreshToken: "refresh"`, inPEM(t, ours), ""},
		"with a foreign key":  {`kind: clientCredentials, scopes: [okta.users.read]`, inPEM(t, foreign), "connection.authorization_ended"},
		"with what is no key": {`kind: clientCredentials, scopes: [okta.users.read]`, "nonsense", "connection.key_unreadable"},
		"without a key":       {`kind: clientCredentials, scopes: [okta.users.read]`, "", "connection.credentials_missing"},
	} {
		source := thingsWith(server.URL, `settings: [{name: privateKey, secret: true}]
auth: [{`+test.way+`, tokenUrl: "`+server.URL+`/token", clientId: app, clientAuth: privateKeyJwt, key: "{settings.privateKey}", keyId: k1}]`)
		err := dialled(t, source, transport.NewPool(), connector.Settings{"privateKey": test.key}, connector.Env{}).check()
		if code := connector.Classify(err); err == nil && test.code != "" || err != nil && code.Code != test.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Requests are signed with a token that was made beforehand (OAuth 1.0, NetSuite's TBA); the other side works the signature out by itself.
func TestTokenBasedAuthentication(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	var mu sync.Mutex
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		given := map[string]string{}
		rest, _ := strings.CutPrefix(r.Header.Get("Authorization"), "OAuth ")
		for _, part := range strings.Split(rest, ", ") {
			name, value, _ := strings.Cut(part, "=")
			given[name], _ = url.PathUnescape(strings.Trim(value, `"`))
		}
		body, _ := io.ReadAll(r.Body)
		var pairs []string
		add := func(name, value string) { pairs = append(pairs, escape(name)+"="+escape(value)) }
		for name, value := range given {
			if name != "realm" && name != "oauth_signature" {
				add(name, value)
			}
		}
		more := []url.Values{r.URL.Query()}
		if r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
			form, _ := url.ParseQuery(string(body))
			more = append(more, form)
		}
		for _, values := range more {
			for name, list := range values {
				for _, v := range list {
					add(name, v)
				}
			}
		}
		slices.Sort(pairs)
		h := hmac.New(sha256.New, []byte(escape("consumer&secret")+"&"+escape("token secret")))
		fmt.Fprintf(h, "%s&%s&%s", r.Method, escape("http://"+r.Host+r.URL.EscapedPath()), escape(strings.Join(pairs, "&")))
		if given["realm"] != "TSTDRV1" || given["oauth_signature_method"] != "HMAC-SHA256" || given["oauth_consumer_key"] != "ck" || given["oauth_token"] != "tk" || used[given["oauth_nonce"]] ||
			given["oauth_signature"] != base64.StdEncoding.EncodeToString(h.Sum(nil)) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		used[given["oauth_nonce"]] = true
		_, _ = w.Write([]byte(`{}`))
	}))
	defer server.Close()
	for _, check := range []string{`{path: /}`, `{path: "/record/v1/customer", query: {q: "name IS \"Ä & B\"", limit: "5"}}`, `{method: POST, path: /suiteql, body: {q: SELECT 1}}`, `{method: POST, path: /form, encoding: form, body: {a: "b c", d: "ü"}}`} {
		source := strings.Replace(thingsWith(server.URL, `settings: [{name: secret, secret: true}]
auth: [{kind: oauth1, clientId: ck, clientSecret: "consumer&secret", token: tk, tokenSecret: "{settings.secret}", realm: TSTDRV1}]`), "check: {path: /}", "check: "+check, 1)
		if err := dialled(t, source, transport.NewPool(), connector.Settings{"secret": "token secret"}, connector.Env{}).check(); err != nil {
			t.Errorf("%s: %v", check, err)
		}
		if err := dialled(t, source, transport.NewPool(), connector.Settings{"secret": "another"}, connector.Env{}).check(); connector.Classify(err).Code != "http.unauthorized" {
			t.Errorf("%s with another secret: %v", check, err)
		}
	}
}

// Some calls carry a token of their own: one that a request gives (SP-API's restricted data token), or one of other scopes. One of many
// buys it, and one that is not taken any more is bought anew.
func TestTokensByCall(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	bought := map[string]int{}
	good := map[string]string{} // by what it is for
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		give := func(what, format string) {
			bought[what]++
			good[what] = fmt.Sprintf("%s-%d", what, bought[what])
			_, _ = fmt.Fprintf(w, format, good[what])
		}
		carried := r.Header.Get("x-amz-access-token")
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		switch {
		case r.URL.Path == "/token" && form.Get("scope") == "notifications" && form.Get("client_id") == "app":
			give("grantless", `{"access_token":%q,"expires_in":3600}`)
		case r.URL.Path == "/token":
			give("own", `{"access_token":%q,"expires_in":3600}`)
		case r.URL.Path == "/restricted" && carried == good["own"] && strings.Contains(string(body), `"path":"/orders"`):
			give("restricted", `{"restrictedDataToken":%q,"expiresIn":3600}`)
		case r.URL.Path == "/" && carried == good["own"], r.URL.Path == "/things" && carried == good["restricted"], r.URL.Path == "/archive" && carried == good["grantless"]:
			_, _ = w.Write([]byte(`[]`))
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	source := strings.NewReplacer("deletes: {mode: never}", "deletes: {mode: never}\n    native: orders").Replace(thingsWith(server.URL, `settings: [{name: secret, secret: true}]
auth: [{kind: oauth2, tokenUrl: "`+server.URL+`/token", clientId: app, clientSecret: "{settings.secret}", refreshToken: r, tokenHeader: x-amz-access-token}]
tokens:
  - {operations: [list], objects: [things], request: {method: POST, path: /restricted, body: {restrictedResources: [{path: "/{native}"}]}}, token: restrictedDataToken, expires: expiresIn}
  - {operations: [list], scopes: [notifications]}`)) + `  archive:
    key: [id]
    fields: [{name: id}]
    list: {request: {path: /archive}, paging: {style: none}}
    deletes: {mode: never}
    get: {request: {path: "/archive/{key}"}}
`
	o := dialled(t, source, transport.NewPool(), connector.Settings{"secret": "s"}, connector.Env{})
	read := func(object string) error {
		sys, err := o.c.Open(t.Context(), o.settings, o.env)
		if err != nil {
			return err
		}
		defer func() { _ = sys.Close() }()
		_, err = sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "things", Limit: 10})
		if object == "archive" {
			_, err = sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "archive", Limit: 10})
		}
		return err
	}
	fifty := func(object string) {
		t.Helper()
		var wait sync.WaitGroup
		for range 50 {
			wait.Go(func() {
				if err := read(object); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
	}
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	fifty("things")
	fifty("archive")
	if fmt.Sprint(bought) != "map[grantless:1 own:1 restricted:1]" {
		t.Errorf("bought was %v", bought)
	}
	mu.Lock()
	good["restricted"] = "another"
	mu.Unlock()
	if fifty("things"); bought["restricted"] != 2 || bought["own"] != 1 {
		t.Errorf("after it ended %v was bought", bought)
	}
}

// What a way to prove who is calling lacks is said at its place.
func TestProofsAreChecked(t *testing.T) {
	t.Parallel()
	for way, says := range map[string]string{
		`auth: [{kind: clientCredentials, tokenUrl: "https://a.example/t", clientId: a, clientAuth: privateKeyJwt}]`:       "not said with which key",
		`auth: [{kind: oauth2, tokenUrl: "https://a.example/t", clientId: a, clientAuth: none, noPkce: true}]`:             "proves itself with nothing",
		`auth: [{kind: clientCredentials, tokenUrl: "https://a.example/t", clientId: a, clientSecret: b, certificate: c}]`: "needs its key",
		`tokens: [{operations: [list]}]`: "not said how the token is had",
		`auth: [{kind: bearer, token: a}]
tokens: [{scopes: [a], objects: [others]}]`: "others is not an object",
	} {
		_, err := manifest.Parse([]byte(thingsWith("https://a.example", way)))
		if !fault.IsCode(err, "manifest.invalid") || !strings.Contains(fmt.Sprint(fault.As(err).Fields), says) {
			t.Errorf("%s\ngives %v %v", way, err, fault.As(err))
		}
	}
}

// An account is where the connection says: hosts, and whatever else differs, come from its region, for the page that asks people, too.
func TestRegions(t *testing.T) {
	t.Parallel()
	source := func(regions string) string {
		return strings.Replace(thingsWith("https://{region.host}/api", `auth: [{kind: oauth2, authorizeUrl: "https://{region.login}/authorize", tokenUrl: "https://{region.login}/token", clientId: a, clientSecret: b, refreshToken: "{settings.r}"}, {kind: bearer, token: "{settings.r}"}]
settings: [{name: r, secret: true}]
`+regions), "check: {path: /}", `check: {path: /, headers: {X-Zone: "{region.zone}"}}`, 1)
	}
	const regions = `regions:
  - {name: us, title: United States, values: {host: api.example.com, login: login.example.com, zone: "1"}}
  - {name: eu, title: European Union, values: {host: api.eu.example.com, login: login.eu.example.com, zone: "2"}}
`
	var asked string
	env := connector.Env{Sandbox: manifest.RoundTrip(func(r *http.Request) (*http.Response, error) {
		if !strings.HasSuffix(r.URL.Path, "/token") {
			asked = r.URL.String() + " " + r.Header.Get("X-Zone")
		}
		rec := httptest.NewRecorder()
		_, _ = rec.WriteString(`{"access_token":"x"}`)
		return rec.Result(), nil
	})}
	for region, want := range map[string][2]string{"": {"https://api.example.com/api/ 1", "https://login.example.com/authorize?"}, "us": {"https://api.example.com/api/ 1", "https://login.example.com/authorize?"},
		"eu": {"https://api.eu.example.com/api/ 2", "https://login.eu.example.com/authorize?"}} {
		o := dialled(t, source(regions), transport.NewPool(), nil, env)
		settings, err := o.c.Spec().Check(connector.Settings{"region": region, "r": "sandbox_r"})
		if err != nil {
			t.Fatal(err)
		}
		o.settings = settings
		if err := o.check(); err != nil || asked != want[0] {
			t.Errorf("%q: %s is asked, %v", region, asked, err)
		}
		if page, err := o.c.AskAt(settings, connector.Ask{Redirect: "https://sync.example/back"}); err != nil || !strings.HasPrefix(page, want[1]) {
			t.Errorf("%q: people are asked at %s, %v", region, page, err)
		}
	}
	spec := dialled(t, source(regions), transport.NewPool(), nil, env).c.Spec()
	if d := spec.Settings[0]; d.Name != "region" || d.Kind != connector.Choice || fmt.Sprint(d.Choices) != "[us eu]" || d.Default != "us" || !strings.Contains(d.Doc, "us is United States; eu is European Union.") {
		t.Errorf("the form asks %+v", d)
	}
	if _, err := spec.Check(connector.Settings{"region": "mars"}); err == nil {
		t.Error("a region that is none is taken")
	}
	for more, says := range map[string]string{
		strings.Replace(regions, `, zone: "2"`, "", 1):                         "The region eu has no zone",
		strings.Replace(regions, `zone: "2"`, `zone: "2", more: x`, 1):         "Only the region eu has more",
		strings.Replace(regions, "name: eu", "name: us", 1):                    "declared twice",
		strings.Replace(regions, "name: eu", "name: E U", 1):                   "cannot be the name",
		strings.ReplaceAll(regions, "login", "signin"):                         "names nothing that regions have",
		strings.Replace(regions, "regions:", "aliases: [x]\nregions:", 1) + "": "",
	} {
		_, err := manifest.Parse([]byte(source(more)))
		if says == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if !fault.IsCode(err, "manifest.invalid") || !strings.Contains(fmt.Sprint(fault.As(err).Fields), says) {
			t.Errorf("%s gives %v", says, err)
		}
	}
}
