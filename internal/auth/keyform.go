// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"strings"
)

// The form of an API key: a prefix, 30 random characters, and 6 that check everything before them. Secret scanners find it
// with KeyPattern and tell a real one from a look-alike by the check, without asking us. docs/api-keys.md publishes both.
const (
	LivePrefix = "sl_live_"
	TestPrefix = "sl_test_" // for the sandbox
	KeyPattern = `\bsl_(live|test)_[0-9A-Za-z]{36}\b`

	keyRandom = 30 // characters of 62: 178 bits
	keyCheck  = 6  // characters that hold a CRC-32
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// A KeyText is a whole API key. It prints as its prefix only, so that it cannot slip into a log.
type KeyText string

// String hides the key.
func (k KeyText) String() string {
	if len(k) < len(LivePrefix) {
		return "***"
	}
	return string(k[:len(LivePrefix)]) + "***"
}

// GoString hides the key.
func (k KeyText) GoString() string { return k.String() }

// MarshalText hides the key from JSON and logs alike.
func (k KeyText) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Reveal returns the key itself, to be shown once.
func (k KeyText) Reveal() string { return string(k) }

// hash is what the database knows of the key.
func (k KeyText) hash() []byte {
	sum := sha256.Sum256([]byte(k))
	return sum[:]
}

// lastFour are shown to tell keys apart. They belong to the check, so they narrow the 178 random bits down to no fewer than 154.
func (k KeyText) lastFour() string { return string(k[len(k)-4:]) }

// newKeyText makes a random key.
func newKeyText(prefix string) KeyText {
	var b strings.Builder
	b.WriteString(prefix)
	var draw [64]byte
	for n := 0; n < keyRandom; {
		rand.Read(draw[:])
		for _, c := range draw {
			// Only what divides evenly, so that no character is likelier than another.
			if c < 4*62 && n < keyRandom {
				b.WriteByte(base62[c%62])
				n++
			}
		}
	}
	return KeyText(b.String() + checkOf(b.String()))
}

// checkOf is the CRC-32 (IEEE) of the text in 6 characters of base62, zeros in front.
func checkOf(text string) string {
	sum := crc32.ChecksumIEEE([]byte(text))
	var out [keyCheck]byte
	for i := keyCheck - 1; i >= 0; i-- {
		out[i] = base62[sum%62]
		sum /= 62
	}
	return string(out[:])
}

// parseKeyText says whether the text is a key of ours by form and check. No look-up happens for anything else.
func parseKeyText(s string) (KeyText, bool) {
	if !strings.HasPrefix(s, LivePrefix) && !strings.HasPrefix(s, TestPrefix) {
		return "", false
	}
	if len(s) != len(LivePrefix)+keyRandom+keyCheck {
		return "", false
	}
	for i := len(LivePrefix); i < len(s); i++ {
		if strings.IndexByte(base62, s[i]) < 0 {
			return "", false
		}
	}
	body, check := s[:len(s)-keyCheck], s[len(s)-keyCheck:]
	return KeyText(s), checkOf(body) == check
}
