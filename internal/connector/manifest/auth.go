// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
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
		texts = []string{a.ClientID, a.ClientSecret, a.RefreshToken}
	case "clientCredentials":
		texts = []string{a.ClientID, a.ClientSecret}
	case "assertion":
		texts = []string{a.Issuer, a.Key}
	case "sigv4":
		texts = []string{a.AccessKey, a.SecretKey}
	case "mtls":
		texts = []string{a.Certificate, a.Key}
	}
	var out []string
	for _, text := range texts {
		out = append(out, named(text)...)
	}
	return out
}

// tokens says whether the way buys tokens, which end.
func (a *Auth) tokens() bool {
	return a.Kind == "oauth2" || a.Kind == "clientCredentials" || a.Kind == "assertion"
}

// memory is a Credentials for when the process lends none: it lives as long as the process, and is shared by all that use the
// same account.
type memory struct {
	mu   sync.Mutex
	kept map[string]string
}

func (k *memory) Load(context.Context) (map[string]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kept, nil
}

func (k *memory) Renew(ctx context.Context, stale string, get func(context.Context, map[string]string) (map[string]string, error)) (map[string]string, error) {
	k.mu.Lock() // one refresh at a time; who waited takes what it brought
	defer k.mu.Unlock()
	if t := k.kept[accessToken]; t != "" && t != stale {
		return k.kept, nil
	}
	next, err := get(ctx, k.kept)
	if err != nil {
		return nil, err
	}
	k.kept = next
	return next, nil
}

// The names under which tokens are kept.
const (
	accessToken   = "access_token"
	refreshToken  = "refresh_token"
	expiresAt     = "expires_at"         // RFC 3339
	refreshEndsAt = "refresh_expires_at" // likewise
	scopes        = "scope"
)

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

// credentials returns the present token, buying one when there is none or it is about to end.
func (s *system) credentials(ctx context.Context) (map[string]string, error) {
	kept, err := s.creds.Load(ctx)
	if err != nil {
		return nil, err
	}
	if kept[accessToken] != "" {
		if at, err := time.Parse(time.RFC3339, kept[expiresAt]); err != nil || s.client.Now().Add(30*time.Second).Before(at) {
			s.client.Hide(kept[accessToken])
			return kept, nil
		}
	}
	if kept[accessToken] == "" && s.auth.Kind == "oauth2" && s.settings[oauthToken] != "" && kept[connector.Granted] == "" {
		// The token that came with the connection is good until the system says otherwise.
		return map[string]string{accessToken: s.settings[oauthToken]}, nil
	}
	return s.renew(ctx, kept[accessToken])
}

const oauthToken = "accessToken"

// renew gets a token in place of one that ended. Of many that call at once one asks; the new refresh token is stored before the
// new access token is used.
func (s *system) renew(ctx context.Context, stale string) (map[string]string, error) {
	kept, err := s.creds.Renew(ctx, stale, func(ctx context.Context, kept map[string]string) (map[string]string, error) {
		return s.buy(ctx, kept)
	})
	if err == nil {
		s.client.Hide(kept[accessToken], kept[refreshToken])
	}
	return kept, err
}

func (s *system) buy(ctx context.Context, kept map[string]string) (map[string]string, error) {
	a := s.auth
	form, header, client := s.tokenForm()
	asked := func() {
		if len(a.Scopes) > 0 {
			form.Set("scope", a.scope())
		}
	}
	switch a.Kind {
	case "oauth2":
		form.Set("grant_type", "refresh_token")
		refresh := kept[refreshToken]
		if refresh == "" {
			refresh = s.text(a.RefreshToken, nil)
		}
		form.Set("refresh_token", refresh)
		client()
	case "clientCredentials":
		form.Set("grant_type", "client_credentials")
		client()
		asked()
	case "assertion":
		jwt, err := s.assertion()
		if err != nil {
			return nil, err
		}
		if form.Get("grant_type") == "" {
			form.Set("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
		}
		form.Set("assertion", jwt)
		asked()
	}
	next, err := s.tokenCall(ctx, form, header)
	if err != nil {
		return nil, err
	}
	for name, value := range kept { // what the answer does not say again still holds
		if _, said := next[name]; !said && name != expiresAt && value != "" {
			next[name] = value
		}
	}
	return next, nil
}

// tokenForm begins a question to the token endpoint; client adds who asks.
func (s *system) tokenForm() (form url.Values, header http.Header, client func()) {
	a := s.auth
	form = url.Values{}
	for k, v := range a.TokenForm {
		form.Set(k, s.text(v, nil))
	}
	header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	return form, header, func() {
		id, secret := s.text(a.ClientID, nil), s.text(a.ClientSecret, nil)
		if a.ClientAuth == "basic" {
			header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret))))
			return
		}
		form.Set("client_id", id)
		form.Set("client_secret", secret)
	}
}

func (a *Auth) scope() string {
	sep := a.ScopeSeparator
	if sep == "" {
		sep = " "
	}
	return strings.Join(a.Scopes, sep)
}

// tokenCall asks the token endpoint for a new token in place of one that ended.
func (s *system) tokenCall(ctx context.Context, form url.Values, header http.Header) (map[string]string, error) {
	next, refused, err := s.tokenAnswer(ctx, form, header)
	if refused != nil {
		return nil, &connector.Error{Class: connector.Reconnect, Code: "connection.authorization_ended",
			Message: "The system gives no new token: the authorization has ended or was taken back. Connect again on the connection's page, or authorize the app and enter the new refresh token.", Err: refused}
	}
	return next, err
}

