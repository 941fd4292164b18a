// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
)

func TestSignUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	token, s := b.person(t, "Ada")
	if s.Member.Role != auth.Owner || s.Tenant.Slug != "ada-ltd" || s.Tenant.TimeZone != "UTC" || s.Tenant.State != tenant.Active {
		t.Errorf("signed up as %+v in %+v", s.Member, s.Tenant)
	}
	back, err := b.BySession(t.Context(), token)
	must(t, err)
	who := back.Principal(home)
	if back.Tenant.ID != s.Tenant.ID || back.Member.ID != s.Member.ID || who.May(auth.EditTenant) != nil {
		t.Errorf("the cookie leads to %+v", back)
	}
	if acts := b.acts(t, who); !slices.Equal(acts, []string{"tenant.created", "session.started"}) {
		t.Errorf("the audit log holds %v", acts)
	}
	if first := b.entries(t, who)[0]; first.ActorID != s.Member.ID.String() || first.ActorName != "Ada" || first.ActorKind != "member" || !strings.HasPrefix(first.Subject, "ten_") {
		t.Errorf("the first entry is %+v", first)
	}
	// The tenant has a key of its own.
	must(t, b.db.InTenant(t.Context(), s.Tenant.ID, func(tx *store.Tx) error {
		key, err := tx.TenantKey(t.Context())
		if err != nil {
			return err
		}
		_, err = storetest.Vault(t).Seal(key, s.Tenant.ID, "secret/X", []byte("x"))
		return err
	}))

	_, _, err = b.SignUp(t.Context(), auth.NewAccount{Email: "ADA@Example.com", Name: "Eve", Password: password, TenantName: "Eve"}, home)
	want(t, err, "auth.email_taken")
	if n := b.text(t, "SELECT count(*)::text FROM tenants"); n != "1" {
		t.Errorf("the refused sign-up left %s tenants, want 1", n)
	}
	_, other, err := b.SignUp(t.Context(), auth.NewAccount{Email: "eve@example.com", Name: "Eve", Password: password, TenantName: "Ada Ltd", TimeZone: "Europe/Berlin"}, home)
	must(t, err)
	if !strings.HasPrefix(other.Tenant.Slug, "ada-ltd-") || other.Tenant.TimeZone != "Europe/Berlin" {
		t.Errorf("the second tenant of that name is %+v", other.Tenant)
	}
}

func TestSignUpRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, _, err := b.SignUp(t.Context(), auth.NewAccount{Email: "ada", Name: " ", Password: "short", TenantName: "a\x00b", TimeZone: "Mars/Olympus"}, home)
	want(t, err, "auth.input_invalid")
	var places []string
	for _, f := range fault.As(err).Fields {
		places = append(places, f.Pointer)
	}
	slices.Sort(places)
	if !slices.Equal(places, []string{"/email", "/name", "/password", "/tenantName", "/timeZone"}) {
		t.Errorf("the faulty fields are %v", places)
	}
	closed := b.manager(t, func(o *auth.Options) { o.SignUpClosed = true })
	_, _, err = closed.SignUp(t.Context(), auth.NewAccount{Email: "ada@example.com", Name: "Ada", Password: password, TenantName: "Ada"}, home)
	want(t, err, "auth.sign_up_closed")
	for i := range 21 {
		_, _, err = b.SignUp(t.Context(), auth.NewAccount{Email: fmt.Sprintf("p%d@example.com", i), Name: "P", Password: password, TenantName: "P"}, home)
		if (i < 20) != (err == nil) {
			t.Fatalf("sign-up %d from one place: %v", i+1, err)
		}
	}
	want(t, err, "auth.too_many_attempts")
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, up := b.person(t, "Ada")
	ctx := t.Context()
	token, s, err := b.SignIn(ctx, " ADA@example.com ", password, auth.Caller{IP: "192.0.2.7", UserAgent: "B\x00r\xff" + strings.Repeat("ü", 300)})
	must(t, err)
	if s.Member.ID != up.Member.ID || s.Tenant.ID != up.Tenant.ID || s.ID == up.ID {
		t.Errorf("signed in as %+v", s)
	}
	if _, err := b.BySession(ctx, token); err != nil {
		t.Error(err)
	}
	_, _, wrong := b.SignIn(ctx, "ada@example.com", "wrong horse battery", home)
	_, _, unknown := b.SignIn(ctx, "nobody@example.com", "wrong horse battery", home)
	_, _, nonsense := b.SignIn(ctx, "no\x00thing"+strings.Repeat("x", 10_000), strings.Repeat("y", 100_000), home)
	for what, err := range map[string]error{"a wrong password": wrong, "an unknown address": unknown, "nonsense": nonsense} {
		want(t, err, "auth.credentials_wrong")
		if err.Error() != wrong.Error() {
			t.Errorf("%s is answered %q, a wrong password %q", what, err, wrong)
		}
	}
	for _, cookie := range []auth.Token{"", "x", token + "A", "A" + token[1:]} {
		if cookie == token {
			continue
		}
		_, err := b.BySession(ctx, cookie)
		want(t, err, "auth.session_ended")
	}
	b.exec(t, "UPDATE tenants SET state = 'suspended'")
	_, err = b.BySession(ctx, token)
	want(t, err, "auth.tenant_suspended")
	_, _, err = b.SignIn(ctx, "ada@example.com", password, home)
	want(t, err, "auth.tenant_suspended")
}

