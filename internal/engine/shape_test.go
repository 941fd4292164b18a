// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// altered is a service between two tables that people alter while it runs.
type altered struct{ *family }

func newAltered(t *testing.T) altered {
	a := altered{newFamily(t, blocks(t, "schema-changes", "yaml")[0])}
	for _, system := range []string{"crm", "shop"} {
		a.do(system, `DROP TABLE orders`)
		a.do(system, `ALTER TABLE accounts DROP COLUMN parent_id`+map[string]string{"shop": `, DROP FOREIGN KEY accounts_ibfk_1`}[system])
		a.do(system, `ALTER TABLE accounts ADD COLUMN grade integer`)
	}
	a.do("crm", `INSERT INTO accounts (number, name, grade) VALUES ('A1', 'Acme', 1), ('A2', 'Bolt', 2), ('A3', 'Cord', 3)`)
	a.carry()
	a.sees("the first sync", "name, grade", "A1 Acme 1, A2 Bolt 2, A3 Cord 3", "crm", "shop")
	return a
}

// carry is start for a flow that begins anew, as the worker lets it.
func (a altered) carry() {
	a.t.Helper()
	a.exec(`INSERT INTO leases (tenant_id, service_id, worker_id, fence, expires_at) VALUES ($1, $2, $3, $4, now() + interval '1 hour')`,
		uuid.UUID(a.tenant), uuid.UUID(a.service), uuid.New(), a.fence)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		for ctx.Err() == nil {
			if _, err := a.engine.Carry(ctx, a.tenant, a.service, a.fence); err != nil {
				select { // as after any failure
				case <-ctx.Done():
				case <-time.After(50 * time.Millisecond):
				}
			}
		}
	}()
	a.t.Cleanup(func() { cancel(); <-over })
}

// list is what a system holds of some columns.
func (a altered) list(system, columns string) string {
	a.t.Helper()
	var parts []string
	for _, c := range strings.Split("number, "+columns, ", ") {
		parts = append(parts, "coalesce(cast("+c+" AS char(40)), '-')")
	}
	rows, err := a.dbs[system].QueryContext(context.Background(), "SELECT "+strings.Join(parts, ", ")+" FROM accounts ORDER BY number")
	if err != nil {
		return err.Error()
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		values, into := make([]string, len(parts)), make([]any, len(parts))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			a.t.Fatal(err)
		}
		for i := range values {
			values[i] = strings.TrimSpace(values[i])
		}
		out = append(out, strings.Join(values, " "))
	}
	if err := rows.Err(); err != nil {
		a.t.Fatal(err)
	}
	return strings.Join(out, ", ")
}

func (a altered) sees(what, columns, want string, systems ...string) {
	a.t.Helper()
	for _, s := range systems {
		got := ""
		a.eventually(fmt.Sprintf("%s in %s: %s", what, s, want), func() bool { got = a.list(s, columns); return got == want })
	}
}

// change waits for a schema change to be found.
func (a altered) change(system, field string, kind engine.ShapeKind) (c engine.ShapeChange) {
	a.t.Helper()
	reader := engine.NewReader(store.InTx(a.db, func(tx *store.Tx) engine.ReadTx { return tx }))
	a.eventually(fmt.Sprintf("%s of %s in %s to be seen", field, kind, system), func() bool {
		a.engine.Nudge(a.service)
		list, err := reader.ShapeChanges(context.Background(), a.person(), engine.ShapeQuery{Service: a.service, State: engine.ShapeOpen, Limit: 10})
		if err != nil {
			a.t.Fatal(err)
		}
		for _, one := range list {
			if string(one.System) == system && one.Field == field && one.Kind == kind {
				c = one
				return true
			}
		}
		return false
	})
	return c
}

