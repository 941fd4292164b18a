// SPDX-License-Identifier: Apache-2.0

package dynamodb

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/sandbox/sandboxtest"
	"github.com/syncline-dev/syncline/internal/connector/sheet"
	"github.com/syncline-dev/syncline/internal/record"
)

// account is a table with a stream, read at times of the test's choosing.
type account struct {
	server *sandbox.Server
	users  *users
	now    time.Time
	source *source
	system connector.System
	place  record.Cursor
}

func newAccount(t *testing.T) *account {
	t.Helper()
	a := &account{now: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}
	judge := sandboxtest.NewShapes(t, "dynamodb", "api-2.json", "streams-api-2.json")
	a.server = sandbox.NewServer(&Simulator{Page: 3, Sparse: true}, sandbox.NewWorld(func() time.Time { return a.now }, 1), false)
	a.server.Judge = judge.See
	a.users = &users{server: a.server}
	a.world(t, func(w *sandbox.World) {
		MakeTable(w, "orders", "id", "N")
		Stream(w, "orders")
	})
	checked, err := New().Spec().Check(connector.Settings{"accessKeyId": "sandbox", "secretAccessKey": "sandbox_secret"})
	if err != nil {
		t.Fatal(err)
	}
	source, options, err := New().source(checked, connector.Env{Sandbox: a.server})
	if err != nil {
		t.Fatal(err)
	}
	source.now = func() time.Time { return a.now }
	a.source = source
	if a.system, err = sheet.New(source, options, connector.Env{}, connector.Pace{}); err != nil {
		t.Fatal(err)
	}
	a.system.(*sheet.System).Clock(source.now)
	t.Cleanup(func() { _ = a.system.Close() })
	return a
}

func (a *account) world(t *testing.T, f func(w *sandbox.World)) {
	a.server.Do(t.Context(), func(x *sandbox.Exchange) { f(x.W) })
}

func (a *account) put(t *testing.T, id, n int) {
	a.users.Insert(t, "orders", record.Fields{"id": record.Int(int64(id)), "n": record.Int(int64(n))})
}

// read reads until there is no more; the keys of what came, deletions with a minus.
func (a *account) read(t *testing.T) string {
	t.Helper()
	var got []string
	for range 300 {
		page, err := a.system.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "orders", Cursor: a.place, Limit: 4})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Changes {
			if c.Op == record.Delete {
				got = append(got, "-"+string(c.Key))
			} else {
				got = append(got, string(c.Key))
			}
		}
		still := string(a.place) == string(page.Cursor)
		if a.place = page.Cursor; !page.More && (still || len(page.Changes) == 0) {
			return strings.Join(got, " ")
		}
	}
	t.Fatal("reading does not come to an end")
	return ""
}

func (a *account) lost(t *testing.T, what string) {
	t.Helper()
	_, err := a.system.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "orders", Cursor: a.place, Limit: 4})
	var e *connector.Error
	if !errors.As(err, &e) || e.Class != connector.LostPlace || e.Code != "dynamodb.history_lost" {
		t.Errorf("%s: %v", what, err)
	}
}

// settle reads over and over, since answers of a stream can be empty.
func (a *account) settle(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(a.read(t) + " " + a.read(t))
}

// Shards are closed while they are read, and their children read on; what was before the snapshot is passed over.
func TestShards(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.put(t, 1, 1)
	a.world(t, func(w *sandbox.World) { Roll(w, "orders") })
	a.put(t, 2, 1)
	a.now = a.now.Add(time.Hour)
	if got := a.read(t); got != "1 2" {
		t.Errorf("the snapshot is %s", got)
	}
	if got := a.settle(t); got != "" {
		t.Errorf("told of what was before: %s", got)
	}
	a.put(t, 3, 1)
	for range 5 { // more than a page of shards
		a.world(t, func(w *sandbox.World) { Roll(w, "orders") })
	}
	a.put(t, 4, 1)
	a.users.Delete(t, "orders", "1")
	got := strings.Fields(a.settle(t)) // in no order: shards are read side by side
	if slices.Sort(got); !slices.Equal(got, []string{"-1", "3", "4"}) {
		t.Errorf("told are %s", got)
	}
	for i := range 30 { // more than a page
		a.put(t, 10+i, 1)
	}
	if got := strings.Fields(a.settle(t)); len(got) != 30 {
		t.Errorf("told are %d: %v", len(got), got)
	}
}

