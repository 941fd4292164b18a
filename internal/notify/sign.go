// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// A Secret signs the messages to an endpoint, as Standard Webhooks says: HMAC-SHA256 over "id.timestamp.body". Its text is
// "whsec_" and the key in base64.
type Secret string

const secretPrefix = "whsec_"

// NewSecret makes a secret of 32 bytes by chance.
func NewSecret() Secret {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	return Secret(secretPrefix + base64.StdEncoding.EncodeToString(key[:]))
}

// Reveal returns the text, to be shown once.
func (s Secret) Reveal() string { return string(s) }

// String keeps the secret out of logs.
func (Secret) String() string { return secretPrefix + "…" }

// sign makes one signature, "v1,...".
func (s Secret) sign(id string, at time.Time, body []byte) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(string(s), secretPrefix))
	if err != nil {
		key = []byte(s) // ours are always of the form; a signature that nobody can verify would hide that one is not
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Sign makes the header webhook-signature: a signature with each secret, the newest first, so that receivers may exchange theirs
// in their own time.
func Sign(secrets []Secret, id string, at time.Time, body []byte) string {
	all := make([]string, len(secrets))
	for i, s := range secrets {
		all[i] = s.sign(id, at, body)
	}
	return strings.Join(all, " ")
}
