// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"maps"
	"net/url"
	"slices"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/oauth"
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
		return "", oauth.Impossible(c.m.Title)
	}
	settings = c.sandboxApp(settings)
	var missing []string
	for _, n := range a.before() {
		if settings[n] == "" && c.preset(n) == "" {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		return "", oauth.Unready(c.m.Title, missing)
	}
	s := &system{scope: scope{"settings": c.filled(settings), "region": c.m.region(settings)}}
	page := oauth.Page{Vendor: c.m.Title, URL: s.text(a.AuthorizeURL, nil), ClientID: s.text(a.ClientID, nil), Scope: a.scope(), NoPKCE: a.NoPKCE, Parameters: map[string]string{}}
	for name, value := range a.AuthorizeQuery {
		page.Parameters[name] = s.text(value, nil)
	}
	return page.Address(ask)
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
		return nil, oauth.Impossible(c.m.Title)
	}
	name := a.CodeParameter
	if name == "" {
		name = "code"
	}
	code := answer.Get(name)
	if code == "" {
		return nil, oauth.Refused(c.m.Title, answer.Get("error"), answer.Get("error_description"), ask.Redirect)
	}
	env.Credentials = &oauth.Memory{}
	s, err := c.openBy(ctx, c.sandboxApp(settings), env, a)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	for setting, parameter := range a.Returned {
		if v := answer.Get(parameter); v != "" {
			s.scope["settings"].(map[string]any)[setting] = v
		}
	}
	next, says, err := s.endpoint().Redeem(ctx, s.client, code, ask, !a.NoPKCE)
	if err != nil {
		return nil, err
	}
	if says != nil {
		return nil, oauth.Refused(c.m.Title, says.Code, says.Text, ask.Redirect)
	}
	for setting, parameter := range a.Returned {
		if v := answer.Get(parameter); v != "" {
			next["setting."+setting] = v
		}
	}
	next[connector.Granted] = "code"
	return next, nil
}
