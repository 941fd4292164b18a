// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/record"
)

// roots are the names that placeholders begin with.
var roots = []string{"settings", "key", "keys", "fields", "names", "record", "items", "item", "native", "object", "limit", "token", "offset", "page", "since", "after", "until",
	"field", "value", "values", "version", "job", "trace", "once", "credentials", "now", "method", "url", "timestamp", "body", "root", "callback", "secret", "subscription", "expires", "id", "parent", "part",
	"lock", "by", "rest", "taken", "kid", "region"}

// template is a text with placeholders.
type template struct{ parts []part }

type part struct {
	text    string
	path    []string // nil: text
	filters []filterCall
}

type filterCall struct{ name, arg string }

var placeholder = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.]*$`)

func parseTemplate(s string) (*template, error) {
	t := &template{}
	text := func(s string) {
		if s == "" {
			return
		}
		if n := len(t.parts); n > 0 && t.parts[n-1].path == nil {
			t.parts[n-1].text += s
			return
		}
		t.parts = append(t.parts, part{text: s})
	}
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			text(s)
			break
		}
		text(s[:i])
		if i+1 < len(s) && s[i+1] == s[i] {
			text(s[i : i+1])
			s = s[i+2:]
			continue
		}
		if s[i] == '}' {
			text("}")
			s = s[i+1:]
			continue
		}
		end := strings.IndexByte(s[i:], '}')
		if end < 0 {
			return nil, fmt.Errorf("the placeholder %q does not end", s[i:])
		}
		inner := s[i+1 : i+end]
		s = s[i+end+1:]
		pieces := strings.Split(inner, "|")
		if !placeholder.MatchString(pieces[0]) {
			return nil, fmt.Errorf("{%s} is not a placeholder", inner)
		}
		p := part{path: strings.Split(pieces[0], ".")}
		for _, f := range pieces[1:] {
			name, arg, _ := strings.Cut(f, ":")
			if _, ok := filters[name]; !ok {
				return nil, fmt.Errorf("there is no filter %s", name)
			}
			p.filters = append(p.filters, filterCall{name, arg})
		}
		t.parts = append(t.parts, p)
	}
	return t, nil
}

// scope is what placeholders mean during one request.
type scope map[string]any

func (s scope) with(more scope) scope {
	out := make(scope, len(s)+len(more))
	for k, v := range s {
		out[k] = v
	}
	for k, v := range more {
		out[k] = v
	}
	return out
}

func (s scope) get(path []string) any {
	var v = s[path[0]]
	for _, step := range path[1:] {
		switch m := v.(type) {
		case map[string]any:
			v = m[step]
		case map[string]string:
			if x, ok := m[step]; ok {
				v = x
			} else {
				v = nil
			}
		case record.Fields:
			v = m[step]
		default:
			return nil
		}
	}
	return v
}

// value is the template's value: typed when it is one placeholder, else text. missing says that a placeholder had none.
func (t *template) value(s scope, escape func(string) string) (v any, missing bool, err error) {
	if len(t.parts) == 1 && t.parts[0].path != nil {
		v, err := t.parts[0].eval(s)
		if text, ok := v.(string); ok && escape != nil && !t.parts[0].raw() {
			v = escape(text)
		}
		return v, v == nil, err
	}
	var b strings.Builder
	for _, p := range t.parts {
		if p.path == nil {
			b.WriteString(p.text)
			continue
		}
		v, err := p.eval(s)
		if err != nil {
			return nil, false, err
		}
		if v == nil {
			missing = true
			continue
		}
		text := plain(v)
		if escape != nil && !p.raw() {
			text = escape(text)
		}
		b.WriteString(text)
	}
	return b.String(), missing, nil
}

func (p part) raw() bool { return len(p.filters) > 0 && p.filters[len(p.filters)-1].name == "raw" }

func (p part) eval(s scope) (any, error) {
	v := s.get(p.path)
	for _, f := range p.filters {
		var err error
		if v, err = filters[f.name](v, f.arg); err != nil {
			return nil, fmt.Errorf("%s: %w", strings.Join(p.path, "."), err)
		}
	}
	return v, nil
}

// plain is a value in a text.
func plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int:
		return strconv.Itoa(v)
	case uint64:
		return strconv.FormatUint(v, 10)
	case record.Key:
		return string(v)
	case atTime:
		return string(v)
	}
	if c, err := record.Canonical(v); err == nil {
		return record.Text(c)
	}
	return fmt.Sprint(v)
}

var filters = map[string]func(v any, arg string) (any, error){
	"raw": func(v any, _ string) (any, error) { return v, nil }, // not escaped
	"join": func(v any, arg string) (any, error) {
		if arg == "" {
			arg = ","
		}
		var out []string
		for _, e := range list(v) {
			out = append(out, plain(e))
		}
		return strings.Join(out, arg), nil
	},
	"or": func(v any, arg string) (any, error) { // where there is none
		if v == nil || v == "" {
			return arg, nil
		}
		return v, nil
	},
	"lower":  func(v any, _ string) (any, error) { return strings.ToLower(plain(v)), nil },
	"upper":  func(v any, _ string) (any, error) { return strings.ToUpper(plain(v)), nil },
	"base64": func(v any, _ string) (any, error) { return base64.StdEncoding.EncodeToString([]byte(plain(v))), nil },
	"query":  func(v any, _ string) (any, error) { return url.QueryEscape(plain(v)), nil },
	"text": func(v any, _ string) (any, error) {
		if v == nil {
			return nil, nil
		}
		return plain(v), nil
	},
	"int": func(v any, _ string) (any, error) {
		n, err := strconv.ParseInt(plain(v), 10, 64)
		return n, err
	},
	"host": func(v any, _ string) (any, error) { // a setting that may hold a whole URL
		return strings.TrimRight(strings.TrimSpace(plain(v)), "/"), nil
	},
	"soqlList": func(v any, _ string) (any, error) { // 'a','b'
		var out []string
		for _, e := range list(v) {
			out = append(out, soql(e))
		}
		return strings.Join(out, ","), nil
	},
	"soql": func(v any, _ string) (any, error) { return soql(v), nil },
}

// atTime is a time in a query, which some languages do not write as a text.
type atTime string

// soql writes a value as SOQL has it: texts are quoted, and nothing else.
func soql(v any) string {
	s := plain(v)
	switch v.(type) {
	case bool, record.Number, json.Number, int, int64, float64, atTime:
		return s
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s) + "'"
}

func list(v any) []any {
	switch v := v.(type) {
	case []any:
		return v
	case []string:
		out := make([]any, len(v))
		for i := range v {
			out[i] = v[i]
		}
		return out
	case []record.Key:
		out := make([]any, len(v))
		for i := range v {
			out[i] = string(v[i])
		}
		return out
	case nil:
		return nil
	}
	return []any{v}
}

// expand fills in a structure. A map entry whose placeholder has no value stays, as null, so that clearing works; a list of one
// map with $each is repeated.
func expand(v any, s scope) (any, error) {
	switch v := v.(type) {
	case string:
		t, err := parseTemplate(v)
		if err != nil {
			return nil, err
		}
		out, _, err := t.value(s, nil)
		return out, err
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			x, err := expand(e, s)
			if err != nil {
				return nil, err
			}
			if k == "$merge" { // the entries of a map, here
				for mk, mv := range toMap(x) {
					out[mk] = mv
				}
				continue
			}
			if key, optional := strings.CutSuffix(k, "?"); optional {
				if x == nil {
					continue
				}
				k = key
			}
			out[k] = x
		}
		return out, nil
	case []any:
		if len(v) == 1 {
			if m, ok := v[0].(map[string]any); ok && m["$each"] != nil {
				of, _ := m["$each"].(string)
				items := list(s[of])
				out := make([]any, 0, len(items))
				for _, it := range items {
					inner := s.with(scope{"item": it})
					if im, ok := it.(scope); ok {
						inner = s.with(im)
					}
					if only, whole := m["$value"]; whole {
						x, err := expand(only, inner)
						if err != nil {
							return nil, err
						}
						out = append(out, x)
						continue
					}
					body := make(map[string]any, len(m))
					for k, e := range m {
						if k != "$each" {
							body[k] = e
						}
					}
					x, err := expand(body, inner)
					if err != nil {
						return nil, err
					}
					out = append(out, x)
				}
				return out, nil
			}
		}
		out := make([]any, len(v))
		for i := range v {
			x, err := expand(v[i], s)
			if err != nil {
				return nil, err
			}
			out[i] = x
		}
		return out, nil
	}
	return v, nil
}

func toMap(v any) map[string]any {
	switch m := v.(type) {
	case map[string]any:
		return m
	case record.Fields:
		return m
	}
	return nil
}

// written is a time as a query has it.
func written(t time.Time, form string) any {
	switch form {
	case "millis":
		return t.UTC().Format("2006-01-02T15:04:05.000Z")
	case "epoch":
		return t.Unix()
	case "epochMillis":
		return strconv.FormatInt(t.UnixMilli(), 10)
	case "date":
		return t.UTC().Format(time.DateOnly)
	}
	return t.UTC().Format(time.RFC3339)
}
