// SPDX-License-Identifier: Apache-2.0

package localdb

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
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

// RabbitMQ is a private broker for tests of its connector.
type RabbitMQ struct {
	Port           int // on 127.0.0.1
	User, Password string

	mu    sync.Mutex
	procs []*exec.Cmd
}

// findRabbitMQ returns the broker's script and the directory of its tools, or the fault localdb.rabbitmq_missing.
func findRabbitMQ() (string, error) {
	for _, path := range []string{"/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server", "/usr/local/opt/rabbitmq/sbin/rabbitmq-server"} {
		if executable(path) {
			return path, nil
		}
	}
	return "", fault.New(fault.Unavailable, "localdb.rabbitmq_missing",
		"no RabbitMQ was found (/usr/lib/rabbitmq/bin, Homebrew). Install it, for example with `apt-get install rabbitmq-server` or `brew install rabbitmq`")
}

// StartRabbitMQ starts a broker whose data are in dir, and returns when it answers: some seconds. It ends with this process at
// the latest.
func StartRabbitMQ(ctx context.Context, dir string) (*RabbitMQ, error) {
	script, err := findRabbitMQ()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	r := &RabbitMQ{Port: ports[0], User: "syncline", Password: newPassword()}
	config := fmt.Sprintf("listeners.tcp.1 = 127.0.0.1:%d\ndefault_user = %s\ndefault_pass = %s\nvm_memory_high_watermark.absolute = 256MB\ndisk_free_limit.absolute = 10MB\nlog.console.level = info\n", r.Port, r.User, r.Password)
	for name, text := range map[string]string{"rabbitmq.conf": config, "plugins": "[].\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	env := append(os.Environ(), //nolint:forbidigo // what a child inherits
		"HOME="+dir, "RABBITMQ_NODENAME=syncline"+strconv.Itoa(r.Port)+"@localhost", "RABBITMQ_MNESIA_BASE="+filepath.Join(dir, "data"), "RABBITMQ_LOG_BASE="+filepath.Join(dir, "log"), "RABBITMQ_LOGS=-",
		"RABBITMQ_CONFIG_FILE="+filepath.Join(dir, "rabbitmq.conf"), "RABBITMQ_CONF_ENV_FILE="+os.DevNull, "RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(dir, "plugins"),
		"ERL_EPMD_PORT="+strconv.Itoa(ports[1]), "ERL_EPMD_ADDRESS=127.0.0.1", "RABBITMQ_DIST_PORT="+strconv.Itoa(ports[2]))
	run := func(path string) (*exec.Cmd, *lines, error) {
		// A shell ends its group of processes when its input does: when we are gone, however that came.
		cmd := exec.Command("/bin/sh", "-c", `{ "$0" </dev/null; kill -9 0; } & cat >/dev/null; kill -9 0`, path) //nolint:noctx // outlives the context of its start
		cmd.Env, cmd.Dir, cmd.SysProcAttr = env, dir, &syscall.SysProcAttr{Setpgid: true}
		out := &lines{ready: make(chan struct{})}
		cmd.Stdout, cmd.Stderr = out, out
		if _, err := cmd.StdinPipe(); err != nil {
			return nil, nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, nil, err
		}
		r.procs = append(r.procs, cmd)
		return cmd, out, nil
	}
	// The broker's port mapper would start by itself and stay behind.
	if epmd, err := exec.LookPath("epmd"); err == nil {
		if _, _, err := run(epmd); err != nil {
			return nil, err
		}
	}
	cmd, out, err := run(script)
	if err != nil {
		r.Stop()
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	select {
	case <-out.ready:
		return r, nil
	case err = <-ended:
		err = errors.Join(err, errors.New("the broker ended"))
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	r.Stop()
	return nil, fault.Wrap(err, fault.Unavailable, "localdb.start_failed", "RabbitMQ did not start; it said:\n%s", indent(out.text()))
}

// Stop ends the broker.
func (r *RabbitMQ) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.procs) - 1; i >= 0; i-- {
		if p := r.procs[i].Process; p != nil {
			_ = syscall.Kill(-p.Pid, syscall.SIGKILL) // its group: nothing of it is kept
		}
	}
	r.procs = nil
	time.Sleep(50 * time.Millisecond) // its files can be removed then
}

// lines keep the end of what a program says, and tell when it says that it is ready.
type lines struct {
	mu    sync.Mutex
	tail  lastLines
	rest  []byte
	ready chan struct{}
	said  bool
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.tail.Write(p); err != nil {
		return 0, err
	}
	l.rest = append(l.rest, p...)
	for {
		n, line, err := bufio.ScanLines(l.rest, false)
		if err != nil || n == 0 {
			return len(p), nil
		}
		if bytes.Contains(line, []byte("Server startup complete")) && !l.said {
			l.said = true
			close(l.ready)
		}
		l.rest = l.rest[n:]
	}
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(l.tail.String())
}

// freePorts are ports of 127.0.0.1 that nobody listens on.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
