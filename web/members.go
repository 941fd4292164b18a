// SPDX-License-Identifier: Apache-2.0

package web

import (
	"slices"
	"strconv"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesMembers(r chi.Router) {
	r.Get("/settings", h.page(h.members))
	r.Post("/settings/invitations", h.page(h.invite))
	r.Post("/settings/invitations/{invitation}:revoke", h.page(h.revokeInvitation))
	r.Get("/settings/members/{member}", h.page(h.member))
	r.Post("/settings/members/{member}", h.page(h.changeRole))
	r.Post("/settings/members/{member}:remove", h.page(h.removeMember))
}

var permissionTexts = map[auth.Permission]string{
	auth.ViewServices: "See services, documents, runs and figures", auth.EditServices: "Make and change services", auth.RunServices: "Run, pause and resume services",
	auth.ViewRecords: "See what is in records, conflicts and dead letters", auth.EditRecords: "Write records", auth.ResolveConflicts: "Decide conflicts", auth.RedriveDeadLetters: "Try dead letters again, or give them up",
	auth.ViewConnections: "See connections and their health", auth.EditConnections: "Make, change and test connections",
	auth.ViewSecrets: "See the names of secrets", auth.EditSecrets: "Set and delete secrets",
	auth.ViewMembers: "See members and roles", auth.EditMembers: "Invite and remove members, change roles",
	auth.ViewKeys: "See API keys", auth.EditKeys: "Make and revoke API keys",
	auth.ViewUsage: "See usage", auth.ViewInvoices: "See prices and invoices", auth.EditInvoices: "Review and approve invoices",
	auth.ViewAudit: "See and check the audit log", auth.ViewTenant: "See the tenant's settings", auth.EditTenant: "Change the tenant's settings",
}

var roleTexts = map[auth.Role]string{
	auth.Owner: "everything, the tenant's own settings included", auth.Admin: "members, keys, secrets, connections, and all that an editor may", auth.Editor: "services and what happens in them",
	auth.Finance: "money and what it was charged for, and no contents of records", auth.Viewer: "looks, changes nothing",
}

func roleOptions(who auth.Principal) (options []ui.Option) {
	for _, r := range auth.Roles {
		if r == auth.Owner && who.Role != auth.Owner {
			continue // only owners make owners
		}
		options = append(options, ui.Option{Value: string(r), Label: ui.Words(string(r)), Hint: ui.Words(roleTexts[r])})
	}
	return options
}

func (h *Handler) members(v *visit) error {
	view, err := v.membersView()
	if err != nil {
		return err
	}
	return v.render(MembersPage(view))
}

func (v *visit) membersView() (view MembersView, err error) {
	members, err := v.h.Auth.Members(v.ctx(), v.who, auth.UserID{}, 0)
	if err != nil {
		return view, err
	}
	invitations, err := v.h.Auth.Invitations(v.ctx(), v.who, auth.InvitationID{}, 0)
	if err != nil {
		return view, err
	}
	names, err := v.names()
	if err != nil {
		return view, err
	}
	if view.SettingsView, err = v.settings("/settings", auth.EditMembers); err != nil {
		return view, err
	}
	for _, m := range members {
		view.Members = append(view.Members, v.memberLine(m))
	}
	for _, i := range slices.Backward(invitations) {
		if !i.AcceptedAt.IsZero() {
			continue // a member by now
		}
		line := InvitationLine{ID: i.ID.String(), Email: i.Email, Role: string(i.Role), State: "invited", Made: i.CreatedAt, Ends: i.ExpiresAt, By: named(names, i.InvitedBy), MayUndo: view.MayEdit && (i.Role != auth.Owner || v.who.Role == auth.Owner)}
		if !i.Open(v.now) {
			line.State = "expired"
		}
		view.Invitations = append(view.Invitations, line)
	}
	for _, p := range auth.Permissions() {
		line := RoleLine{Permission: or(permissionTexts[p], string(p))}
		for i, role := range auth.Roles {
			line.Allowed[i] = role.May(p)
		}
		view.Roles = append(view.Roles, line)
	}
	view.Email = ui.Field{Name: "email", Label: "E-mail", Type: "email", Autocomplete: "off", Required: true}
	view.Role = ui.Select{Name: "role", Label: "Role", Value: string(auth.Editor), Options: roleOptions(v.who)}
	return view, nil
}

func (v *visit) memberLine(m auth.Member) MemberLine {
	line := MemberLine{ID: m.ID.String(), Name: m.Name, Email: m.Email, Role: string(m.Role), Since: m.Since, You: m.ID == v.session.Member.ID, Version: strconv.FormatInt(m.Version, 10)}
	line.May = v.can(auth.EditMembers) && (m.Role != auth.Owner || v.who.Role == auth.Owner)
	return line
}

// invite makes an invitation and shows its link, this once.
func (h *Handler) invite(v *visit) error {
	email, role := v.form("email"), v.form("role")
	token, i, err := h.Auth.Invite(v.ctx(), v.who, email, auth.Role(role))
	if err != nil && !refused(err) {
		return err
	}
	view, readErr := v.membersView()
	if readErr != nil {
		return readErr
	}
	if err != nil {
		at, rest := errorsAt(err)
		view.Email.Value, view.Email.Error = email, at["/email"]
		view.Role.Value, view.Role.Error = role, at["/role"]
		if rest != "" {
			view.Email.Error = rest
		}
		view.Open = "invite"
		return v.renderAs(statusOf(err), MembersPage(view))
	}
	view.Link, view.LinkFor, view.LinkEnds = v.base()+"/invitations/"+token.Reveal(), i.Email, i.ExpiresAt
	return v.render(MembersPage(view))
}

func (h *Handler) revokeInvitation(v *visit) error {
	id, err := auth.ParseInvitationID(v.param("invitation"))
	if err != nil {
		return err
	}
	if err := h.Auth.RevokeInvitation(v.ctx(), v.who, id); err != nil {
		return v.backTo("/settings", err)
	}
	v.flash(ui.OK, "The invitation was taken back; its link is worth nothing.")
	return v.redirect("/settings")
}

// backTo leads back to a list with what kept an act from being done; faults that have a page of their own keep it.
func (v *visit) backTo(path string, err error) error {
	if !refused(err) {
		return err
	}
	v.flash(ui.Bad, fault.As(err).Message)
	return v.redirect(path)
}

func (v *visit) memberOf() (auth.Member, error) {
	id, err := auth.ParseUserID(v.param("member"))
	if err != nil {
		return auth.Member{}, err
	}
	return v.h.Auth.Member(v.ctx(), v.who, id)
}

func (h *Handler) member(v *visit) error {
	m, err := v.memberOf()
	if err != nil {
		return err
	}
	if err := v.who.May(auth.EditMembers); err != nil {
		return err
	}
	return v.memberPage(200, m, string(m.Role), nil)
}

func (v *visit) memberPage(status int, m auth.Member, role string, problems []ui.ErrorItem) (err error) {
	view := MemberView{Member: v.memberLine(m), Role: ui.Radios{Name: "role", Legend: "Role", Value: role, Options: roleOptions(v.who)}}
	if view.SettingsView, err = v.settings("/settings", auth.EditMembers, m.Name); err != nil {
		return err
	}
	view.Problems = problems
	return v.renderAs(status, MemberPage(view))
}

func (h *Handler) changeRole(v *visit) error {
	m, err := v.memberOf()
	if err != nil {
		return err
	}
	version, _ := strconv.ParseInt(v.form("version"), 10, 64) // 0 for whatever is there
	changed, err := h.Auth.ChangeRole(v.ctx(), v.who, m.ID, auth.Role(v.form("role")), version)
	if refused(err) {
		return v.memberPage(statusOf(err), m, v.form("role"), []ui.ErrorItem{{Text: fault.As(err).Message}})
	}
	if err != nil {
		return err
	}
	v.flash(ui.OK, changed.Name+" is now "+string(changed.Role)+".")
	return v.redirect("/settings")
}

func (h *Handler) removeMember(v *visit) error {
	m, err := v.memberOf()
	if err != nil {
		return err
	}
	version, _ := strconv.ParseInt(v.query("version"), 10, 64) // 0 for whatever is there
	err = h.Auth.Remove(v.ctx(), v.who, m.ID, version)
	if refused(err) {
		return v.memberPage(statusOf(err), m, string(m.Role), []ui.ErrorItem{{Text: fault.As(err).Message}})
	}
	if err != nil {
		return err
	}
	if m.ID == v.session.Member.ID {
		v.forget()
		return v.redirect("/sign-in")
	}
	v.flash(ui.OK, m.Name+" was removed. What they can still do ends with their next click.")
	return v.redirect("/settings")
}
