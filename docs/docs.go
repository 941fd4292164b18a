// SPDX-License-Identifier: Apache-2.0

// Package docs holds the documentation in Markdown, embedded, so that the program can show the page of each error code.
package docs

import (
	"embed"
	"io/fs"
	"slices"
	"strings"
)

//go:embed *.md errors/*.md connectors/*.md
var files embed.FS

// Guide returns the text of a guide by its name without ending: "service-document".
func Guide(name string) (text []byte, found bool) { return read(name) }

// Connector returns the page of a connector by its type: "postgresql".
func Connector(name string) (text []byte, found bool) { return read("connectors/" + name) }

// Error returns the page of an error code: "service.version_stale".
func Error(code string) (text []byte, found bool) { return read("errors/" + code) }

// Guides lists the names of the guides, sorted. The README is the contents of the folder, not a guide.
func Guides() []string {
	return slices.DeleteFunc(names("."), func(name string) bool { return name == "README" })
}

// Connectors lists the connectors that have a page, sorted.
func Connectors() []string { return names("connectors") }

// Errors lists the codes that have a page, sorted.
func Errors() []string { return names("errors") }

func read(name string) ([]byte, bool) {
	text, err := files.ReadFile(name + ".md")
	return text, err == nil
}

func names(dir string) (names []string) {
	list, err := fs.ReadDir(files, dir)
	if err != nil {
		panic(err) // the directory is embedded
	}
	for _, e := range list {
		if name, ok := strings.CutSuffix(e.Name(), ".md"); ok && !e.IsDir() {
			names = append(names, name)
		}
	}
	return names
}
