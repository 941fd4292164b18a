// SPDX-License-Identifier: Apache-2.0

package tenant

import "github.com/google/uuid"

// MarshalText writes the bare uuid; job arguments carry it.
func (id ID) MarshalText() ([]byte, error) { return uuid.UUID(id).MarshalText() }

// UnmarshalText reads a bare uuid.
func (id *ID) UnmarshalText(b []byte) error { return (*uuid.UUID)(id).UnmarshalText(b) }
