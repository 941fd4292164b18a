// SPDX-License-Identifier: Apache-2.0

package connection_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

const crowd = `manifest: 1
type: TYPE
title: Crowd
summary: A system with many records that does not say what is gone.
baseUrl: BASE
check: {path: /things}
objects:
  things:
    key: [id]
    fields: [{name: id, type: integer}, {name: name}, {name: at, type: timestamp}]
    list: {request: {path: /things, query: {offset: "{offset}", limit: "{limit}"}}, paging: {style: offset, size: 5000}}
    get: {request: {path: "/things/{key}"}}
    HOW
`

// crowded is that system: numbers from 0, some of which are gone or changed.
type crowded struct {
	mu      sync.Mutex
	count   int
	gone    map[int]bool
	changed map[int]string
	single  int // records read one by one
}

func (v *crowded) thing(i int) map[string]any {
	name := v.changed[i]
	if name == "" {
		name = fmt.Sprintf("Thing %d", i)
	}
	return map[string]any{"id": i, "name": name, "at": "2026-11-23T08:00:00Z"}
}

func (v *crowded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r.URL.Path == "/changed" {
		_, _ = w.Write([]byte("[]"))
		return
	}
	if one, is := strings.CutPrefix(r.URL.Path, "/things/"); is {
		v.single++
		i, _ := strconv.Atoi(one)
		if v.gone[i] || i >= v.count {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(v.thing(i))
		return
	}
	from, _ := strconv.Atoi(r.URL.Query().Get("offset"))
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	out := make([]map[string]any, 0, limit)
	seen := 0
	for i := 0; i < v.count && len(out) < limit; i++ {
		if v.gone[i] {
			continue
		}
		if seen++; seen > from {
			out = append(out, v.thing(i))
		}
	}
	_ = json.NewEncoder(w).Encode(out)
}

// With 200,000 keys, ten times what a cursor keeps, deletions and changes are found by comparing, while memory stays as with few: what is compared with
// lies in the database. A cursor that was not stored does no harm, and lists that no cursor names any more are gone.
func TestManyKeysAreCompared(t *testing.T) {
	const count = 200_000
	for _, test := range []struct {
		typ, how string
		full     bool
	}{
		{"crowd-keys", "version: at\n    changes: {style: since, request: {path: /changed, query: {since: \"{since}\"}}, paging: {style: none}}\n    deletes: {mode: diff, every: 10m}", false},
		{"crowd-full", "changes: {style: full}\n    deletes: {mode: diff}", true},
	} {
		t.Run(test.typ, func(t *testing.T) {
			b := setUp(t, connection.GuardOptions{AllowLoopback: true})
			v := &crowded{count: count, gone: map[int]bool{}, changed: map[int]string{}}
			server := httptest.NewServer(v)
			t.Cleanup(server.Close)
			m, err := manifest.Parse([]byte(strings.NewReplacer("BASE", server.URL, "TYPE", test.typ, "HOW", test.how).Replace(crowd)))
			if err != nil {
				t.Fatal(err)
			}
			var clock struct {
				sync.Mutex
				later time.Duration
			}
			now := func() time.Time {
				clock.Lock()
				defer clock.Unlock()
				return time.Now().Add(clock.later)
			}
			c, err := manifest.New(m, manifest.Hooks{}, &transport.Pool{Now: now})
			if err != nil {
				t.Fatal(err)
			}
			b.restart(connection.GuardOptions{AllowLoopback: true}, c)
			made, err := b.Create(t.Context(), b.who, connection.New{Name: "crowd", Connector: test.typ})
			if err != nil {
				t.Fatal(err)
			}
			open := func() connector.System {
				system, _, err := b.Open(t.Context(), b.id, "crowd", connector.Env{Consumer: "svc_1"})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = system.Close() }) // nothing was written through it
				return system
			}
			var most uint64
			longest := 0
			watch := func(cursor record.Cursor) {
				t.Helper()
				longest = max(longest, len(cursor))
				var is runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&is)
				most = max(most, is.HeapAlloc)
			}
			// pass reads until there is nothing more, as the engine does: what it is told counts when the cursor is stored.
			pass := func(system connector.System, cursor record.Cursor) (upserts, deletes []string, next record.Cursor) {
				t.Helper()
				for range 1000 {
					page, err := system.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "things", Cursor: cursor, Limit: 5000})
					if err != nil {
						t.Fatal(err)
					}
					for _, ch := range page.Changes {
						if ch.Op == record.Delete {
							deletes = append(deletes, string(ch.Key))
						} else if len(upserts) < 100 {
							upserts = append(upserts, string(ch.Key))
						}
					}
					cursor = page.Cursor
					watch(cursor)
					if !page.More && page.Phase == connector.Stream {
						return upserts, deletes, cursor
					}
				}
				t.Fatal("there is no end")
				return nil, nil, nil
			}
			acknowledge := func(system connector.System, cursor record.Cursor) {
				t.Helper()
				if err := system.(connector.Acknowledger).Acknowledge(t.Context(), "things", cursor); err != nil {
					t.Fatal(err)
				}
			}
			lists := func() (n int) {
				t.Helper()
				if err := b.ownerRow(`SELECT count(*) FROM connection_lists WHERE connection_id = $1`, &n, uuid.UUID(made.ID)); err != nil {
					t.Fatal(err)
				}
				return n
			}
			system := open()
			var before runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			first, none, cursor := pass(system, nil)
			if len(first) != 100 || len(none) != 0 {
				t.Fatalf("the first reading has %d and %d", len(first), len(none))
			}
			later := func() {
				clock.Lock()
				clock.later += 11 * time.Minute
				clock.Unlock()
			}
			acknowledge(system, cursor)
			if n := lists(); n != 1 {
				t.Errorf("%d lists are kept", n)
			}
			v.mu.Lock()
			lost := 1_200 // more than a page of those that are looked at by key
			if test.full {
				lost = 6_000 // more than a page
			}
			for i := range lost {
				v.gone[i*30+7] = true
			}
			v.changed[12] = "Twelve"
			v.mu.Unlock()
			later()
			up, gone, _ := pass(system, cursor)
			if len(gone) != lost || test.full != (len(up) == 1) {
				t.Fatalf("changed are %v, gone %d", up, len(gone))
			}
			// The worker ends before that cursor is stored: another one finds the same.
			again, goneAgain, next := pass(open(), cursor)
			if len(goneAgain) != lost || len(again) != len(up) {
				t.Errorf("read again, changed are %v, gone %d", again, len(goneAgain))
			}
			system = open()
			acknowledge(system, next)
			later()
			if up, gone, cursor = pass(system, next); len(up) != 0 || len(gone) != 0 {
				t.Errorf("then there are %v and %d", up, len(gone))
			}
			acknowledge(system, cursor)
			if held := int64(most) - int64(before.HeapAlloc); held > 24<<20 {
				t.Errorf("%d MiB are held", held>>20)
			}
			if longest > 1<<20 {
				t.Errorf("a cursor has %d bytes", longest)
			}
			t.Logf("%s: %d KiB held at most, a cursor of %d bytes at most", test.typ, (int64(most)-int64(before.HeapAlloc))>>10, longest)
			// What a worker that ended gave up goes with the service; a reading that comes back all the same begins anew, and tells of nothing gone.
			if err := b.Clean(t.Context(), b.id, "crowd", "svc_1", nil); err != nil {
				t.Fatal(err)
			}
			if n := lists(); n != 0 {
				t.Errorf("%d lists are left", n)
			}
			later()
			for range 1000 {
				page, err := system.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "things", Cursor: cursor, Limit: 5000})
				if connector.Classify(err).Class == connector.LostPlace {
					break
				}
				if err != nil || !page.More {
					t.Fatalf("without its lists: %v, more %v", err, page.More)
				}
				for _, ch := range page.Changes {
					if ch.Op == record.Delete {
						t.Fatalf("%s is told to be gone", ch.Key)
					}
				}
				cursor = page.Cursor
			}
		})
	}
}
