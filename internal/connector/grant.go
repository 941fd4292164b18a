// SPDX-License-Identifier: Apache-2.0

package connector

import (
	"context"
	"net/url"
)

// Granted marks, among a connection's Credentials, tokens that a person's permission in the browser brought: such a connection uses
// them and no other credentials it may have.
const Granted = "granted"

// Grantable says how a person can give a connection access in the browser.
type Grantable struct {
	Needs  []string // settings that must be filled in before
	Scopes []string // what is asked for
}

// Ask is one question to a person at a vendor: OAuth 2 authorization code (RFC 6749 section 4.1) with PKCE (RFC 7636).
type Ask struct {
	Redirect string // where the vendor sends the person back to
	State    string // comes back with them
	Verifier string // proves that who redeems is who asked
}

// Granter is a connector to whose systems a person can give access in the browser.
type Granter interface {
	// Grantable says how; false when there is no such way.
	Grantable() (Grantable, bool)
	// AskAt is the address of the vendor's page for that question.
	AskAt(settings Settings, ask Ask) (string, error)
	// Redeem turns what the person came back with into tokens for Credentials. The fault connection.authorization_refused says why
	// there are none.
	Redeem(ctx context.Context, settings Settings, env Env, ask Ask, answer url.Values) (map[string]string, error)
}