func TestGuessingIsThrottled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.person(t, "Ada")
	ctx := t.Context()
	// All at once: no more than ten may be tried, however they are timed.
	var all sync.WaitGroup
	results := make(chan error, 40)
	for i := range 40 {
		all.Go(func() {
			_, _, err := b.SignIn(ctx, "ada@example.com", fmt.Sprintf("wrong horse %d", i), home)
			results <- err
		})
	}
	all.Wait()
	close(results)
	tried := 0
	for err := range results {
		if fault.IsCode(err, "auth.credentials_wrong") {
			tried++
		} else {
			want(t, err, "auth.too_many_attempts")
		}
	}
	if tried != 10 {
		t.Errorf("%d guesses were tried, want 10", tried)
	}
	_, _, err := b.SignIn(ctx, "Ada@Example.com", password, home)
	want(t, err, "auth.too_many_attempts")
	if _, _, err := b.SignIn(ctx, "ada@example.com", password, auth.Caller{IP: "192.0.2.99"}); err != nil {
		t.Errorf("Ada herself, from elsewhere: %v", err)
	}
	b.forward(15 * time.Minute)
	for range 9 {
		_, _, err := b.SignIn(ctx, "ada@example.com", "wrong horse battery", home)
		want(t, err, "auth.credentials_wrong")
	}
	if _, _, err := b.SignIn(ctx, "ada@example.com", password, home); err != nil {
		t.Errorf("after 15 minutes and nine mistakes: %v", err)
	}
	_, _, err = b.SignIn(ctx, "ada@example.com", "wrong horse battery", home)
	want(t, err, "auth.credentials_wrong") // the success forgave the nine
}

func TestParallelSignIns(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *auth.Options) { o.Cost = auth.PasswordCost{Memory: 1024, Iterations: 1} })
	b.person(t, "Ada")
	var all sync.WaitGroup
	tokens := make([]auth.Token, 30)
	for i := range tokens {
		all.Go(func() {
			token, s, err := b.SignIn(t.Context(), "ada@example.com", password, auth.Caller{IP: fmt.Sprintf("192.0.2.%d", i)})
			if err != nil {
				t.Error(err)
				return
			}
			tokens[i] = token
			if back, err := b.BySession(t.Context(), token); err != nil || back.ID != s.ID {
				t.Errorf("%v, %v", back.ID, err)
			}
		})
	}
	all.Wait()
	slices.Sort(tokens)
	if n := len(slices.Compact(tokens)); n != 30 {
		t.Errorf("%d different tokens, want 30", n)
	}
}

