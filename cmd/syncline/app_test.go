// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// What slips into the log is not shown there, whatever form the log has.
func TestTheLogKeepsSecretsOut(t *testing.T) {
	const canary = "c4n4ry"
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log := newLog(config{LogFormat: format}, &out).With("password", canary)
		log.Warn("cannot connect to postgres://sync:"+canary+"@db/stock", "settings", map[string]any{"host": "db", "apiKey": canary},
			"error", errors.New("dial sync:"+canary+"@tcp(db): refused"))
		if got := out.String(); strings.Contains(got, canary) || !strings.Contains(got, "refused") {
			t.Errorf("%s: %s", format, got)
		}
	}
}
