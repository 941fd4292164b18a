// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// The simulated services have no lookup services.

// PendingLookups is never asked for anything.
func (t *Tx) PendingLookups(context.Context, service.ID, *engine.Lookup, []record.System, int) (engine.Pending, error) {
	return engine.Pending{}, nil
}

// LockLookups is never asked for anything.
func (t *Tx) LockLookups(context.Context, engine.Guard, *engine.Lookup, []record.EntityID) (map[record.EntityID]bool, error) {
	return nil, nil
}

// SaveLookups is never asked for anything.
func (t *Tx) SaveLookups(context.Context, engine.Guard, *engine.Source, []engine.LookupRow, engine.LookupCount) error {
	return nil
}

// NoteSource is never asked for anything.
func (t *Tx) NoteSource(context.Context, engine.Guard, *engine.Source, engine.LookupCount, string, string) error {
	return nil
}

// Shapes finds none: the simulated systems keep their fields.
func (t *Tx) Shapes(context.Context, service.ID) ([]engine.Shape, []engine.ShapeChange, error) {
	return nil, nil, nil
}

// SaveShapes keeps none.
func (t *Tx) SaveShapes(context.Context, engine.Guard, engine.Reshaping) error { return nil }
