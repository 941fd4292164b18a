// SPDX-License-Identifier: Apache-2.0

// Package docstest takes worked examples out of pages of the documentation, so that tests run them word for word.
package docstest

import "regexp"

var fence = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")

// Blocks are the texts of a page's fenced blocks in a language, in order.
func Blocks(page []byte, lang string) (out []string) {
	for _, m := range fence.FindAllSubmatch(page, -1) {
		if string(m[1]) == lang {
			out = append(out, string(m[2]))
		}
	}
	return out
}
