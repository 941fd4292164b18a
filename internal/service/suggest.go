// SPDX-License-Identifier: Apache-2.0

package service

import (
	"strings"
	"unicode/utf8"
)

// nearest returns the word that was probably meant, "" when none is close. Case, hyphens and underscores do not count.
func nearest(word string, words []string) string {
	folded := foldName(word)
	best, bestDistance := "", len([]rune(folded))/3+1
	if len(folded) > 64 {
		return ""
	}
	for _, candidate := range words {
		c := foldName(candidate)
		d := distance(folded, c, bestDistance+1)
		if d > 1 && len(folded) >= 3 && len(c) >= 3 && (strings.HasPrefix(c, folded) || strings.HasPrefix(folded, c)) {
			d = 1 // "desc" means description
		}
		if d < bestDistance || (d == bestDistance && best == "") {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// foldName makes names comparable: lower case, without hyphens, underscores and spaces.
func foldName(name string) string {
	return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(name))
}

// distance counts the single edits (insert, delete, replace, swap neighbours) from a to b; it gives up at limit.
func distance(a, b string, limit int) int {
	x, y := []rune(a), []rune(b)
	if diff := len(x) - len(y); diff > limit || -diff > limit {
		return limit
	}
	before, last, next := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		next[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			next[j] = min(last[j]+1, next[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, last, next = last, next, before
	}
	return last[len(y)]
}

// didYouMean is the remedy for a name that is not among words.
func didYouMean(word string, words []string) string {
	if near := nearest(word, words); near != "" {
		return "Did you mean " + near + "?"
	}
	return ""
}

// listed joins words for a sentence, at most 12 of them.
func listed(words []string) string {
	if len(words) > 12 {
		return strings.Join(words[:12], ", ") + ", ..."
	}
	return strings.Join(words, ", ")
}

// shorten keeps messages readable when they quote the source.
func shorten(s string) string {
	const most = 80
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "..."
}
