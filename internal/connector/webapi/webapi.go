// SPDX-License-Identifier: Apache-2.0

// Package webapi is what connectors written in Go speak to web APIs with: access tokens with one renewal for all who need it, and
// answers classified.
package webapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/oauth"
	"github.com/syncline-dev/syncline/internal/connector/transport"
)

// Environment is the setting that chooses between the vendor and the simulator of it, and Mark begins a secret that belongs to a
// sandbox.
const (
	Environment = "environment"
	Sandbox     = "sandbox"
	Mark        = "sandbox_"
)

// EnvironmentSetting declares it.
func EnvironmentSetting() connector.Setting {
	return connector.Setting{Name: Environment, Title: "Environment", Kind: connector.Choice, Default: "production", Choices: []string{"production", Sandbox},
		Doc: "production speaks to the vendor; sandbox to the simulator that comes with the program, which needs no account. A secret that begins with " + Mark + " chooses the sandbox, too."}
}

// Sandboxed says whether the settings belong to a sandbox.
func Sandboxed(spec connector.Spec, settings map[string]string) bool {
	if settings[Environment] == Sandbox {
		return true
	}
	for _, d := range spec.Settings {
		if d.Secret && strings.HasPrefix(settings[d.Name], Mark) {
			return true
		}
	}
	return false
}

// Auth says how tokens are had, in the settings' values. What a person gave in the browser counts before all else; then the first way
// that is filled in.
type Auth struct {
	TokenURL     string
	ClientID     string
	ClientSecret string
	Basic        bool // id and secret go in Authorization when tokens are asked for
	RefreshToken string
	AccessToken  string // a token that is good until the vendor says otherwise
	// ServiceAccount is the key file of a service account: JSON with client_email and private_key.
	ServiceAccount string
	Scope          string
	// Fill is what to fill in, for the message when nothing is.
	Fill string
	// Grant is "client_credentials" for an app that acts for itself; "" is by refresh token.
	Grant string
}

// OAuthSettings are those of an app that acts for a person.
func OAuthSettings(vendor string) []connector.Setting {
	return []connector.Setting{
		{Name: "clientId", Title: "Client ID", Kind: connector.Text, Doc: "Client id of your app at " + vendor + "."},
		{Name: "clientSecret", Title: "Client secret", Kind: connector.Text, Secret: true, Doc: "The secret that belongs to it."},
		{Name: "refreshToken", Title: "Refresh token", Kind: connector.Text, Secret: true, Doc: "What the app was given when somebody authorized it. It is not needed when access is given in the browser."},
		{Name: "accessToken", Title: "Access token", Kind: connector.Text, Secret: true, Doc: "Instead of the three: a token that is used until it ends."},
	}
}

// Client speaks to one account.
type Client struct {
	http    *transport.Client
	auth    Auth
	granted bool // a person gave access in the browser
	wallet  oauth.Wallet
	// Fault looks into an answer that is no success for what the vendor means; nil is by status alone. It returns nil to leave it
	// to the status.
	Fault func(a *transport.Answer) error
}

// New makes a client. account names whose budget it is. Nothing is asked of the vendor.
func New(ctx context.Context, pool *transport.Pool, account string, limits []transport.Limit, auth Auth, sandboxed bool, env connector.Env) (*Client, error) {
	c := &Client{auth: auth}
	if env.Credentials != nil {
		kept, err := env.Credentials.Load(ctx)
		if err != nil {
			return nil, err
		}
		if c.granted = kept[connector.Granted] != ""; c.granted {
			// Whose account it is shows in no setting.
			account, c.auth = account+" "+env.Tenant, Auth{TokenURL: auth.TokenURL, ClientID: auth.ClientID, ClientSecret: auth.ClientSecret, Basic: auth.Basic, Scope: auth.Scope}
			if sandboxed {
				c.auth.sandboxApp()
			}
		}
	}
	if !c.granted && auth.AccessToken == "" && auth.ServiceAccount == "" && (auth.ClientID == "" || auth.ClientSecret == "" || auth.RefreshToken == "" && auth.Grant == "") {
		return nil, &connector.Error{Class: connector.Reconnect, Code: "connection.credentials_missing", Message: fmt.Sprintf("The connection has no credentials: fill in %s.", auth.Fill)}
	}
	if err := c.open(pool, account, limits, sandboxed, env); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Client) open(pool *transport.Pool, account string, limits []transport.Limit, sandboxed bool, env connector.Env) error {
	o := transport.Options{Account: account, Dial: env.Dial, TLS: env.TLS, Limits: limits, Secrets: []string{c.auth.ClientSecret, c.auth.RefreshToken, c.auth.AccessToken, c.auth.ServiceAccount}}
	if sandboxed {
		if env.Sandbox == nil {
			return &connector.Error{Class: connector.Reconnect, Code: "connection.no_sandbox", Message: "There is no sandbox here for this connection. Choose production."}
		}
		o.Through = env.Sandbox
	}
	c.http = pool.Client(o)
	c.wallet = oauth.Wallet{Client: c.http, Kept: env.Credentials, Buy: c.buy}
	if c.wallet.Kept == nil {
		c.wallet.Kept = &oauth.Memory{}
	}
	return nil
}

