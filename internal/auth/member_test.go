// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
)

func TestRolesAreChanged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	_, ada := b.person(t, "Ada")
	owner := ada.Principal(home)
	_, graceSession := b.colleague(t, owner, "Grace", auth.Admin)
	token, bobSession := b.colleague(t, owner, "Bob", auth.Viewer)
	admin, bob := graceSession.Principal(home), bobSession.Member.ID

	_, err := b.ChangeRole(ctx, bobSession.Principal(home), bob, auth.Admin, 0)
	want(t, err, "auth.forbidden")
	changed, err := b.ChangeRole(ctx, admin, bob, auth.Editor, 1)
	must(t, err)
	if changed.Role != auth.Editor || changed.Version != 2 {
		t.Errorf("changed to %+v", changed)
	}
	_, err = b.ChangeRole(ctx, admin, bob, auth.Viewer, 1)
	want(t, err, "auth.version_stale")
	s, err := b.BySession(ctx, token)
	must(t, err)
	if err := s.Principal(home).May(auth.EditServices); err != nil {
		t.Errorf("the new role does not count at once: %v", err)
	}
	if _, err := b.ChangeRole(ctx, admin, bob, auth.Finance, 0); err != nil {
		t.Errorf("an admin gives the role finance: %v", err)
	}
	_, err = b.ChangeRole(ctx, admin, bob, auth.Owner, 0)
	want(t, err, "auth.owners_only")
	_, err = b.ChangeRole(ctx, admin, ada.Member.ID, auth.Viewer, 0)
	want(t, err, "auth.owners_only")
	want(t, b.Remove(ctx, admin, ada.Member.ID, 0), "auth.owners_only")
	_, _, err = b.Invite(ctx, admin, "eve@example.com", auth.Owner)
	want(t, err, "auth.owners_only")
	_, err = b.ChangeRole(ctx, owner, bob, "king", 0)
	want(t, err, "auth.role_unknown")
	_, err = b.ChangeRole(ctx, owner, ada.Member.ID, auth.Admin, 0)
	want(t, err, "auth.last_owner")
	want(t, b.Remove(ctx, owner, ada.Member.ID, 0), "auth.last_owner")
	_, err = b.ChangeRole(ctx, owner, bob, auth.Owner, 0)
	must(t, err)
	_, err = b.ChangeRole(ctx, owner, ada.Member.ID, auth.Admin, 0)
	must(t, err)

	list, err := b.Members(ctx, admin, auth.UserID{}, 0)
	if err != nil || len(list) != 3 {
		t.Fatalf("the members are %+v, %v", list, err)
	}
	if page, err := b.Members(ctx, admin, list[0].ID, 1); err != nil || len(page) != 1 || page[0] != list[1] {
		t.Errorf("the second page is %+v, %v", page, err)
	}
	var details []string
	for _, e := range b.entries(t, owner) {
		if e.Action == "member.role_changed" {
			details = append(details, string(e.Detail))
		}
	}
	if len(details) != 4 || details[0] != `{"after":"editor","before":"viewer","email":"bob@example.com"}` {
		t.Errorf("the audit log holds %v", details)
	}
}

func TestMembersOfOthersAreNotThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	_, ada := b.person(t, "Ada")
	_, grace := b.person(t, "Grace")
	owner := ada.Principal(home)
	_, err := b.Member(ctx, owner, grace.Member.ID)
	want(t, err, "auth.member_not_found")
	_, err = b.ChangeRole(ctx, owner, grace.Member.ID, auth.Viewer, 0)
	want(t, err, "auth.member_not_found")
	want(t, b.Remove(ctx, owner, grace.Member.ID, 0), "auth.member_not_found")
	_, key, err := b.CreateKey(ctx, grace.Principal(home), "hers", []auth.Scope{auth.ScopeRead}, time.Time{})
	must(t, err)
	_, err = b.Key(ctx, owner, key.ID)
	want(t, err, "auth.key_not_found")
	_, err = b.RevokeKey(ctx, owner, key.ID, 0)
	want(t, err, "auth.key_not_found")
	_, invitation, err := b.Invite(ctx, grace.Principal(home), "x@example.com", auth.Viewer)
	must(t, err)
	want(t, b.RevokeInvitation(ctx, owner, invitation.ID), "auth.invitation_not_found")
	if keys, err := b.Keys(ctx, owner, auth.KeyID{}, 0); err != nil || len(keys) != 0 {
		t.Errorf("Ada sees the keys %v, %v", keys, err)
	}
	// A principal put together with the wrong tenant does not help either: the key is looked for where it is bound.
	forged := owner
	forged.Tenant = ada.Tenant.ID
	forged.ID = grace.Member.ID.String()
	_, err = b.Key(ctx, forged, key.ID)
	want(t, err, "auth.key_not_found")
}

