// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/syncline-dev/syncline/internal/fault"
)

// Lengths in bytes: a master key (AES-256), and the name by which a wrapped key says which master key opens it.
const (
	masterKeySize = 32
	masterIDSize  = 8
)

// A MasterID names a master key without telling anything about it.
type MasterID [masterIDSize]byte

type masterKey struct {
	id   MasterID
	aead tink.AEAD
	seed []byte // what Derive goes by
}

// Master is the installation's set of master keys: the first wraps, all unwrap. It never reaches the database.
type Master struct{ keys []masterKey }

// NewMasterKey makes a random master key in the form that ParseMaster reads.
func NewMasterKey() string {
	var key [masterKeySize]byte
	rand.Read(key[:])
	return base64.StdEncoding.EncodeToString(key[:])
}

// ParseMaster reads master keys as an environment variable or a file holds them: each is 32 bytes in base64, apart from
// the next by a comma, a space or a new line; a line that begins with # is a remark. The first key wraps from now on, the
// others only open what they wrapped before. The faults never repeat what was given.
func ParseMaster(text string) (Master, error) {
	var m Master
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for word := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\r' || r == '\n' }) {
			key, err := decodeKey(word)
			if err != nil || len(key) != masterKeySize {
				return Master{}, fault.New(fault.Invalid, "vault.master_key_malformed",
					"Master key number %d is not 32 bytes in base64. Make one with `openssl rand -base64 32`.", len(m.keys)+1)
			}
			id := masterID(key)
			if m.find(id) != nil {
				return Master{}, fault.New(fault.Invalid, "vault.master_key_malformed",
					"Master key number %d is there twice. Name each key once, the newest first.", len(m.keys)+1)
			}
			aead, err := subtle.NewAESGCM(key)
			if err != nil {
				return Master{}, err
			}
			seed := sha256.Sum256(append([]byte("syncline derived keys\x00"), key...))
			m.keys = append(m.keys, masterKey{id, aead, seed[:]})
		}
	}
	if len(m.keys) == 0 {
		return Master{}, fault.New(fault.Invalid, "vault.master_key_malformed",
			"No master key is given. Make one with `openssl rand -base64 32` and keep it outside the database.")
	}
	return m, nil
}

// decodeKey takes both alphabets of base64, padded or not: people copy keys from many tools.
func decodeKey(s string) ([]byte, error) {
	s = strings.TrimRight(s, "=")
	s = strings.NewReplacer("-", "+", "_", "/").Replace(s)
	return base64.RawStdEncoding.DecodeString(s)
}

func masterID(key []byte) MasterID {
	sum := sha256.Sum256(append([]byte("syncline master key id\x00"), key...))
	return MasterID(sum[:masterIDSize])
}

// First names the key that wraps.
func (m Master) First() MasterID { return m.keys[0].id }

// Derive returns keys of 32 bytes for a purpose, one per master key and in their order: use the first, accept all. They tell
// nothing about the master keys, nor about the keys for other purposes.
func (m Master) Derive(purpose string) [][]byte {
	keys := make([][]byte, len(m.keys))
	for i, k := range m.keys {
		mac := hmac.New(sha256.New, k.seed)
		mac.Write([]byte(purpose))
		keys[i] = mac.Sum(nil)
	}
	return keys
}

func (m Master) find(id MasterID) tink.AEAD {
	for _, k := range m.keys {
		if k.id == id {
			return k.aead
		}
	}
	return nil
}