// tokenRefusal is a token endpoint's no.
type tokenRefusal struct {
	status     int
	code, text string
}

func (r *tokenRefusal) Error() string {
	return fmt.Sprintf("token endpoint: status %d, %s %s", r.status, r.code, r.text)
}

// tokenAnswer asks the token endpoint and reads its answer. A refusal is an answer; the error is for what kept it from answering.
func (s *system) tokenAnswer(ctx context.Context, form url.Values, header http.Header) (map[string]string, *tokenRefusal, error) {
	// Whoever asked may give up, but not the question: with its answer a refresh token that takes the place of ours would be lost.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	answer, err := s.client.Do(ctx, transport.Call{Operation: transport.Token, Method: http.MethodPost, URL: s.text(s.auth.TokenURL, nil), Header: header, Body: []byte(form.Encode())})
	if err != nil {
		return nil, nil, err
	}
	body, _ := record.ParseJSON(answer.Body)
	token := digText(body, "access_token")
	if token == "" {
		token = digText(body, "authed_user.access_token")
	}
	if answer.Status/100 != 2 || token == "" {
		says := &tokenRefusal{status: answer.Status, code: digText(body, "error"), text: digText(body, "error_description")}
		if says.code == "" { // HubSpot
			says.code, says.text = digText(body, "status"), digText(body, "message")
		}
		switch {
		case answer.Status == http.StatusTooManyRequests:
			return nil, nil, &connector.Error{Class: connector.SlowDown, Code: "http.rate_limited", After: max(answer.After, time.Second), Message: "The system asks to slow down.", Err: says}
		case answer.Status >= 500:
			return nil, nil, &connector.Error{Class: connector.Retry, Code: "http.server_error", Message: "The system had trouble of its own when asked for a token. It will be tried again.", Err: says}
		}
		return nil, says, nil
	}
	next := map[string]string{accessToken: token}
	if r := digText(body, "refresh_token"); r != "" {
		next[refreshToken] = r
	}
	if seconds, err := strconv.ParseFloat(digText(body, "expires_in"), 64); err == nil && seconds > 0 {
		next[expiresAt] = s.client.Now().Add(time.Duration(seconds * float64(time.Second))).UTC().Format(time.RFC3339)
	}
	if seconds, err := strconv.ParseFloat(digText(body, "refresh_token_expires_in"), 64); err == nil && seconds > 0 {
		next[refreshEndsAt] = s.client.Now().Add(time.Duration(seconds * float64(time.Second))).UTC().Format(time.RFC3339)
	}
	if scope := digText(body, "scope"); scope != "" {
		next[scopes] = scope
	}
	for name, path := range s.auth.Capture {
		if v := digText(body, path); v != "" {
			next["setting."+name] = v
		}
	}
	return next, nil, nil
}

// assertion signs who we are.
func (s *system) assertion() (string, error) {
	a := s.auth
	bad := func(err error) error {
		return &connector.Error{Class: connector.Reconnect, Code: "connection.key_unreadable", Message: "The private key cannot be read. Paste it whole, in PEM form, with its first and last line.", Err: err}
	}
	block, _ := pem.Decode([]byte(s.text(a.Key, nil)))
	if block == nil {
		return "", bad(errors.New("not PEM"))
	}
	var key any
	var err error
	if key, err = x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
		if key, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			if key, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
				return "", bad(errors.New("neither PKCS 8, PKCS 1 nor EC"))
			}
		}
	}
	now := s.client.Now()
	claims := map[string]any{"iss": s.text(a.Issuer, nil), "aud": s.text(a.Audience, nil), "iat": now.Unix(), "exp": now.Add(3 * time.Minute).Unix(), "jti": uuid.NewString()}
	if sub := s.text(a.Subject, nil); sub != "" {
		claims["sub"] = sub
	}
	for k, v := range a.Claims {
		claims[k] = s.text(v, nil)
	}
	head := map[string]string{"typ": "JWT"}
	if kid := s.text(a.KeyID, nil); kid != "" {
		head["kid"] = kid
	}
	sign := func(alg string, f func(digest []byte) ([]byte, error)) (string, error) {
		head["alg"] = alg
		h, _ := json.Marshal(head)
		c, _ := json.Marshal(claims)
		message := base64.RawURLEncoding.EncodeToString(h) + "." + base64.RawURLEncoding.EncodeToString(c)
		digest := sha256.Sum256([]byte(message))
		sig, err := f(digest[:])
		if err != nil {
			return "", bad(err)
		}
		return message + "." + base64.RawURLEncoding.EncodeToString(sig), nil
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return sign("RS256", func(d []byte) ([]byte, error) { return rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, d) })
	case *ecdsa.PrivateKey:
		return sign("ES256", func(d []byte) ([]byte, error) {
			r, sv, err := ecdsa.Sign(rand.Reader, k, d)
			if err != nil {
				return nil, err
			}
			out := make([]byte, 64)
			r.FillBytes(out[:32])
			sv.FillBytes(out[32:])
			return out, nil
		})
	}
	return "", bad(fmt.Errorf("%T", key))
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
		token = kept[accessToken]
		call.Header.Set("Authorization", "Bearer "+token)
	case "sigv4":
		return "", s.sigv4(call)
	}
	return token, nil
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

// clientCertificate adds the certificate of mtls to the base configuration.
func (s *system) clientCertificate(base *tls.Config) (*tls.Config, error) {
	if s.auth.Kind != "mtls" {
		return base, nil
	}
	cert, err := tls.X509KeyPair([]byte(s.text(s.auth.Certificate, nil)), []byte(s.text(s.auth.Key, nil)))
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
