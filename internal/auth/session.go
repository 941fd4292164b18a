// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"time"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// sessionPrefix begins the public ids of sessions.
const sessionPrefix = "ses"

// SessionID names a session without being able to use it: the first half of its token's hash.
type SessionID [16]byte

// String returns the public form, "ses_...".
func (id SessionID) String() string { return ident.Format(sessionPrefix, id) }

// ParseSessionID reads the public form.
func ParseSessionID(s string) (SessionID, error) {
	id, err := ident.Parse(sessionPrefix, s)
	return SessionID(id), err
}

// Session is one browser in which a person is signed in, to one tenant at a time.
type Session struct {
	ID        SessionID
	Tenant    tenant.Tenant // the one being worked in
	Member    Member        // the person, as a member of that tenant
	CreatedAt time.Time
	SeenAt    time.Time // to the minute
	ExpiresAt time.Time // whatever happens
	UserAgent string
	IP        string // at the time of signing in
	Operates  bool   // the person runs the installation

	tokenHash []byte
}

// NewSession is for the store: it puts together what it read.
func NewSession(tokenHash []byte, s Session) Session {
	s.ID = SessionID(tokenHash[:16])
	s.tokenHash = tokenHash
	return s
}

// Principal is the person at work in the session.
func (s Session) Principal(from Caller) Principal {
	return Principal{
		Kind: KindMember, ID: s.Member.ID.String(), Name: s.Member.Name, Tenant: s.Tenant.ID, Role: s.Member.Role, Operates: s.Operates,
		RequestID: from.RequestID, IP: from.IP,
	}
}

// over says whether the session has ended by itself.
func (s Session) over(now time.Time, idle time.Duration) bool {
	return !now.Before(s.ExpiresAt) || !now.Before(s.SeenAt.Add(idle))
}

// Membership is a tenant that a person belongs to.
type Membership struct {
	Tenant tenant.Tenant
	Role   Role
	Since  time.Time
}

func ended() error {
	return fault.New(fault.Unauthenticated, "auth.session_ended", "You are not signed in any more. Sign in again.")
}

func suspended() error {
	return fault.New(fault.Forbidden, "auth.tenant_suspended", "This tenant is suspended. Nothing is lost; ask whoever operates this installation.")
}

// SignIn starts a session for whoever knows the password. The answer, and the time it takes, are the same whether the
// e-mail address is unknown or the password wrong. After 10 failures of an address from one IP within 15 minutes, or 100 of
// an IP, further attempts are refused unread.
//
// A person with several tenants arrives in the one joined first; SwitchTenant leads to the others.
func (m *Manager) SignIn(ctx context.Context, email, password string, from Caller) (Token, Session, error) {
	u, err := m.prove(ctx, email, password, from)
	if err != nil {
		return "", Session{}, err
	}
	all, err := m.dir.Memberships(ctx, u.ID)
	if err != nil {
		return "", Session{}, err
	}
	if len(all) == 0 {
		return "", Session{}, fault.New(fault.Forbidden, "auth.no_tenant", "You are not a member of any tenant now. Ask to be invited again.")
	}
	home := all[0]
	for _, s := range all {
		if s.Tenant.State == tenant.Active {
			home = s
			break
		}
	}
	if home.Tenant.State != tenant.Active {
		return "", Session{}, suspended()
	}
	return m.start(ctx, u, home, from)
}

