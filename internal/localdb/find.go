// SPDX-License-Identifier: Apache-2.0

package localdb

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/syncline-dev/syncline/internal/fault"
)

// PostgresBinaries are one installed PostgreSQL.
type PostgresBinaries struct {
	Dir   string // holds initdb and postgres
	Major int    // 15
}

// MySQLBinaries are one installed MariaDB or MySQL server.
type MySQLBinaries struct {
	Server  string // path of mariadbd or mysqld
	MariaDB bool   // otherwise Oracle's MySQL
	Version string // "10.11.19-MariaDB"
}

// Oldest PostgreSQL that our schema and logical decoding (pgoutput version 2) work with.
const minPostgres = 14

// FindPostgres returns the installed PostgreSQL versions that we can run, newest first, or the fault
// localdb.postgresql_missing.
func FindPostgres(ctx context.Context) ([]PostgresBinaries, error) {
	var dirs []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
		"/usr/pgsql-*/bin",                  // the project's own RPMs
		"/opt/homebrew/opt/postgresql*/bin", // Homebrew on Apple silicon
		"/usr/local/opt/postgresql*/bin",    // Homebrew on Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		found, _ := filepath.Glob(pattern) // the only error is a bad pattern
		dirs = append(dirs, found...)
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		// A link leads to the directory that has the other programs too.
		if target, err := filepath.EvalSymlinks(path); err == nil {
			path = target
		}
		dirs = append(dirs, filepath.Dir(path))
	}
	var all []PostgresBinaries
	seen := map[string]bool{}
	for _, dir := range dirs {
		if target, err := filepath.EvalSymlinks(dir); err == nil {
			dir = target
		}
		if seen[dir] || !executable(filepath.Join(dir, "initdb")) || !executable(filepath.Join(dir, "postgres")) {
			continue
		}
		seen[dir] = true
		if major := postgresMajor(ctx, dir); major >= minPostgres {
			all = append(all, PostgresBinaries{Dir: dir, Major: major})
		}
	}
	if len(all) == 0 && ctx.Err() != nil {
		return nil, context.Cause(ctx) // nothing was really asked
	}
	if len(all) == 0 {
		return nil, fault.New(fault.Unavailable, "localdb.postgresql_missing",
			"no PostgreSQL %d or newer was found (PATH, /usr/lib/postgresql, Homebrew). Install it, for example with "+
				"`apt-get install postgresql` or `brew install postgresql`, or set DATABASE_URL to a server of yours", minPostgres)
	}
	slices.SortStableFunc(all, func(a, b PostgresBinaries) int { return cmp.Compare(b.Major, a.Major) })
	return all, nil
}

var versionNumber = regexp.MustCompile(`\d+(\.\d+)*\S*`)

// postgresMajor asks the directory's name first, because starting a program only to ask it costs 20 ms.
func postgresMajor(ctx context.Context, dir string) int {
	if m, err := strconv.Atoi(filepath.Base(filepath.Dir(dir))); err == nil {
		return m
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0
	}
	major, _, _ := strings.Cut(versionNumber.FindString(string(out)), ".")
	m, _ := strconv.Atoi(strings.TrimRight(major, "abcdefghijklmnopqrstuvwxyz"))
	return m
}

// FindMySQL returns the MariaDB or MySQL server installed here, MariaDB first, or the fault localdb.mysql_missing.
func FindMySQL(ctx context.Context) (MySQLBinaries, error) {
	var candidates []string
	for _, name := range []string{"mariadbd", "mysqld"} {
		if path, err := exec.LookPath(name); err == nil {
			candidates = append(candidates, path)
		}
		// The sbin directories are often missing from an ordinary user's PATH.
		for _, dir := range []string{
			"/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/local/libexec",
			"/opt/homebrew/opt/mariadb/bin", "/opt/homebrew/opt/mysql/bin",
			"/usr/local/opt/mariadb/bin", "/usr/local/opt/mysql/bin", "/usr/local/mysql/bin",
		} {
			candidates = append(candidates, filepath.Join(dir, name))
		}
	}
	for _, path := range candidates {
		if !executable(path) {
			continue
		}
		out, err := exec.CommandContext(ctx, path, "--no-defaults", "--version").Output()
		if err != nil {
			continue
		}
		_, version, ok := strings.Cut(string(out), "Ver ")
		if !ok {
			continue
		}
		version, _, _ = strings.Cut(strings.TrimSpace(version), " ")
		return MySQLBinaries{Server: path, MariaDB: strings.Contains(version, "MariaDB"), Version: version}, nil
	}
	if ctx.Err() != nil {
		return MySQLBinaries{}, context.Cause(ctx) // nothing was really asked
	}
	return MySQLBinaries{}, fault.New(fault.Unavailable, "localdb.mysql_missing",
		"no MariaDB or MySQL server was found (PATH, /usr/sbin, Homebrew). Install it, for example with "+
			"`apt-get install mariadb-server` or `brew install mariadb`")
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
