// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	logpkg "github.com/go-mysql-org/go-mysql/mysql"
	driverpkg "github.com/go-sql-driver/mysql"
	pingcap "github.com/pingcap/errors"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
)

// The texts are those of real servers.
func TestClassify(t *testing.T) {
	server := func(n uint16, message string) error { return &driverpkg.MySQLError{Number: n, Message: message} }
	tests := []struct {
		err   error
		class connector.Class
		code  string
	}{
		{server(1045, "Access denied for user 'a'@'localhost' (using password: YES)"), connector.Reconnect, "mysql.login"},
		{server(1044, "Access denied for user 'a'@'%' to database 'shop'"), connector.Reconnect, "mysql.database"},
		{server(1049, "Unknown database 'shop'"), connector.Reconnect, "mysql.database"},
		{server(1130, "Host '10.0.0.1' is not allowed to connect to this MariaDB server"), connector.Reconnect, "mysql.host_refused"},
		{server(1142, "UPDATE command denied to user 'a'@'%' for table `shop`.`orders`"), connector.Reconnect, "mysql.permission"},
		{server(1227, "Access denied; you need (at least one of) the PROCESS privilege(s) for this operation"), connector.Reconnect, "mysql.permission"},
		{server(1146, "Table 'shop.orders' doesn't exist"), connector.Drift, "mysql.shape"},
		{server(1054, "Unknown column 'colour' in 'field list'"), connector.Drift, "mysql.shape"},
		{server(1062, "Duplicate entry '1' for key 'PRIMARY'"), connector.Reject, "mysql.duplicate"},
		{server(1048, "Column 'name' cannot be null"), connector.Reject, "mysql.null"},
		{server(1406, "Data too long for column 'name' at row 1"), connector.Reject, "mysql.too_long"},
		{server(1264, "Out of range value for column 'n' at row 1"), connector.Reject, "mysql.out_of_range"},
		{server(1366, "Incorrect integer value: 'x' for column `shop`.`orders`.`n` at row 1"), connector.Reject, "mysql.not_valid"},
		{server(1452, "Cannot add or update a child row: a foreign key constraint fails (...)"), connector.Reject, "mysql.reference_missing"},
		{server(3819, "Check constraint 'positive' is violated."), connector.Reject, "mysql.check_failed"},
		{server(4025, "CONSTRAINT `positive` failed for `shop`.`orders`"), connector.Reject, "mysql.check_failed"},
		{server(1205, "Lock wait timeout exceeded; try restarting transaction"), connector.Retry, "mysql.lock"},
		{server(1213, "Deadlock found when trying to get lock; try restarting transaction"), connector.Retry, "mysql.lock"},
		{server(1040, "Too many connections"), connector.SlowDown, "mysql.too_many_connections"},
		{server(1203, "User shop already has more than 'max_user_connections' active connections"), connector.SlowDown, "mysql.too_many_connections"},
		{server(1927, "Connection was killed"), connector.Retry, "mysql.unavailable"},
		{server(1053, "Server shutdown in progress"), connector.Retry, "mysql.unavailable"},
		{server(1290, "The MariaDB server is running with the --read-only option so it cannot execute this statement"), connector.Retry, "mysql.read_only"},
		{server(1114, "The table 'orders' is full"), connector.Retry, "mysql.full"},
		{server(9999, "Something new"), connector.Retry, "mysql.server_error"},
		{pingcap.Trace(&logpkg.MyError{Code: 1236, Message: "Could not find first log file name in binary log index file", State: "HY000"}), connector.LostPlace, "mysql.log_purged"},
		{fmt.Errorf("handshake: %w", &logpkg.MyError{Code: 1045, Message: "Access denied", State: "28000"}), connector.Reconnect, "mysql.login"},
		{driverpkg.ErrInvalidConn, connector.Retry, "mysql.unreachable"},
		{&net.OpError{Op: "dial", Err: errors.New("connection refused")}, connector.Retry, "mysql.unreachable"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "db.example.test", IsNotFound: true}}, connector.Reconnect, "mysql.host_unknown"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "server misbehaving", Name: "db.example.test", IsTemporary: true}}, connector.Retry, "mysql.unreachable"},
		{driverpkg.ErrNoTLS, connector.Reconnect, "mysql.no_encryption"},
		{fmt.Errorf("dial: %w", fault.New(fault.Forbidden, "net.private", "Addresses of private networks are not allowed.")), connector.Reconnect, "mysql.address_refused"},
		{fmt.Errorf("so: %w", lost("mysql.cursor", "x")), connector.LostPlace, "mysql.cursor"},
	}
	for _, tt := range tests {
		e := connector.Classify(classify(tt.err, "reading orders"))
		if e.Class != tt.class || e.Code != tt.code || e.Message == "" {
			t.Errorf("%v is %s, %s: %q; want %s, %s", tt.err, e.Class, e.Code, e.Message, tt.class, tt.code)
		}
		if (e.Class == connector.SlowDown) != (e.After > 0) {
			t.Errorf("%v: after %v", tt.err, e.After)
		}
	}
	if err := classify(context.Canceled, "reading"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Each code has its page, and each page its code.
func TestEveryCodeHasAPage(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	used := make(map[string]bool)
	code := regexp.MustCompile(`"(mysql\.[a-z_]+)"`)
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range code.FindAllSubmatch(b, -1) {
			used[string(m[1])] = true
		}
	}
	pages, err := filepath.Glob("../../../docs/errors/mysql.*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		c := strings.TrimSuffix(filepath.Base(p), ".md")
		if !used[c] {
			t.Errorf("no code %s is used, but it has a page", c)
		}
		delete(used, c)
	}
	for c := range used {
		t.Errorf("%s has no page in docs/errors", c)
	}
}

func TestConnecting(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDatabase(t, orders)
	bad := func(name, value string) connector.Settings {
		c := connector.Settings{}
		for k, v := range d.settings {
			c[k] = v
		}
		c[name] = value
		return c
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := strings.TrimPrefix(listener.Addr().String(), "127.0.0.1:")
	listener.Close()
	for _, tt := range []struct {
		settings connector.Settings
		class    connector.Class
		code     string
	}{
		{bad("password", "wrong"), connector.Reconnect, "mysql.login"},
		{bad("database", "nowhere"), connector.Reconnect, "mysql.database"},
		{bad("port", free), connector.Retry, "mysql.unreachable"},
		{bad("port", "70000"), connector.Reconnect, "mysql.port"},
		{bad("tls", "required"), connector.Reconnect, "mysql.no_encryption"},
		{bad("tls", "verify"), connector.Reconnect, "mysql.no_encryption"},
	} {
		_, err := New().Open(ctx, tt.settings, connector.Env{Consumer: "svc_test"})
		if class(err) != tt.class || code(err) != tt.code {
			t.Errorf("%v: %v", tt.settings, err)
		}
		if err != nil && strings.Contains(err.Error(), d.settings["password"]) {
			t.Errorf("the error holds the password: %v", err)
		}
	}
	// Every connection goes through Dial, that of the log too.
	refuse := fault.New(fault.Forbidden, "net.private", "Addresses of private networks are not allowed.")
	if _, err := New().Open(ctx, d.settings, connector.Env{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, refuse }}); code(err) != "mysql.address_refused" {
		t.Error(err)
	}
	dials := make(chan string, 100)
	s := d.open(func(e *connector.Env) {
		e.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			dials <- address
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
	})
	before := len(dials)
	r := d.replica(s, "orders", 10)
	r.drain()
	if len(dials) == before || before == 0 {
		t.Errorf("%d connections were made through Dial, then %d", before, len(dials))
	}
}
