// SPDX-License-Identifier: Apache-2.0

package vault_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/vault"
)

// bundle is a database with the operations on it.
type bundle struct {
	url     string
	db      *store.DB
	secrets *vault.Secrets
}

func setup(t *testing.T) *bundle {
	url := storetest.URL(t)
	b := &bundle{url: url, db: storetest.Open(t, url, nil)}
	b.secrets = b.with(storetest.Vault(t))
	return b
}

// with are the same operations in a process with other master keys.
func (b *bundle) with(v *vault.Vault) *vault.Secrets {
	return vault.NewSecrets(v, b.db.Operator(), store.InTx(b.db, func(tx *store.Tx) vault.Tx { return tx }))
}

func withKeys(t *testing.T, keys ...string) *vault.Vault {
	t.Helper()
	m, err := vault.ParseMaster(strings.Join(keys, ","))
	if err != nil {
		t.Fatal(err)
	}
	return vault.New(m)
}

func person(id tenant.ID, role auth.Role) auth.Principal {
	return auth.Principal{Kind: auth.KindMember, ID: "usr_1", Name: "Ada", Tenant: id, Role: role}
}

func (b *bundle) set(t *testing.T, id tenant.ID, name, value string) vault.Secret {
	t.Helper()
	s, err := b.secrets.Set(t.Context(), person(id, auth.Admin), name, value, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantValues(t *testing.T, s *vault.Secrets, id tenant.ID, want map[string]string) {
	t.Helper()
	var names []string
	for name := range want {
		names = append(names, name)
	}
	got, err := s.Resolve(t.Context(), id, names)
	if err != nil {
		t.Fatal(err)
	}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s resolves to %q, want %q", name, got[name], want[name])
		}
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if !fault.IsCode(err, code) {
		t.Errorf("got %v, want the fault %s", err, code)
	}
}

func TestSecretsAreSetListedAndDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, id, other := t.Context(), storetest.Tenant(t, b.db), storetest.Tenant(t, b.db)
	admin := person(id, auth.Admin)

	first := b.set(t, id, "CRM_TOKEN", "one")
	b.set(t, id, "DB_PASSWORD", "geheim ü\x00\xff")
	b.set(t, other, "CRM_TOKEN", "the other's")
	second := b.set(t, id, "CRM_TOKEN", "two")
	if first.Version != 1 || second.Version != 2 || !second.CreatedAt.Equal(first.CreatedAt) || second.SetBy != "usr_1" {
		t.Errorf("set twice: %+v, then %+v", first, second)
	}
	wantValues(t, b.secrets, id, map[string]string{"CRM_TOKEN": "two", "DB_PASSWORD": "geheim ü\x00\xff"})
	wantValues(t, b.secrets, other, map[string]string{"CRM_TOKEN": "the other's"})

	list, err := b.secrets.List(ctx, admin, "", 0)
	if err != nil || len(list) != 2 || list[0].Name != "CRM_TOKEN" || list[1].Name != "DB_PASSWORD" {
		t.Errorf("the list is %+v, %v", list, err)
	}
	if page, err := b.secrets.List(ctx, admin, "CRM_TOKEN", 1); err != nil || len(page) != 1 || page[0].Name != "DB_PASSWORD" {
		t.Errorf("the second page is %+v, %v", page, err)
	}
	_, err = b.secrets.Set(ctx, admin, "CRM_TOKEN", "three", first.Version)
	wantCode(t, err, "vault.version_stale")
	_, err = b.secrets.Set(ctx, admin, "NEW", "x", 1)
	wantCode(t, err, "vault.secret_not_found")
	wantCode(t, b.secrets.Delete(ctx, admin, "CRM_TOKEN", first.Version), "vault.version_stale")
	if err := b.secrets.Delete(ctx, admin, "CRM_TOKEN", second.Version); err != nil {
		t.Fatal(err)
	}
	wantCode(t, b.secrets.Delete(ctx, admin, "CRM_TOKEN", 0), "vault.secret_not_found")
	wantValues(t, b.secrets, other, map[string]string{"CRM_TOKEN": "the other's"})

	_, err = b.secrets.Resolve(ctx, id, []string{"DB_PASSWORD", "CRM_TOKEN", "NO_SUCH", "not a name\x00", "NO_SUCH"})
	wantCode(t, err, "vault.secret_unknown")
	if f := fault.As(err); f != nil && (len(f.Fields) != 3 || !strings.Contains(f.Message, "CRM_TOKEN, NO_SUCH") || strings.Contains(f.Message, "DB_PASSWORD")) {
		t.Errorf("the fault does not name just the unknown ones: %v", f)
	}

	// Each act is in the audit log, and no value is.
	manager := auth.NewManager(b.db.Operator(), store.InTx(b.db, func(tx *store.Tx) auth.Tx { return tx }), storetest.Vault(t), auth.Options{})
	trail, err := manager.VerifyAudit(ctx, admin)
	if err != nil || !trail.Whole() || trail.Entries != 4 {
		t.Errorf("the audit log is %+v, %v; want 4 whole entries", trail, err)
	}
}

