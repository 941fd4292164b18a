// SPDX-License-Identifier: Apache-2.0

package testdb

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/syncline-dev/syncline/internal/localdb"
)

// MySQL returns the URL (root) of a fresh empty MariaDB database, dropped when the test ends:
// mysql://root:...@127.0.0.1:3307/t_name. DSN turns it into the form that database/sql wants.
func MySQL(t testing.TB) string {
	t.Helper()
	admin, name := mysqlURL(t), databaseName(t)
	if err := runMySQL(admin, "CREATE DATABASE `"+name+"`"); err != nil {
		t.Fatalf("testdb: %v", err)
	}
	t.Cleanup(func() {
		if err := runMySQL(admin, "DROP DATABASE IF EXISTS `"+name+"`"); err != nil {
			t.Errorf("testdb: dropping %s: %v", name, err)
		}
	})
	return withDatabase(admin, name)
}

// OwnMySQL starts a MariaDB server for this test alone, to be killed and restarted at will.
func OwnMySQL(t testing.TB) *localdb.MySQL {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	server, err := localdb.StartMySQL(ctx, options(t))
	if err != nil {
		t.Fatalf("testdb: %v", err)
	}
	t.Cleanup(func() { stop(t, server) })
	return server
}

// DSN turns a mysql:// URL into the form of github.com/go-sql-driver/mysql, with times parsed as UTC.
func DSN(mysqlURL string) string {
	u, err := url.Parse(mysqlURL)
	if err != nil {
		panic("testdb: not a MySQL URL: " + err.Error())
	}
	c := mysql.NewConfig()
	c.User = u.User.Username()
	c.Passwd, _ = u.User.Password()
	c.Net, c.Addr, c.DBName = "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
	c.ParseTime, c.Loc = true, time.UTC
	return c.FormatDSN()
}

func runMySQL(admin, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	db, err := sql.Open("mysql", DSN(admin))
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}
