// SPDX-License-Identifier: Apache-2.0

// Package killtest runs the program as in production, server, two workers and PostgreSQL as processes of their own, and
// kills them with SIGKILL at random moments while people edit both systems of a service. In the end both systems must be
// equal row for row, and what was metered must be what was really written.
//
//	go test ./internal/killtest                         # a few kills, as in every test run
//	go test ./internal/killtest -kills 100 -timeout 30m # the figure in docs/how-we-test.md (make killtest)
package killtest
