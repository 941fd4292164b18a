// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/store/storetest"
	"github.com/syncline-dev/syncline/internal/vault"
)

const stock = `# what the shop sells
service: stock
systems:
  - {id: warehouse, type: postgresql, connection: {host: db.example.com, database: a, user: sync, password: "${DB_PASSWORD}"}, objects: [stock], primary: true}
  - {id: shop, type: postgresql, connection: {host: shop.example.com, database: b, user: sync, password: "${DB_PASSWORD}"}, objects: [stock]}
syncConfig:
  frequency: 1h
  conflictResolution: lastWriteWins
`

// bench is the program as a server, and its client verbs.
type bench struct {
	*testing.T
	dir string
	db  *pgxpool.Pool
	key string
	url string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	address := storetest.URL(t)
	master, err := vault.ParseMaster(storetest.MasterKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := readConfig()
	if err != nil {
		t.Fatal(err)
	}
	c.DatabaseURL = address
	a, err := newApp(t.Context(), c, master, connection.GuardOptions{}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	_, session, err := a.auth.SignUp(t.Context(), auth.NewAccount{Email: "ada@example.com", Name: "Ada", Password: "correct horse battery", TenantName: "Ada Ltd"}, auth.Caller{})
	if err != nil {
		t.Fatal(err)
	}
	who := session.Principal(auth.Caller{})
	key, _, err := a.auth.CreateKey(t.Context(), who, "test", auth.Scopes, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.secrets.Set(t.Context(), who, "DB_PASSWORD", "geheim", 0); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(a.handler())
	t.Cleanup(server.Close)
	b := &bench{T: t, dir: t.TempDir(), key: key.Reveal(), url: server.URL}
	if b.db, err = pgxpool.New(context.Background(), address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.db.Close)
	t.Setenv("SYNCLINE_URL", server.URL)
	t.Setenv("SYNCLINE_API_KEY", b.key)
	t.Setenv("SYNCLINE_API_KEY_FILE", "")
	return b
}

func (b *bench) file(name, text string) string {
	b.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

func (b *bench) exec(sql string, args ...any) {
	b.Helper()
	if _, err := b.db.Exec(context.Background(), sql, args...); err != nil {
		b.Fatal(err)
	}
}

// syncline runs the program as from a shell, apart from the process: what it printed, what it said, and its exit code.
func (b *bench) syncline(args ...string) (out, talk string, code int) {
	return b.synclineIn(b.Context(), "", args...)
}

func (b *bench) synclineIn(ctx context.Context, in string, args ...string) (out, talk string, code int) {
	b.Helper()
	var stdout, stderr bytes.Buffer
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(in))
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	err := cmd.ExecuteContext(ctx)
	if strings.Contains(stdout.String()+stderr.String(), b.key) {
		b.Error("the API key was printed")
	}
	return stdout.String(), stderr.String(), codeOf(b.T, err)
}

// codeOf is the exit code that main would end with.
func codeOf(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var exit exitWith
	if !errors.As(err, &exit) {
		t.Logf("error: %v", err)
	}
	return report(err)
}

func TestValidatePlanApplyExport(t *testing.T) {
	b := newBench(t)
	good := b.file("stock.yaml", stock)
	bad := b.file("bad.yaml", strings.Replace(stock, "lastWriteWins", "coinToss", 1))

	out, talk, code := b.syncline("validate", "-f", good)
	if code != 0 || strings.Contains(out, "error:") || !strings.Contains(talk, "is valid") {
		t.Errorf("validate: %d %q %q", code, out, talk)
	}
	out, _, code = b.syncline("validate", "-f", good, "-f", bad)
	if code != exitInvalid || !strings.Contains(out, bad+":8:23: error: ") || !strings.Contains(out, "(service.value_unknown)") {
		t.Errorf("validate a bad one: %d %q", code, out)
	}
	out, _, code = b.synclineIn(t.Context(), stock, "plan", "-f", "-", "--documents", "--detailed-exitcode")
	if code != exitInvalid || !strings.Contains(out, "stock is new") || !strings.Contains(out, "+ service: \"stock\"") {
		t.Errorf("plan a new one: %d %q", code, out)
	}
	// A mistake in the second document leaves the first unapplied.
	if _, _, code = b.syncline("apply", "-f", good, "-f", bad); code != exitInvalid {
		t.Errorf("apply with a bad one: %d", code)
	}
	if out, talk, _ := b.syncline("status"); !strings.Contains(talk, "no service yet") {
		t.Errorf("something was applied: %q %q", out, talk)
	}
	if _, _, code = b.syncline("apply", "-f", good, "--dry-run"); code != 0 {
		t.Errorf("a dry run: %d", code)
	}
	out, talk, code = b.syncline("apply", "-f", good, "--note", "first")
	if code != 0 || !strings.Contains(talk, "stock is made") || !strings.Contains(talk, "first run is queued") {
		t.Errorf("apply: %d %q %q", code, out, talk)
	}
	if out, _, code = b.syncline("plan", "-f", good, "--documents", "--detailed-exitcode"); code != 0 || !strings.Contains(out, "no changes") {
		t.Errorf("plan the same: %d %q", code, out)
	}
	second := b.file("second.yaml", strings.Replace(stock, "lastWriteWins", "sourceWins", 1))
	out, _, code = b.syncline("plan", "-f", second, "--documents", "--detailed-exitcode")
	if code != exitInvalid || !strings.Contains(out, `~ syncConfig.conflictResolution`) || !strings.Contains(out, `"lastWriteWins" -> "sourceWins"`) || strings.Contains(out, "\x1b") {
		t.Errorf("plan a change: %d %q", code, out)
	}
	if _, talk, code = b.syncline("apply", "-q", "-f", second); code != 0 || talk != "" {
		t.Errorf("apply quietly: %d %q", code, talk)
	}
	// Exported as it was written, comment and all, and it is what is live.
	if out, _, _ = b.syncline("export", "stock", "--revision", "1"); out != stock {
		t.Errorf("exported:\n%s", out)
	}
	to := filepath.Join(b.dir, "out.json")
	if _, _, code = b.syncline("export", "stock", "--format", "json", "-o", to); code != 0 {
		t.Errorf("export to a file: %d", code)
	}
	if out, _, code = b.syncline("plan", "-f", to, "--documents", "--detailed-exitcode"); code != 0 {
		t.Errorf("what was exported differs from what is live: %d %q", code, out)
	}
	out, _, _ = b.syncline("apply", "-f", to, "--json")
	var applied struct{ Revised bool }
	if err := json.Unmarshal([]byte(out), &applied); err != nil || applied.Revised {
		t.Errorf("apply --json: %q %v", out, err)
	}
}

func TestRunAndStatus(t *testing.T) {
	b := newBench(t)
	if _, _, code := b.syncline("apply", "-f", b.file("stock.yaml", stock)); code != 0 {
		t.Fatal("apply failed")
	}
	// Nobody carries services here: the run waits, and Ctrl-C cancels it.
	ctx, interrupt := context.WithCancel(t.Context())
	var waiting pollUntil
	go waiting.do(t, func() bool {
		var n int
		_ = b.db.QueryRow(context.Background(), `SELECT count(*) FROM idempotency_keys WHERE status = 202`).Scan(&n)
		return n > 0
	}, interrupt)
	out, talk, code := b.synclineIn(ctx, "", "run", "stock")
	if code != exitFailed || !strings.Contains(out, "cancelled") || !strings.Contains(talk, "Cancelling") {
		t.Errorf("run and Ctrl-C: %d %q %q", code, out, talk)
	}
	out, _, code = b.syncline("run", "stock", "--detach")
	if code != 0 || !strings.Contains(out, "queued") {
		t.Fatalf("run --detach: %d %q", code, out)
	}
	// The engine is under way, and comes to its end while somebody follows.
	b.exec(`UPDATE runs SET state = 'running', started_at = now(), counts = '{"warehouse": {"done": 40, "total": 100, "read": 40}}' WHERE state = 'queued'`)
	go waiting.do(t, func() bool {
		var n int
		_ = b.db.QueryRow(context.Background(), `SELECT count(*) FROM runs WHERE state = 'queued'`).Scan(&n)
		return n > 0
	}, func() {
		b.exec(`UPDATE runs SET state = 'succeeded', started_at = now(), finished_at = now(), counts = '{"warehouse": {"done": 100, "total": 100, "read": 100, "created": 7}}' WHERE state = 'queued'`)
	})
	out, talk, code = b.syncline("run", "stock")
	if code != 0 || !strings.Contains(out, "succeeded") || !strings.Contains(out, "CREATED") || !strings.Contains(talk, "100 of 100 records") {
		t.Errorf("run to the end: %d %q %q", code, out, talk)
	}
	out, talk, code = b.syncline("status", "stock")
	if code != 0 || !strings.Contains(out, "stock is active, revision 1") || !strings.Contains(out, "warehouse") || !strings.Contains(talk, "40 of 100") {
		t.Errorf("status: %d %q %q", code, out, talk)
	}
	if out, _, _ = b.syncline("status"); !strings.Contains(out, "stock") || !strings.Contains(out, "active") {
		t.Errorf("status of all: %q", out)
	}
	if out, _, _ = b.syncline("status", "stock", "--json"); !json.Valid([]byte(out)) {
		t.Errorf("status --json: %q", out)
	}
}

// Ctrl-C while the run is being asked for: the server begins it, and it is cancelled all the same.
func TestInterruptedWhileAsking(t *testing.T) {
	b := newBench(t)
	if _, _, code := b.syncline("apply", "-f", b.file("stock.yaml", stock)); code != 0 {
		t.Fatal("apply failed")
	}
	to, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	for _, tt := range []struct{ args, asked, says string }{
		{"run stock", "/runs", "Cancelling; what was committed stays."}, {"run stock --dry-run", "/runs", "Cancelling the plan."}, {"proof stock --run", "/proof", "Comparing all records"},
	} {
		ctx, interrupt := context.WithCancel(t.Context())
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, tt.asked) {
				interrupt()
				r = r.WithContext(context.WithoutCancel(r.Context())) // it has arrived, and is carried out whoever waits for the answer
			}
			proxy.ServeHTTP(w, r)
		}))
		t.Cleanup(server.Close)
		t.Setenv("SYNCLINE_URL", server.URL)
		out, talk, _ := b.synclineIn(ctx, "", strings.Fields(tt.args)...)
		if ctx.Err() == nil || !strings.Contains(talk, tt.says) {
			t.Errorf("%s: %q %q", tt.args, out, talk)
		}
	}
	var runs, cancelled int
	if err := b.db.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE state = 'cancelled') FROM runs`).Scan(&runs, &cancelled); err != nil || runs == 0 || cancelled != runs {
		t.Errorf("%d of %d runs are cancelled, %v", cancelled, runs, err)
	}
}

// The line of a service says what it guarantees, unless that is the plain default, and when it is late.
func TestStatusOfConsistency(t *testing.T) {
	b := newBench(t)
	line := func() string {
		out, _, _ := b.syncline("status", "stock")
		first, _, _ := strings.Cut(out, "\n")
		return first
	}
	apply := func(settings string) {
		b.Helper()
		if _, talk, code := b.syncline("apply", "-f", b.file("stock.yaml", strings.Replace(stock, "frequency: 1h\n", settings, 1))); code != 0 {
			b.Fatal(talk)
		}
	}
	apply("frequency: realtime\n")
	if got := line(); got != "stock is active, revision 1" {
		t.Errorf("by default: %q", got)
	}
	apply("frequency: realtime\n  consistency: strong\n")
	if got := line(); got != "stock is active, revision 2, strong" {
		t.Errorf("strong: %q", got)
	}
	apply("frequency: realtime\n  consistency: {level: eventual, maxDelay: 1h}\n")
	owe := func(age string) {
		b.exec(`INSERT INTO deliveries (tenant_id, service_id, system, collection, entity_id, since, due_at)