// What the vendor keeps no longer is noticed where it could have held something, and only there.
func TestTrimmed(t *testing.T) {
	t.Parallel()
	t.Run("read in time", func(t *testing.T) {
		t.Parallel()
		a := newAccount(t)
		a.put(t, 1, 1)
		a.read(t)
		a.put(t, 2, 1)
		a.settle(t)
		a.now = a.now.Add(20 * time.Hour)
		a.world(t, func(w *sandbox.World) { Trim(w, "orders") })
		a.put(t, 3, 1)
		if got := a.settle(t); got != "3" {
			t.Errorf("told are %s", got)
		}
	})
	t.Run("not read for a day", func(t *testing.T) {
		t.Parallel()
		a := newAccount(t)
		a.put(t, 1, 1)
		a.read(t)
		a.put(t, 2, 1)
		a.settle(t)
		a.put(t, 3, 1)
		a.now = a.now.Add(25 * time.Hour)
		a.world(t, func(w *sandbox.World) { Trim(w, "orders") })
		a.lost(t, "trimmed")
	})
	t.Run("never read", func(t *testing.T) {
		t.Parallel()
		a := newAccount(t)
		a.put(t, 1, 1)
		page, err := a.system.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "orders", Limit: 4})
		if err != nil {
			t.Fatal(err)
		}
		a.place = page.Cursor
		a.put(t, 2, 1)
		a.now = a.now.Add(25 * time.Hour)
		a.world(t, func(w *sandbox.World) { Trim(w, "orders") })
		a.lost(t, "a snapshot that took longer than changes are kept")
	})
	t.Run("a shard came and went", func(t *testing.T) {
		t.Parallel()
		a := newAccount(t)
		a.put(t, 1, 1)
		a.read(t)
		a.world(t, func(w *sandbox.World) { Roll(w, "orders") })
		a.put(t, 2, 1)
		a.world(t, func(w *sandbox.World) {
			Roll(w, "orders")
			Trim(w, "orders")
		})
		a.lost(t, "the shard that was being read is gone")
	})
	t.Run("nothing happens for days", func(t *testing.T) {
		t.Parallel()
		a := newAccount(t)
		a.put(t, 1, 1)
		a.read(t)
		for range 20 {
			a.now = a.now.Add(6 * time.Hour)
			a.world(t, func(w *sandbox.World) { Roll(w, "orders") })
			a.settle(t)
			a.world(t, func(w *sandbox.World) { Trim(w, "orders") })
		}
		a.put(t, 2, 1)
		if got := a.settle(t); got != "2" {
			t.Errorf("told are %s", got)
		}
	})
}

// An iterator that ended is made anew, and one that the vendor trimmed too.
func TestIterators(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.put(t, 1, 1)
	a.read(t)
	a.now = a.now.Add(9 * time.Minute)
	a.read(t)
	a.now = a.now.Add(9 * time.Minute)
	a.put(t, 2, 1)
	if got := a.settle(t); got != "2" {
		t.Errorf("told are %s", got)
	}
	a.server.Plant(sandbox.Fault{Times: 1, Status: http.StatusBadRequest, Header: map[string]string{"Content-Type": "application/x-amz-json-1.0"}, Body: `{"__type":"com.amazonaws.dynamodb.v20120810#ExpiredIteratorException","message":"x"}`})
	a.put(t, 3, 1)
	for range 3 { // the fault meets another call first, and is told
		if page, err := a.system.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "orders", Cursor: a.place, Limit: 4}); err == nil {
			a.place = page.Cursor
		}
	}
	if changes, err := a.system.(connector.KeyReader).ReadKeys(t.Context(), "orders", nil, []record.Key{"3"}); err != nil || changes[0].Op != record.Upsert {
		t.Errorf("3 is %+v, %v", changes, err)
	}
}

// Which way is taken is said, with what would have to be done for the better one.
func TestDetection(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.world(t, func(w *sandbox.World) { MakeTable(w, "plain", "id", "N") })
	for object, want := range map[record.Object][2]string{"orders": {"stream", "The table has a stream"}, "plain": {"hash", "Enable DynamoDB Streams"}} {
		got, why, err := a.system.(connector.Chooser).Detection(t.Context(), object)
		if err != nil || got != want[0] || !strings.Contains(why, want[1]) {
			t.Errorf("%s: %s because %q, %v", object, got, why, err)
		}
	}
	b := newAccount(t)
	judge := b.server.Judge
	b.server.Judge = func(r *http.Request, body []byte) {
		judge(r, body)
		if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "DynamoDBStreams") {
			b.server.Plant(sandbox.Fault{Times: 1, Status: http.StatusBadRequest, Header: map[string]string{"Content-Type": "application/x-amz-json-1.0"}, Body: `{"__type":"com.amazon.coral.service#AccessDeniedException","message":"no"}`})
		}
	}
	got, why, err := b.system.(connector.Chooser).Detection(t.Context(), "orders")
	if err != nil || got != "hash" || !strings.Contains(why, "GetRecords") {
		t.Errorf("without the permission: %s because %q, %v", got, why, err)
	}
}
