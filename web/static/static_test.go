// SPDX-License-Identifier: Apache-2.0

package static

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func get(t *testing.T, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

func TestEveryFileIsServedWithHashAndLongLife(t *testing.T) {
	for name, a := range byName {
		resp := get(t, URL(name))
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK || string(body) != string(a.body) {
			t.Errorf("%s: status %d, %d bytes", name, resp.StatusCode, len(body))
		}
		if got := resp.Header.Get("Cache-Control"); !strings.Contains(got, "immutable") {
			t.Errorf("%s: Cache-Control %q", name, got)
		}
		if again := get(t, URL(name), "If-None-Match", resp.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s: asked again with its ETag: status %d, want 304", name, again.StatusCode)
		}
	}
}

func TestTextIsCompressedOnceAndOnlyWhenAccepted(t *testing.T) {
	tests := []struct {
		name, accept string
		zipped       bool
	}{
		{"a browser", "gzip, deflate, br, zstd", true},
		{"no header", "", false},
		{"refused by weight", "br, gzip;q=0", false},
		{"weighted", "gzip;q=0.8", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp := get(t, URL("app.css"), "Accept-Encoding", tt.accept)
			if got := resp.Header.Get("Content-Encoding") == "gzip"; got != tt.zipped {
				t.Fatalf("gzip %v, want %v", got, tt.zipped)
			}
			var body io.Reader = resp.Body
			if tt.zipped {
				z, err := gzip.NewReader(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				body = z
			}
			text, err := io.ReadAll(body)
			if err != nil || string(text) != string(Content("app.css")) {
				t.Fatalf("the text differs after unpacking: %v", err)
			}
		})
	}
	if resp := get(t, URL("fonts/inter.woff2"), "Accept-Encoding", "gzip"); resp.Header.Get("Content-Encoding") != "" {
		t.Error("a font is compressed already and must be sent as it is")
	}
}

func TestUnknownAndOutdatedAddressesAreNotFound(t *testing.T) {
	for _, p := range []string{"/static/app.css", "/static/app.000000000000.css", "/static/../static.go", "/static/"} {
		if resp := get(t, p); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d, want 404", p, resp.StatusCode)
		}
	}
}

func TestStyleSheetNamesOnlyFilesThatExist(t *testing.T) {
	found := inside.FindAllSubmatch(Content("app.css"), -1)
	if len(found) == 0 {
		t.Fatal("the style sheet refers to no font")
	}
	for _, m := range found {
		if byURL[string(m[1])] == nil {
			t.Errorf("the style sheet refers to %s, which is not served", m[1])
		}
	}
}
