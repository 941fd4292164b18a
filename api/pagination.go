// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"

	"github.com/oapi-codegen/nullable"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/fault"
)

const defaultLimit = 25

// limitOf is how many items a page has at most; the range is checked against openapi.yaml.
func limitOf(limit *spec.Limit) int {
	if limit == nil {
		return defaultLimit
	}
	return int(*limit)
}

// cursors signs where a page ended, so that nobody can make one up, or use it for another tenant or with other filters.
type cursors struct{ keys [][]byte }

func newCursors(sealing [][]byte) cursors { return cursors{subkeys(sealing, "cursors")} }

// subkeys makes the keys for one purpose.
func subkeys(sealing [][]byte, purpose string) [][]byte {
	keys := make([][]byte, len(sealing))
	for i, k := range sealing {
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(purpose))
		keys[i] = mac.Sum(nil)
	}
	return keys
}

const signatureSize = 16 // bytes

func (c cursors) signature(key []byte, req *request, position []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(req.who.Tenant.String()))
	mac.Write([]byte{0})
	mac.Write([]byte(req.scope))
	mac.Write([]byte{0})
	mac.Write(position)
	return mac.Sum(nil)[:signatureSize]
}

func (c cursors) write(req *request, position any) string {
	b, err := json.Marshal(position)
	if err != nil {
		panic(err) // positions are plain values
	}
	return base64.RawURLEncoding.EncodeToString(append(c.signature(c.keys[0], req, b), b...))
}

// read puts the cursor's position into position; without a cursor it leaves it as it is.
func (c cursors) read(req *request, cursor *string, position any) error {
	if cursor == nil || *cursor == "" {
		return nil
	}
	if b, err := base64.RawURLEncoding.DecodeString(*cursor); err == nil && len(b) > signatureSize {
		for _, key := range c.keys {
			if hmac.Equal(b[:signatureSize], c.signature(key, req, b[signatureSize:])) {
				return json.Unmarshal(b[signatureSize:], position)
			}
		}
	}
	return fault.New(fault.Malformed, "request.cursor_invalid", "The cursor is not one of this list with these filters. Begin without a cursor.")
}

// page cuts a list that was asked for with one item too many, shows its items, and says where the next page begins.
func page[T, S any](ctx context.Context, s *server, list []T, limit int, show func(T) S, position func(T) any) (data []S, next nullable.Nullable[string], more bool) {
	next = nullable.NewNullNullable[string]()
	if len(list) > limit {
		list, more = list[:limit], true
		next.Set(s.cursors.write(of(ctx), position(list[limit-1])))
	}
	return shown(list, show), next, more
}

// shown shows each item; never nil, so that the answer has a list.
func shown[T, S any](list []T, show func(T) S) []S {
	out := make([]S, len(list))
	for i, item := range list {
		out[i] = show(item)
	}
	return out
}

// noCursor is the nextCursor of a list that is answered whole.
func noCursor() nullable.Nullable[string] { return nullable.NewNullNullable[string]() }
