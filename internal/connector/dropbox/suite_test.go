// SPDX-License-Identifier: Apache-2.0

package dropbox_test

import (
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/dropbox"
	"github.com/syncline-dev/syncline/internal/connector/filestore/filestoretest"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/transport"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"csv", "parquet"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			p, _ := place(t)
			filestoretest.Run(t, p, format)
		})
	}
}

func TestTrouble(t *testing.T) {
	t.Parallel()
	p, x := place(t)
	filestoretest.RunTrouble(t, p, x)
}

func place(t *testing.T) (filestoretest.Place, filestoretest.Trouble) {
	clock := sandbox.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), time.Millisecond)
	server := sandbox.NewServer(&dropbox.Simulator{}, sandbox.NewWorld(clock.Now, 1), false)
	good := connector.Settings{"folder": "some/folder", "clientId": "app", "clientSecret": "sandbox_app", "refreshToken": "sandbox_refresh"}
	with := func(f func(s sandbox.Shelf)) {
		server.Do(t.Context(), func(x *sandbox.Exchange) { f(sandbox.Shelf{W: x.W}) })
	}
	return filestoretest.Place{
		Connector: dropbox.New(&transport.Pool{Now: clock.Now, Wait: clock.Wait}), Settings: good, Env: connector.Env{Sandbox: server}, Judge: "its simulator", Not: map[card.Line]string{card.Webhook: connectortest.NoMore},
		Bad: []connector.Settings{{}, {"accessToken": "wrong-token", "environment": "sandbox"}, {"folder": "elsewhere", "accessToken": "sandbox_token"},
			{"clientId": "app", "clientSecret": "sandbox_app", "refreshToken": "taken-back"}},
		Put: func(_ testing.TB, name string, data []byte) {
			with(func(s sandbox.Shelf) { s.Put("/some/folder/"+name, data) })
		},
		List: func(_ testing.TB, prefix string) (names []string) {
			with(func(s sandbox.Shelf) {
				for _, r := range s.Files("/some/folder/" + prefix) {
					names = append(names, strings.TrimPrefix(sandbox.Text(r.Fields["name"]), "/some/folder/"))
				}
			})
			return names
		},
		Remove: func(_ testing.TB, name string) {
			with(func(s sandbox.Shelf) { s.Remove("/some/folder/" + name) })
		},
	}, filestoretest.InSandbox(server, clock)
}
