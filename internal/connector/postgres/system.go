// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/failover"
	"github.com/syncline-dev/syncline/internal/record"
)

// system is one open database.
type system struct {
	pool     *pgxpool.Pool
	second   *failover.Dialer // nil where there is no second host
	settings connector.Settings
	schema   string // of tables named without one
	env      connector.Env
	mostHeld int           // see maxHeld
	margin   int           // see margin
	patience time.Duration // see slotPatience

	starting sync.Mutex // held while the stream is started

	mu        sync.Mutex
	tables    map[record.Object]*table
	chosen    map[record.Object]choice
	remembers *bool                // writes are remembered in a table of our own; nil until it was looked at
	trimmed   map[uint32]time.Time // when rows of the table's log were last removed
	log       *logStream           // cdc; nil until it is needed
}

var (
	_ connector.Connector    = Connector{}
	_ connector.Discoverer   = (*system)(nil)
	_ connector.Reader       = (*system)(nil)
	_ connector.KeyReader    = (*system)(nil)
	_ connector.Finder       = (*system)(nil)
	_ connector.Writer       = (*system)(nil)
	_ connector.Watcher      = (*system)(nil)
	_ connector.Acknowledger = (*system)(nil)
	_ connector.Cleaner      = (*system)(nil)
	_ connector.Chooser      = (*system)(nil)
	_ connector.Recaller     = (*system)(nil)
)

// oldest is the first version with transaction ids of 64 bits in SQL.
const oldest = 130000

// Check connects and looks at the server's version.
func (s *system) Check(ctx context.Context) error {
	return s.on(ctx, "connecting", func(c *pgconn.PgConn) error {
		version := 0
		err := statement{sql: "SELECT current_setting('server_version_num')", row: func(v [][]byte) error {
			version, _ = strconv.Atoi(string(v[0]))
			return nil
		}}.run(ctx, c)
		if err != nil {
			return err
		}
		if version < oldest {
			return &connector.Error{Class: connector.Reconnect, Code: "postgresql.version", Message: fmt.Sprintf("The server is PostgreSQL %d; version 13 or newer is needed.", version/10000)}
		}
		return nil
	})
}

// Close ends all connections.
func (s *system) Close() error {
	s.stopStream()
	s.pool.Close()
	return nil
}

// Account is what budgets are kept by: a database has none.
func (s *system) Account() string { return "" }

// Gauges says whether the second host is used.
func (s *system) Gauges() (g connector.Gauges) {
	if s.second != nil {
		g.Endpoint = s.second.Endpoint()
	}
	return g
}
