// SPDX-License-Identifier: Apache-2.0

// Package engine carries a service's data: it pulls changes from each system, meets the entities, decides conflicts,
// commits, and brings the other systems up to date.
//
// A worker that holds a service's lease calls Engine.Carry. Within it, a flow runs one puller per object, one sender per
// system and object, and executes queued runs. What a change means is decided by apply.go and send.go, functions of their
// arguments; what is true together is written in one transaction, Tx.SaveIntake or Tx.SaveSettling.
//
// Invariants kept here (ARCHITECTURE.md lists them all):
//
//	1 a cursor moves only with the batch it covers          pull.go: intake
//	2 every change is applied, equal, or a dead letter      apply.go, send.go
//	3 deliveries of one entity to one system go in order    deliver.go: one sender per system and object
//	4 sending twice changes nothing                         doubt.go: what was cut off is found out first
//	5 an echo is not a change                               apply.go: compared with the shadow
//	8 when edits stop, all systems agree                    all of it: converge_test.go
package engine
