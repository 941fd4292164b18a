// SPDX-License-Identifier: Apache-2.0

package sqs_test

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/sqs"
	"github.com/syncline-dev/syncline/internal/record"
)

// Temporary credentials end. Then reading and writing say that the connection needs new ones, no message is sent or taken, and with new ones what waits is read.
func TestTemporaryCredentialsEnd(t *testing.T) {
	t.Parallel()
	connectortest.Proves(t, "sqs", card.Expired)
	a := &account{server: sandbox.NewServer(&sqs.Simulator{}, sandbox.NewWorld(nil, 1), false)}
	var valid atomic.Value
	valid.Store("token-1")
	through := manifest.RoundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("X-Amz-Security-Token") != valid.Load() {
			return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Request: r,
				Body: io.NopCloser(strings.NewReader(`{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"The security token included in the request is expired"}`))}, nil
		}
		return a.server.RoundTrip(r)
	})
	open := func(token string) connector.System {
		checked, err := sqs.New().Spec().Check(connector.Settings{"accessKeyId": "sandbox", "secretAccessKey": "sandbox_secret", "sessionToken": token})
		if err != nil {
			t.Fatal(err)
		}
		sys, err := sqs.New().Open(t.Context(), checked, connector.Env{Sandbox: through, Consumer: "svc_1"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sys.Close() })
		return sys
	}
	q := a.queue(t)
	sys := open("token-1")
	if err := sys.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.send(t, q, `{"id":"1","name":"Ada"}`, nil)
	valid.Store("token-2")
	// read reads on until a message of that key comes, or an error.
	read := func(sys connector.System, key record.Key) (err error) {
		var cursor record.Cursor
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
			page, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: q, Cursor: cursor, Limit: 10})
			if err != nil {
				return err
			}
			if slices.ContainsFunc(page.Changes, func(c record.Change) bool { return c.Key == key }) {
				return nil
			}
			cursor = page.Cursor
		}
		return errors.New("nothing came")
	}
	err := read(sys, "1")
	if e := connector.Classify(err); e.Class != connector.Reconnect || e.Code != "sqs.credentials" {
		t.Errorf("reading with what ended: %v", err)
	}
	receipts, err := sys.(connector.Writer).Write(t.Context(), q, []connector.Write{{Op: "upsert", Create: true, Key: "2", Fields: map[string]any{"id": "2"}, Whole: map[string]any{"id": "2"}}})
	if e := connector.Classify(err); err != nil && e.Class != connector.Reconnect || err == nil && (receipts[0].Outcome != connector.Unsent || connector.Classify(receipts[0].Err).Class != connector.Reconnect) {
		t.Errorf("writing with what ended: %+v, %v", receipts, err)
	}
	if n := a.depth(t, q); n != 1 {
		t.Errorf("%d messages wait", n)
	}
	if err := read(open("token-2"), "1"); err != nil {
		t.Errorf("with new ones: %v", err)
	}
}
