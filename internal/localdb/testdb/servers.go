// SPDX-License-Identifier: Apache-2.0

package testdb

import (
	"context"
	"os"
	"sync"
	"testing"

	"github.com/syncline-dev/syncline/internal/localdb"
)

// The variables that name the servers of a whole test run. cmd/testservers sets them.
const (
	PostgresVariable = "SYNCLINE_TEST_POSTGRES_URL"
	MySQLVariable    = "SYNCLINE_TEST_MYSQL_URL"
)

// Options are those of a server for tests in a new temporary directory, which goes when the server or its owner ends.
func Options() (localdb.Options, error) {
	dir, err := os.MkdirTemp("", "syncline-test-")
	if err != nil {
		return localdb.Options{}, err
	}
	// As root the server runs under another account, which must get through to its own files.
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // G302: see above; what is private in it has its own mode
		return localdb.Options{}, err
	}
	return localdb.Options{Dir: dir, Ephemeral: true, MaxConnections: 300}, nil
}

// The servers of this process, started when first needed and never stopped by us: a test cannot know that it is the
// last one. They end with the process.
var (
	ownPostgres = sync.OnceValues(func() (string, error) {
		return started(PostgresVariable, func(ctx context.Context, o localdb.Options) (string, error) {
			p, err := localdb.StartPostgres(ctx, o)
			if err != nil {
				return "", err
			}
			return p.URL(), nil
		})
	})
	ownMySQL = sync.OnceValues(func() (string, error) {
		return started(MySQLVariable, func(ctx context.Context, o localdb.Options) (string, error) {
			m, err := localdb.StartMySQL(ctx, o)
			if err != nil {
				return "", err
			}
			return m.URL(""), nil
		})
	})
)

func started(variable string, start func(context.Context, localdb.Options) (string, error)) (string, error) {
	if url := os.Getenv(variable); url != "" {
		return url, nil
	}
	o, err := Options()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return start(ctx, o)
}

func postgresURL(t testing.TB) string {
	t.Helper()
	url, err := ownPostgres()
	if err != nil {
		t.Fatalf("testdb: %v", err)
	}
	return url
}

func mysqlURL(t testing.TB) string {
	t.Helper()
	url, err := ownMySQL()
	if err != nil {
		t.Fatalf("testdb: %v", err)
	}
	return url
}

func options(t testing.TB) localdb.Options {
	t.Helper()
	o, err := Options()
	if err != nil {
		t.Fatalf("testdb: %v", err)
	}
	return o
}

func stop(t testing.TB, server interface{ Stop(context.Context) error }) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := server.Stop(ctx); err != nil {
		t.Errorf("testdb: %v", err)
	}
}
