// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/failover"
	"github.com/syncline-dev/syncline/internal/record"
)

// The detections, in the words of the service document.
const (
	byTrigger   = "database-trigger"
	byLog       = "cdc"
	byTimestamp = "timestamp"
	byHash      = "hash"
)

// Connector is the connector type postgresql.
type Connector struct {
	patience time.Duration // see slotPatience
}

// New returns the connector.
func New() Connector { return Connector{slotPatience} }

// Spec declares the connector.
func (Connector) Spec() connector.Spec {
	return connector.Spec{
		Type:    "postgresql",
		Aliases: []string{"postgres"},
		Title:   "PostgreSQL",
		Summary: "Tables of a PostgreSQL database, version 13 or newer.",
		Class:   "standard",
		Settings: []connector.Setting{
			{Name: "host", Title: "Host", Kind: connector.Text, Required: true, Doc: "Name or address of the server."},
			{Name: "port", Title: "Port", Kind: connector.Integer, Default: "5432", Doc: "Port of the server, 5432 as a rule."},
			{Name: "database", Title: "Database", Kind: connector.Text, Required: true, Doc: "Name of the database."},
			{Name: "user", Title: "User", Kind: connector.Text, Default: "syncline", Doc: "Role to sign in as; syncline when none is given."},
			{Name: "password", Title: "Password", Kind: connector.Text, Secret: true, Doc: "Password of the role; none where the server trusts us otherwise."},
			{Name: "sslmode", Title: "Encryption", Kind: connector.Choice, Default: "prefer", Choices: []string{"disable", "prefer", "require", "verify-full"},
				Doc: "disable: never; prefer: when the server offers it; require: always; verify-full: always, and the certificate must be valid for the host."},
			failover.Setting(),
			{Name: "maxConnections", Title: "Most connections", Kind: connector.Integer, Default: strconv.Itoa(poolSize), Min: leastPool, Max: mostPool,
				Doc: "The most connections for statements that each service keeps open, from 2 to 50. Reading and writing share them."},
			{Name: "schema", Title: "Schema", Kind: connector.Text, Default: "public", Doc: "Schema of the tables that are named without one."},
			{Name: "table", Title: "Table", Kind: connector.Text, Doc: "The table to sync when the service names no objects; `table` or `schema.table`."},
			{Name: "timestampColumn", Title: "Timestamp column", Kind: connector.Text,
				Doc: "For the detection timestamp: the column that holds the time of a row's last change. By default the first of " + strings.Join(timestampNames, ", ") + "."},
			{Name: "timestampZone", Title: "Time zone of the timestamp column", Kind: connector.Text,
				Doc: "Needed for a timestamp column without time zone: the zone that its times are in, such as UTC or Europe/Berlin."},
		},
		Detections: []string{byTrigger, byLog, byTimestamp, byHash},
		Deletes:    "database-trigger: tombstone; cdc: tombstone; timestamp: never; hash: list-diff where the role may create the schema syncline, else never",
		Guarantee:  "effectively once: each write compares the row with the expected state and changes it in one transaction",
	}
}

// Open prepares a system; connections are made when they are first needed.
func (c Connector) Open(_ context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	if d := env.Detection; d != "" && d != "auto" && !slices.Contains(c.Spec().Detections, d) {
		return nil, &connector.Error{Class: connector.Reject, Code: "postgresql.detection_unknown",
			Message: fmt.Sprintf("PostgreSQL cannot detect changes by %q; use one of auto, %s.", d, strings.Join(c.Spec().Detections, ", "))}
	}
	var second *failover.Dialer
	if settings["secondHost"] != "" && env.Dial != nil {
		port := settings["port"]
		if port == "" {
			port = "5432"
		}
		second = failover.New(settings["host"], port, settings["secondHost"], env.Dial)
	}
	pool, err := newPool(settings, env, second)
	if err != nil {
		return nil, err
	}
	schema := settings["schema"]
	if schema == "" {
		schema = "public"
	}
	return &system{pool: pool, second: second, settings: settings, schema: schema, env: env, mostHeld: maxHeld, margin: margin, patience: c.patience, tables: map[record.Object]*table{}}, nil
}
