// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/worker"
	"github.com/syncline-dev/syncline/migrations"
)

func serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Serve the API and the dashboard",
		Long:  "Serve the API and the dashboard. The work itself is done by `syncline worker`; run as many of both as you like on one PostgreSQL.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := production(cmd.Context())
			if err != nil {
				return err
			}
			defer a.close()
			listener, err := listen(cmd.Context(), a.config.Listen)
			if err != nil {
				return err
			}
			return a.serve(cmd.Context(), listener, nil)
		},
	}
}

func workerCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "worker",
		Short: "Do the work: carry services' data",
		Long:  "Carry services' data. When one worker is lost another takes its services over within seconds; SYNCLINE_POOLS says which pools this one serves.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := production(cmd.Context())
			if err != nil {
				return err
			}
			defer a.close()
			// Pages of records are made and thrown away all the time, and little is kept: collecting half as often costs some memory, of which
			// a worker needs little, and spares it a good part of its work.
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(200)
			}
			w, err := a.newWorker()
			if err != nil {
				return err
			}
			group, ctx := errgroup.WithContext(cmd.Context())
			a.background(ctx, group, w)
			return group.Wait()
		},
	}
}

func migrateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database's schema to this version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := readConfig()
			if err != nil {
				return err
			}
			if err := c.needDatabase(); err != nil {
				return err
			}
			if err := migrations.Up(cmd.Context(), c.DatabaseURL); err != nil {
				return err
			}
			if _, err := migrations.Partition(cmd.Context(), c.DatabaseURL, time.Now()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "The schema is at version %d.\n", migrations.Latest)
			return nil
		},
	}
}

// production wires the program for serve and worker: everything comes from the environment, and customers' systems may not
// be in private networks unless the operator allows it.
func production(ctx context.Context) (*app, error) {
	c, err := readConfig()
	if err != nil {
		return nil, err
	}
	if err := c.needDatabase(); err != nil {
		return nil, err
	}
	master, err := c.master()
	if err != nil {
		return nil, err
	}
	found, dirty, err := migrations.Version(ctx, c.DatabaseURL)
	if err != nil {
		return nil, err
	}
	if dirty || found < migrations.Latest {
		return nil, fault.New(fault.Unavailable, "store.schema_old", "The database's schema is at version %d and this program needs %d. Run `syncline migrate` first.", found, migrations.Latest)
	}
	return newApp(ctx, c, master, connection.GuardOptions{Allow: c.AllowNetworks}, newLog(c, os.Stderr))
}

// listen opens the address, and says what to do when it is taken.
func listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fault.Wrap(err, fault.Unavailable, "cmd.port_busy", "Another program listens on %s. Stop it, or choose another address: SYNCLINE_LISTEN=127.0.0.1:8090.", address)
	}
	return l, err
}

// serve answers requests until ctx ends, and then lets running ones finish. w is the worker in the same process, or nil.
func (a *app) serve(ctx context.Context, listener net.Listener, w *worker.Worker) error {
	server := &http.Server{
		Handler:           a.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	group, ctx := errgroup.WithContext(ctx)
	// Streams to browsers never finish by themselves: requests end with the program.
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	a.background(ctx, group, w)
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.config.StopWithin)
		defer cancel()
		if err := server.Shutdown(stop); err != nil {
			return server.Close()
		}
		return nil
	})
	return quietly(group.Wait())
}
