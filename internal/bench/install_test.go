// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/localdb"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/vault"
)

// cluster is a PostgreSQL server of its own.
type cluster struct {
	*localdb.Postgres
	name string
	conn *pgx.Conn
}

func newCluster(b *testing.B, name string) *cluster {
	b.Helper()
	o, err := testdb.Options()
	if err != nil {
		b.Fatal(err)
	}
	// What a small production server is given. All peers run on the same servers.
	o.Settings = map[string]string{"shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "30min", "wal_sender_timeout": "0"}
	if *top > 0 {
		o.Settings["shared_preload_libraries"] = "pg_stat_statements"
		o.Settings["pg_stat_statements.track"] = "all"
	}
	p, err := localdb.StartPostgres(context.Background(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = p.Stop(ctx)
	})
	c := &cluster{Postgres: p, name: name, conn: connect(b, p.URL())}
	if *top > 0 {
		c.exec(b, "CREATE EXTENSION pg_stat_statements")
	}
	return c
}

func connect(b *testing.B, address string) *pgx.Conn {
	b.Helper()
	c, err := pgx.Connect(context.Background(), address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// database makes a database on the cluster, dropped with the cluster, and returns its address.
func (c *cluster) database(b *testing.B, name string) string {
	b.Helper()
	c.exec(b, "CREATE DATABASE "+name)
	u, err := url.Parse(c.URL())
	if err != nil {
		b.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

func (c *cluster) exec(b *testing.B, sql string, args ...any) {
	b.Helper()
	run(b, c.conn, sql, args...)
}

func run(b *testing.B, c *pgx.Conn, sql string, args ...any) {
	b.Helper()
	if _, err := c.Exec(context.Background(), sql, args...); err != nil {
		b.Fatalf("%v\n%s", err, sql)
	}
}

func number(b *testing.B, c *pgx.Conn, sql string, args ...any) (n int64) {
	b.Helper()
	if err := c.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		b.Fatalf("%v\n%s", err, sql)
	}
	return n
}

// program is Syncline as an operator runs it: a server and a worker, on a database of its own.
type program struct {
	b       *testing.B
	db      *cluster
	own     *pgx.Conn
	binary  string
	env     []string
	address string
	key     string
	server  *exec.Cmd
	worker  *exec.Cmd
}

func install(b *testing.B, db *cluster) *program {
	b.Helper()
	dir := b.TempDir()
	p := &program{b: b, db: db, binary: filepath.Join(dir, "syncline")}
	build := exec.Command("go", "build", "-o", p.binary, "../../cmd/syncline")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("building the program: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	p.address = l.Addr().String()
	_ = l.Close()
	master := vault.NewMasterKey()
	database := db.database(b, "syncline")
	p.env = append(os.Environ(), "DATABASE_URL="+database, "SYNCLINE_MASTER_KEY="+master, "SYNCLINE_ALLOW_NETWORKS=127.0.0.0/8",
		"SYNCLINE_LISTEN="+p.address, "SYNCLINE_LOG_LEVEL=warn")
	if out, err := p.command("migrate").CombinedOutput(); err != nil {
		b.Fatalf("migrating: %v\n%s", err, out)
	}
	p.own = connect(b, database)
	p.signUp(database, master)
	p.server = p.start("serve")
	p.worker = p.start("worker")
	b.Cleanup(func() {
		for _, c := range []*exec.Cmd{p.server, p.worker} {
			if c != nil {
				_ = c.Process.Kill()
				_ = c.Wait()
			}
		}
	})
	p.until("the server to be ready", time.Minute, func() bool {
		r, err := http.Get("http://" + p.address + "/readyz")
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	return p
}

func (p *program) command(args ...string) *exec.Cmd {
	c := exec.Command(p.binary, args...)
	c.Env = p.env
	return c
}

func (p *program) start(arg string) *exec.Cmd {
	c := p.command(arg)
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		p.b.Fatal(err)
	}
	return c
}

func (p *program) signUp(database, key string) {
	ctx := context.Background()
	db, err := store.Open(ctx, database, store.Options{})
	if err != nil {
		p.b.Fatal(err)
	}
	defer db.Close()
	master, err := vault.ParseMaster(key)
	if err != nil {
		p.b.Fatal(err)
	}
	people := auth.NewManager(db.Operator(), store.InTx(db, func(tx *store.Tx) auth.Tx { return tx }), vault.New(master), auth.Options{})
	_, session, err := people.SignUp(ctx, auth.NewAccount{Email: "bench@example.com", Name: "Bench", Password: "a long enough password 42", TenantName: "Bench"}, auth.Caller{})
	if err != nil {
		p.b.Fatal(err)
	}
	text, _, err := people.CreateKey(ctx, session.Principal(auth.Caller{}), "bench", auth.Scopes, time.Time{})
	if err != nil {
		p.b.Fatal(err)
	}
	p.key = text.Reveal()
}

// call makes a request of the API; any status but those of success ends the run.
func (p *program) call(method, path, contentType, body string) {
	p.b.Helper()
	req, err := http.NewRequest(method, "http://"+p.address+path, strings.NewReader(body))
	if err != nil {
		p.b.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.key)
	if body != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if method == http.MethodPost {
		req.Header.Set("Idempotency-Key", uuid.NewString())
	} else {
		req.Header.Set("If-None-Match", "*")
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		p.b.Fatalf("%s %s: %v", method, path, err)
	}
	defer r.Body.Close()
	if answer, err := io.ReadAll(r.Body); err != nil || r.StatusCode >= 300 {
		p.b.Fatalf("%s %s: %s %v\n%s", method, path, r.Status, err, answer)
	}
}

// connection makes one to a database at that address.
func (p *program) connection(name, address string) {
	u, err := url.Parse(address)
	if err != nil {
		p.b.Fatal(err)
	}
	password, _ := u.User.Password()
	p.call("POST", "/v1/connections", "application/json", fmt.Sprintf(
		`{"name": %q, "connector": "postgresql", "settings": {"host": %q, "port": %q, "database": %q, "user": %q, "password": %q}}`,
		name, u.Hostname(), u.Port(), u.Path[1:], u.User.Username(), password))
}

func (p *program) until(what string, within time.Duration, condition func() bool) {
	p.b.Helper()
	deadline := time.Now().Add(within)
	for !condition() {
		if time.Now().After(deadline) {
			p.b.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// processes returns parent and processor time of all processes of the machine.
func processes() (parent map[int]int, used, reaped map[int]time.Duration) {
	parent, used, reaped = map[int]int{}, map[int]time.Duration{}, map[int]time.Duration{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue
		}
		f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		ticks := func(i int) time.Duration {
			n, _ := strconv.Atoi(f[i])
			return time.Duration(n) * 10 * time.Millisecond // USER_HZ is 100 on Linux
		}
		parent[pid], _ = strconv.Atoi(f[1])
		used[pid], reaped[pid] = ticks(11)+ticks(12), ticks(13)+ticks(14)
	}
	return parent, used, reaped
}

// spent is the processor time of everything that works for a measurement: the processes and what they started.
func spent(roots ...int) (sum time.Duration) {
	parent, used, reaped := processes()
	for _, root := range roots {
		sum += used[root] + reaped[root]
		for pid, up := range parent {
			if up == root {
				sum += used[pid]
			}
		}
	}
	return sum
}

// peak is the most memory that a process ever had, in bytes; clear begins anew.
func peak(pid int) int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10
		}
	}
	return 0
}

// stop ends server and worker.
func (p *program) stop() {
	_ = p.own.Close(context.Background())
	for _, c := range []**exec.Cmd{&p.server, &p.worker} {
		_ = (*c).Process.Signal(syscall.SIGTERM)
		_ = (*c).Wait()
		*c = nil
	}
}