func TestPasswordIsHashedAgainWhenTheCostChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.person(t, "Ada")
	const hash = "SELECT password_hash FROM users"
	before := b.text(t, hash)
	harder := b.manager(t, func(o *auth.Options) { o.Cost = auth.PasswordCost{Memory: 128, Iterations: 2} })
	_, _, err := harder.SignIn(t.Context(), "ada@example.com", "wrong horse battery", home)
	want(t, err, "auth.credentials_wrong")
	if b.text(t, hash) != before {
		t.Error("a wrong password changed the hash")
	}
	_, _, err = harder.SignIn(t.Context(), "ada@example.com", password, home)
	must(t, err)
	after := b.text(t, hash)
	if !strings.HasPrefix(before, "$argon2id$v=19$m=64,t=1,p=1$") || !strings.HasPrefix(after, "$argon2id$v=19$m=128,t=2,p=1$") {
		t.Errorf("the hash went from %s to %s", before, after)
	}
	_, _, err = harder.SignIn(t.Context(), "ada@example.com", password, home)
	must(t, err)
	if b.text(t, hash) != after {
		t.Error("the hash was made again at the same cost")
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	ctx := t.Context()
	t.Run("30 days after signing in, however busy", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		token, _ := b.person(t, "Ada")
		for range 30 {
			_, err := b.BySession(ctx, token)
			must(t, err)
			b.forward(day)
		}
		_, err := b.BySession(ctx, token)
		want(t, err, "auth.session_ended")
		must(t, b.Tidy(ctx))
		if n := b.text(t, "SELECT count(*)::text FROM sessions"); n != "0" {
			t.Errorf("%s sessions are kept that are over", n)
		}
	})
	t.Run("after 7 days without use", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		token, s := b.person(t, "Ada")
		b.forward(7*day - time.Second)
		back, err := b.BySession(ctx, token)
		must(t, err)
		if !back.SeenAt.After(s.SeenAt) {
			t.Error("the use was not noted")
		}
		b.forward(7*day - time.Second)
		_, err = b.BySession(ctx, token)
		must(t, err)
		b.forward(7 * day)
		_, err = b.BySession(ctx, token)
		want(t, err, "auth.session_ended")
	})
	t.Run("on signing out", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		token, s := b.person(t, "Ada")
		must(t, b.SignOut(ctx, s, home))
		_, err := b.BySession(ctx, token)
		want(t, err, "auth.session_ended")
		must(t, b.SignOut(ctx, s, home)) // again, from another tab
		if acts := b.acts(t, s.Principal(home)); !slices.Equal(acts, []string{"tenant.created", "session.started", "session.ended"}) {
			t.Errorf("the audit log holds %v", acts)
		}
	})
	t.Run("when the member is removed", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, ada := b.person(t, "Ada")
		token, grace := b.colleague(t, ada.Principal(home), "Grace", auth.Editor)
		must(t, b.Remove(ctx, ada.Principal(home), grace.Member.ID, 0))
		_, err := b.BySession(ctx, token)
		want(t, err, "auth.session_ended")
		_, _, err = b.SignIn(ctx, "grace@example.com", password, home)
		want(t, err, "auth.no_tenant")
	})
}

func TestPasswordChangeEndsOtherSessions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	first, here := b.person(t, "Ada")
	second, _, err := b.SignIn(ctx, "ada@example.com", password, home)
	must(t, err)
	want(t, b.ChangePassword(ctx, here, "wrong horse battery", "another good one", home), "auth.password_wrong")
	want(t, b.ChangePassword(ctx, here, password, "short", home), "auth.input_invalid")
	must(t, b.ChangePassword(ctx, here, password, "another good one", home))
	if _, err := b.BySession(ctx, first); err != nil {
		t.Errorf("the session in which it was changed: %v", err)
	}
	_, err = b.BySession(ctx, second)
	want(t, err, "auth.session_ended")
	_, _, err = b.SignIn(ctx, "ada@example.com", password, home)
	want(t, err, "auth.credentials_wrong")
	_, _, err = b.SignIn(ctx, "ada@example.com", "another good one", home)
	must(t, err)
}

func TestOperatorResetsAPassword(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	token, s := b.person(t, "Ada")
	want(t, b.ResetPassword(ctx, "nobody@example.com", "another good one"), "auth.user_not_found")
	want(t, b.ResetPassword(ctx, "ada@example.com", "short"), "auth.input_invalid")
	must(t, b.ResetPassword(ctx, "Ada@example.com", "another good one"))
	_, err := b.BySession(ctx, token)
	want(t, err, "auth.session_ended")
	_, _, err = b.SignIn(ctx, "ada@example.com", "another good one", home)
	must(t, err)
	if acts := b.acts(t, s.Principal(home)); !slices.Contains(acts, "member.password_reset") {
		t.Errorf("the audit log holds %v", acts)
	}
}

func TestSessionsAreListedAndRevoked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	_, here := b.person(t, "Ada")
	_, stranger := b.person(t, "Grace")
	var others []auth.Session
	var tokens []auth.Token
	for i := range 3 {
		b.forward(time.Minute)
		token, s, err := b.SignIn(ctx, "ada@example.com", password, auth.Caller{IP: "198.51.100.1", UserAgent: fmt.Sprintf("Browser %d", i)})
		must(t, err)
		others, tokens = append(others, s), append(tokens, token)
	}
	list, err := b.Sessions(ctx, here)
	must(t, err)
	if len(list) != 4 || list[0].ID != others[2].ID || list[3].ID != here.ID || list[0].UserAgent != "Browser 2" || list[0].Tenant.Name != "Ada Ltd" {
		t.Errorf("the list is %+v", list)
	}
	want(t, b.EndSession(ctx, stranger, others[0].ID, home), "auth.session_not_found")
	must(t, b.EndSession(ctx, here, others[0].ID, home))
	want(t, b.EndSession(ctx, here, others[0].ID, home), "auth.session_not_found")
	_, err = b.BySession(ctx, tokens[0])
	want(t, err, "auth.session_ended")
	if n, err := b.EndOtherSessions(ctx, here, home); err != nil || n != 2 {
		t.Errorf("%d other sessions were ended, %v; want 2", n, err)
	}
	if list, err := b.Sessions(ctx, here); err != nil || len(list) != 1 || list[0].ID != here.ID {
		t.Errorf("left are %+v, %v", list, err)
	}
	if id, err := auth.ParseSessionID(here.ID.String()); err != nil || id != here.ID {
		t.Errorf("%s is read as %v, %v", here.ID, id, err)
	}
}

