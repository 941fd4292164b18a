// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/url"

	"github.com/syncline-dev/syncline/web/ui"
)

// base is the address of this installation as the reader reaches it.
func (v *visit) base() string {
	if v.h.PublicURL != "" {
		return v.h.PublicURL
	}
	return "http://" + v.r.Host
}

// curl is a call of the API for a shell; the key comes from the environment, so that it does not land in a history.
func (v *visit) curl(method, path, more string) string {
	text := "curl"
	if method != "GET" {
		text += " -X " + method
	}
	text += ` -H "Authorization: Bearer $SYNCLINE_API_KEY"`
	if more != "" {
		text += ` \` + "\n  " + more
	}
	return text + ` \` + "\n  " + "'" + v.base() + path + "'"
}

func (v *visit) serviceSnippets(name string) []ui.Code {
	path := "/v1/services/" + url.PathEscape(name)
	return []ui.Code{
		{Title: "curl", Lang: "shell", Text: "# how it does\n" + v.curl("GET", path+"/status", "") + "\n\n# run it now\n" + v.curl("POST", path+"/runs", "") +
			"\n\n# pause and resume\n" + v.curl("POST", path+":pause", "") + "\n" + v.curl("POST", path+":resume", "")},
		{Title: "CLI", Lang: "shell", Text: "# how it does\nsyncline status " + name + "\n\n# run it now and wait\nsyncline run " + name + "\n\n# its document as a file, and back\nsyncline export " + name + " > " + name + ".yaml\nsyncline apply -f " + name + ".yaml"},
		{Title: "As it happens", Lang: "shell", Text: "# everything that happens in this tenant, as a stream\n" + v.curl("GET", "/v1/events", "-N")},
	}
}
