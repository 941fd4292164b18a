// SPDX-License-Identifier: Apache-2.0

// Package oauth is OAuth as all connectors speak it, those of a manifest and those in Go: the page that asks a person, the code that
// comes back, tokens that one renews for all, signed proofs, and what a refusal means.
package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
)

// The names under which tokens are kept.
const (
	AccessToken   = "access_token"
	RefreshToken  = "refresh_token"
	ExpiresAt     = "expires_at"         // RFC 3339
	RefreshEndsAt = "refresh_expires_at" // likewise
	Scope         = "scope"
)

// Memory is a Credentials for when the process lends none: it lives as long as the process, and is shared by all that use the same
// account.
type Memory struct {
	mu   sync.Mutex
	kept map[string]string
}

var _ connector.Credentials = (*Memory)(nil)

// Load returns what is kept.
func (k *Memory) Load(context.Context) (map[string]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kept, nil
}

// Renew replaces it: one renewal at a time, and who waited takes what it brought.
func (k *Memory) Renew(ctx context.Context, stale string, get func(context.Context, map[string]string) (map[string]string, error)) (map[string]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.kept[AccessToken]; t != "" && t != stale {
		return k.kept, nil
	}
	next, err := get(ctx, k.kept)
	if err != nil {
		return nil, err
	}
	k.kept = next
	return next, nil
}

// Wallet is where one account's tokens are kept and renewed.
type Wallet struct {
	Client *transport.Client
	Kept   connector.Credentials
	// Buy asks for a new token; it is handed what is kept.
	Buy func(ctx context.Context, kept map[string]string) (map[string]string, error)
}

// Look returns what is kept, and whether its access token is good for half a minute more.
func (w Wallet) Look(ctx context.Context) (kept map[string]string, good bool, err error) {
	if kept, err = w.Kept.Load(ctx); err != nil || kept[AccessToken] == "" {
		return kept, false, err
	}
	at, err := time.Parse(time.RFC3339, kept[ExpiresAt])
	if err != nil || w.Client.Now().Add(30*time.Second).Before(at) { // without an end it is good until the vendor says otherwise
		w.Client.Hide(kept[AccessToken])
		return kept, true, nil
	}
	return kept, false, nil
}

// Renew gets a token in place of one that ended. Of many that call at once one asks; the new refresh token is stored before the new
// access token is used.
func (w Wallet) Renew(ctx context.Context, stale string) (map[string]string, error) {
	kept, err := w.Kept.Renew(ctx, stale, w.Buy)
	if err == nil {
		w.Client.Hide(kept[AccessToken], kept[RefreshToken])
	}
	return kept, err
}

// Endpoint is where a vendor makes tokens (RFC 6749 section 3.2), and how the client proves itself there.
type Endpoint struct {
	URL          string
	ClientID     string
	ClientSecret string
	// Basic sends both in Authorization, as section 2.3.1 prefers; otherwise they are in the form. Without a secret the id alone is in
	// the form: a public client, or one that its certificate proves (RFC 8705).
	Basic bool
	// Proof makes a signed proof of the client in place of a secret (RFC 7523 section 2.2).
	Proof func() (string, error)
	// Parameters are sent with every question.
	Parameters map[string]string
	// Also reads more from the answer into what is kept.
	Also func(body any, next map[string]string)
}

// proof is the type of a client's signed proof.
const proof = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

func (e Endpoint) question(grant string, who bool) (url.Values, http.Header, error) {
	form := url.Values{"grant_type": {grant}}
	for k, v := range e.Parameters {
		form.Set(k, v)
	}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	switch {
	case !who:
	case e.Proof != nil:
		jwt, err := e.Proof()
		if err != nil {
			return nil, nil, err
		}
		form.Set("client_id", e.ClientID)
		form.Set("client_assertion_type", proof)
		form.Set("client_assertion", jwt)
	case e.Basic && e.ClientSecret != "":
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(e.ClientID)+":"+url.QueryEscape(e.ClientSecret))))
	default:
		form.Set("client_id", e.ClientID)
		if e.ClientSecret != "" {
			form.Set("client_secret", e.ClientSecret)
		}
	}
	return form, header, nil
}

