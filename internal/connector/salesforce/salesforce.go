// SPDX-License-Identifier: Apache-2.0

// Package salesforce is the connector of Salesforce, a manifest, and a simulator of the org it speaks to.
package salesforce

import (
	_ "embed"

	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
)

//go:embed manifest.yaml
var source []byte

// New makes the connector.
func New(pool *transport.Pool) *manifest.Connector {
	return manifest.MustNew(source, manifest.Hooks{}, pool)
}
