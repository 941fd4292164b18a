// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package localdb

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// outliveNot has no counterpart here: a server left behind is stopped by the next start in its directory.
func outliveNot(*syscall.SysProcAttr, syscall.Signal) {}

// processesIn returns the server that the pid file names, if that process is one and works for dir.
func processesIn(dir, pidFile string) []int {
	pid := firstPID(pidFile)
	if pid == 0 {
		return nil
	}
	out, err := exec.Command("ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil || !strings.Contains(string(out), dir) {
		return nil
	}
	return []int{pid}
}

// flush writes what initdb and its like left in memory to disk.
func flush(string) { _ = unix.Sync() }
