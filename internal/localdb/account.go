// SPDX-License-Identifier: Apache-2.0

package localdb

import (
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"

	"github.com/syncline-dev/syncline/internal/fault"
)

// An account is the operating system user a server runs as. The zero account is ourselves.
type account struct {
	name     string
	uid, gid int
	other    bool // not ourselves: files must be handed over, and processes started with its credential
}

// serverAccount picks the account: ourselves, or, when we are root, the first of the names that exists.
func serverAccount(names ...string) (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	for _, name := range append(names, "nobody") {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 != nil || err2 != nil || uid == 0 {
			continue
		}
		return account{name: name, uid: uid, gid: gid, other: true}, nil
	}
	return account{}, fault.New(fault.Unavailable, "localdb.no_account",
		"database servers refuse to run as root, and none of the accounts %v and nobody exists; "+
			"create one (useradd --system postgres) or start as another user", names)
}

// attributes are those of a child that is ours alone: in a process group of its own, so that Ctrl-C in the terminal
// reaches us and not the server, which we stop when we are ready for it.
func (a account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a.other {
		// The ids come from the user database and fit 32 bits.
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attr
}

// own hands path to the account.
func (a account) own(path string) error {
	if !a.other {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

// reaches says whether the account can work in dir. It tries instead of computing, so that access lists and odd file
// systems are answered rightly too.
func (a account) reaches(dir string) bool {
	cmd := exec.Command("/bin/sh", "-c", `cd "$1" && : > .reach && rm .reach`, "sh", dir) //nolint:noctx // a blink
	cmd.SysProcAttr = a.attributes()
	cmd.Env = serverEnvironment()
	cmd.Dir = "/"
	return cmd.Run() == nil
}

// serverEnvironment is what servers and their programs see. Nothing is inherited: PGDATA, PGPORT, MYSQL_HOME and the
// like of the surrounding shell would lead them to somebody else's server.
func serverEnvironment() []string {
	path := os.Getenv("PATH")
	if path == "" {
		path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
	}
	// initdb tries out every time zone file unless it is told the zone; that alone is a third of its time.
	return []string{"PATH=" + path, "LC_ALL=C", "TZ=UTC", "HOME=/"}
}
