// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"

	"github.com/syncline-dev/syncline/internal/tenant"
)

// A Token is a secret that proves something once it comes back: a session's cookie or an invitation's link. The database
// knows only its hash. It does not print, so that it cannot slip into a log.
type Token string

// String hides the token.
func (t Token) String() string { return "***" }

// GoString hides the token.
func (t Token) GoString() string { return "***" }

// MarshalText hides the token from JSON and logs alike.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Reveal returns the token itself, to be handed out once.
func (t Token) Reveal() string { return string(t) }

const tokenBytes = 32 // 256 bits, so that hashing it once is enough

// newToken makes a random token. lead is put in front in clear, for look-ups.
func newToken(lead ...byte) Token {
	b := make([]byte, len(lead)+tokenBytes)
	copy(b, lead)
	rand.Read(b[len(lead):])
	return Token(base64.RawURLEncoding.EncodeToString(b))
}

func (t Token) bytes(lead int) ([]byte, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(t))
	return b, err == nil && len(b) == lead+tokenBytes
}

// hash is what the database knows of the token.
func (t Token) hash() []byte {
	sum := sha256.Sum256([]byte(t))
	return sum[:]
}

// An invitation's token begins with its tenant, so that looking it up needs no index across tenants.
func newInvitationToken(id tenant.ID) Token { return newToken(id[:]...) }

func (t Token) tenant() (tenant.ID, bool) {
	b, ok := t.bytes(len(tenant.ID{}))
	if !ok {
		return tenant.ID{}, false
	}
	return tenant.ID(b[:len(tenant.ID{})]), true
}
