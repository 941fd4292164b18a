// SPDX-License-Identifier: Apache-2.0

package internal_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// codeForm is an error code: the package or connector, a dot, the reason.
var codeForm = regexp.MustCompile(`^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$`)

// codeless are folders whose codes no user can meet: the system that tests use, and the gallery's samples.
var codeless = []string{"internal/connector/connectortest", "internal/simulation", "web/gallery/..."}

// errorCodes finds the codes that the program can give, each with a place where it does. A code is what stands
//
//   - as the code of fault.New or fault.Wrap,
//   - in a field named Code or code of a composite literal,
//   - in a constant or variable named code..., Code..., or
//   - as the argument for a parameter named code of a function of the same package; where such a function puts a word in
//     front ("postgresql." + code), so do we.
//
// unreadable are places where a code is made in a way that this cannot follow, so that its page could be missing.
func errorCodes(sources []*source) (codes map[string]string, unreadable []string) {
	codes = make(map[string]string)
	byDir := make(map[string][]*source)
	for _, s := range sources {
		if !s.test && !under(s.dir, codeless...) {
			byDir[s.dir] = append(byDir[s.dir], s)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		p := codePackage{files: byDir[dir], words: make(map[string]string), makers: make(map[string]maker), codes: codes}
		p.collect()
		for _, s := range p.files {
			p.scan(s)
		}
		unreadable = append(unreadable, p.unreadable...)
	}
	return codes, unreadable
}

// codePackage is one package being searched.
type codePackage struct {
	files      []*source
	words      map[string]string // string constants
	makers     map[string]maker  // functions with a parameter named code
	codes      map[string]string
	unreadable []string
}

// maker is a function that is given a code, as its nth argument, and may put a word in front of it.
type maker struct {
	arg    int
	prefix string
}

func (p *codePackage) collect() {
	p.makers["fault.New"] = maker{arg: 1}
	p.makers["fault.Wrap"] = maker{arg: 2}
	for _, s := range p.files {
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				p.maker(n.Name.Name, n.Type, n.Body)
			case *ast.AssignStmt:
				for i := range min(len(n.Lhs), len(n.Rhs)) {
					if f, ok := n.Rhs[i].(*ast.FuncLit); ok {
						if name, ok := n.Lhs[i].(*ast.Ident); ok {
							p.maker(name.Name, f.Type, f.Body)
						}
					}
				}
			case *ast.GenDecl:
				if n.Tok != token.CONST {
					return true
				}
				for _, spec := range n.Specs {
					spec := spec.(*ast.ValueSpec)
					for i := range min(len(spec.Names), len(spec.Values)) {
						if word, ok := text(spec.Values[i]); ok {
							p.words[spec.Names[i].Name] = word
						}
					}
				}
			}
			return true
		})
	}
}

// maker notes a function with a parameter `code string`.
func (p *codePackage) maker(name string, typ *ast.FuncType, body *ast.BlockStmt) {
	i := 0
	for _, field := range typ.Params.List {
		of, _ := field.Type.(*ast.Ident)
		for _, param := range field.Names {
			if param.Name == "code" && (of == nil || of.Name == "string") {
				m := maker{arg: i}
				if body != nil {
					ast.Inspect(body, func(n ast.Node) bool {
						if b, ok := n.(*ast.BinaryExpr); ok && b.Op == token.ADD {
							if y, ok := b.Y.(*ast.Ident); ok && y.Name == "code" {
								if word, ok := text(b.X); ok && strings.HasSuffix(word, ".") {
									m.prefix = word
								}
							}
						}
						return true
					})
				}
				p.makers[name] = m
			}
			i++
		}
		if len(field.Names) == 0 {
			i++
		}
	}
}