func TestSecretsRefuse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := storetest.Tenant(t, b.db)
	for _, tt := range []struct {
		name, secret, value, code string
		role                      auth.Role
	}{
		{"small letters", "crm_token", "x", "vault.secret_name_malformed", auth.Admin},
		{"a digit first", "1TOKEN", "x", "vault.secret_name_malformed", auth.Admin},
		{"a dash", "CRM-TOKEN", "x", "vault.secret_name_malformed", auth.Admin},
		{"a line behind", "CRM\n", "x", "vault.secret_name_malformed", auth.Admin},
		{"no name", "", "x", "vault.secret_name_malformed", auth.Admin},
		{"too long a name", strings.Repeat("A", 101), "x", "vault.secret_name_malformed", auth.Admin},
		{"no value", "CRM_TOKEN", "", "vault.secret_value_malformed", auth.Admin},
		{"too long a value", "CRM_TOKEN", strings.Repeat("x", 64*1024+1), "vault.secret_value_malformed", auth.Admin},
		{"an editor", "CRM_TOKEN", "x", "auth.forbidden", auth.Editor},
		{"finance", "CRM_TOKEN", "x", "auth.forbidden", auth.Finance},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := b.secrets.Set(t.Context(), person(id, tt.role), tt.secret, tt.value, 0)
			wantCode(t, err, tt.code)
		})
	}
	_, err := b.secrets.List(t.Context(), person(id, auth.Viewer), "", 0)
	wantCode(t, err, "auth.forbidden")
}

// A row moved to another name or another tenant, by somebody who can write to the database, opens nothing.
func TestSealedRowsCannotBeMoved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, other := storetest.Tenant(t, b.db), storetest.Tenant(t, b.db)
	b.set(t, id, "MINE", "mine")
	b.set(t, id, "HARMLESS", "shown in clear somewhere")
	b.set(t, other, "THEIRS", "theirs")
	conn := connect(t, b.url)
	for _, tt := range []struct{ name, statement, secret, code string }{
		{"another name", "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE name = 'MINE') WHERE name = 'HARMLESS'", "HARMLESS", "vault.sealed_damaged"},
		{"another tenant's value", "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE name = 'THEIRS') WHERE name = 'HARMLESS'", "HARMLESS", "vault.sealed_damaged"},
		{"another tenant's value with its key", "UPDATE tenants SET sealed_key = (SELECT sealed_key FROM tenants WHERE id = $2) WHERE id = $1", "MINE", "vault.tenant_key_damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := []any{id.String(), other.String()}[:strings.Count(tt.statement, "$")]
			if _, err := conn.Exec(t.Context(), tt.statement, args...); err != nil {
				t.Fatal(err)
			}
			_, err := b.secrets.Resolve(t.Context(), id, []string{tt.secret})
			wantCode(t, err, tt.code)
		})
	}
}

