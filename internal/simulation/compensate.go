// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Simulated documents ask for no maximum delay and no compensation, so none of this is called.

// Oldest is not simulated.
func (t *Tx) Oldest(context.Context, service.ID) (time.Time, record.System, error) {
	return time.Time{}, "", nil
}

// Refusals are not simulated.
func (t *Tx) Refusals(context.Context, service.ID, int) ([]engine.DeadLetter, error) { return nil, nil }

// LockEntity is not simulated.
func (t *Tx) LockEntity(context.Context, service.ID, record.EntityID) (*record.Entity, []*engine.Conflict, error) {
	panic("simulation: no document asks for compensation")
}

// SaveCompensated is not simulated.
func (t *Tx) SaveCompensated(context.Context, service.ID, *record.Entity, record.Entry, uuid.UUID, []string) error {
	panic("simulation: no document asks for compensation")
}

// AddUsage is not simulated.
func (t *Tx) AddUsage(context.Context, []billing.UsageEvent) error {
	panic("simulation: no document asks for compensation")
}

// Audit is not simulated.
func (t *Tx) Audit(context.Context, audit.Entry) error {
	panic("simulation: no document asks for compensation")
}
