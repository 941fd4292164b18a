// SPDX-License-Identifier: Apache-2.0

package killtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/localdb"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/vault"
)

// installation is Syncline as an operator runs it: one PostgreSQL, one server, two workers.
type installation struct {
	t        *testing.T
	postgres *localdb.Postgres
	binary   string
	env      []string
	address  string
	key      string
	server   *process
	workers  [2]*process
}

// process is one of our programs, started again after each kill.
type process struct {
	t    *testing.T
	name string
	args []string
	env  []string
	bin  string
	log  *os.File
	cmd  *exec.Cmd
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.bin, p.args...)
	p.cmd.Env = p.env
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("starting %s: %v", p.name, err)
	}
}

// kill ends the process without warning.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func install(t *testing.T) *installation {
	t.Helper()
	in := &installation{t: t, binary: filepath.Join(t.TempDir(), "syncline")}
	build := exec.Command("go", "build", "-o", in.binary, "../../cmd/syncline")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	in.postgres = testdb.OwnPostgres(t)
	in.address = freeAddress(t)
	in.env = append(os.Environ(),
		"DATABASE_URL="+in.postgres.URL(), "SYNCLINE_MASTER_KEY="+vault.NewMasterKey(), "SYNCLINE_ALLOW_NETWORKS=127.0.0.0/8",
		"SYNCLINE_LISTEN="+in.address, "SYNCLINE_LEASE=2s", "SYNCLINE_SLOTS=8", "SYNCLINE_LOG_LEVEL=info")
	in.run("migrate")
	in.key = in.signUp()
	in.server = in.process("server", "serve")
	for i := range in.workers {
		in.workers[i] = in.process(fmt.Sprintf("worker %d", i+1), "worker")
	}
	in.server.start()
	for _, w := range in.workers {
		w.start()
	}
	t.Cleanup(func() {
		for _, p := range []*process{in.server, in.workers[0], in.workers[1]} {
			p.kill()
		}
	})
	in.ready()
	return in
}

func (in *installation) process(name string, args ...string) *process {
	log, err := os.Create(filepath.Join(in.t.TempDir(), "log"))
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() {
		if in.t.Failed() {
			b, _ := os.ReadFile(log.Name())
			in.t.Logf("the end of %s's log:\n%s", name, b[max(0, len(b)-4000):])
		}
		_ = log.Close()
	})
	return &process{t: in.t, name: name, args: args, env: in.env, bin: in.binary, log: log}
}

func (in *installation) run(args ...string) {
	in.t.Helper()
	cmd := exec.Command(in.binary, args...)
	cmd.Env = in.env
	if out, err := cmd.CombinedOutput(); err != nil {
		in.t.Fatalf("syncline %v: %v\n%s", args, err, out)
	}
}

// signUp makes a tenant and an API key, as the sign-up page does.
func (in *installation) signUp() string {
	in.t.Helper()
	ctx := context.Background()
	db, err := store.Open(ctx, in.postgres.URL(), store.Options{})
	if err != nil {
		in.t.Fatal(err)
	}
	defer db.Close()
	var key string
	for _, e := range in.env {
		if k, ok := bytes.CutPrefix([]byte(e), []byte("SYNCLINE_MASTER_KEY=")); ok {
			key = string(k)
		}
	}
	master, err := vault.ParseMaster(key)
	if err != nil {
		in.t.Fatal(err)
	}
	people := auth.NewManager(db.Operator(), store.InTx(db, func(tx *store.Tx) auth.Tx { return tx }), vault.New(master), auth.Options{})
	_, session, err := people.SignUp(ctx, auth.NewAccount{Email: "kill@example.com", Name: "Kill", Password: "a long enough password 42", TenantName: "Kill"}, auth.Caller{})
	if err != nil {
		in.t.Fatal(err)
	}
	text, _, err := people.CreateKey(ctx, session.Principal(auth.Caller{}), "test", auth.Scopes, time.Time{})
	if err != nil {
		in.t.Fatal(err)
	}
	return text.Reveal()
}

// ready waits until the server answers that it can work.
func (in *installation) ready() {
	in.t.Helper()
	waitFor(in.t, "the server to be ready", 30*time.Second, func() bool {
		r, err := http.Get("http://" + in.address + "/readyz")
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

// call makes a request of the API and decodes the answer; any status but those of success fails the test.
func (in *installation) call(method, path string, body, answer any) {
	in.t.Helper()
	var reader io.Reader
	contentType := "application/json"
	switch b := body.(type) {
	case nil:
	case string:
		reader, contentType = bytes.NewReader([]byte(b)), "application/yaml"
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			in.t.Fatal(err)
		}
		reader = bytes.NewReader(encoded)
	}
	req, err := http.NewRequest(method, "http://"+in.address+path, reader)
	if err != nil {
		in.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+in.key)
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	if method == http.MethodPost {
		req.Header.Set("Idempotency-Key", uuid.NewString())
	}
	if method == http.MethodPut {
		req.Header.Set("If-None-Match", "*")
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		in.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode >= 300 {
		in.t.Fatalf("%s %s: %s %v\n%s", method, path, r.Status, err, b)
	}
	if answer != nil {
		if err := json.Unmarshal(b, answer); err != nil {
			in.t.Fatalf("%s %s: %v\n%s", method, path, err, b)
		}
	}
}

// freeAddress is none of the system's choice: those are also handed to every other test's server, so the program that was killed would
// sometimes find its port taken when it comes back.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(10_000))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// waitFor looks often until the condition holds, and fails after the time.
func waitFor(t *testing.T, what string, within time.Duration, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// settings are a connection's settings for a database at a URL.
func settings(address string) map[string]string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	password, _ := u.User.Password()
	return map[string]string{"host": u.Hostname(), "port": u.Port(), "database": u.Path[1:], "user": u.User.Username(), "password": password}
}