func TestMasterKeyRotation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, fresh := t.Context(), vault.NewMasterKey()
	const n = 230 // more than two batches
	ids := make([]tenant.ID, n)
	for i := range ids {
		ids[i] = storetest.Tenant(t, b.db)
	}
	b.set(t, ids[0], "A", "a")
	b.set(t, ids[n-1], "A", "z")

	both := b.with(withKeys(t, fresh, storetest.MasterKey))
	wantValues(t, both, ids[0], map[string]string{"A": "a"})

	// Stopped halfway: what is done is done, and everything opens, in old processes (told both keys) and new ones.
	stopped, stop := context.WithCancel(ctx)
	_, err := both.RotateMaster(stopped, func(r vault.Rotation) {
		if r.Total != n {
			t.Errorf("the total is %d, want %d", r.Total, n)
		}
		if r.Done == 120 {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("stopped: %v", err)
	}
	laggard := b.with(withKeys(t, storetest.MasterKey, fresh))
	for _, s := range []*vault.Secrets{both, laggard} {
		wantValues(t, s, ids[0], map[string]string{"A": "a"})
		wantValues(t, s, ids[n-1], map[string]string{"A": "z"})
	}

	// Two processes go on at once.
	results := make(chan error, 2)
	var done [2]vault.Rotation
	for i := range 2 {
		go func() {
			r, err := both.RotateMaster(ctx, nil)
			done[i] = r
			results <- err
		}()
	}
	if err := errors.Join(<-results, <-results); err != nil {
		t.Fatal(err)
	}
	if r, err := both.RotateMaster(ctx, nil); err != nil || r.Total != 0 {
		t.Errorf("a rotation after the rotation: %+v, %v", r, err)
	}
	alone := b.with(withKeys(t, fresh)) // the old key is taken out of the configuration
	wantValues(t, alone, ids[0], map[string]string{"A": "a"})
	wantValues(t, alone, ids[n-1], map[string]string{"A": "z"})
	_, err = b.secrets.Resolve(ctx, ids[0], []string{"A"})
	wantCode(t, err, "vault.master_key_missing")
}

// A tenant whose key is damaged does not keep the others from being rotated, and is named.
func TestMasterKeyRotationGoesRoundDamage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	broken, well := storetest.Tenant(t, b.db), storetest.Tenant(t, b.db)
	b.set(t, well, "A", "a")
	if _, err := connect(t, b.url).Exec(t.Context(), "UPDATE tenants SET sealed_key = sealed_key || '\\x00' WHERE id = $1", broken.String()); err != nil {
		t.Fatal(err)
	}
	fresh := vault.NewMasterKey()
	r, err := b.with(withKeys(t, fresh, storetest.MasterKey)).RotateMaster(t.Context(), nil)
	wantCode(t, err, "vault.rotation_incomplete")
	if r.Done != 1 || r.Total != 2 {
		t.Errorf("the rotation came to %+v", r)
	}
	wantValues(t, b.with(withKeys(t, fresh)), well, map[string]string{"A": "a"})
}

