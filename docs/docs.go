// SPDX-License-Identifier: Apache-2.0

// Package docs holds the documentation in Markdown, embedded, so that the program can show the page of each error code.
package docs

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed *.md errors/*.md
var files embed.FS

// Guide returns the text of a guide by its name without ending: "service-document".
func Guide(name string) (text []byte, found bool) { return read(name) }

// Error returns the page of an error code: "service.version_stale".
func Error(code string) (text []byte, found bool) { return read("errors/" + code) }

// Guides lists the names of the guides, sorted.
func Guides() []string { return names(".") }

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