func (a altered) decide(c engine.ShapeChange, accept bool) {
	a.t.Helper()
	d := engine.NewDecider(store.InTx(a.db, func(tx *store.Tx) engine.DecideTx { return tx }))
	if _, err := d.DecideShape(context.Background(), a.person(), c.ID, accept); err != nil {
		a.t.Fatal(err)
	}
	if !accept {
		return
	}
	a.eventually("the flow to go by it", func() bool {
		a.engine.Nudge(a.service)
		return a.number(`SELECT count(*) FROM schema_changes WHERE id = $1 AND settled`, c.ID) == 1
	})
	_, err := d.DecideShape(context.Background(), a.person(), c.ID, true)
	if got := fault.As(err); got == nil || got.Code != "schema_change.not_open" {
		a.t.Errorf("accepting twice: %v", err)
	}
}

// whole checks that nothing was lost: nothing refused, no first read begun anew.
func (a altered) whole() {
	a.t.Helper()
	a.one("nothing is owed", `SELECT count(*) FROM deliveries`, 0)
	if n := a.number(`SELECT count(*) FROM dead_letters WHERE state = 'open'`) + a.number(`SELECT count(*) FROM cursors WHERE phase <> 'stream'`); n != 0 {
		a.t.Errorf("%d open dead letters and first reads\n%s", n, a.state())
	}
}

// The worked example of docs/schema-changes.md: a column comes and one changes its type, while records change on both sides.
func TestSchemaChanges(t *testing.T) {
	a := newAltered(t)
	for _, statement := range strings.Split(blocks(t, "schema-changes", "sql")[0], ";") {
		a.do("crm", statement)
	}
	color, grade := a.change("crm", "color", engine.FieldAdded), a.change("crm", "grade", engine.FieldRetyped)
	a.do("crm", `UPDATE accounts SET name = 'Acme & Co', color = 'red' WHERE number = 'A1'`)
	a.do("shop", `UPDATE accounts SET name = 'Bolts', grade = 20 WHERE number = 'A2'`)
	a.do("shop", `INSERT INTO accounts (number, name, grade) VALUES ('A4', 'Dyne', 4)`)
	a.sees("names go on", "name", "A1 Acme & Co, A2 Bolts, A3 Cord, A4 Dyne", "crm", "shop")
	a.sees("the quarantined field stays", "grade", "A1 1, A2 2, A3 3, A4 -", "crm")
	a.sees("and what was said of it", "grade", "A1 1, A2 20, A3 3, A4 4", "shop")

	// The shop gets both columns as they are in the CRM, and holds a color of its own.
	a.do("shop", `ALTER TABLE accounts ADD COLUMN color text`)
	a.do("shop", `UPDATE accounts SET color = 'blue' WHERE number = 'A3'`)
	of := a.change("shop", "color", engine.FieldAdded)
	a.decide(color, true)
	a.decide(of, true)
	a.sees("colors meet", "color", "A1 red, A2 -, A3 blue, A4 -", "crm", "shop")
	a.do("shop", `ALTER TABLE accounts MODIFY grade varchar(40)`)
	retyped := a.change("shop", "grade", engine.FieldRetyped)
	a.decide(grade, true)
	a.decide(retyped, true)
	a.sees("grades meet", "grade", "A1 1, A2 20, A3 3, A4 4", "crm", "shop")
	a.whole()
	for _, q := range []string{`SELECT count(*) FROM audit_log WHERE action = 'schema_change.accepted'`, `SELECT count(*) FROM schema_changes WHERE settled`} {
		if n := a.number(q); n != 4 {
			t.Errorf("%s: %d, not 4", q, n)
		}
	}
}

