// SPDX-License-Identifier: Apache-2.0

package service

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func example(t *testing.T, name string) *Document {
	t.Helper()
	doc, err := Parse(missionExample(t, name), formatOf(name))
	if err != nil {
		t.Fatal(describe(err))
	}
	return doc
}

// showCollections writes collections as "name[model]: system/object ...".
func showCollections(collections []Collection) (out []string) {
	for _, c := range collections {
		line := c.Name
		if c.Model != "" {
			line += "[" + c.Model + "]"
		}
		line += ":"
		for _, m := range c.Members {
			line += " " + m.System + "/" + m.Object
		}
		out = append(out, line)
	}
	return out
}

func TestCollections(t *testing.T) {
	systems := func(list ...string) string {
		return "service: demo\nsystems:\n  - " + strings.Join(list, "\n  - ") + "\n"
	}
	tests := []struct {
		name, source string
		want         []string
	}{
		{"one model", systems("{id: a, type: x, objects: [{name: Contact, mapping: contacts}]}", "{id: b, type: x, objects: [{name: users, mapping: contacts}]}"),
			[]string{"contacts[contacts]: a/Contact b/users"}},
		{"tables of the connections", systems("{id: a, type: x, connection: {table: stock_levels}}", "{id: b, type: x, connection: {collection: items}}"),
			[]string{"demo: a/stock_levels b/items"}},
		{"one object each, other names", systems("{id: a, type: x, objects: [customers]}", "{id: b, type: x, objects: [people]}"), []string{"demo: a/customers b/people"}},
		{"a system without objects takes part", systems("{id: a, type: x, objects: [stock]}", "{id: b, type: x}"), []string{"demo: a/stock b/"}},
		{"the one model names it", systems("{id: a, type: x, objects: [{name: people, mapping: contacts}]}", "{id: b, type: x, objects: [users]}", "{id: c, type: x}"),
			[]string{"contacts[contacts]: a/people b/users c/"}},
		{"two models stay apart", systems("{id: a, type: x, objects: [{name: p, mapping: contacts}]}", "{id: b, type: x, objects: [{name: o, mapping: orders}]}"),
			[]string{"contacts[contacts]: a/p", "orders[orders]: b/o"}},
		{"equal names", systems("{id: a, type: x, objects: [public.time_entries, Company, Address]}", "{id: b, type: x, objects: [TimeEntries, companies, addresses, bus]}", "{id: c, type: x, objects: [TIME-ENTRIES]}"),
			[]string{"time-entries: a/public.time_entries b/TimeEntries c/TIME-ENTRIES", "companies: a/Company b/companies", "addresses: a/Address b/addresses", "buses: b/bus"}},
		{"a name joins the model of that name", systems("{id: a, type: x, objects: [{name: Person, mapping: contacts}, deals]}", "{id: b, type: x, objects: [contacts, Deal]}"),
			[]string{"contacts[contacts]: a/Person b/contacts", "deals: a/deals b/Deal"}},
		{"no object among many", systems("{id: a, type: x, objects: [p, q]}", "{id: b, type: x, objects: [q, p]}", "{id: c, type: x}"), []string{"ps: a/p b/p", "qs: a/q b/q"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := mustParse(t, tt.source).Collections()
			if !reflect.DeepEqual(showCollections(got), tt.want) {
				t.Errorf("got %q", showCollections(got))
			}
		})
	}
}

