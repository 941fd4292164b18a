// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/hubspot"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/salesforce"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/sandbox/sandboxtest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/connector/zendesk"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// crm is the founding text's first example: its document, word for word, on the engine and the store, between simulators of the
// three vendors.
type crm struct {
	*bench
	clock   *sandbox.Clock
	servers map[string]*sandbox.Server
	conns   map[string]*manifest.Connector
	more    map[string]connector.Settings // beside what the document says
	hints   map[string]*sandboxtest.Hints
	creds   map[string]connector.Credentials
}

// secrets are what the document's references stand for.
var secrets = map[string]string{"SALESFORCE_INSTANCE_URL": "https://acme.my.salesforce.com", "SALESFORCE_TOKEN": "sandbox_salesforce", "HUBSPOT_API_KEY": "sandbox_hubspot",
	"ZENDESK_SUBDOMAIN": "acme", "ZENDESK_TOKEN": "sandbox_zendesk"}

const crmExample = "testdata/crm-contact-sync.yaml"

// The file is the mission's, where that is beside the repository.
func TestCRMExampleIsTheMissions(t *testing.T) {
	t.Parallel()
	ours, err := os.ReadFile(crmExample)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "mission", "examples", "crm-contact-sync.yaml"))
	if err != nil {
		t.Log("not compared: the mission is not beside the repository")
		return
	}
	if !bytes.Equal(ours, theirs) {
		t.Error("testdata/crm-contact-sync.yaml is not the mission's")
	}
}

func newCRM(t *testing.T, prepare func(*crm)) *crm {
	t.Helper()
	document, err := os.ReadFile(crmExample)
	if err != nil {
		t.Fatal(err)
	}
	clock := sandbox.NewClock(time.Now(), 5*time.Millisecond)
	pool := &transport.Pool{Now: clock.Now, Wait: clock.Wait}
	c := &crm{clock: clock, servers: map[string]*sandbox.Server{}, hints: map[string]*sandboxtest.Hints{}, more: map[string]connector.Settings{}, creds: map[string]connector.Credentials{},
		conns: map[string]*manifest.Connector{"salesforce": salesforce.New(pool), "hubspot": hubspot.New(pool), "zendesk": zendesk.New(pool)}}
	judges := map[string]func(*http.Request, []byte){
		"salesforce": sandboxtest.NewCollection(t, "salesforce", "postman-requests.json", "PATCH /services/data/v{{version}}/composite/sobjects", "DELETE /services/data/v{{version}}/composite/sobjects").See,
		"hubspot":    sandboxtest.NewJudge(t, "hubspot", []string{"crm-contacts-v3.json", "crm-properties-v3.json", "oauth-v1.json"}, "/account-info/").See,
		"zendesk":    sandboxtest.NewJudge(t, "zendesk", []string{"users.yml", "job-statuses.yml", "incremental.yml"}, "/oauth/").See,
	}
	for name, v := range map[string]sandbox.Vendor{"salesforce": &salesforce.Simulator{}, "hubspot": &hubspot.Simulator{}, "zendesk": &zendesk.Simulator{}} {
		s := sandbox.NewServer(v, sandbox.NewWorld(clock.Now, 7), false)
		s.Sleep = func(ctx context.Context, d time.Duration) { _ = clock.Wait(ctx, d) }
		s.Judge = judges[name]
		c.servers[name] = s
	}
	if prepare != nil {
		prepare(c)
	}
	b := &bench{t: t, url: storetest.URL(t), fence: 1}
	c.bench = b
	b.db = storetest.Open(t, b.url, nil)
	b.tenant = storetest.Tenant(t, b.db)
	if b.owner, err = pgx.Connect(t.Context(), b.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.owner.Close(context.Background()) })
	b.service = service.ID(uuid.Must(uuid.NewV7()))
	b.apply(string(document), 1)
	level := slog.LevelError
	if testing.Verbose() {
		level = slog.LevelInfo
	}
	b.engine = engine.New(store.InTx(b.db, func(tx *store.Tx) engine.Tx { return tx }), c, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})))
	return c
}

func (c *crm) settings(doc *service.Document, system string) (*manifest.Connector, connector.Settings, error) {
	sys, _ := doc.System(system)
	out := connector.Settings{}
	for name, value := range sys.Connection.Settings {
		v, err := service.Expand(value, func(name string) (string, bool) { v, ok := secrets[name]; return v, ok })
		if err != nil {
			return nil, nil, err
		}
		out[name] = v
	}
	maps.Copy(out, c.more[system])
	conn := c.conns[sys.Type]
	checked, err := conn.Spec().Check(out)
	return conn, checked, err
}