// sandboxApp fills in an app for a sandbox: nobody has registered one there.
func (a *Auth) sandboxApp() {
	for _, v := range []*string{&a.ClientID, &a.ClientSecret} {
		if *v == "" {
			*v = Mark + "app"
		}
	}
}

// Close frees connections.
func (c *Client) Close() { c.http.Close() }

// Now is the clock that calls wait by.
func (c *Client) Now() time.Time { return c.http.Now() }

// Wait lets time pass by the same clock.
func (c *Client) Wait(ctx context.Context, d time.Duration) error { return c.http.Sleep(ctx, d) }

// token returns the present access token.
func (c *Client) token(ctx context.Context, stale string) (string, error) {
	if !c.granted && c.auth.RefreshToken == "" && c.auth.ServiceAccount == "" && c.auth.Grant == "" {
		if stale != "" {
			return "", &connector.Error{Class: connector.Reconnect, Code: "connection.authorization_ended", Message: "The access token has ended or was taken back. Enter a new one, or a refresh token, by which new ones are had."}
		}
		return c.auth.AccessToken, nil
	}
	kept, good, err := c.wallet.Look(ctx)
	if err != nil {
		return "", err
	}
	if t := kept[oauth.AccessToken]; t != "" && t != stale {
		if good {
			return t, nil
		}
		stale = t
	}
	kept, err = c.wallet.Renew(ctx, stale)
	return kept[oauth.AccessToken], err
}

func (c *Client) endpoint() oauth.Endpoint {
	return oauth.Endpoint{URL: c.auth.TokenURL, ClientID: c.auth.ClientID, ClientSecret: c.auth.ClientSecret, Basic: c.auth.Basic}
}

func (c *Client) buy(ctx context.Context, kept map[string]string) (map[string]string, error) {
	e := c.endpoint()
	switch {
	case c.granted:
		return e.Refresh(ctx, c.http, kept, "")
	case c.auth.ServiceAccount != "":
		jwt, address, err := c.assertion()
		if err != nil {
			return nil, err
		}
		if e.URL == "" {
			e.URL = address
		}
		return e.Assert(ctx, c.http, kept, jwt, "")
	case c.auth.Grant != "":
		return e.Own(ctx, c.http, kept, c.auth.Scope)
	}
	return e.Refresh(ctx, c.http, kept, c.auth.RefreshToken)
}

// assertion signs who we are, as a service account does.
func (c *Client) assertion() (jwt, tokenURL string, err error) {
	bad := func(err error) error {
		return &connector.Error{Class: connector.Reconnect, Code: "connection.key_unreadable", Message: "The key of the service account cannot be read. Paste the whole JSON file that was downloaded when the key was made.", Err: err}
	}
	var file struct {
		Email string `json:"client_email"`
		Key   string `json:"private_key"`
		KeyID string `json:"private_key_id"`
		Token string `json:"token_uri"`
	}
	if json.Unmarshal([]byte(c.auth.ServiceAccount), &file) != nil || file.Email == "" {
		return "", "", bad(errors.New("no JSON with client_email"))
	}
	aud := c.auth.TokenURL
	if aud == "" {
		aud = file.Token
	}
	now := c.http.Now()
	jwt, err = oauth.Sign(file.Key, file.KeyID, map[string]any{"iss": file.Email, "scope": c.auth.Scope, "aud": aud, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()})
	if err != nil {
		return "", "", bad(err)
	}
	return jwt, file.Token, nil
}

