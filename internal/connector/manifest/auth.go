// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"sort"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/oauth"
	"github.com/syncline-dev/syncline/internal/connector/transport"
)

// chosen is the first way whose settings are filled in.
func (m *Manifest) chosen(settings connector.Settings) (*Auth, error) {
	if len(m.Auth) == 0 {
		return &Auth{Kind: "none"}, nil
	}
	var ways []string
	for i := range m.Auth {
		a := &m.Auth[i]
		needs := a.needs()
		missing := false
		for _, n := range needs {
			missing = missing || settings[n] == ""
		}
		if !missing {
			return a, nil
		}
		ways = append(ways, strings.Join(needs, " and "))
	}
	return nil, &connector.Error{Class: connector.Reconnect, Code: "connection.credentials_missing",
		Message: fmt.Sprintf("The connection has no credentials: fill in %s.", strings.Join(ways, ", or "))}
}

// needs are the settings that this way cannot do without.
func (a *Auth) needs() []string {
	if a.Needs != nil {
		return a.Needs
	}
	var texts []string
	switch a.Kind {
	case "bearer":
		texts = []string{a.Token}
	case "header", "query":
		texts = []string{a.Value}
	case "basic":
		texts = []string{a.User, a.Pass}
	case "oauth2":
		texts = []string{a.ClientID, a.proof(), a.RefreshToken}
	case "clientCredentials":
		texts = []string{a.ClientID, a.proof()}
	case "assertion":
		texts = []string{a.Issuer, a.Key}
	case "sigv4":
		texts = []string{a.AccessKey, a.SecretKey}
	case "oauth1":
		texts = []string{a.ClientID, a.ClientSecret, a.Token, a.TokenSecret}
	case "mtls":
		texts = []string{a.Key}
	}
	texts = append(texts, a.Certificate, a.CertificateKey)
	var out []string
	for _, text := range texts {
		out = append(out, named(text)...)
	}
	return out
}

// proof is what the client proves itself with when it asks for tokens.
func (a *Auth) proof() string {
	switch a.ClientAuth {
	case "privateKeyJwt":
		return a.Key
	case "none":
		return ""
	}
	return a.ClientSecret
}

// tokens says whether the way buys tokens, which end.
func (a *Auth) tokens() bool {
	return a.Kind == "oauth2" || a.Kind == "clientCredentials" || a.Kind == "assertion"
}

func (s *system) text(template string, extra scope) string {
	t, err := parseTemplate(template)
	if err != nil {
		return ""
	}
	v, _, err := t.value(s.scope.with(extra), nil)
	if err != nil || v == nil {
		return ""
	}
	return plain(v)
}

// wallet is where the account's tokens are.
func (s *system) wallet() oauth.Wallet {
	return oauth.Wallet{Client: s.client, Kept: s.creds, Buy: s.buy}
}

// credentials returns the present token, buying one when there is none or it is about to end.
func (s *system) credentials(ctx context.Context) (map[string]string, error) {
	w := s.wallet()
	kept, good, err := w.Look(ctx)
	if err != nil || good {
		return kept, err
	}
	if kept[oauth.AccessToken] == "" && s.auth.Kind == "oauth2" && s.settings[oauthToken] != "" && kept[connector.Granted] == "" {
		// The token that came with the connection is good until the system says otherwise.
		return map[string]string{oauth.AccessToken: s.settings[oauthToken]}, nil
	}
	return w.Renew(ctx, kept[oauth.AccessToken])
}

const oauthToken = "accessToken"

func (s *system) buy(ctx context.Context, kept map[string]string) (map[string]string, error) {
	a, e := s.auth, s.endpoint()
	switch a.Kind {
	case "clientCredentials":
		return e.Own(ctx, s.client, kept, a.scope())
	case "assertion":
		jwt, err := s.assertion()
		if err != nil {
			return nil, err
		}
		return e.Assert(ctx, s.client, kept, jwt, a.scope())
	}
	return e.Refresh(ctx, s.client, kept, s.text(a.RefreshToken, nil))
}

// endpoint is where tokens are bought.
func (s *system) endpoint() oauth.Endpoint {
	a := s.auth
	e := oauth.Endpoint{URL: s.text(a.TokenURL, nil), ClientID: s.text(a.ClientID, nil), ClientSecret: s.text(a.ClientSecret, nil), Basic: a.ClientAuth == "basic", Parameters: map[string]string{}}
	for k, v := range a.TokenForm {
		e.Parameters[k] = s.text(v, nil)
	}
	switch a.ClientAuth {
	case "none":
		e.ClientSecret = ""
	case "privateKeyJwt":
		e.Proof = func() (string, error) {
			audience := s.text(a.Audience, nil)
			if audience == "" {
				audience = e.URL
			}
			return s.signed(s.claims(e.ClientID, e.ClientID, audience))
		}
	}
	e.Also = func(body any, next map[string]string) {
		for name, path := range a.Capture {
			if v := digText(body, path); v != "" {
				next["setting."+name] = v
			}
		}
	}
	return e
}

func (a *Auth) scope() string {
	sep := a.ScopeSeparator
	if sep == "" {
		sep = " "
	}
	return strings.Join(a.Scopes, sep)
}

// assertion signs who we are.
func (s *system) assertion() (string, error) {
	a := s.auth
	return s.signed(s.claims(s.text(a.Issuer, nil), s.text(a.Subject, nil), s.text(a.Audience, nil)))
}

func (s *system) claims(issuer, subject, audience string) map[string]any {
	now := s.client.Now()
	claims := map[string]any{"iss": issuer, "aud": audience, "iat": now.Unix(), "exp": now.Add(3 * time.Minute).Unix(), "jti": uuid.NewString()}
	if subject != "" {
		claims["sub"] = subject
	}
	for k, v := range s.auth.Claims {
		claims[k] = s.text(v, nil)
	}
	return claims
}

