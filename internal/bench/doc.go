// SPDX-License-Identifier: Apache-2.0

// Package bench measures the path of data from PostgreSQL to PostgreSQL against the best that others do, in one run on one
// machine, and reports ratios: server and worker are processes as in production, with everything switched on (both
// directions, conflict detection, journal, metering, row-level security). docs/how-we-test.md has the table.
//
//	make bench-sync                                  # the table of the README (a million rows; some minutes)
//	make bench-sync BENCH="-rows 50000 -updates 20000 -samples 100"   # a short run
//	make bench-sync BENCH="-measure first,steady"    # some rows of it
package bench
