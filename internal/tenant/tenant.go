// SPDX-License-Identifier: Apache-2.0

// Package tenant is the customer: isolated from all others, and billed.
package tenant

import (
	"time"

	"github.com/google/uuid"
)

// ID names a tenant. It is carried everywhere and bound to every transaction (invariant 7).
type ID uuid.UUID

// String returns the bare uuid, the form the row-level security policies compare with.
func (id ID) String() string { return uuid.UUID(id).String() }

// IsZero says whether no tenant is named.
func (id ID) IsZero() bool { return id == ID{} }

// ParseID reads a bare uuid.
func ParseID(s string) (ID, error) {
	u, err := uuid.Parse(s)
	return ID(u), err
}

// State says whether a tenant may work.
type State string

// The states of a tenant.
const (
	Active    State = "active"
	Suspended State = "suspended" // by an operator; nothing runs, nothing is lost
)

// Tenant is one customer.
type Tenant struct {
	ID        ID
	Name      string
	Slug      string // unique, for addresses
	State     State
	Region    string
	TimeZone  string // IANA name; billing periods and schedules without a zone use it
	Demo      bool   // made by `syncline dev`
	CreatedAt time.Time
	Version   int64
}
