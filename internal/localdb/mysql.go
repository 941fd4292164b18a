// SPDX-License-Identifier: Apache-2.0

package localdb

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/syncline-dev/syncline/internal/fault"
)

// MySQL is a private MariaDB server, or MySQL where that is what is installed.
type MySQL struct {
	s *server
	k *mysqlKind
}

// StartMySQL starts MariaDB (or MySQL) in opts.Dir, making the data directory at the first start. Its binary log holds
// full row images, as connectors need them. It returns once the server answers: about a second the first time.
func StartMySQL(ctx context.Context, opts Options) (*MySQL, error) {
	bin, err := FindMySQL(ctx)
	if err != nil {
		return nil, err
	}
	acc, err := serverAccount("mysql")
	if err != nil {
		return nil, err
	}
	h, err := openHome(opts.Dir, acc)
	if err != nil {
		return nil, err
	}
	k := &mysqlKind{home: h, opts: opts, bin: bin}
	m := &MySQL{k: k, s: &server{home: h, opts: opts, kind: k}}
	if err := m.s.open(ctx); err != nil {
		return nil, err
	}
	if opts.Durable && k.made {
		go flush(h.base)
	}
	return m, nil
}

// URL of the named database as root: mysql://root:...@127.0.0.1:3307/shop. An empty name means no database.
func (m *MySQL) URL(database string) string {
	u := url.URL{
		Scheme: "mysql", User: url.UserPassword("root", m.k.password),
		Host: "127.0.0.1:" + strconv.Itoa(m.s.port), Path: "/" + database,
	}
	return u.String()
}

// DSN of the named database as root, in the form of github.com/go-sql-driver/mysql, with times parsed as UTC.
func (m *MySQL) DSN(database string) string { return m.k.dsn(m.s.port, database) }

// Port on 127.0.0.1. It stays the same over Restart unless another program took it meanwhile.
func (m *MySQL) Port() int { return m.s.port }

// PID of the server, for tests that end it from outside.
func (m *MySQL) PID() int { return m.s.processID() }

// Version of the server, such as "10.11.19-MariaDB".
func (m *MySQL) Version() string { return m.k.bin.Version }

// Done is closed when the running server ends, for whatever reason. Ask again after Restart.
func (m *MySQL) Done() <-chan struct{} { return m.s.done() }

// Stop shuts the server down cleanly and gives up the directory. See Postgres.Stop.
func (m *MySQL) Stop(ctx context.Context) error { return m.s.stop(ctx) }

// Kill ends the server as kill -9 does and waits until it is gone. Restart recovers it.
func (m *MySQL) Kill() { m.s.kill() }

// Restart stops the server if it runs and starts it again with the same data.
func (m *MySQL) Restart(ctx context.Context) error { return m.s.restart(ctx) }

type mysqlKind struct {
	home     *home
	opts     Options
	bin      MySQLBinaries
	password string
	made     bool
}

func (k *mysqlKind) name() string {
	if k.bin.MariaDB {
		return "MariaDB"
	}
	return "MySQL"
}

func (k *mysqlKind) pidFile() string    { return filepath.Join(k.home.base, "run", "mysqld.pid") }
func (k *mysqlKind) configFile() string { return filepath.Join(k.home.base, "my.cnf") }
func (k *mysqlKind) initFile() string   { return filepath.Join(k.home.base, "init.sql") }

// SIGTERM is a clean shutdown. There is no second kind: what is killed recovers from its log.
func (k *mysqlKind) signals() (stop, abort syscall.Signal) { return syscall.SIGTERM, syscall.SIGKILL }

func (k *mysqlKind) dsn(port int, database string) string {
	c := mysql.NewConfig()
	c.User, c.Passwd = "root", k.password
	c.Net, c.Addr = "tcp", "127.0.0.1:"+strconv.Itoa(port)
	c.DBName = database
	c.ParseTime, c.Loc = true, time.UTC
	c.AllowNativePasswords = true
	return c.FormatDSN()
}

func (k *mysqlKind) prepare(ctx context.Context) error {
	if k.password = k.home.read("password"); k.password == "" {
		// Lost or never there: init.sql sets it at every start, so a new one is as good.
		k.password = newPassword()
		if err := k.home.write("password", k.password+"\n"); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(k.home.data(), "mysql")); err == nil {
		return nil
	}
	k.made = true
	fresh, err := k.home.freshData(ctx)
	if err != nil {
		return err
	}
	cmd, err := k.installer(ctx, fresh)
	if err != nil {
		return err
	}
	if err := k.home.fill(ctx, cmd, k.name()); err != nil {
		return err
	}
	return k.home.keep(fresh)
}

