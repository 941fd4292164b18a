// SPDX-License-Identifier: Apache-2.0

package record

import (
	"math/big"
	"strings"
	"unicode"
)

// shortest text that counts as cut off rather than as another one.
const shortestCut = 16

// FormOf says whether held is a form that systems commonly make of what they are sent: text in other letter case, with other
// white space, or cut at its end; a telephone number written otherwise; a number rounded to fewer decimals. It is a guess, for
// where nothing better is known of a write whose answer was lost.
func FormOf(held, sent Value) bool {
	switch s := sent.(type) {
	case string:
		h, ok := held.(string)
		return ok && h != "" && textForm(h, s)
	case Number:
		h, ok := held.(Number)
		return ok && rounded(h, s)
	}
	return false
}

func textForm(held, sent string) bool {
	h, s := strings.Join(strings.Fields(held), " "), strings.Join(strings.Fields(sent), " ")
	switch {
	case h == "":
		return false
	case strings.EqualFold(h, s):
		return true
	case len(h) >= shortestCut && len(h) < len(s) && strings.EqualFold(h, s[:len(h)]):
		return true
	}
	a, ok1 := dialled(h)
	b, ok2 := dialled(s)
	return ok1 && ok2 && a == b
}

// dialled are the digits of a telephone number, with a leading plus.
func dialled(s string) (string, bool) {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '+' && i == 0, r >= '0' && r <= '9':
			b.WriteRune(r)
		case unicode.IsSpace(r), strings.ContainsRune("-./()", r):
		default:
			return "", false
		}
	}
	return b.String(), b.Len() >= 7 && (s[0] == '+' || s[0] == '0' || s[0] == '(')
}

// rounded says whether held is sent with fewer decimals, rounded to the nearest or cut.
func rounded(held, sent Number) bool {
	_, decimals, _ := strings.Cut(string(held), ".")
	_, more, _ := strings.Cut(string(sent), ".")
	if len(decimals) >= len(more) {
		return false
	}
	x, ok1 := new(big.Rat).SetString(string(held))
	y, ok2 := new(big.Rat).SetString(string(sent))
	if !ok1 || !ok2 {
		return false
	}
	step := new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(len(decimals))), nil))
	cut := new(big.Rat).Abs(x).Cmp(new(big.Rat).Abs(y)) < 0
	off := x.Sub(x, y).Abs(x)
	return cut && off.Cmp(step) < 0 || off.Add(off, off).Cmp(step) <= 0
}
