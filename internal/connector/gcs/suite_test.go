// SPDX-License-Identifier: Apache-2.0

package gcs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/filestore/filestoretest"
	"github.com/syncline-dev/syncline/internal/connector/gcs"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/sandbox/sandboxtest"
	"github.com/syncline-dev/syncline/internal/connector/transport"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	judge := sandboxtest.NewDiscovery(t, "google-cloud-storage", "storage-api.json")
	for _, format := range []string{"csv", "parquet"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			p, _ := place(t, judge)
			filestoretest.Run(t, p, format)
		})
	}
}

func TestTrouble(t *testing.T) {
	t.Parallel()
	p, x := place(t, sandboxtest.NewDiscovery(t, "google-cloud-storage", "storage-api.json", "/token"))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(map[string]string{"client_email": "sync@example.com", "private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	if err != nil {
		t.Fatal(err)
	}
	p.Settings = connector.Settings{"bucket": "exchange", "prefix": "some/folder", "serviceAccount": string(file), "environment": "sandbox"}
	filestoretest.RunTrouble(t, p, x)
}

func place(t *testing.T, judge *sandboxtest.Discovery) (filestoretest.Place, filestoretest.Trouble) {
	clock := sandbox.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), time.Millisecond)
	server := sandbox.NewServer(&gcs.Simulator{}, sandbox.NewWorld(clock.Now, 1), false)
	server.Judge = judge.See
	good := connector.Settings{"bucket": "exchange", "prefix": "some/folder", "accessToken": "sandbox_token"}
	with := func(f func(s sandbox.Shelf)) {
		server.Do(t.Context(), func(x *sandbox.Exchange) { f(sandbox.Shelf{W: x.W}) })
	}
	return filestoretest.Place{
		Connector: gcs.New(&transport.Pool{Now: clock.Now, Wait: clock.Wait}), Settings: good, Env: connector.Env{Sandbox: server}, Judge: "simulator; Google's API description", Not: map[card.Line]string{card.Webhook: connectortest.NoHooks},
		Bad: []connector.Settings{{"bucket": "exchange"}, {"bucket": "exchange", "accessToken": "wrong-token", "environment": "sandbox"}, {"bucket": "elsewhere", "accessToken": "sandbox_token"}},
		Put: func(_ testing.TB, name string, data []byte) {
			with(func(s sandbox.Shelf) { s.Put("some/folder/"+name, data) })
		},
		List: func(_ testing.TB, prefix string) (names []string) {
			with(func(s sandbox.Shelf) {
				for _, r := range s.Files("some/folder/" + prefix) {
					names = append(names, strings.TrimPrefix(sandbox.Text(r.Fields["name"]), "some/folder/"))
				}
			})
			return names
		},
		Remove: func(_ testing.TB, name string) {
			with(func(s sandbox.Shelf) { s.Remove("some/folder/" + name) })
		},
	}, filestoretest.InSandbox(server, clock)
}
