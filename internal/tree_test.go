// SPDX-License-Identifier: Apache-2.0

package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"testing"
)

// module is the import path of the repository's root.
const module = "github.com/syncline-dev/syncline"

// source is one Go file of the repository.
type source struct {
	path    string // from the repository's root: "internal/store/store.go"
	dir     string // its package's folder
	test    bool   // compiled into tests only
	file    *ast.File
	fset    *token.FileSet
	imports map[string]string // the name by which the file calls a package -> its import path
}

// at shows a place in the file for people.
func (s *source) at(n ast.Node) string {
	return s.path + ":" + strconv.Itoa(s.fset.Position(n.Pos()).Line)
}

// uses calls fn for each selection from an imported package: time.Now gives "time", "Now".
func (s *source) uses(fn func(at ast.Node, pkg, name string)) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok {
				if p, imported := s.imports[x.Name]; imported {
					fn(sel, p, sel.Sel.Name)
				}
			}
		}
		return true
	})
}

// repository is the tree that the tests of this package look at.
func repository() fs.FS { return os.DirFS("..") }

// skipped says whether a folder holds nothing of this module: hidden ones, other modules, and what tests read.
func skipped(fsys fs.FS, dir string) bool {
	if dir == "." {
		return false
	}
	base := path.Base(dir)
	if strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules" {
		return true
	}
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	return err == nil
}

// readSources parses every Go file of the module.
func readSources(t *testing.T, fsys fs.FS) []*source {
	t.Helper()
	var out []*source
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipped(fsys, p):
			return fs.SkipDir
		case d.IsDir() || path.Ext(p) != ".go":
			return nil
		}
		text, err := fs.ReadFile(fsys, p)
		if err != nil {
			return err
		}
		s := &source{path: p, dir: path.Dir(p), test: strings.HasSuffix(p, "_test.go"), fset: token.NewFileSet(), imports: make(map[string]string)}
		if s.file, err = parser.ParseFile(s.fset, p, text, parser.SkipObjectResolution); err != nil {
			return err
		}
		for _, i := range s.file.Imports {
			of, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			name := path.Base(of)
			if i.Name != nil {
				name = i.Name.Name
			}
			if name == "_" {
				name = "_ " + of
			}
			s.imports[name] = of
		}
		out = append(out, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// under says whether the package is in one of the places: "cmd/syncline" is exact, "api/..." is a folder with all below it.
func under(pkg string, places ...string) bool {
	for _, p := range places {
		if dir, all := strings.CutSuffix(p, "/..."); pkg == dir || all && strings.HasPrefix(pkg, dir+"/") {
			return true
		}
	}
	return false
}
