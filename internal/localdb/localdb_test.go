// SPDX-License-Identifier: Apache-2.0

package localdb_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/localdb"
)

// A private is what both kinds of server have in common.
type private interface {
	Port() int
	PID() int
	Done() <-chan struct{}
	Stop(context.Context) error
	Kill()
	Restart(context.Context) error
}

// A brand is one of the two kinds, as these tests see it.
type brand struct {
	name  string
	start func(context.Context, localdb.Options) (private, error)
	open  func(private) (*sql.DB, error)
}

var brands = []brand{
	{
		name: "PostgreSQL",
		start: func(ctx context.Context, o localdb.Options) (private, error) {
			p, err := localdb.StartPostgres(ctx, o)
			if err != nil {
				return nil, err
			}
			return p, nil
		},
		open: func(p private) (*sql.DB, error) { return sql.Open("pgx", p.(*localdb.Postgres).URL()) },
	},
	{
		name: "MariaDB",
		start: func(ctx context.Context, o localdb.Options) (private, error) {
			m, err := localdb.StartMySQL(ctx, o)
			if err != nil {
				return nil, err
			}
			return m, nil
		},
		open: func(m private) (*sql.DB, error) { return sql.Open("mysql", m.(*localdb.MySQL).DSN("mysql")) },
	},
}

// each runs a test for both kinds.
func each(t *testing.T, test func(t *testing.T, b brand)) {
	for _, b := range brands {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			test(t, b)
		})
	}
}

// directory is one that other accounts may pass through, unlike t.TempDir.
func directory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "syncline-localdb-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "db")
}

func (b brand) started(t *testing.T, o localdb.Options) private {
	t.Helper()
	s, err := b.start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s private) {
	t.Helper()
	if err := s.Stop(context.Background()); err != nil {
		t.Errorf("stopping: %v", err)
	}
}

func (b brand) exec(t *testing.T, s private, statements ...string) {
	t.Helper()
	db, err := b.open(s)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func (b brand) value(t *testing.T, s private, query string) string {
	t.Helper()
	db, err := b.open(s)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var got string
	if err := db.QueryRowContext(t.Context(), query).Scan(&got); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return got
}

// eventually waits for what the other side does in its own time.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen within a minute", what)
		}
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if !fault.IsCode(err, code) {
		t.Fatalf("got %v, want the fault %s", err, code)
	}
	if _, err := os.Stat("../../docs/errors/" + code + ".md"); err != nil {
		t.Errorf("the code has no page: %v", err)
	}
}

func TestDataStaysOverStops(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b brand) {
		o := localdb.Options{Dir: directory(t), Durable: true}
		first := b.started(t, o)
		b.exec(t, first, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)")
		port := first.Port()
		stop(t, first)
		select {
		case <-first.Done():
		default:
			t.Error("the server still runs after Stop")
		}

		second := b.started(t, o)
		if got := b.value(t, second, "SELECT count(*) FROM kept"); got != "1" {
			t.Errorf("%s rows are left, want 1", got)
		}
		if second.Port() != port {
			t.Errorf("the second start took port %d, want %d as before", second.Port(), port)
		}
		info, err := os.Stat(filepath.Join(o.Dir, "password"))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("the password file has mode %o, want 600", info.Mode().Perm())
		}
	})
}

func TestPasswordIsNeeded(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b brand) {
		s := b.started(t, localdb.Options{Dir: directory(t)})
		for _, password := range []string{"", "guess"} {
			driver, dsn := "pgx", fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%d/postgres?sslmode=disable", password, s.Port())
			if b.name == "MariaDB" {
				driver, dsn = "mysql", fmt.Sprintf("root:%s@tcp(127.0.0.1:%d)/", password, s.Port())
			}
			db, err := sql.Open(driver, dsn)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.PingContext(t.Context()); err == nil {
				t.Errorf("the password %q let us in", password)
			}
			db.Close()
		}
	})
}

