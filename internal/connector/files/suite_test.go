// SPDX-License-Identifier: Apache-2.0

package files_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/files"
	"github.com/syncline-dev/syncline/internal/connector/filestore/filestoretest"
)

const folder = "it is a folder of this machine: no calls, no sign-in, no messages"

func place(t *testing.T) filestoretest.Place {
	dir := t.TempDir()
	at := filepath.Join(dir, "tenant-1", "exchange")
	if err := os.MkdirAll(at, 0o750); err != nil {
		t.Fatal(err)
	}
	return filestoretest.InFolder(filestoretest.Place{
		Connector: files.New(dir), Env: connector.Env{Tenant: "tenant-1"}, Judge: "a folder", Not: map[card.Line]string{
			card.Limit: folder, card.Expired: folder, card.Webhook: folder, card.Unknown: "a file is replaced in one step of this machine, which either was done or was not"},
		Settings: connector.Settings{"folder": "exchange", "settleSeconds": "0"},
		Bad:      []connector.Settings{{"folder": "nowhere"}, {"folder": "../other"}, {"folder": "/../../etc"}},
	}, at)
}

func TestSuite(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"csv", "json", "xlsx", "parquet"} { // the others are tried on other stores
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			filestoretest.Run(t, place(t), format)
		})
	}
}
