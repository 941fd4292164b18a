// SPDX-License-Identifier: Apache-2.0

package gdrive_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/filestore/filestoretest"
	"github.com/syncline-dev/syncline/internal/connector/gdrive"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/sandbox/sandboxtest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

// below is the id of the folder some/folder in the simulator.
const below = "folder-c29tZS9mb2xkZXI"

func TestSuite(t *testing.T) {
	t.Parallel()
	judge := sandboxtest.NewDiscovery(t, "google-drive", "drive-api.json", "/token")
	for format, folder := range map[string]string{"csv": below, "parquet": "root"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			p, _ := place(t, judge, folder)
			filestoretest.Run(t, p, format)
		})
	}
}

func TestTrouble(t *testing.T) {
	t.Parallel()
	p, x := place(t, sandboxtest.NewDiscovery(t, "google-drive", "drive-api.json", "/token"), below)
	p.Settings = connector.Settings{"folderId": below, "clientId": "app", "clientSecret": "sandbox_app", "refreshToken": "sandbox_refresh"}
	filestoretest.RunTrouble(t, p, x)
}

func place(t *testing.T, judge *sandboxtest.Discovery, folder string) (filestoretest.Place, filestoretest.Trouble) {
	clock := sandbox.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), time.Millisecond)
	server := sandbox.NewServer(&gdrive.Simulator{}, sandbox.NewWorld(clock.Now, 1), false)
	server.Judge = judge.See
	good := connector.Settings{"folderId": folder, "accessToken": "sandbox_token"}
	at := ""
	with := func(f func(s sandbox.Shelf)) {
		server.Do(t.Context(), func(x *sandbox.Exchange) { f(sandbox.Shelf{W: x.W}) })
	}
	if folder == below {
		at = "some/folder/"
		with(func(s sandbox.Shelf) {
			s.W.Insert("folders", "", map[string]any{"path": "some"})
			s.W.Insert("folders", "", map[string]any{"path": "some/folder"})
		})
	}
	return filestoretest.Place{
		Connector: gdrive.New(&transport.Pool{Now: clock.Now, Wait: clock.Wait}), Settings: good, Env: connector.Env{Sandbox: server}, Judge: "simulator; Google's API description", Not: map[card.Line]string{card.Webhook: connectortest.NoMore},
		Bad: []connector.Settings{{}, {"accessToken": "wrong-token", "environment": "sandbox"}, {"folderId": "folder-elsewhere", "accessToken": "sandbox_token"},
			{"clientId": "app", "clientSecret": "sandbox_app", "refreshToken": "taken-back"}},
		Put: func(_ testing.TB, name string, data []byte) {
			with(func(s sandbox.Shelf) { s.Put(at+name, data) })
		},
		List: func(_ testing.TB, prefix string) (names []string) {
			with(func(s sandbox.Shelf) {
				for _, r := range s.Files(at + prefix) {
					names = append(names, strings.TrimPrefix(sandbox.Text(r.Fields["name"]), at))
				}
			})
			return names
		},
		Remove: func(_ testing.TB, name string) {
			with(func(s sandbox.Shelf) { s.Remove(at + name) })
		},
	}, filestoretest.InSandbox(server, clock)
}

// meddler is somebody who replaces the file in the moment before our content arrives.
type meddler struct {
	*sandbox.Server
	mu    sync.Mutex
	data  []byte
	broke bool // the connection breaks once our content is there
	down  bool
	seen  []string
}

func (m *meddler) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return nil, errors.New("connection refused")
	}
	m.seen = append(m.seen, r.Method+" "+r.URL.Path)
	if r.Method == http.MethodPatch && strings.HasPrefix(r.URL.Path, "/upload/") && m.data != nil {
		data := m.data
		m.data = nil
		m.Do(r.Context(), func(x *sandbox.Exchange) { sandbox.Shelf{W: x.W}.Put("contacts.csv", data) })
		m.down = m.broke
	}
	return m.Server.RoundTrip(r)
}

