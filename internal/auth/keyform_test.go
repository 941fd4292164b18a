// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/internal/tenant"
)

func TestNewKeysAreOfTheForm(t *testing.T) {
	pattern := regexp.MustCompile(KeyPattern)
	seen := map[KeyText]bool{}
	count := map[byte]int{}
	for i := range 2000 {
		prefix := []string{LivePrefix, TestPrefix}[i%2]
		k := newKeyText(prefix)
		if back, ok := parseKeyText(k.Reveal()); !ok || back != k {
			t.Fatalf("%s is not taken for a key", k.Reveal())
		}
		if m := pattern.FindString("token=" + k.Reveal() + "\n"); m != k.Reveal() {
			t.Fatalf("scanners find %q in %s", m, k.Reveal())
		}
		if seen[k] {
			t.Fatal("the same key twice")
		}
		seen[k] = true
		for _, c := range []byte(k.Reveal()[len(prefix) : len(prefix)+keyRandom]) {
			count[c]++
		}
	}
	// 60,000 characters of 62: about 968 of each, give or take 31. Six times that is never met by chance.
	for i := range len(base62) {
		if n := count[base62[i]]; n < 968-6*31 || n > 968+6*31 {
			t.Errorf("the character %c came %d times of 60,000", base62[i], n)
		}
	}
}

// The check tells every mistake in copying: one character changed, two exchanged, one lost or doubled, and the other prefix.
func TestKeyCheckFindsMistakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := []byte(newKeyText(LivePrefix).Reveal())
		at := rapid.IntRange(0, len(k)-1).Draw(t, "at")
		wrong := append([]byte(nil), k...)
		switch rapid.IntRange(0, 4).Draw(t, "mistake") {
		case 0:
			wrong[at] = rapid.Byte().Draw(t, "by")
		case 1:
			if at > 0 {
				wrong[at-1], wrong[at] = wrong[at], wrong[at-1]
			}
		case 2:
			wrong = append(wrong[:at], wrong[at+1:]...)
		case 3:
			wrong = append(wrong[:at+1], k[at:]...)
		case 4:
			wrong = append([]byte(TestPrefix), k[len(LivePrefix):]...)
		}
		if string(wrong) == string(k) {
			return
		}
		if _, ok := parseKeyText(string(wrong)); ok {
			t.Fatalf("%s was taken for a key; it was %s", wrong, k)
		}
	})
}

// The check as docs/api-keys.md describes it, so that others can compute it: a fixed example.
func TestKeyCheckIsPublished(t *testing.T) {
	const body = LivePrefix + "0123456789ABCDEFGHIJKLMNOPQRST"
	page, err := os.ReadFile("../../docs/api-keys.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{KeyPattern, body + checkOf(body)} {
		if !strings.Contains(string(page), s) {
			t.Errorf("docs/api-keys.md does not hold %s", s)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	key, token := newKeyText(LivePrefix), newInvitationToken(tenant.ID{1})
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("made", "key", key, "token", token)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("made", "key", key, "token", token)
	asJSON, err := json.Marshal(map[string]any{"key": key, "token": token})
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%v %s %+v %#v %q %v", key, key, struct {
		K KeyText
		T Token
	}{key, token}, key, token, token) + logged.String() + string(asJSON)
	if strings.Contains(shown, key.Reveal()[len(LivePrefix):]) || strings.Contains(shown, token.Reveal()) {
		t.Errorf("a secret was printed: %s", shown)
	}
}
