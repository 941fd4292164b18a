// SPDX-License-Identifier: Apache-2.0

package localdb

import (
	"crypto/rand"
	"encoding/hex"
	"maps"
	"slices"
)

// Options say where and how a private server runs.
type Options struct {
	// Dir is the directory of this one server; it is made when absent. Two kinds of server never share one.
	Dir string

	// Port on 127.0.0.1. 0 takes the port of the last start when it is free, else any free one. A port stated here
	// that is busy is a fault (localdb.port_busy).
	Port int

	// Durable makes commits survive a crash of the machine (fsync). Without it commits still survive a crash of the
	// server, which is enough for tests and much quicker.
	Durable bool

	// Ephemeral removes Dir once the server has been stopped or the owner has died.
	Ephemeral bool

	// MaxConnections is the number of clients served at once; 0 is 100.
	MaxConnections int

	// Settings are further server settings by their own names; they win over ours.
	Settings map[string]string
}

func (o Options) connections() int {
	if o.MaxConnections > 0 {
		return o.MaxConnections
	}
	return 100
}

// A setting is one line of a server's configuration. Order is kept so that files and command lines are stable.
type setting struct{ name, value string }

// with returns the settings with the caller's own laid over them.
func with(base []setting, own map[string]string) []setting {
	out := slices.DeleteFunc(slices.Clone(base), func(s setting) bool { _, replaced := own[s.name]; return replaced })
	for _, name := range slices.Sorted(maps.Keys(own)) {
		out = append(out, setting{name, own[name]})
	}
	return out
}

// newPassword returns 128 random bits in hexadecimal, so that it needs no quoting in SQL, URLs or files.
func newPassword() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}