SELECT tenant_id, id, 'shop', 'stock', gen_random_uuid(), now() - $1::interval, now() FROM services`, age)
	}
	owe("59 minutes")
	if got := line(); got != "stock is active, revision 3, eventual within 1h0m0s" {
		t.Errorf("with a limit: %q", got)
	}
	owe("2 hours")
	if got := line(); !strings.HasPrefix(got, "stock is active, revision 3, eventual within 1h0m0s, late: shop is 2h0m") {
		t.Errorf("late: %q", got)
	}
}

// pollUntil acts once a condition holds.
type pollUntil struct{}

func (pollUntil) do(t *testing.T, holds func() bool, act func()) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if holds() {
			act()
			return
		}
	}
	t.Error("what was waited for did not happen")
}

func TestHowTheClientFails(t *testing.T) {
	b := newBench(t)
	if _, _, code := b.syncline("status", "nothing"); code != exitFailed {
		t.Errorf("an unknown service: %d", code)
	}
	for _, args := range [][]string{{"export"}, {"run", "a", "b"}, {"plan"}, {"status", "--jsn"}, {"export", "stock", "--format", "xml"}} {
		if _, _, code := b.syncline(args...); code != exitUsage {
			t.Errorf("%v: %d, want %d", args, code, exitUsage)
		}
	}
	t.Setenv("SYNCLINE_API_KEY", "sl_live_wrong")
	if _, _, code := b.syncline("status"); code != exitFailed {
		t.Errorf("a wrong key: %d", code)
	}
	t.Setenv("SYNCLINE_API_KEY", "")
	if _, _, code := b.syncline("status"); code != exitUsage {
		t.Errorf("no key: %d", code)
	}
	// From a file, and from what `syncline dev` left.
	t.Setenv("SYNCLINE_API_KEY_FILE", b.file("key", b.key+"\n"))
	if _, _, code := b.syncline("status"); code != 0 {
		t.Errorf("a key in a file: %d", code)
	}
	t.Setenv("SYNCLINE_API_KEY_FILE", "")
	t.Setenv("SYNCLINE_URL", "")
	t.Chdir(b.dir)
	if _, _, code := b.syncline("status"); code != exitUsage {
		t.Errorf("nothing is configured: %d", code)
	}
	if err := os.Mkdir(".syncline", 0o700); err != nil {
		t.Fatal(err)
	}
	b.file(".syncline/dev.json", `{"url":"`+b.url+`","apiKey":"`+b.key+`"}`)
	if _, _, code := b.syncline("status"); code != 0 {
		t.Errorf("beside syncline dev: %d", code)
	}
	// Nobody there, and somebody else there.
	gone := httptest.NewServer(nil)
	gone.Close()
	t.Setenv("SYNCLINE_URL", gone.URL)
	t.Setenv("SYNCLINE_API_KEY", b.key)
	cmd := root()
	cmd.SetArgs([]string{"status"})
	if err := cmd.ExecuteContext(t.Context()); !fault.IsCode(err, "cmd.unreachable") {
		t.Errorf("nobody answers: %v", err)
	}
	other := httptest.NewServer(nil)
	defer other.Close()
	t.Setenv("SYNCLINE_URL", other.URL)
	cmd = root()
	cmd.SetArgs([]string{"status"})
	if err := cmd.ExecuteContext(t.Context()); !fault.IsCode(err, "cmd.unexpected_answer") {
		t.Errorf("somebody else answers: %v", err)
	}
}

// What the brake holds is seen and decided from a shell.
func TestHolds(t *testing.T) {
	b := newBench(t)
	if _, talk, code := b.syncline("apply", "-f", b.file("stock.yaml", stock), "--yes"); code != 0 {
		t.Fatalf("apply: %d %s", code, talk)
	}
	if _, talk, code := b.syncline("holds"); code != 0 || !strings.Contains(talk, "Nothing is held") {
		t.Errorf("without holds: %d %q", code, talk)
	}
	b.exec(`INSERT INTO holds (tenant_id, id, service_id, system, object, collection, kind, state, reason, opened_at)
