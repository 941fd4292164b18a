// SPDX-License-Identifier: Apache-2.0

// Package transport is the one way in which connectors speak HTTP: budgets per vendor account and operation, Retry-After, a
// brake on what is left of a quota, a breaker, bounded answers, and a redacted recording of what was said.
//
// What several connections of one vendor account use up, they share, so budgets are kept in a Pool by account and not in a
// Client. The guard against private addresses is in the Dial that a Client is given; redirects are not followed.
package transport