// installer is the command that fills an empty data directory.
func (k *mysqlKind) installer(ctx context.Context, dir string) (*exec.Cmd, error) {
	if !k.bin.MariaDB {
		return exec.CommandContext(ctx, k.bin.Server, "--no-defaults", "--initialize-insecure", "--datadir="+dir), nil
	}
	// The script stands beside the server, or in bin when the server is in sbin.
	prefix := filepath.Dir(filepath.Dir(k.bin.Server))
	for _, path := range []string{
		filepath.Join(filepath.Dir(k.bin.Server), "mariadb-install-db"), filepath.Join(prefix, "bin", "mariadb-install-db"),
		filepath.Join(prefix, "scripts", "mariadb-install-db"), filepath.Join(prefix, "bin", "mysql_install_db"),
	} {
		if executable(path) {
			// With a directory for temporary tables of its own: see configuration.
			return exec.CommandContext(ctx, path, "--no-defaults", "--datadir="+dir, "--tmpdir="+filepath.Join(k.home.base, "run"),
				"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
				"--innodb-log-file-size=16M", "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0",
				"--innodb-use-native-aio=OFF"), nil
		}
	}
	return nil, fault.New(fault.Unavailable, "localdb.mysql_missing",
		"%s is here but mariadb-install-db is not; install the whole server package (`apt-get install mariadb-server`)", k.bin.Server)
}

func (k *mysqlKind) command(port int) (*exec.Cmd, error) {
	if err := k.home.give(k.configFile(), k.configuration(port)); err != nil {
		return nil, err
	}
	// Run before the first client is let in. Not logged, or every start would be a change for whoever reads the log.
	sql := "SET sql_log_bin=0;\n"
	for _, host := range []string{"localhost", "127.0.0.1"} {
		sql += fmt.Sprintf("CREATE USER IF NOT EXISTS 'root'@'%s';\n", host) +
			fmt.Sprintf("ALTER USER 'root'@'%s' IDENTIFIED BY '%s';\n", host, k.password) +
			fmt.Sprintf("GRANT ALL PRIVILEGES ON *.* TO 'root'@'%s' WITH GRANT OPTION;\n", host)
	}
	if err := k.home.give(k.initFile(), sql); err != nil {
		return nil, err
	}
	cmd := exec.Command(k.bin.Server, "--defaults-file="+k.configFile()) //nolint:noctx // outlives the context of its start
	cmd.SysProcAttr, cmd.Env, cmd.Dir = k.home.account.attributes(), serverEnvironment(), "/"
	return cmd, nil
}

// configuration is the server's one option file. Memory is kept low: a demo shop and test tables need little.
func (k *mysqlKind) configuration(port int) string {
	socket := ""
	if dir := k.home.socketDir(); dir != "" {
		socket = filepath.Join(dir, "mysql.sock")
	}
	settings := []setting{
		{"datadir", k.home.data()},
		{"pid_file", k.pidFile()},
		{"socket", socket},
		{"tmpdir", filepath.Join(k.home.base, "run")}, // a starting server removes the temporary tables it finds, also another one's
		{"init_file", k.initFile()},
		{"bind_address", "127.0.0.1"},
		{"port", strconv.Itoa(port)},
		{"skip_name_resolve", "ON"},
		{"default_time_zone", "+00:00"},
		{"character_set_server", "utf8mb4"},
		{"max_connections", strconv.Itoa(k.opts.connections())},
		{"server_id", "1"},
		{"log_bin", "binlog"},
		{"binlog_format", "ROW"},
		{"binlog_row_image", "FULL"},
		{"max_binlog_size", "64M"},
		{"expire_logs_days", "3"},
		{"performance_schema", "OFF"},
		{"innodb_buffer_pool_size", "32M"},
		{"innodb_log_file_size", "16M"},
		{"innodb_log_buffer_size", "2M"},
		{"innodb_use_native_aio", "OFF"}, // the kernel's limit is shared by all servers of the machine
		{"key_buffer_size", "1M"},
		{"table_open_cache", "400"},
		{"innodb_flush_log_at_trx_commit", "1"},
		{"sync_binlog", "1"},
	}
	if k.bin.MariaDB {
		settings = append(settings, setting{"aria_pagecache_buffer_size", "1M"}, setting{"binlog_row_metadata", "FULL"})
	} else {
		settings = append(settings, setting{"mysqlx", "OFF"})
	}
	own := map[string]string{}
	if !k.opts.Durable {
		// 2 hands each commit to the operating system without waiting for the disk: it survives kill -9.
		own["innodb_flush_log_at_trx_commit"], own["sync_binlog"] = "2", "0"
	}
	settings = with(with(settings, own), k.opts.Settings)
	var b strings.Builder
	b.WriteString("# Written by syncline at each start; changes here are lost.\n[mysqld]\n")
	for _, s := range settings {
		if s.name != "socket" || s.value != "" {
			fmt.Fprintf(&b, "%s = %s\n", s.name, s.value)
		}
	}
	return b.String()
}

// ping connects and makes sure that who answers on the port is our server.
func (k *mysqlKind) ping(ctx context.Context, port int) error {
	config, err := mysql.ParseDSN(k.dsn(port, ""))
	if err != nil {
		return err
	}
	config.Logger = log.New(io.Discard, "", 0) // the driver reports refused connections, which are expected here
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	var dir string
	if err := db.QueryRowContext(ctx, "SELECT @@datadir").Scan(&dir); err != nil {
		return err
	}
	if filepath.Clean(dir) != k.home.data() {
		return fmt.Errorf("port %d is served by another %s, in %s", port, k.name(), dir)
	}
	return nil
}

func (k *mysqlKind) complaint(log string) complaint {
	if strings.Contains(log, "Bind on TCP/IP port") || strings.Contains(log, "Do you already have another") {
		return portTaken
	}
	return other
}