// Refresh buys with the refresh token that is kept, else with the one given.
func (e Endpoint) Refresh(ctx context.Context, c *transport.Client, kept map[string]string, given string) (map[string]string, error) {
	form, header, err := e.question("refresh_token", true)
	if err != nil {
		return nil, err
	}
	if kept[RefreshToken] != "" {
		given = kept[RefreshToken]
	}
	if given == "" {
		return nil, Ended(nil)
	}
	form.Set("refresh_token", given)
	return e.buy(ctx, c, kept, form, header)
}

// Own buys for the app itself: client credentials.
func (e Endpoint) Own(ctx context.Context, c *transport.Client, kept map[string]string, scope string) (map[string]string, error) {
	form, header, err := e.question("client_credentials", true)
	if err != nil {
		return nil, err
	}
	if scope != "" {
		form.Set("scope", scope)
	}
	return e.buy(ctx, c, kept, form, header)
}

// Assert buys with a signed assertion (RFC 7523 section 2.1).
func (e Endpoint) Assert(ctx context.Context, c *transport.Client, kept map[string]string, jwt, scope string) (map[string]string, error) {
	form, header, err := e.question("urn:ietf:params:oauth:grant-type:jwt-bearer", false)
	if err != nil {
		return nil, err
	}
	form.Set("assertion", jwt)
	if scope != "" {
		form.Set("scope", scope)
	}
	return e.buy(ctx, c, kept, form, header)
}

// Redeem buys with the code that a person came back with.
func (e Endpoint) Redeem(ctx context.Context, c *transport.Client, code string, ask connector.Ask, pkce bool) (map[string]string, *Refusal, error) {
	c.Hide(code, ask.Verifier)
	form, header, err := e.question("authorization_code", true)
	if err != nil {
		return nil, nil, err
	}
	form.Set("code", code)
	form.Set("redirect_uri", ask.Redirect)
	if pkce {
		form.Set("code_verifier", ask.Verifier)
	}
	return e.ask(ctx, c, form, header)
}

// Ended is the error of an authorization that brings no tokens any more.
func Ended(cause error) error {
	return &connector.Error{Class: connector.Reconnect, Code: "connection.authorization_ended",
		Message: "The system gives no new token: the authorization has ended or was taken back. Connect again on the connection's page, or authorize the app and enter the new refresh token.", Err: cause}
}

func (e Endpoint) buy(ctx context.Context, c *transport.Client, kept map[string]string, form url.Values, header http.Header) (map[string]string, error) {
	next, refused, err := e.ask(ctx, c, form, header)
	if refused != nil {
		return nil, Ended(refused)
	}
	if err != nil {
		return nil, err
	}
	for name, value := range kept { // what the answer does not say again still holds
		if _, said := next[name]; !said && name != ExpiresAt && value != "" {
			next[name] = value
		}
	}
	return next, nil
}

// Refusal is a token endpoint's no.
type Refusal struct {
	Status     int
	Code, Text string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("token endpoint: status %d, %s %s", r.Status, r.Code, r.Text)
}

// ask asks the token endpoint and reads its answer. A refusal is an answer; the error is for what kept it from answering.
func (e Endpoint) ask(ctx context.Context, c *transport.Client, form url.Values, header http.Header) (map[string]string, *Refusal, error) {
	// Whoever asked may give up, but not the question: with its answer a refresh token that takes the place of ours would be lost.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	answer, err := c.Do(ctx, transport.Call{Operation: transport.Token, Method: http.MethodPost, URL: e.URL, Header: header, Body: []byte(form.Encode())})
	if err != nil {
		return nil, nil, err
	}
	body, _ := record.ParseJSON(answer.Body) // what is no JSON has no token
	said, _ := body.(map[string]any)
	text := func(name string) string {
		if v := said[name]; v != nil {
			return record.Text(v)
		}
		return ""
	}
	token := text("access_token")
	if inner, ok := said["authed_user"].(map[string]any); ok && token == "" { // Slack: the person's own
		token, _ = inner["access_token"].(string)
	}
	if answer.Status/100 != 2 || token == "" {
		says := &Refusal{Status: answer.Status, Code: text("error"), Text: text("error_description")}
		if says.Code == "" { // HubSpot
			says.Code, says.Text = text("status"), text("message")
		}
		switch {
		case answer.Status == http.StatusTooManyRequests, answer.Status == http.StatusServiceUnavailable && answer.After > 0:
			return nil, nil, &connector.Error{Class: connector.SlowDown, Code: "http.rate_limited", After: max(answer.After, time.Second), Message: "The system asks to slow down.", Err: says}
		case answer.Status >= 500:
			return nil, nil, &connector.Error{Class: connector.Retry, Code: "http.server_error", Message: "The system had trouble of its own when asked for a token. It will be tried again.", Err: says}
		}
		return nil, says, nil
	}
	next := map[string]string{AccessToken: token}
	if r := text("refresh_token"); r != "" {
		next[RefreshToken] = r
	}
	ends := func(name string, parameters ...string) {
		for _, p := range parameters {
			if seconds, err := strconv.ParseFloat(text(p), 64); err == nil && seconds > 0 {
				next[name] = c.Now().Add(time.Duration(seconds * float64(time.Second))).UTC().Format(time.RFC3339)
			}
		}
	}
	ends(ExpiresAt, "expires_in")
	ends(RefreshEndsAt, "refresh_token_expires_in", "refresh_expires_in", "x_refresh_token_expires_in") // most; Airtable; QuickBooks
	if scope := text("scope"); scope != "" {
		next[Scope] = scope
	}
	if e.Also != nil {
		e.Also(body, next)
	}
	return next, nil, nil
}

