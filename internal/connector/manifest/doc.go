// SPDX-License-Identifier: Apache-2.0

// Package manifest makes connectors of manifests: documents that say in data how a system is spoken to.
//
// Parse reads and checks one; New makes the connector. What data cannot say is a hook: a Go function with a name, by which the
// manifest says where data ends. Everything goes over package transport.
package manifest
