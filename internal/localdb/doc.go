// SPDX-License-Identifier: Apache-2.0

// Package localdb runs private PostgreSQL and MariaDB servers in a directory of ours, for `syncline dev` and for tests.
//
// A server started here belongs to one process: it listens on loopback only, has a password of its own, and ends when
// its owner ends, however that happens. It never touches a server that already runs on the machine.
//
// # What is where
//
// Options.Dir holds what is ours: the password (0600), the port of the last start, the lock that says who owns the
// directory, and the server's log. Beside them, or under /var/lib/syncline when the server's account cannot reach
// Dir, lie the server's own files: data/ and run/ (the socket).
//
// # How it ends
//
//   - Stop: a fast shutdown that writes everything down.
//   - The owner dies (kill -9 too): on Linux the kernel sends the server the same shutdown signal. Elsewhere the server
//     lives on until the next start in that directory, which stops it first.
//   - Kill, or kill -9 of the server: nothing committed is lost, the next start recovers. Commits are therefore handed
//     to the operating system even when Durable is off; only a crash of the whole machine loses them then.
//
// # Other accounts
//
// PostgreSQL refuses to run as root. When we are root, servers run under an account that exists already (postgres,
// mysql, or nobody) and only the server's own files are handed to it.
package localdb
