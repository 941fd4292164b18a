// SPDX-License-Identifier: Apache-2.0

// Package migrations owns the schema: every table, policy and role, as numbered SQL files embedded in the program.
package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strconv"

	"github.com/golang-migrate/migrate/v4"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

//go:embed *.sql
var files embed.FS

// Latest is the version that the program needs: that of the last file. Numbers may have gaps, because work that goes on side
// by side takes its numbers from ranges of its own.
var Latest = latest()

func latest() uint {
	names, err := files.ReadDir(".")
	if err != nil || len(names) == 0 {
		panic("migrations: nothing is embedded")
	}
	n, err := strconv.ParseUint(names[len(names)-1].Name()[:6], 10, 32)
	if err != nil {
		panic("migrations: " + err.Error())
	}
	return uint(n)
}

// Up brings the database at url (any form that pgx reads) to the latest version. It may be called by several processes at
// once: the tool holds an advisory lock. url must belong to a role that may create tables and roles.
func Up(ctx context.Context, url string) error {
	return run(ctx, url, func(m *migrate.Migrate) error { return m.Up() })
}

// Down takes everything away again, data included. Tests use it to prove that each step can be undone.
func Down(ctx context.Context, url string) error {
	return run(ctx, url, func(m *migrate.Migrate) error { return m.Down() })
}

// Version returns the version that the database has, 0 for an empty one, and whether a step failed half-way.
func Version(ctx context.Context, url string) (version uint, dirty bool, err error) {
	err = run(ctx, url, func(m *migrate.Migrate) error {
		version, dirty, err = m.Version()
		if errors.Is(err, migrate.ErrNilVersion) {
			return nil
		}
		return err
	})
	return version, dirty, err
}

func run(ctx context.Context, url string, step func(*migrate.Migrate) error) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("reading the database address: %w", err)
	}
	db := stdlib.OpenDB(*config)
	if err := db.PingContext(ctx); err != nil {
		return errors.Join(fmt.Errorf("connecting to the database: %w", err), db.Close())
	}
	driver, err := migratepgx.WithInstance(db, &migratepgx.Config{})
	if err != nil {
		return errors.Join(fmt.Errorf("preparing the migration table: %w", err), db.Close())
	}
	source, err := iofs.New(files, ".")
	if err != nil {
		return errors.Join(err, driver.Close())
	}
	m, err := migrate.NewWithInstance("embedded", source, "postgres", driver)
	if err != nil {
		return errors.Join(err, driver.Close())
	}
	err = step(m)
	sourceErr, driverErr := m.Close() // closes db too
	if errors.Is(err, migrate.ErrNoChange) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	return errors.Join(sourceErr, driverErr)
}