func TestServersAreReadyForChangeCapture(t *testing.T) {
	t.Parallel()
	wants := map[string]map[string]string{
		"PostgreSQL": {"SHOW wal_level": "logical", "SHOW max_replication_slots": "64", "SHOW max_connections": "70",
			"SHOW synchronous_commit": "on", "SHOW fsync": "off", "SHOW work_mem": "5MB", "SHOW timezone": "UTC"},
		"MariaDB": {"SELECT @@log_bin": "1", "SELECT @@binlog_format": "ROW", "SELECT @@binlog_row_image": "FULL",
			"SELECT @@server_id": "1", "SELECT @@max_connections": "70", "SELECT @@sort_buffer_size": "65536"},
	}
	settings := map[string]map[string]string{"PostgreSQL": {"work_mem": "5MB"}, "MariaDB": {"sort_buffer_size": "64K"}}
	each(t, func(t *testing.T, b brand) {
		s := b.started(t, localdb.Options{Dir: directory(t), MaxConnections: 70, Settings: settings[b.name]})
		for query, want := range wants[b.name] {
			if got := b.value(t, s, query); got != want {
				t.Errorf("%s is %s, want %s", query, got, want)
			}
		}
	})
}

func TestKillLosesNothingCommitted(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b brand) {
		s := b.started(t, localdb.Options{Dir: directory(t)})
		b.exec(t, s, "CREATE TABLE kept (n int)")
		port := s.Port()
		for n := range 3 {
			b.exec(t, s, fmt.Sprintf("INSERT INTO kept VALUES (%d)", n))
			if n == 1 { // from outside, as an operator or the kernel would
				if err := syscall.Kill(s.PID(), syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				<-s.Done()
			} else {
				s.Kill()
			}
			if err := s.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, want := b.value(t, s, "SELECT count(*) FROM kept"), strconv.Itoa(n+1); got != want {
				t.Errorf("after kill %d there are %s rows, want %s", n+1, got, want)
			}
		}
		if s.Port() != port {
			t.Errorf("the port is %d now, want %d as before", s.Port(), port)
		}
	})
}

// A backend in the middle of work does not notice that its server is gone, and keeps the memory a new one needs.
func TestRestartPastBusyBackend(t *testing.T) {
	t.Parallel()
	b := brands[0]
	s := b.started(t, localdb.Options{Dir: directory(t)})
	db, err := b.open(s)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ended := make(chan error, 1)
	go func() {
		// In one expression, so that the backend never comes by a point where it would look up.
		_, err := db.ExecContext(context.Background(), `DO $$ DECLARE n bigint := 0; BEGIN WHILE n >= 0 LOOP n := n + 1; END LOOP; END $$`)
		ended <- err
	}()
	eventually(t, "the busy statement", func() bool {
		return b.value(t, s, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %' AND state = 'active'") == "1"
	})
	s.Kill()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the endless statement ended without an error")
	}
}

func TestPorts(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b brand) {
		busy, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer busy.Close()
		taken := busy.Addr().(*net.TCPAddr).Port
		o := localdb.Options{Dir: directory(t), Port: taken}
		if _, err := b.start(t.Context(), o); err == nil {
			t.Fatal("the server started on a port that is taken")
		} else {
			wantCode(t, err, "localdb.port_busy")
			if !strings.Contains(err.Error(), strconv.Itoa(taken)) {
				t.Errorf("%q does not name the port %d", err, taken)
			}
		}

		// The port of the last start is a wish, not a condition.
		o.Port = 0
		first := b.started(t, o)
		port := first.Port()
		stop(t, first)
		squatter, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			t.Fatal(err)
		}
		defer squatter.Close()
		second := b.started(t, o)
		if second.Port() == port {
			t.Errorf("the server claims to listen on %d, which is taken", port)
		}
		b.value(t, second, "SELECT 1")
	})
}

func TestOneOwnerAtATime(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b brand) {
		o := localdb.Options{Dir: directory(t)}
		first := b.started(t, o)
		_, err := b.start(t.Context(), o)
		wantCode(t, err, "localdb.in_use")
		if !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
			t.Errorf("%q does not name the owner %d", err, os.Getpid())
		}
		if got := b.value(t, first, "SELECT 1"); got != "1" {
			t.Errorf("the first server answers %s, want 1", got)
		}
	})
}

// The pid file of a killed server may name a process that has nothing to do with it.
func TestStalePIDFile(t *testing.T) {
	t.Parallel()
	b := brands[0]
	o := localdb.Options{Dir: directory(t)}
	s := b.started(t, o)
	data := b.value(t, s, "SHOW data_directory")
	s.Kill()
	file := filepath.Join(data, "postmaster.pid")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("a killed server leaves its pid file: %v", err)
	}
	_, rest, _ := strings.Cut(string(text), "\n")
	if err := os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())+"\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	again := b.started(t, o)
	if got := b.value(t, again, "SELECT 1"); got != "1" {
		t.Errorf("the server answers %s, want 1", got)
	}
}