func TestTenantKeyRotation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, id := t.Context(), storetest.Tenant(t, b.db)
	conn := connect(t, b.url)
	v := storetest.Vault(t)
	want := map[string]string{}
	for i := range 10 {
		want[fmt.Sprintf("S%d", i)] = fmt.Sprintf("value %d", i)
		b.set(t, id, fmt.Sprintf("S%d", i), want[fmt.Sprintf("S%d", i)])
	}
	connection := uuid.Must(uuid.NewV7())
	err := b.db.InTenant(ctx, id, func(tx *store.Tx) error {
		key, err := tx.TenantKeyToSeal(ctx)
		if err != nil {
			return err
		}
		sealed, err := v.Seal(key, id, vault.ConnectionName(connection), []byte("a password"))
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, `INSERT INTO connections (tenant_id, id, name, connector, settings, sealed, state, created_at, updated_at)
			VALUES ($1, $2, 'crm', 'postgres', '{}', $3, 'healthy', now(), now())`, id.String(), connection, sealed)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // the third drops the key that the first made
		if err := b.secrets.RotateTenant(ctx, person(id, auth.Owner)); err != nil {
			t.Fatal(err)
		}
		wantValues(t, b.secrets, id, want)
		var sealed []byte
		if err := conn.QueryRow(ctx, "SELECT sealed FROM connections WHERE id = $1", connection).Scan(&sealed); err != nil {
			t.Fatal(err)
		}
		err := b.db.InTenant(ctx, id, func(tx *store.Tx) error {
			key, err := tx.TenantKey(ctx)
			if err != nil {
				return err
			}
			plain, err := v.Open(key, id, vault.ConnectionName(connection), sealed)
			if string(plain) != "a password" {
				t.Errorf("the connection's secret opens as %q, %v", plain, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, b.secrets.RotateTenant(ctx, person(id, auth.Admin)), "auth.forbidden")
}

// Values are set and read while the tenant's key is renewed over and over; none is lost.
func TestTenantKeyRotationUnderUse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, id := t.Context(), storetest.Tenant(t, b.db)
	const writers, rounds = 4, 15
	results := make(chan error, writers+1)
	for w := range writers {
		go func() {
			name := fmt.Sprintf("W%d", w)
			for i := range rounds {
				value := fmt.Sprint(i)
				if _, err := b.secrets.Set(ctx, person(id, auth.Admin), name, value, 0); err != nil {
					results <- err
					return
				}
				got, err := b.secrets.Resolve(ctx, id, []string{name})
				if err == nil && got[name] != value {
					err = fmt.Errorf("%s is %q right after %q was set", name, got[name], value)
				}
				if err != nil {
					results <- err
					return
				}
			}
			results <- nil
		}()
	}
	go func() {
		for range rounds {
			if err := b.secrets.RotateTenant(ctx, person(id, auth.Owner)); err != nil {
				results <- err
				return
			}
		}
		results <- nil
	}()
	for range writers + 1 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	last := fmt.Sprint(rounds - 1)
	wantValues(t, b.secrets, id, map[string]string{"W0": last, "W1": last, "W2": last, "W3": last})
}

// The canary: everything secret that goes in is looked for, in clear and in the usual encodings, in every row of every table.
func TestNoSecretIsInTheDatabaseInClear(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	canary := func(what string) string { return "canary" + what + strings.ReplaceAll(uuid.NewString(), "-", "") }
	manager := auth.NewManager(b.db.Operator(), store.InTx(b.db, func(tx *store.Tx) auth.Tx { return tx }), storetest.Vault(t),
		auth.Options{Cost: auth.PasswordCost{Memory: 64, Iterations: 1}})
	from := auth.Caller{IP: "192.0.2.1", UserAgent: "test", RequestID: "req_1"}

	password, second, guess := canary("password"), canary("second"), canary("guess")
	token, session, err := manager.SignUp(ctx, auth.NewAccount{Email: "ada@example.com", Name: "Ada", Password: password, TenantName: "Analytical"}, from)
	if err != nil {
		t.Fatal(err)
	}
	who := session.Principal(from)
	value, replaced, deleted := canary("value"), canary("replaced"), canary("deleted")
	_, err1 := b.secrets.Set(ctx, who, "KEPT", replaced, 0)
	_, err2 := b.secrets.Set(ctx, who, "KEPT", value, 0)
	_, err3 := b.secrets.Set(ctx, who, "GONE", deleted, 0)
	err4 := b.secrets.Delete(ctx, who, "GONE", 0)
	err5 := b.secrets.RotateTenant(ctx, who)
	key, _, err6 := manager.CreateKey(ctx, who, "deploy", []auth.Scope{auth.ScopeAdmin}, session.ExpiresAt)
	invitation, _, err7 := manager.Invite(ctx, who, "grace@example.com", auth.Editor)
	err8 := manager.ChangePassword(ctx, session, password, second, from)
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7, err8); err != nil {
		t.Fatal(err)
	}
	_, _, err = manager.SignIn(ctx, "ada@example.com", guess, from)
	wantCode(t, err, "auth.credentials_wrong")
	if _, err := manager.ByKey(ctx, key.Reveal(), from); err != nil {
		t.Fatal(err)
	}
	accepted := canary("accepted")
	graceToken, _, err := manager.Accept(ctx, invitation, "Grace", accepted, from)
	if err != nil {
		t.Fatal(err)
	}

	master, err := base64.StdEncoding.DecodeString(storetest.MasterKey)
	if err != nil {
		t.Fatal(err)
	}
	secret := map[string][]byte{
		"the first password": []byte(password), "the second password": []byte(second), "a wrong password": []byte(guess),
		"the invited person's password": []byte(accepted), "a session's token": []byte(token.Reveal()), "another session's token": []byte(graceToken.Reveal()),
		"the invitation's token": []byte(invitation.Reveal()), "the API key": []byte(key.Reveal()), "a secret's value": []byte(value),
		"a replaced value": []byte(replaced), "a deleted value": []byte(deleted), "the master key": master,
	}
	dump, tables := everyRow(t, connect(t, b.url))
	if tables < 25 || !bytes.Contains(dump, []byte("ada@example.com")) || !bytes.Contains(dump, []byte("secret.deleted")) {
		t.Fatalf("the dump of %d tables does not hold what it must; the search would prove nothing", tables)
	}
	for what, s := range secret {
		sum := func(enc *base64.Encoding) []byte { return []byte(enc.EncodeToString(s)) }
		for form, needle := range map[string][]byte{
			"clear": s, "hexadecimal": []byte(hex.EncodeToString(s)), "base64": sum(base64.StdEncoding)[:len(s)], "base64 for links": sum(base64.RawURLEncoding)[:len(s)],
			"half of it": s[:max(len(s)/2, 12)],
		} {
			if bytes.Contains(dump, needle) {
				t.Errorf("%s is in the database, %s", what, form)
			}
		}
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// everyRow is all rows of all tables as text, and the bytes of binary columns besides.
func everyRow(t *testing.T, conn *pgx.Conn) (dump []byte, tables int) {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		rows, err := conn.Query(t.Context(), "SELECT x::text FROM "+name+" x")
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			dump = append(append(dump, line...), '\n')
			// Binary columns are shown as \x..; what they hold is searched too.
			for _, part := range strings.Split(line, `\x`)[1:] {
				end := strings.IndexFunc(part, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) })
				if end < 0 {
					end = len(part)
				}
				if raw, err := hex.DecodeString(part[:end-end%2]); err == nil {
					dump = append(append(dump, raw...), '\n')
				}
			}
		}
	}
	slices.Sort(names)
	return dump, len(names)
}