func (s *system) signed(claims map[string]any) (string, error) {
	jwt, err := oauth.Sign(s.text(s.auth.Key, nil), s.text(s.auth.KeyID, nil), claims)
	if err != nil {
		return "", &connector.Error{Class: connector.Reconnect, Code: "connection.key_unreadable", Message: "The private key cannot be read. Paste it whole, in PEM form, with its first and last line.", Err: err}
	}
	return jwt, nil
}

// authorize puts the proof into a request. token is what was used, for renew.
func (s *system) authorize(ctx context.Context, call *transport.Call) (token string, err error) {
	a := s.auth
	switch a.Kind {
	case "bearer":
		call.Header.Set("Authorization", "Bearer "+s.text(a.Token, nil))
	case "header":
		call.Header.Set(a.Name, s.text(a.Value, nil))
	case "query":
		u, err := url.Parse(call.URL)
		if err != nil {
			return "", err
		}
		q := u.Query()
		q.Set(a.Name, s.text(a.Value, nil))
		u.RawQuery = q.Encode()
		call.URL = u.String()
	case "basic":
		call.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(s.text(a.User, nil)+":"+s.text(a.Pass, nil))))
	case "oauth2", "clientCredentials", "assertion":
		kept, err := s.credentials(ctx)
		if err != nil {
			return "", err
		}
		token = kept[oauth.AccessToken]
		a.carry(call, token)
	case "sigv4":
		return "", s.sigv4(call)
	case "oauth1":
		return "", s.oauth1(call)
	}
	return token, nil
}

// carry puts a token where the vendor wants it.
func (a *Auth) carry(call *transport.Call, token string) {
	name, prefix := a.TokenHeader, ""
	if name == "" {
		name, prefix = "Authorization", "Bearer "
	}
	if a.TokenPrefix != nil {
		prefix = *a.TokenPrefix
	}
	call.Header.Set(name, prefix+token)
}

// oauth1 signs the request as OAuth 1.0 does.
func (s *system) oauth1(call *transport.Call) error {
	a := s.auth
	var form url.Values
	if call.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
		var err error
		if form, err = url.ParseQuery(string(call.Body)); err != nil {
			return err
		}
	}
	o := oauth.One{ConsumerKey: s.text(a.ClientID, nil), ConsumerSecret: s.text(a.ClientSecret, nil), Token: s.text(a.Token, nil), TokenSecret: s.text(a.TokenSecret, nil), Realm: s.text(a.Realm, nil), SHA1: a.Algorithm == "HMAC-SHA1"}
	header, err := o.Authorization(call.Method, call.URL, form, s.client.Now())
	if err == nil {
		call.Header.Set("Authorization", header)
	}
	return err
}

// sigv4 signs the request as Amazon's services want it.
func (s *system) sigv4(call *transport.Call) error {
	a := s.auth
	u, err := url.Parse(call.URL)
	if err != nil {
		return err
	}
	now := s.client.Now().UTC()
	stamp, day := now.Format("20060102T150405Z"), now.Format("20060102")
	call.Header.Set("X-Amz-Date", stamp)
	if t := s.text(a.SessionToken, nil); t != "" {
		call.Header.Set("X-Amz-Security-Token", t)
	}
	signed := map[string]string{"host": u.Host}
	for k, v := range call.Header {
		if l := strings.ToLower(k); strings.HasPrefix(l, "x-amz-") || l == "content-type" {
			signed[l] = strings.Join(strings.Fields(strings.Join(v, ",")), " ")
		}
	}
	names := make([]string, 0, len(signed))
	for k := range signed {
		names = append(names, k)
	}
	sort.Strings(names)
	var canonical bytes.Buffer
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	fmt.Fprintf(&canonical, "%s\n%s\n%s\n", call.Method, path, strings.ReplaceAll(u.Query().Encode(), "+", "%20"))
	for _, n := range names {
		fmt.Fprintf(&canonical, "%s:%s\n", n, signed[n])
	}
	list := strings.Join(names, ";")
	fmt.Fprintf(&canonical, "\n%s\n%s", list, sha(call.Body))
	region, service := s.text(a.Region, nil), s.text(a.Service, nil)
	scope := strings.Join([]string{day, region, service, "aws4_request"}, "/")
	toSign := "AWS4-HMAC-SHA256\n" + stamp + "\n" + scope + "\n" + sha(canonical.Bytes())
	key := []byte("AWS4" + s.text(a.SecretKey, nil))
	for _, p := range []string{day, region, service, "aws4_request"} {
		key = mac(key, p)
	}
	call.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s", s.text(a.AccessKey, nil), scope, list, hex.EncodeToString(mac(key, toSign))))
	return nil
}

func sha(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func mac(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}

// clientCertificate adds the certificate to the base configuration.
func (s *system) clientCertificate(base *tls.Config) (*tls.Config, error) {
	a := s.auth
	key := a.CertificateKey
	if key == "" {
		key = a.Key
	}
	shown := s.text(a.Certificate, nil)
	if shown == "" && a.Kind != "mtls" {
		return base, nil
	}
	cert, err := tls.X509KeyPair([]byte(shown), []byte(s.text(key, nil)))
	if err != nil {
		return nil, &connector.Error{Class: connector.Reconnect, Code: "connection.key_unreadable", Message: "The client certificate and its key do not belong together or cannot be read. Paste both in PEM form.", Err: errors.New("X509KeyPair failed")}
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if base != nil {
		out = base.Clone()
	}
	out.Certificates = []tls.Certificate{cert}
	return out, nil
}
