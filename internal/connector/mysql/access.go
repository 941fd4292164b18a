// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	driverpkg "github.com/go-sql-driver/mysql"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/failover"
)

// Times that bound what a server that has stopped answering can cost.
const (
	dialTimeout    = 10 * time.Second
	answerTimeout  = 5 * time.Minute // of one read or write on the network; long statements on large tables are normal
	lockWaitSecs   = "10"            // how long a write waits for somebody else's lock before the batch is tried again later
	readLockSecs   = "20"            // how long a locking read waits; above the 10 s that semi-synchronous replication may hold a commit
	connectionLife = 10 * time.Minute
	poolSize       = 6 // of each of the two pools, unless the settings say otherwise
	leastPool      = 2
	mostPool       = 50
)

// strictMode makes the server refuse what it cannot store, instead of storing something else.
const strictMode = "'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO'"

// access is how the server is reached.
type access struct {
	host, user, password, database string
	port                           int
	encryption                     string // the tls setting
	tls                            *tls.Config
	compress                       bool             // what goes over the network
	pool                           int              // connections of each of the two pools
	second                         *failover.Dialer // nil where there is no second host
	dial                           func(ctx context.Context, network, address string) (net.Conn, error)
}

func newAccess(settings connector.Settings, env connector.Env) (access, error) {
	port, err := strconv.Atoi(settings["port"])
	if err != nil || port < 1 || port > 65535 {
		return access{}, &connector.Error{Class: connector.Reconnect, Code: "mysql.port", Message: "The port must be a number from 1 to 65535; correct it in the connection."}
	}
	a := access{host: settings["host"], user: settings["user"], password: settings["password"], database: settings["database"],
		port: port, encryption: settings["tls"], compress: settings["compression"] == "true", pool: poolSize, dial: env.Dial}
	if a.dial == nil {
		a.dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	if n := settings["maxConnections"]; n != "" {
		if a.pool, err = strconv.Atoi(n); err != nil {
			return access{}, err // Spec.Check lets none through
		}
	}
	if settings["secondHost"] != "" {
		a.second = failover.New(a.host, settings["port"], settings["secondHost"], a.dial)
		a.dial = a.second.Dial
	}
	if a.encryption == "" {
		a.encryption = "preferred"
	}
	if a.encryption != "false" {
		a.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		if env.TLS != nil {
			a.tls = env.TLS.Clone()
		}
		a.tls.ServerName = a.host
		a.tls.InsecureSkipVerify = a.encryption != "verify"
		if a.second != nil {
			a.second.Trust(a.tls)
		}
	}
	return a, nil
}

func (a access) address() string { return net.JoinHostPort(a.host, strconv.Itoa(a.port)) }

// pool is a set of equal connections.
type pool struct{ *sql.DB }

// newPool makes a pool whose connections have run the given statements.
func (a access) newPool(variables map[string]string, statements ...string) (*pool, error) {
	c := driverpkg.NewConfig()
	c.User, c.Passwd, c.DBName = a.user, a.password, a.database
	c.Net, c.Addr = "tcp", a.address()
	c.DialFunc = a.dial
	c.Timeout, c.ReadTimeout, c.WriteTimeout = dialTimeout, answerTimeout, answerTimeout
	c.TLS, c.AllowFallbackToPlaintext = a.tls, a.encryption == "preferred"
	c.Logger = quiet{}
	c.MaxAllowedPacket = 1 << 30 // statements are cut to what the server takes before they get here
	c.ConnectionAttributes = "program_name:syncline"
	c.Params = map[string]string{
		"autocommit": "1", "time_zone": "'+00:00'", "sql_mode": strictMode, "sql_safe_updates": "0", "sql_big_selects": "1",
		"sql_select_limit": "DEFAULT", "sql_auto_is_null": "0", "lock_wait_timeout": lockWaitSecs, "foreign_key_checks": "1", "unique_checks": "1",
	}
	for name, value := range variables {
		c.Params[name] = value
	}
	if err := c.Apply(driverpkg.Charset("utf8mb4", ""), driverpkg.EnableCompression(a.compress)); err != nil {
		return nil, err
	}
	if _, err := driverpkg.NewConnector(c); err != nil { // what is wrong with the configuration is said now
		return nil, err
	}
	db := sql.OpenDB(prepared{c, statements})
	db.SetMaxOpenConns(a.pool)
	db.SetMaxIdleConns(a.pool)
	db.SetConnMaxIdleTime(time.Minute)
	db.SetConnMaxLifetime(connectionLife)
	return &pool{db}, nil
}

// prepared is a driver's connector whose connections have run some statements first. Each connection is dialled with a copy
// of the configuration: where encryption is preferred, the driver takes it out of the configuration when a server offers none,
// which would be a race between connections that are made side by side, and would leave all later ones without encryption.
type prepared struct {
	config     *driverpkg.Config
	statements []string
}

func (p prepared) Driver() driver.Driver { return driverpkg.MySQLDriver{} }

func (p prepared) Connect(ctx context.Context) (driver.Conn, error) {
	dialer, err := driverpkg.NewConnector(p.config) // copies the configuration
	if err != nil {
		return nil, err
	}
	conn, err := dialer.Connect(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range p.statements {
		if _, err := conn.(driver.ExecerContext).ExecContext(ctx, s, nil); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return conn, nil
}

// quiet drops what the driver would print; everything of interest comes back as an error.
type quiet struct{}

func (quiet) Print(...any) {}

// query runs a statement on the connection and hands over its rows. The values are those of the text protocol (int64,
// uint64, float64, []byte, nil) and valid only during the call, as is the slice. This goes around database/sql because
// its conversion of each value costs more than all the rest.
func query(ctx context.Context, conn *sql.Conn, statement string, each func(values []driver.Value) error) error {
	return conn.Raw(func(c any) error {
		rows, err := c.(driver.QueryerContext).QueryContext(ctx, statement, nil)
		if err != nil {
			return err
		}
		defer rows.Close()
		values := make([]driver.Value, len(rows.Columns()))
		for {
			err := rows.Next(values)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := each(values); err != nil {
				return err
			}
		}
	})
}

// exec runs a statement on the connection and says how many rows it touched and the first id it made.
func exec(ctx context.Context, conn *sql.Conn, statement string) (affected, firstID int64, err error) {
	err = conn.Raw(func(c any) error {
		result, err := c.(driver.ExecerContext).ExecContext(ctx, statement, nil)
		if err != nil {
			return err
		}
		affected, _ = result.RowsAffected()
		firstID, _ = result.LastInsertId()
		return nil
	})
	return affected, firstID, err
}

// on runs f with a connection of the pool.
func (p *pool) on(ctx context.Context, f func(conn *sql.Conn) error) error {
	conn, err := p.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return f(conn)
}

// query is query on any connection of the pool.
func (p *pool) query(ctx context.Context, statement string, each func(values []driver.Value) error) error {
	return p.on(ctx, func(conn *sql.Conn) error { return query(ctx, conn, statement, each) })
}

// words returns the rows as texts; for small answers of the catalogue.
func words(ctx context.Context, conn *sql.Conn, statement string) ([][]string, error) {
	var rows [][]string
	err := query(ctx, conn, statement, func(values []driver.Value) error {
		row := make([]string, len(values))
		for i, v := range values {
			row[i] = word(v)
		}
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

// words is words on any connection of the pool.
func (p *pool) words(ctx context.Context, statement string) (rows [][]string, err error) {
	err = p.on(ctx, func(conn *sql.Conn) error {
		rows, err = words(ctx, conn, statement)
		return err
	})
	return rows, err
}

// word is a driver's value as text; null is "".
func word(v driver.Value) string {
	switch v := v.(type) {
	case []byte:
		return string(v)
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return ""
}

// quote makes an identifier of a name.
func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
