// SPDX-License-Identifier: Apache-2.0

package service

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
)

// Every YAML document of the reference page is accepted, as it stands, by a build with the two databases.
func TestDocumentedExamples(t *testing.T) {
	page, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) != 3 {
		t.Fatalf("%d examples", len(blocks))
	}
	known := databasesOnly()
	known.Connection = func(name string) (string, bool) {
		return map[string]string{"shop-db": "mysql", "warehouse-db": "postgresql"}[name], strings.HasSuffix(name, "-db")
	}
	known.Secret = func(name string) bool { return name == "WAREHOUSE_PASSWORD" }
	for _, b := range blocks {
		doc, found := Check(b[1], YAML, known)
		if doc == nil || len(found.Errors)+len(found.Notices) > 0 {
			t.Fatalf("%+v\nin\n%s", found, b[1])
		}
	}
	doc, _ := Parse(blocks[0][1], YAML)
	if c := doc.Collections(); len(c) != 1 || c[0].Name != "inventory" || len(c[0].Members) != 2 {
		t.Errorf("collections %+v", c)
	}
	if s := doc.StrategyFor("quantity"); s.Kind != SystemWins || s.System != "warehouse" {
		t.Errorf("quantity %+v", s)
	}
	if s := doc.StrategyFor("price"); s.Kind != Manual {
		t.Errorf("price %+v", s)
	}
}

// Each code that a document's problems can have has its page.
func TestErrorPages(t *testing.T) {
	source, err := os.ReadFile("document_errors.go")
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile(`"(service\.[a-z_]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(codes) < 30 {
		t.Fatalf("only %d codes", len(codes))
	}
	for _, m := range codes {
		page, err := os.ReadFile(filepath.Join("..", "..", "docs", "errors", m[1]+".md"))
		if err != nil {
			t.Error(err)
			continue
		}
		text := string(page)
		if !strings.HasPrefix(text, "# `"+m[1]+"`\n") || !strings.Contains(text, "Remedy") {
			t.Errorf("the page of %s has no title or remedy", m[1])
		}
	}
}

// The settings that connectors declare and the settings that name an object do not get in each other's way.
func TestTableSettings(t *testing.T) {
	known := databasesOnly()
	known.Connector = func(typ string) (connector.Spec, bool) {
		s := specPostgres()
		if typ == "mysql" {
			s.Settings = append(s.Settings, connector.Setting{Name: "table", Kind: connector.Text})
		}
		return s, true
	}
	doc := mustParse(t, "service: d\nsystems:\n  - {id: a, type: postgresql, connection: {host: h, database: d, table: x}}\n  - {id: b, type: mysql, connection: {host: h, database: d, table: y}}\n")
	if found := doc.Validate(known); len(found.Errors)+len(found.Notices) > 0 {
		t.Errorf("%+v", found)
	}
}
