// SPDX-License-Identifier: Apache-2.0

package connection_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/internal/vault"
)

// probe is a connector to nothing: it remembers how it was opened, and checks by connecting to its address.
type probe struct {
	mu     sync.Mutex
	opened []connector.Settings
	envs   []connector.Env
	check  func() error
	clean  []record.Object
	closed int
}

func (p *probe) Spec() connector.Spec {
	return connector.Spec{
		Type: "probe", Aliases: []string{"sonde"}, Title: "Probe", Class: "standard", Detections: []string{"polling"},
		Settings: []connector.Setting{
			{Name: "host", Title: "Host", Doc: "Where it is.", Kind: connector.Text, Required: true},
			{Name: "port", Title: "Port", Doc: "A number.", Kind: connector.Integer, Default: "5432"},
			{Name: "mode", Title: "Mode", Doc: "How.", Kind: connector.Choice, Choices: []string{"fast", "safe"}, Default: "safe"},
			{Name: "password", Title: "Password", Doc: "The password.", Kind: connector.Text, Secret: true},
			{Name: "pin", Title: "Pin", Doc: "Another secret.", Kind: connector.Text, Secret: true},
		},
	}
}

func (p *probe) Open(_ context.Context, s connector.Settings, env connector.Env) (connector.System, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opened = append(p.opened, s)
	p.envs = append(p.envs, env)
	return &probed{p, s, env}, nil
}

func (p *probe) last(t *testing.T) (connector.Settings, connector.Env) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.opened) == 0 {
		t.Fatal("it was not opened")
	}
	return p.opened[len(p.opened)-1], p.envs[len(p.envs)-1]
}

type probed struct {
	p   *probe
	s   connector.Settings
	env connector.Env
}

func (s *probed) Check(ctx context.Context) error {
	if s.p.check != nil {
		return s.p.check()
	}
	conn, err := s.env.Dial(ctx, "tcp", net.JoinHostPort(s.s["host"], s.s["port"]))
	if err != nil {
		return err
	}
	return conn.Close()
}

func (s *probed) Close() error {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.closed++
	return nil
}

func (s *probed) Clean(_ context.Context, objects []record.Object) error {
	s.p.clean = objects
	return nil
}

func (s *probed) Objects(context.Context) ([]record.Object, error) {
	return []record.Object{"good", "keyless"}, nil
}

func (s *probed) Describe(_ context.Context, objects ...record.Object) ([]connector.ObjectInfo, error) {
	var out []connector.ObjectInfo
	for _, o := range objects {
		if o == "keyless" {
			return nil, &connector.Error{Class: connector.Reject, Code: "probe.no_key", Message: "keyless has no key."}
		}
		out = append(out, connector.ObjectInfo{Name: o, Key: []string{"id"}, Fields: []connector.FieldInfo{{Name: "id"}}, Rows: 7})
	}
	return out, nil
}

type bench struct {
	*connection.Manager
	t       *testing.T
	db      *store.DB
	url     string
	id      tenant.ID
	who     auth.Principal
	probe   *probe
	vault   *vault.Vault
	secrets *vault.Secrets
}

func setUp(t *testing.T, guard connection.GuardOptions) *bench {
	t.Helper()
	url := storetest.URL(t)
	db := storetest.Open(t, url, nil)
	v := storetest.Vault(t)
	b := &bench{t: t, db: db, url: url, vault: v, id: storetest.Tenant(t, db), probe: &probe{}}
	b.who = auth.System(b.id, "test")
	b.secrets = vault.NewSecrets(v, db.Operator(), store.InTx(db, func(tx *store.Tx) vault.Tx { return tx }))
	g, err := connection.NewGuard(guard)
	if err != nil {
		t.Fatal(err)
	}
	b.Manager = connection.NewManager(b.inTx(), connector.NewRegistry(b.probe), v, b.secrets, service.Expand, g)
	return b
}

func (b *bench) inTx() func(context.Context, tenant.ID, func(connection.Tx) error) error {
	return store.InTx(b.db, func(tx *store.Tx) connection.Tx { return tx })
}

