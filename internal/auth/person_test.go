// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"strings"
	"testing"
	"time"
)

func TestTidyEmail(t *testing.T) {
	for in, want := range map[string]string{
		"ada@example.com": "ada@example.com", "  Ada.L+x@Mail.Example.com ": "Ada.L+x@Mail.Example.com", "demo@localhost": "demo@localhost",
		"ada": "", "ada@": "", "@example.com": "", "Ada <ada@example.com>": "", "ada@example": "", "a@b.c\n": "a@b.c", "a\x00@example.com": "",
		strings.Repeat("a", 250) + "@example.com": "", "": "", "ada@.com.": "",
	} {
		got, bad := tidyEmail(in)
		if (len(bad) == 0) != (want != "") || len(bad) == 0 && got != want {
			t.Errorf("%q became %q, %v; want %q", in, got, bad, want)
		}
	}
}

func TestCheckPassword(t *testing.T) {
	for password, ok := range map[string]bool{
		"correct horse battery": true, "kJ8#mP2$qL": true, "ёлки-палки-лес": true, "4829104737": true,
		"short": false, "aaaaaaaaaaaa": false, "1234567890": false, "qwertyuiop": false, "password123!": false, "Welcome2026": false,
		"ada.lovelace@example.com": false, "ada.lovelace1815": false, strings.Repeat("x1y2", 300): false, "abababababab": false,
	} {
		if bad := checkPassword(password, "Ada.Lovelace@example.com", "/password"); (len(bad) == 0) != ok {
			t.Errorf("%q: %v", password, bad)
		}
	}
}

func TestSlug(t *testing.T) {
	for in, want := range map[string]string{
		"Café Ünal & Co.": "cafe-unal-co", "ACME": "acme", "  --  ": "tenant", "日本": "tenant", "a b  c": "a-b-c",
		strings.Repeat("long ", 20): "long-long-long-long-long-long-long-long",
	} {
		if got := slug(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

// The same work is done for people who do not exist.
func TestHasherDecoyTakesAsLong(t *testing.T) {
	h := newHasher(PasswordCost{Memory: 8 * 1024, Iterations: 2})
	hash, err := h.hash(t.Context(), "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	// The least of several, taken in turns, so that a busy machine is busy for both.
	known, unknown := time.Hour, time.Hour
	for range 12 {
		for least, hash := range map[*time.Duration]string{&known: hash, &unknown: ""} {
			start := time.Now()
			if match, _, err := h.check(t.Context(), "wrong", hash); match || err != nil {
				t.Fatalf("match %v, %v", match, err)
			}
			*least = min(*least, time.Since(start))
		}
	}
	if unknown < known/3 || unknown > known*3 {
		t.Errorf("a wrong password takes %v, an unknown person %v", known, unknown)
	}
	if match, outdated, err := h.check(t.Context(), "correct horse battery", hash); !match || outdated || err != nil {
		t.Errorf("the right password: match %v, outdated %v, %v", match, outdated, err)
	}
	harder := newHasher(PasswordCost{Memory: 8 * 1024, Iterations: 3})
	if match, outdated, err := harder.check(t.Context(), "correct horse battery", hash); !match || !outdated || err != nil {
		t.Errorf("at a higher cost: match %v, outdated %v, %v", match, outdated, err)
	}
}
