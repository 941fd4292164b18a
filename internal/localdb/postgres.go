// SPDX-License-Identifier: Apache-2.0

package localdb

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/fault"
)

// Postgres is a private PostgreSQL server.
type Postgres struct {
	s *server
	k *postgres
}

// StartPostgres starts PostgreSQL in opts.Dir, making the data directory at the first start. It returns once the server
// answers: about half a second the first time, a tenth of that later. A cancelled ctx gives up and leaves nothing running.
func StartPostgres(ctx context.Context, opts Options) (*Postgres, error) {
	installed, err := FindPostgres(ctx)
	if err != nil {
		return nil, err
	}
	acc, err := serverAccount("postgres")
	if err != nil {
		return nil, err
	}
	h, err := openHome(opts.Dir, acc)
	if err != nil {
		return nil, err
	}
	k := &postgres{home: h, opts: opts, installed: installed}
	p := &Postgres{k: k, s: &server{home: h, opts: opts, kind: k}}
	if err := p.s.open(ctx); err != nil {
		return nil, err
	}
	if opts.Durable && k.made {
		go flush(h.base) // initdb left this to us; see prepare
	}
	return p, nil
}

// URL of the database postgres, as its superuser.
func (p *Postgres) URL() string { return p.DatabaseURL("postgres") }

// DatabaseURL is the URL of the named database, as the superuser.
func (p *Postgres) DatabaseURL(database string) string { return p.k.url(p.s.port, database) }

// Port on 127.0.0.1. It stays the same over Restart unless another program took it meanwhile.
func (p *Postgres) Port() int { return p.s.port }

// PID of the server, for tests that end it from outside.
func (p *Postgres) PID() int { return p.s.processID() }

// SocketDir holds the Unix socket; "" when no path short enough was at hand.
func (p *Postgres) SocketDir() string { return p.s.home.socketDir() }

// BinDir holds psql and the other programs of the same version.
func (p *Postgres) BinDir() string { return p.k.bin.Dir }

// Done is closed when the running server ends, for whatever reason. Ask again after Restart.
func (p *Postgres) Done() <-chan struct{} { return p.s.done() }

// Stop shuts the server down cleanly, disconnecting its clients, and gives up the directory. The context bounds the
// clean part; what takes longer is ended at once and reported as localdb.stop_forced (nothing committed is lost).
func (p *Postgres) Stop(ctx context.Context) error { return p.s.stop(ctx) }

// Kill ends the server as kill -9 does and waits until it is gone. Restart recovers it.
func (p *Postgres) Kill() { p.s.kill() }

// Restart stops the server if it runs and starts it again with the same data.
func (p *Postgres) Restart(ctx context.Context) error { return p.s.restart(ctx) }

// postgres is the kind.
type postgres struct {
	home      *home
	opts      Options
	installed []PostgresBinaries
	bin       PostgresBinaries
	password  string
	made      bool // the data directory was made by this start
}

func (k *postgres) name() string    { return "PostgreSQL" }
func (k *postgres) pidFile() string { return filepath.Join(k.home.data(), "postmaster.pid") }

// SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one.
func (k *postgres) signals() (stop, abort syscall.Signal) { return syscall.SIGINT, syscall.SIGQUIT }

