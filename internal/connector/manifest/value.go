// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// dig follows a path of names and positions; "" and "." are the value itself, * goes into each item of a list, and [name=value]
// is the first item that has the value there.
func dig(v any, path string) any {
	if path == "" || path == "." {
		return v
	}
	if !strings.ContainsAny(path, "[*") {
		return follow(v, strings.Split(path, "."))
	}
	return follow(v, stepsOf(path))
}

// stepsOf takes a path apart at the points that are not in brackets.
func stepsOf(path string) (out []string) {
	begin, inside := 0, false
	for i := range len(path) {
		switch path[i] {
		case '[':
			inside = true
		case ']':
			inside = false
		case '.':
			if !inside {
				out, begin = append(out, path[begin:i]), i+1
			}
		}
	}
	return append(out, path[begin:])
}

func follow(v any, steps []string) any {
	for at, step := range steps {
		if name, value, is := selector(step); is {
			items, _ := v.([]any)
			v = nil
			for _, it := range items {
				if digText(it, name) == value {
					v = it
					break
				}
			}
			continue
		}
		switch c := v.(type) {
		case map[string]any:
			v = c[step]
		case []any:
			if step == "*" {
				out := make([]any, len(c))
				for i := range c {
					out[i] = follow(c[i], steps[at+1:])
				}
				return out
			}
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(c) {
				return nil
			}
			v = c[i]
		default:
			return nil
		}
	}
	return v
}

// selector reads a step in brackets.
func selector(step string) (name, value string, is bool) {
	if !strings.HasPrefix(step, "[") || !strings.HasSuffix(step, "]") {
		return "", "", false
	}
	name, value, is = strings.Cut(step[1:len(step)-1], "=")
	return name, value, is
}

func digText(v any, path string) string {
	x := dig(v, path)
	if x == nil {
		return ""
	}
	return record.Text(x)
}

// records finds the list in an answer; what is not there is an empty list.
func records(v any, path string) ([]any, bool) {
	switch l := dig(v, path).(type) {
	case []any:
		if strings.Contains(path, "*") {
			return flat(l), true
		}
		return l, true
	case nil:
		return nil, true
	case map[string]any: // keyed by something
		out := make([]any, 0, len(l))
		keys := make([]string, 0, len(l))
		for k := range l {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			out = append(out, l[k])
		}
		return out, path != ""
	}
	return nil, false
}

// flat is what a path with * found: lists in it are taken apart, and what is not there is left out.
func flat(l []any) []any {
	out := make([]any, 0, len(l))
	for _, v := range l {
		switch v := v.(type) {
		case nil:
		case []any:
			out = append(out, flat(v)...)
		default:
			out = append(out, v)
		}
	}
	return out
}

// holds says whether the predicate is true of v.
func (p *Predicate) holds(v any) bool {
	if p == nil {
		return false
	}
	x := dig(v, p.Path)
	if p.Exists != nil {
		if (x != nil) != *p.Exists {
			return false
		}
		if p.Equals == "" && p.In == nil {
			return true
		}
	}
	if x == nil {
		return false
	}
	if p.In != nil {
		return slices.Contains(p.In, record.Text(x))
	}
	return record.Text(x) == p.Equals
}

// put puts v into a tree at a path, making maps on the way.
func put(tree map[string]any, path string, v any) {
	steps := strings.Split(path, ".")
	for _, step := range steps[:len(steps)-1] {
		next, ok := tree[step].(map[string]any)
		if !ok {
			next = map[string]any{}
		} else {
			next = clone(next)
		}
		tree[step] = next
		tree = next
	}
	tree[steps[len(steps)-1]] = v
}

func clone(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// Times as vendors write them.
var timeLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999 Z07:00", "2006-01-02 15:04:05.999999999 -0700", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", time.DateOnly, time.RFC1123, time.RFC1123Z}

func parseTime(v any, codec string) (time.Time, error) {
	text := record.Text(v)
	_, number := v.(record.Number)
	if codec == "epoch" || codec == "epochMillis" || number {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return time.Time{}, fmt.Errorf("%q is not a time", text)
		}
		if codec == "epochMillis" || codec == "" && f > 1e11 {
			return time.UnixMilli(int64(f)).UTC(), nil
		}
		return time.UnixMicro(int64(f * 1e6)).UTC(), nil
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time", text)
}

