// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/oauth"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

// Hooks are the functions that a manifest names where data ends.
type Hooks struct {
	// Bodies make of a request's body, with its placeholders filled in, what is sent in its place.
	Bodies map[string]func(body any) (any, error)
	// Answers make of an answer what is read in its place.
	Answers map[string]func(answer any) (any, error)
}

// Connector is the connector of a manifest.
type Connector struct {
	m     *Manifest
	hooks Hooks
	pool  *transport.Pool
	told  bool // the program hands on what vendors tell
	own   bool // a tenant wrote the manifest: there is no simulator
	space string

	mu     sync.Mutex
	tokens map[string]*oauth.Memory     // by account, where the process lends no Credentials
	rings  map[string]*keyring          // by connection: keys with which messages are signed
	learnt map[string]map[string]string // by account and settings: those that it was asked for
}

var _ connector.Connector = (*Connector)(nil)

// New makes the connector. Hooks that the manifest names and that are not there are an error.
func New(m *Manifest, hooks Hooks, pool *transport.Pool) (*Connector, error) {
	var missing error
	requests(reflect.ValueOf(m), "", func(at string, r *Request) {
		for name, there := range map[string]bool{r.BodyHook: hooks.Bodies[r.BodyHook] != nil, r.AnswerHook: hooks.Answers[r.AnswerHook] != nil} {
			if name != "" && !there {
				missing = fmt.Errorf("%s names the hook %s, which there is not", at, name)
			}
		}
	})
	if missing != nil {
		return nil, missing
	}
	return &Connector{m: m, hooks: hooks, pool: pool, tokens: make(map[string]*oauth.Memory)}, nil
}

// requests calls f for each request of a manifest, with the pointer to it.
func requests(v reflect.Value, at string, f func(at string, r *Request)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			requests(v.Elem(), at, f)
		}
	case reflect.Struct:
		if r, is := v.Interface().(Request); is {
			f(at, &r)
			return
		}
		for i := range v.NumField() {
			requests(v.Field(i), at+"/"+v.Type().Field(i).Tag.Get("yaml"), f)
		}
	case reflect.Slice:
		for i := range v.Len() {
			requests(v.Index(i), fmt.Sprintf("%s/%d", at, i), f)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			requests(v.MapIndex(k), at+"/"+k.String(), f)
		}
	}
}

// NewOwn makes the connector of a manifest that a tenant wrote. Budgets, tokens and recordings are the tenant's alone: space keeps
// them apart. The fault manifest.invalid names each problem with line, column and remedy.
func NewOwn(source []byte, space string, pool *transport.Pool) (*Connector, error) {
	m, err := parse(source, true)
	if err != nil {
		return nil, err
	}
	c, err := New(m, Hooks{}, pool)
	if err != nil {
		return nil, err
	}
	c.own, c.space = true, space+" "
	return c, nil
}

// MustNew is New for a manifest that is part of the program: a fault in it is a programming error and panics.
func MustNew(source []byte, hooks Hooks, pool *transport.Pool) *Connector {
	m, err := Parse(source)
	if err != nil {
		panic(fmt.Sprintf("manifest: %v", err))
	}
	c, err := New(m, hooks, pool)
	if err != nil {
		panic(fmt.Sprintf("manifest: %v", err))
	}
	return c
}

// WithWebhooks says that the program hands on what vendors tell: only then is that a way to see changes.
func (c *Connector) WithWebhooks() *Connector {
	c.told = true
	return c
}

// Manifest is what the connector was made of.
func (c *Connector) Manifest() *Manifest { return c.m }

// Environment is the setting by which a connection is switched to the simulator.
const Environment = "environment"

// SandboxMark begins a credential that belongs to a sandbox, so that a document need not say so.
const SandboxMark = "sandbox_"

