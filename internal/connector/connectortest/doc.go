// SPDX-License-Identifier: Apache-2.0

// Package connectortest is the conformance suite that every connector passes, with an in-memory system for tests of
// what stands above connectors.
//
// Memory is a connector whose system lives in the process: deterministic, fast, with users' edits and faults on demand.
// Run takes a Harness, which says how to reach a system behind the connector's back, and holds the connector to the
// contract of package connector.
package connectortest
