// SPDX-License-Identifier: Apache-2.0

package gallery

import (
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

// TestEveryPageIsAccessible looks at each page as four readers see it: light and dark, wide and 320 px. The page is
// loaded once and the view changes, as when someone turns a tablet or the sun sets.
func TestEveryPageIsAccessible(t *testing.T) {
	server := webtest.Serve(t, Handler())
	for _, e := range Entries() {
		t.Run(name(e.Path), func(t *testing.T) {
			p := webtest.Open(t, server+e.Path, webtest.Options{})
			for _, scheme := range []string{"light", "dark"} {
				for _, width := range []int{1280, 320} {
					p.See(width, 800, scheme)
					p.Reflows()
					p.Targets()
					p.Axe()
					p.Shot(name(e.Path))
				}
			}
		})
	}
}
