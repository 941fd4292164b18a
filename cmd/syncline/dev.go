// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/localdb"
	"github.com/syncline-dev/syncline/internal/vault"
	"github.com/syncline-dev/syncline/migrations"
)

// devState is what `syncline dev` writes for people and programs beside it: .syncline/dev.json.
type devState struct {
	URL      string `json:"url"`
	Email    string `json:"email"`
	Password string `json:"password"`
	APIKey   string `json:"apiKey"`
	Tenant   string `json:"tenant"`
}

const (
	devEmail     = "demo@syncline.test"
	devTenant    = "Syncline Demo"
	controlPlane = "syncline"
)

func devCommand() *cobra.Command {
	d := &dev{}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in one process, with a database and a demo of its own",
		Long: `Run the server and a worker in one process, on a PostgreSQL of its own (or on DATABASE_URL), with a demo tenant:
a warehouse and a storefront that are kept equal while people edit both. Everything is kept in the data directory and is
there again at the next start. Ctrl-C stops it cleanly.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context()) },
	}
	cmd.Flags().StringVar(&d.dir, "dir", ".syncline", "where data, keys and dev.json are kept")
	cmd.Flags().StringVar(&d.listen, "listen", "", "address of the dashboard (default SYNCLINE_LISTEN or 127.0.0.1:8080)")
	cmd.Flags().BoolVar(&d.noDemo, "no-demo", false, "no demo tenant, no demo databases")
	return cmd
}

type dev struct {
	dir      string
	listen   string
	noDemo   bool
	started  time.Time
	state    devState
	app      *app
	postgres *localdb.Postgres
}

func (d *dev) run(ctx context.Context) (err error) {
	d.started = time.Now()
	// A small process at rest matters more here than the last bit of speed.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	c, err := readConfig()
	if err != nil {
		return err
	}
	if d.listen != "" {
		c.Listen = d.listen
	}
	if os.Getenv("SYNCLINE_LOG_FORMAT") == "" {
		c.LogFormat = "text"
	}
	if os.Getenv("SYNCLINE_LOG_LEVEL") == "" {
		c.LogLevel = "warn"
	}
	// The port first: a busy one is the most frequent trouble, and nothing has been started yet.
	listener, err := listen(ctx, c.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	if d.dir, err = filepath.Abs(d.dir); err != nil {
		return err
	}
	if c.FilesDir == "" {
		c.FilesDir = filepath.Join(d.dir, "files")
	}
	master, err := d.masterKey(c)
	if err != nil {
		return err
	}
	stop, err := d.database(ctx, &c)
	defer func() { err = errors.Join(err, stop()) }()
	if err != nil {
		return err
	}
	if err := migrations.Up(ctx, c.DatabaseURL); err != nil {
		return err
	}
	d.app, err = newApp(ctx, c, master, connection.GuardOptions{Allow: c.AllowNetworks, AllowLoopback: true}, newLog(c, os.Stderr))
	if err != nil {
		return err
	}
	defer d.app.close()
	if err := d.people(ctx, c, listener); err != nil {
		return err
	}
	d.app.demoEmail, d.app.demoDir = d.state.Email, d.dir
	d.greet()
	w, err := d.app.newWorker()
	if err != nil {
		return err
	}
	// What migrating and the demo's first sync took goes back once they are over.
	settled := time.AfterFunc(15*time.Second, debug.FreeOSMemory)
	defer settled.Stop()
	demoDone := make(chan struct{})
	demoCtx, stopDemo := context.WithCancel(ctx)
	go func() {
		defer close(demoDone)
		if !d.noDemo {
			d.demo(demoCtx)
		}
	}()
	err = d.app.serve(ctx, listener, w)
	stopDemo()
	<-demoDone
	fmt.Fprintln(os.Stderr, "\nStopped. Everything is kept; the next start goes on here.")
	return err
}

// masterKey takes the configured one, else makes one that is kept in the data directory.
func (d *dev) masterKey(c config) (vault.Master, error) {
	if c.MasterKey != "" || c.MasterKeyFile != "" {
		return c.master()
	}
	path := filepath.Join(d.dir, "master.key")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b = []byte(vault.NewMasterKey() + "\n")
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		return vault.Master{}, fmt.Errorf("keeping the master key: %w", err)
	}
	return vault.ParseMaster(string(b))
}

// database uses DATABASE_URL, else starts a PostgreSQL of our own, installing it where that can be done without a question.
func (d *dev) database(ctx context.Context, c *config) (stop func() error, err error) {
	stop = func() error { return nil }
	if c.DatabaseURL != "" {
		return stop, nil
	}
	if err := d.installed(ctx, localdb.PostgreSQL); err != nil {
		return stop, err
	}
	d.postgres, err = localdb.StartPostgres(ctx, localdb.Options{
		Dir: filepath.Join(d.dir, "postgres"), Durable: true, MaxConnections: 100,
		Settings: map[string]string{"shared_buffers": "64MB"},
	})
	if err != nil {
		return stop, err
	}
	stop = func() error {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		return d.postgres.Stop(within)
	}
	c.DatabaseURL, err = ensureDatabase(ctx, d.postgres, controlPlane)
	return stop, err
}

// people makes the demo tenant with its login and key at the first start, and finds them again later.
func (d *dev) people(ctx context.Context, c config, listener net.Listener) error {
	path := filepath.Join(d.dir, "dev.json")
	b, err := os.ReadFile(path)
	switch {
	case err == nil:
		if err := json.Unmarshal(b, &d.state); err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	d.state.URL = "http://" + listener.Addr().String()
	if c.PublicURL != "" {
		d.state.URL = c.PublicURL
	}
	if _, err := d.app.auth.ByKey(ctx, d.state.APIKey, auth.Caller{}); err != nil {
		if fault.KindOf(err) == fault.Unavailable {
			return err
		}
		if err := d.signUp(ctx); err != nil {
			return err
		}
	}
	b, err = json.MarshalIndent(d.state, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o600)
}

func (d *dev) signUp(ctx context.Context) error {
	var random [12]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	d.state.Email, d.state.Tenant = devEmail, devTenant
	d.state.Password = "demo-" + base64.RawURLEncoding.EncodeToString(random[:])
	_, session, err := d.app.auth.SignUp(ctx, auth.NewAccount{Email: devEmail, Name: "Demo", Password: d.state.Password, TenantName: devTenant,
		TimeZone: localZone(), Demo: true}, auth.Caller{})
	if fault.IsCode(err, "auth.email_taken") {
		return fault.Wrap(err, fault.Conflict, "cmd.demo_login_lost", "The database has a demo login, but %s with its password is gone. Remove the data directory to begin anew, or put dev.json back.", filepath.Join(d.dir, "dev.json"))
	}
	if err != nil {
		return fmt.Errorf("making the demo tenant: %w", err)
	}
	// Whoever runs this on their own machine runs the installation.
	if _, err := d.app.auth.GrantOperator(ctx, devEmail, "syncline dev"); err != nil {
		return fmt.Errorf("making the demo login an operator: %w", err)
	}
	session.Operates = true
	key, _, err := d.app.auth.CreateKey(ctx, session.Principal(auth.Caller{}), "dev", auth.AllScopes, time.Time{})
	if err != nil {
		return fmt.Errorf("making the demo key: %w", err)
	}
	d.state.APIKey = key.Reveal()
	return nil
}

// localZone is the machine's time zone by its IANA name, or UTC.
func localZone() string {
	if zone := time.Local.String(); zone != "Local" && zone != "" {
		return zone
	}
	return "UTC"
}

// greet tells where the dashboard is and how to sign in.
func (d *dev) greet() {
	fmt.Fprintf(os.Stderr, `
  Syncline is ready after %.1f s.

  Dashboard  %s
  Sign in    %s
  Password   %s

  API key    in %s
  Stop       Ctrl-C; nothing is lost

`, time.Since(d.started).Seconds(), d.state.URL, d.state.Email, d.state.Password, filepath.Join(filepath.Base(d.dir), "dev.json"))
}

// installed installs a database server where it is missing and that needs no question.
func (d *dev) installed(ctx context.Context, what localdb.Software) error {
	if len(localdb.Missing(ctx, what)) == 0 {
		return nil
	}
	return localdb.Install(ctx, os.Stderr, what)
}

// ensureDatabase makes a database in our own PostgreSQL unless it is there, and returns its address.
func ensureDatabase(ctx context.Context, server *localdb.Postgres, name string) (string, error) {
	conn, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		return "", fmt.Errorf("connecting to our own PostgreSQL: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil {
		return "", err
	}
	if !there {
		if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
			return "", fmt.Errorf("making the database %s: %w", name, err)
		}
	}
	return server.DatabaseURL(name), nil
}
