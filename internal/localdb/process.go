// SPDX-License-Identifier: Apache-2.0

package localdb

import (
	"context"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is a started child. done is closed when it has ended.
type process struct {
	pid  int
	done chan struct{}
	err  error // of Wait; read it after done
}

// startProcess starts cmd so that it gets the signal farewell when we die.
func startProcess(cmd *exec.Cmd, farewell syscall.Signal) (*process, error) {
	outliveNot(cmd.SysProcAttr, farewell)
	p := &process{done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel sends the signal when the *thread* that started the child ends, not only when the process does.
		// So the thread belongs to this goroutine alone, and the goroutine lives as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) alive() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal tells the process; one that has ended already is no error, because that is what signals here are for.
func (p *process) signal(sig syscall.Signal) {
	if p.alive() {
		_ = syscall.Kill(p.pid, sig)
	}
}

// ended waits for the end and says whether it came.
func (p *process) ended(ctx context.Context) bool {
	select {
	case <-p.done:
		return true
	case <-ctx.Done():
		return !p.alive()
	}
}

// endAll ends processes that are not our children, such as those an earlier owner left behind: with sig, and by force
// when that has not helped after patience.
func endAll(ctx context.Context, find func() []int, sig syscall.Signal, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	told := map[int]bool{}
	for {
		pids := find()
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if time.Now().After(deadline) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			} else if !told[pid] {
				told[pid] = true
				_ = syscall.Kill(pid, sig)
			}
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// pause lets the other side move on between two looks at it.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// watchOver starts a small shell that waits until we are gone, however we went, then ends the server named in pidFile
// and removes the directories. It learns of our end from the pipe that only we hold open. The returned function ends
// the watch.
func watchOver(pidFile string, dirs ...string) (func(), error) {
	const script = `
trap '' INT TERM HUP
cat >/dev/null
pidfile=$1; shift
pid=$(head -n 1 "$pidfile" 2>/dev/null)
case $pid in ''|*[!0-9]*) ;; *)
  kill -QUIT "$pid" 2>/dev/null
  i=0
  while kill -0 "$pid" 2>/dev/null && [ $i -lt 100 ]; do i=$((i+1)); sleep 0.05; done
  kill -KILL "$pid" 2>/dev/null ;;
esac
rm -rf -- "$@"`
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh", pidFile}, dirs...)...) //nolint:noctx // outlives us, on purpose
	cmd.SysProcAttr = account{}.attributes()
	cmd.Env = serverEnvironment()
	cmd.Dir = "/"
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		in.Close()
		_ = cmd.Wait()
	}, nil
}

// tail returns the last lines of what was written to the file from offset on.
func tail(path string, offset int64, lines int) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, offset, 1<<20))
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// firstPID reads the process id in the first line of a pid file; 0 when there is none.
func firstPID(path string) int {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid <= 1 {
		return 0
	}
	return pid
}