// What a killed owner left running is in nobody's way: the next one stops it and takes over its data.
func TestLeftoverServerIsTakenOver(t *testing.T) {
	t.Parallel()
	b := brands[0]
	o := localdb.Options{Dir: directory(t), Durable: true}
	first := b.started(t, o)
	b.exec(t, first, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)")
	data := b.value(t, first, "SHOW data_directory")
	bin := first.(*localdb.Postgres).BinDir()
	stop(t, first)

	leftover := exec.Command(filepath.Join(bin, "postgres"), "-D", data)
	owner, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		st := owner.Sys().(*syscall.Stat_t)
		leftover.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: st.Uid, Gid: st.Gid}}
	}
	leftover.Dir = "/"
	if err := leftover.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() { gone <- leftover.Wait() }()
	eventually(t, "the leftover's start", func() bool {
		b, _ := os.ReadFile(filepath.Join(data, "postmaster.pid"))
		return strings.Contains(string(b), "ready")
	})

	second := b.started(t, o)
	if err := <-gone; err != nil {
		t.Errorf("the leftover ended with %v, want a clean shutdown", err)
	}
	if got := b.value(t, second, "SELECT count(*) FROM kept"); got != "1" {
		t.Errorf("%s rows are left, want 1", got)
	}
}

// As root the server runs under another account, which cannot reach what is below /root or any other private place.
func TestDirectoryThatOthersCannotReach(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b brand) {
		hidden := t.TempDir() // its parent is for its owner only
		dir := filepath.Join(hidden, "db")
		o := localdb.Options{Dir: dir}
		first := b.started(t, o)
		b.exec(t, first, "CREATE TABLE kept (n int)")
		stop(t, first)
		second := b.started(t, o)
		if got := b.value(t, second, "SELECT count(*) FROM kept"); got != "0" {
			t.Errorf("the table has %s rows, want 0", got)
		}
		stop(t, second)

		// Who empties the directory wants to begin anew, wherever the files are.
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		o.Ephemeral = true // so that nothing stays behind outside the temporary directory either
		third := b.started(t, o)
		schema := "public"
		if b.name == "MariaDB" {
			schema = "mysql"
		}
		if got := b.value(t, third, "SELECT count(*) FROM information_schema.tables WHERE table_name = 'kept' AND table_schema = '"+schema+"'"); got != "0" {
			t.Errorf("the emptied directory still has %s of the tables, want none", got)
		}
	})
}

func TestStartGivenUp(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b brand) {
		o := localdb.Options{Dir: directory(t)}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond) // long before the data directory is made
		defer cancel()
		if _, err := b.start(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want that the time ran out", err)
		}
		s := b.started(t, o)
		if got := b.value(t, s, "SELECT 1"); got != "1" {
			t.Errorf("the server answers %s, want 1", got)
		}
	})
}

