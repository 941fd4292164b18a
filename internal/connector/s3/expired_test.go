// SPDX-License-Identifier: Apache-2.0

package s3

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
)

// Temporary credentials end. Then reading and writing say that the connection needs new ones, nothing is written, and with new ones reading goes on
// from where it stood.
func TestTemporaryCredentialsEnd(t *testing.T) {
	t.Parallel()
	connectortest.Proves(t, "s3", card.Expired)
	backend := s3mem.New()
	h := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	var valid atomic.Value
	valid.Store("token-1")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token := r.Header.Get("X-Amz-Security-Token"); token != valid.Load() {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message><Token-0>`+token+`</Token-0></Error>`)
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	if err := backend.CreateBucket("exchange"); err != nil {
		t.Fatal(err)
	}
	content := func(key string) string {
		o, err := backend.GetObject("exchange", key, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(o.Contents)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	put := func(text string) {
		if _, err := backend.PutObject("exchange", "some/folder/a.csv", nil, strings.NewReader(text), int64(len(text)), nil); err != nil {
			t.Fatal(err)
		}
	}
	put("id,name\n1,Ada\n")
	open := func(token string) connector.System {
		checked, err := New().Spec().Check(with(settings(srv.URL), "sessionToken", token))
		if err != nil {
			t.Fatal(err)
		}
		sys, err := New().Open(t.Context(), checked, connector.Env{Consumer: "svc_1"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sys.Close() })
		return sys
	}
	sys := open("token-1")
	read := func(sys connector.System, p connector.Page) (connector.Page, error) {
		return sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "a.csv", Cursor: p.Cursor, Limit: 10})
	}
	page, err := read(sys, connector.Page{})
	if err != nil || len(page.Changes) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	put("id,name\n1,Ada\n2,Bob\n")
	valid.Store("token-2")
	if _, err := read(sys, page); connector.Classify(err).Class != connector.Reconnect || connector.Classify(err).Code != "s3.credentials" {
		t.Errorf("reading with what ended: %v", err)
	}
	before := content("some/folder/a.csv")
	_, err = sys.(connector.Writer).Write(t.Context(), "a.csv", []connector.Write{{Op: "upsert", Key: "1", Fields: map[string]any{"name": "Eve"}}})
	if connector.Classify(err).Class != connector.Reconnect || content("some/folder/a.csv") != before {
		t.Errorf("writing with what ended: %v; the file is %q", err, content("some/folder/a.csv"))
	}
	if page, err = read(open("token-2"), page); err != nil || len(page.Changes) != 1 || page.Changes[0].Key != "2" {
		t.Errorf("with new ones: %+v, %v", page, err)
	}
}
