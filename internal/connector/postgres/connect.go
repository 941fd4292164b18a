// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/failover"
)

// A system uses at most so many connections for statements, unless its settings say otherwise, and one for watching; a stream of cdc has
// one more.
const (
	poolSize  = 3
	leastPool = 2
	mostPool  = 50
)

// session is how our connections behave, whatever the role's or database's own settings say: text forms of values that
// we can read; and plans that follow indexes, because whatever we ask is a range of one or a list of keys, while the
// statistics of a log that was empty a moment ago suggest reading all of it.
var session = map[string]string{
	"enable_bitmapscan":  "off",
	"enable_seqscan":     "off",
	"enable_mergejoin":   "off",
	"random_page_cost":   "1.1",
	"client_encoding":    "UTF8",
	"timezone":           "UTC",
	"datestyle":          "ISO, YMD",
	"intervalstyle":      "postgres",
	"bytea_output":       "hex",
	"extra_float_digits": "1",
	"jit":                "off",
}

func newPool(settings connector.Settings, env connector.Env, second *failover.Dialer) (*pgxpool.Pool, error) {
	base, err := pgxpool.ParseConfig(placeholder)
	if err != nil {
		return nil, unclassified("opening", err)
	}
	if err := configure(&base.ConnConfig.Config, settings, env, second, "syncline "+env.Consumer); err != nil {
		return nil, err
	}
	base.MaxConns = poolSize
	if settings["maxConnections"] != "" {
		n, err := strconv.ParseInt(settings["maxConnections"], 10, 32)
		if err != nil {
			return nil, unclassified("opening", err) // Spec.Check lets none through
		}
		base.MaxConns = int32(n)
	}
	base.MinConns = 0
	base.MaxConnIdleTime = 5 * time.Minute
	base.MaxConnLifetime = time.Hour
	pool, err := pgxpool.NewWithConfig(context.Background(), base)
	if err != nil {
		return nil, classify("opening", err)
	}
	return pool, nil
}

// placeholder says everything that pgx would else take from the environment or from files; configure replaces it.
const placeholder = "host=127.0.0.1 port=1 user=none password=none dbname=none sslmode=disable connect_timeout=10 target_session_attrs=any"

// dialConfig is the configuration of one connection outside the pool, called name in the server's list.
func dialConfig(settings connector.Settings, env connector.Env, second *failover.Dialer, name string) (*pgconn.Config, error) {
	c, err := pgconn.ParseConfig(placeholder)
	if err != nil {
		return nil, unclassified("opening", err)
	}
	if err := configure(c, settings, env, second, name); err != nil {
		return nil, err
	}
	return c, nil
}

func configure(c *pgconn.Config, settings connector.Settings, env connector.Env, second *failover.Dialer, name string) error {
	host := settings["host"]
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		return &connector.Error{Class: connector.Reconnect, Code: "postgresql.host_invalid", Message: "The host must be a name or an address, not a socket's path."}
	}
	if env.Dial == nil {
		return errors.New("postgres: Env.Dial is not set")
	}
	dial := env.Dial
	if second != nil {
		dial = second.Dial
	}
	port := uint64(5432)
	if settings["port"] != "" {
		var err error
		if port, err = strconv.ParseUint(settings["port"], 10, 16); err != nil || port == 0 {
			return &connector.Error{Class: connector.Reconnect, Code: "postgresql.port_invalid", Message: "The port must be a number from 1 to 65535."}
		}
	}
	c.Host, c.Port, c.Database, c.User, c.Password = host, uint16(port), settings["database"], settings["user"], settings["password"]
	if c.User == "" {
		c.User = "syncline"
	}
	// The name is handed to Dial as it is, so that the guard there looks it up and judges the addresses it dials.
	c.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	c.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, &dialError{err}
		}
		return conn, nil
	}
	c.ConnectTimeout = 10 * time.Second
	c.Fallbacks = nil
	c.TLSConfig = nil
	if mode := settings["sslmode"]; mode != "disable" {
		t := &tls.Config{MinVersion: tls.VersionTLS12}
		if env.TLS != nil {
			t = env.TLS.Clone()
		}
		t.ServerName = host
		t.InsecureSkipVerify = mode != "verify-full"
		if second != nil {
			second.Trust(t)
		}
		c.TLSConfig = t
		if mode == "prefer" || mode == "" {
			c.Fallbacks = []*pgconn.FallbackConfig{{Host: host, Port: c.Port}}
		}
	}
	c.RuntimeParams = map[string]string{"application_name": name}
	for k, v := range session {
		c.RuntimeParams[k] = v
	}
	return nil
}

// dialError marks errors that come from Env.Dial.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// on lends f a connection of the pool.
func (s *system) on(ctx context.Context, doing string, f func(c *pgconn.PgConn) error) error {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return classify(doing, err)
	}
	defer c.Release()
	return classify(doing, f(c.Conn().PgConn()))
}
