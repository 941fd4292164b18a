// SPDX-License-Identifier: Apache-2.0

package service

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"
)

// secretName is what can stand in ${...}: the names that secrets can have (vault.NamePattern).
var secretName = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,99}$`)

// segment is a part of a setting: literal text or a reference.
type segment struct {
	text   string // literal text, or the name of the secret
	secret bool
	at     int // characters before a reference
}

// segments takes a setting apart. "$${" is a literal "${". The error names what is malformed.
func segments(setting string) ([]segment, error) {
	var out []segment
	var plain strings.Builder
	flush := func() {
		if plain.Len() > 0 {
			out = append(out, segment{text: plain.String()})
			plain.Reset()
		}
	}
	for rest, at := setting, 0; rest != ""; {
		i := strings.Index(rest, "${")
		if i < 0 {
			plain.WriteString(rest)
			break
		}
		if i > 0 && rest[i-1] == '$' {
			plain.WriteString(rest[:i-1] + "${")
			at += utf8.RuneCountInString(rest[:i+2])
			rest = rest[i+2:]
			continue
		}
		plain.WriteString(rest[:i])
		flush()
		name, after, closed := strings.Cut(rest[i+2:], "}")
		if !closed {
			return nil, fmt.Errorf("the reference %s has no closing brace", shorten(rest[i:]))
		}
		if !secretName.MatchString(name) {
			return nil, fmt.Errorf("${%s} is not the name of a secret", shorten(name))
		}
		at += utf8.RuneCountInString(rest[:i])
		out = append(out, segment{text: name, secret: true, at: at})
		at += len(name) + 3
		rest = after
	}
	flush()
	return out, nil
}

// Expand replaces each ${NAME} of a setting by what lookup gives. It fails on the first name that lookup does not know; the
// error never contains a secret.
func Expand(setting string, lookup func(name string) (string, bool)) (string, error) {
	parts, err := segments(setting)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, p := range parts {
		value := p.text
		if p.secret {
			v, ok := lookup(p.text)
			if !ok {
				return "", fmt.Errorf("there is no secret %s", p.text)
			}
			value = v
		}
		b.WriteString(value)
	}
	return b.String(), nil
}

// SecretNames lists the secrets that the document refers to, sorted, each once.
func (d *Document) SecretNames() []string {
	found := map[string]bool{}
	note := func(c Connection) {
		for _, setting := range c.Settings {
			parts, _ := segments(setting)
			for _, p := range parts {
				if p.secret {
					found[p.text] = true
				}
			}
		}
	}
	for _, s := range d.Systems {
		note(s.Connection)
	}
	if e := d.SyncConfig.Enrichment; e != nil {
		for _, source := range e.Sources {
			note(source.Connection)
		}
	}
	out := make([]string, 0, len(found))
	for name := range found {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}