// A column that goes takes nothing with it: the other side keeps its values, and fills it again when it comes back.
func TestDroppedColumn(t *testing.T) {
	a := newAltered(t)
	a.do("shop", `ALTER TABLE accounts DROP COLUMN grade`)
	a.change("shop", "grade", engine.FieldRemoved)
	a.do("shop", `UPDATE accounts SET name = 'Acme & Co' WHERE number = 'A1'`)
	a.do("crm", `UPDATE accounts SET name = 'Bolts', grade = 20 WHERE number = 'A2'`)
	a.do("crm", `INSERT INTO accounts (number, name, grade) VALUES ('A4', 'Dyne', 4)`)
	a.sees("names go on", "name", "A1 Acme & Co, A2 Bolts, A3 Cord, A4 Dyne", "crm", "shop")
	a.sees("the values are kept", "grade", "A1 1, A2 20, A3 3, A4 4", "crm")
	a.do("shop", `ALTER TABLE accounts ADD COLUMN grade integer`)
	a.decide(a.change("shop", "grade", engine.FieldAdded), true)
	a.sees("the column is filled again", "grade", "A1 1, A2 20, A3 3, A4 4", "shop", "crm")
	a.whole()
}

// A renamed column is one gone and one new. What is dismissed asks nobody again.
func TestRenamedColumn(t *testing.T) {
	a := newAltered(t)
	a.do("crm", `ALTER TABLE accounts RENAME COLUMN grade TO class`)
	a.decide(a.change("crm", "grade", engine.FieldRemoved), false)
	a.decide(a.change("crm", "class", engine.FieldAdded), false)
	a.do("shop", `UPDATE accounts SET name = 'Bolts', grade = 20 WHERE number = 'A2'`)
	a.sees("names go on", "name", "A1 Acme, A2 Bolts, A3 Cord", "crm", "shop")
	a.sees("each keeps its own", "grade", "A1 1, A2 20, A3 3", "shop")
	a.sees("each keeps its own", "class", "A1 1, A2 2, A3 3", "crm")
	if n := a.number(`SELECT count(*) FROM schema_changes`); n != 2 {
		t.Errorf("%d schema changes", n)
	}
	a.do("crm", `ALTER TABLE accounts RENAME COLUMN class TO grade`)
	a.decide(a.change("crm", "grade", engine.FieldAdded), true)
	// The CRM holds 2 and the shop said 20 meanwhile: a conflict, which the service's rule decides.
	a.eventually("both to hold the same", func() bool { return a.list("crm", "grade") == a.list("shop", "grade") })
	a.whole()
}

func TestSchemaChangeUnknown(t *testing.T) {
	a := altered{newFamily(t, blocks(t, "schema-changes", "yaml")[0])}
	d := engine.NewDecider(store.InTx(a.db, func(tx *store.Tx) engine.DecideTx { return tx }))
	_, err := d.DecideShape(context.Background(), a.person(), uuid.Must(uuid.NewV7()), true)
	if got := fault.As(err); got == nil || got.Code != "schema_change.not_found" {
		t.Errorf("%v", err)
	}
}

// Where the document names the fields, a new one is only offered: accepting it is naming it.
func TestUnmappedColumn(t *testing.T) {
	document := blocks(t, "schema-changes", "yaml")[0]
	a := altered{newFamily(t, document+"fieldMapping: {number: number, name: name}\n")}
	a.do("crm", `INSERT INTO accounts (number, name) VALUES ('A1', 'Acme')`)
	a.carry()
	a.sees("the first sync", "name", "A1 Acme", "shop")
	a.do("crm", `ALTER TABLE accounts ADD COLUMN color text`)
	c := a.change("crm", "color", engine.FieldAdded)
	if c.Quarantined || c.Name != "" {
		t.Errorf("the change is %+v", c)
	}
	d := engine.NewDecider(store.InTx(a.db, func(tx *store.Tx) engine.DecideTx { return tx }))
	_, err := d.DecideShape(context.Background(), a.person(), c.ID, true)
	if got := fault.As(err); got == nil || got.Code != "schema_change.unmapped" {
		t.Errorf("accepting: %v", err)
	}
	a.do("crm", `UPDATE accounts SET color = 'red' WHERE number = 'A1'`)
	a.do("shop", `ALTER TABLE accounts ADD COLUMN color text`)
	a.change("shop", "color", engine.FieldAdded)
	a.apply(document+"fieldMapping: {number: number, name: name, color: color}\n", 2)
	a.engine.Nudge(a.service)
	a.sees("the column is filled", "color", "A1 red", "crm", "shop")
	a.one("both are accepted", `SELECT count(*) FROM schema_changes WHERE settled AND state = 'accepted'`, 2)
}

