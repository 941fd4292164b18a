// SPDX-License-Identifier: Apache-2.0

// Package salesforce is the connector of Salesforce, a manifest with one hook, and a simulator of the org it speaks to.
package salesforce

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

//go:embed manifest.yaml
var source []byte

// New makes the connector.
func New(pool *transport.Pool) *manifest.Connector {
	return manifest.MustNew(source, manifest.Hooks{Conditions: map[string]func(map[string]manifest.Field, []record.Fields) any{"soql": conditions}}, pool)
}

// conditions is the WHERE of a search: each query's fields all, any of the queries. SOQL quotes texts and nothing else.
func conditions(fields map[string]manifest.Field, queries []record.Fields) any {
	var any []string
	for _, q := range queries {
		names := make([]string, 0, len(q))
		for name := range q {
			if f, ok := fields[name]; ok && f.Values == nil {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		var all []string
		for _, name := range names {
			all = append(all, name+" = "+literal(fields[name], q[name]))
		}
		if len(all) > 0 {
			any = append(any, "("+strings.Join(all, " AND ")+")")
		}
	}
	return strings.Join(any, " OR ")
}

func literal(f manifest.Field, v record.Value) string {
	if v == nil {
		return "null"
	}
	switch connector.Type(f.Type) {
	case connector.TypeInteger, connector.TypeNumber, connector.TypeFloat, connector.TypeBoolean, connector.TypeTimestamp, connector.TypeDate, connector.TypeTime:
		return record.Text(v)
	}
	return Quote(record.Text(v))
}

// Quote writes a text as SOQL has it.
func Quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s) + "'"
}
