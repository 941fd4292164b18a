// SPDX-License-Identifier: Apache-2.0

// Command testservers starts a private PostgreSQL and a private MariaDB, runs a command that finds them in
// SYNCLINE_TEST_POSTGRES_URL and SYNCLINE_TEST_MYSQL_URL, and stops both when it has ended:
//
//	testservers go test ./...
//
// Its exit status is the command's. It prints nothing of its own when all goes well, so that the last line is the
// command's.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/syncline-dev/syncline/internal/localdb"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: testservers COMMAND [ARGUMENT...]")
		os.Exit(2)
	}
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "testservers:", err)
		os.Exit(1)
	}
	os.Exit(status)
}

func run(command []string) (status int, err error) {
	// The command gets a terminal's Ctrl-C itself, being in our process group; we stay until it has ended.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()

	if err := localdb.Install(ctx, os.Stderr, localdb.PostgreSQL, localdb.MariaDB); err != nil {
		return 1, err
	}
	var postgres *localdb.Postgres
	var mysql *localdb.MySQL
	starting, startingCtx := errgroup.WithContext(ctx)
	starting.Go(func() (err error) {
		o, err := testdb.Options()
		if err != nil {
			return err
		}
		postgres, err = localdb.StartPostgres(startingCtx, o)
		return err
	})
	starting.Go(func() (err error) {
		o, err := testdb.Options()
		if err != nil {
			return err
		}
		mysql, err = localdb.StartMySQL(startingCtx, o)
		return err
	})
	err = starting.Wait()
	defer func() {
		ending, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if postgres != nil {
			err = errors.Join(err, postgres.Stop(ending))
		}
		if mysql != nil {
			err = errors.Join(err, mysql.Stop(ending))
		}
	}()
	if err != nil {
		return 1, err
	}

	cmd := exec.Command(command[0], command[1:]...) //nolint:noctx,gosec // running what it is given is its purpose (G702); ended by a signal, below
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), testdb.PostgresVariable+"="+postgres.URL(), testdb.MySQLVariable+"="+mysql.URL(""))
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	go func() {
		<-ctx.Done()
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}()
	if err := cmd.Wait(); cmd.ProcessState == nil {
		return 1, err
	}
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code, nil
	}
	return 1, fmt.Errorf("%s was ended: %s", command[0], cmd.ProcessState)
}
