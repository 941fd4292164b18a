// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"slices"
	"strings"

	"github.com/syncline-dev/syncline/internal/fault"
)

// A Permission is one thing somebody may be allowed to do.
type Permission string

// The permissions. "View" never shows more than its name says: ViewServices shows that records were synced, ViewRecords
// what is in them.
const (
	ViewServices       Permission = "services.view"        // services, their documents, runs, metrics, events
	EditServices       Permission = "services.edit"        // create, revise, roll back, archive
	RunServices        Permission = "services.run"         // run now, pause, resume, cancel
	ViewRecords        Permission = "records.view"         // contents of records, their journal, conflicts, dead letters
	EditRecords        Permission = "records.edit"         // write records and sync single ones
	ResolveConflicts   Permission = "conflicts.resolve"    // decide which value wins
	RedriveDeadLetters Permission = "deadletters.redrive"  // edit, try again or discard
	ViewConnections    Permission = "connections.view"     // names, settings that are not secret, health
	EditConnections    Permission = "connections.edit"     // create, change, test, reset, delete
	ViewSecrets        Permission = "secrets.view"         // names and times; nobody sees a value
	EditSecrets        Permission = "secrets.edit"         // set and delete
	ViewMembers        Permission = "members.view"         // who belongs to the tenant, in which role
	EditMembers        Permission = "members.edit"         // invite, change roles, remove
	ViewKeys           Permission = "keys.view"            // names, scopes, last use; nobody sees a key again
	EditKeys           Permission = "keys.edit"            // create and revoke
	ViewUsage          Permission = "usage.view"           // counted operations and records
	ViewInvoices       Permission = "invoices.view"        // amounts, prices, invoices and their lines
	EditInvoices       Permission = "invoices.edit"        // review, adjust, approve
	EditSubscription   Permission = "subscription.edit"    // choose the plan and its add-ons, set budgets
	ViewWebhooks       Permission = "webhooks.view"        // webhook endpoints and what was sent to them, contents of events included
	EditWebhooks       Permission = "webhooks.edit"        // create, change, test, rotate, resend, delete
	ViewAudit          Permission = "audit.view"           // the audit log, and checking it
	Operate            Permission = "installation.operate" // run the installation; no role has it
	ViewTenant         Permission = "tenant.view"          // name, region, time zone
	EditTenant         Permission = "tenant.edit"          // change these, renew the tenant's key
)

// A Role is what a member is in a tenant.
type Role string

// The roles, the most powerful first.
const (
	Owner   Role = "owner"   // everything, the tenant's own settings included
	Admin   Role = "admin"   // members, keys, secrets, connections, and all that an editor may
	Editor  Role = "editor"  // services and what happens in them
	Finance Role = "finance" // money and what it was charged for, and no contents of records
	Viewer  Role = "viewer"  // looks, changes nothing
)

// Roles lists all roles, the most powerful first.
var Roles = []Role{Owner, Admin, Editor, Finance, Viewer}

// rights is the table of who may do what. docs/security.md shows it; a test keeps the two equal.
var rights = []struct {
	permission Permission
	roles      []Role
}{
	{ViewServices, []Role{Owner, Admin, Editor, Finance, Viewer}},
	{EditServices, []Role{Owner, Admin, Editor}},
	{RunServices, []Role{Owner, Admin, Editor}},
	{ViewRecords, []Role{Owner, Admin, Editor, Viewer}},
	{EditRecords, []Role{Owner, Admin, Editor}},
	{ResolveConflicts, []Role{Owner, Admin, Editor}},
	{RedriveDeadLetters, []Role{Owner, Admin, Editor}},
	{ViewConnections, []Role{Owner, Admin, Editor, Viewer}},
	{EditConnections, []Role{Owner, Admin}},
	{ViewSecrets, []Role{Owner, Admin, Editor}},
	{EditSecrets, []Role{Owner, Admin}},
	{ViewMembers, []Role{Owner, Admin, Editor, Finance, Viewer}},
	{EditMembers, []Role{Owner, Admin}},
	{ViewKeys, []Role{Owner, Admin}},
	{EditKeys, []Role{Owner, Admin}},
	{ViewUsage, []Role{Owner, Admin, Editor, Finance, Viewer}},
	{ViewInvoices, []Role{Owner, Admin, Finance}},
	{EditInvoices, []Role{Owner, Finance}},
	{EditSubscription, []Role{Owner, Finance}},
	{ViewWebhooks, []Role{Owner, Admin}},
	{EditWebhooks, []Role{Owner, Admin}},
	{ViewAudit, []Role{Owner, Admin}},
	{ViewTenant, []Role{Owner, Admin, Editor, Finance, Viewer}},
	{EditTenant, []Role{Owner}},
	{Operate, []Role{}},
}