func TestFaultsOfTheDirectory(t *testing.T) {
	t.Parallel()
	b := brands[0]
	tests := []struct {
		name   string
		spoil  func(t *testing.T, dir, data string)
		code   string
		remedy string
	}{
		{name: "made by a version that is gone", code: "localdb.version_mismatch", remedy: "Install postgresql-9",
			spoil: func(t *testing.T, _, data string) { write(t, filepath.Join(data, "PG_VERSION"), "9\n") }},
		{name: "password lost", code: "localdb.dir_unusable", remedy: "restore it",
			spoil: func(t *testing.T, dir, _ string) { remove(t, filepath.Join(dir, "password")) }},
		{name: "password of another server", code: "localdb.dir_unusable", remedy: "restore that file",
			spoil: func(t *testing.T, dir, _ string) { write(t, filepath.Join(dir, "password"), "guess\n") }},
		{name: "damaged beyond starting", code: "localdb.start_failed", remedy: "global/pg_control",
			spoil: func(t *testing.T, _, data string) { remove(t, filepath.Join(data, "global", "pg_control")) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := localdb.Options{Dir: directory(t)}
			s := b.started(t, o)
			data := b.value(t, s, "SHOW data_directory")
			stop(t, s)
			test.spoil(t, o.Dir, data)
			_, err := b.start(t.Context(), o)
			wantCode(t, err, test.code)
			if !strings.Contains(err.Error(), test.remedy) {
				t.Errorf("%q does not say %q", err, test.remedy)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func TestEphemeralLeavesNothing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b brand) {
		o := localdb.Options{Dir: directory(t), Ephemeral: true}
		s := b.started(t, o)
		stop(t, s)
		if _, err := os.Stat(o.Dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the directory is still there (%v)", err)
		}
		wantCode(t, s.Restart(t.Context()), "localdb.stopped")
	})
}

// The owner is killed with no chance to say anything. Its server must neither stay nor lose a commit.
func TestOwnerKilled(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b brand) {
		t.Run("durable", func(t *testing.T) {
			t.Parallel()
			o := localdb.Options{Dir: directory(t), Durable: true}
			server := ownerKilled(t, b, o, false)
			eventually(t, "the end of the server", func() bool { return ended(server) })
			s := b.started(t, o)
			if got := b.value(t, s, "SELECT count(*) FROM kept"); got != "1" {
				t.Errorf("%s rows are left, want 1", got)
			}
		})
		t.Run("ephemeral", func(t *testing.T) {
			t.Parallel()
			o := localdb.Options{Dir: directory(t), Ephemeral: true}
			server := ownerKilled(t, b, o, true)
			eventually(t, "the end of the server", func() bool { return ended(server) })
			eventually(t, "the removal of its directory", func() bool {
				_, err := os.Stat(o.Dir)
				return errors.Is(err, fs.ErrNotExist)
			})
		})
	})
}

// ended says whether the process is gone, or a zombie that only waits to be counted.
func ended(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(status), ") Z ")
}

// The variables that make this test program an owner, which starts a server, says its process id, and waits for its end.
const (
	ownerKind = "LOCALDB_TEST_OWNER"
	ownerDir  = "LOCALDB_TEST_DIR"
)

func TestMain(m *testing.M) {
	if kind := os.Getenv(ownerKind); kind != "" {
		own(kind, os.Getenv(ownerDir))
		return
	}
	os.Exit(m.Run())
}

func own(kind, dir string) {
	for _, b := range brands {
		if !strings.HasPrefix(kind, b.name) {
			continue
		}
		ephemeral := strings.HasSuffix(kind, "ephemeral")
		s, err := b.start(context.Background(), localdb.Options{Dir: dir, Durable: !ephemeral, Ephemeral: ephemeral})
		if err != nil {
			fmt.Println(err)
			return
		}
		db, err := b.open(s)
		if err == nil {
			_, err = db.Exec("CREATE TABLE kept (n int)")
		}
		if err == nil {
			_, err = db.Exec("INSERT INTO kept VALUES (1)")
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(s.PID())
		select {}
	}
}

// ownerKilled runs an owner, kills it, and returns the process id of its server.
func ownerKilled(t *testing.T, b brand, o localdb.Options, ephemeral bool) int {
	t.Helper()
	kind := b.name
	if ephemeral {
		kind += " ephemeral"
	}
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), ownerKind+"="+kind, ownerDir+"="+o.Dir)
	owner.Stderr = os.Stderr
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	server, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the owner says: %s", line)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := owner.Wait(); err == nil {
		t.Fatal("the owner ended by itself")
	}
	return server
}

// Who forgets the handle must not lose the server to the garbage collector.
func TestForgottenServerLives(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b brand) {
		dir := directory(t)
		pid := func() int {
			s, err := b.start(t.Context(), localdb.Options{Dir: dir, Ephemeral: true})
			if err != nil {
				t.Fatal(err)
			}
			return s.PID()
		}()
		t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
		for range 3 { // finalizers need more than one collection
			runtime.GC()
		}
		_, err := b.start(t.Context(), localdb.Options{Dir: dir})
		wantCode(t, err, "localdb.in_use") // which waits half a second for the lock, longer than an end would take
		if ended(pid) {
			t.Error("the server has ended")
		}
	})
}

func TestInstallDoesNothingWhenAllIsHere(t *testing.T) {
	t.Parallel()
	var said strings.Builder
	if err := localdb.Install(t.Context(), &said, localdb.PostgreSQL, localdb.MariaDB); err != nil {
		t.Fatal(err)
	}
	if said.Len() > 0 {
		t.Errorf("it said %q, want nothing", said.String())
	}
}
