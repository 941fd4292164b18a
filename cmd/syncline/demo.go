// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"time"

	_ "github.com/go-sql-driver/mysql" // the storefront

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/demo"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/localdb"
	"github.com/syncline-dev/syncline/internal/service"
)

// demo brings the demo's two databases up behind the dashboard, applies its service, and lets people edit until ctx ends.
// What fails here is no reason to end the program: the dashboard works without.
func (d *dev) demo(ctx context.Context) {
	if err := d.runDemo(ctx); err != nil && ctx.Err() == nil {
		d.app.log.Error("the demo does not run", "error", err)
	}
}

func (d *dev) runDemo(ctx context.Context) error {
	if d.postgres == nil {
		// On somebody's own PostgreSQL nothing is made that they did not ask for.
		d.app.log.Info("no demo databases: DATABASE_URL is set")
		return nil
	}
	warehouse, err := ensureDatabase(ctx, d.postgres, "warehouse")
	if err != nil {
		return err
	}
	storefront, dsn, typ, stop, err := d.storefront(ctx)
	if err != nil {
		return err
	}
	defer stop()
	databases, err := demo.Open(warehouse, dsn, typ == "mysql", d.app.log)
	if err != nil {
		return err
	}
	defer databases.Close() //nolint:errcheck // the end of the program
	if err := databases.Seed(ctx); err != nil {
		return err
	}
	who, err := d.app.auth.ByKey(ctx, d.state.APIKey, auth.Caller{})
	if err != nil {
		return err
	}
	first, err := d.applyDemo(ctx, who, typ, warehouse, storefront)
	if err != nil {
		return err
	}
	if first {
		if err := d.stageConflict(ctx, who, databases); err != nil {
			return err
		}
	}
	databases.Edit(ctx)
	return nil
}

// storefront starts MariaDB where it is there or can be installed, else takes a second database in our PostgreSQL.
func (d *dev) storefront(ctx context.Context) (address, dsn, typ string, stop func(), err error) {
	stop = func() {}
	if err = d.installed(ctx, localdb.MariaDB); err == nil {
		var server *localdb.MySQL
		server, err = localdb.StartMySQL(ctx, localdb.Options{Dir: filepath.Join(d.dir, "mariadb"), Durable: true, MaxConnections: 40})
		if err == nil {
			stop = func() {
				within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
				defer cancel()
				if err := server.Stop(within); err != nil {
					d.app.log.Warn("stopping MariaDB", "error", err)
				}
			}
			err = createMySQLDatabase(ctx, server.DSN(""), "storefront")
			return server.URL("storefront"), server.DSN("storefront"), "mysql", stop, err
		}
	}
	if ctx.Err() != nil {
		return "", "", "", stop, ctx.Err()
	}
	d.app.log.Info("no MariaDB here; the storefront is a second PostgreSQL database", "reason", err)
	address, err = ensureDatabase(ctx, d.postgres, "storefront")
	return address, address, "postgresql", stop, err
}

func createMySQLDatabase(ctx context.Context, dsn, name string) error {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS `"+name+"` CHARACTER SET utf8mb4")
	return err
}

// applyDemo makes the demo's connections and its service, unless they are there; the servers' ports may have changed since.
// first says that the service is new.
func (d *dev) applyDemo(ctx context.Context, who auth.Principal, typ, warehouse, storefront string) (first bool, err error) {
	servers := []struct{ name, secret, typ, address string }{
		{"warehouse", "WAREHOUSE_PASSWORD", "postgresql", warehouse},
		{"storefront", "STOREFRONT_PASSWORD", typ, storefront},
	}
	for _, s := range servers {
		server, err := demo.ServerOf(s.typ, s.address)
		if err != nil {
			return false, err
		}
		if _, err := d.app.secrets.Set(ctx, who, s.secret, server.Password, 0); err != nil {
			return false, fmt.Errorf("keeping the password of %s: %w", s.name, err)
		}
		settings := connector.Settings{"host": server.Host, "port": server.Port, "database": server.Database, "user": server.User, "password": "${" + s.secret + "}"}
		_, err = d.app.connections.Create(ctx, who, connection.New{Name: s.name, Connector: s.typ, Settings: settings})
		if fault.IsCode(err, "connection.name_taken") {
			_, err = d.app.connections.Update(ctx, who, s.name, connection.Change{Settings: settings})
		}
		if err != nil {
			return false, fmt.Errorf("making the connection %s: %w", s.name, err)
		}
		if _, err := d.app.connections.Test(ctx, who, s.name); err != nil {
			return false, fmt.Errorf("trying the connection %s: %w", s.name, err)
		}
	}
	if _, _, err := d.app.services.Get(ctx, who, demo.ServiceName); err == nil || fault.KindOf(err) != fault.NotFound {
		return false, err
	}
	_, err = d.app.services.Apply(ctx, who, service.Application{Source: fmt.Appendf(nil, demo.Document, typ), Format: service.YAML, Note: "The demo"})
	return true, err
}

// stageConflict lets both sides change the same product while the service is paused, after the first sync, so that one
// conflict waits for the newcomer and one was settled by rule.
func (d *dev) stageConflict(ctx context.Context, who auth.Principal, databases *demo.Databases) error {
	svc, _, err := d.app.services.Get(ctx, who, demo.ServiceName)
	if err != nil {
		return err
	}
	if err := d.await(ctx, func() (bool, error) {
		runs, err := d.app.services.Runs(ctx, who, service.RunFilter{Service: svc.ID, Limit: 1})
		return err == nil && len(runs) > 0 && runs[0].Over(), err
	}); err != nil {
		return err
	}
	if _, err := d.app.services.Pause(ctx, who, demo.ServiceName, nil); err != nil {
		return err
	}
	if err := databases.Disagree(ctx); err != nil {
		return err
	}
	_, err = d.app.services.Resume(ctx, who, demo.ServiceName, nil)
	return err
}

// await asks a few times a second until the answer is yes.
func (d *dev) await(ctx context.Context, ready func() (bool, error)) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := ready()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