func TestCollectionsOfTheExamples(t *testing.T) {
	if got := showCollections(example(t, "crm-contact-sync.yaml").Collections()); !reflect.DeepEqual(got, []string{"contacts[contacts]: salesforce/Contact hubspot/contacts zendesk/users"}) {
		t.Errorf("crm: %q", got)
	}
	if got := showCollections(example(t, "inventory-sync.json").Collections()); !reflect.DeepEqual(got, []string{"inventory-sync: warehouse-db/stock_levels shopify/ amazon/ ebay/"}) {
		t.Errorf("inventory: %q", got)
	}
	project := example(t, "project-sync.yaml")
	if got := showCollections(project.Collections()); !slices.Contains(got, "projects: jira/projects asana/projects harvest/projects") {
		t.Errorf("project: %q", got)
	}
	// with the models that connectors bind their objects to
	bound := project.CollectionsBy(func(typ, object string) string {
		return map[string]string{"jira-cloud/issues": "tasks", "asana/tasks": "tasks", "harvest/tasks": "tasks", "jira-cloud/time-tracking": "time-entries",
			"harvest/time-entries": "time-entries", "quickbooks-online/time-activities": "time-entries"}[typ+"/"+object]
	})
	for _, want := range []string{"tasks[tasks]: jira/issues asana/tasks harvest/tasks", "time-entries[time-entries]: jira/time-tracking harvest/time-entries quickbooks/time-activities"} {
		if got := showCollections(bound); !slices.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}

func TestCollectionNamesDoNotDependOnOrder(t *testing.T) {
	forward := mustParse(t, "service: demo\nsystems:\n - {id: a, type: x, objects: [time_entries, o]}\n - {id: b, type: x, objects: [TIMEENTRIES, o]}\n").Collections()
	backward := mustParse(t, "service: demo\nsystems:\n - {id: b, type: x, objects: [TIMEENTRIES, o]}\n - {id: a, type: x, objects: [time_entries, o]}\n").Collections()
	if forward[0].Name != "time-entries" || backward[0].Name != "time-entries" || !forward[0].Shared() {
		t.Errorf("%v and %v", showCollections(forward), showCollections(backward))
	}
}

func TestPrimary(t *testing.T) {
	if id := example(t, "hr-data-sync.json").Primary().ID; id != "bamboohr" {
		t.Errorf("marked: %s", id)
	}
	if id := example(t, "financial-sync.yaml").Primary().ID; id != "quickbooks" {
		t.Errorf("first: %s", id)
	}
	if id := mustParse(t, "service: d\nsystems: [{id: a, type: x}, {id: b, type: x, primary: true}]\n").Primary().ID; id != "b" {
		t.Errorf("marked second: %s", id)
	}
	if id := new(Document).Primary().ID; id != "" {
		t.Errorf("none: %s", id)
	}
}

func TestStrategyFor(t *testing.T) {
	const systems = "service: d\nsystems: [{id: a, type: x, weight: 5}, {id: b, type: x, primary: true}]\n"
	tests := []struct {
		name, config, field string
		want                Strategy
	}{
		{"nothing said", "", "email", Strategy{Kind: LastWriteWins}},
		{"the founding text's other name", "timestamp-based", "email", Strategy{Kind: LastWriteWins}},
		{"source", "sourceWins", "email", Strategy{Kind: SourceWins, System: "b"}},
		{"target", "targetWins", "email", Strategy{Kind: TargetWins, System: "b"}},
		{"a system", "a-wins", "email", Strategy{Kind: SystemWins, System: "a"}},
		{"weights", "weighted", "email", Strategy{Kind: Weighted, Weights: map[string]int{"a": 5, "b": 0}}},
		{"manual", "manual", "", Strategy{Kind: Manual}},
		{"merge", "merge", "tags", Strategy{Kind: Merge, Arrays: "union"}},
		{"merge with arrays", "{strategy: merge, arrays: append}", "tags", Strategy{Kind: Merge, Arrays: "append"}},
		{"custom", "{strategy: custom, expression: max(a, b)}", "n", Strategy{}},
		{"own word", "{default: manual, fields: {email: a-wins}}", "email", Strategy{Kind: SystemWins, System: "a"}},
		{"others keep the default", "{default: manual, fields: {email: a-wins}}", "phone", Strategy{Kind: Manual}},
		{"own order", "{default: manual, fields: {email: [b, a]}}", "email", Strategy{Kind: FieldPriority, Priority: []string{"b", "a"}}},
		{"field priority with a common order", "{strategy: fieldPriority, priority: [a, b]}", "email", Strategy{Kind: FieldPriority, Priority: []string{"a", "b"}}},
		{"field priority without rule for this field", "{strategy: fieldPriority, fields: {email: [b]}}", "phone", Strategy{Kind: LastWriteWins}},
		{"average of one field", "{strategy: weighted, fields: {stock: average}}", "stock", Strategy{Kind: Average}},
		{"own arrays, the default's strategy", "{strategy: merge, fields: {tags: {arrays: replace}}}", "tags", Strategy{Kind: Merge, Arrays: "replace"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			source := systems
			if tt.config != "" {
				source += "syncConfig:\n  conflictResolution: " + strings.Replace(tt.config, "max(a, b)", `"max(a, b)"`, 1) + "\n"
			}
			if tt.name == "custom" {
				tt.want = Strategy{Kind: Custom, Expression: "max(a, b)"}
			}
			if got := mustParse(t, source).StrategyFor(tt.field); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
	if got := example(t, "hr-data-sync.json").StrategyFor("email"); got.Kind != SystemWins || got.System != "bamboohr" {
		t.Errorf("hr: %+v", got)
	}
	if got := example(t, "inventory-sync.json").StrategyFor("quantity"); got.Weights["warehouse-db"] != 100 || got.Weights["ebay"] != 50 {
		t.Errorf("inventory: %+v", got)
	}
}

func TestSystemsReceiving(t *testing.T) {
	base := func(direction, rest string) *Document {
		return mustParse(t, "service: d\ndirection: "+direction+"\nsystems: [{id: a, type: x}, {id: b, type: x, primary: true}, {id: c, type: x}]\n"+rest)
	}
	pairs := "syncConfig:\n  bidirectional:\n    - {systems: [a, b], syncFields: [title, billable-hours]}\n    - {systems: [b, c]}\n"
	routes := "businessRules:\n  - {name: eu, source: a, condition: eu, target: c}\n  - {name: any, condition: us, target: [b]}\n  - {name: off, enabled: false, condition: us, target: [c]}\n  - {name: act, source: b, target: c, condition: done, action: notify}\n"
	tests := []struct {
		name        string
		doc         *Document
		from, field string
		want        string
	}{
		{"one way from the primary", base("unidirectional", ""), "b", "title", "[a c]"},
		{"one way from another", base("unidirectional", ""), "a", "title", "[]"},
		{"both ways", base("bi-directional", ""), "a", "title", "[b c]"},
		{"mesh", base("multi-directional", ""), "c", "title", "[a b]"},
		{"hierarchical", base("hierarchical", ""), "c", "", "[a b]"},
		{"a pair's field", base("multi-directional", pairs), "a", "title", "[b]"},
		{"a pair's field by its other spelling", base("multi-directional", pairs), "b", "billableHours", "[a c]"},
		{"not among a pair's fields", base("multi-directional", pairs), "a", "status", "[]"},
		{"a pair without fields", base("multi-directional", pairs), "c", "status", "[b]"},
		{"records of a pair", base("multi-directional", pairs), "a", "", "[b]"},
		{"routes of one source", base("conditional", routes), "a", "title", "[b c]"},
		{"routes of any source", base("conditional", routes), "b", "title", "[]"},
		{"routes from c", base("conditional", routes), "c", "title", "[b]"},
		{"unknown system", base("bi-directional", ""), "zzz", "title", "[]"},
		{"a key is read-only", base("bi-directional", "fieldMapping: {bId: external_id.b, title: t}\n"), "a", "bId", "[]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fmt.Sprint(tt.doc.SystemsReceiving(tt.from, tt.field)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
	project := example(t, "project-sync.yaml")
	for _, tt := range []struct{ collection, from, field, want string }{
		{"tasks", "jira", "title", "[asana]"},
		{"tasks", "harvest", "title", "[]"},
		{"time-entries", "jira", "hours", "[harvest]"},
		{"time-entries", "jira", "", "[asana harvest]"},
		{"invoices", "harvest", "billable_hours", "[quickbooks]"},
		{"tasks", "quickbooks", "title", "[]"},
	} {
		if got := fmt.Sprint(project.SystemsReceivingIn(tt.collection, tt.from, tt.field)); got != tt.want {
			t.Errorf("project %+v: %s", tt, got)
		}
	}
}

func TestDeletePolicy(t *testing.T) {
	for config, want := range map[string][2]DeletePolicy{
		"":          {Propagate, Propagate},
		"propagate": {Propagate, Propagate},
		"ignore":    {Ignore, Ignore},
		"archive":   {Archive, Archive},
		"{policy: archive, archiveField: gone, systems: {shop: ignore}}": {Archive, Ignore},
		"{systems: {shop: archive}}":                                     {Propagate, Archive},
	} {
		source := twoSystems
		if config != "" {
			source += "deletes: " + config + "\n"
		}
		doc := mustParse(t, source)
		if got := [2]DeletePolicy{doc.DeletePolicy(), doc.DeletePolicyTowards("shop")}; got != want {
			t.Errorf("%q: %v", config, got)
		}
	}
}

func TestMatchFields(t *testing.T) {
	for config, want := range map[string]string{
		"": "[]",
		"deduplication: {matchFields: [email, phone]}":              "[email phone]",
		"deduplication: {enabled: false, matchFields: [x]}":         "[]",
		"matchFields: [sku]\ndeduplication: {matchFields: [email]}": "[sku]",
	} {
		if got := fmt.Sprint(mustParse(t, twoSystems+config+"\n").MatchFields()); got != want {
			t.Errorf("%q: %s", config, got)
		}
	}
}

func TestFieldMap(t *testing.T) {
	crm := example(t, "crm-contact-sync.yaml").FieldMap("hubspot")
	want := []MappedField{{Field: "company", Alias: "company_name"}, {Field: "email", Alias: "email"}, {Field: "firstName", Alias: "first_name"},
		{Field: "hubspotId", Alias: "external_id.hubspot", External: "hubspot"}, {Field: "lastName", Alias: "last_name"}, {Field: "phone", Alias: "phone_number"},
		{Field: "salesforceId", Alias: "external_id.salesforce", External: "salesforce"}, {Field: "zendeskId", Alias: "external_id.zendesk", External: "zendesk"}}
	if !reflect.DeepEqual(crm, want) {
		t.Errorf("flat: %+v", crm)
	}
	asana := example(t, "project-sync.yaml").FieldMap("asana")
	for _, want := range []MappedField{{Field: "title", Alias: "name", PerSystem: true}, {Field: "estimated_hours", Alias: "custom_fields.hours", PerSystem: true},
		{Field: "actual_hours", Alias: "actual_hours"}} { // the last only harvest names
		if !slices.Contains(asana, want) {
			t.Errorf("per system: no %+v in %+v", want, asana)
		}
	}
	if got := example(t, "cdp-sync.json").FieldMap("klaviyo"); !slices.Contains(got, MappedField{Field: "ltv", Alias: "lifetime_value"}) {
		t.Errorf("unified: %+v", got)
	}
	if got := mustParse(t, twoSystems).FieldMap("shop"); got != nil {
		t.Errorf("nothing mapped: %+v", got)
	}

	doc := mustParse(t, `service: d
systems:
  - id: a
    type: x
    objects:
      - {name: stock, fields: [sku, quantity], fieldMapping: {qty: quantity}}
      - plain
  - {id: b, type: x, objects: [{name: only, fields: [email, sku]}]}
fieldMapping: {sku: sku, quantity: amount, price: cost}
`)
	if got := doc.FieldMapOf("a", "stock"); !reflect.DeepEqual(got, []MappedField{{Field: "quantity", Alias: "qty", PerSystem: true}, {Field: "sku", Alias: "sku"}}) {
		t.Errorf("an object's own: %+v", got)
	}
	if got := doc.FieldMapOf("a", "plain"); len(got) != 3 {
		t.Errorf("an object without its own: %+v", got)
	}
	if got := mustParse(t, "service: d\nsystems: [{id: a, type: x, objects: [{name: o, fields: [b, a]}]}, {id: b, type: x}]\n").FieldMapOf("a", "o"); !reflect.DeepEqual(got, []MappedField{{Field: "a", Alias: "a"}, {Field: "b", Alias: "b"}}) {
		t.Errorf("fields without any mapping: %+v", got)
	}
}

func TestObjectsOf(t *testing.T) {
	inventory := example(t, "inventory-sync.json")
	if got := inventory.ObjectsOf("warehouse-db"); len(got) != 1 || got[0].Name != "stock_levels" {
		t.Errorf("table: %+v", got)
	}
	if got := inventory.ObjectsOf("shopify"); got != nil {
		t.Errorf("none: %+v", got)
	}
	if got := example(t, "crm-contact-sync.yaml").ObjectsOf("zendesk"); len(got) != 1 || got[0].Mapping != "contacts" {
		t.Errorf("listed: %+v", got)
	}
	if got := inventory.ObjectsOf("nobody"); got != nil {
		t.Errorf("unknown: %+v", got)
	}
}

func TestDetectionFor(t *testing.T) {
	doc := mustParse(t, "service: d\nsystems: [{id: a, type: x, changeDetection: hash}, {id: b, type: x}, {id: c, type: x}]\nsyncConfig: {changeDetection: database-trigger}\n")
	for id, want := range map[string]string{"a": "hash", "b": "database-trigger"} {
		if got := doc.DetectionFor(id, []string{"database-trigger", "hash"}); got != want {
			t.Errorf("%s: %s", id, got)
		}
	}
	if got := doc.DetectionFor("c", []string{"webhook"}); got != "auto" {
		t.Errorf("unable: %s", got)
	}
	if got := mustParse(t, twoSystems).DetectionFor("shop", []string{"cdc"}); got != "auto" {
		t.Errorf("unsaid: %s", got)
	}
}

func TestExpand(t *testing.T) {
	secrets := map[string]string{"HOST": "db.internal", "PORT": "5432"}
	lookup := func(name string) (string, bool) { v, ok := secrets[name]; return v, ok }
	for setting, want := range map[string]string{
		"plain": "plain", "${HOST}": "db.internal", "https://${HOST}:${PORT}/x": "https://db.internal:5432/x", "$${HOST}": "${HOST}", "a$b": "a$b", "$": "$", "": "",
		"é${PORT}é": "é5432é",
	} {
		if got, err := Expand(setting, lookup); err != nil || got != want {
			t.Errorf("%q: %q, %v", setting, got, err)
		}
	}
	for _, setting := range []string{"${NOPE}", "${", "${}", "${a-b}", "${HOST", "${HOST}${NOPE}"} {
		if got, err := Expand(setting, lookup); err == nil || got != "" || strings.Contains(err.Error(), "db.internal") {
			t.Errorf("%q: %q, %v", setting, got, err)
		}
	}
	if got := fmt.Sprint(example(t, "crm-contact-sync.yaml").SecretNames()); got != "[HUBSPOT_API_KEY SALESFORCE_INSTANCE_URL SALESFORCE_TOKEN ZENDESK_SUBDOMAIN ZENDESK_TOKEN]" {
		t.Errorf("names %s", got)
	}
}

func TestDiff(t *testing.T) {
	before := mustParse(t, twoSystems+"fieldMapping: {sku: sku, qty: quantity}\nbusinessRules: [{name: r, rule: a = b}]\nsyncConfig: {matchFields: [sku]}\n")
	after := mustParse(t, `service: demo
description: now with words
systems:
  - {id: shop, type: mysql, connection: shop-db, objects: [stock, {name: prices, key: [sku]}]}
  - {id: warehouse, type: postgresql, connection: {host: db2, database: inv, table: stock_levels}, weight: 3}
fieldMapping: {sku: code}
businessRules: [{name: r, rule: a = c}]
syncConfig: {matchFields: [sku, site], frequency: daily}
`)
	var got []string
	for _, d := range Diff(before, after) {
		got = append(got, fmt.Sprintf("%s %s %v -> %v", d.Kind, d.Path, d.Before, d.After))
	}
	want := []string{
		"changed businessRules[r].rule a = b -> a = c",
		"added description <nil> -> now with words",
		"removed fieldMapping.qty quantity -> <nil>",
		"changed fieldMapping.sku sku -> code",
		"added syncConfig.frequency <nil> -> map[when:daily]",
		"changed syncConfig.matchFields [sku] -> [sku site]",
		"changed systems [warehouse shop] -> [shop warehouse]",
		"added systems[shop].objects[prices] <nil> -> map[key:[sku] name:prices]",
		"changed systems[warehouse].connection.host db -> db2",
		"added systems[warehouse].weight <nil> -> 3",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if d := Diff(after, after); len(d) != 0 {
		t.Errorf("equal documents differ: %v", d)
	}
	if d := Diff(nil, before); len(d) == 0 || d[0].Kind != Added {
		t.Errorf("from nothing: %v", d)
	}
	// the same document in another spelling
	if d := Diff(mustParse(t, "name: d\nsystems: [{id: a, type: x, objects: [o]}, {id: b, type: x}]\nvalidation: {checkDuplicates: true}\nencryption: AES-256\n"),
		mustParse(t, "service: d\nsystems: [{id: a, type: x, objects: [{name: o}]}, {id: b, type: x}]\nsecurity: {encryption: {algorithm: AES-256-GCM}}\nsyncConfig: {validation: {checkDuplicates: true}}\n")); len(d) != 0 {
		t.Errorf("spellings differ: %v", d)
	}
}

// What the engine applies is not said to be without effect, and no strategy is refused.
func TestInForce(t *testing.T) {
	doc := mustParse(t, `service: d
direction: conditional
systems: [{id: a, type: x}, {id: b, type: x}]
syncConfig:
  conflictResolution: {strategy: custom, expression: last, fields: {n: average}}
  cleansing: {trimWhitespace: true}
  validation: {email: {format: email}}
businessRules: [{name: r, target: b, condition: n > 1}]
`)
	if f := doc.NotInForce(); len(f.Errors)+len(f.Notices) > 0 {
		t.Errorf("not in force are %+v", f)
	}
	if f := mustParse(t, "service: d\nsystems: [{id: a, type: x}, {id: b, type: x}]\nsyncConfig: {consistency: strong}\n").NotInForce(); len(f.Notices) != 1 {
		t.Errorf("strong consistency is not applied, and nothing says so: %+v", f)
	}
}
