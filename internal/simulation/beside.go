// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"time"

	"github.com/syncline-dev/syncline/internal/service"
)

// Nobody here asks for runs beside the stream.

// NextBeside finds none.
func (t *Tx) NextBeside(context.Context, service.ID) (r service.Run, place []byte, found bool, err error) {
	return r, nil, false, nil
}

// SavePlace has nothing to write.
func (t *Tx) SavePlace(context.Context, service.RunID, []byte) error { return nil }

// OwedBy has nothing to wait for.
func (t *Tx) OwedBy(context.Context, service.ID, time.Time, time.Time) (due, later int64, err error) {
	return 0, 0, nil
}
