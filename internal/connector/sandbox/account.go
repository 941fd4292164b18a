// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// Edit is a person's edit in the playground, or a test's: the fields of a record, or nil for a deletion. Dotted names reach
// inside. It returns the record's id.
func (s *Server) Edit(ctx context.Context, table, id string, set map[string]any) string {
	s.Do(ctx, func(x *Exchange) {
		if set == nil {
			if x.W.Delete(table, id) {
				x.Tell(table, "deleted", id)
			}
			return
		}
		if maker, ok := s.vendor.(Maker); ok && id == "" {
			id = maker.Make(x.W, table, set)
			x.Tell(table, "created", id)
			return
		}
		names := make([]string, 0, len(set))
		nested := map[string]any{}
		for k, v := range set {
			names = append(names, k)
			if head, tail, inside := strings.Cut(k, "."); inside {
				m, ok := nested[head].(map[string]any)
				if !ok {
					m = map[string]any{}
					nested[head] = m
				}
				m[tail] = v
				continue
			}
			nested[k] = v
		}
		if id == "" {
			id = x.W.Insert(table, "", nested).ID
			x.Tell(table, "created", id)
			return
		}
		if x.W.Update(table, id, nested) != nil {
			x.Tell(table, "updated", id, names...)
		}
	})
	return id
}

// Maker is a vendor that makes records in its own way: ids, defaults.
type Maker interface {
	Make(w *World, table string, set map[string]any) string
}

// Live counts a table's records.
func (s *Server) Live(table string) (n int) {
	s.Do(context.Background(), func(x *Exchange) { n = x.W.Live(table) })
	return n
}

// TooMany is a fault: the next n calls are too many.
func TooMany(n int) Fault {
	return Fault{Times: n, Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "2", "Content-Type": "application/json"}, Body: `{"message":"too many requests"}`}
}

// Broken is a fault: the next n calls meet a server's error.
func Broken(n int) Fault {
	return Fault{Times: n, Status: http.StatusBadGateway, Header: map[string]string{"Content-Type": "application/json"}, Body: `{"message":"bad gateway"}`}
}

// Slow is a fault: the next n calls take that long.
func Slow(n int, d time.Duration) Fault { return Fault{Times: n, Delay: d} }
