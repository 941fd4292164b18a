// SPDX-License-Identifier: Apache-2.0

package expression

import (
	"math/big"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/record"
)

// Same compares as the document's author sees values: the number 5 and the text "5" are the same.
func Same(a, b record.Value) bool {
	if record.Equal(a, b) {
		return true
	}
	if a == nil || b == nil {
		return false
	}
	n, ok := Compare(a, b)
	return ok && n == 0
}

// Compare orders two values as numbers or points in time when both are, else as text. Lists and objects have no order.
func Compare(a, b record.Value) (int, bool) {
	x, aok := rational(a)
	y, bok := rational(b)
	if aok && bok {
		return x.Cmp(y), true
	}
	s, aok := instant(a)
	t, bok := instant(b)
	if aok && bok {
		return s.Compare(t), true
	}
	switch a.(type) {
	case []any, map[string]any:
		return 0, false
	}
	return strings.Compare(record.Text(a), record.Text(b)), true
}

var instantLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", time.DateOnly}

// instant reads a date, or a date with a time; without a zone it is taken as UTC, as in package mapping.
func instant(v record.Value) (t time.Time, ok bool) {
	s, isText := v.(string)
	if !isText || len(s) < len(time.DateOnly) || s[4] != '-' || s[7] != '-' {
		return t, false
	}
	for _, layout := range instantLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return t, false
}

func rational(v record.Value) (*big.Rat, bool) {
	s, ok := v.(string)
	if n, isNumber := v.(record.Number); isNumber {
		s, ok = string(n), true
	}
	if !ok {
		return nil, false
	}
	n, err := record.ParseNumber(s)
	if err != nil {
		return nil, false
	}
	return new(big.Rat).SetString(string(n))
}
