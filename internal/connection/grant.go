// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/vault"
)

// Returning is the path to which vendors send people back, behind the installation's public address.
const Returning = "/connections/authorized"

// How long a person may take at the vendor's page.
const questionLife = 15 * time.Minute

const verifierSealed = "/authorization"

// Question is one that a person was sent to a vendor with.
type Question struct {
	State      []byte // the SHA-256 of what travels through the browser
	Connection ID
	Session    string // that asked; only it may bring the answer
	Redirect   string
	Sealed     []byte // the verifier of PKCE
	ExpiresAt  time.Time
}

// Grant is a person's permission, given at the vendor, to use the account.
type Grant struct {
	At        *time.Time // nil: none is in force
	By        string     // who gave it, by name
	Scopes    string     // what the vendor says was given; "" where it does not say
	Refusal   string     // why the last try, later than At, brought none
	RefusedAt *time.Time

	Possible bool     // the connector has such a way
	Asks     []string // the scopes that are asked for
	Missing  []string // settings that must be filled in before
}

// GrantTx is what connecting in the browser needs of a transaction.
type GrantTx interface {
	InsertQuestion(ctx context.Context, q Question) error
	// TakeQuestion takes one that the session asked and nobody took: each is answered once.
	TakeQuestion(ctx context.Context, state []byte, session string) (Question, bool, error)
	RefuseQuestion(ctx context.Context, state []byte, refusal string) error
	// SaveGrant keeps tokens in place of what was there, whoever renews them meanwhile.
	SaveGrant(ctx context.Context, id ID, sealed []byte, by, scopes string) error
	Grant(ctx context.Context, id ID) (Grant, error)
}

// unsealed reads a connection with what it takes to use it.
func (m *Manager) unsealed(ctx context.Context, id tenant.ID, ref string) (c Connection, found connector.Connector, sealed connector.Settings, err error) {
	err = m.inTx(ctx, id, func(tx Tx) (err error) {
		if c, err = tx.Connection(ctx, ref); err != nil {
			return err
		}
		if found, err = m.catalog.Find(ctx, tx, c.Connector); err != nil || c.Sealed == nil {
			return err
		}
		key, err := tx.TenantKey(ctx)
		if err != nil {
			return err
		}
		sealed, err = m.unseal(key, id, c)
		return err
	})
	return c, found, sealed, err
}

// granter reads a connection to which a person can give access, with its settings as they are used.
func (m *Manager) granter(ctx context.Context, id tenant.ID, ref string) (Connection, connector.Granter, connector.Connector, connector.Settings, error) {
	c, found, sealed, err := m.unsealed(ctx, id, ref)
	if err != nil {
		return c, nil, nil, nil, err
	}
	g, ok := found.(connector.Granter)
	if ok {
		_, ok = g.Grantable()
	}
	if !ok {
		return c, nil, nil, nil, fault.New(fault.Conflict, "connection.not_authorizable", "%s knows no access that is given in the browser. Fill in its credentials.", found.Spec().Title)
	}
	settings, err := m.resolve(ctx, id, c, sealed)
	if err != nil {
		return c, nil, nil, nil, err
	}
	if settings, err = found.Spec().Check(settings); err != nil {
		return c, nil, nil, nil, err
	}
	return c, g, found, settings, nil
}

// Grant says whether a person gave the connection access in the browser, and how one can.
func (m *Manager) Grant(ctx context.Context, who auth.Principal, ref string) (Connection, Grant, error) {
	if err := who.May(auth.ViewConnections); err != nil {
		return Connection{}, Grant{}, err
	}
	c, found, sealed, err := m.unsealed(ctx, who.Tenant, ref)
	if fault.IsCode(err, "connector.unknown") || fault.IsCode(err, "connector.outdated") {
		return c, Grant{}, nil // the connection's own page says so
	}
	if err != nil {
		return c, Grant{}, err
	}
	var g Grant
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		g, err = tx.Grant(ctx, c.ID)
		return err
	})
	granter, ok := found.(connector.Granter)
	if err != nil || !ok {
		return c, g, err
	}
	how, ok := granter.Grantable()
	if !ok {
		return c, g, nil
	}
	g.Possible, g.Asks = true, how.Scopes
	if s, ok := found.(sandboxed); ok {
		given := connector.Settings{}
		for _, settings := range []connector.Settings{c.Settings, sealed} {
			for name, value := range settings {
				given[name] = value
			}
		}
		if s.Sandboxed(given) { // the simulator takes any app
			how.Needs = nil
		}
	}
	for _, name := range how.Needs {
		if s, _ := found.Spec().Setting(name); c.Settings[name] == "" && sealed[name] == "" && s.Default == "" {
			g.Missing = append(g.Missing, name)
		}
	}
	return c, g, nil
}

// Ask sends a person to the vendor to give the connection access. redirect is where the vendor sends them back to; only this session
// can bring the answer, once, and within 15 minutes. sandboxed says that the page is the simulator's; see Consent.
func (m *Manager) Ask(ctx context.Context, who auth.Principal, session, ref, redirect string) (c Connection, address string, sandboxed bool, err error) {
	if err := who.May(auth.EditConnections); err != nil {
		return c, "", false, err
	}
	c, g, _, settings, err := m.granter(ctx, who.Tenant, ref)
	if err != nil {
		return c, "", false, err
	}
	ask := connector.Ask{Redirect: redirect, State: rand.Text() + rand.Text(), Verifier: rand.Text() + rand.Text()} // RFC 7636 wants 43 characters at least
	if address, err = g.AskAt(settings, ask); err != nil {
		return c, "", false, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		key, err := tx.TenantKeyToSeal(ctx)
		if err != nil {
			return err
		}
		q := Question{State: stateOf(ask.State), Connection: c.ID, Session: session, Redirect: redirect, ExpiresAt: tx.Now().Add(questionLife)}
		if q.Sealed, err = m.vault.Seal(key, who.Tenant, vault.ConnectionName(c.ID)+verifierSealed, []byte(ask.Verifier)); err != nil {
			return err
		}
		return tx.InsertQuestion(ctx, q)
	})
	if err != nil {
		return c, "", false, err
	}
	_, sandboxed, err = m.sandbox(ctx, who.Tenant, c.ID.Public())
	return c, address, sandboxed, err
}

