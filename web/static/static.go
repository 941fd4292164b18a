// SPDX-License-Identifier: Apache-2.0

// Package static holds the files the browser needs, embedded, and serves them under names that carry a hash of their
// content, so that they can be kept for a year.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

//go:embed css js fonts img vendor
var files embed.FS

// Prefix is the path under which Handler expects to be mounted.
const Prefix = "/static/"

// An asset is one file as it is sent.
type asset struct {
	url    string // with the hash, under Prefix
	mime   string
	body   []byte
	zipped func() []byte // compressed at the first request; nil when the file gains nothing
	etag   string
}

var (
	byName = map[string]*asset{}
	byURL  = map[string]*asset{}
)

var mimes = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".woff2": "font/woff2",
}

// inside finds the addresses of other files in a style sheet.
var inside = regexp.MustCompile(`url\("([^"]+)"\)`)

func init() {
	for _, dir := range []string{"fonts", "img", "vendor"} {
		for _, name := range list(dir) {
			if mimes[path.Ext(name)] != "" {
				add(strings.TrimPrefix(name, "vendor/"), read(name))
			}
		}
	}
	var css bytes.Buffer
	for _, name := range list("css") {
		css.Write(read(name))
	}
	add("app.css", inside.ReplaceAllFunc(css.Bytes(), func(m []byte) []byte {
		return []byte(`url("` + URL(string(inside.FindSubmatch(m)[1])) + `")`)
	}))
	// The first script declares what the others share; each of the others gets a block of its own.
	var js bytes.Buffer
	for i, name := range list("js") {
		if i == 0 {
			js.Write(read(name))
			continue
		}
		js.WriteString("{\n")
		js.Write(read(name))
		js.WriteString("}\n")
	}
	add("app.js", js.Bytes())
}

func list(dir string) []string {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		panic(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, dir+"/"+e.Name())
	}
	return names
}

func read(name string) []byte {
	body, err := files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return body
}

func add(name string, body []byte) {
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])[:12]
	ext := path.Ext(name)
	a := &asset{
		url:  Prefix + strings.TrimSuffix(name, ext) + "." + hash + ext,
		mime: mimes[ext],
		body: body,
		etag: `"` + hash + `"`,
	}
	if ext != ".woff2" {
		a.zipped = sync.OnceValue(func() []byte {
			var b bytes.Buffer
			w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
			_, _ = w.Write(body) // a bytes.Buffer does not fail
			_ = w.Close()
			return b.Bytes()
		})
	}
	byName[name], byURL[a.url] = a, a
}

// URL is the address of a file: "app.css", "app.js", "htmx.js", "editor.js", "icons.svg", "fonts/inter.woff2",
// "img/favicon.svg". It panics on a name that does not exist, which any test of the page finds.
func URL(name string) string {
	a := byName[name]
	if a == nil {
		panic(fmt.Sprintf("static: no file %q", name))
	}
	return a.url
}

// Content is the text of a file as it is sent, for tests that look inside.
func Content(name string) []byte { return byName[name].body }

// Handler serves the files under Prefix. An address whose hash is not the present one is not found: two versions of
// the program that run side by side never mix their styles.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := byURL[r.URL.Path]
		if a == nil || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", a.mime)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("ETag", a.etag)
		if r.Header.Get("If-None-Match") == a.etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		body := a.body
		if a.zipped != nil {
			h.Set("Vary", "Accept-Encoding")
			if acceptsGzip(r.Header.Get("Accept-Encoding")) {
				h.Set("Content-Encoding", "gzip")
				body = a.zipped()
			}
		}
		h.Set("Content-Length", strconv.Itoa(len(body)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(body) // the reader may be gone
		}
	})
}

// acceptsGzip reads Accept-Encoding as far as browsers use it: "gzip" named and not refused by a weight of zero.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(name) == "gzip" {
			return strings.ReplaceAll(weight, " ", "") != "q=0"
		}
	}
	return false
}
