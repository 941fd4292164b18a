// SPDX-License-Identifier: Apache-2.0

package gallery

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/web/static"
)

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

func page(t *testing.T, path string) string {
	t.Helper()
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Body.String()
}

var (
	iconUse   = regexp.MustCompile(`/static/icons\.[0-9a-f]+\.svg#([a-z0-9-]*)`)
	anyID     = regexp.MustCompile(`\sid="([^"]*)"`)
	forbidden = map[string]*regexp.Regexp{
		"an inline style":         regexp.MustCompile(`\sstyle="`),
		"an inline handler":       regexp.MustCompile(`\son[a-z]+="`),
		"an inline script":        regexp.MustCompile(`<script[^>]*>[^<]`),
		"evaluated htmx code":     regexp.MustCompile(`hx-on|="js:|hx-trigger="[^"]*\[`),
		"an address elsewhere":    regexp.MustCompile(`(src|href)="(https?:)?//`),
		"a template left unready": regexp.MustCompile(`\{ [a-z]+\.[A-Z]`),
	}
)

// TestMarkup holds every page to what the content security policy and the sprite allow.
func TestMarkup(t *testing.T) {
	sprite := string(static.Content("icons.svg"))
	for _, e := range Entries() {
		t.Run(name(e.Path), func(t *testing.T) {
			html := page(t, e.Path)
			for _, m := range iconUse.FindAllStringSubmatch(html, -1) {
				if !strings.Contains(sprite, `<symbol id="`+m[1]+`"`) {
					t.Errorf("icon %q is not in the sprite: add it to web/editor/icons.txt and build", m[1])
				}
			}
			seen := map[string]bool{}
			for _, m := range anyID.FindAllStringSubmatch(html, -1) {
				if seen[m[1]] {
					t.Errorf("id %q is given twice", m[1])
				}
				seen[m[1]] = true
			}
			for what, re := range forbidden {
				if m := re.FindString(html); m != "" {
					t.Errorf("%s: %s", what, m)
				}
			}
			if !strings.HasPrefix(html, "<!doctype html>") && !strings.HasPrefix(html, "<!DOCTYPE html>") {
				t.Errorf("no doctype: %.40q", html)
			}
		})
	}
}

func TestEveryPageCarriesTheHeaders(t *testing.T) {
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	for header, want := range map[string]string{
		"Content-Security-Policy": "script-src 'self'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
		"Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-store",
	} {
		if got := w.Header().Get(header); !strings.Contains(got, want) {
			t.Errorf("%s is %q, want %q in it", header, got, want)
		}
	}
	if csp := w.Header().Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") {
		t.Errorf("the policy allows something unsafe: %s", csp)
	}
}
