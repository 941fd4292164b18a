// SPDX-License-Identifier: Apache-2.0

package web

import (
	"time"

	"github.com/syncline-dev/syncline/web/ui"
)

// SettingsView is what every tab of the settings has.
type SettingsView struct {
	Page     ui.Page
	Tabs     ui.Tabs
	MayEdit  bool           // of what the tab shows
	Problems []ui.ErrorItem // of the form that was refused
	Open     string         // id of the dialog whose form was refused: it is open
}

// MembersView are the members, invitations and what the roles may do.
type MembersView struct {
	SettingsView
	Members     []MemberLine
	Invitations []InvitationLine
	Roles       []RoleLine
	Link        string // of an invitation that was made just now, shown once
	LinkFor     string // whom it is for
	LinkEnds    time.Time
	Email       ui.Field
	Role        ui.Select
}

// MemberLine is one member.
type MemberLine struct {
	ID      string
	Name    string
	Email   string
	Role    string
	Since   time.Time
	You     bool
	Version string
	May     bool // the reader may change this one
}

// InvitationLine is an invitation.
type InvitationLine struct {
	ID      string
	Email   string
	Role    string
	State   string // "open", "accepted", "expired"
	Made    time.Time
	Ends    time.Time
	By      string
	MayUndo bool
}

// RoleLine is one permission and the roles that have it, in the order owner, admin, editor, finance, viewer.
type RoleLine struct {
	Permission string
	Allowed    [5]bool
}

// MemberView is the page on which a member's role is changed.
type MemberView struct {
	SettingsView
	Member MemberLine
	Role   ui.Radios
}

// KeysView are the API keys.
type KeysView struct {
	SettingsView
	Keys    []KeyLine
	NewKey  string // shown once, right after it was made
	NewName string
	Name    ui.Field
	Scopes  []ui.Check
	ScopeAt string // what is wrong with the scopes
	Expires ui.Select
}

// KeyLine is one API key; the key itself is never kept.
type KeyLine struct {
	ID        string
	Name      string
	Last4     string
	Prefix    string // "sl_live_"
	Scopes    []string
	State     string // "active", "expired", "revoked"
	CreatedBy string
	CreatedAt time.Time
	UsedAt    time.Time
	ExpiresAt time.Time
	Version   string
	MayRevoke bool
}

// SecretsView are the secrets.
type SecretsView struct {
	SettingsView
	Secrets []SecretLine
	Name    ui.Field
	Value   ui.Area
}

// SecretLine is one secret that documents refer to as ${NAME}.
type SecretLine struct {
	Name      string
	Href      string
	UsedBy    []ui.Line // services and connections
	ChangedAt time.Time
	ChangedBy string
	Version   string
}

// SecretView is the page of one secret: its value is replaced or removed, never shown.
type SecretView struct {
	SettingsView
	Secret SecretLine
	Value  ui.Area
}

// TenantView is the tenant's own settings.
type TenantView struct {
	SettingsView
	Name    ui.Field
	Zone    ui.Field
	Zones   []string // suggestions
	Facts   []ui.KeyValue
	Version string
}

// AuditView is the audit log.
type AuditView struct {
	SettingsView
	Filter  ui.FilterBar
	Entries []AuditLine
	Pager   ui.Pager
	Report  *ui.Alert // what checking the chain found
}

// AuditLine is one act.
type AuditLine struct {
	ID      string
	Seq     int64
	At      time.Time
	Who     string
	Kind    string // "member", "key", "system", "operator"
	Action  string
	Subject string
	Href    string // to the subject
	Detail  string // as JSON
	From    string // IP address
	Request string
}

// AccountView is what belongs to the person, not the tenant: password and sessions.
type AccountView struct {
	SettingsView
	Sessions []SessionLine
	Password ui.Field
	Fresh    ui.Field
	Email    string
}

// SessionLine is one browser in which the person is signed in.
type SessionLine struct {
	ID      string
	Browser string
	Agent   string // the whole of what the browser says of itself
	IP      string
	Since   time.Time
	Seen    time.Time
	Ends    time.Time
	Here    bool // this one
}
