// SPDX-License-Identifier: Apache-2.0

// Package simulation runs the engine, the scheduler and the workers as they are, on an in-memory store and between
// in-memory systems, by a virtual clock, with trouble of every kind, and checks the invariants of ARCHITECTURE.md. One
// seed decides everything: what is built, who edits what, who goes on next, what fails. The same seed gives the same run.
//
//	Gate      lets the goroutines of a run go on one at a time
//	Store     our database: transactions, row locks, leases, the queue; the same answers as internal/store, which a
//	          test holds it to (TestStoreIsTheStore)
//	outside   a customer's system as a connector shows it, with its troubles
//	mixed     systems of five kinds in one service, with their connectors' own code where it needs no network
//	run       one seed: the scenario, the people, the accidents
//	check     what must be true at each commit and in the end
//
// How a run is made repeatable: all goroutines live in one testing/synctest bubble, so time passes only when all of them
// wait, and timers fire in an order that depends on nothing else. Each of them stops at the gate when it was woken
// (engine.Engine.Woke) and, by the seed's choice, before and after each call to the store or to a system. Whoever
// holds the gate is the only one that works. A new wait in the engine must be followed by woke, and may not choose at random between
// two things that are both there; TestSeedReplays fails otherwise.
//
// That the checks look is tested, too: TestChecksFind breaks one thing after the other between the engine and what it works on, and each
// must be found.
//
// Something new in the engine.Tx interface belongs into Store too: first as it is, and with the locks it takes.
package simulation
