// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Text is a JSON value as text.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case float64, int, int64, bool:
		return fmt.Sprint(v)
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// Same compares values as vendors do: texts without regard to case.
func Same(a, b any) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return strings.EqualFold(Text(a), Text(b))
}

// Map is v as an object, nil when it is none.
func Map(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// List is v as a list.
func List(v any) []any {
	l, _ := v.([]any)
	return l
}

// At follows names into objects.
func At(v any, path ...string) any {
	for _, p := range path {
		v = Map(v)[p]
	}
	return v
}
