// SPDX-License-Identifier: Apache-2.0

package webapi

import (
	"context"
	"net/url"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/oauth"
	"github.com/syncline-dev/syncline/internal/connector/transport"
)

// Way is how a vendor is asked for a person's access, with a connection's settings.
type Way struct {
	AuthorizeURL string
	Auth         Auth // only where tokens are made and the app count
	Parameters   map[string]string
}

// SignIn gives a connector written in Go the access that a person gives in the browser, as connectors by manifest have it. A connector
// embeds it.
type SignIn struct {
	Pool   *transport.Pool
	Of     func() connector.Spec // the connector
	Scopes []string
	Way    func(settings connector.Settings) Way
	// Public says that an app may do without a secret: PKCE proves it.
	Public bool
}

var _ connector.Granter = (*SignIn)(nil)

func (s *SignIn) needs() []string {
	if s.Public {
		return []string{"clientId"}
	}
	return []string{"clientId", "clientSecret"}
}

// Grantable says how a person gives access in the browser.
func (s *SignIn) Grantable() (connector.Grantable, bool) {
	return connector.Grantable{Needs: s.needs(), Scopes: s.Scopes}, true
}

// way is the way with the settings; for a sandbox with an app that is there.
func (s *SignIn) way(settings connector.Settings) Way {
	w := s.Way(settings)
	if Sandboxed(s.Of(), settings) {
		w.Auth.sandboxApp()
	}
	return w
}

// AskAt is the address of the vendor's page.
func (s *SignIn) AskAt(settings connector.Settings, ask connector.Ask) (string, error) {
	title := s.Of().Title
	if !Sandboxed(s.Of(), settings) {
		var missing []string
		for _, n := range s.needs() {
			if settings[n] == "" {
				missing = append(missing, n)
			}
		}
		if len(missing) > 0 {
			return "", oauth.Unready(title, missing)
		}
	}
	w := s.way(settings)
	return oauth.Page{Vendor: title, URL: w.AuthorizeURL, ClientID: w.Auth.ClientID, Scope: strings.Join(s.Scopes, " "), Parameters: w.Parameters}.Address(ask)
}

// Redeem turns the code that the person came back with into tokens.
func (s *SignIn) Redeem(ctx context.Context, settings connector.Settings, env connector.Env, ask connector.Ask, answer url.Values) (map[string]string, error) {
	title := s.Of().Title
	code := answer.Get("code")
	if code == "" {
		return nil, oauth.Refused(title, answer.Get("error"), answer.Get("error_description"), ask.Redirect)
	}
	c := &Client{auth: s.way(settings).Auth}
	env.Credentials = nil
	if err := c.open(s.Pool, s.Of().Type+" sign-in "+env.Tenant, nil, Sandboxed(s.Of(), settings), env); err != nil {
		return nil, err
	}
	defer c.Close()
	next, says, err := c.endpoint().Redeem(ctx, c.http, code, ask, true)
	if err != nil {
		return nil, err
	}
	if says != nil {
		return nil, oauth.Refused(title, says.Code, says.Text, ask.Redirect)
	}
	next[connector.Granted] = "code"
	return next, nil
}
