// SPDX-License-Identifier: Apache-2.0

package localdb

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// outliveNot asks the kernel to send sig to the child when we die.
func outliveNot(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }

// processesIn returns the database servers that work in dir: a server changes into its data directory, and what it forks
// stays there. That is surer than a pid file, whose number may belong to somebody else by now. A person's shell may be
// there too, hence the names.
func processesIn(dir, _ string) []int {
	target, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		name, err := os.ReadFile(filepath.Join("/proc", e.Name(), "comm"))
		if err != nil || !slices.Contains([]string{"postgres", "mariadbd", "mysqld"}, strings.TrimSpace(string(name))) {
			continue
		}
		if cwd, err := os.Readlink(filepath.Join("/proc", e.Name(), "cwd")); err == nil && cwd == target {
			pids = append(pids, pid)
		}
	}
	return pids
}

// flush writes what initdb and its like left in memory to the disk that holds dir.
func flush(dir string) {
	f, err := os.Open(dir)
	if err != nil {
		return
	}
	defer f.Close()
	_ = unix.Syncfs(int(f.Fd()))
}