// Page is a vendor's page on which a person gives access.
type Page struct {
	Vendor     string // as people know it
	URL        string
	ClientID   string
	Scope      string // "" asks for what the app has
	NoPKCE     bool   // the vendor does not know it
	Parameters map[string]string
}

// Address is the page's address for that question.
func (p Page) Address(ask connector.Ask) (string, error) {
	u, err := url.Parse(p.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", fault.New(fault.Conflict, "connection.authorization_unready", "The address at which %s asks for access is no URL. Check the connection's settings.", p.Vendor)
	}
	q := u.Query()
	q.Set("response_type", "code")
	q.Set("client_id", p.ClientID)
	q.Set("redirect_uri", ask.Redirect)
	q.Set("state", ask.State)
	if p.Scope != "" {
		q.Set("scope", p.Scope)
	}
	if !p.NoPKCE {
		sum := sha256.Sum256([]byte(ask.Verifier))
		q.Set("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))
		q.Set("code_challenge_method", "S256")
	}
	for name, value := range p.Parameters {
		q.Set(name, value)
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// Impossible is the fault of a connector that knows no access that is given in the browser.
func Impossible(vendor string) error {
	return fault.New(fault.Conflict, "connection.not_authorizable", "%s knows no access that is given in the browser. Fill in its credentials.", vendor)
}

// Unready is the fault of settings that are missing before a person can be asked.
func Unready(vendor string, missing []string) error {
	return fault.New(fault.Conflict, "connection.authorization_unready", "Fill in %s first: they come from your app at %s.", strings.Join(missing, " and "), vendor)
}

// Refused says what a vendor's refusal means and what to do. Vendors name errors as RFC 6749 does, more or less.
func Refused(vendor, code, text, redirect string) error {
	if code == "" {
		code = "no code came back"
	}
	says := code
	if text != "" {
		says += ": " + strings.TrimSuffix(text, ".")
	}
	if len(says) > 300 {
		says = strings.ToValidUTF8(says[:300], "") + "…"
	}
	remedy := "Connect again; if it stays, show this to whoever manages your app there."
	switch strings.ToLower(code) {
	case "access_denied":
		remedy = "Connect again and allow it. Where an administrator has to agree, ask them to connect."
	case "invalid_scope", "insufficient_scope":
		remedy = "Give your app there the scopes that this connector asks for, then connect again."
	case "invalid_client", "unauthorized_client", "bad_client_id", "bad_client_secret":
		remedy = "Check the client id and the client secret in the connection's settings, and that the app is switched on."
	case "redirect_uri_mismatch", "invalid_request", "bad_redirect_uri":
		remedy = "Check that your app there lists the redirect address " + redirect + ", letter by letter."
	case "invalid_grant", "bad_auth_code":
		remedy = "The answer was used before, or came too late. Connect again."
	case "server_error", "temporarily_unavailable":
		remedy = "It has trouble of its own. Try again in some minutes."
	}
	return fault.New(fault.Conflict, "connection.authorization_refused", "%s gives no access (%s). %s", vendor, says, remedy)
}
