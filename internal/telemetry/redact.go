// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
)

// hidden stands in the log where a secret was.
const hidden = "[hidden]"

// NewLogger makes the program's logger: JSON for machines, or text for people, with secrets left out.
func NewLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == "text" {
		return slog.New(Redact(slog.NewTextHandler(w, o)))
	}
	return slog.New(Redact(slog.NewJSONHandler(w, o)))
}

// Redact wraps a handler so that secrets do not reach it. Two nets: attributes whose name says that they are secret, and
// text anywhere, also in messages and errors, that looks like one.
func Redact(h slog.Handler) slog.Handler { return &redacting{h} }

type redacting struct{ next slog.Handler }

func (h *redacting) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h *redacting) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, scrub(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(redacted(a))
		return true
	})
	return h.next.Handle(ctx, clean)
}

func (h *redacting) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = redacted(a)
	}
	return &redacting{h.next.WithAttrs(out)}
}

func (h *redacting) WithGroup(name string) slog.Handler { return &redacting{h.next.WithGroup(name)} }

// secretWords are parts of names whose values are never shown.
var secretWords = []string{"password", "passwd", "passphrase", "secret", "token", "authorization", "cookie", "credential", "apikey", "privatekey", "masterkey", "dsn"}

func secretName(name string) bool {
	plain := strings.NewReplacer("_", "", "-", "", " ", "", ".", "").Replace(strings.ToLower(name))
	for _, w := range secretWords {
		if strings.Contains(plain, w) {
			return true
		}
	}
	return false
}

func redacted(a slog.Attr) slog.Attr {
	a.Value = a.Value.Resolve()
	if a.Value.Kind() == slog.KindGroup {
		group := a.Value.Group()
		out := make([]slog.Attr, len(group))
		for i, g := range group {
			out[i] = redacted(g)
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(out...)}
	}
	if secretName(a.Key) {
		return slog.String(a.Key, hidden)
	}
	switch a.Value.Kind() {
	case slog.KindString:
		return slog.String(a.Key, scrub(a.Value.String()))
	case slog.KindAny:
		return slog.String(a.Key, textOf(a.Value.Any()))
	}
	return a
}

// textOf writes any value as text without secrets: what has fields is written as JSON, so that their names count too.
func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case error:
		return scrub(v.Error())
	case fmt.Stringer:
		return scrub(v.String())
	case []byte:
		return scrub(string(v))
	}
	b, err := json.Marshal(v)
	if err != nil {
		return scrub(fmt.Sprintf("%+v", v))
	}
	var tree any
	if json.Unmarshal(b, &tree) != nil {
		return scrub(string(b))
	}
	out, err := json.Marshal(without(tree))
	if err != nil {
		return hidden
	}
	return scrub(string(out))
}

func without(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if secretName(name) {
				v[name] = hidden
			} else {
				v[name] = without(inner)
			}
		}
	case []any:
		for i := range v {
			v[i] = without(v[i])
		}
	}
	return v
}

// The forms in which secrets slip into text.
var (
	ownKey   = regexp.MustCompile(`\bsl_(live|test)_[0-9A-Za-z]+`)
	bearer   = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}`)
	jwt      = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*)?`)
	userInfo = regexp.MustCompile(`(://[^/\s:@"']*:)[^/\s@"']+@`)
	// goDSN is an address as MySQL's driver writes it: user:password@tcp(host).
	goDSN = regexp.MustCompile(`(\b[\w.-]+:)[^\s@"']+(@(?:tcp|unix)\()`)
	pair  = regexp.MustCompile(`(?i)\b([\w-]*(?:password|passwd|passphrase|secret|token|authorization|api[_-]?key|private[_-]?key)[\w-]*["']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;&}\]"']+)`)
)

func scrub(s string) string {
	s = ownKey.ReplaceAllString(s, hidden)
	s = bearer.ReplaceAllString(s, "$1 "+hidden)
	s = jwt.ReplaceAllString(s, hidden)
	s = userInfo.ReplaceAllString(s, "${1}"+hidden+"@")
	s = goDSN.ReplaceAllString(s, "${1}"+hidden+"$2")
	return pair.ReplaceAllString(s, "${1}"+hidden)
}