// Spec is made from the manifest.
func (c *Connector) Spec() connector.Spec {
	m := c.m
	s := connector.Spec{Type: m.Type, Aliases: m.Aliases, Title: m.Title, Summary: m.Summary, Class: m.Class, Guarantee: m.Guarantee}
	for _, d := range m.Settings {
		kind := connector.Kind(d.Kind)
		s.Settings = append(s.Settings, connector.Setting{Name: d.Name, Title: d.Title, Doc: d.Doc, Kind: kind, Default: d.Default, Choices: d.Choices, Required: d.Required, Secret: d.Secret})
	}
	if len(m.Regions) > 0 {
		d := connector.Setting{Name: regionSetting, Title: "Region", Kind: connector.Choice, Default: m.Regions[0].Name, Doc: "Where the account is:"}
		for i, r := range m.Regions {
			d.Choices = append(d.Choices, r.Name)
			title := r.Title
			if title == "" {
				title = r.Name
			}
			if d.Doc += " " + r.Name + " is " + title; i < len(m.Regions)-1 {
				d.Doc += ";"
			}
		}
		d.Doc += "."
		s.Settings = append([]connector.Setting{d}, s.Settings...)
	}
	if !c.own {
		s.Settings = append(s.Settings, connector.Setting{Name: Environment, Title: "Environment", Kind: connector.Choice, Default: "production", Choices: []string{"production", "sandbox"},
			Doc: "production speaks to the vendor; sandbox to the simulator of it that comes with the program, which needs no account. Credentials that begin with " + SandboxMark + " choose the sandbox, too."})
	}
	if m.Webhook != nil && c.told {
		s.Detections = append(s.Detections, "webhook")
	}
	for _, o := range m.Objects {
		d := "timestamp"
		if o.Changes == nil || o.Changes.Style == "full" {
			d = "hash"
		}
		if !slices.Contains(s.Detections, d) {
			s.Detections = append(s.Detections, d)
		}
	}
	slices.SortFunc(s.Detections, func(a, b string) int { return rank(a) - rank(b) })
	s.Detections = append(s.Detections, "polling")
	var deletes []string
	for _, name := range slices.Sorted(maps.Keys(m.Objects)) {
		word := map[string]string{"tombstone": "tombstone", "archived": "list of the deleted", "diff": "list-diff", "webhook": "webhook", "never": "never"}[m.Objects[name].Deletes.Mode]
		deletes = append(deletes, name+": "+word)
	}
	s.Deletes = strings.Join(deletes, ", ")
	return s
}

func rank(detection string) int {
	return slices.Index([]string{"webhook", "timestamp", "hash"}, detection)
}

// regionSetting chooses between regions.
const regionSetting = "region"

// region is what differs where the account is.
func (m *Manifest) region(settings connector.Settings) map[string]any {
	out := map[string]any{}
	for i, r := range m.Regions {
		if r.Name != settings[regionSetting] && (i > 0 || settings[regionSetting] != "") {
			continue
		}
		for k, v := range r.Values {
			out[k] = v
		}
	}
	return out
}

// Sandboxed says whether the settings belong to a sandbox.
func (c *Connector) Sandboxed(settings map[string]string) bool {
	if c.own {
		return false
	}
	if settings[Environment] == "sandbox" {
		return true
	}
	for _, d := range c.m.Settings {
		if d.Secret && strings.HasPrefix(settings[d.Name], SandboxMark) {
			return true
		}
	}
	return false
}

// Open connects.
func (c *Connector) Open(ctx context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	s, err := c.open(ctx, settings, env)
	if err != nil {
		return nil, err
	}
	if env.Hints != nil && c.m.Webhook != nil && env.Detection != "polling" && env.Detection != "timestamp" && env.Detection != "hash" {
		return &watching{s}, nil
	}
	return s, nil
}

func (c *Connector) open(ctx context.Context, settings connector.Settings, env connector.Env) (*system, error) {
	if way := c.m.granting(); way != nil && env.Credentials != nil {
		kept, err := env.Credentials.Load(ctx)
		if err != nil {
			return nil, err
		}
		if kept[connector.Granted] != "" { // a person gave access: that counts, whatever else is filled in
			return c.openBy(ctx, c.sandboxApp(settings), env, way)
		}
	}
	return c.openBy(ctx, settings, env, nil)
}

