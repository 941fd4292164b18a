// SPDX-License-Identifier: Apache-2.0

package sftp

import "time"

// Impatient takes the holder of a lock for dead so soon.
func Impatient(d time.Duration) Connector { return Connector{abandoned: d} }
