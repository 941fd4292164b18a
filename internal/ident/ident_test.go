// SPDX-License-Identifier: Apache-2.0

package ident

import (
	"bytes"
	"sort"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestRoundTripKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) uuid.UUID {
			return uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, name))
		}
		a, b := draw("a"), draw("b")
		sa, sb := Format(Service, a), Format(Service, b)
		back, err := Parse(Service, sa)
		if err != nil || back != a {
			t.Fatalf("%s came back as %v, %v", sa, back, err)
		}
		if (bytes.Compare(a[:], b[:]) < 0) != (sort.StringsAreSorted([]string{sa, sb}) && sa != sb) {
			t.Fatalf("%s and %s are not in the order of their ids", sa, sb)
		}
	})
}

func TestParseRefuses(t *testing.T) {
	good := Format(Run, uuid.Must(uuid.NewV7()))
	for name, s := range map[string]string{
		"another prefix":  "svc" + good[3:],
		"too short":       good[:len(good)-1],
		"too long":        good + "0",
		"letter u":        good[:len(good)-1] + "u",
		"empty":           "",
		"a bare uuid":     uuid.NewString(),
		"only the prefix": "run_",
	} {
		if _, err := Parse(Run, s); err == nil {
			t.Errorf("%s: %q was accepted", name, s)
		}
	}
}
