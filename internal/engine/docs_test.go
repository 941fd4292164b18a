// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/docs"
	"github.com/syncline-dev/syncline/docs/docstest"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/expression"
	"github.com/syncline-dev/syncline/internal/record"
)

// The worked examples of the documentation are run: the document in the page's yaml block, records from its json blocks.

func blocks(t *testing.T, guide, lang string) []string {
	t.Helper()
	page, found := docs.Guide(guide)
	if !found {
		t.Fatalf("there is no page %s", guide)
	}
	return docstest.Blocks(page, lang)
}

func recordsOf(t *testing.T, json string) (out []record.Fields) {
	t.Helper()
	v, err := record.ParseJSON([]byte(json))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range v.([]any) {
		out = append(out, record.Fields(r.(map[string]any)))
	}
	return out
}

func (w *world) putAll(s record.System, key string, list []record.Fields) {
	for _, r := range list {
		w.put(s, record.Key(record.Text(r[key])), r)
	}
}

func (w *world) holdsAll(s record.System, key string, list []record.Fields) {
	w.t.Helper()
	for _, r := range list {
		for f, v := range r {
			w.holds(s, record.Key(record.Text(r[key])), f, v)
		}
	}
}

func TestDocsDataQuality(t *testing.T) {
	w := newWorld(t, blocks(t, "data-quality", "yaml")[0], map[record.System]connector.ObjectInfo{"crm": contacts, "shop": contacts})
	records := blocks(t, "data-quality", "json")
	w.putAll("crm", "id", recordsOf(t, records[0]))
	w.settle()
	for _, s := range w.systems() {
		w.holdsAll(s, "id", recordsOf(t, records[1]))
	}
	if n := len(w.user("shop").All()); n != 1 {
		t.Errorf("the shop has %d records", n)
	}
	for key, want := range map[record.Key][2]string{"2": {"email", "format"}, "3": {"score", "precision"}} {
		if d := w.deadIn["crm"][key]; d.Field != want[0] || d.Rule != want[1] {
			t.Errorf("record %s waits because of %s %s, want %v", key, d.Field, d.Rule, want)
		}
	}
}

func TestDocsFreezing(t *testing.T) {
	w := newWorld(t, blocks(t, "freezing", "yaml")[0], map[record.System]connector.ObjectInfo{"warehouse": products, "shop": products})
	records := blocks(t, "freezing", "json")
	first := recordsOf(t, records[0])
	w.putAll("warehouse", "sku", first)
	w.settle()
	w.holdsAll("shop", "sku", first)
	w.freeze()
	for _, r := range recordsOf(t, records[1]) {
		w.putAll("warehouse", "sku", []record.Fields{r})
		w.settle()
	}
	w.putAll("shop", "sku", recordsOf(t, records[2]))
	before := w.writes()
	w.settle()
	w.holds("shop", "SKU-1", "quantity", first[0]["quantity"])
	w.holds("warehouse", "SKU-1", "name", first[0]["name"])
	if n := w.writes() - before; n != 0 {
		t.Errorf("%d writes while it was frozen", n)
	}
	w.thaw()
	for _, s := range w.systems() {
		w.holdsAll(s, "sku", recordsOf(t, records[3]))
	}
}

func TestDocsConsistency(t *testing.T) {
	w := newWorld(t, blocks(t, "consistency", "yaml")[1], map[record.System]connector.ObjectInfo{"warehouse": products, "shop": products})
	records := blocks(t, "consistency", "json")
	w.putAll("warehouse", "sku", recordsOf(t, records[0]))
	w.settle()
	w.memory["shop"].Check("products", func(_ record.Key, f record.Fields) error {
		if s, ok := f["name"].(string); ok && strings.Contains(s, "bad") {
			return errors.New("a bad name")
		}
		return nil
	})
	w.putAll("warehouse", "sku", recordsOf(t, records[1]))
	w.settle()
	w.compensate()
	for _, s := range w.systems() {
		w.holdsAll(s, "sku", recordsOf(t, records[2]))
	}
}