// album are the family's documents as a planner asks for them.
type album struct {
	papers
	*family
}

func (a album) OpenToLook(ctx context.Context, t tenant.ID, s service.ID, doc *service.Document, system, consumer string) (connector.System, connector.Spec, error) {
	return a.family.OpenSystem(ctx, t, s, doc, system, consumer)
}

func (a album) Get(ctx context.Context, who auth.Principal, ref string) (service.Service, service.Revision, error) {
	return a.papers.Get(ctx, who, ref)
}

func (a album) DiffAgainst(ctx context.Context, who auth.Principal, source []byte, format service.Format) (service.Preview, error) {
	return a.papers.DiffAgainst(ctx, who, source, format)
}

// A plan leaves alone what the service leaves alone, and says so; what is accepted it foresees as the service will do it.
func TestPlanOfQuarantinedFields(t *testing.T) {
	a := newAltered(t)
	planner := safety.NewPlanner(store.InTx(a.db, func(tx *store.Tx) safety.PlanTx { return tx }), album{papers{bench: a.bench}, a.family}, slog.New(slog.DiscardHandler))
	plan := func() safety.ServicePlan {
		ctx := context.Background()
		next := strings.Replace(blocks(t, "schema-changes", "yaml")[0], "conflictResolution: lastWriteWins", "conflictResolution: sourceWins", 1)
		p, err := planner.PlanDocument(ctx, a.person(), "", []byte(next), service.YAML)
		if err == nil {
			err = planner.Carry(ctx, safety.PlanArgs{TenantID: a.tenant, PlanID: p.ID})
		}
		if err == nil {
			p, err = planner.Get(ctx, a.person(), p.ID)
		}
		if err != nil || p.State != safety.PlanReady {
			t.Fatalf("the plan is %s %s, %v", p.State, p.Error, err)
		}
		return p
	}
	writes := func(p safety.ServicePlan) (n int64) {
		for i := range p.Outcome.Seats {
			n += p.Outcome.Seats[i].Operations()
		}
		return n
	}
	warned := func(p safety.ServicePlan) (said string) {
		for _, w := range p.Outcome.Warnings {
			if w.Code == "schema_change" {
				said += string(w.System) + ": " + w.Message
			}
		}
		return said
	}
	if p := plan(); writes(p) != 0 || warned(p) != "" {
		t.Fatalf("before: %d writes, %q", writes(p), warned(p))
	}
	a.do("crm", `ALTER TABLE accounts ALTER COLUMN grade TYPE text`)
	grade := a.change("crm", "grade", engine.FieldRetyped) // what is written before it is found goes on as it is
	a.do("crm", `UPDATE accounts SET grade = '20' WHERE number = 'A2'`)
	if p := plan(); writes(p) != 0 || !strings.Contains(warned(p), "crm: The field grade of ") {
		t.Errorf("in quarantine: %d writes, %q; samples %+v", writes(p), warned(p), p.Outcome.Samples)
	}
	// The plan found it by itself, it wrote nothing about it.
	if n := a.number(`SELECT count(*) FROM schema_changes`); n != 1 {
		t.Errorf("%d schema changes", n)
	}
	a.do("crm", `ALTER TABLE accounts ALTER COLUMN grade TYPE integer USING grade::integer`)
	a.eventually("the end of it", func() bool {
		a.engine.Nudge(a.service)
		return a.number(`SELECT count(*) FROM schema_changes WHERE id = $1 AND settled`, grade.ID) == 1
	})
	a.sees("grades meet", "grade", "A1 1, A2 20, A3 3", "crm", "shop")
	if p := plan(); writes(p) != 0 || warned(p) != "" {
		t.Errorf("after: %d writes, %q", writes(p), warned(p))
	}
}
