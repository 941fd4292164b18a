// SPDX-License-Identifier: Apache-2.0

package connection_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each code that these packages make errors with has its page.
func TestErrorPages(t *testing.T) {
	made := regexp.MustCompile(`(?:fault\.New\([a-zA-Z.]+, |fault\.Wrap\([a-z]+, [a-zA-Z.]+, |Code: |notFound\([a-z]+, )"([a-z_]+\.[a-z_]+)"`)
	found := 0
	for _, pattern := range []string{"*.go", "../service/*.go", "../connector/*.go", "../store/connection.go", "../store/service.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range made.FindAllStringSubmatch(string(source), -1) {
				found++
				page, err := os.ReadFile(filepath.Join("..", "..", "docs", "errors", m[1]+".md"))
				if err != nil {
					t.Errorf("%s: %v", file, err)
				} else if !strings.Contains(string(page), m[1]) || !strings.Contains(string(page), "**Remedy.**") {
					t.Errorf("the page of %s does not name it, or no remedy", m[1])
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d codes were found", found)
	}
}