func TestDocsMerging(t *testing.T) {
	w := newWorld(t, blocks(t, "merging", "yaml")[0], map[record.System]connector.ObjectInfo{"crm": contacts, "shop": contacts})
	records := blocks(t, "merging", "json")
	w.putAll("crm", "id", recordsOf(t, records[0]))
	w.settle()
	w.putAll("crm", "id", recordsOf(t, records[1]))
	w.putAll("shop", "id", recordsOf(t, records[2]))
	w.settle()
	for _, s := range w.systems() {
		w.holdsAll(s, "id", recordsOf(t, records[3]))
	}
}

func TestDocsBusinessRules(t *testing.T) {
	w := newWorld(t, blocks(t, "business-rules", "yaml")[0], map[record.System]connector.ObjectInfo{"warehouse": products, "shop": products})
	records := blocks(t, "business-rules", "json")
	w.putAll("warehouse", "sku", recordsOf(t, records[0]))
	w.settle()
	for _, s := range w.systems() {
		w.holdsAll(s, "sku", recordsOf(t, records[1]))
	}
	// The page names each function, and no other.
	page, _ := docs.Guide("business-rules")
	for _, name := range expression.Functions() {
		if !regexp.MustCompile("`" + name + "`").Match(page) {
			t.Errorf("the page does not name the function %s", name)
		}
	}
}

func TestDocsEnrichment(t *testing.T) {
	b, _ := newLookupBench(t, blocks(t, "enrichment", "yaml")[0])
	records := blocks(t, "enrichment", "json")
	for _, r := range recordsOf(t, records[0]) {
		b.systems["register"].User("register").Put(record.Key(record.Text(r["code"])), r)
	}
	for _, r := range recordsOf(t, records[1]) {
		b.user("warehouse").Put(record.Key(record.Text(r["sku"])), r)
	}
	b.start()
	b.eventually("what the page says", func() bool {
		for _, r := range recordsOf(t, records[2]) {
			for _, s := range []string{"warehouse", "shop"} {
				has := b.user(s).Get(record.Key(record.Text(r["sku"])))
				for f, v := range r {
					if !record.Equal(has[f], v) {
						return false
					}
				}
			}
		}
		return b.settledDown()
	})
	if n := b.enriched(); n != 2 {
		t.Errorf("%d lookups are charged, the page says 2", n)
	}
}

func TestDocsMapping(t *testing.T) {
	f := func(name string, typ connector.Type) connector.FieldInfo {
		return connector.FieldInfo{Name: name, Type: typ, Nullable: true}
	}
	w := newWorld(t, blocks(t, "mapping", "yaml")[0], map[record.System]connector.ObjectInfo{
		"erp": {Name: "orders", Key: []string{"order_no"}, Fields: []connector.FieldInfo{f("order_no", connector.TypeText), f("ordered", connector.TypeDateTime), f("due", connector.TypeDate),
			f("city", connector.TypeText), f("first_sku", connector.TypeText), f("first_qty", connector.TypeInteger), f("paid", connector.TypeInteger), f("large", connector.TypeBoolean)}},
		"shop": {Name: "orders", Key: []string{"number"}, Fields: []connector.FieldInfo{f("number", connector.TypeText), f("createdAt", connector.TypeTimestamp), f("due", connector.TypeTimestamp),
			f("shipTo", connector.TypeJSON), f("lines", connector.TypeJSON), f("paid", connector.TypeBoolean)}},
	})
	records := blocks(t, "mapping", "json")
	w.putAll("erp", "order_no", recordsOf(t, records[0]))
	w.settle()
	w.holdsAll("shop", "number", recordsOf(t, records[1]))
	w.putAll("shop", "number", recordsOf(t, records[2]))
	w.settle()
	w.holdsAll("erp", "order_no", recordsOf(t, records[3]))
	w.putAll("erp", "order_no", recordsOf(t, records[4]))
	w.settle()
	w.holdsAll("shop", "number", recordsOf(t, records[5]))
	w.quiet()
}
