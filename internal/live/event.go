// SPDX-License-Identifier: Apache-2.0

package live

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Event is something that browsers and programs are told as it happens.
type Event struct {
	ID      string // opaque, in commit order: what a reader gives back as Last-Event-ID
	At      time.Time
	Type    string // "run.progress"; the words are listed in docs/events.md
	Service uuid.UUID
	Data    json.RawMessage
}