// OpenSystem makes crm the engine's Opener.
func (c *crm) OpenSystem(ctx context.Context, _ tenant.ID, _ service.ID, doc *service.Document, system, consumer string) (connector.System, connector.Spec, error) {
	conn, settings, err := c.settings(doc, system)
	if err != nil {
		return nil, connector.Spec{}, err
	}
	env := connector.Env{Consumer: consumer, Sandbox: c.servers[system]}
	if h := c.hints[system]; h != nil {
		env.Hints = h
	}
	s, err := conn.Open(ctx, settings, env)
	if err != nil {
		return nil, conn.Spec(), err
	}
	if w, ok := s.(connector.Watcher); ok {
		return told{quick{s.(capable), c.clock}, w}, conn.Spec(), nil
	}
	return quick{s.(capable), c.clock}, conn.Spec(), nil
}

// capable is what these systems can do.
type capable interface {
	connector.System
	connector.Discoverer
	connector.Reader
	connector.KeyReader
	connector.Finder
	connector.Writer
}

// quick is looked at often, because the vendors' clock is a virtual one.
type quick struct {
	capable
	clock *sandbox.Clock
}

func (quick) Pace() connector.Pace {
	return connector.Pace{Min: 20 * time.Millisecond, Max: 200 * time.Millisecond}
}

func (q quick) Read(ctx context.Context, req connector.ReadRequest) (connector.Page, error) {
	p, err := q.capable.Read(ctx, req)
	return p, q.waited(ctx, err)
}

func (q quick) Write(ctx context.Context, object record.Object, writes []connector.Write) ([]connector.Receipt, error) {
	r, err := q.capable.Write(ctx, object, writes)
	return r, q.waited(ctx, err)
}

// waited lets what a vendor asks to wait pass on the vendors' clock, for the engine's is the real one.
func (q quick) waited(ctx context.Context, err error) error {
	var e *connector.Error
	if !errors.As(err, &e) || e.After == 0 {
		return err
	}
	_ = q.clock.Wait(ctx, e.After)
	now := *e
	now.After = 0
	return &now
}

type told struct {
	quick
	connector.Watcher
}

// person is a contact, whatever a vendor calls its parts.
type person struct{ email, first, last, phone, company string }

func text(v any) string { return sandbox.Text(v) }

// people are the live contacts of a vendor by address; twice are those that are there more than once.
func (c *crm) people(system string) (out map[string]person, twice []string) {
	out = map[string]person{}
	c.servers[system].Do(context.Background(), func(x *sandbox.Exchange) {
		table := c.servers[system].Vendor().Tables()[0].Name
		for _, r := range x.W.Sorted(table) {
			if !r.Live() {
				continue
			}
			f := r.Fields
			var p person
			switch system {
			case "salesforce":
				p = person{text(f["Email"]), text(f["FirstName"]), text(f["LastName"]), text(f["Phone"]), text(f["Company__c"])}
			case "hubspot":
				p = person{text(f["email"]), text(f["firstname"]), text(f["lastname"]), text(f["phone"]), text(f["company"])}
			default:
				first, last, _ := strings.Cut(text(f["name"]), " ")
				p = person{text(f["email"]), first, last, text(f["phone"]), text(sandbox.At(f["user_fields"], "company"))}
			}
			if _, there := out[p.email]; there {
				twice = append(twice, p.email)
			}
			out[p.email] = p
		}
	})
	return out, twice
}

// id is a vendor's key of the contact with that address.
func (c *crm) id(system, email string) (id string) {
	c.servers[system].Do(context.Background(), func(x *sandbox.Exchange) {
		field := "email"
		if system == "salesforce" {
			field = "Email"
		}
		if r := x.W.Find(c.servers[system].Vendor().Tables()[0].Name, field, email, ""); r != nil {
			id = r.ID
		}
	})
	return id
}

// edit is a person's edit in a vendor's own screens; an empty id makes a record.
func (c *crm) edit(system, id string, p person) string {
	f := map[string]any{}
	put := func(name, value string) {
		if value != "" {
			f[name] = value
		}
	}
	switch system {
	case "salesforce":
		put("Email", p.email)
		put("FirstName", p.first)
		put("LastName", p.last)
		put("Phone", p.phone)
		put("Company__c", p.company)
	case "hubspot":
		put("email", p.email)
		put("firstname", p.first)
		put("lastname", p.last)
		put("phone", p.phone)
		put("company", p.company)
	default:
		put("email", p.email)
		put("name", strings.TrimSpace(p.first+" "+p.last))
		put("phone", p.phone)
		put("user_fields.company", p.company)
	}
	return c.servers[system].Edit(context.Background(), c.servers[system].Vendor().Tables()[0].Name, id, f)
}

