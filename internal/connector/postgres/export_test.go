// SPDX-License-Identifier: Apache-2.0

package postgres

import "time"

// Patient waits for open transactions as long as tests may take that hold some on the same server.
func Patient() Connector { return Connector{2 * time.Minute} }
