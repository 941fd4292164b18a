// SPDX-License-Identifier: Apache-2.0

// Package files is the connector of folders on the machine that Syncline runs on, or that are mounted there.
package files

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/filestore"
)

// Connector is the connector type files.
type Connector struct{ dir string }

// New returns the connector. All its folders are inside dir, those of each tenant in one named by the tenant's id; with "" there are none.
func New(dir string) Connector { return Connector{dir} }

// Spec declares the connector.
func (Connector) Spec() connector.Spec {
	return connector.Spec{
		Type:    "files",
		Aliases: []string{"folder", "local-files"},
		Title:   "Files",
		Summary: "Tables in files of a folder: CSV, JSON, JSON Lines, XML, XLSX and Parquet.",
		Class:   "standard",
		Settings: append([]connector.Setting{
			{Name: "folder", Title: "Folder", Kind: connector.Text, Doc: "The folder, below the one that the operator set aside for you. By default that folder itself."},
			{Name: "settleSeconds", Title: "Leave alone for", Kind: connector.Integer, Default: "2",
				Doc: "Seconds that a file must not have changed before it is read, so that one that is being written is not read in the middle."},
		}, filestore.Settings()...),
		Detections: []string{filestore.ByHash},
		Deletes:    filestore.Deletes,
		Guarantee:  filestore.Guarantee,
	}
}

// Open prepares a system; files are opened when they are first needed.
func (c Connector) Open(_ context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	if c.dir == "" {
		return nil, &connector.Error{Class: connector.Reconnect, Code: "files.not_set_up",
			Message: "This installation has no folder for files. The operator sets one with SYNCLINE_FILES_DIR."}
	}
	options, err := filestore.ReadOptions(settings)
	if err != nil {
		return nil, err
	}
	if n, err := strconv.Atoi(settings["settleSeconds"]); err == nil && n > 0 {
		options.Settle = time.Duration(n) * time.Second
	}
	folder := filepath.FromSlash(strings.Trim(settings["folder"], "/"))
	if folder == "" {
		folder = "."
	}
	if !filepath.IsLocal(folder) {
		return nil, &connector.Error{Class: connector.Reconnect, Code: "files.folder_outside", Message: fmt.Sprintf("The folder %q is not below the one that is set aside for you.", settings["folder"])}
	}
	dir := filepath.Join(c.dir, env.Tenant)
	return filestore.New(&store{dir: dir, folder: folder, seen: map[string]seen{}}, "the folder", options, env)
}
