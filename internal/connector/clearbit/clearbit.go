// SPDX-License-Identifier: Apache-2.0

// Package clearbit is the connector of Clearbit's lookups, a manifest, and a simulator of the account it speaks to.
package clearbit

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