// passing is the error of an answer that says to come again; nil when it does not.
func passing(a *transport.Answer, says error) error {
	switch {
	case a.Status == http.StatusTooManyRequests:
		return &connector.Error{Class: connector.SlowDown, Code: "http.rate_limited", After: max(a.After, time.Second), Message: "The system asks to slow down.", Err: says}
	case a.Status == http.StatusServiceUnavailable && a.After > 0:
		return &connector.Error{Class: connector.SlowDown, Code: "http.rate_limited", After: a.After, Message: "The system asks to slow down.", Err: says}
	case a.Status >= 500:
		return &connector.Error{Class: connector.Retry, Code: "http.server_error", Message: "The system had trouble of its own. It will be tried again.", Err: says}
	}
	return nil
}

// Call is a request. Idempotent ones are made again when the system has trouble.
type Call struct {
	Operation  string
	Method     string
	URL        string
	Header     http.Header
	JSON       any    // marshalled as the body
	Body       []byte // or this
	Idempotent bool
}

// tries is how often a call is made that can be made again.
const tries = 3

// Do makes the call, renews a token that ended once, and classifies what is no success. The answer is there also beside an error
// of class Reject, Missing or Conflict.
func (c *Client) Do(ctx context.Context, call Call) (*transport.Answer, error) {
	body := call.Body
	if call.JSON != nil {
		var err error
		if body, err = json.Marshal(call.JSON); err != nil {
			return nil, err
		}
	}
	stale, renewed := "", false
	for try := 1; ; try++ {
		token, err := c.token(ctx, stale)
		if err != nil {
			return nil, err
		}
		header := http.Header{"Accept": {"application/json"}}
		if call.JSON != nil {
			header.Set("Content-Type", "application/json")
		}
		for k, v := range call.Header {
			header[k] = v
		}
		header.Set("Authorization", "Bearer "+token)
		a, err := c.http.Do(ctx, transport.Call{Operation: call.Operation, Method: call.Method, URL: call.URL, Header: header, Body: body})
		if err == nil {
			if a.Status == http.StatusUnauthorized && !renewed {
				renewed, stale = true, token
				continue
			}
			err = c.classify(a)
		}
		if err == nil {
			return a, nil
		}
		if e := connector.Classify(err); ctx.Err() != nil || e.Class != connector.Retry || try == tries || !call.Idempotent && call.Method != http.MethodGet {
			return a, err
		}
		if err := c.http.Sleep(ctx, time.Duration(try)*200*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func (c *Client) classify(a *transport.Answer) error {
	if a.Status/100 == 2 {
		return nil
	}
	if c.Fault != nil {
		if err := c.Fault(a); err != nil {
			return err
		}
	}
	says := fmt.Errorf("status %d: %s", a.Status, c.http.Redact(Snippet(a.Body)))
	if err := passing(a, says); err != nil {
		return err
	}
	switch a.Status {
	case http.StatusUnauthorized:
		return &connector.Error{Class: connector.Reconnect, Code: "http.unauthorized", Message: "The system does not accept the credentials. Check them in the connection.", Err: says}
	case http.StatusForbidden:
		return &connector.Error{Class: connector.Reconnect, Code: "http.forbidden", Message: "The credentials do not allow this. Give them the rights that the connector's page lists.", Err: says}
	case http.StatusNotFound, http.StatusGone:
		return &connector.Error{Class: connector.Missing, Code: "http.not_found", Message: "The system does not have this any more.", Err: says}
	case http.StatusConflict, http.StatusPreconditionFailed:
		return &connector.Error{Class: connector.Conflict, Code: "http.conflict", Message: "It was changed by somebody else meanwhile.", Err: says}
	case http.StatusRequestTimeout:
		return &connector.Error{Class: connector.Retry, Code: "http.server_error", Message: "The system had trouble of its own. It will be tried again.", Err: says}
	}
	return &connector.Error{Class: connector.Reject, Code: "http.refused", Message: "The system refuses this: " + Snippet(a.Body), Err: says}
}

// Snippet is the beginning of an answer, for a message.
func Snippet(b []byte) string {
	var e struct {
		Error any `json:"error"`
	}
	if json.Unmarshal(b, &e) == nil && e.Error != nil {
		if m, ok := e.Error.(map[string]any); ok {
			if s, ok := m["message"].(string); ok {
				return s
			}
		}
	}
	b = bytes.TrimSpace(b)
	return string(b[:min(len(b), 200)])
}

// Decode reads the answer's JSON; numbers stay exact.
func Decode(a *transport.Answer, into any) error {
	d := json.NewDecoder(bytes.NewReader(a.Body))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return &connector.Error{Class: connector.Retry, Code: "http.answer_unreadable", Message: "The system's answer is not what it says that it is. It will be tried again.", Err: err}
	}
	return nil
}