// prove returns the person who has that e-mail address and password.
func (m *Manager) prove(ctx context.Context, email, password string, from Caller) (User, error) {
	email, _ = tidyEmail(email)
	if len(email) > maxEmail {
		email = email[:maxEmail] // nobody's; it is only kept short
	}
	if err := m.guesses.attempt(email, from); err != nil {
		return User{}, err
	}
	u, hash, _, err := m.dir.UserByEmail(ctx, clean(email))
	if err != nil {
		m.guesses.untried(email, from)
		return User{}, err
	}
	match, outdated, err := m.hasher.check(ctx, password, hash)
	if err != nil {
		m.guesses.untried(email, from)
		return User{}, err
	}
	if !match {
		return User{}, fault.New(fault.Unauthenticated, "auth.credentials_wrong", "The e-mail address or the password is wrong.")
	}
	m.guesses.right(email, from)
	if outdated {
		fresh, err := m.hasher.hash(ctx, password)
		if err != nil {
			return User{}, err
		}
		if err := m.dir.Rehash(ctx, u.ID, hash, fresh); err != nil {
			return User{}, err
		}
	}
	return u, nil
}

func (m *Manager) start(ctx context.Context, u User, home Membership, from Caller) (Token, Session, error) {
	token, now := newToken(), m.dir.Now()
	s := NewSession(token.hash(), Session{
		Tenant:    home.Tenant,
		Member:    Member{ID: u.ID, Email: u.Email, Name: u.Name, Role: home.Role, Since: home.Since},
		CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(m.o.SessionLife),
		UserAgent: short(from.UserAgent, 300), IP: short(from.IP, 64),
	})
	who := s.Principal(from)
	if err := m.dir.StartSession(ctx, s, s.tokenHash, who.Did("session.started", s.ID.String(), nil)); err != nil {
		return "", Session{}, err
	}
	return token, s, nil
}

// BySession returns the session that the cookie belongs to, with the role that the person has at this moment. Anything else
// is the fault auth.session_ended, or auth.tenant_suspended.
func (m *Manager) BySession(ctx context.Context, token Token) (Session, error) {
	if _, ok := token.bytes(0); !ok {
		return Session{}, ended()
	}
	s, found, err := m.dir.SessionByToken(ctx, token.hash())
	if err != nil {
		return Session{}, err
	}
	now := m.dir.Now()
	if !found || s.over(now, m.o.SessionIdle) {
		return Session{}, ended()
	}
	if s.Tenant.State != tenant.Active {
		return Session{}, suspended()
	}
	if now.Sub(s.SeenAt) >= time.Minute {
		if err := m.dir.TouchSession(ctx, s.tokenHash); err != nil {
			return Session{}, err
		}
		s.SeenAt = now
	}
	return s, nil
}

// SignOut ends the session. The cookie is worth nothing from then on.
func (m *Manager) SignOut(ctx context.Context, s Session, from Caller) error {
	return m.dir.EndSession(ctx, s.Member.ID, s.tokenHash, s.Tenant.ID, s.Principal(from).Did("session.ended", s.ID.String(), nil))
}

// Sessions lists where the person is signed in, the most recently used first.
func (m *Manager) Sessions(ctx context.Context, s Session) ([]Session, error) {
	all, err := m.dir.Sessions(ctx, s.Member.ID)
	if err != nil {
		return nil, err
	}
	now, live := m.dir.Now(), all[:0]
	for _, other := range all {
		if !other.over(now, m.o.SessionIdle) {
			live = append(live, other)
		}
	}
	return live, nil
}

// EndSession ends another of the person's sessions.
func (m *Manager) EndSession(ctx context.Context, s Session, id SessionID, from Caller) error {
	found, err := m.dir.EndSessionByID(ctx, s.Member.ID, id, s.Tenant.ID, s.Principal(from).Did("session.ended", id.String(), nil))
	if err == nil && !found {
		return fault.New(fault.NotFound, "auth.session_not_found", "There is no such session; it has ended already.")
	}
	return err
}

// EndOtherSessions ends all of the person's sessions but this one, and returns how many there were.
func (m *Manager) EndOtherSessions(ctx context.Context, s Session, from Caller) (int64, error) {
	return m.dir.EndOtherSessions(ctx, s.Member.ID, s.tokenHash, s.Tenant.ID, s.Principal(from).Did("session.others_ended", s.Member.ID.String(), nil))
}

