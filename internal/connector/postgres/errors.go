// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
)

// classify turns any error into a connector.Error; nil stays nil, and what is classified stays as it is.
func classify(doing string, err error) error {
	if err == nil {
		return nil
	}
	var known *connector.Error
	if errors.As(err, &known) {
		return known
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return classified(doing, pg)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &connector.Error{Class: connector.Retry, Code: "postgresql.interrupted", Message: fmt.Sprintf("PostgreSQL did not finish %s in time.", doing), Err: err}
	}
	var dial *dialError
	if errors.As(err, &dial) {
		if f := fault.As(dial); f != nil { // the guard's own words
			return &connector.Error{Class: connector.Reconnect, Code: f.Code, Message: f.Message, Err: dial}
		}
		var dns *net.DNSError
		if errors.As(err, &dns) && dns.IsNotFound {
			return &connector.Error{Class: connector.Reconnect, Code: "postgresql.host_unknown", Message: fmt.Sprintf("There is no host called %q; correct the host of the connection.", dns.Name), Err: dial}
		}
		return &connector.Error{Class: connector.Retry, Code: "postgresql.unreachable",
			Message: "The PostgreSQL server does not answer. Check host and port, that it accepts connections from here, and that no firewall is in between.", Err: dial}
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) && strings.Contains(err.Error(), "server refused TLS") {
		return &connector.Error{Class: connector.Reconnect, Code: "postgresql.tls", Message: "The server does not offer encryption; turn it on there, or set sslmode to prefer.", Err: errors.Unwrap(connect)}
	}
	if strings.Contains(err.Error(), "x509") || strings.Contains(err.Error(), "tls: ") {
		return &connector.Error{Class: connector.Reconnect, Code: "postgresql.tls", Message: "The server's certificate is not valid for this host; install one that is, or set sslmode to require.", Err: err}
	}
	return unclassified(doing, err)
}

func unclassified(doing string, err error) *connector.Error {
	return &connector.Error{Class: connector.Retry, Code: "postgresql.unexpected", Message: fmt.Sprintf("PostgreSQL did not answer as expected while %s; it will be tried again.", doing), Err: err}
}

// classified is the table of SQLSTATEs, https://www.postgresql.org/docs/current/errcodes-appendix.html.
func classified(doing string, e *pgconn.PgError) *connector.Error {
	made := func(class connector.Class, code, format string, args ...any) *connector.Error {
		return &connector.Error{Class: class, Code: "postgresql." + code, Message: fmt.Sprintf(format, args...), Err: e}
	}
	switch e.Code {
	case "28P01", "28000":
		return made(connector.Reconnect, "auth_failed", "The server does not let this user in; check user and password, and the server's pg_hba.conf.")
	case "3D000":
		return made(connector.Reconnect, "no_such_database", "The server has no database of this name; correct the database of the connection.")
	case "42501":
		if e.Routine == "ExecWithCheckOptions" {
			return made(connector.Reject, "row_policy", "A row-level security policy of the table %s does not allow this row.", e.TableName)
		}
		return made(connector.Reconnect, "no_permission", "The role may not do this: %s. Grant it the right, or connect as another role.", e.Message)
	case "25006":
		return made(connector.Reconnect, "read_only", "The server takes no writes; it is a standby, or the role or database is set to read only. Connect to the primary.")
	case "53300":
		err := made(connector.SlowDown, "too_many_connections", "The server has no free connection; raise max_connections there, or free some.")
		err.After = 5 * time.Second
		return err
	case "42P01", "42703", "42704", "42804", "42883", "42P10", "3F000", "42P18":
		return made(connector.Drift, "shape_changed", "The table is not what it was: %s.", e.Message)
	case "55P03":
		return made(connector.Retry, "locked", "A transaction in the database holds the table for long; it will be tried again while %s.", doing)
	case "55006":
		return made(connector.Retry, "in_use", "Another connection still uses what we need while %s: %s.", doing, e.Message)
	case "428C9", "P0001", "44000":
		return made(connector.Reject, "refused", "%s", sentence(e))
	}
	switch e.Code[:2] {
	case "22", "23", "54", "0A":
		return made(connector.Reject, "refused", "%s", sentence(e))
	case "08", "40", "53", "55", "57", "58":
		return made(connector.Retry, "interrupted", "The server broke off while %s: %s.", doing, e.Message)
	}
	return unclassified(doing, e)
}

// sentence is the server's message with its detail, for a person.
func sentence(e *pgconn.PgError) string {
	s := "PostgreSQL says: " + strings.TrimSuffix(e.Message, ".") + "."
	if e.Detail != "" && e.Code != "23502" { // whose detail is the whole row
		s += " " + e.Detail
	}
	if e.ColumnName != "" && !strings.Contains(s, e.ColumnName) {
		s += " (Column " + e.ColumnName + ")"
	}
	return s
}

// ofInput says whether the error lies in the rows of a statement, so that others of the batch may pass.
func ofInput(err error) bool { return err != nil && connector.Classify(err).Class == connector.Reject }