func TestMembersLeave(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	_, ada := b.person(t, "Ada")
	_, grace := b.colleague(t, ada.Principal(home), "Grace", auth.Viewer)
	_, bob := b.colleague(t, ada.Principal(home), "Bob", auth.Viewer)
	want(t, b.Remove(ctx, grace.Principal(home), bob.Member.ID, 0), "auth.forbidden")
	must(t, b.Remove(ctx, grace.Principal(home), grace.Member.ID, 0))
	want(t, b.Remove(ctx, ada.Principal(home), grace.Member.ID, 0), "auth.member_not_found")
}

// Two owners demote each other at the same moment, again and again: one of them always stays an owner.
func TestTheLastOwnerStays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	_, ada := b.person(t, "Ada")
	_, grace := b.colleague(t, ada.Principal(home), "Grace", auth.Owner)
	pair := []auth.Session{ada, grace}
	for round := range 10 {
		var both sync.WaitGroup
		results := make([]error, 2)
		for i := range pair {
			both.Go(func() {
				if round%2 == 0 {
					_, results[i] = b.ChangeRole(ctx, pair[i].Principal(home), pair[1-i].Member.ID, auth.Admin, 0)
				} else {
					results[i] = b.Remove(ctx, pair[i].Principal(home), pair[1-i].Member.ID, 0)
				}
			})
		}
		both.Wait()
		won := slices.Index(results, nil)
		if won < 0 || results[1-won] == nil {
			t.Fatalf("round %d: %v; want one of the two to succeed", round, results)
		}
		if owners := b.text(t, "SELECT count(*)::text FROM members WHERE role = 'owner'"); owners != "1" {
			t.Fatalf("round %d: %s owners are left", round, owners)
		}
		// Put back what was.
		winner, loser := pair[won], pair[1-won]
		if round%2 == 0 {
			_, err := b.ChangeRole(ctx, winner.Principal(home), loser.Member.ID, auth.Owner, 0)
			must(t, err)
		} else {
			link, _, err := b.Invite(ctx, winner.Principal(home), loser.Member.Email, auth.Owner)
			must(t, err)
			_, s, err := b.Accept(ctx, link, "", password, home)
			must(t, err)
			pair[1-won] = s
		}
	}
}

