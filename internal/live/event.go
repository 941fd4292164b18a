// SPDX-License-Identifier: Apache-2.0

package live

import "github.com/syncline-dev/syncline/internal/notify"

// Event is something that browsers and programs are told as it happens.
type Event = notify.Event
