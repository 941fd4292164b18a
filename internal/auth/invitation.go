// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// InvitationID names an invitation.
type InvitationID uuid.UUID

// String returns the public form, "inv_...".
func (id InvitationID) String() string { return ident.Format(ident.Invitation, id) }

// ParseInvitationID reads the public form.
func ParseInvitationID(s string) (InvitationID, error) {
	id, err := ident.Parse(ident.Invitation, s)
	return InvitationID(id), err
}

// Invitation asks a person into a tenant. Whoever has the link made of its token can accept it, once.
type Invitation struct {
	ID         InvitationID
	Email      string
	Role       Role
	InvitedBy  string // the principal's public id
	CreatedAt  time.Time
	ExpiresAt  time.Time
	AcceptedAt time.Time // zero while open
}

// Open says whether the invitation can still be accepted.
func (i Invitation) Open(now time.Time) bool { return i.AcceptedAt.IsZero() && now.Before(i.ExpiresAt) }

// Invite asks somebody into the tenant. The token goes into the link that they are sent, and is kept nowhere. Only owners
// invite owners.
func (m *Manager) Invite(ctx context.Context, who Principal, email string, role Role) (Token, Invitation, error) {
	if _, err := ParseRole(string(role)); err != nil {
		return "", Invitation{}, err
	}
	email, bad := tidyEmail(email)
	if err := invalid(bad); err != nil {
		return "", Invitation{}, err
	}
	var token Token
	var i Invitation
	err := m.do(ctx, who, EditMembers, func(tx Tx) error {
		if err := who.mayGrant(role); err != nil {
			return err
		}
		if _, there, err := tx.MemberByEmail(ctx, email); err != nil {
			return err
		} else if there {
			return alreadyMember(email)
		}
		token = newInvitationToken(who.Tenant)
		i = Invitation{
			ID: InvitationID(uuid.Must(uuid.NewV7())), Email: email, Role: role, InvitedBy: who.ID,
			CreatedAt: tx.Now(), ExpiresAt: tx.Now().Add(m.o.InviteLife),
		}
		if err := tx.InsertInvitation(ctx, i, token.hash()); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("invitation.created", i.ID.String(), map[string]any{"email": email, "role": role}))
	})
	if err != nil {
		return "", Invitation{}, err
	}
	return token, i, nil
}

func alreadyMember(email string) error {
	return fault.New(fault.Conflict, "auth.already_member", "%s is a member of this tenant already. Change the role instead.", email)
}

// Invitations lists the invitations, up to limit, behind after in the order of their making, open or not; limit 0 means all.
func (m *Manager) Invitations(ctx context.Context, who Principal, after InvitationID, limit int) (invitations []Invitation, err error) {
	err = m.do(ctx, who, ViewMembers, func(tx Tx) error {
		invitations, err = tx.Invitations(ctx, after, limit)
		return err
	})
	return invitations, err
}

// Invitation returns one invitation.
func (m *Manager) Invitation(ctx context.Context, who Principal, id InvitationID) (i Invitation, err error) {
	err = m.do(ctx, who, ViewMembers, func(tx Tx) error {
		i, err = tx.Invitation(ctx, id)
		return err
	})
	return i, err
}

// RevokeInvitation takes an invitation back: its link is worth nothing from then on.
func (m *Manager) RevokeInvitation(ctx context.Context, who Principal, id InvitationID) error {
	return m.do(ctx, who, EditMembers, func(tx Tx) error {
		i, err := tx.Invitation(ctx, id)
		if err != nil {
			return err
		}
		if err := who.mayGrant(i.Role); err != nil {
			return err
		}
		deleted, err := tx.DeleteInvitation(ctx, id)
		if err != nil {
			return err
		}
		if !deleted {
			return fault.New(fault.Conflict, "auth.invitation_accepted", "The invitation was accepted already. Remove the member instead.")
		}
		return tx.Audit(ctx, who.Did("invitation.revoked", id.String(), map[string]any{"email": i.Email, "role": i.Role}))
	})
}

// Offer is what an invitation's link leads to.
type Offer struct {
	Invitation
	Tenant     tenant.ID
	TenantName string
	Known      bool // there is a person with that e-mail address: they give their password, and no name
}