func stateOf(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// Answer takes what a person came back with from the vendor. With access the tokens are sealed, and the connection is tried; its links
// and what was read stay as they are. The connection is there as soon as it is known which one was meant.
func (m *Manager) Answer(ctx context.Context, who auth.Principal, session string, answer url.Values) (c Connection, err error) {
	if err := who.May(auth.EditConnections); err != nil {
		return c, err
	}
	state := stateOf(answer.Get("state"))
	var q Question
	var verifier []byte
	var found bool
	var now time.Time
	// Taken in a commit of its own: whatever happens next, this answer is used up.
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		now = tx.Now()
		if q, found, err = tx.TakeQuestion(ctx, state, session); err != nil || !found {
			return err
		}
		key, err := tx.TenantKey(ctx)
		if err != nil {
			return err
		}
		if c, err = tx.Connection(ctx, q.Connection.Public()); err != nil {
			return err
		}
		verifier, err = m.vault.Open(key, who.Tenant, vault.ConnectionName(c.ID)+verifierSealed, q.Sealed)
		return err
	})
	if err != nil {
		return c, err
	}
	if !found {
		return c, fault.New(fault.Conflict, "connection.authorization_unknown", "This answer belongs to no question of yours, or it was taken already. Begin again with Connect on the connection's page.")
	}
	if now.After(q.ExpiresAt) {
		err = fault.New(fault.Conflict, "connection.authorization_expired", "It took longer than %d minutes, and the question is not open any more. Connect again.", int(questionLife.Minutes()))
		return c, m.refuse(ctx, who, c, q, err)
	}
	c, g, _, settings, err := m.granter(ctx, who.Tenant, c.ID.Public())
	if err != nil {
		return c, m.refuse(ctx, who, c, q, err)
	}
	env := connector.Env{Dial: m.guard.Dial, Tenant: who.Tenant.String(), Consumer: c.ID.Public()}
	if m.sandboxes != nil {
		env.Sandbox = m.sandboxes.Through(who.Tenant, c.ID, c.Connector)
	}
	kept, err := g.Redeem(ctx, settings, env, connector.Ask{Redirect: q.Redirect, Verifier: string(verifier)}, answer)
	if err != nil {
		return c, m.refuse(ctx, who, c, q, asked(err))
	}
	// The code is used: what it brought is kept even when nobody waits for it any more.
	keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = m.inTx(keep, who.Tenant, func(tx Tx) error {
		key, err := tx.TenantKeyToSeal(keep)
		if err != nil {
			return err
		}
		if c, err = tx.LockConnection(keep, c.ID.Public()); err != nil {
			return err
		}
		plain, err := json.Marshal(kept)
		if err != nil {
			return err
		}
		sealed, err := m.vault.Seal(key, who.Tenant, vault.ConnectionName(c.ID)+tokensSealed, plain)
		if err != nil {
			return err
		}
		if err := tx.SaveGrant(keep, c.ID, sealed, who.Name, kept["scope"]); err != nil {
			return err
		}
		if err := changed(keep, tx, c); err != nil {
			return err
		}
		if err := tx.RestartServicesUsing(keep, c.Name); err != nil {
			return err
		}
		return tx.Audit(keep, who.Did("connection.authorized", c.ID.Public(), map[string]any{"name": c.Name, "connector": c.Connector, "scopes": kept["scope"]}))
	})
	if err != nil {
		return c, err
	}
	return m.Test(ctx, who, c.ID.Public())
}

// refuse notes why there is no access, for the connection's page, and gives the reason back.
func (m *Manager) refuse(ctx context.Context, who auth.Principal, c Connection, q Question, why error) error {
	if ctx.Err() != nil || fault.As(why) == nil {
		return why
	}
	err := m.inTx(ctx, who.Tenant, func(tx Tx) error {
		if err := tx.RefuseQuestion(ctx, q.State, fault.As(why).Message); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("connection.authorization_refused", c.ID.Public(), map[string]any{"name": c.Name, "connector": c.Connector, "reason": fault.As(why).Message}))
	})
	if err != nil {
		return err
	}
	return why
}

// Consent is the page on which the simulator of a vendor asks a person for access; the query is the question's, and form the decision,
// nil while there is none. The answer's body is to be closed.
func (m *Manager) Consent(ctx context.Context, who auth.Principal, ref, query string, form url.Values) (*http.Response, error) {
	if err := who.May(auth.EditConnections); err != nil {
		return nil, err
	}
	c, err := m.mustSandbox(ctx, who.Tenant, ref)
	if err != nil {
		return nil, err
	}
	_, g, _, settings, err := m.granter(ctx, who.Tenant, c.ID.Public())
	if err != nil {
		return nil, err
	}
	address, err := g.AskAt(settings, connector.Ask{Redirect: "https://sandbox.invalid"})
	if err != nil {
		return nil, err
	}
	address, _, _ = strings.Cut(address, "?")
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, method, address+"?"+query, body)
	if err != nil {
		return nil, fault.Wrap(err, fault.Malformed, "connection.authorization_unknown", "This question cannot be read. Begin again with Connect on the connection's page.")
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return m.sandboxes.Through(who.Tenant, c.ID, c.Connector).RoundTrip(r)
}