// decode brings a value from the wire into canonical form.
func (f *Field) decode(v any, o *Object) (record.Value, error) {
	if f.Values != nil {
		key := ""
		if v != nil {
			key = record.Text(v)
		}
		if out, ok := f.Values[key]; ok {
			return out, nil
		}
		if out, ok := f.Values["*"]; ok {
			return out, nil
		}
		return nil, nil
	}
	if v == nil || v == "" && o.Empty == "text" || f.Clear != "" && record.Text(v) == f.Clear {
		return nil, nil
	}
	if f.Split != "" {
		first, last, _ := strings.Cut(strings.TrimSpace(record.Text(v)), " ")
		m := map[string]any{"first": nil, "last": nil}
		if first != "" {
			m["first"] = first
		}
		if last = strings.TrimSpace(last); last != "" {
			m["last"] = last
		}
		return m, nil
	}
	switch connector.Type(f.Type) {
	case connector.TypeText, connector.TypeUUID, connector.TypeBytes:
		if _, tree := v.(map[string]any); tree && f.Codec == "document" {
			return documentText(v), nil
		}
		return record.Text(v), nil
	case connector.TypeInteger, connector.TypeNumber, connector.TypeFloat:
		n, err := record.ParseNumber(strings.TrimSpace(record.Text(v)))
		if err != nil {
			return nil, err
		}
		if f.Codec == "cents" {
			return shift(n, -2)
		}
		return n, nil
	case connector.TypeBoolean:
		switch strings.ToLower(record.Text(v)) {
		case "true", "1", "yes":
			return true, nil
		case "false", "0", "no":
			return false, nil
		}
		return nil, fmt.Errorf("%q is not true or false", record.Text(v))
	case connector.TypeTimestamp, connector.TypeDateTime, connector.TypeDate:
		t, err := f.moment(v)
		if err != nil {
			return nil, err
		}
		if connector.Type(f.Type) == connector.TypeTimestamp {
			return record.Time(t.UTC()), nil
		}
		if l, err := zone(f.Zone); err == nil && f.Zone != "" {
			t = t.In(l)
		}
		if connector.Type(f.Type) == connector.TypeDate {
			return t.Format(time.DateOnly), nil
		}
		return t.Format("2006-01-02T15:04:05.999999"), nil
	case connector.TypeTime:
		text := record.Text(v)
		for _, layout := range []string{"15:04:05.999999999Z07:00", "15:04:05.999999999", "15:04"} {
			if t, err := time.Parse(layout, text); err == nil {
				return t.Format("15:04:05.999999"), nil
			}
		}
		return nil, fmt.Errorf("%q is not a time of day", text)
	case connector.TypeJSON, connector.TypeArray:
		if s, ok := v.(string); ok && o.Texts {
			return record.ParseJSON([]byte(s))
		}
		return v, nil
	}
	return v, nil
}

func shift(n record.Number, by int) (record.Value, error) {
	return record.ParseNumber(string(n) + "e" + strconv.Itoa(by))
}

// encode brings a canonical value into the form of the wire.
func (f *Field) encode(v record.Value, o *Object) any {
	if v == nil {
		if f.Clear != "" {
			return f.Clear
		}
		if o.Empty == "text" {
			return ""
		}
		return nil
	}
	if f.Split != "" {
		first, last := "", ""
		if m, ok := v.(map[string]any); ok {
			if m["first"] != nil {
				first = record.Text(m["first"])
			}
			if m["last"] != nil {
				last = record.Text(m["last"])
			}
		}
		return strings.TrimSpace(first + " " + last)
	}
	text := record.Text(v)
	switch connector.Type(f.Type) {
	case connector.TypeTimestamp:
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return text
		}
		if w, ok := f.onWire(t); ok {
			v = w
		}
	case connector.TypeDateTime, connector.TypeDate:
		t, err := parseTime(text, "x")
		if err != nil {
			return text
		}
		if l, err := zone(f.Zone); err == nil {
			t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), l)
		}
		if w, ok := f.onWire(t); ok {
			v = w
		}
	case connector.TypeText:
		if f.Codec == "document" {
			return document(text)
		}
	case connector.TypeInteger, connector.TypeNumber, connector.TypeFloat:
		if n, ok := v.(record.Number); ok && f.Codec == "cents" {
			if c, err := shift(n, 2); err == nil {
				v = c
			}
		}
		if f.Codec == "numberText" {
			return record.Text(v)
		}
	}
	if o.Texts {
		return record.Text(v)
	}
	return v
}

// unfit says why the field does not take the value, "" when it does.
func (f *Field) unfit(v record.Value) string {
	if v == nil {
		if f.Required {
			return "must have a value"
		}
		return ""
	}
	bad := "does not take this value; it is of type " + f.Type
	switch connector.Type(f.Type) {
	case connector.TypeInteger:
		if n, ok := v.(record.Number); !ok || strings.Contains(string(n), ".") {
			return bad
		}
	case connector.TypeNumber, connector.TypeFloat:
		if _, ok := v.(record.Number); !ok {
			return bad
		}
	case connector.TypeBoolean:
		if _, ok := v.(bool); !ok {
			return bad
		}
	case connector.TypeArray:
		if _, ok := v.([]any); !ok {
			return bad
		}
	case connector.TypeJSON:
	case connector.TypeTimestamp, connector.TypeDateTime, connector.TypeDate:
		if s, ok := v.(string); !ok {
			return bad
		} else if _, err := parseTime(s, "x"); err != nil {
			return bad
		}
	default:
		s, ok := v.(string)
		switch {
		case !ok:
			return bad
		case f.MaxLength > 0 && utf8.RuneCountInString(s) > f.MaxLength:
			return fmt.Sprintf("takes at most %d characters", f.MaxLength)
		case len(f.Enum) > 0 && !slices.Contains(f.Enum, s):
			return "takes only " + strings.Join(f.Enum, ", ")
		}
	}
	return ""
}
