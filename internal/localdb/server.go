// SPDX-License-Identifier: Apache-2.0

package localdb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/syncline-dev/syncline/internal/fault"
)

// How long a server may take when the caller's context has no deadline. Both are far beyond what is normal (well under
// a second): a start may have to recover after a crash, a stop to write down a large cache.
const (
	startPatience = 2 * time.Minute
	stopPatience  = 20 * time.Second
)

// A kind is what differs between PostgreSQL and MariaDB.
type kind interface {
	name() string
	prepare(ctx context.Context) error        // makes the data directory when there is none
	command(port int) (*exec.Cmd, error)      // writes the configuration and says how to start
	ping(ctx context.Context, port int) error // nil once the server answers and is ours
	pidFile() string                          // of the running server
	signals() (stop, abort syscall.Signal)    // write everything down; end at once and recover later
	complaint(log string) complaint           // why it did not start
}

// A complaint is a reason for not starting that we can do something about.
type complaint int

const (
	other     complaint = iota
	portTaken           // somebody was quicker
	orphans             // processes of a killed server still hold its memory
)

// server is one private server of either kind.
type server struct {
	home *home
	opts Options
	kind kind

	mu       sync.Mutex // held by start, stop, kill and restart
	proc     *process
	port     int
	unwatch  func()
	released bool
}

// running holds every server that has not been stopped. A caller may forget its handle, as a helper of tests does; were
// the server collected then, its lock and the pipe of its watch would be closed under it.
var running sync.Map

// open starts the server for the first time in this process.
func (s *server) open(ctx context.Context) (err error) {
	running.Store(s, true)
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		if err != nil {
			s.letGo()
		}
	}()
	if s.opts.Ephemeral {
		if s.unwatch, err = watchOver(s.kind.pidFile(), s.home.base, s.home.dir); err != nil {
			return fmt.Errorf("watching over the temporary %s: %w", s.kind.name(), err)
		}
	}
	if err := s.endLeftovers(ctx); err != nil {
		return err
	}
	if err := s.kind.prepare(ctx); err != nil {
		return err
	}
	return s.start(ctx)
}

// endLeftovers stops a server that an owner before us left running in this directory. We hold the lock, so nobody
// needs it any more.
func (s *server) endLeftovers(ctx context.Context) error {
	stop, _ := s.kind.signals()
	find := func() []int {
		// Only the server itself is told; what it forked ends with it, unless it is gone already.
		all := processesIn(s.home.data(), s.kind.pidFile())
		for _, pid := range all {
			if pid == firstPID(s.kind.pidFile()) {
				return []int{pid}
			}
		}
		return all
	}
	if len(find()) == 0 {
		return nil
	}
	return endAll(ctx, find, stop, stopPatience)
}

// start brings the server up, on another port if that is open to us and the first one is taken.
func (s *server) start(ctx context.Context) error {
	ctx, cancel := withPatience(ctx, startPatience)
	defer cancel()
	var last string
	for range 6 {
		port, err := s.choosePort()
		if err != nil {
			return err
		}
		// A pid file without its process is stale, even when the number has been given to somebody else since.
		if len(processesIn(s.home.data(), s.kind.pidFile())) == 0 {
			if err := os.Remove(s.kind.pidFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
				return unusable(err, s.home.data())
			}
		}
		log, err := s.launch(port)
		if err != nil {
			return err
		}
		last, err = s.awaitReady(ctx, port, log)
		if err == nil {
			s.port = port
			return s.home.write("port", strconv.Itoa(port)+"\n")
		}
		if ctx.Err() != nil {
			return err
		}
		switch s.kind.complaint(last) {
		case portTaken:
			if s.opts.Port != 0 {
				return portBusy(s.opts.Port)
			}
			s.port = 0
		case orphans:
			// Their server is dead, so there is nothing left for them to save.
			find := func() []int { return processesIn(s.home.data(), s.kind.pidFile()) }
			if err := endAll(ctx, find, syscall.SIGKILL, 0); err != nil {
				return err
			}
		default:
			return err
		}
	}
	return startFailed(nil, s, last)
}

// launch starts the process and returns where in the log its own lines begin.
func (s *server) launch(port int) (int64, error) {
	cmd, err := s.kind.command(port)
	if err != nil {
		return 0, err
	}
	log, offset, err := s.openLog()
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	stop, abort := s.kind.signals()
	farewell := stop
	if s.opts.Ephemeral {
		farewell = abort
	}
	if s.proc, err = startProcess(cmd, farewell); err != nil {
		return 0, startFailed(err, s, "")
	}
	return offset, nil
}

