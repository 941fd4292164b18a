// SPDX-License-Identifier: Apache-2.0

package internal_test

import (
	"fmt"
	"go/ast"
	"io/fs"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
)

var (
	mdLink    = regexp.MustCompile(`!?\[[^\]]*\]\(([^)\s]+)\)`)
	mdHeading = regexp.MustCompile(`(?m)^#{1,6} +(.+?) *$`)
	mdCode    = regexp.MustCompile("`([^`\n]+)`")
	mdFence   = regexp.MustCompile("(?ms)^```.*?^```$")
	testName  = regexp.MustCompile(`\bTest[A-Z][A-Za-z0-9_]*\b`)
	// ourPath is a path of the repository as documents name one, without the places in it that stand for something else.
	ourPath = regexp.MustCompile(`^(api|billing|cmd|deploy|docs|internal|migrations|scripts|web)(/[A-Za-z0-9_.*-]+)+/?$`)
	// globbed is a request with brackets in its address, which curl takes for a pattern unless -g is said.
	globbed  = regexp.MustCompile(`(?m)^curl(?:\\\n|[^\n])*?"[^"\s]*/[^"\s]*\[(?:\\\n|[^\n])*$`)
	curlAsIs = regexp.MustCompile(`^curl(?:\s.*)?\s-[a-zA-Z]*g`)
	// machinePath is a path that means something on one machine only.
	machinePath = regexp.MustCompile(`(^|[\s"'(=])(/(work|root|home|Users|tmp)/|[A-Z]:\\)`)
)

// docFaults are what is wrong with the documents of a tree: links and paths that lead nowhere, tests that are not there,
// words that do not belong.
func docFaults(fsys fs.FS, sources []*source) []string {
	var faults []string
	report := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	tests := make(map[string]bool)
	for _, s := range sources {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.test {
				tests[f.Name.Name] = true
			}
		}
	}
	documents := readDocuments(fsys)
	linked := make(map[string]bool)
	for _, file := range slices.Sorted(maps.Keys(documents)) {
		doc := documents[file]
		prose := mdFence.ReplaceAllString(doc, "")
		for _, m := range mdLink.FindAllStringSubmatch(prose, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			to := file
			if target != "" {
				to = path.Join(path.Dir(file), target)
			}
			linked[file+" "+to] = true
			if _, err := fs.Stat(fsys, to); err != nil {
				report("%s links to %s, which does not exist", file, m[1])
			} else if anchor != "" && !slices.Contains(anchors(documents[to]), anchor) {
				report("%s links to %s, and %s has no such heading", file, m[1], to)
			}
		}
		for _, m := range mdCode.FindAllStringSubmatch(prose, -1) {
			if !ourPath.MatchString(m[1]) {
				continue
			}
			if found, err := fs.Glob(fsys, strings.TrimSuffix(m[1], "/")); err != nil || len(found) == 0 {
				report("%s names `%s`, which does not exist", file, m[1])
			}
		}
		for _, name := range testName.FindAllString(prose, -1) {
			if !tests[name] {
				report("%s names the test %s, which does not exist", file, name)
			}
		}
		if m := machinePath.FindString(doc); m != "" {
			report("%s holds %q, a path of one machine", file, strings.TrimSpace(m))
		}
		for _, request := range globbed.FindAllString(doc, -1) {
			if !curlAsIs.MatchString(request) {
				report("%s has a curl that takes [ for a pattern: say -g", file)
			}
		}
		if strings.Contains(prose, "—") {
			report("%s holds an em dash", file)
		}
	}
	const index = "docs/README.md"
	for file := range documents {
		if dir := path.Dir(file); (dir == "docs" || dir == "docs/connectors") && file != index && !linked[index+" "+file] {
			report("%s is not listed in %s", file, index)
		}
	}
	slices.Sort(faults)
	return faults
}

// readDocuments returns the Markdown files of the tree.
func readDocuments(fsys fs.FS) map[string]string {
	out := make(map[string]string)
	_ = fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipped(fsys, p):
			return fs.SkipDir
		case !d.IsDir() && path.Ext(p) == ".md":
			text, err := fs.ReadFile(fsys, p)
			if err != nil {
				return err
			}
			out[p] = string(text)
		}
		return nil
	})
	return out
}

