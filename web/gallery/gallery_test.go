// SPDX-License-Identifier: Apache-2.0

package gallery

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

func name(path string) string {
	if path == "/" {
		return "overview"
	}
	return strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", "-")
}

// TestEveryPageIsAccessible opens each page as four readers see it: light and dark, wide and 320 px.
func TestEveryPageIsAccessible(t *testing.T) {
	server := httptest.NewServer(Handler())
	defer server.Close()
	views := []webtest.Options{
		{Width: 1280, Height: 800, Scheme: "light"},
		{Width: 1280, Height: 800, Scheme: "dark"},
		{Width: 320, Height: 640, Scheme: "light"},
		{Width: 320, Height: 640, Scheme: "dark"},
	}
	for _, e := range Entries() {
		for _, v := range views {
			t.Run(name(e.Path)+"/"+v.Scheme+"/"+map[bool]string{true: "narrow", false: "wide"}[v.Width < 400], func(t *testing.T) {
				p := webtest.Open(t, server.URL+e.Path, v)
				p.Reflows()
				p.Targets()
				p.Axe()
				p.Shot(name(e.Path))
			})
		}
	}
}
