// SPDX-License-Identifier: Apache-2.0

// Package postgres is the connector to PostgreSQL databases: tables become objects, their primary keys the records' keys.
//
// # How changes are seen
//
//   - database-trigger: triggers note the key of each changed row, with its transaction, in a log table in the schema
//     syncline of the source database. Readers join the log with the table, so states are always current.
//   - cdc: logical replication (pgoutput) names the keys; the rows are read from the table.
//   - timestamp: a column such as updated_at is read in its order, again as far back as transactions are open.
//   - hash: the table is swept page by page and compared with a list of hashes kept beside it.
//
// In the first two nothing depends on clocks or sequences: a cursor is a set of transactions that were visible, or a
// position in the log, so that a transaction that stays open for hours neither holds others up nor gets lost.
//
// # How records are written
//
// Set-based, one statement for each kind of write, in one transaction and one round trip, conditional on the expected
// state. A batch with a faulty row is cut into halves until the faulty one is alone.
//
// All statements go to the server unnamed, so that connection poolers in transaction mode can stand in between (but not
// for watching or cdc).
package postgres