SELECT tenant_id, ('0192f000-0000-7000-8000-00000000000' || n)::uuid, id, 'warehouse', 'stock', 'stock', k, 'open', '3 deletions, and 2 are allowed', now()
FROM services, (VALUES (1, 'deletes'), (2, 'values')) v (n, k)`)
	out, talk, code := b.syncline("holds", "stock")
	if code != 1 || !strings.Contains(out, "3 deletions, and 2 are allowed") || !strings.Contains(talk, "2 wait") {
		t.Fatalf("holds: %d %q %q", code, out, talk)
	}
	id := func(kind string) string {
		for line := range strings.Lines(out) {
			if strings.Contains(line, kind) {
				return strings.Fields(line)[0]
			}
		}
		t.Fatalf("no %s in %q", kind, out)
		return ""
	}
	if _, _, code := b.syncline("reject", id("deletes")); code != 2 {
		t.Errorf("reject without a reason: %d", code)
	}
	if out, _, code := b.syncline("reject", id(" values"), "--reason", "a slip", "--restore"); code != 0 || !strings.Contains(out, "shall not be") {
		t.Errorf("reject: %d %q", code, out)
	}
	if out, _, code := b.syncline("release", id("deletes"), "--note", "meant"); code != 0 || !strings.Contains(out, "go on") {
		t.Errorf("release: %d %q", code, out)
	}
	if _, _, code := b.syncline("release", id("deletes")); code != 1 {
		t.Errorf("a second release: %d", code)
	}
	if _, talk, code := b.syncline("holds"); code != 0 {
		t.Errorf("after all is decided: %d %q", code, talk)
	}
}

// A connector of one's own is tried, saved, listed, exported and deleted.
func TestOwnConnectorByProgram(t *testing.T) {
	b := newBench(t)
	source := "manifest: 1\ntype: bazaar\ntitle: Bazaar\nsummary: Articles.\nbaseUrl: http://127.0.0.1:1\nobjects:\n  articles:\n    key: [id]\n    fields: [{name: id}]\n" +
		"    list: {request: {path: /articles}, paging: {style: none}}\n    deletes: {mode: never}\n    get: {request: {path: \"/articles/{key}\"}}\n"
	good, bad := b.file("bazaar.yaml", source), b.file("bad.yaml", strings.Replace(source, "key:", "keys:", 1))
	if out, talk, code := b.syncline("connectors", "test", "-f", bad); code != exitInvalid || !strings.Contains(out+talk, "bad.yaml:8:") {
		t.Errorf("a bad manifest: %d %q %q", code, out, talk)
	}
	if out, _, code := b.syncline("connectors", "test", "-f", good); code != exitFailed || !strings.Contains(out, "reached: no") {
		t.Errorf("a system that nobody reaches: %d %q", code, out)
	}
	if _, talk, code := b.syncline("connectors", "apply", "-f", good); code != 0 || !strings.Contains(talk, "bazaar is made") {
		t.Errorf("apply: %d %q", code, talk)
	}
	if _, talk, code := b.syncline("connectors", "apply", "-f", b.file("next.yaml", strings.Replace(source, "Articles.", "All articles.", 1)), "--note", "more"); code != 0 || !strings.Contains(talk, "version 2") {
		t.Errorf("apply again: %d %q", code, talk)
	}
	if out, _, _ := b.syncline("connectors"); !strings.Contains(out, "bazaar") || !strings.Contains(out, "version 2") {
		t.Errorf("the list is %q", out)
	}
	if out, _, _ := b.syncline("connectors", "export", "bazaar"); !strings.Contains(out, "All articles.") {
		t.Errorf("exported %q", out)
	}
	if _, talk, code := b.syncline("connectors", "delete", "bazaar"); code != 0 || !strings.Contains(talk, "is deleted") {
		t.Errorf("delete: %d %q", code, talk)
	}
}
