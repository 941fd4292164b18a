// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/web/webtest"
)

// A person sees what a service guarantees and, without a reload, that it is later than its document allows, and when that is over.
func TestConsistencyIsShown(t *testing.T) {
	h := newHouse(t)
	h.connect()
	left, right := h.left.User("products"), h.right.User("products")
	left.Put(sku(0), record.Fields{"name": "Trail Runner", "quantity": record.Int(10)})
	h.apply(strings.Replace(document(stock), "frequency: realtime", "frequency: realtime\n  consistency: {level: eventual, maxDelay: 30s}", 1))
	h.eventually("the first sync", func() bool { return right.Get(sku(0)) != nil && h.quiet(stock) })
	p := h.open(ownerEmail, "/services/"+stock, webtest.Options{})
	p.WaitText("#service-now .stats", "nothing is behind; 30 s allowed")
	p.Axe()

	conn, err := pgx.Connect(context.Background(), h.database)
	h.must(err)
	h.Cleanup(func() { _ = conn.Close(context.Background()) })
	// A change that the right system is not asked to take again for an hour, as after many refusals for want of an answer.
	id := uuid.UUID(h.service(stock).ID)
	h.exec(conn, `INSERT INTO deliveries (tenant_id, service_id, system, collection, entity_id, since, due_at)
SELECT tenant_id, service_id, 'right', collection, id, now() - interval '31 seconds', now() + interval '1 hour' FROM entities WHERE service_id = $1`, id)
	h.exec(conn, `SELECT pg_notify('syncline_wake', $1)`, id.String())
	p.WaitText("#service-now", "right is later than the document allows")
	p.WaitText("#service-now .stats", "late")
	p.WaitText("#service-now .stats", "right is")
	p.Axe()
	p.Shot("service-late")
	h.exec(conn, `UPDATE deliveries SET due_at = now() WHERE service_id = $1`, id)
	h.exec(conn, `SELECT pg_notify('syncline_wake', $1)`, id.String())
	p.WaitText("#service-now .stats", "nothing is behind; 30 s allowed")
	p.Wait(`!document.querySelector("#service-now").innerText.includes("later than the document allows")`)
}