// Permissions lists all permissions in the order of the table.
func Permissions() []Permission {
	all := make([]Permission, len(rights))
	for i, r := range rights {
		all[i] = r.permission
	}
	return all
}

// RolesWith lists the roles that have the permission, the most powerful first.
func RolesWith(p Permission) []Role {
	for _, r := range rights {
		if r.permission == p {
			return r.roles
		}
	}
	return nil
}

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	if r := Role(s); slices.Contains(Roles, r) {
		return r, nil
	}
	return "", fault.New(fault.Invalid, "auth.role_unknown", "There is no role %q; the roles are %s.", s, oneOf(Roles)).
		At(fault.Field{Pointer: "/role", Code: "auth.role_unknown", Message: "Unknown role.", Remedy: "One of " + oneOf(Roles) + "."})
}

// May says whether the role has the permission.
func (r Role) May(p Permission) bool { return slices.Contains(RolesWith(p), r) }

// A Scope is what an API key may do: a named set of permissions.
type Scope string

// The scopes. Each allows what the role beside it may do, but for ScopeConnections, which is for deploying configuration.
const (
	ScopeRead        Scope = "read"        // as a viewer
	ScopeWrite       Scope = "write"       // as an editor
	ScopeConnections Scope = "connections" // view and edit connections and secrets
	ScopeFinance     Scope = "finance"     // as finance
	ScopeAdmin       Scope = "admin"       // as an admin
	ScopeOperator    Scope = "operator"    // runs the installation, and nothing else
)

// Scopes lists the scopes that a tenant gives its keys.
var Scopes = []Scope{ScopeRead, ScopeWrite, ScopeConnections, ScopeFinance, ScopeAdmin}

// AllScopes are these, and the one that people who run the installation give keys of their own.
var AllScopes = append(slices.Clone(Scopes), ScopeOperator)

// May says whether the scope allows the permission.
func (s Scope) May(p Permission) bool {
	switch s {
	case ScopeRead:
		return Viewer.May(p)
	case ScopeWrite:
		return Editor.May(p)
	case ScopeConnections:
		return slices.Contains([]Permission{ViewConnections, EditConnections, ViewSecrets, EditSecrets}, p)
	case ScopeFinance:
		return Finance.May(p)
	case ScopeAdmin:
		return Admin.May(p)
	case ScopeOperator:
		return p == Operate
	}
	return false
}

// ParseScopes reads scopes' names: at least one, each once. The result is in the order of AllScopes.
func ParseScopes(names []string) ([]Scope, error) {
	var scopes []Scope
	for _, s := range AllScopes {
		if slices.Contains(names, string(s)) {
			scopes = append(scopes, s)
		}
	}
	for _, name := range names {
		if !slices.Contains(AllScopes, Scope(name)) {
			return nil, fault.New(fault.Invalid, "auth.scope_unknown", "There is no scope %q; the scopes are %s.", name, oneOf(Scopes)).
				At(fault.Field{Pointer: "/scopes", Code: "auth.scope_unknown", Message: "Unknown scope " + name + ".", Remedy: "Some of " + oneOf(Scopes) + "."})
		}
	}
	if len(scopes) == 0 {
		return nil, fault.New(fault.Invalid, "auth.scope_missing", "A key needs at least one scope; the scopes are %s.", oneOf(Scopes)).
			At(fault.Field{Pointer: "/scopes", Code: "auth.scope_missing", Message: "No scope is given.", Remedy: "Some of " + oneOf(Scopes) + "."})
	}
	return scopes, nil
}

// scopesWith lists the scopes that allow the permission.
func scopesWith(p Permission) []Scope {
	return slices.DeleteFunc(slices.Clone(AllScopes), func(s Scope) bool { return !s.May(p) })
}

// oneOf joins names for a message: "owner, admin or editor".
func oneOf[S ~string](names []S) string {
	var b strings.Builder
	for i, n := range names {
		switch {
		case i == 0:
		case i == len(names)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(string(n))
	}
	return b.String()
}