func (k *postgres) url(port int, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("postgres", k.password),
		Host: "127.0.0.1:" + strconv.Itoa(port), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

func (k *postgres) prepare(ctx context.Context) error {
	if b, err := os.ReadFile(filepath.Join(k.home.data(), "PG_VERSION")); err == nil {
		return k.matching(strings.TrimSpace(string(b)))
	}
	k.bin, k.made = k.installed[0], true
	k.password = newPassword()
	fresh, err := k.home.freshData(ctx)
	if err != nil {
		return err
	}
	passwordFile := filepath.Join(k.home.base, "password.new")
	if err := k.home.give(passwordFile, k.password); err != nil {
		return err
	}
	defer func() { _ = os.Remove(passwordFile) }()
	// --no-sync saves a quarter second; StartPostgres flushes behind the first start instead.
	cmd := exec.CommandContext(ctx, filepath.Join(k.bin.Dir, "initdb"), "--pgdata", fresh, "--username=postgres",
		"--pwfile", passwordFile, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	if err := k.home.fill(ctx, cmd, k.name()); err != nil {
		return err
	}
	if err := k.home.write("password", k.password+"\n"); err != nil {
		return err
	}
	return k.home.keep(fresh)
}

// matching picks the installed version that made the data directory; another one cannot read it.
func (k *postgres) matching(version string) error {
	for _, b := range k.installed {
		if strconv.Itoa(b.Major) == version {
			k.bin = b
			if k.password = k.home.read("password"); k.password == "" {
				return fault.New(fault.Unavailable, "localdb.dir_unusable",
					"the file %s with the database password is missing; restore it, or remove %s to begin with an empty database",
					k.home.file("password"), k.home.dir)
			}
			return nil
		}
	}
	return fault.New(fault.Unavailable, "localdb.version_mismatch",
		"the database in %s was made by PostgreSQL %s, which is not installed any more (found: %d). Install postgresql-%s, "+
			"or remove the directory to begin with an empty database", k.home.dir, version, k.installed[0].Major, version)
}

func (k *postgres) command(port int) (*exec.Cmd, error) {
	if err := k.home.give(filepath.Join(k.home.data(), "postgresql.conf"), k.configuration(port)); err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(k.bin.Dir, "postgres"), "-D", k.home.data()) //nolint:noctx // outlives the context of its start
	cmd.SysProcAttr, cmd.Env, cmd.Dir = k.home.account.attributes(), serverEnvironment(), "/"
	return cmd, nil
}

// configuration is the whole postgresql.conf, written at each start, so that what runs is what stands here.
func (k *postgres) configuration(port int) string {
	settings := []setting{
		{"listen_addresses", "127.0.0.1"},
		{"port", strconv.Itoa(port)},
		{"unix_socket_directories", k.home.socketDir()},
		{"unix_socket_permissions", "0700"},
		{"password_encryption", "scram-sha-256"},
		{"max_connections", strconv.Itoa(k.opts.connections())},
		{"shared_buffers", "64MB"},
		{"dynamic_shared_memory_type", k.sharedMemory()},
		{"wal_level", "logical"}, // connectors read changes from it
		{"max_wal_senders", "64"},
		{"max_replication_slots", "64"},
		{"max_wal_size", "1GB"},
		{"jit", "off"}, // costs 100 ms on first use and our queries are short
		{"timezone", "UTC"},
		{"log_timezone", "UTC"},
		{"lc_messages", "C"}, // complaint reads them
		{"log_checkpoints", "off"},
		{"synchronous_commit", "on"}, // with fsync off too: else kill -9 loses commits, and logical decoding lags by 200 ms
	}
	if !k.opts.Durable {
		settings = append(settings,
			setting{"fsync", "off"},
			setting{"full_page_writes", "off"},
			setting{"checkpoint_timeout", "30min"},
			setting{"autovacuum_naptime", "1min"},
		)
	}
	var b strings.Builder
	b.WriteString("# Written by syncline at each start; changes here are lost. Use ALTER SYSTEM instead.\n")
	for _, s := range with(settings, k.opts.Settings) {
		fmt.Fprintf(&b, "%s = '%s'\n", s.name, strings.ReplaceAll(s.value, "'", "''"))
	}
	return b.String()
}

// sharedMemory is PostgreSQL's usual kind, or files where a container or chroot offers no place for that.
func (k *postgres) sharedMemory() string {
	if runtime.GOOS == "linux" && !k.home.account.reaches("/dev/shm") {
		return "mmap"
	}
	return "posix"
}

// ping connects and makes sure that who answers on the port is our server.
func (k *postgres) ping(ctx context.Context, port int) error {
	conn, err := pgconn.Connect(ctx, k.url(port, "postgres"))
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && refused.Code == "28P01" {
		return fault.Wrap(err, fault.Unavailable, "localdb.dir_unusable",
			"the database in %s does not accept the password in %s; restore that file, or remove the directory to begin "+
				"with an empty database", k.home.dir, k.home.file("password"))
	}
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	result := conn.ExecParams(ctx, "SHOW data_directory", nil, nil, nil, nil).Read()
	if result.Err != nil {
		return result.Err
	}
	if got := string(result.Rows[0][0]); got != k.home.data() {
		return fmt.Errorf("port %d is served by another PostgreSQL, in %s", port, got)
	}
	return nil
}

func (k *postgres) complaint(log string) complaint {
	switch {
	case strings.Contains(log, "Address already in use"), strings.Contains(log, "could not create any TCP/IP sockets"):
		return portTaken
	case strings.Contains(log, "pre-existing shared memory block"):
		return orphans
	}
	return other
}
