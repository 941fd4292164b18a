// SPDX-License-Identifier: Apache-2.0

// Package engine carries a service's data: it pulls changes from each system, meets the entities, decides conflicts and
// commits, and has package delivery bring the other systems up to date.
//
// A worker that holds a service's lease calls Engine.Carry. Within it, a flow runs one puller per object, one sender per
// system, and executes queued runs. What a change means is decided by apply.go, a function of its arguments; what is true
// together is written in one transaction by commit.go.
//
// Invariants kept here (ARCHITECTURE.md lists them all):
//
//	1 a cursor moves only with the batch it covers          commit.go
//	2 every change is applied, equal, or a dead letter      apply.go
//	3 deliveries of one entity to one system go in order    flow.go: one sender per system
//	5 an echo is not a change                               apply.go: compared with the shadow
package engine
