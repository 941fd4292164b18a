// SPDX-License-Identifier: Apache-2.0

package api_test

import "testing"

func TestWorld(t *testing.T) {
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.furnish()
	t.Log(p.ids)
	t.Log(string(w.want(200, p.as("GET", "/v1/services/"+p.ids["service"]+"/status", "")).body))
}