func notOffered() error {
	return fault.New(fault.NotFound, "auth.invitation_not_found", "This invitation does not exist: it was taken back, or the link is not complete. Ask for a new one.")
}

// Offer returns the open invitation that the token belongs to.
func (m *Manager) Offer(ctx context.Context, token Token) (Offer, error) {
	id, ok := token.tenant()
	if !ok {
		return Offer{}, notOffered()
	}
	i, name, found, err := m.dir.InvitationByToken(ctx, id, token.hash())
	if err != nil {
		return Offer{}, err
	}
	if !found {
		return Offer{}, notOffered()
	}
	if !i.Open(m.dir.Now()) {
		return Offer{}, invitationOver()
	}
	_, _, known, err := m.dir.UserByEmail(ctx, i.Email)
	if err != nil {
		return Offer{}, err
	}
	return Offer{Invitation: i, Tenant: id, TenantName: name, Known: known}, nil
}

func invitationOver() error {
	return fault.New(fault.Conflict, "auth.invitation_over", "This invitation was accepted already, or is older than allowed. Sign in, or ask for a new one.")
}

// Accept makes the invited person a member and signs them in. Somebody new gives a name and chooses a password; somebody
// who is known proves with their password that it is them.
func (m *Manager) Accept(ctx context.Context, token Token, name, password string, from Caller) (Token, Session, error) {
	offer, err := m.Offer(ctx, token)
	if err != nil {
		return "", Session{}, err
	}
	var u User
	hash := ""
	if offer.Known {
		if u, err = m.prove(ctx, offer.Email, password, from); err != nil {
			return "", Session{}, err
		}
	} else {
		name, badName := tidyName(name, "/name")
		if err := invalid(badName, checkPassword(password, offer.Email, "/password")); err != nil {
			return "", Session{}, err
		}
		if hash, err = m.hasher.hash(ctx, password); err != nil {
			return "", Session{}, err
		}
		u = User{ID: UserID(uuid.Must(uuid.NewV7())), Email: offer.Email, Name: name, CreatedAt: m.dir.Now()}
	}
	if err := m.accept(ctx, offer, u, hash, from); err != nil {
		return "", Session{}, err
	}
	return m.startIn(ctx, u, offer.Tenant, from)
}

// AcceptAs makes the person who is signed in a member, and goes on in that tenant. The invitation must be for their e-mail
// address.
func (m *Manager) AcceptAs(ctx context.Context, s Session, token Token, from Caller) (Session, error) {
	offer, err := m.Offer(ctx, token)
	if err != nil {
		return Session{}, err
	}
	if !strings.EqualFold(offer.Email, s.Member.Email) {
		return Session{}, fault.New(fault.Forbidden, "auth.invitation_for_other", "This invitation is for another e-mail address than the one you are signed in with. Sign out and open the link again.")
	}
	u := User{ID: s.Member.ID, Email: s.Member.Email, Name: s.Member.Name}
	if err := m.accept(ctx, offer, u, "", from); err != nil {
		return Session{}, err
	}
	return m.SwitchTenant(ctx, s, offer.Tenant, from)
}

func (m *Manager) accept(ctx context.Context, offer Offer, u User, hash string, from Caller) error {
	who := Principal{Kind: KindMember, ID: u.ID.String(), Name: u.Name, Tenant: offer.Tenant, Role: offer.Role, RequestID: from.RequestID, IP: from.IP}
	return m.dir.Accept(ctx, offer.Tenant, offer.ID, u, hash, offer.Role,
		who.Did("invitation.accepted", offer.ID.String(), map[string]any{"email": offer.Email, "role": offer.Role, "member": u.ID.String()}))
}

// startIn signs a person in to one of their tenants.
func (m *Manager) startIn(ctx context.Context, u User, in tenant.ID, from Caller) (Token, Session, error) {
	all, err := m.dir.Memberships(ctx, u.ID)
	if err != nil {
		return "", Session{}, err
	}
	for _, home := range all {
		if home.Tenant.ID == in {
			if home.Tenant.State != tenant.Active {
				return "", Session{}, suspended()
			}
			return m.start(ctx, u, home, from)
		}
	}
	return "", Session{}, fault.New(fault.NotFound, "auth.not_a_member", "You are not a member of that tenant.")
}
