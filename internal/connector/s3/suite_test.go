// SPDX-License-Identifier: Apache-2.0

package s3

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/filestore/filestoretest"
)

const secret = "a-secret-of-the-test"

// server runs an emulator with one bucket; it takes only the test's access key. denied, when it returns true, makes it
// answer that something is not allowed.
func server(t *testing.T, denied func(*http.Request) bool, busy ...func() bool) (endpoint string) {
	t.Helper()
	backend := s3mem.New()
	fake := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog()))
	h := fake.Server()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.Contains(r.Header.Get("Authorization"), "Credential=good/"):
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `<Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message></Error>`)
		case len(busy) > 0 && busy[0] != nil && busy[0]():
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`)
		case denied != nil && denied(r):
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `<Error><Code>AccessDenied</Code><Message>denied</Message></Error>`)
		default:
			h.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	if err := backend.CreateBucket("exchange"); err != nil {
		t.Fatal(err)
	}
	return srv.URL
}

func settings(endpoint string) connector.Settings {
	return connector.Settings{"bucket": "exchange", "prefix": "some/folder", "accessKeyId": "good", "secretAccessKey": secret, "endpoint": endpoint}
}

// with returns the settings with one of another value.
func with(s connector.Settings, name, value string) connector.Settings {
	out := connector.Settings{}
	for k, v := range s {
		out[k] = v
	}
	out[name] = value
	return out
}

func put(s *store, name string, data []byte) *s3.PutObjectInput {
	return &s3.PutObjectInput{Bucket: &s.bucket, Key: s.key(name), Body: bytes.NewReader(data)}
}

func place(t *testing.T) filestoretest.Place {
	p, _ := placeWith(t, nil)
	return p
}

// placeWith is a place whose server does as busy says: it has no time for a call.
func placeWith(t *testing.T, busy func() bool) (filestoretest.Place, connector.Settings) {
	good := settings(server(t, func(*http.Request) bool { return false }, busy))
	files := func(t testing.TB) *store {
		checked, err := New().Spec().Check(good)
		if err != nil {
			t.Fatal(err)
		}
		return open(checked, connector.Env{})
	}
	return filestoretest.Place{
		Connector: New(), Settings: good, Judge: "gofakes3", Not: map[card.Line]string{card.Webhook: connectortest.NoHooks}, Bad: []connector.Settings{with(good, "accessKeyId", "bad"), with(good, "bucket", "elsewhere")},
		Put: func(t testing.TB, name string, data []byte) {
			s := files(t)
			if _, err := s.client.PutObject(t.Context(), put(s, name, data)); err != nil {
				t.Fatal(err)
			}
		},
		List: func(t testing.TB, prefix string) (names []string) {
			files, err := files(t).List(t.Context(), prefix, 10_000)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				names = append(names, f.Name)
			}
			return names
		},
		Remove: func(t testing.TB, name string) {
			if err := files(t).Remove(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		},
	}, good
}

func TestTrouble(t *testing.T) {
	t.Parallel()
	var busy atomic.Bool
	p, _ := placeWith(t, busy.Load)
	put := p.Put
	p.Put = func(t testing.TB, name string, data []byte) {
		was := busy.Swap(false)
		put(t, name, data)
		busy.Store(was)
	}
	filestoretest.RunTrouble(t, p, filestoretest.Trouble{Throttle: busy.Store, Elapse: func(time.Duration) {}})
}

func TestSuite(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"csv", "jsonl", "xml"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			filestoretest.Run(t, place(t), format)
		})
	}
}

// Where nothing may be written, files are read whole when they change, and a write says what is missing.
func TestReadOnlyBucket(t *testing.T) {
	t.Parallel()
	readOnly := false
	endpoint := server(t, func(r *http.Request) bool {
		return readOnly && (r.Method == http.MethodPut || r.Method == http.MethodDelete)
	})
	checked, err := New().Spec().Check(settings(endpoint))
	if err != nil {
		t.Fatal(err)
	}
	s := open(checked, connector.Env{})
	if _, err := s.Put(t.Context(), "a.csv", []byte("id,name\n1,Ada\n2,Bob\n"), ""); err != nil {
		t.Fatal(err)
	}
	readOnly = true
	filestoretest.ReadOnly(t, New(), checked, connector.Env{Consumer: "svc_1"}, "a.csv", func(data string) {
		readOnly = false
		if _, err := s.client.PutObject(t.Context(), put(s, "a.csv", []byte(data))); err != nil {
			t.Fatal(err)
		}
		readOnly = true
	})
}