func TestSwitchingTenants(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	token, ada := b.person(t, "Ada")
	_, grace := b.person(t, "Grace")
	link, _, err := b.Invite(ctx, grace.Principal(home), "ADA@example.com", auth.Viewer)
	must(t, err)
	_, err = b.SwitchTenant(ctx, ada, grace.Tenant.ID, home)
	want(t, err, "auth.not_a_member")
	there, err := b.AcceptAs(ctx, ada, link, home)
	must(t, err)
	if there.Tenant.ID != grace.Tenant.ID || there.Member.Role != auth.Viewer {
		t.Errorf("after accepting: %+v", there)
	}
	back, err := b.BySession(ctx, token)
	must(t, err)
	if back.Tenant.ID != grace.Tenant.ID || back.Principal(home).May(auth.EditServices) == nil {
		t.Errorf("the cookie leads to %+v", back)
	}
	all, err := b.Tenants(ctx, back)
	if err != nil || len(all) != 2 || all[0].Tenant.Name != "Ada Ltd" || all[0].Role != auth.Owner || all[1].Role != auth.Viewer {
		t.Errorf("Ada's tenants are %+v, %v", all, err)
	}
	again, err := b.SwitchTenant(ctx, back, ada.Tenant.ID, home)
	must(t, err)
	if again.Member.Role != auth.Owner || again.Principal(home).Tenant != ada.Tenant.ID {
		t.Errorf("switched back to %+v", again)
	}
	third, err := b.CreateTenant(ctx, again, "Third", "Asia/Tokyo", home)
	must(t, err)
	if all, err := b.Tenants(ctx, again); err != nil || len(all) != 3 {
		t.Errorf("Ada's tenants are %+v, %v", all, err)
	}
	b.exec(t, "UPDATE tenants SET state = 'suspended' WHERE id = $1", third.ID.String())
	_, err = b.SwitchTenant(ctx, again, third.ID, home)
	want(t, err, "auth.tenant_suspended")
	// The first tenant is suspended: signing in leads to another one.
	b.exec(t, "UPDATE tenants SET state = 'suspended' WHERE id = $1", ada.Tenant.ID.String())
	_, s, err := b.SignIn(ctx, "ada@example.com", password, home)
	if err != nil || s.Tenant.ID != grace.Tenant.ID {
		t.Errorf("signed in to %+v, %v", s.Tenant, err)
	}
}

// Each act in the audit log is there with the act, or not at all.
func TestSignUpIsOneTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, "ALTER TABLE audit_log ADD CONSTRAINT broken CHECK (action <> 'tenant.created')")
	_, _, err := b.SignUp(t.Context(), auth.NewAccount{Email: "ada@example.com", Name: "Ada", Password: password, TenantName: "Ada"}, home)
	if err == nil || fault.As(err) != nil {
		t.Fatalf("signing up without an audit log: %v", err)
	}
	for _, table := range []string{"users", "tenants", "members", "sessions", "audit_log", "audit_heads"} {
		if n := b.text(t, "SELECT count(*)::text FROM "+table); n != "0" {
			t.Errorf("%s has %s rows, want none", table, n)
		}
	}
}

func TestTimeoutsAreNotFailures(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.person(t, "Ada")
	ctx, cancel := contextThatIsOver(t)
	defer cancel()
	for range 20 {
		if _, _, err := b.SignIn(ctx, "ada@example.com", password, home); err == nil {
			t.Fatal("signed in with a request that was over")
		}
	}
	if _, _, err := b.SignIn(t.Context(), "ada@example.com", password, home); err != nil {
		t.Errorf("after requests that could not be tried: %v", err)
	}
	if errors.Is(ctx.Err(), nil) {
		t.Error("the request was not over")
	}
}
