// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/docs"
	"github.com/syncline-dev/syncline/internal/connector/transport"
)

// Each connector has a page, which states the guarantee that the connector declares, and every way in which it can see changes; and
// there is no page of a connector that is not there.
func TestPagesStateWhatConnectorsDeclare(t *testing.T) {
	t.Parallel()
	plain := func(s string) string {
		return strings.ToLower(strings.Join(strings.Fields(strings.NewReplacer("`", "", "*", "").Replace(s)), " "))
	}
	pages := docs.Connectors()
	for _, c := range connectors(config{}, &transport.Pool{}) {
		spec := c.Spec()
		pages = slices.DeleteFunc(pages, func(p string) bool { return p == spec.Type })
		source, there := docs.Connector(spec.Type)
		if !there {
			t.Errorf("docs/connectors has no page %s", spec.Type)
			continue
		}
		page := plain(string(source))
		if !strings.Contains(page, strings.TrimRight(plain(spec.Guarantee), ".")) {
			t.Errorf("the page %s does not state the guarantee that the connector declares: %s", spec.Type, spec.Guarantee)
		}
		if strings.HasPrefix(plain(spec.Guarantee), "nothing is written") {
			continue // it is asked, and never looked at for changes
		}
		for _, d := range spec.Detections {
			if !strings.Contains(string(source), "`"+d+"`") && !strings.Contains(string(source), "| "+d+" |") {
				t.Errorf("the page %s says nothing of the detection `%s`", spec.Type, d)
			}
		}
	}
	if !slices.Equal(pages, []string{"custom"}) { // the page of those that customers describe
		t.Errorf("there are pages of connectors that are not there: %v", pages)
	}
}
