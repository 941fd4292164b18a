// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// choice is the way of seeing changes of one table, and why.
type choice struct{ detection, why string }

// Detection says how changes of the object are seen and why.
func (s *system) Detection(ctx context.Context, object record.Object) (string, string, error) {
	t, err := s.table(ctx, object)
	if err != nil {
		return "", "", err
	}
	c, err := s.choose(ctx, t)
	return c.detection, c.why, err
}

// choose decides once per object and keeps to it while the system is open.
func (s *system) choose(ctx context.Context, t *table) (choice, error) {
	s.mu.Lock()
	c, known := s.chosen[t.object]
	s.mu.Unlock()
	if known {
		return c, nil
	}
	c, err := s.decide(ctx, t)
	if err != nil {
		return c, err
	}
	s.mu.Lock()
	s.chosen[t.object] = c
	s.mu.Unlock()
	return c, nil
}

func (s *system) decide(ctx context.Context, t *table) (choice, error) {
	switch s.env.Detection {
	case byLog:
		_, err := s.tryLog(ctx)
		return choice{byLog, "It was asked for."}, err
	case byTimestamp:
		if t.changedAt() == nil {
			return choice{}, &connector.Error{Class: connector.Reject, Code: "mysql.no_timestamp_column",
				Message: fmt.Sprintf("The table %s has no column that says when a row was changed, so changes cannot be seen by timestamp. Add one: ALTER TABLE %s ADD COLUMN updated_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6), ADD INDEX (updated_at); or choose cdc or hash.", t.name, quote(t.name))}
		}
		return choice{byTimestamp, "It was asked for."}, nil
	case bySweep:
		return choice{bySweep, "It was asked for."}, nil
	}
	if s.logErr == nil {
		return choice{byLog, s.logWhy}, nil
	}
	missing := connector.Classify(s.logErr).Message
	if c := t.changedAt(); c != nil {
		return choice{byTimestamp, fmt.Sprintf("The column %s says when a row was changed. The binary log, which would also show deletes, cannot be used: %s", c.name, missing)}, nil
	}
	return choice{bySweep, "The whole table is compared each time. The binary log, which is better, cannot be used: " + missing}, nil
}

// tryLog says why the binary log can be read, or as an error what is missing.
func (s *system) tryLog(ctx context.Context) (why string, err error) {
	if !s.server.logBin {
		return "", &connector.Error{Class: connector.Reject, Code: "mysql.log_off",
			Message: "The server keeps no binary log. Start it with log_bin and binlog_format=ROW, or choose another changeDetection."}
	}
	if s.server.logFormat != "ROW" {
		return "", &connector.Error{Class: connector.Reject, Code: "mysql.log_format",
			Message: fmt.Sprintf("The server's binlog_format is %s, which does not log rows. Set it to ROW, or choose another changeDetection.", s.server.logFormat)}
	}
	if err := s.logged(ctx); err != nil {
		return "", err
	}
	if err := s.log.probe(ctx); err != nil {
		var e *connector.Error
		if errors.As(err, &e) && e.Class == connector.Reconnect {
			return "", &connector.Error{Class: connector.Reject, Code: "mysql.log_permission", Err: err,
				Message: fmt.Sprintf("The account %s may not read the binary log. GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO it, or choose another changeDetection.", s.access.user)}
		}
		return "", err
	}
	return "The binary log is on, holds rows, and the account may read it.", nil
}

// logged refuses a database that the server leaves out of its log, where the account may see that.
func (s *system) logged(ctx context.Context) error {
	m, err := s.masterStatus(ctx)
	if err != nil {
		if s.server.snapshotPlace {
			return nil // the place is known without this, and the filters are rarely used
		}
		return classify(err, "looking at the binary log")
	}
	listed := func(list string) bool {
		for _, d := range strings.Split(list, ",") {
			if strings.TrimSpace(d) == s.access.database {
				return true
			}
		}
		return false
	}
	if m.only != "" && !listed(m.only) || listed(m.except) {
		return &connector.Error{Class: connector.Reject, Code: "mysql.log_filtered",
			Message: fmt.Sprintf("The server leaves the database %s out of its binary log (binlog-do-db, binlog-ignore-db). Include it, or choose another changeDetection.", s.access.database)}
	}
	return nil
}

// probe makes sure that the log can be read, by reading it.
func (f *feed) probe(ctx context.Context) error {
	f.attaching.Lock()
	defer f.attaching.Unlock()
	f.mu.Lock()
	alive := f.run != nil && f.run.ended == nil
	f.mu.Unlock()
	if alive {
		return nil
	}
	at, _, err := f.s.present(ctx)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.start(ctx, at); err != nil {
		return err
	}
	f.stop() // it may be that nobody reads here
	return nil
}
