// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/record"
)

// Two entities that claim one record of a system, because both hold its key, end neither the flow nor each other: who comes second is
// a dead letter.
func TestTwoEntitiesClaimOneRecord(t *testing.T) {
	b := newBench(t, strings.Replace(twoWay, "  conflictResolution: lastWriteWins\n", "  conflictResolution: lastWriteWins\n  matchFields: [name]\n", 1), "warehouse", "shop")
	nameless := record.Fields{"sku": "K1", "name": nil, "quantity": record.Int(1), "price": record.Number("1")}
	b.user("warehouse").Put("K1", nameless)
	b.user("shop").Put("K1", nameless)
	b.user("warehouse").Put("A", product("A", 1))
	b.start()
	b.eventually("two entities", func() bool {
		return b.number(`SELECT count(*) FROM entities WHERE match_key IS NULL OR match_key = ''`) == 2
	})
	b.eventually("a dead letter of each", func() bool {
		return b.number(`SELECT count(*) FROM dead_letters WHERE state = 'open' AND direction = 'out' AND code = 'match.duplicate'`) == 2
	})
	b.eventually("the other records", func() bool { return b.user("shop").Get("A") != nil && b.settledDown() })
	b.user("warehouse").Put("K1", record.Fields{"quantity": record.Int(2)})
	b.user("shop").Put("A", record.Fields{"quantity": record.Int(3)})
	b.eventually("later changes", func() bool {
		return record.Equal(b.user("warehouse").Get("A")["quantity"], record.Int(3)) && b.number(`SELECT count(*) FROM entities WHERE fields->>'quantity' = '2'`) == 1 && b.settledDown()
	})
	if got := b.user("shop").Get("K1")["quantity"]; !record.Equal(got, record.Int(1)) {
		t.Errorf("a record of another entity was written: it holds %v", got)
	}
	if n := b.number(`SELECT count(*) FROM links WHERE key = 'K1'`); n != 2 {
		t.Errorf("the two records have %d links", n)
	}
}

// Of many dead letters or conflicts at once some are told one by one, and the last of them says how many more there are and where.
func TestManyAtOnceAreTold(t *testing.T) {
	b := newBench(t, strings.Replace(twoWay, "lastWriteWins", "manual", 1)+"  validation: {price: {min: 0}}\n", "warehouse", "shop")
	b.systems["shop"].Check("products", func(k record.Key, _ record.Fields) error {
		if strings.HasPrefix(string(k), "R") {
			return errors.New("full")
		}
		return nil
	})
	for i := range 30 {
		bad := product(fmt.Sprintf("Q%02d", i), 1)
		bad["price"] = record.Number("-5")
		b.user("warehouse").Put(record.Key(record.Text(bad["sku"])), bad)
	}
	for i := range 25 {
		for _, kind := range []string{"R", "C"} {
			sku := fmt.Sprintf("%s%02d", kind, i)
			b.user("warehouse").Put(record.Key(sku), product(sku, 1))
		}
	}
	b.start()
	b.eventually("the first sync", func() bool {
		return len(b.user("shop").All()) == 25 && b.number(`SELECT count(*) FROM dead_letters WHERE state = 'open'`) == 55 && b.settledDown()
	})
	b.halt()
	for i := range 25 {
		sku := record.Key(fmt.Sprintf("C%02d", i))
		b.user("warehouse").Put(sku, record.Fields{"name": "Left"})
		b.user("shop").Put(sku, record.Fields{"name": "Right"})
	}
	b.start()
	b.eventually("the conflicts", func() bool { return b.number(`SELECT count(*) FROM conflicts WHERE state = 'open'`) == 25 })
	for _, c := range []struct {
		typ, which string
		told, more int64
		list       string
	}{
		{"dead_letter", `data->>'system' = 'warehouse'`, 20, 10, "/v1/dead-letters?filter[service]=svc_"},
		{"dead_letter", `data->>'system' = 'shop'`, 20, 5, "/v1/dead-letters?filter[service]=svc_"},
		{"conflict", `true`, 20, 5, "/v1/conflicts?filter[service]=svc_"},
	} {
		if n := b.number(`SELECT count(*) FROM events WHERE type = $1 AND `+c.which, c.typ); n != c.told {
			t.Errorf("%d events %s of %s are told, want %d", n, c.typ, c.which, c.told)
		}
		if n := b.number(`SELECT coalesce(sum((data->>'more')::int), 0) FROM events WHERE type = $1 AND data->>'list' LIKE $2 || '%' AND `+c.which, c.typ, c.list); n != c.more {
			t.Errorf("the events %s of %s say that there are %d more, want %d", c.typ, c.which, n, c.more)
		}
	}
}
