// SPDX-License-Identifier: Apache-2.0

package migrations

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Partitions of the ledger are made for the present month and so many after it, long before anything falls in them.
const monthsAhead = 3

// ErrNotOwner says that the database's user may not make tables.
var ErrNotOwner = errors.New("only the owner of the tables can make partitions")

// Partition makes the ledger's partitions for the present and the coming months that are not there yet, each in a transaction of its
// own, and says how many. It stops nobody who meters, and gives up when it would have to wait for long. Without a partition
// events are kept all the same (usage_events_rest) and are moved when theirs is made. url must belong to the owner of the
// tables; for others the error is ErrNotOwner if there was something to do.
func Partition(ctx context.Context, url string, now time.Time) (made int, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, fmt.Errorf("connecting to the database: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	month := time.Date(now.UTC().Year(), now.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
	for range 1 + monthsAhead {
		there := false
		if err := conn.QueryRow(ctx, `SELECT to_regclass('public.usage_events_' || to_char($1::date, 'YYYYMM')) IS NOT NULL`, month).Scan(&there); err != nil {
			return made, err
		}
		if !there {
			one, err := partition(ctx, conn, month)
			if err != nil {
				return made, fmt.Errorf("making the ledger's partition of %s: %w", month.Format("2006-01"), err)
			}
			made += one
		}
		month = month.AddDate(0, 1, 0)
	}
	return made, nil
}

func partition(ctx context.Context, conn *pgx.Conn, month time.Time) (made int, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '2s'`); err != nil {
			return err
		}
		var new bool
		if err := tx.QueryRow(ctx, `SELECT add_usage_partition($1::date)`, month).Scan(&new); err != nil {
			return err
		}
		if new {
			made = 1
		}
		return nil
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" {
		return 0, ErrNotOwner
	}
	return made, err
}