// openLog opens the server's log for appending; one that has grown large begins anew.
func (s *server) openLog() (*os.File, int64, error) {
	path := s.home.file("server.log")
	if info, err := os.Stat(path); err == nil && info.Size() > 8<<20 {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, 0, unusable(err, s.home.dir)
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, 0, unusable(err, s.home.dir)
	}
	offset, err := f.Seek(0, 2)
	if err != nil {
		f.Close()
		return nil, 0, unusable(err, s.home.dir)
	}
	return f, offset, nil
}

// awaitReady asks the server until it answers. If it ends instead, its own words are returned.
func (s *server) awaitReady(ctx context.Context, port int, offset int64) (string, error) {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := s.kind.ping(attempt, port)
		cancel()
		if !s.proc.alive() {
			said := tail(s.home.file("server.log"), offset, 12)
			return said, startFailed(s.proc.err, s, said)
		}
		if err == nil {
			return "", nil
		}
		if fault.As(err) != nil {
			// Waiting will not help.
			s.halt(context.WithoutCancel(ctx), patienceOf(ctx))
			return "", err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.proc.done:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			s.halt(context.WithoutCancel(ctx), 0)
			said := tail(s.home.file("server.log"), offset, 12)
			return said, startFailed(errors.Join(context.Cause(ctx), err), s, said)
		}
	}
}

// choosePort returns the port to try: the one asked for, else the last one if it is free, else any.
func (s *server) choosePort() (int, error) {
	if s.opts.Port != 0 {
		if !portFree(s.opts.Port) {
			return 0, portBusy(s.opts.Port)
		}
		return s.opts.Port, nil
	}
	last := s.port
	if last == 0 {
		last, _ = strconv.Atoi(s.home.read("port"))
	}
	if last > 0 && portFree(last) {
		return last, nil
	}
	// Not one of the system's choice: those are also handed to every outgoing connection of the machine, so a server
	// that was killed would often find its port taken when it comes back.
	for range 100 {
		if port := 20_000 + rand.IntN(12_000); portFree(port) {
			return port, nil
		}
	}
	return 0, fault.New(fault.Unavailable, "localdb.port_busy",
		"no free port was found between 20000 and 32000 on 127.0.0.1; stop what occupies them")
}

func portFree(port int) bool {
	l, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(port)) //nolint:noctx // answers at once
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// halt stops the process: cleanly within patience, then at once.
func (s *server) halt(ctx context.Context, patience time.Duration) bool {
	stop, abort := s.kind.signals()
	clean := true
	if patience > 0 {
		s.proc.signal(stop)
		waiting, cancel := context.WithTimeout(ctx, patience)
		clean = s.proc.ended(waiting)
		cancel()
	}
	if s.proc.alive() {
		clean = false
		s.proc.signal(abort)
		waiting, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		if !s.proc.ended(waiting) {
			s.proc.signal(syscall.SIGKILL)
			<-s.proc.done
		}
		cancel()
	}
	return clean
}

func (s *server) stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released {
		return nil
	}
	clean := !s.proc.alive() || s.halt(ctx, patienceOf(ctx))
	s.letGo()
	if !clean {
		return fault.New(fault.Unavailable, "localdb.stop_forced",
			"%s in %s did not finish its clean shutdown in time and was ended at once; nothing committed is lost, "+
				"the next start recovers", s.kind.name(), s.home.dir)
	}
	return nil
}

func (s *server) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc.alive() {
		s.proc.signal(syscall.SIGKILL)
		<-s.proc.done
	}
}

func (s *server) restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released {
		return fault.New(fault.Conflict, "localdb.stopped", "%s in %s was stopped; start it anew", s.kind.name(), s.home.dir)
	}
	if s.proc.alive() {
		s.halt(ctx, patienceOf(ctx))
	}
	return s.start(ctx)
}

// letGo gives up the directory, and removes it when it was only ever temporary.
func (s *server) letGo() {
	if s.released {
		return
	}
	s.released = true
	defer running.Delete(s)
	if s.opts.Ephemeral {
		_ = os.RemoveAll(s.home.base)
		_ = os.RemoveAll(s.home.dir)
	}
	if s.unwatch != nil {
		s.unwatch()
	}
	s.home.release()
}

func (s *server) done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.done
}

func (s *server) processID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.pid
}

func withPatience(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

func patienceOf(ctx context.Context) time.Duration {
	if until, ok := ctx.Deadline(); ok {
		return time.Until(until)
	}
	return stopPatience
}

func portBusy(port int) error {
	return fault.New(fault.Conflict, "localdb.port_busy",
		"port %d on 127.0.0.1 is in use by another program; choose another port, or stop that program", port)
}

func startFailed(err error, s *server, said string) error {
	if said != "" {
		said = "; it said:\n" + indent(said)
	}
	return fault.Wrap(err, fault.Unavailable, "localdb.start_failed",
		"%s in %s did not start (log: %s)%s", s.kind.name(), s.home.dir, filepath.Join(s.home.dir, "server.log"), said)
}

func indent(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") }