// anchors are the names that headings can be linked by: lower case, without marks, hyphens for spaces.
func anchors(doc string) []string {
	var out []string
	for _, m := range mdHeading.FindAllStringSubmatch(mdFence.ReplaceAllString(doc, ""), -1) {
		out = append(out, strings.Map(func(r rune) rune {
			switch {
			case r == ' ' || r == '-':
				return '-'
			case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, m[1]))
	}
	return out
}

// TestDocumentsAreTrue keeps what can be kept mechanically.
func TestDocumentsAreTrue(t *testing.T) {
	fsys := repository()
	for _, f := range docFaults(fsys, readSources(t, fsys)) {
		t.Error(f)
	}
}

// TestEverySettingIsDocumented compares the environment variables of the program with docs/configuration.md, both ways.
func TestEverySettingIsDocumented(t *testing.T) {
	fsys := repository()
	page := readDocuments(fsys)["docs/configuration.md"]
	read := make(map[string]bool)
	for _, s := range readSources(t, fsys) {
		if s.dir != "cmd/syncline" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if f, ok := n.(*ast.Field); ok && f.Tag != nil {
				if name := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("env"); name != "" {
					name, _, _ = strings.Cut(name, ",")
					read[name] = true
				}
			}
			return true
		})
	}
	if len(read) < 10 {
		t.Fatalf("only %d settings were found", len(read))
	}
	for name := range read {
		if !strings.Contains(page, "| `"+name+"` |") {
			t.Errorf("the program reads %s, and docs/configuration.md has no row for it", name)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z][A-Z_]+)` \\|").FindAllStringSubmatch(page, -1) {
		if !read[m[1]] {
			t.Errorf("docs/configuration.md has a row for %s, which the program does not read", m[1])
		}
	}
}

// TestFalseDocumentsAreSeen breaks each rule once.
func TestFalseDocumentsAreSeen(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"nothing wrong", "See [b](b.md#what-it-is), `internal/a/a_test.go`, TestThere and https://example.com/home/x.", ""},
		{"a link to nothing", "See [b](gone.md).", "links to gone.md"},
		{"an image that is missing", "![The dashboard](images/x.png)", "links to images/x.png"},
		{"an anchor of nothing", "See [b](b.md#else).", "no such heading"},
		{"a path to nothing", "It is in `internal/gone/x.go`.", "names `internal/gone/x.go`"},
		{"a pattern", "Those of `internal/*/*_test.go`.", ""},
		{"a test that is gone", "Kept by TestGone.", "the test TestGone"},
		{"a path of one machine", "Run it in /home/ada/src.", "a path of one machine"},
		{"links in code do not count", "```\n[x](gone.md)\n```", ""},
		{"a request with brackets", "```\ncurl \"$URL/v1/x?filter[a]=b\"\n```", "say -g"},
		{"a request with brackets, as it is", "```\ncurl -gN -H \"A: b\" \\\n  \"$URL/v1/x?filter[a]=b\"\n```", ""},
		{"a request with a list", "```\ncurl \"$URL/v1/x\" -d '{\"a\": [1]}'\n```", ""},
		{"an em dash", "This — and that.", "em dash"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tree := fstest.MapFS{
				"docs/a.md":              {Data: []byte("# A\n\n" + test.text + "\n")},
				"docs/b.md":              {Data: []byte("# B\n\n## What it is\n")},
				"docs/README.md":         {Data: []byte("[a](a.md) [b](b.md)\n")},
				"internal/a/a_test.go":   {Data: []byte("package a\nfunc TestThere() {}\n")},
				"node_modules/x/READ.md": {Data: []byte("[x](gone.md)")},
			}
			got := docFaults(tree, readSources(t, tree))
			if test.want == "" && len(got) > 0 || test.want != "" && (len(got) != 1 || !strings.Contains(got[0], test.want)) {
				t.Errorf("reported %q, want %q", got, test.want)
			}
		})
	}
	t.Run("a page that is not listed", func(t *testing.T) {
		tree := fstest.MapFS{"docs/a.md": {Data: []byte("# A\n")}, "docs/README.md": {Data: []byte("# Index\n")}}
		if got := docFaults(tree, nil); len(got) != 1 || !strings.Contains(got[0], "is not listed") {
			t.Errorf("reported %q", got)
		}
	})
}