func (p *codePackage) scan(s *source) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if m, ok := p.makers[called(n)]; ok && m.arg < len(n.Args) {
				e := n.Args[m.arg]
				if _, ok := text(e); ok || strings.HasPrefix(called(n), "fault.") || isName(e) {
					p.note(s, e, m.prefix) // else another function of that name
				}
			}
		case *ast.CompositeLit:
			for _, elt := range n.Elts {
				kv, ok := elt.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				if k, ok := kv.Key.(*ast.Ident); !ok || !strings.EqualFold(k.Name, "code") {
					continue
				}
				// Other things than errors have a Code, too, of which only what reads like one counts.
				if _, written := text(kv.Value); written || isName(kv.Value) || isError(n.Type) {
					p.note(s, kv.Value, "")
				}
			}
		case *ast.AssignStmt:
			for i := range min(len(n.Lhs), len(n.Rhs)) {
				if k, ok := n.Lhs[i].(*ast.Ident); ok && k.Name == "code" {
					if _, ok := text(n.Rhs[i]); ok {
						p.note(s, n.Rhs[i], "")
					}
				}
			}
		case *ast.ValueSpec:
			for i := range min(len(n.Names), len(n.Values)) {
				if strings.HasPrefix(strings.ToLower(n.Names[i].Name), "code") {
					if _, ok := text(n.Values[i]); ok {
						p.note(s, n.Values[i], "")
					}
				}
			}
		}
		return true
	})
}

// note takes an expression in a place where a code is wanted.
func (p *codePackage) note(s *source, e ast.Expr, prefix string) {
	word, ok := text(e)
	switch e := e.(type) {
	case *ast.Ident:
		if word, ok = p.words[e.Name]; !ok {
			return // a variable: noted where it is assigned, or a parameter: noted where it is given
		}
	case *ast.SelectorExpr:
		return // handed on from another error
	case *ast.BinaryExpr:
		if y, isName := e.Y.(*ast.Ident); isName && y.Name == "code" {
			return // a maker's
		}
	}
	switch {
	case !ok:
		p.unreadable = append(p.unreadable, fmt.Sprintf("%s makes a code that is not written out", s.at(e)))
	case codeForm.MatchString(prefix + word):
		if p.codes[prefix+word] == "" {
			p.codes[prefix+word] = s.at(e)
		}
	}
}

// called is the name of the function called: "refuse", "fault.New", and the method's name alone otherwise.
func called(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok && x.Name == "fault" {
			return "fault." + f.Sel.Name
		}
		return f.Sel.Name
	}
	return ""
}

// isError says whether the type of a literal is one of our errors: fault.Error, fault.Field, connector.Error.
func isError(typ ast.Expr) bool {
	switch t := typ.(type) {
	case *ast.SelectorExpr:
		return t.Sel.Name == "Error" || t.Sel.Name == "Field"
	case *ast.Ident:
		return t.Name == "Error" || t.Name == "Field"
	}
	return false
}

func isName(e ast.Expr) bool {
	_, ok := e.(*ast.Ident)
	return ok
}

func text(e ast.Expr) (string, bool) {
	b, ok := e.(*ast.BasicLit)
	if !ok || b.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(b.Value)
	return s, err == nil
}

// errorPageFaults compares the codes with the pages in docs/errors, and with what the program asks about.
func errorPageFaults(fsys fs.FS, sources []*source) []string {
	codes, faults := errorCodes(sources)
	files, err := fs.Glob(fsys, "docs/errors/*.md")
	if err != nil {
		return []string{err.Error()}
	}
	pages := make(map[string]bool)
	for _, f := range files {
		code := strings.TrimSuffix(path.Base(f), ".md")
		if code == "README" {
			continue
		}
		pages[code] = true
		if codes[code] == "" {
			faults = append(faults, fmt.Sprintf("%s is about a code that the program does not give (any more); remove it", f))
		}
		b, err := fs.ReadFile(fsys, f)
		if err != nil {
			return []string{err.Error()}
		}
		first, _, _ := strings.Cut(string(b), "\n")
		if strings.Trim(first, "# `") != code {
			faults = append(faults, fmt.Sprintf("%s begins with %q; its title is the code", f, first))
		}
		for _, part := range []string{"Cause", "Remedy"} {
			if !strings.Contains(string(b), part) {
				faults = append(faults, fmt.Sprintf("%s has no %s", f, strings.ToLower(part)))
			}
		}
	}
	for code, at := range codes {
		if !pages[code] {
			faults = append(faults, fmt.Sprintf("%s gives the code %s, which has no page docs/errors/%s.md", at, code, code))
		}
	}
	for _, s := range sources {
		ast.Inspect(s.file, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok && called(c) == "fault.IsCode" && len(c.Args) == 2 {
				if code, ok := text(c.Args[1]); ok && codes[code] == "" {
					faults = append(faults, fmt.Sprintf("%s asks for the code %s, which nothing gives", s.at(c), code))
				}
			}
			return true
		})
	}
	slices.Sort(faults)
	return faults
}

