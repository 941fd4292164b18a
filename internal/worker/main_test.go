// SPDX-License-Identifier: Apache-2.0

package worker_test

import (
	"testing"

	"go.uber.org/goleak"
)

// A worker that was stopped leaves nothing running. The database server of all tests goes on until the process ends.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/syncline-dev/syncline/internal/localdb.startProcess.func1"))
}
