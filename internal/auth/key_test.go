// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
)

var auditAll = audit.Filter{}

func TestKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	_, ada := b.person(t, "Ada")
	owner := ada.Principal(home)
	text, k, err := b.CreateKey(ctx, owner, " deploy  bot ", []auth.Scope{auth.ScopeConnections, auth.ScopeRead}, time.Time{})
	must(t, err)
	if k.Name != "deploy bot" || !strings.HasSuffix(text.Reveal(), k.LastFour) || !k.ExpiresAt.IsZero() {
		t.Errorf("made %+v", k)
	}
	who, err := b.ByKey(ctx, text.Reveal(), home)
	must(t, err)
	if who.Kind != auth.KindKey || who.Tenant != ada.Tenant.ID || who.ID != k.ID.String() || who.Can(auth.EditServices) || !who.Can(auth.EditSecrets) || !who.Can(auth.ViewRecords) {
		t.Errorf("the key stands for %+v", who)
	}
	// Another process, with its own memory, sees the revocation at once.
	elsewhere := b.manager(t)
	_, err = elsewhere.ByKey(ctx, text.Reveal(), home)
	must(t, err)
	_, err = b.RevokeKey(ctx, owner, k.ID, 9)
	want(t, err, "auth.version_stale")
	gone, err := b.RevokeKey(ctx, owner, k.ID, 1)
	if err != nil || gone.RevokedAt.IsZero() || gone.Version != 2 {
		t.Errorf("revoked: %+v, %v", gone, err)
	}
	_, err = elsewhere.ByKey(ctx, text.Reveal(), home)
	want(t, err, "auth.key_revoked")
	_, err = b.RevokeKey(ctx, owner, k.ID, 0)
	want(t, err, "auth.key_already_revoked")

	brief, _, err := b.CreateKey(ctx, owner, "brief", []auth.Scope{auth.ScopeRead}, ada.CreatedAt.Add(time.Hour))
	must(t, err)
	b.forward(time.Hour - time.Second)
	_, err = b.ByKey(ctx, brief.Reveal(), home)
	must(t, err)
	b.forward(time.Second)
	_, err = b.ByKey(ctx, brief.Reveal(), home)
	want(t, err, "auth.key_expired")

	list, err := b.Keys(ctx, owner, auth.KeyID{}, 0)
	if err != nil || len(list) != 2 || list[0].Name != "deploy bot" || list[0].RevokedAt.IsZero() || len(list[0].Scopes) != 2 {
		t.Errorf("the keys are %+v, %v", list, err)
	}
	acts := strings.Join(b.acts(t, owner), " ")
	if acts != "tenant.created session.started key.created key.revoked key.created" {
		t.Errorf("the audit log holds %s", acts)
	}
}

func TestKeysAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	_, ada := b.person(t, "Ada")
	owner := ada.Principal(home)
	text, _, err := b.CreateKey(ctx, owner, "k", []auth.Scope{auth.ScopeAdmin}, time.Time{})
	must(t, err)
	for _, tt := range []struct{ name, key string }{
		{"nothing", ""}, {"a word", "hello"}, {"cut", text.Reveal()[:len(text)-1]}, {"longer", text.Reveal() + "0"},
		{"in capitals", strings.ToUpper(text.Reveal())}, {"for the sandbox", auth.TestPrefix + text.Reveal()[len(auth.LivePrefix):]},
		{"with a NUL", text.Reveal()[:20] + "\x00" + text.Reveal()[21:]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := b.ByKey(ctx, tt.key, home)
			want(t, err, "auth.key_malformed")
		})
	}
	other := setup(t) // a key of another installation is well formed and unknown
	_, grace := other.person(t, "Grace")
	foreign, _, err := other.CreateKey(ctx, grace.Principal(home), "k", []auth.Scope{auth.ScopeAdmin}, time.Time{})
	must(t, err)
	_, err = b.ByKey(ctx, foreign.Reveal(), home)
	want(t, err, "auth.key_unknown")
	b.exec(t, "UPDATE tenants SET state = 'suspended'")
	_, err = b.ByKey(ctx, text.Reveal(), home)
	want(t, err, "auth.tenant_suspended")

	_, _, err = b.CreateKey(ctx, owner, "", []auth.Scope{auth.ScopeRead}, time.Time{})
	want(t, err, "auth.input_invalid")
	_, _, err = b.CreateKey(ctx, owner, "k", nil, time.Time{})
	want(t, err, "auth.scope_missing")
	_, _, err = b.CreateKey(ctx, owner, "k", []auth.Scope{"all"}, time.Time{})
	want(t, err, "auth.scope_unknown")
	_, _, err = b.CreateKey(ctx, owner, "k", []auth.Scope{auth.ScopeRead}, ada.CreatedAt)
	want(t, err, "auth.input_invalid")
	_, _, err = b.CreateKey(ctx, auth.Principal{Kind: auth.KindMember, Role: auth.Editor, Tenant: ada.Tenant.ID}, "k", []auth.Scope{auth.ScopeRead}, time.Time{})
	want(t, err, "auth.forbidden")
}

func TestAKeyMayManageButNotMakeOwners(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	_, ada := b.person(t, "Ada")
	text, _, err := b.CreateKey(ctx, ada.Principal(home), "terraform", []auth.Scope{auth.ScopeAdmin}, time.Time{})
	must(t, err)
	key, err := b.ByKey(ctx, text.Reveal(), home)
	must(t, err)
	_, invitation, err := b.Invite(ctx, key, "grace@example.com", auth.Admin)
	if err != nil || invitation.InvitedBy != key.ID {
		t.Errorf("invited %+v, %v", invitation, err)
	}
	_, _, err = b.Invite(ctx, key, "eve@example.com", auth.Owner)
	want(t, err, "auth.owners_only")
	want(t, b.Remove(ctx, key, ada.Member.ID, 0), "auth.owners_only")
	if last := b.entries(t, key)[3]; last.ActorKind != "key" || last.ActorID != key.ID || last.ActorName != "terraform" || last.RequestID != "req_1" {
		t.Errorf("the entry is %+v", last)
	}
}

// The last use is noted, but not more often than once a minute, however busy the key is.
func TestLastUseIsNotedOnceAMinute(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	_, ada := b.person(t, "Ada")
	owner := ada.Principal(home)
	text, k, err := b.CreateKey(ctx, owner, "k", []auth.Scope{auth.ScopeRead}, time.Time{})
	must(t, err)
	b.exec(t, `CREATE TABLE writes (n int); GRANT INSERT ON writes TO syncline_operator;
		CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO writes VALUES (1); RETURN NEW; END';
		CREATE TRIGGER note AFTER UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION note()`)
	start := ada.CreatedAt
	for range 120 { // two minutes, a use a second
		b.forward(time.Second)
		_, err := b.ByKey(ctx, text.Reveal(), home)
		must(t, err)
	}
	if n := b.text(t, "SELECT count(*)::text FROM writes"); n != "2" {
		t.Errorf("120 uses in two minutes were written %s times, want 2", n)
	}
	read, err := b.Key(ctx, owner, k.ID)
	must(t, err)
	if !read.LastUsedAt.Equal(start.Add(61*time.Second)) || read.Version != 1 {
		t.Errorf("last used at %v, version %d", read.LastUsedAt, read.Version)
	}
}
