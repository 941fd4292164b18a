// SPDX-License-Identifier: Apache-2.0

// Package mysql connects MySQL and MariaDB databases: tables are objects, rows are records, and the binary log, a
// timestamp column or a sweep tells of changes.
package mysql

import (
	"context"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
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
			{Name: "table", Title: "Table", Kind: connector.Text, Doc: "The table to sync when the service names no object."},
		},
		Detections: []string{byLog, byTimestamp, bySweep},
		Deletes:    "cdc: tombstone; hash: list-diff, where a helper table may be created, else never; timestamp: never",
		Guarantee:  "effectively once: each batch is one transaction that looks at the rows under lock before it writes, so that repeating it changes nothing",
	}
}

// Open connects and learns what kind of server answers.
func (mysqlConnector) Open(ctx context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	a, err := newAccess(settings, env)
	if err != nil {
		return nil, err
	}
	s := &system{access: a, env: env, defaultTable: settings["table"], tables: make(map[record.Object]*table), chosen: make(map[record.Object]choice), slots: newSlots()}
	if err := s.connect(ctx); err != nil {
		s.Close()
		return nil, err
	}
	s.log = newFeed(s)
	return s, nil
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
	slots  *slots

	mu      sync.Mutex
	tables  map[record.Object]*table // what is known of tables, re-read when it has become doubtful
	chosen  map[record.Object]choice
	helpers helpers
}

var (
	_ connector.System     = (*system)(nil)
	_ connector.Discoverer = (*system)(nil)
	_ connector.Reader     = (*system)(nil)
	_ connector.KeyReader  = (*system)(nil)
	_ connector.Finder     = (*system)(nil)
	_ connector.Writer     = (*system)(nil)
	_ connector.Watcher    = (*system)(nil)
	_ connector.Chooser    = (*system)(nil)
	_ connector.Cleaner    = (*system)(nil)
	_ connector.Pacer      = (*system)(nil)
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

// Pace is slow where each look reads a whole table.
func (s *system) Pace() connector.Pace {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.chosen {
		if c.detection == bySweep {
			return connector.Pace{Min: 10 * time.Second, Max: 10 * time.Minute}
		}
	}
	return connector.Pace{Min: time.Second, Max: time.Minute}
}
