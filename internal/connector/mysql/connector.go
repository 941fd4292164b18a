// SPDX-License-Identifier: Apache-2.0

// Package mysql connects MySQL and MariaDB databases: tables are objects, rows are records, and the binary log, a
// timestamp column or a sweep tells of changes.
package mysql

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/failover"
	"github.com/syncline-dev/syncline/internal/record"
)

// The ways of seeing changes, best first; the words are those of the document's changeDetection.
const (
	byLog       = "cdc"
	byTimestamp = "timestamp"
	bySweep     = "hash"
)

type mysqlConnector struct{}

// New returns the connector for MySQL and MariaDB.
func New() connector.Connector { return mysqlConnector{} }

// Spec declares the connector.
func (mysqlConnector) Spec() connector.Spec {
	return connector.Spec{
		Type: "mysql", Aliases: []string{"mariadb"}, Title: "MySQL and MariaDB", Class: "standard",
		Summary: "Keeps tables of a MySQL (5.7 or later) or MariaDB (10.3 or later) database in sync, in both directions.",
		Settings: []connector.Setting{
			{Name: "host", Title: "Host", Kind: connector.Text, Required: true, Doc: "Name or address of the server."},
			{Name: "port", Title: "Port", Kind: connector.Integer, Default: "3306", Doc: "TCP port of the server."},
			{Name: "database", Title: "Database", Kind: connector.Text, Required: true, Doc: "The database (schema) that holds the tables."},
			{Name: "user", Title: "User", Kind: connector.Text, Required: true, Doc: "The account to log in with. It needs SELECT, and INSERT, UPDATE and DELETE where records are to be written; reading the binary log needs REPLICATION SLAVE and REPLICATION CLIENT too."},
			{Name: "password", Title: "Password", Kind: connector.Text, Secret: true, Doc: "The password of the account."},
			{Name: "tls", Title: "Encryption", Kind: connector.Choice, Default: "preferred", Choices: []string{"false", "preferred", "required", "verify"},
				Doc: "false: never; preferred: when the server offers it; required: always, any certificate; verify: always, and the certificate must be valid for the host."},
			{Name: "compression", Title: "Compression", Kind: connector.Boolean, Default: "false", Doc: "Whether what goes over the network is compressed, where the server can; for a database far away. It costs processor time on both sides. The binary log is read as it is."},
			failover.Setting(),
			{Name: "maxConnections", Title: "Most connections", Kind: connector.Integer, Default: strconv.Itoa(poolSize), Min: leastPool, Max: mostPool,
				Doc: "The most connections to read that each service keeps open, and as many again to write, from 2 to 50."},
			{Name: "table", Title: "Table", Kind: connector.Text, Doc: "The table to sync when the service names no object."},
		},
		Detections: []string{byLog, byTimestamp, bySweep},
		Deletes:    "cdc: tombstone; hash: list-diff, where a helper table may be created, else never; timestamp: never",
		Guarantee:  "effectively once: each batch is one transaction that looks at the rows under lock before it writes, so that repeating it changes nothing",
	}
}

// Open connects, learns what kind of server answers, and finds out what can be done there.
func (mysqlConnector) Open(ctx context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	a, err := newAccess(settings, env)
	if err != nil {
		return nil, err
	}
	switch env.Detection {
	case "", "auto", byLog, byTimestamp, bySweep:
	default:
		return nil, &connector.Error{Class: connector.Reject, Code: "mysql.detection_unknown",
			Message: fmt.Sprintf("MySQL cannot see changes by %q. Choose cdc, timestamp, hash or auto.", env.Detection)}
	}
	s := &system{access: a, env: env, defaultTable: settings["table"], tables: make(map[record.Object]*table), chosen: make(map[record.Object]choice), sweeps: make(map[record.Object]sweepTime)}
	s.log = newFeed(s)
	if err = s.connect(ctx); err == nil {
		err = s.explore(ctx)
	}
	if err != nil {
		_ = s.Close() // the error that ended the opening says more
		return nil, err
	}
	return s.as(), nil
}

// explore finds out whether the log can be read, where that is open, and whether writes can be remembered.
func (s *system) explore(ctx context.Context) error {
	if s.env.Detection == "" || s.env.Detection == "auto" {
		s.logWhy, s.logErr = s.tryLog(ctx)
		var e *connector.Error
		if s.logErr != nil && (!errors.As(s.logErr, &e) || e.Class != connector.Reject) {
			return s.logErr // passing trouble says nothing about what the server can do
		}
	}
	var err error
	s.remembers, err = s.mayRemember(ctx)
	return classify(err, "connecting")
}

// as shows the system with the capabilities that it has here.
func (s *system) as() connector.System {
	watches := s.env.Detection == byLog || s.env.Detection != byTimestamp && s.env.Detection != bySweep && s.logErr == nil
	switch {
	case watches && s.remembers:
		return struct {
			*system
			watching
			recalling
		}{s, watching{s}, recalling{s}}
	case watches:
		return struct {
			*system
			watching
		}{s, watching{s}}
	case s.remembers:
		return struct {
			*system
			recalling
		}{s, recalling{s}}
	}
	return s
}

// watching is the capability of a system whose log can be read.
type watching struct{ s *system }

// Watch wakes for changes that the binary log tells of.
func (w watching) Watch(ctx context.Context, objects []record.Object, wake func(record.Object)) error {
	return w.s.watch(ctx, objects, wake)
}

// recalling is the capability of a system in which the connector may have a table of its own.
type recalling struct{ s *system }

// Recall returns what the attempt wrote.
func (r recalling) Recall(ctx context.Context, object record.Object, attempt uuid.UUID) (map[record.EntityID]connector.Receipt, error) {
	return r.s.recall(ctx, object, attempt)
}

// system is one open database. It is used by several goroutines.
type system struct {
	access       access
	env          connector.Env
	defaultTable string

	reads  *pool // repeatable read
	writes *pool // read committed where the server allows it
	server server
	log    *feed

	logWhy    string // why the log can be read, when that was tried
	logErr    error  // or what is missing
	remembers bool   // writes are remembered in a table of our own

	mu      sync.Mutex
	told    place                    // the first place that was told of the present file of the log
	tables  map[record.Object]*table // what is known of tables, re-read when it has become doubtful
	chosen  map[record.Object]choice
	sweeps  map[record.Object]sweepTime
	helpers helpers
}

var (
	_ connector.System     = (*system)(nil)
	_ connector.Discoverer = (*system)(nil)
	_ connector.Reader     = (*system)(nil)
	_ connector.KeyReader  = (*system)(nil)
	_ connector.Finder     = (*system)(nil)
	_ connector.Writer     = (*system)(nil)
	_ connector.Watcher    = watching{}
	_ connector.Recaller   = recalling{}
	_ connector.Chooser    = (*system)(nil)
	_ connector.Cleaner    = (*system)(nil)
)

// Close ends the stream and returns connections.
func (s *system) Close() error {
	if s.log != nil {
		s.log.close()
	}
	if s.reads != nil {
		s.reads.Close()
	}
	if s.writes != nil {
		s.writes.Close()
	}
	return nil
}

// Account is what budgets are kept by: a database has none.
func (s *system) Account() string { return "" }

// Gauges says whether the second host is used.
func (s *system) Gauges() (g connector.Gauges) {
	if s.access.second != nil {
		g.Endpoint = s.access.second.Endpoint()
	}
	return g
}
