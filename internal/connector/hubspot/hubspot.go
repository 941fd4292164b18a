// SPDX-License-Identifier: Apache-2.0

// Package hubspot is the connector of HubSpot's CRM, a manifest, and a simulator of the account it speaks to.
package hubspot

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
