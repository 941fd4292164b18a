// SPDX-License-Identifier: Apache-2.0

package localdb

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/syncline-dev/syncline/internal/fault"
)

// A Software is something Install can bring to this machine.
type Software string

// What Install knows. The values are what install.sh understands.
const (
	PostgreSQL Software = "postgresql"
	MariaDB    Software = "mariadb"
	// RabbitMQServer is for tests of its connector only.
	RabbitMQServer Software = "rabbitmq-server"
)

//go:embed install.sh
var installScript string

// Missing returns what of the software is not here.
func Missing(ctx context.Context, what ...Software) []Software {
	var missing []Software
	for _, w := range what {
		if w.find(ctx) != nil {
			missing = append(missing, w)
		}
	}
	return missing
}

// find returns the fault that says what is missing, or nil.
func (w Software) find(ctx context.Context) error {
	var err error
	switch w {
	case MariaDB:
		_, err = FindMySQL(ctx)
	case RabbitMQServer:
		_, err = findRabbitMQ()
	default:
		_, err = FindPostgres(ctx)
	}
	return err
}

// Install brings what is missing to this machine with apt-get, writing its progress to out, and starts no service. It
// acts only on Debian and Ubuntu, as root or where sudo asks no question; elsewhere it returns the fault of the first
// thing missing, which says what to install (localdb.postgresql_missing, localdb.mysql_missing). It takes from some
// seconds to minutes.
func Install(ctx context.Context, out io.Writer, what ...Software) error {
	missing := Missing(ctx, what...)
	if len(missing) == 0 {
		return nil
	}
	cmd := installer(ctx, missing)
	if cmd == nil {
		return missing[0].find(ctx)
	}
	names := make([]string, len(missing))
	for i, m := range missing {
		names[i] = string(m)
	}
	fmt.Fprintf(out, "Installing %s with apt-get (once; no service is started)\n", strings.Join(names, " and "))
	tail := &lastLines{}
	cmd.Stdout = io.MultiWriter(out, tail)
	cmd.Stderr = cmd.Stdout
	if err := cmd.Run(); err != nil {
		return fault.Wrap(errors.Join(context.Cause(ctx), err), fault.Unavailable, "localdb.install_failed",
			"apt-get could not install %s; it said:\n%s\nInstall it by hand, then start again",
			strings.Join(names, " and "), indent(tail.String()))
	}
	for _, m := range missing {
		if err := m.find(ctx); err != nil {
			return err
		}
	}
	return nil
}

// installer is the command, or nil where we cannot install.
func installer(ctx context.Context, missing []Software) *exec.Cmd {
	if _, err := os.Stat("/etc/debian_version"); err != nil {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return nil
	}
	command := []string{"/bin/sh", "-c", installScript, "install.sh"}
	if os.Geteuid() != 0 {
		if exec.CommandContext(ctx, "sudo", "-n", "true").Run() != nil {
			return nil
		}
		command = append([]string{"sudo", "-n"}, command...)
	}
	for _, m := range missing {
		command = append(command, string(m))
	}
	return exec.CommandContext(ctx, command[0], command[1:]...)
}

// lastLines keeps the end of what is written to it, for the message about a failure.
type lastLines struct{ b []byte }

func (l *lastLines) Write(p []byte) (int, error) {
	l.b = append(l.b, p...)
	if over := len(l.b) - 4096; over > 0 {
		l.b = append(l.b[:0], l.b[over:]...)
	}
	return len(p), nil
}

func (l *lastLines) String() string {
	lines := strings.Split(strings.TrimSpace(string(l.b)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}
