// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
)

// server is what was learnt of the server when it was opened.
type server struct {
	version       string
	mariadb       bool
	snapshotPlace bool // it tells up to which place of the binary log transactions are visible (MariaDB)
	major         int  // 10.11 is major 10, minor 11
	minor         int
	logBin        bool
	logFormat     string // ROW, MIXED or STATEMENT
	ordered       bool   // commits become visible in the order of the binary log
	gtid          bool   // MySQL: transactions have global ids
	foldNames     bool   // table names are compared without case
	packet        int    // the largest statement it takes, in bytes
	step          int64  // distance of the auto-increment values made by one statement
	encrypted     bool   // connections are encrypted
}

// atLeast compares the version.
func (s server) atLeast(major, minor int) bool {
	return s.major > major || s.major == major && s.minor >= minor
}

// returning says whether INSERT can hand back what it stored.
func (s server) returning() bool { return s.mariadb && s.atLeast(10, 5) }

// connect opens the pools and learns about the server.
func (s *system) connect(ctx context.Context) error {
	reads, err := s.access.newPool(map[string]string{"innodb_lock_wait_timeout": readLockSecs}, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
	if err != nil {
		return classify(err, "connecting")
	}
	s.reads = reads
	if s.server, err = s.learn(ctx); err != nil {
		return classify(err, "connecting")
	}
	if s.server.tooOld() {
		return &connector.Error{Class: connector.Reconnect, Code: "mysql.version",
			Message: fmt.Sprintf("The server is %s; MySQL 5.7 or MariaDB 10.3 is the oldest that can be synced. Upgrade the server or connect another one.", s.server.version)}
	}
	// Without gap locks, two writers of new rows do not wait for each other. Statement-based logging does not allow it.
	level := "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
	if s.server.logBin && s.server.logFormat == "STATEMENT" {
		level = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"
	}
	if s.writes, err = s.access.newPool(map[string]string{"innodb_lock_wait_timeout": lockWaitSecs}, level); err != nil {
		return classify(err, "connecting")
	}
	return nil
}

func (s server) tooOld() bool {
	if s.mariadb {
		return !s.atLeast(10, 3)
	}
	return !s.atLeast(5, 7)
}

func (s *system) learn(ctx context.Context) (server, error) {
	rows, err := s.reads.words(ctx, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version','log_bin','binlog_format','binlog_order_commits','gtid_mode','lower_case_table_names','max_allowed_packet','auto_increment_increment')")
	if err != nil {
		return server{}, err
	}
	v := make(map[string]string, len(rows))
	for _, r := range rows {
		v[strings.ToLower(r[0])] = r[1]
	}
	out := server{version: v["version"], logBin: on(v["log_bin"]), logFormat: strings.ToUpper(v["binlog_format"]), ordered: v["binlog_order_commits"] == "" || on(v["binlog_order_commits"]),
		gtid: on(v["gtid_mode"]), foldNames: v["lower_case_table_names"] != "0", packet: 1 << 20, step: 1}
	if out.logFormat == "" {
		out.logFormat = "ROW" // the only one of servers that no longer have the variable
	}
	out.mariadb = strings.Contains(strings.ToLower(out.version), "mariadb")
	out.snapshotPlace = out.mariadb
	// A proxy may put "5.5.5-" in front of MariaDB's version.
	plain := strings.TrimPrefix(out.version, "5.5.5-")
	parts := strings.SplitN(plain, ".", 3)
	if len(parts) > 1 {
		out.major, _ = strconv.Atoi(parts[0])
		out.minor, _ = strconv.Atoi(parts[1])
	}
	if n, err := strconv.Atoi(v["max_allowed_packet"]); err == nil {
		out.packet = n
	}
	if n, err := strconv.ParseInt(v["auto_increment_increment"], 10, 64); err == nil && n > 0 {
		out.step = n
	}
	cipher, err := s.reads.words(ctx, "SHOW SESSION STATUS LIKE 'Ssl_cipher'")
	if err != nil {
		return server{}, err
	}
	out.encrypted = len(cipher) == 1 && cipher[0][1] != ""
	return out, nil
}

func on(value string) bool { return strings.EqualFold(value, "ON") || value == "1" }

// Check says whether the server answers and the account sees the tables.
func (s *system) Check(ctx context.Context) error {
	objects, err := s.Objects(ctx)
	if err != nil {
		return err
	}
	if len(objects) == 0 {
		return &connector.Error{Class: connector.Reconnect, Code: "mysql.no_tables",
			Message: fmt.Sprintf("The account %s sees no tables in the database %s. Grant it SELECT on them, or correct the database's name.", s.access.user, s.access.database)}
	}
	if s.env.Detection == byLog {
		if _, err := s.tryLog(ctx); err != nil {
			return err
		}
	}
	return nil
}
