// SPDX-License-Identifier: Apache-2.0

// Package auth says who is acting and what they may do: principals, members and their roles, API keys, signing up and in.
//
// A request is turned into a Principal once, at the edge: by Manager.BySession from the browser's cookie, or by
// Manager.ByKey from an API key. Every operation then asks who.May(permission) before anything else, works in a transaction
// bound to who.Tenant, and leaves who.Did(...) in the audit log by the same commit. Nothing is remembered between requests:
// a role that was changed, a key that was revoked, a member who was removed counts from the next request on.
package auth

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Kind says what a principal is.
type Kind string

// The kinds.
const (
	KindMember Kind = "member" // a person, signed in
	KindKey    Kind = "key"    // a program, with an API key
	KindSystem Kind = "system" // Syncline itself: the scheduler, a worker

	// KindOperator is whoever runs the installation, acting for a tenant from outside. Members never are.
	KindOperator Kind = "operator"
)

// UserID names a person. One person can be a member of several tenants.
type UserID uuid.UUID

// String returns the public form, "usr_...".
func (id UserID) String() string { return ident.Format(ident.User, id) }

// ParseUserID reads the public form.
func ParseUserID(s string) (UserID, error) {
	id, err := ident.Parse(ident.User, s)
	return UserID(id), err
}

// Caller is where a request came from; it is kept with sessions and audit entries.
type Caller struct {
	IP        string // without port; empty for calls from inside
	UserAgent string
	RequestID string
}

// Principal is whoever is acting now, in one tenant.
type Principal struct {
	Kind      Kind
	ID        string // public: "usr_...", "key_...", or the system's own name ("scheduler")
	Name      string // for people
	Tenant    tenant.ID
	Role      Role    // of a member
	Scopes    []Scope // of a key
	Operates  bool    // of a member: runs the installation
	RequestID string
	IP        string
}

// System is Syncline acting on its own behalf for a tenant; it may do everything. name says which part of it: "scheduler".
func System(id tenant.ID, name string) Principal {
	return Principal{Kind: KindSystem, ID: name, Name: "Syncline", Tenant: id}
}

// Operator is somebody who runs the installation, acting for a tenant. They see and do what concerns its money and its worker pool,
// and nothing of its records. name is for the tenant's audit log.
func Operator(id tenant.ID, name string) Principal {
	return Principal{Kind: KindOperator, ID: name, Name: name, Tenant: id}
}

// Operating is the principal at work for another tenant, as somebody who runs the installation. The tenant's audit log has their own
// name and id; what they are in tenants of their own gives them no right there.
func (p Principal) Operating(in tenant.ID) (Principal, error) {
	if err := p.May(Operate); err != nil {
		return Principal{}, err
	}
	return Principal{Kind: KindOperator, ID: p.ID, Name: p.Name, Tenant: in, RequestID: p.RequestID, IP: p.IP}, nil
}

// Can says whether the principal has the permission.
func (p Principal) Can(what Permission) bool {
	switch p.Kind {
	case KindMember:
		return p.Role.May(what) || p.Operates && what == Operate
	case KindKey:
		return slices.ContainsFunc(p.Scopes, func(s Scope) bool { return s.May(what) })
	case KindSystem:
		return true
	case KindOperator:
		return what == Operate || what == ViewInvoices || what == ViewUsage
	}
	return false
}

// May returns nil when the principal has the permission, and otherwise the fault auth.forbidden, which says what is needed.
func (p Principal) May(what Permission) error {
	if p.Can(what) {
		return nil
	}
	if p.Kind == KindKey {
		needs := scopesWith(what)
		if len(needs) == 0 && len(RolesWith(what)) > 0 {
			return fault.New(fault.Forbidden, "auth.forbidden", "No API key may do this (%s); it takes a member with the role %s.", what, oneOf(RolesWith(what)))
		}
		return fault.New(fault.Forbidden, "auth.forbidden", "This API key lacks the permission %s; it takes a key with the scope %s.", what, oneOf(needs))
	}
	if len(RolesWith(what)) == 0 {
		return fault.New(fault.Forbidden, "auth.forbidden", "This is for people who run the installation (%s); no role in a tenant has it.", what)
	}
	return fault.New(fault.Forbidden, "auth.forbidden", "This takes the role %s (permission %s), and your role is %s. Ask an owner or admin of the tenant.",
		oneOf(RolesWith(what)), what, p.Role)
}

// mayGrant refuses to give the role to anybody, or to take it from them: only owners make and unmake owners. Everybody else
// is the business of whoever may edit members.
func (p Principal) mayGrant(r Role) error {
	if r != Owner || p.Kind == KindSystem || p.Kind == KindMember && p.Role == Owner {
		return nil
	}
	return fault.New(fault.Forbidden, "auth.owners_only", "Only an owner gives or takes the role owner, signed in and not with an API key. Ask an owner of the tenant.")
}

// Did is the audit entry of what the principal did. subject is the public id of what was acted on; detail is an object
// that says what changed ("before", "after"), or nil. It must never hold a secret.
func (p Principal) Did(action, subject string, detail any) audit.Entry {
	e := audit.Entry{
		ActorKind: string(p.Kind), ActorID: p.ID, ActorName: p.Name, Action: action, Subject: subject,
		RequestID: p.RequestID, IP: p.IP,
	}
	if detail != nil {
		b, err := json.Marshal(detail)
		if err != nil {
			// Details are plain values of ours; one that cannot be written is a mistake in the program, and an entry
			// without it would be a worse one.
			panic(fmt.Sprintf("auth: detail of %s: %v", action, err))
		}
		e.Detail = b
	}
	return e
}

// User returns the person behind a member, and whether there is one.
func (p Principal) User() (UserID, bool) {
	if p.Kind != KindMember {
		return UserID{}, false
	}
	id, err := ParseUserID(p.ID)
	return id, err == nil
}