// openBy connects in that way; nil is the first whose settings are filled in.
func (c *Connector) openBy(ctx context.Context, settings connector.Settings, env connector.Env, way *Auth) (*system, error) {
	spec := c.Spec()
	if d := env.Detection; d != "" && d != "auto" && !slices.Contains(spec.Detections, d) {
		return nil, &connector.Error{Class: connector.Reject, Code: "http.detection", Message: fmt.Sprintf("%s cannot see changes by %s; it can by %s.", spec.Title, d, strings.Join(spec.Detections, ", "))}
	}
	settings = c.m.trimmed(settings)
	for _, d := range c.m.Settings {
		if v := settings[d.Name]; v != "" && d.Pattern != "" {
			if ok, _ := regexp.MatchString("^(?:"+d.Pattern+")$", v); !ok {
				return nil, &connector.Error{Class: connector.Reconnect, Code: "connection.setting_malformed", Message: fmt.Sprintf("The setting %s does not look as it should. %s", d.Name, d.Doc)}
			}
		}
	}
	s := &system{c: c, m: c.m, env: env, objects: make(map[record.Object]*object), settings: maps.Clone(settings)}
	var err error
	if s.auth = way; way == nil {
		if s.auth, err = c.m.chosen(settings); err != nil {
			return nil, err
		}
	}
	plainSettings := make(map[string]any, len(settings))
	var secrets []string
	for k, v := range settings {
		plainSettings[k] = v
	}
	for _, d := range c.m.Settings {
		if d.Secret && settings[d.Name] != "" {
			secrets = append(secrets, settings[d.Name])
		}
	}
	s.scope = scope{"settings": plainSettings, "region": c.m.region(settings)}
	base := s.text(c.m.BaseURL, nil)
	s.scope["root"] = strings.TrimRight(base, "/")
	s.base, s.root = strings.TrimRight(base, "/"), strings.TrimRight(s.text(c.m.RootURL, nil), "/")
	account := s.text(c.m.AccountBy, nil)
	if account == "" {
		account = base + " " + sha([]byte(strings.Join(secrets, "\x00")))[:16]
		if len(secrets) == 0 || way != nil { // nothing tells two tenants' accounts there apart
			account += " " + env.Tenant
		}
	}
	s.account = c.space + c.m.Type + " " + account
	opts := transport.Options{Account: s.account, Dial: env.Dial, Secrets: secrets}
	if c.Sandboxed(settings) {
		if env.Sandbox == nil {
			return nil, &connector.Error{Class: connector.Reconnect, Code: "connection.no_sandbox", Message: fmt.Sprintf("There is no sandbox of %s here. Choose the environment production, or start the program with sandboxes.", spec.Title)}
		}
		opts.Through = env.Sandbox
	}
	if opts.Dial == nil {
		opts.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	if opts.TLS, err = s.clientCertificate(env.TLS); err != nil {
		return nil, err
	}
	for _, l := range c.m.Limits {
		opts.Limits = append(opts.Limits, transport.Limit{Operations: l.Operations, Calls: l.Calls, Per: duration(l.Per, time.Second), Burst: l.Burst, Records: l.Records, AtOnce: l.AtOnce})
	}
	for _, q := range c.m.Quota {
		if q.Body {
			continue
		}
		h := transport.QuotaHeader{Header: q.Header, Remaining: q.Remaining, Of: q.Of, Reserve: q.Reserve, Resets: q.Resets}
		if q.Pattern != "" {
			h.Pattern = regexp.MustCompile(q.Pattern) // checked by Parse
		}
		opts.Quotas = append(opts.Quotas, h)
	}
	if second := strings.TrimRight(s.text(c.m.SecondURL, nil), "/"); second != "" {
		opts.First, opts.Second = s.base, second
	}
	s.second = opts.Second
	s.client = c.pool.Client(opts)
	if s.creds = env.Credentials; s.creds == nil {
		s.creds = c.memoryOf(s.account)
	}
	if s.auth.tokens() { // what a token answer filled in, where the settings do not say
		kept, err := s.creds.Load(ctx)
		if err != nil {
			return nil, err
		}
		for k, v := range kept {
			if name, ok := strings.CutPrefix(k, "setting."); ok && settings[name] == "" {
				plainSettings[name] = v
			}
		}
		s.base, s.root = strings.TrimRight(s.text(c.m.BaseURL, nil), "/"), strings.TrimRight(s.text(c.m.RootURL, nil), "/")
	}
	return s, s.learn(ctx, plainSettings)
}

func (c *Connector) memoryOf(account string) *oauth.Memory {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.tokens[account]
	if k == nil {
		k = &oauth.Memory{}
		c.tokens[account] = k
	}
	return k
}

func duration(s string, otherwise time.Duration) time.Duration {
	if d, err := time.ParseDuration(s); err == nil && s != "" {
		return d
	}
	return otherwise
}

// system is one open connection.
type system struct {
	c        *Connector
	m        *Manifest
	env      connector.Env
	settings connector.Settings
	scope    scope
	base     string
	root     string
	second   string
	account  string
	auth     *Auth
	creds    connector.Credentials
	client   *transport.Client

	guarding sync.Mutex
	dropped  []string // lists that are no more
	guarded  *proof   // the token that writes carry

	mu      sync.Mutex
	objects map[record.Object]*object
	found   map[string]finding // objects that the system said there are
}

var (
	_ connector.Discoverer   = (*system)(nil)
	_ connector.Reader       = (*system)(nil)
	_ connector.KeyReader    = (*system)(nil)
	_ connector.Finder       = (*system)(nil)
	_ connector.Writer       = (*system)(nil)
	_ connector.Chooser      = (*system)(nil)
	_ connector.Pacer        = (*system)(nil)
	_ connector.Watcher      = (*watching)(nil)
	_ connector.Acknowledger = (*system)(nil)
	_ connector.Gauged       = (*system)(nil)
)

// watching is a system whose vendor tells of changes.
type watching struct{ *system }

// Watch wakes by what is told, and by the clock where messages do not tell of everything.
func (w *watching) Watch(ctx context.Context, objects []record.Object, wake func(record.Object)) error {
	sweep := duration(w.m.Webhook.Sweep, 0)
	if sweep <= 0 {
		return w.env.Hints.Wait(ctx, objects, wake)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	told, ended := make(chan record.Object), make(chan error, 1)
	go func() {
		ended <- w.env.Hints.Wait(ctx, objects, func(o record.Object) {
			select {
			case told <- o:
			case <-ctx.Done():
			}
		})
	}()
	tick := time.NewTicker(sweep)
	defer tick.Stop()
	for { // wake is called from here alone
		select {
		case err := <-ended:
			return err
		case o := <-told:
			wake(o)
		case <-tick.C:
			for _, o := range objects {
				wake(o)
			}
		}
	}
}

func (s *system) Close() error {
	s.client.Close()
	return nil
}

func (s *system) Pace() connector.Pace {
	return connector.Pace{Min: duration(s.m.Pace.Min, time.Second), Max: duration(s.m.Pace.Max, time.Minute)}
}

// Account is what budgets, quota and recordings are kept under in the pool.
func (s *system) Account() string { return s.account }

// Gauges are what this process last heard of the account.
func (s *system) Gauges() (g connector.Gauges) {
	if q, said := s.c.pool.Quota(s.account); said {
		g.Quota = &connector.QuotaLeft{Left: q.Remaining, Of: q.Of, ResetsAt: q.Resets}
	}
	if s.client.Away() {
		g.Endpoint = s.second
	}
	return g
}

func (s *system) Detection(ctx context.Context, name record.Object) (string, string, error) {
	o, _, err := s.define(ctx, name)
	if err != nil {
		return "", "", err
	}
	base := "timestamp"
	why := "The system is asked for what changed since the last look."
	switch {
	case o.Changes == nil || o.Changes.Style == "full":
		base, why = "hash", "The system cannot say what changed, so everything is read and compared."
	case o.Changes.Style == "queue":
		why = "The system keeps messages about changes until they are read."
	case o.Changes.Style == "feed":
		why = "The system keeps a feed of changes."
	}
	switch d := s.env.Detection; {
	case d == "polling":
		return "polling", "It was asked for.", nil
	case d == "hash" || d == "timestamp":
		return d, "It was asked for.", nil
	case s.env.Hints != nil && s.m.Webhook != nil:
		return "webhook", "The system tells of changes; what it does not tell is found by looking now and then.", nil
	case d == "webhook":
		return "webhook", "It was asked for.", nil
	}
	return base, why, nil
}

func (s *system) noObject(name record.Object) error {
	return &connector.Error{Class: connector.Reject, Code: "http.no_such_object", Message: fmt.Sprintf("%s has no object %q here; it has %s.", s.m.Title, name, strings.Join(s.known(), ", "))}
}

func (s *system) Check(ctx context.Context) error {
	req := s.m.Check
	if req == nil {
		all, err := s.Objects(ctx)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return &connector.Error{Class: connector.Reconnect, Code: "http.no_such_object", Message: fmt.Sprintf("%s has no objects that these credentials may see.", s.m.Title)}
		}
		first := all[0]
		if _, err := s.object(ctx, first, true); err != nil {
			return err
		}
		_, err = s.Read(ctx, connector.ReadRequest{Object: first, Limit: 1})
		return err
	}
	_, _, err := s.do(ctx, "check", *req, s.scope)
	return err
}

var _ connector.Hooked = (*Connector)(nil)

var _ http.RoundTripper = (RoundTrip)(nil)

// RoundTrip lets a function carry calls.
type RoundTrip func(*http.Request) (*http.Response, error)

// RoundTrip calls it.
func (f RoundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