// Drive has no conditional writes: an edit of somebody else that came in between is put back and merged, not lost.
func TestMeddling(t *testing.T) {
	t.Parallel()
	server := sandbox.NewServer(&gdrive.Simulator{}, sandbox.NewWorld(time.Now, 1), false)
	m := &meddler{Server: server}
	server.Do(t.Context(), func(x *sandbox.Exchange) {
		sandbox.Shelf{W: x.W}.Put("contacts.csv", []byte("id,name\n1,Ada\n2,Bob\n"))
	})
	c := gdrive.New(&transport.Pool{})
	settings, err := c.Spec().Check(connector.Settings{"accessToken": "sandbox_token"})
	if err != nil {
		t.Fatal(err)
	}
	sys, err := c.Open(t.Context(), settings, connector.Env{Sandbox: m})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sys.Close() }()
	write := func(key record.Key, name string) {
		t.Helper()
		got, err := sys.(connector.Writer).Write(t.Context(), "contacts.csv", []connector.Write{{ID: record.NewEntityID(), Op: record.Upsert, Key: key, Fields: record.Fields{"name": name}}})
		if err != nil || got[0].Outcome != connector.Applied {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	write("1", "Ada L.")
	m.mu.Lock()
	m.data = []byte("id,name\n1,Ada L.\n2,Robert\n3,Cy\n")
	m.mu.Unlock()
	write("1", "Ada Lovelace")
	server.Do(t.Context(), func(x *sandbox.Exchange) {
		s := sandbox.Shelf{W: x.W}
		if got := string(s.Data(s.Find("contacts.csv"))); got != "id,name\n1,Ada Lovelace\n2,Robert\n3,Cy\n" {
			t.Errorf("the file is %q", got)
		}
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.seen, "GET /drive/v3/changes") || slices.Index(m.seen, "GET /drive/v3/files") != slices.IndexFunc(m.seen, func(s string) bool { return s == "GET /drive/v3/files" }) {
		t.Errorf("it was asked %v", m.seen)
	}
	lists := 0
	for _, s := range m.seen {
		if s == "GET /drive/v3/files" {
			lists++
		}
	}
	if lists != 1 {
		t.Errorf("the folder was listed %d times; after the first the feed of changes tells", lists)
	}
}

// Who dies between overwriting somebody's edit and putting it back leaves that to the next who looks: nobody ever reads the file
// without the edit.
func TestOverwrittenIsPutBackByTheNext(t *testing.T) {
	t.Parallel()
	server := sandbox.NewServer(&gdrive.Simulator{}, sandbox.NewWorld(time.Now, 1), false)
	server.Do(t.Context(), func(x *sandbox.Exchange) {
		sandbox.Shelf{W: x.W}.Put("contacts.csv", []byte("id,name\n1,Ada\n2,Bob\n"))
	})
	settings, err := gdrive.New(&transport.Pool{}).Spec().Check(connector.Settings{"accessToken": "sandbox_token"})
	if err != nil {
		t.Fatal(err)
	}
	open := func(m *meddler) connector.System {
		sys, err := gdrive.New(&transport.Pool{}).Open(t.Context(), settings, connector.Env{Sandbox: m})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sys.Close() })
		return sys
	}
	dying := &meddler{Server: server, data: []byte("id,name\n1,Ada\n2,Robert\n"), broke: true}
	writes := []connector.Write{{ID: record.NewEntityID(), Op: record.Upsert, Key: "1", Fields: record.Fields{"name": "Ada L."}}}
	if got, err := open(dying).(connector.Writer).Write(t.Context(), "contacts.csv", writes); err == nil {
		t.Fatalf("it did not die: %+v", got)
	}
	server.Do(t.Context(), func(x *sandbox.Exchange) {
		s := sandbox.Shelf{W: x.W}
		if got := string(s.Data(s.Find("contacts.csv"))); !strings.Contains(got, "2,Bob") {
			t.Fatalf("nothing was overwritten: %q", got)
		}
	})
	next := open(&meddler{Server: server})
	page, err := next.(connector.KeyReader).ReadKeys(t.Context(), "contacts.csv", []string{"name"}, []record.Key{"2"})
	if err != nil || len(page) != 1 || page[0].Fields["name"] != "Robert" {
		t.Fatalf("the next reads %+v, %v", page, err)
	}
	if got, err := next.(connector.Writer).Write(t.Context(), "contacts.csv", writes); err != nil || got[0].Outcome != connector.Applied {
		t.Fatalf("%+v, %v", got, err)
	}
	server.Do(t.Context(), func(x *sandbox.Exchange) {
		s := sandbox.Shelf{W: x.W}
		if got := string(s.Data(s.Find("contacts.csv"))); got != "id,name\n1,Ada L.\n2,Robert\n" {
			t.Errorf("the file is %q", got)
		}
	})
}
