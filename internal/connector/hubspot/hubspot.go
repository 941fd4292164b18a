// SPDX-License-Identifier: Apache-2.0

// Package hubspot is the connector of HubSpot's CRM, a manifest with one hook, and a simulator of the account it speaks to.
package hubspot

import (
	_ "embed"

	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

//go:embed manifest.yaml
var source []byte

// New makes the connector.
func New(pool *transport.Pool) *manifest.Connector {
	return manifest.MustNew(source, manifest.Hooks{Conditions: map[string]func(map[string]manifest.Field, []record.Fields) any{"emails": emails}}, pool)
}

// emails are the inputs of a batch read by address. It sees a contact in the moment it is made, where search lags behind.
func emails(_ map[string]manifest.Field, queries []record.Fields) any {
	var inputs []any
	seen := map[string]bool{}
	for _, q := range queries {
		if v, ok := q["email"].(string); ok && !seen[v] {
			seen[v] = true
			inputs = append(inputs, map[string]any{"id": v})
		}
	}
	return inputs
}
