// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/api"
	"github.com/syncline-dev/syncline/internal/catalog"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/ident"
)

// A system's message is verified on its bytes, kept once and answered; what is not proven, too old or for nobody is not.
func TestInboundMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	source := ownManifest("our-shop", "Our shop") + `webhook:
  verify:
    - {kind: hmac, header: X-Shop-Signature, secret: "{settings.token}", encoding: base64, message: "{method}{url}{body}{timestamp}", timestampHeader: X-Shop-Time, tolerance: 5m}
  handshake: {kind: echoQuery, name: challenge}
  events: events
  type: type
  key: article
  id: id
  objects: {article.: articles}
`
	_, _, err := w.deps.Connections.Catalog().Save(context.Background(), p.owner(), catalog.Put{Source: source})
	w.must(err)
	c, err := w.deps.Connections.Create(context.Background(), p.owner(), connection.New{Name: "shop", Connector: "our-shop", Settings: connector.Settings{"token": "shared-secret"}})
	w.must(err)
	const public = "https://sync.example.com"
	server := httptest.NewServer(api.Inbound(w.deps.Connections.Receive, public, slog.New(slog.DiscardHandler)))
	t.Cleanup(server.Close)
	path := "/hooks/" + ident.Format(ident.Tenant, p.tenant) + "/" + c.ID.Public()
	send := func(path, body, secret string, at time.Time) int {
		t.Helper()
		stamp := fmt.Sprint(at.UnixMilli())
		h := hmac.New(sha256.New, []byte(secret))
		h.Write([]byte("POST" + public + path + body + stamp))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, strings.NewReader(body))
		w.must(err)
		r.Header.Set("X-Shop-Signature", base64.StdEncoding.EncodeToString(h.Sum(nil)))
		r.Header.Set("X-Shop-Time", stamp)
		res, err := http.DefaultClient.Do(r)
		w.must(err)
		w.must(res.Body.Close())
		return res.StatusCode
	}
	hints := func() (n int) {
		w.must(w.admin.QueryRow(context.Background(), `SELECT count(*) FROM connection_hints WHERE connection_id = $1`, c.ID.String()).Scan(&n))
		return n
	}
	message := `{"events":[{"id":"e1","type":"article.changed","article":7},{"id":"e2","type":"article.changed","article":8},{"id":"e3","type":"order.made","article":9}]}`
	now := time.Now()
	for _, tt := range []struct {
		name, path, body, secret string
		at                       time.Time
		status, hints            int
	}{
		{"a good one", path, message, "shared-secret", now, 200, 2},
		{"again", path, message, "shared-secret", now, 200, 2},
		{"one event of two is new", path, `{"events":[{"id":"e2","type":"article.changed","article":8},{"id":"e4","type":"article.changed","article":7}]}`, "shared-secret", now, 200, 3},
		{"signed with another secret", path, message, "guessed", now, 401, 3},
		{"too old", path, message, "shared-secret", now.Add(-10 * time.Minute), 401, 3},
		{"from the future", path, message, "shared-secret", now.Add(10 * time.Minute), 401, 3},
		{"not JSON", path, `{"events":`, "shared-secret", now, 400, 3},
		{"of no connection", "/hooks/" + ident.Format(ident.Tenant, p.tenant) + "/con_06f3k8t2v0h7x1m9q4r5s6t7w8", message, "shared-secret", now, 404, 3},
		{"of no tenant", "/hooks/ten_06f3k8t2v0h7x1m9q4r5s6t7w8/" + c.ID.Public(), message, "shared-secret", now, 404, 3},
		{"elsewhere", "/hooks/x", message, "shared-secret", now, 404, 3},
	} {
		if got := send(tt.path, tt.body, tt.secret, tt.at); got != tt.status {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.status)
		}
		if n := hints(); n != tt.hints {
			t.Errorf("%s: there are %d hints, want %d", tt.name, n, tt.hints)
		}
	}
	res, err := http.Get(server.URL + path + "?challenge=hello")
	w.must(err)
	defer func() { _ = res.Body.Close() }()
	if b, err := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || err != nil || string(b) != "hello" {
		t.Errorf("the handshake is answered %d %q, %v", res.StatusCode, b, err)
	}
}