// Tenants lists the tenants that the person can switch to, the present one included.
func (m *Manager) Tenants(ctx context.Context, s Session) ([]Membership, error) {
	return m.dir.Memberships(ctx, s.Member.ID)
}

// SwitchTenant goes on in another of the person's tenants, with the same cookie.
func (m *Manager) SwitchTenant(ctx context.Context, s Session, to tenant.ID, from Caller) (Session, error) {
	all, err := m.dir.Memberships(ctx, s.Member.ID)
	if err != nil {
		return Session{}, err
	}
	for _, other := range all {
		if other.Tenant.ID != to {
			continue
		}
		if other.Tenant.State != tenant.Active {
			return Session{}, suspended()
		}
		s.Tenant, s.Member.Role, s.Member.Since = other.Tenant, other.Role, other.Since
		err := m.dir.SwitchSession(ctx, s.tokenHash, to, s.Principal(from).Did("session.switched", s.ID.String(), nil))
		if err != nil {
			return Session{}, err
		}
		return s, nil
	}
	return Session{}, fault.New(fault.NotFound, "auth.not_a_member", "You are not a member of that tenant.")
}

// ChangePassword sets a new password and ends all other sessions of the person.
func (m *Manager) ChangePassword(ctx context.Context, s Session, old, fresh string, from Caller) error {
	if err := invalid(checkPassword(fresh, s.Member.Email, "/newPassword")); err != nil {
		return err
	}
	if err := m.guesses.attempt(s.Member.Email, from); err != nil {
		return err
	}
	_, hash, err := m.dir.User(ctx, s.Member.ID)
	if err != nil {
		m.guesses.untried(s.Member.Email, from)
		return err
	}
	match, _, err := m.hasher.check(ctx, old, hash)
	if err != nil {
		m.guesses.untried(s.Member.Email, from)
		return err
	}
	wrong := fault.New(fault.Invalid, "auth.password_wrong", "The present password is wrong.").
		At(fault.Field{Pointer: "/password", Code: "auth.password_wrong", Message: "This is not your present password."})
	if !match {
		return wrong
	}
	m.guesses.right(s.Member.Email, from)
	freshHash, err := m.hasher.hash(ctx, fresh)
	if err != nil {
		return err
	}
	changed, err := m.dir.ChangePassword(ctx, s.Member.ID, hash, freshHash, s.tokenHash, s.Tenant.ID,
		s.Principal(from).Did("member.password_changed", s.Member.ID.String(), nil))
	if err == nil && !changed {
		return wrong // it was changed elsewhere at this very moment
	}
	return err
}

// ResetPassword sets the password of somebody who does not know it any more, and ends all their sessions. It is for whoever
// operates the installation and asks no permission; it is noted in the audit log of the person's first tenant.
func (m *Manager) ResetPassword(ctx context.Context, email, fresh string) error {
	u, hash, found, err := m.dir.UserByEmail(ctx, email)
	if err != nil {
		return err
	}
	if !found {
		return fault.New(fault.NotFound, "auth.user_not_found", "There is nobody with the e-mail address %s.", email)
	}
	if err := invalid(checkPassword(fresh, u.Email, "/password")); err != nil {
		return err
	}
	all, err := m.dir.Memberships(ctx, u.ID)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fault.New(fault.Conflict, "auth.no_tenant", "%s is not a member of any tenant now. Invite them first.", email)
	}
	freshHash, err := m.hasher.hash(ctx, fresh)
	if err != nil {
		return err
	}
	in := all[0].Tenant.ID
	_, err = m.dir.ChangePassword(ctx, u.ID, hash, freshHash, []byte{}, in, System(in, "operator").Did("member.password_reset", u.ID.String(), nil))
	return err
}

// short cuts text from outside to n bytes, at the border of a character.
func short(s string, n int) string {
	s = clean(s)
	for len(s) > n {
		r := []rune(s)
		s = string(r[:max(0, min(len(r)-1, n))])
	}
	return s
}
