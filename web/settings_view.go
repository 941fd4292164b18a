// SPDX-License-Identifier: Apache-2.0

package web

import (
	"time"

	"github.com/syncline-dev/syncline/web/ui"
)

// SettingsView is the settings page: one tab of it at a time.
type SettingsView struct {
	Page    ui.Page
	Tab     string // "members", "keys" or "secrets"
	Members []MemberLine
	Roles   []RoleLine
	Keys    []KeyLine
	Secrets []SecretLine
	NewKey  string // shown once, right after it was made
	MayEdit bool
	Why     string
}

// MemberLine is one member or invitation.
type MemberLine struct {
	ID     string
	Name   string
	Email  string
	Role   string
	State  string // "active", "invited"
	SeenAt time.Time
	You    bool
}

// RoleLine is one permission and the roles that have it, in the order owner, admin, editor, finance, viewer.
type RoleLine struct {
	Permission string
	Allowed    [5]bool
}

// KeyLine is one API key; the key itself is never kept.
type KeyLine struct {
	ID        string
	Name      string
	Last4     string
	Prefix    string // "sl_live_"
	Scopes    []string
	CreatedBy string
	CreatedAt time.Time
	UsedAt    time.Time
	ExpiresAt time.Time
}

// SecretLine is one secret that documents refer to as ${NAME}.
type SecretLine struct {
	Name      string
	UsedBy    []string
	ChangedAt time.Time
	ChangedBy string
}

func (v SettingsView) tabs() ui.Tabs {
	return ui.Tabs{Label: "Settings", Items: []ui.Tab{
		{Label: "Members", Href: "/settings", Current: v.Tab == "members" || v.Tab == ""},
		{Label: "API keys", Href: "/settings/keys", Current: v.Tab == "keys"},
		{Label: "Secrets", Href: "/settings/secrets", Current: v.Tab == "secrets"},
	}}
}

var roleNames = [5]string{"owner", "admin", "editor", "finance", "viewer"}

func roleOptions() (options []ui.Option) {
	for _, r := range roleNames {
		options = append(options, ui.Option{Value: r, Label: ui.Words(r)})
	}
	return options
}
