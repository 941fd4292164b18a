// SPDX-License-Identifier: Apache-2.0

// Package sandbox is the kit that simulators of vendors are written with: state, clock, tokens that end, limits, latency, faults
// by script, and webhooks that get lost or come twice.
//
// A Vendor is the part that differs: its addresses and quirks. A Server is one account at that vendor; it answers in process
// (as a RoundTripper) or over HTTP (as a Handler), and its state can be kept and loaded again.
package sandbox
