// SPDX-License-Identifier: Apache-2.0

package service

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
)

// validTwo is a document without any finding, to which the cases add.
const validTwo = `service: demo
systems:
  - id: warehouse
    type: postgresql
    connection: {host: db, database: inv, table: stock}
    weight: 2
  - id: shop
    type: mysql
    connection: shop-db
    objects: [stock]
`

// someLookups is a build with both databases, the connection shop-db and the secret PW.
func someLookups() Lookups {
	known := databasesOnly()
	known.Secret = func(name string) bool { return name == "PW" }
	known.Connection = func(name string) (string, bool) {
		return map[string]string{"shop-db": "mysql", "wh": "postgresql"}[name], name == "shop-db" || name == "wh"
	}
	return known
}

func TestValidate(t *testing.T) {
	system := func(lines string) string { return "service: demo\nsystems:\n" + lines }
	tests := []struct {
		name, source    string
		errors, notices []problem
	}{
		{name: "nothing to say", source: validTwo},
		{name: "ids", source: system("  - {id: a, type: mysql, connection: shop-db, objects: [x]}\n  - {id: a, type: mysql, connection: shop-db, objects: [x]}\n  - {id: all, type: mysql, connection: shop-db, objects: [x, x]}\n"),
			errors: []problem{{"4:10", codeIDDuplicate, "/systems/1/id", "also that of system 1"}, {"5:10", codeValueInvalid, "/systems/2/id", "reserved"},
				{"5:62", codeIDDuplicate, "/systems/2/objects/1", "listed twice"}}},
		{name: "two primaries", source: system("  - {id: a, type: mysql, connection: shop-db, objects: [x], primary: true}\n  - {id: b, type: mysql, connection: shop-db, objects: [x], primary: true}\n"),
			errors: []problem{{"4:70", codePrimaryTwice, "/systems/1/primary", "a and b"}}},
		{name: "connectors", source: system("  - {id: a, type: mysq, connection: shop-db, objects: [x]}\n  - {id: b, type: qwertz}\n  - {id: c, type: hubspot, connection: {nonsense: \"${NOPE}\"}, objects: [y, y]}\n  - {id: d, type: mariadb, connection: shop-db, objects: [x]}\n"),
			errors: []problem{{"3:19", codeConnectorUnknown, "/systems/0/type", "Did you mean mysql?"}, {"4:19", codeConnectorUnknown, "/systems/1/type", "GET /v1/connectors"},
				{"5:19", CodeConnectorUnavailable, "/systems/2/type", "HubSpot (hubspot) is not part of this version"}}},
		{name: "connections", source: system("  - {id: wh, type: postgresql, objects: [x]}\n  - {id: b, type: mysql, objects: [x]}\n  - {id: c, type: mysql, connection: nope, objects: [x]}\n  - {id: d, type: mysql, connection: wh, objects: [x]}\n"),
			errors: []problem{{"4:5", codeConnectionUnknown, "/systems/1", "none is named b"}, {"5:38", codeConnectionUnknown, "/systems/2/connection", `named "nope"`},
				{"6:38", codeConnectionMismatch, "/systems/3/connection", "one of type postgresql"}}},
		{name: "settings against the declaration", source: system(`  - id: a
    type: postgresql
    connection:
      hots: db
      port: many
      sslMode: sometimes
      password: hunter2
      table: t
  - {id: b, type: mysql, connection: {host: h, database: d, port: "${PW}", sslMode: "${PW}", password: "${PW}"}, objects: [t]}
`),
			errors: []problem{
				{"6:7", "connection.setting_invalid", "/systems/0/connection", "database is required"},
				{"6:7", "connection.setting_invalid", "/systems/0/connection", "host is required"},
				{"6:13", "connection.setting_unknown", "/systems/0/connection/hots", "Did you mean host?"},
				{"7:13", "connection.setting_invalid", "/systems/0/connection/port", "whole number"},
				{"8:16", "connection.setting_invalid", "/systems/0/connection/sslMode", "disable, require, verify-full"},
				{"9:17", codeSecretInClear, "/systems/0/connection/password", "write ${NAME}"},
			}},
		{name: "secrets", source: system(`  - id: a
    type: postgresql
    connection:
      host: ${PW}.example
      database: x-${NOPE}-${MISSING}
      user: "é${ALSO}"
      password: ${lower-case}
      table: t
  - {id: b, type: mysql, connection: shop-db, objects: [t]}
`),
			errors: []problem{{"7:19", CodeSecretUnknown, "/systems/0/connection/database", "no secret named NOPE"}, {"7:27", CodeSecretUnknown, "/systems/0/connection/database", "MISSING"},
				{"8:15", CodeSecretUnknown, "/systems/0/connection/user", "PUT /v1/secrets/ALSO"}, {"9:17", codeSecretMalformed, "/systems/0/connection/password", "${lower-case}"}}},
		{name: "detection", source: system("  - {id: a, type: mysql, connection: shop-db, objects: [x], changeDetection: webhook}\n  - {id: b, type: mysql, connection: shop-db, objects: [x], changeDetection: cdc}\n") + "syncConfig: {changeDetection: stream}\n",
			errors: []problem{{"3:78", codeDetectionUnavailable, "/systems/0/changeDetection", "auto, cdc, timestamp, hash"}, {"5:31", codeDetectionUnavailable, "/syncConfig/changeDetection", "b can by cdc, timestamp, hash"}}},
		{name: "detection of some", source: system("  - {id: a, type: mysql, connection: shop-db, objects: [x]}\n  - {id: b, type: postgresql, connection: wh, objects: [x]}\n") + "syncConfig: {changeDetection: database-trigger}\n",
			notices: []problem{{"5:31", codeDetectionUnavailable, "/syncConfig/changeDetection", "a can by cdc, timestamp, hash"}}},
		{name: "schedules", source: validTwo + `syncConfig:
  frequency: 0 99 * * *
  reconciliation:
    schedule: {when: realtime, timeZone: UTC}
    systems: [warehouse, shoop]
`,
			errors: []problem{{"12:14", codeScheduleInvalid, "/syncConfig/frequency", "The hour, 99"}, {"14:22", codeScheduleInvalid, "/syncConfig/reconciliation/schedule/when", "cannot be realtime"},
				{"15:26", codeSystemUnknown, "/syncConfig/reconciliation/systems/1", "Did you mean shop?"}}},
		{name: "time zone", source: validTwo + "syncConfig:\n  frequency:\n    cron: 0 6 * * *\n    timeZone: Europe/Brelin\n", errors: []problem{{"14:15", codeTimeZoneUnknown, "/syncConfig/frequency/timeZone", "IANA"}}},
		{name: "time zones of systems", source: system("  - {id: a, type: mysql, connection: shop-db, objects: [x], timeZone: Berlin}\n  - {id: b, type: postgresql, connection: wh, objects: [x], timezone: Europe/Berln}\n"),
			errors: []problem{{"3:71", codeTimeZoneUnknown, "/systems/0/timeZone", "IANA name such as Europe/Berlin"}, {"4:71", codeTimeZoneUnknown, "/systems/1/timezone", "Did you mean Europe/Berlin?"}}},
		{name: "a system that does not exist wins", source: validTwo + "syncConfig:\n  conflictResolution: shp-wins\n", errors: []problem{{"12:23", codeSystemUnknown, "/syncConfig/conflictResolution", "Did you mean shop-wins?"}}},
		{name: "source-wins is sourceWins", source: validTwo + "conflictResolution: source-wins\n", errors: []problem{{"11:21", codeSystemUnknown, "/conflictResolution", "Did you mean sourceWins?"}}},
		{name: "strategies", source: validTwo + `conflictResolution:
  strategy: average
  fields:
    a: {strategy: custom}
    b: [shop, nobody]
    c: fieldPriority
    d: {strategy: custom, expression: "1 +"}
    e: weighted
`,
			errors: []problem{{"12:13", codeStrategyIncomplete, "/conflictResolution/strategy", "single fields"}, {"14:8", codeStrategyIncomplete, "/conflictResolution/fields/a", "needs an expression"},
				{"15:15", codeSystemUnknown, "/conflictResolution/fields/b/1", "warehouse, shop"}, {"16:8", codeStrategyIncomplete, "/conflictResolution/fields/c", "priority"},
				{"17:42", codeExpressionInvalid, "/conflictResolution/fields/d/expression", "unexpected token EOF"}}},
		{name: "weights", source: strings.Replace(validTwo, "    weight: 2\n", "", 1) + "conflictResolution: weighted\n", errors: []problem{{"10:21", codeStrategyIncomplete, "/conflictResolution", "weight"}}},
		{name: "field priority without any order", source: validTwo + "conflictResolution: fieldPriority\n", errors: []problem{{"11:21", codeStrategyIncomplete, "/conflictResolution", "priority: [first, second]"}}},
		{name: "pairs", source: validTwo + "  - {id: extra, type: mysql, connection: shop-db, objects: [stock]}\nsyncConfig:\n  bidirectional:\n    - systems: [warehouse, shop]\n    - systems: [shop, shop]\n    - systems: [shop, sop]\n",
			errors: []problem{{"11:10", codeDirectionInconsistent, "/systems/2/id", "extra is in no bidirectional pair"}, {"15:23", codeIDDuplicate, "/syncConfig/bidirectional/1/systems/1", "twice"},
				{"16:23", codeSystemUnknown, "/syncConfig/bidirectional/2/systems/1", "Did you mean shop?"}}},
		{name: "pairs in one direction", source: validTwo + "direction: unidirectional\nbidirectional:\n  - systems: [warehouse, shop]\n", errors: []problem{{"13:3", codeDirectionInconsistent, "/bidirectional", "unidirectional"}}},
		{name: "conditional without rules", source: validTwo + "direction: conditional\n", errors: []problem{{"11:12", codeDirectionInconsistent, "/direction", "rules"}}},
		{name: "conditional with a route", source: validTwo + "direction: conditional\nbusinessRules: [{name: r, condition: quantity > 1, target: shop}]\n"},
		{name: "filters", source: validTwo + `filterConditions:
  - {field: a, operator: in}
  - {field: a, operator: isNull, value: 1}
  - {field: a, operator: equals}
  - {field: a, operator: between, values: [1]}
  - {field: a, operator: equals, value: 1, values: [1]}
  - {field: a, operator: matches, value: "("}
  - {field: a, operator: matches, value: 5}
  - {operator: equals, value: 1}
  - {field: a}
  - {field: a, operator: isNull, any: [{field: b, operator: in}]}
  - all: [{any: [{field: b, operator: contains}]}]
  - {field: a, operator: in, value: 1}
  - {field: a, operator: equals, values: [1]}
`,
			errors: []problem{{"12:5", codeOperandWrong, "/filterConditions/0", "needs values"}, {"13:5", codeOperandWrong, "/filterConditions/1", "takes no value"},
				{"14:5", codeOperandWrong, "/filterConditions/2", "needs one value"}, {"15:5", codeOperandWrong, "/filterConditions/3", "two values"}, {"16:5", codeOperandWrong, "/filterConditions/4", "Both"},
				{"17:42", codeRegexInvalid, "/filterConditions/5/value", "missing closing )"}, {"18:42", codeRegexInvalid, "/filterConditions/6/value", "quotes"},
				{"19:5", codeFieldMissing, "/filterConditions/7", "names no field"}, {"20:5", codeFieldMissing, "/filterConditions/8", "no operator"},
				{"21:5", codeOperandWrong, "/filterConditions/9", "a test or a group"}, {"21:40", codeOperandWrong, "/filterConditions/9/any/0", "needs values"},
				{"22:18", codeOperandWrong, "/filterConditions/10/all/0/any/0", "needs one value"}, {"23:5", codeOperandWrong, "/filterConditions/11", "needs values"},
				{"24:5", codeOperandWrong, "/filterConditions/12", "needs one value"}}},
		{name: "field rules", source: validTwo + "validation:\n  sku: {regex: \"a(?=b)\", min: 5, max: 4.5, minLength: 9, maxLength: 2}\n",
			errors: []problem{{"12:16", codeRegexInvalid, "/validation/sku/regex", "RE2"}, {"12:31", codeValueInvalid, "/validation/sku/min", "greater than max"}, {"12:55", codeValueInvalid, "/validation/sku/minLength", "maxLength"}}},
		{name: "expressions", source: validTwo + `businessRules:
  - {name: a, rule: quantity > 5}
  - name: b
    rule: available = quantity - * reserved
  - name: c
    rule: "free = upper(name"
  - {name: d, condition: "all(xs, all(#, # > 1))", action: notify}
  - {name: e, condition: frobnicate(x), action: notify}
  - {name: f, condition: "x == y", action: notify}
  - {name: g, condition: "` + strings.Repeat("1+", 150) + `1", action: notify}
`,
			errors: []problem{{"12:21", codeExpressionInvalid, "/businessRules/0/rule", "computes no field"}, {"14:34", codeExpressionInvalid, "/businessRules/1/rule", "unexpected token"},
				{"16:28", codeExpressionInvalid, "/businessRules/2/rule", "unexpected token EOF"},
				{"17:42", codeExpressionInvalid, "/businessRules/3/condition", "inside predicates"}, {"18:26", codeExpressionInvalid, "/businessRules/4/condition", "no function frobnicate"},
				{"20:26", codeExpressionInvalid, "/businessRules/6/condition", "at most 200 parts"}}},
		{name: "rule forms", source: validTwo + `businessRules:
  - {name: a}
  - {name: a, action: notify}
  - {name: b, window: 24h}
  - {name: c, fields: [x]}
  - {name: d, mapping: {a: b}}
  - {name: e, rule: a = b, action: notify}
  - {name: f, source: shop, target: shop, condition: x}
  - {name: g, source: nobody, target: [warehouse, shopp], condition: x}
`,
			errors: []problem{{"12:5", codeRuleIncomplete, "/businessRules/0", "does nothing"}, {"13:5", codeRuleIncomplete, "/businessRules/1", "no condition"}, {"13:12", codeIDDuplicate, "/businessRules/1/name", "another rule named a"},
				{"14:5", codeRuleIncomplete, "/businessRules/2", "fields to compare"}, {"15:5", codeRuleIncomplete, "/businessRules/3", "window"}, {"16:5", codeRuleIncomplete, "/businessRules/4", "target"},
				{"17:5", codeRuleIncomplete, "/businessRules/5", "two rules"}, {"18:37", codeRuleIncomplete, "/businessRules/6/target", "same system"},
				{"19:23", codeSystemUnknown, "/businessRules/7/source", "nobody"}, {"19:51", codeSystemUnknown, "/businessRules/7/target/1", "Did you mean shop?"}}},
		{name: "mappings", source: validTwo + "fieldMapping:\n  shopp: {a: x}\n  shop: {a: x, b: x}\nunifiedSchema:\n  c: same\n  d: same\n  e: external_id.nobody\n",
			errors: []problem{{"12:10", codeSystemUnknown, "/fieldMapping/shopp", "Did you mean shop?"}, {"13:19", codeMappingAmbiguous, "/fieldMapping/shop/b", "both mapped to x"},
				{"16:6", codeMappingAmbiguous, "/unifiedSchema/d", "c and d"}, {"17:6", codeSystemUnknown, "/unifiedSchema/e", "nobody"}}},
		{name: "two aliases of one field", source: validTwo + "fieldMapping: {a: b}\nunifiedSchema: {a: c}\n", errors: []problem{{"12:20", codeMappingAmbiguous, "/unifiedSchema/a", "another alias"}}},
		{name: "deletes and consistency", source: validTwo + "deletes: {archiveField: gone, systems: {shopp: ignore}}\nconsistency: {level: strong, maxDelay: 5m}\n",
			errors: []problem{{"11:10", codeStrategyIncomplete, "/deletes", "policy: archive"}, {"11:48", codeSystemUnknown, "/deletes/systems/shopp", "shop"}, {"12:14", codeConsistencyUnavailable, "/consistency", "realtime"}, {"12:40", codeStrategyIncomplete, "/consistency/maxDelay", "eventual"}}},
		{name: "archived duplicates without the field", source: validTwo + "deduplication: {mergeStrategy: oldest, losers: archive}\n",
			errors: []problem{{"11:48", codeStrategyIncomplete, "/deduplication/losers", "archiveField"}}},
		{name: "archived duplicates", source: validTwo + "deletes: {archiveField: gone, archiveValue: merged}\ndeduplication: {mergeStrategy: oldest, losers: archive}\n"},
		{name: "a limit that cannot be kept", source: validTwo + "syncConfig: {frequency: 15m, consistency: {maxDelay: 5m, level: eventual}}\n",
			errors: []problem{{"11:54", codeConsistencyUnavailable, "/syncConfig/consistency/maxDelay", "frequency: realtime"}}},
		{name: "workflows", source: validTwo + "workflows:\n  - {name: w, trigger: t, condition: \"(\", steps: [{name: s, system: nobody}]}\n  - {name: w, trigger: t, steps: [s]}\n",
			errors: []problem{{"12:38", codeExpressionInvalid, "/workflows/0/condition", "EOF"}, {"12:69", codeSystemUnknown, "/workflows/0/steps/0/system", "nobody"}, {"13:12", codeIDDuplicate, "/workflows/1/name", "another workflow"}}},
		{name: "references", source: strings.Replace(validTwo, "[stock]", "[{name: stock, references: {productId: prodcts}}, products]", 1),
			errors: []problem{{"10:53", codeValueUnknown, "/systems/1/objects/0/references/productId", "Did you mean products?"}}, notices: []problem{{"10:64", codeObjectAlone, "/systems/1/objects/1", "No other system"}}},
		{name: "a hierarchy without references", source: strings.Replace(validTwo, "systems:", "direction: hierarchical\nsystems:", 1),
			errors: []problem{{"2:12", codeReferencesMissing, "/direction", "objects whose records refer"}}},
		{name: "references in a circle", source: system("  - {id: a, type: mysql, connection: shop-db, objects: [{name: orders, references: {account: accounts}}, {name: accounts, references: {last: orders, parent: accounts}}]}\n  - {id: b, type: mysql, connection: shop-db, objects: [orders, accounts]}\n"),
			errors: []problem{{"3:142", codeReferenceCycle, "/systems/0/objects/1/references/last", "orders.account -> accounts.last -> orders"}}},
		{name: "a reference with two meanings", source: system("  - {id: a, type: mysql, connection: shop-db, objects: [{name: orders, references: {account: accounts}}, accounts, people]}\n  - {id: b, type: mysql, connection: shop-db, objects: [{name: orders, references: {account: people}}, accounts, people]}\n"),
			errors: []problem{{"4:94", codeReferenceTwice, "/systems/1/objects/0/references/account", "refers to peoples here, and to accounts"}}},
		{name: "no objects at all", source: system("  - {id: a, type: mysql, connection: shop-db}\n  - {id: b, type: mysql, connection: shop-db}\n"), errors: []problem{{"3:3", codeObjectsMissing, "/systems", "objects"}}},
		{name: "nearly a field", source: validTwo + "fieldMapping: {quantity: qty, email: mail}\nfilterConditions: [{field: quantiy, operator: notNull}]\nvalidation: {e_mail: {required: true}, status: {required: true}}\n",
			notices: []problem{{"12:28", codeFieldSuspect, "/filterConditions/0/field", "Did you mean quantity?"}, {"13:22", codeFieldSuspect, "/validation/e_mail", "Did you mean email?"}}},
		{name: "enrichment", source: validTwo + "enrichment: {sources: [clearbit, qwertz, {type: mysql, connection: nope, id: old}, mysql, {type: mysql, connection: shop-db}]}\n",
			errors: []problem{{"11:24", CodeConnectorUnavailable, "/enrichment/sources/0", "Clearbit"}, {"11:34", codeConnectorUnknown, "/enrichment/sources/1", "qwertz"},
				{"11:68", codeConnectionUnknown, "/enrichment/sources/2/connection", "nope"}, {"11:84", codeConnectionUnknown, "/enrichment/sources/3", "none is named mysql"}, {"11:91", codeIDDuplicate, "/enrichment/sources/4", "is named mysql"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc := mustParse(t, tt.source)
			found := doc.Validate(someLookups())
			checkProblems(t, found.Errors, tt.errors)
			checkProblems(t, found.Notices, tt.notices)
			if err := found.Err(); (err == nil) != (len(tt.errors) == 0) || (err != nil && !fault.IsCode(err, CodeDocumentInvalid)) {
				t.Errorf("Err gives %v", err)
			}
			for _, f := range found.Errors {
				if f.Remedy == "" && f.Code != codeScheduleInvalid && f.Code != codeTimeZoneUnknown {
					t.Errorf("no remedy: %+v", f)
				}
			}

			// A stored document has no places; the findings are the same.
			b, _ := json.Marshal(doc)
			var stored Document
			if err := json.Unmarshal(b, &stored); err != nil {
				t.Fatal(err)
			}
			again := stored.Validate(someLookups())
			if len(again.Errors) != len(found.Errors) || len(again.Notices) != len(found.Notices) {
				t.Errorf("stored: %d errors, %d notices", len(again.Errors), len(again.Notices))
			}
			for _, f := range again.Errors {
				if f.Line != 0 || !strings.HasPrefix(f.Pointer, "/") {
					t.Errorf("stored: %+v", f)
				}
			}
		})
	}
}

// Positions of findings in JSON, behind tabs.
func TestValidateInJSON(t *testing.T) {
	source := "{\n\t\"service\": \"demo\",\n\t\"systems\": [\n\t\t{\"id\": \"a\", \"type\": \"mysql\", \"connection\": {\"host\": \"${NOPE}\", \"database\": \"d\", \"table\": \"t\"}},\n\t\t{\"id\": \"a\", \"type\": \"mysql\", \"connection\": \"shop-db\"}\n\t],\n\t\"businessRules\": [{\"name\": \"r\", \"rule\": \"a = 1 +\"}]\n}"
	doc, err := Parse([]byte(source), JSON)
	if err != nil {
		t.Fatal(describe(err))
	}
	checkProblems(t, doc.Validate(someLookups()).Errors, []problem{
		{"4:55", CodeSecretUnknown, "/systems/0/connection/host", "NOPE"},
		{"5:10", codeIDDuplicate, "/systems/1/id", ""},
		{"7:49", codeExpressionInvalid, "/businessRules/0/rule", "EOF"},
	})
}

// An editor sees problems of the form and of the meaning together, without those that only follow from the others.
func TestCheck(t *testing.T) {
	source := strings.Replace(validTwo, "type: mysql", "typ: mysql", 1) + "direction: sideways\nconflictResolution: nobody-wins\nbusinessRules:\n  - {name: r, window: 1 day}\n"
	doc, found := Check([]byte(source), YAML, someLookups())
	if doc != nil {
		t.Error("a faulty document")
	}
	checkProblems(t, found.Errors, []problem{
		{"7:5", codeFieldMissing, "/systems/1", "type is missing"},
		{"8:5", codeFieldUnknown, "/systems/1/typ", "type"},
		{"11:12", codeValueUnknown, "/direction", ""},
		{"12:21", codeSystemUnknown, "/conflictResolution", "nobody"},
		{"14:23", codeValueInvalid, "/businessRules/0/window", "15m"},
	})
	if doc, found := Check([]byte(validTwo), YAML, someLookups()); doc == nil || len(found.Errors)+len(found.Notices) > 0 {
		t.Errorf("a good one: %+v", found)
	}
	if doc, found := Check([]byte(strings.Replace(validTwo, "shop-db", "nope", 1)), YAML, someLookups()); doc != nil || len(found.Errors) != 1 {
		t.Errorf("wrong in meaning: %+v", found)
	}
	if doc, found := Check([]byte("a: [\n"), YAML, someLookups()); doc != nil || len(found.Errors) != 1 || found.Errors[0].Code != codeSyntax {
		t.Errorf("unreadable: %+v", found)
	}
}

func TestRetiredNames(t *testing.T) {
	known := someLookups()
	inner := known.Connector
	known.Connector = func(typ string) (connector.Spec, bool) {
		if typ == "hubspot" {
			return connector.Spec{Type: "hubspot", Title: "HubSpot", Settings: []connector.Setting{{Name: "accessToken", Required: true, Secret: true}}}, true
		}
		return inner(typ)
	}
	doc := mustParse(t, "service: d\nsystems:\n  - {id: a, type: hubspot, connection: {apiKey: \"${PW}\"}, objects: [stock]}\n  - {id: b, type: mysql, connection: shop-db, objects: [stock]}\n")
	found := doc.Validate(known)
	checkProblems(t, found.Errors, nil)
	checkProblems(t, found.Notices, []problem{{"3:49", codeSettingRetired, "/systems/0/connection/apiKey", "private app"}})

	doc = mustParse(t, "service: d\nsystems:\n  - {id: a, type: hubspot, connection: {apiKey: plain}, objects: [stock]}\n  - {id: b, type: mysql, connection: shop-db, objects: [stock]}\n")
	checkProblems(t, doc.Validate(known).Errors, []problem{{"3:49", codeSecretInClear, "/systems/0/connection/apiKey", ""}})
}

func TestSplitRule(t *testing.T) {
	tests := []struct {
		rule, field, expression string
		at                      int
		ok                      bool
	}{
		{"available = quantity - reserved - (quantity * 0.05)", "available", "quantity - reserved - (quantity * 0.05)", 12, true},
		{"a=b", "a", "b", 2, true},
		{" a.b =  c == d", "a.b", "c == d", 8, true},
		{"a == b", "", "", 0, false},
		{"a =~ b", "", "", 0, false},
		{"a >= b", "", "", 0, false},
		{"a != b", "", "", 0, false},
		{"a =", "", "", 0, false},
		{"= b", "", "", 0, false},
		{"a b = c", "", "", 0, false},
		{"", "", "", 0, false},
	}
	for _, tt := range tests {
		field, expression, at, ok := SplitRule(tt.rule)
		if field != tt.field || expression != tt.expression || at != tt.at || ok != tt.ok {
			t.Errorf("%q: %q %q %d %v", tt.rule, field, expression, at, ok)
		}
	}
}

// All six rule and condition forms of the founding text can be evaluated.
func TestFoundingExpressions(t *testing.T) {
	count := 0
	for _, name := range missionExamples {
		for _, r := range example(t, name).BusinessRules {
			for _, code := range []string{r.Condition, func() string { _, e, _, _ := SplitRule(r.Rule); return e }()} {
				if code == "" {
					continue
				}
				count++
				if err := CheckExpression(code); err != nil {
					t.Errorf("%s: %v", code, err)
				}
			}
		}
	}
	if count != 6 {
		t.Errorf("%d expressions", count)
	}
}

func TestNearest(t *testing.T) {
	words := []string{"service", "direction", "systems", "syncConfig", "description", "workflows"}
	for word, want := range map[string]string{"direcion": "direction", "sync_config": "syncConfig", "Systems": "systems", "system": "systems", "desc": "description", "dircetion": "direction", "zzz": "", "": "", "workflow": "workflows"} {
		if got := nearest(word, words); got != want {
			t.Errorf("%q: %q", word, got)
		}
	}
}
