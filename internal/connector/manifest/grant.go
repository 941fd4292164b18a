// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
)

var _ connector.Granter = (*Connector)(nil)

// granting is the way in which a person gives access in the browser, nil for none.
func (m *Manifest) granting() *Auth {
	for i := range m.Auth {
		if a := &m.Auth[i]; a.Kind == "oauth2" && a.AuthorizeURL != "" {
			return a
		}
	}
	return nil
}

// before are the settings that must be filled in before a person is asked: those of the way but for what the answer brings.
func (a *Auth) before() []string {
	brought := named(a.RefreshToken)
	for name := range a.Capture {
		brought = append(brought, name)
	}
	for name := range a.Returned {
		brought = append(brought, name)
	}
	needs := a.needs()
	for _, template := range []string{a.AuthorizeURL, a.TokenURL} {
		needs = append(needs, named(template)...)
	}
	slices.Sort(needs)
	return slices.DeleteFunc(slices.Compact(needs), func(n string) bool { return slices.Contains(brought, n) })
}

// named are the settings that a template names.
func named(text string) (out []string) {
	t, err := parseTemplate(text)
	if err != nil {
		return nil
	}
	for _, p := range t.parts {
		if len(p.path) == 2 && p.path[0] == "settings" {
			out = append(out, p.path[1])
		}
	}
	return out
}

// Grantable says how a person gives access in the browser.
func (c *Connector) Grantable() (connector.Grantable, bool) {
	a := c.m.granting()
	if a == nil {
		return connector.Grantable{}, false
	}
	return connector.Grantable{Needs: a.before(), Scopes: a.Scopes}, true
}

// sandboxApp fills in an app for a sandbox: nobody has registered one there.
func (c *Connector) sandboxApp(settings connector.Settings) connector.Settings {
	a := c.m.granting()
	if a == nil || !c.Sandboxed(settings) {
		return settings
	}
	out := maps.Clone(settings)
	for _, template := range []string{a.ClientID, a.ClientSecret} {
		for _, name := range named(template) {
			if out[name] == "" {
				out[name] = SandboxMark + "app"
			}
		}
	}
	return out
}

// AskAt is the address of the vendor's page.
func (c *Connector) AskAt(settings connector.Settings, ask connector.Ask) (string, error) {
	a := c.m.granting()
	if a == nil {
		return "", fault.New(fault.Conflict, "connection.not_authorizable", "%s knows no access that is given in the browser. Fill in its credentials.", c.m.Title)
	}
	settings = c.sandboxApp(settings)
	var missing []string
	for _, n := range a.before() {
		if settings[n] == "" && c.preset(n) == "" {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		return "", fault.New(fault.Conflict, "connection.authorization_unready", "Fill in %s first: they come from your app at %s.", strings.Join(missing, " and "), c.m.Title)
	}
	s := &system{scope: scope{"settings": c.filled(settings)}}
	u, err := url.Parse(s.text(a.AuthorizeURL, nil))
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", fault.New(fault.Conflict, "connection.authorization_unready", "The address at which %s asks for access is no URL. Check the connection's settings.", c.m.Title)
	}
	q := u.Query()
	q.Set("response_type", "code")
	q.Set("client_id", s.text(a.ClientID, nil))
	q.Set("redirect_uri", ask.Redirect)
	q.Set("state", ask.State)
	if len(a.Scopes) > 0 {
		q.Set("scope", a.scope())
	}
	if !a.NoPKCE {
		sum := sha256.Sum256([]byte(ask.Verifier))
		q.Set("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))
		q.Set("code_challenge_method", "S256")
	}
	for name, value := range a.AuthorizeQuery {
		q.Set(name, s.text(value, nil))
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

func (c *Connector) preset(name string) string {
	for _, d := range c.m.Settings {
		if d.Name == name {
			return d.Default
		}
	}
	return ""
}

// filled are the settings with defaults, as templates see them.
func (c *Connector) filled(settings connector.Settings) map[string]any {
	out := map[string]any{}
	for _, d := range c.m.Settings {
		if d.Default != "" {
			out[d.Name] = d.Default
		}
	}
	for name, value := range settings {
		if value != "" {
			out[name] = value
		}
	}
	return out
}

// Redeem turns the code that the person came back with into tokens.
func (c *Connector) Redeem(ctx context.Context, settings connector.Settings, env connector.Env, ask connector.Ask, answer url.Values) (map[string]string, error) {
	a := c.m.granting()
	if a == nil {
		return nil, fault.New(fault.Conflict, "connection.not_authorizable", "%s knows no access that is given in the browser.", c.m.Title)
	}
	name := a.CodeParameter
	if name == "" {
		name = "code"
	}
	code := answer.Get(name)
	if code == "" {
		return nil, c.refusedAccess(answer.Get("error"), answer.Get("error_description"), ask.Redirect)
	}
	env.Credentials = &memory{}
	s, err := c.openBy(ctx, c.sandboxApp(settings), env, a)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	s.client.Hide(code, ask.Verifier)
	for setting, parameter := range a.Returned {
		if v := answer.Get(parameter); v != "" {
			s.scope["settings"].(map[string]any)[setting] = v
		}
	}
	form, header, client := s.tokenForm()
	form.Set("grant_type", "authorization_code")
	form.Set("code", code)
	form.Set("redirect_uri", ask.Redirect)
	if !a.NoPKCE {
		form.Set("code_verifier", ask.Verifier)
	}
	client()
	next, says, err := s.tokenAnswer(ctx, form, header)
	if err != nil {
		return nil, err
	}
	if says != nil {
		return nil, c.refusedAccess(says.code, says.text, ask.Redirect)
	}
	for setting, parameter := range a.Returned {
		if v := answer.Get(parameter); v != "" {
			next["setting."+setting] = v
		}
	}
	next[connector.Granted] = "code"
	return next, nil
}

// refusedAccess says what a vendor's refusal means and what to do. Vendors name errors as RFC 6749 does, more or less.
func (c *Connector) refusedAccess(code, text, redirect string) error {
	title := c.m.Title
	if code == "" {
		code = "no code came back"
	}
	says := code
	if text != "" {
		says += ": " + strings.TrimSuffix(text, ".")
	}
	if len(says) > 300 {
		says = says[:300] + "…"
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
	return fault.New(fault.Conflict, "connection.authorization_refused", "%s gives no access (%s). %s", title, says, remedy)
}