func (b *bench) make(name string, s connector.Settings) connection.Connection {
	b.t.Helper()
	c, err := b.Create(b.t.Context(), b.who, connection.New{Name: name, Connector: "probe", Settings: s})
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *bench) open(ref string) (connector.Settings, error) {
	b.t.Helper()
	system, spec, err := b.Open(b.t.Context(), b.id, ref, connector.Env{Consumer: "svc_1", Detection: "polling"})
	if err != nil {
		return nil, err
	}
	if spec.Type != "probe" {
		b.t.Errorf("the spec is that of %s", spec.Type)
	}
	if err := system.Close(); err != nil {
		b.t.Error(err)
	}
	s, env := b.probe.last(b.t)
	if env.Consumer != "svc_1" || env.Detection != "polling" || env.Dial == nil {
		b.t.Errorf("the environment is %+v", env)
	}
	return s, nil
}

// canary is looked for everywhere it must not be.
const canary = "canary-7f3a-password"

func TestSecretsAreSealedAndNeverShown(t *testing.T) {
	b := setUp(t, connection.GuardOptions{})
	c := b.make("warehouse-db", connector.Settings{"host": "db.example", "port": "", "password": canary, "pin": "${PIN}"})
	if want := (connector.Settings{"host": "db.example", "pin": "${PIN}"}); !maps.Equal(c.Settings, want) {
		t.Errorf("shown are %v, want %v", c.Settings, want)
	}
	if !slices.Equal(c.Secrets, []string{"password"}) {
		t.Errorf("sealed are %v", c.Secrets)
	}
	for _, ref := range []string{"warehouse-db", c.ID.Public()} {
		got, err := b.Get(t.Context(), b.who, ref)
		if err != nil {
			t.Fatal(err)
		}
		if got.Name != c.Name || got.State != connection.Unchecked || got.Version != 1 || !maps.Equal(got.Settings, c.Settings) || !slices.Equal(got.Secrets, c.Secrets) {
			t.Errorf("by %s: %+v", ref, got)
		}
	}
	if _, err := b.Update(t.Context(), b.who, "warehouse-db", connection.Change{Settings: connector.Settings{"host": "db2.example", "password": canary + "-2"}}); err != nil {
		t.Fatal(err)
	}

	owner, err := pgx.Connect(t.Context(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = owner.Close(context.Background()) }()
	rows, err := owner.Query(t.Context(), `
SELECT 'connections', c::text || encode(c.sealed, 'escape') FROM connections c UNION ALL
SELECT 'audit_log', a::text FROM audit_log a UNION ALL SELECT 'events', e::text FROM events e`)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for rows.Next() {
		var table, text string
		if err := rows.Scan(&table, &text); err != nil {
			t.Fatal(err)
		}
		seen[table]++
		if strings.Contains(text, canary) {
			t.Errorf("the password is in %s: %s", table, text)
		}
	}
	if rows.Err() != nil || seen["connections"] != 1 || seen["audit_log"] != 2 || seen["events"] != 2 {
		t.Errorf("looked at %v, %v", seen, rows.Err())
	}
}

func TestSettingsAreResolvedAtUse(t *testing.T) {
	b := setUp(t, connection.GuardOptions{})
	ctx := t.Context()
	b.make("db", connector.Settings{"host": "${HOST}.example", "port": "${PORT}", "password": "lit$$eral ${NOT_A_REFERENCE}", "pin": "${PIN}"})
	for name, value := range map[string]string{"HOST": "north", "PORT": "1234", "PIN": "42"} {
		if _, err := b.secrets.Set(ctx, b.who, name, value, 0); err != nil {
			t.Fatal(err)
		}
	}
	got, err := b.open("db")
	want := connector.Settings{"host": "north.example", "port": "1234", "mode": "safe", "password": "lit$$eral ${NOT_A_REFERENCE}", "pin": "42"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("opened with %v, %v, want %v", got, err, want)
	}

	// A secret that changes counts from the next use on.
	if _, err := b.secrets.Set(ctx, b.who, "HOST", "south", 0); err != nil {
		t.Fatal(err)
	}
	if got, err = b.open("db"); err != nil || got["host"] != "south.example" {
		t.Errorf("opened with %v, %v", got, err)
	}

	// What a reference stands for is checked like anything else.
	if _, err := b.secrets.Set(ctx, b.who, "PORT", "many", 0); err != nil {
		t.Fatal(err)
	}
	if _, err = b.open("db"); !fault.IsCode(err, "connection.settings_invalid") {
		t.Errorf("a port that is no number: %v", err)
	}

	if err := b.secrets.Delete(ctx, b.who, "PIN", 0); err != nil {
		t.Fatal(err)
	}
	_, err = b.open("db")
	if f := fault.As(err); f == nil || f.Code != "vault.secret_unknown" || !strings.Contains(f.Message, "PIN") {
		t.Errorf("a secret that is gone: %v", err)
	}
	if _, err := b.open("nowhere"); !fault.IsCode(err, "connection.not_found") {
		t.Errorf("a connection that is not there: %v", err)
	}
}

func TestRotationKeepsConnections(t *testing.T) {
	b := setUp(t, connection.GuardOptions{})
	b.make("db", connector.Settings{"host": "db.example", "password": canary})
	for range 2 {
		if err := b.secrets.RotateTenant(t.Context(), b.who); err != nil {
			t.Fatal(err)
		}
		if got, err := b.open("db"); err != nil || got["password"] != canary {
			t.Fatalf("opened with %v, %v", got, err)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	b := setUp(t, connection.GuardOptions{})
	b.make("taken", connector.Settings{"host": "h"})
	viewer := auth.Principal{Kind: auth.KindMember, Tenant: b.id, Role: auth.Viewer}
	tests := []struct {
		name     string
		who      auth.Principal
		make     connection.New
		code     string
		pointers []string
	}{
		{"nobody may without the right", viewer, connection.New{Name: "x", Connector: "probe"}, "auth.forbidden", nil},
		{"a name with a slash", b.who, connection.New{Name: "a/b", Connector: "probe"}, "connection.name_malformed", []string{"/name"}},
		{"an empty name", b.who, connection.New{Connector: "probe"}, "connection.name_malformed", []string{"/name"}},
		{"a name that is an id", b.who, connection.New{Name: connection.ID(uuid.New()).Public(), Connector: "probe"}, "connection.name_malformed", []string{"/name"}},
		{"a long name", b.who, connection.New{Name: strings.Repeat("x", 101), Connector: "probe"}, "connection.name_malformed", []string{"/name"}},
		{"no such connector", b.who, connection.New{Name: "x", Connector: "teapot"}, "connector.unknown", []string{"/connector"}},
		{"wrong settings", b.who, connection.New{Name: "x", Connector: "probe", Settings: connector.Settings{"port": "p", "mode": "slow", "colour": "red"}},
			"connection.settings_invalid", []string{"/settings/colour", "/settings/host", "/settings/mode", "/settings/port"}},
		{"a name that is taken", b.who, connection.New{Name: "taken", Connector: "sonde", Settings: connector.Settings{"host": "h"}}, "connection.name_taken", []string{"/name"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := b.Create(t.Context(), tt.who, tt.make)
			f := fault.As(err)
			if f == nil || f.Code != tt.code {
				t.Fatalf("got %v, want %s", err, tt.code)
			}
			var pointers []string
			for _, field := range f.Fields {
				pointers = append(pointers, field.Pointer)
			}
			if !slices.Equal(pointers, tt.pointers) {
				t.Errorf("it points at %v, want %v", pointers, tt.pointers)
			}
		})
	}
}

func TestUpdate(t *testing.T) {
	b := setUp(t, connection.GuardOptions{})
	ctx := t.Context()
	b.make("db", connector.Settings{"host": "one", "port": "1", "password": "p1", "pin": "1111"})
	one, three := int64(1), int64(3)

	name := "db-2"
	c, err := b.Update(ctx, b.who, "db", connection.Change{Name: &name, IfMatch: &one})
	if err != nil || c.Name != name || c.Version != 2 {
		t.Fatalf("renamed: %+v, %v", c, err)
	}
	if got, err := b.open(name); err != nil || got["password"] != "p1" || got["host"] != "one" {
		t.Errorf("after renaming: %v, %v", got, err)
	}

	// Settings that are shown are replaced, secrets that are not mentioned stay, empty ones go.
	if c, err = b.Update(ctx, b.who, name, connection.Change{Settings: connector.Settings{"host": "two", "pin": ""}}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Secrets, []string{"password"}) {
		t.Errorf("sealed are %v", c.Secrets)
	}
	got, err := b.open(name)
	if want := (connector.Settings{"host": "two", "port": "5432", "mode": "safe", "password": "p1"}); err != nil || !maps.Equal(got, want) {
		t.Errorf("opened with %v, %v, want %v", got, err, want)
	}

	if _, err := b.Update(ctx, b.who, name, connection.Change{Name: &name, IfMatch: &one}); fault.KindOf(err) != fault.Stale {
		t.Errorf("with an old version: %v", err)
	}
	if _, err := b.Update(ctx, b.who, name, connection.Change{Settings: connector.Settings{"port": "x"}}); !fault.IsCode(err, "connection.settings_invalid") {
		t.Errorf("with wrong settings: %v", err)
	}
	b.make("other", connector.Settings{"host": "h"})
	taken := "other"
	if _, err := b.Update(ctx, b.who, name, connection.Change{Name: &taken}); !fault.IsCode(err, "connection.name_taken") {
		t.Errorf("with a name that is taken: %v", err)
	}
	if err := b.Delete(ctx, b.who, name, &one); fault.KindOf(err) != fault.Stale {
		t.Errorf("deleting with an old version: %v", err)
	}
	if err := b.Delete(ctx, b.who, name, &three); err != nil {
		t.Errorf("deleting: %v", err)
	}
	if _, err := b.Get(ctx, b.who, name); fault.KindOf(err) != fault.NotFound {
		t.Errorf("after deleting: %v", err)
	}
}

func TestTestingRecordsHealth(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	b := setUp(t, connection.GuardOptions{Allow: []string{"127.0.0.1"}})
	settings := connector.Settings{"host": "127.0.0.1", "port": port}
	tests := []struct {
		name     string
		settings connector.Settings
		check    func() error
		state    connection.State
		reason   string
	}{
		{name: "it answers", settings: settings, state: connection.Healthy},
		{name: "nobody listens", settings: connector.Settings{"host": "127.0.0.1", "port": "1"}, state: connection.Degraded, reason: "No connection to 127.0.0.1:1"},
		{name: "an address of our network", settings: connector.Settings{"host": "10.0.0.1", "port": "5432"}, state: connection.Expired, reason: "not a public address"},
		{name: "a secret is missing", settings: connector.Settings{"host": "${GONE}"}, state: connection.Expired, reason: "GONE"},
		{name: "wrong password", settings: settings, check: func() error {
			return &connector.Error{Class: connector.Reconnect, Code: "probe.password", Message: "The password is wrong."}
		}, state: connection.Expired, reason: "The password is wrong."},
		{name: "overloaded", settings: settings, check: func() error { return &connector.Error{Class: connector.SlowDown, Message: "Too much."} }, state: connection.Degraded, reason: "Too much."},
		{name: "something else", settings: settings, check: func() error { return errors.New("boom") }, state: connection.Degraded, reason: "did not answer as expected"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b.probe.check = tt.check
			made := b.make(tt.name, tt.settings)
			before := b.probe.closed
			c, err := b.Test(t.Context(), b.who, made.ID.Public())
			if err != nil {
				t.Fatal(err)
			}
			stored, err := b.Get(t.Context(), b.who, tt.name)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []connection.Connection{c, stored} {
				if c.State != tt.state || !strings.Contains(c.Reason, tt.reason) || (tt.reason == "") != (c.Reason == "") || c.CheckedAt == nil {
					t.Errorf("it is %s (%s), want %s (%s)", c.State, c.Reason, tt.state, tt.reason)
				}
				if c.Version != 1 {
					t.Errorf("its version became %d", c.Version)
				}
			}
			if tt.name != "a secret is missing" && b.probe.closed != before+1 {
				t.Error("it was not closed")
			}
			// The same settings before they are kept.
			b.probe.check = tt.check
			err = b.TestSettings(t.Context(), b.who, connection.New{Connector: "probe", Settings: tt.settings})
			if state, _ := connection.Health(err); state != tt.state {
				t.Errorf("trying the settings says %v", err)
			}
		})
	}
}

// What is found out about settings that were changed meanwhile says nothing of those that are there now.
func TestHealthOfOldSettingsIsNotKept(t *testing.T) {
	b := setUp(t, connection.GuardOptions{})
	c := b.make("db", connector.Settings{"host": "one"})
	b.probe.check = func() error {
		if _, err := b.Update(t.Context(), b.who, c.ID.Public(), connection.Change{Settings: connector.Settings{"host": "two"}}); err != nil {
			t.Error(err)
		}
		return nil
	}
	got, err := b.Test(t.Context(), b.who, "db")
	if err != nil || got.State != connection.Unchecked || got.Version != 2 {
		t.Errorf("it is %s at version %d, %v", got.State, got.Version, err)
	}
}

func TestReportWritesWhatIsNew(t *testing.T) {
	b := setUp(t, connection.GuardOptions{})
	b.make("db", connector.Settings{"host": "h"})
	wrong := &connector.Error{Class: connector.Reconnect, Code: "x", Message: "The key was withdrawn."}
	for _, step := range []struct {
		err   error
		state connection.State
	}{{nil, connection.Healthy}, {wrong, connection.Expired}, {wrong, connection.Expired}, {nil, connection.Healthy}} {
		if err := b.Report(t.Context(), b.id, "db", step.err); err != nil {
			t.Fatal(err)
		}
		if c, err := b.Get(t.Context(), b.who, "db"); err != nil || c.State != step.state {
			t.Errorf("after %v it is %s, %v", step.err, c.State, err)
		}
	}
}

func TestObjects(t *testing.T) {
	b := setUp(t, connection.GuardOptions{})
	b.make("db", connector.Settings{"host": "h"})
	got, err := b.Objects(t.Context(), b.who, "db")
	if err != nil || len(got) != 2 || got[0].Name != "good" || got[0].Rows != 7 || got[1].Name != "keyless" || got[1].Fields != nil {
		t.Errorf("found %+v, %v", got, err)
	}
}

func TestOwnedConnections(t *testing.T) {
	b := setUp(t, connection.GuardOptions{})
	ctx := t.Context()
	owner := uuid.New()
	own := func(inline ...connection.Inline) (gone []string) {
		t.Helper()
		err := b.inTx()(ctx, b.id, func(tx connection.Tx) (err error) {
			gone, err = b.Own(ctx, tx, owner, inline)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return gone
	}
	shop := connection.Inline{Name: "stock/shop", Connector: "probe", Settings: connector.Settings{"host": "shop", "password": "${SHOP_PASSWORD}"}}
	warehouse := connection.Inline{Name: "stock/warehouse", Connector: "sonde", Settings: connector.Settings{"host": "warehouse", "password": "x-${W}-y"}}
	if gone := own(shop, warehouse); gone != nil {
		t.Errorf("gone are %v", gone)
	}
	for name, value := range map[string]string{"SHOP_PASSWORD": "s3", "W": "w"} {
		if _, err := b.secrets.Set(ctx, b.who, name, value, 0); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := b.open("stock/shop"); err != nil || got["password"] != "s3" {
		t.Errorf("opened with %v, %v", got, err)
	}
	// A document's settings are expanded wherever they stand, also where the result is sealed.
	if got, err := b.open("stock/warehouse"); err != nil || got["password"] != "x-w-y" {
		t.Errorf("opened with %v, %v", got, err)
	}

	if err := b.Report(ctx, b.id, "stock/shop", nil); err != nil {
		t.Fatal(err)
	}
	own(shop, warehouse)
	if c, _ := b.Get(ctx, b.who, "stock/shop"); c.Version != 1 || c.State != connection.Healthy || c.Connector != "probe" {
		t.Errorf("the same settings made it %+v", c)
	}
	shop.Settings = connector.Settings{"host": "shop-2"}
	if gone := own(shop); !slices.Equal(gone, []string{"stock/warehouse"}) {
		t.Errorf("gone are %v", gone)
	}
	if c, _ := b.Get(ctx, b.who, "stock/shop"); c.Version != 2 || c.State != connection.Unchecked || c.Settings["host"] != "shop-2" {
		t.Errorf("other settings made it %+v", c)
	}

	name := "mine"
	if _, err := b.Update(ctx, b.who, "stock/shop", connection.Change{Name: &name}); !fault.IsCode(err, "connection.owned") {
		t.Errorf("changing it by itself: %v", err)
	}
	if err := b.Delete(ctx, b.who, "stock/shop", nil); !fault.IsCode(err, "connection.owned") {
		t.Errorf("deleting it by itself: %v", err)
	}
	if used, err := b.UsedBy(ctx, b.who, "stock/shop"); err != nil || !slices.Equal(used, []string{"stock"}) {
		t.Errorf("used by %v, %v", used, err)
	}

	if err := b.Clean(ctx, b.id, "stock/warehouse", "svc_1", []record.Object{"a", "b"}); err != nil {
		t.Errorf("cleaning: %v", err)
	}
	if !slices.Equal(b.probe.clean, []record.Object{"a", "b"}) {
		t.Errorf("cleaned %v", b.probe.clean)
	}
	for range 2 {
		if err := b.inTx()(ctx, b.id, func(tx connection.Tx) error { return b.Disown(ctx, tx, owner, "stock/warehouse") }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Get(ctx, b.who, "stock/warehouse"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("after it was given up: %v", err)
	}
}

func TestConnectionsOfOthersDoNotExist(t *testing.T) {
	b := setUp(t, connection.GuardOptions{})
	c := b.make("db", connector.Settings{"host": "h"})
	stranger := auth.System(storetest.Tenant(t, b.db), "test")
	ctx := t.Context()
	for what, err := range map[string]error{
		"get":    func() error { _, err := b.Get(ctx, stranger, c.ID.Public()); return err }(),
		"update": func() error { _, err := b.Update(ctx, stranger, "db", connection.Change{}); return err }(),
		"delete": b.Delete(ctx, stranger, c.ID.Public(), nil),
		"test":   func() error { _, err := b.Test(ctx, stranger, c.ID.Public()); return err }(),
		"use":    func() error { _, _, err := b.Open(ctx, stranger.Tenant, "db", connector.Env{}); return err }(),
	} {
		if !fault.IsCode(err, "connection.not_found") {
			t.Errorf("%s: %v", what, err)
		}
	}
	list, err := b.List(ctx, stranger, connection.Filter{})
	if err != nil || len(list) != 0 {
		t.Errorf("listed %v, %v", list, err)
	}
	b.make("aa", connector.Settings{"host": "h"})
	list, err = b.List(ctx, b.who, connection.Filter{After: "aa", States: []connection.State{connection.Unchecked}, Connector: "probe"})
	if err != nil || len(list) != 1 || list[0].Name != "db" {
		t.Errorf("listed %v, %v", list, err)
	}
}

// ownerRow asks the database as its owner.
func (b *bench) ownerRow(sql string, into any, args ...any) error {
	conn, err := pgx.Connect(b.t.Context(), b.url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(b.t.Context()) }()
	return conn.QueryRow(b.t.Context(), sql, args...).Scan(into)
}
