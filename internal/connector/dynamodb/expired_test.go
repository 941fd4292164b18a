// SPDX-License-Identifier: Apache-2.0

package dynamodb

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/record"
)

// Temporary credentials end. Then reading and writing say that the connection needs new ones, nothing is written, and with new ones reading goes on.
func TestTemporaryCredentialsEnd(t *testing.T) {
	t.Parallel()
	connectortest.Proves(t, "dynamodb", card.Expired)
	a := newAccount(t)
	a.put(t, 1, 1)
	var valid atomic.Value
	valid.Store("token-1")
	through := manifest.RoundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("X-Amz-Security-Token") != valid.Load() {
			return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Request: r,
				Body: io.NopCloser(strings.NewReader(`{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"The security token included in the request is expired"}`))}, nil
		}
		return a.server.RoundTrip(r)
	})
	open := func(token string) connector.System {
		checked, err := New().Spec().Check(connector.Settings{"accessKeyId": "sandbox", "secretAccessKey": "sandbox_secret", "sessionToken": token})
		if err != nil {
			t.Fatal(err)
		}
		sys, err := New().Open(t.Context(), checked, connector.Env{Sandbox: through, Consumer: "svc_1", Detection: "hash"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sys.Close() })
		return sys
	}
	read := func(sys connector.System, cursor record.Cursor) ([]record.Key, record.Cursor, error) {
		return connectortest.ReadKeys(t.Context(), sys, "orders", cursor)
	}
	sys := open("token-1")
	keys, cursor, err := read(sys, nil)
	if err != nil || len(keys) != 1 {
		t.Fatalf("%v, %v", keys, err)
	}
	a.put(t, 2, 1)
	valid.Store("token-2")
	if _, _, err := read(sys, cursor); connector.Classify(err).Class != connector.Reconnect || connector.Classify(err).Code != "dynamodb.credentials" {
		t.Errorf("reading with what ended: %v", err)
	}
	receipts, err := sys.(connector.Writer).Write(t.Context(), "orders", []connector.Write{{Op: record.Upsert, Create: true, Key: "3", Fields: record.Fields{"id": record.Number("3"), "n": record.Number("1")}}})
	if e := connector.Classify(err); err != nil && e.Class != connector.Reconnect || err == nil && (receipts[0].Outcome != connector.Unsent || connector.Classify(receipts[0].Err).Class != connector.Reconnect) {
		t.Errorf("writing with what ended: %+v, %v", receipts, err)
	}
	if keys, _, err = read(open("token-2"), cursor); err != nil || len(keys) != 1 || keys[0] != "2" {
		t.Errorf("with new ones: %v, %v", keys, err)
	}
}