// TestEveryErrorHasItsPage keeps the promise of package fault: a code that people can meet has a page with cause and remedy.
func TestEveryErrorHasItsPage(t *testing.T) {
	fsys := repository()
	for _, f := range errorPageFaults(fsys, readSources(t, fsys)) {
		t.Error(f)
	}
}

// TestMissingPagesAreSeen tries each way of making a code.
func TestMissingPagesAreSeen(t *testing.T) {
	const head = "package a\nimport \"" + module + "/internal/fault\"\n"
	tests := []struct {
		name string
		text string
		want string // part of the only report; "" for none
	}{
		{"new", `var e = fault.New(fault.Invalid, "a.new", "x")`, "gives the code a.new"},
		{"wrapped", `var e = fault.Wrap(nil, fault.Invalid, "a.wrapped", "x")`, "gives the code a.wrapped"},
		{"with a page", `var e = fault.New(fault.Invalid, "a.paged", "x")`, ""},
		{"in a field", `var e = connector.Error{Code: "a.field"}`, "gives the code a.field"},
		{"a constant", "const codeOf = \"a.constant\"\n", "gives the code a.constant"},
		{"a constant with another name", "const no, text = \"a.missing\", \"x\"\nvar e = fault.New(fault.NotFound, no, text)", "gives the code a.missing"},
		{"a helper", "func f(code string) {}\nfunc g() { f(\"a.helped\") }", "gives the code a.helped"},
		{"a method", "func (t) f(n int, code, message string) {}\nfunc g() { x.f(1, \"a.method\", \"\") }", "gives the code a.method"},
		{"a helper with a prefix", "func f(code string) error { return E{Code: \"sys.\" + code} }\nvar e = f(\"lost\")", "gives the code sys.lost"},
		{"a helper inside", "func g() { made := func(code string) error { return E{Code: \"sys.\" + code} }\nmade(\"gone\") }", "gives the code sys.gone"},
		{"a variable", "func g() { code := \"a.chosen\"; f(code) }", "gives the code a.chosen"},
		{"made up in a field", `var e = connector.Error{Code: pick()}`, "not written out"},
		{"the code of something else", `var v = view{Code: pick()}`, ""},
		{"made up", `var e = fault.New(fault.Invalid, pick(), "x")`, "not written out"},
		{"asked for in vain", `var e = fault.IsCode(nil, "a.never")`, "asks for the code a.never"},
		{"not a code", `var e = fault.Field{Message: "a.message"}`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tree := fstest.MapFS{"a/a.go": {Data: []byte(head + test.text)}}
			if strings.Contains(test.text, "a.paged") {
				tree["docs/errors/a.paged.md"] = &fstest.MapFile{Data: []byte("# a.paged\n\nCause. Remedy.\n")}
			}
			got := errorPageFaults(tree, readSources(t, tree))
			if test.want == "" && len(got) > 0 || test.want != "" && (len(got) != 1 || !strings.Contains(got[0], test.want)) {
				t.Errorf("reported %q, want %q", got, test.want)
			}
		})
	}
	t.Run("a page without a code", func(t *testing.T) {
		tree := fstest.MapFS{"docs/errors/a.gone.md": {Data: []byte("# `a.old`\n\n**Cause.** Something.\n")}}
		got := errorPageFaults(tree, nil)
		if len(got) != 3 {
			t.Errorf("reported %q, want that the code is gone, the title another, and no remedy", got)
		}
	})
}