func TestInvitations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	_, ada := b.person(t, "Ada")
	owner := ada.Principal(home)

	link, invitation, err := b.Invite(ctx, owner, "grace@example.com", auth.Editor)
	must(t, err)
	offer, err := b.Offer(ctx, link)
	must(t, err)
	if offer.TenantName != "Ada Ltd" || offer.Role != auth.Editor || offer.Known || offer.Email != "grace@example.com" {
		t.Errorf("the offer is %+v", offer)
	}
	_, _, err = b.Accept(ctx, link, "", "short", home)
	want(t, err, "auth.input_invalid")
	token, grace, err := b.Accept(ctx, link, "Grace", password, home)
	must(t, err)
	if grace.Member.Role != auth.Editor || grace.Tenant.ID != ada.Tenant.ID {
		t.Errorf("accepted as %+v", grace)
	}
	if _, err := b.BySession(ctx, token); err != nil {
		t.Error(err)
	}
	_, _, err = b.Accept(ctx, link, "Eve", password, home)
	want(t, err, "auth.invitation_over")
	want(t, b.RevokeInvitation(ctx, owner, invitation.ID), "auth.invitation_accepted")
	_, _, err = b.Invite(ctx, owner, "GRACE@example.com", auth.Viewer)
	want(t, err, "auth.already_member")

	revoked, i, err := b.Invite(ctx, owner, "bob@example.com", auth.Viewer)
	must(t, err)
	must(t, b.RevokeInvitation(ctx, owner, i.ID))
	_, _, err = b.Accept(ctx, revoked, "Bob", password, home)
	want(t, err, "auth.invitation_not_found")

	late, _, err := b.Invite(ctx, owner, "bob@example.com", auth.Viewer)
	must(t, err)
	b.forward(7 * 24 * time.Hour)
	_, _, err = b.Accept(ctx, late, "Bob", password, home)
	want(t, err, "auth.invitation_over")

	// Somebody with an account proves who they are; somebody signed in as another cannot take the seat.
	_, bob := b.person(t, "Bobby")
	forBobby, _, err := b.Invite(ctx, owner, "bobby@example.com", auth.Finance)
	must(t, err)
	if offer, err := b.Offer(ctx, forBobby); err != nil || !offer.Known {
		t.Errorf("the offer to somebody with an account is %+v, %v", offer, err)
	}
	_, err = b.AcceptAs(ctx, grace, forBobby, home)
	want(t, err, "auth.invitation_for_other")
	_, _, err = b.Accept(ctx, forBobby, "Bobby", "wrong horse battery", home)
	want(t, err, "auth.credentials_wrong")
	_, s, err := b.Accept(ctx, forBobby, "", password, home)
	must(t, err)
	if s.Member.ID != bob.Member.ID || s.Tenant.ID != ada.Tenant.ID || s.Member.Role != auth.Finance {
		t.Errorf("accepted as %+v", s)
	}
	for _, nonsense := range []auth.Token{"", "x", link[:len(link)-2], "Z" + link[1:], link + "AAAA"} {
		_, err := b.Offer(ctx, nonsense)
		want(t, err, "auth.invitation_not_found")
	}
	list, err := b.Invitations(ctx, owner, auth.InvitationID{}, 0)
	if err != nil || len(list) != 3 || list[0].AcceptedAt.IsZero() || list[1].Open(ada.CreatedAt.Add(8*24*time.Hour)) || list[0].InvitedBy != ada.Member.ID.String() {
		t.Errorf("the invitations are %+v, %v", list, err)
	}
	acts := strings.Join(b.acts(t, owner), " ")
	for _, act := range []string{"invitation.created", "invitation.accepted", "invitation.revoked"} {
		if !strings.Contains(acts, act) {
			t.Errorf("%s is not in the audit log: %s", act, acts)
		}
	}
	_, _, err = b.Invite(ctx, grace.Principal(home), "x@example.com", auth.Viewer)
	want(t, err, "auth.forbidden")
}

func TestAnInvitationIsAcceptedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	_, ada := b.person(t, "Ada")
	link, _, err := b.Invite(ctx, ada.Principal(home), "grace@example.com", auth.Editor)
	must(t, err)
	var all sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		all.Go(func() { _, _, results[i] = b.Accept(ctx, link, "Grace", password, home) })
	}
	all.Wait()
	accepted := 0
	for _, err := range results {
		switch {
		case err == nil:
			accepted++
		case !fault.IsCode(err, "auth.invitation_over"):
			t.Errorf("got %v", err)
		}
	}
	if accepted != 1 {
		t.Errorf("it was accepted %d times", accepted)
	}
}

func TestTenantIsRevised(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	_, ada := b.person(t, "Ada")
	owner := ada.Principal(home)
	revised, err := b.ReviseTenant(ctx, owner, "Analytical Engines", "Europe/London", 1)
	must(t, err)
	read, err := b.Tenant(ctx, owner)
	if err != nil || read != revised || read.Name != "Analytical Engines" || read.TimeZone != "Europe/London" || read.Version != 2 || read.Slug != "ada-ltd" {
		t.Errorf("read %+v, %v", read, err)
	}
	_, err = b.ReviseTenant(ctx, owner, "X", "", 1)
	want(t, err, "auth.version_stale")
	_, err = b.ReviseTenant(ctx, owner, "", "Local", 2)
	want(t, err, "auth.input_invalid")
	if same, err := b.ReviseTenant(ctx, owner, "", "", 2); err != nil || same != revised {
		t.Errorf("nothing to change: %+v, %v", same, err)
	}
	_, grace := b.colleague(t, owner, "Grace", auth.Admin)
	_, err = b.ReviseTenant(ctx, grace.Principal(home), "X", "", 0)
	want(t, err, "auth.forbidden")
	_, err = b.AuditTrail(ctx, auth.Principal{Kind: auth.KindMember, Role: auth.Editor, Tenant: ada.Tenant.ID}, auditAll)
	want(t, err, "auth.forbidden")
	for _, e := range b.entries(t, owner) {
		if e.Action == "tenant.revised" && string(e.Detail) != `{"after":{"name":"Analytical Engines","timeZone":"Europe/London"},"before":{"name":"Ada Ltd","timeZone":"UTC"}}` {
			t.Errorf("the entry says %s", e.Detail)
		}
	}
}
