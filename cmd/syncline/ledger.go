// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/tenant"
	"github.com/syncline-dev/syncline/migrations"
)

const (
	sumEvery       = 2 * time.Second
	partitionEvery = time.Hour

	// How many sums one transaction moves: some milliseconds of work.
	sumBatch = 2_000
)

// keepLedger moves the ledger's sums on and makes partitions ahead, until ctx ends. Any number of processes do.
func (a *app) keepLedger(ctx context.Context) error {
	sums, partitions := time.NewTicker(sumEvery), time.NewTicker(partitionEvery)
	defer sums.Stop()
	defer partitions.Stop()
	a.partitionLedger(ctx)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-partitions.C:
			a.partitionLedger(ctx)
		case <-sums.C:
			if err := sumUsage(ctx, a.db); err != nil && ctx.Err() == nil {
				a.log.WarnContext(ctx, "moving on the sums of the ledger", "error", err)
			}
		}
	}
}

func (a *app) partitionLedger(ctx context.Context) {
	made, err := migrations.Partition(ctx, a.config.DatabaseURL, time.Now())
	switch {
	case errors.Is(err, migrations.ErrNotOwner):
		a.log.WarnContext(ctx, "the ledger has no partition for a month to come, and this user may not make one; nothing is lost, but run `syncline migrate` as the owner of the tables once a month")
	case err != nil && ctx.Err() == nil:
		a.log.WarnContext(ctx, "making partitions of the ledger; it is tried again", "error", err)
	case made > 0:
		a.log.InfoContext(ctx, "made partitions of the ledger", "partitions", made)
	}
}

// sumUsage moves on what was added to the ledger of any tenant.
func sumUsage(ctx context.Context, db *store.DB) error {
	tenants, err := db.Operator().TenantsToSum(ctx)
	if err != nil {
		return err
	}
	for _, id := range tenants {
		for moved := int64(sumBatch); moved == sumBatch; {
			err := db.InTenant(ctx, id, func(tx *store.Tx) (err error) {
				moved, err = tx.MoveUsage(ctx, sumBatch)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// ledgerCommand is for whoever runs the installation.
func ledgerCommand() *cobra.Command {
	var mend bool
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "Check the sums of the usage ledger against its events",
		Long: "Check, for every tenant, the sums that months are rated from against every event of the ledger, in the database that DATABASE_URL names. " +
			"They differ only when somebody changed one of them by hand. Closing a month checks that month by itself.",
		Example: "  syncline ledger\n  syncline ledger --mend",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := readConfig()
			if err != nil {
				return err
			}
			if err := c.needDatabase(); err != nil {
				return err
			}
			db, err := store.Open(cmd.Context(), c.DatabaseURL, store.Options{MaxConns: 2})
			if err != nil {
				return err
			}
			defer db.Close()
			return checkLedger(cmd, db, mend)
		},
	}
	cmd.Flags().BoolVar(&mend, "mend", false, "make the sums what the events say")
	return cmd
}

func checkLedger(cmd *cobra.Command, db *store.DB, mend bool) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	var after tenant.ID
	tenants, wrong := 0, 0
	for {
		page, err := db.Operator().Tenants(ctx, after, 200)
		if err != nil {
			return err
		}
		for _, id := range page {
			var list []store.UsageDifference
			err := db.InTenant(ctx, id, func(tx *store.Tx) (err error) {
				if list, err = tx.UsageDifferences(ctx); err != nil || !mend || len(list) == 0 {
					return err
				}
				_, err = tx.MendUsage(ctx)
				return err
			})
			if err != nil {
				return err
			}
			for _, d := range list {
				fmt.Fprintf(out, "%s: %s of %s in the quarter from %s: the events say %d, the sum %d\n", id, d.Meter, d.System, d.Slot.UTC().Format(time.RFC3339), d.Ledger, d.Sum)
			}
			wrong += len(list)
			tenants, after = tenants+1, id
		}
		if len(page) == 0 {
			break
		}
	}
	switch {
	case wrong == 0:
		fmt.Fprintf(out, "The sums of %d tenants are what their events say.\n", tenants)
	case mend:
		fmt.Fprintf(out, "%d sums were mended.\n", wrong)
	default:
		return fault.New(fault.Conflict, "store.sums_differ", "%d sums are not what the events of the ledger say. Nothing is lost: the events hold. Run `syncline ledger --mend`, and find out who changed either by hand.", wrong)
	}
	return nil
}
