// SPDX-License-Identifier: Apache-2.0

package web

import (
	"slices"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/web/ui"
)

// titleFields are the names by which records are called, the best first; compared without case and underscores.
var titleFields = []string{"title", "name", "fullname", "displayname", "subject", "summary", "email", "sku", "number"}

// titleOf is what people call a record: a field that reads like a name, else its match key, else a key in a system.
func titleOf(e *record.Entity) string {
	if t := titleIn(e.Fields); t != "" {
		return t
	}
	if e.MatchKey != "" {
		return keyText(e.MatchKey)
	}
	for _, system := range systemsOf(e) {
		return string(e.Links[system].Key)
	}
	return "record"
}

func titleIn(fields record.Fields) string {
	for _, want := range titleFields {
		for name, v := range fields {
			if strings.ReplaceAll(strings.ToLower(name), "_", "") != want {
				continue
			}
			if t := record.Text(v); v != nil && t != "" {
				return t
			}
		}
	}
	return ""
}

// keyText shows a match key, which is the JSON list of the match fields' values, as people write it.
func keyText(key string) string {
	if !strings.HasPrefix(key, "[") {
		return key // a single field, as text
	}
	v, err := record.ParseJSON([]byte(key))
	if err != nil {
		return key
	}
	list, ok := v.([]any)
	if !ok {
		return record.Text(v)
	}
	parts := make([]string, len(list))
	for i, p := range list {
		parts[i] = record.Text(p)
	}
	return strings.Join(parts, ", ")
}

// systemsOf lists the systems that hold a copy, by name.
func systemsOf(e *record.Entity) []record.System {
	var out []record.System
	for s := range e.Links {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

// moneyOf shows an amount.
func moneyOf(m billing.Money) ui.Money {
	return ui.Money{Amount: m.Fixed(), Currency: strings.ToUpper(string(m.Currency))}
}

// shown is a value as people see it.
func shown(v record.Value) ui.Value {
	if v == nil {
		return ui.Value{Null: true}
	}
	return ui.Value{Text: record.Text(v)}
}

// timeOf is a time that may be missing; the zero time then.
func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