// until waits for a condition that a person would see.
func (c *crm) until(what string, done func() string) {
	c.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		lack := done()
		if lack == "" {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: %s\n%s", what, lack, c.describe())
		}
		select {
		case <-c.t.Context().Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (c *crm) describe() string {
	var b strings.Builder
	for _, s := range []string{"salesforce", "hubspot", "zendesk"} {
		p, twice := c.people(s)
		fmt.Fprintf(&b, "%s: %d, twice %v\n", s, len(p), twice)
	}
	rows, err := c.owner.Query(context.Background(), `SELECT to_jsonb(d)::text FROM dead_letters d LIMIT 5`)
	if err == nil {
		lines, _ := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, l := range lines {
			fmt.Fprintf(&b, "dead letter %s\n", l)
		}
	}
	return b.String() + c.state()
}

func (c *crm) has(system string, want person) string {
	got, twice := c.people(system)
	if len(twice) > 0 {
		return fmt.Sprintf("%s has %v twice", system, twice)
	}
	if got[want.email] != want {
		return fmt.Sprintf("%s has %+v, want %+v", system, got[want.email], want)
	}
	return ""
}

// A contact created in Salesforce appears in HubSpot and Zendesk, linked by external ids; a phone changed in HubSpot reaches both
// others; a deletion in Zendesk, too. The document is the founding text's, unchanged.
func TestCRMExample(t *testing.T) {
	t.Parallel()
	c := newCRM(t, nil)
	jane := person{"jane.smith@example.com", "Jane", "Smith", "+14155551234", "Acme Corp"}
	old := person{"lena.berg@example.com", "Lena", "Berg", "+4687654321", "Fjord AB"}
	c.edit("salesforce", "", old)
	c.edit("zendesk", "", old) // the same person, known to two of them before
	c.start()
	c.until("the first sync", func() string { return c.has("hubspot", old) })
	c.edit("salesforce", "", jane)
	for _, s := range []string{"hubspot", "zendesk"} {
		c.until("the new contact", func() string { return c.has(s, jane) })
	}
	c.until("three links", func() string {
		if n := c.number(`SELECT count(*) FROM links l JOIN entities e ON e.tenant_id = l.tenant_id AND e.id = l.entity_id WHERE e.fields->>'email' = $1`, jane.email); n != 3 {
			return fmt.Sprintf("%d links", n)
		}
		return ""
	})
	jane.phone = "+14155559999"
	c.edit("hubspot", c.id("hubspot", jane.email), person{phone: jane.phone})
	for _, s := range []string{"salesforce", "zendesk"} {
		c.until("the new phone", func() string { return c.has(s, jane) })
	}
	c.servers["zendesk"].Edit(t.Context(), "users", c.id("zendesk", old.email), nil)
	for _, s := range []string{"salesforce", "hubspot"} {
		c.until("the deletion", func() string {
			if p, _ := c.people(s); p[old.email].email != "" {
				return s + " still has it"
			}
			return ""
		})
	}
	for _, s := range []string{"salesforce", "hubspot", "zendesk"} {
		if lack := c.has(s, jane); lack != "" {
			t.Error(lack)
		}
	}
}

// The same with trouble on all sides: bursts of 429, tokens that end, webhooks lost and doubled, one call in twenty that fails,
// before or after it was carried out. Nothing is lost and nothing is there twice.
func TestCRMWithFaults(t *testing.T) {
	t.Parallel()
	c := newCRM(t, func(c *crm) {
		c.more["hubspot"] = connector.Settings{"apiKey": "", "clientId": "app", "clientSecret": "sandbox_app", "refreshToken": "sandbox_r"}
		c.more["zendesk"] = connector.Settings{"apiToken": "", "clientId": "app", "clientSecret": "sandbox_app", "refreshToken": "sandbox_r", "webhookSecret": "sandbox_hook"}
		c.more["salesforce"] = connector.Settings{"accessToken": "", "clientId": "app", "clientSecret": "sandbox_app", "refreshToken": "sandbox_r", "webhookSecret": "sandbox_hook"}
		for name, secret := range map[string]string{"hubspot": "sandbox_app", "zendesk": "sandbox_hook", "salesforce": "sandbox_hook"} {
			h := &sandboxtest.Hints{Sweep: 200 * time.Millisecond}
			c.hints[name] = h
			s := c.servers[name]
			s.Do(t.Context(), func(x *sandbox.Exchange) {
				x.W.Hooks = []sandbox.Hook{{URL: "https://syncline.example/hooks/" + name, Secret: secret}}
			})
			settings := connector.Settings{"clientSecret": "sandbox_app", "webhookSecret": "sandbox_hook"}
			s.Send = func(_ context.Context, r *http.Request) { h.Receive(c.conns[name], settings, c.clock.Now, r) }
		}
	})
	fail := map[string]string{"Content-Type": "application/json"}
	for _, s := range c.servers {
		s.Plant(
			sandbox.Fault{Chance: 0.02, Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "1", "Content-Type": "application/json"}, Body: `{"message":"slow down"}`},
			sandbox.Fault{Chance: 0.025, Status: http.StatusBadGateway, Header: fail, Body: `{"message":"bad gateway"}`},
			sandbox.Fault{Chance: 0.025, Applied: true, Drop: true},
			sandbox.Fault{Chance: 0.02, Expire: true},
			sandbox.Fault{Chance: 0.3, Lost: true},
			sandbox.Fault{Chance: 0.3, Double: true})
	}
	c.start()
	rng := rand.New(rand.NewPCG(1, 2))
	systems := []string{"salesforce", "hubspot", "zendesk"}
	want := map[string]person{}
	const n = 45
	for i := range n {
		p := person{fmt.Sprintf("person%d@example.com", i), fmt.Sprintf("First%d", i), "Last", fmt.Sprintf("+1415555%04d", i), fmt.Sprintf("Firm %d", i)}
		c.edit(systems[i%3], "", p)
		want[p.email] = p
	}
	equal := func() string {
		for _, s := range systems {
			got, twice := c.people(s)
			if len(twice) > 0 {
				t.Fatalf("%s has twice: %v\n%s", s, twice, c.describe())
			}
			for email, p := range want {
				if got[email] != p {
					return fmt.Sprintf("%s has %+v, want %+v (%d of %d there)", s, got[email], p, len(got), len(want))
				}
			}
			if len(got) != len(want) {
				return fmt.Sprintf("%s has %d people, want %d", s, len(got), len(want))
			}
		}
		return ""
	}
	c.until("everybody everywhere", equal)
	for _, s := range c.servers { // a burst, and all tokens at once
		s.Plant(sandbox.TooMany(8), sandbox.Fault{Times: 1, Expire: true})
	}
	// People edit on and on, also records that are written to in this moment: the phone in HubSpot, the company in Zendesk, the
	// name in Salesforce. The vendors have no lock, but a write sends only what changed, so edits of different fields all
	// survive. Of the same field at the same moment the strategy decides; there each is edited in one place.
	emails := slices.Sorted(maps.Keys(want))
	for range 300 {
		email := emails[rng.IntN(len(emails))]
		p := want[email]
		switch n := rng.IntN(9_999_999); rng.IntN(3) {
		case 0:
			p.phone = fmt.Sprintf("+1650%07d", n)
			c.edit("hubspot", c.id("hubspot", email), person{phone: p.phone})
		case 1:
			p.company = fmt.Sprintf("Firm %d", n)
			c.edit("zendesk", c.id("zendesk", email), person{company: p.company})
		default:
			p.first = fmt.Sprintf("First%d", n)
			c.edit("salesforce", c.id("salesforce", email), person{first: p.first})
		}
		want[email] = p
	}
	c.until("the last of everybody everywhere", equal)
	for range 3 { // and one field anywhere, when nothing is on its way
		rng.Shuffle(len(emails), func(i, j int) { emails[i], emails[j] = emails[j], emails[i] })
		for _, email := range emails[:20] {
			s := systems[rng.IntN(3)]
			p := want[email]
			p.phone = fmt.Sprintf("+1650%07d", rng.IntN(9_999_999))
			c.edit(s, c.id(s, email), person{phone: p.phone})
			want[email] = p
		}
		c.until("the last phone of everybody everywhere", equal)
	}
	for _, s := range c.servers {
		s.Heal()
	}
	for name, h := range c.hints {
		refused, doubled := h.Counts()
		if refused > 0 {
			t.Errorf("%s: %d messages were refused", name, refused)
		}
		if doubled == 0 {
			t.Errorf("%s: no message came twice, so that was not tried", name)
		}
	}
	if n := c.number(`SELECT count(*) FROM entities WHERE deleted_at IS NULL`); n != int64(len(want)) {
		t.Errorf("%d entities, want %d", n, len(want))
	}
	calls, _ := json.Marshal(c.servers["hubspot"].Calls())
	t.Logf("0 lost, 0 doubled; HubSpot was called: %s", calls)
}
