// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

// Systems that want to be asked for each field bound how many, or how long an address may be. Then the same is asked several times,
// each time for a part of the fields, and put together by key.

// torn is how often an answer is asked for anew whose parts do not fit together.
const torn = 3

// ask makes a reading request, in as many portions as its fields need. path is where the answer has its records, or its one record.
func (s *system) ask(ctx context.Context, o *object, op string, req Request, sc scope, path string, one bool) (any, *transport.Answer, error) {
	portions, err := s.portions(o, op, req, sc)
	if err != nil {
		return nil, nil, err
	}
	if len(portions) < 2 {
		return s.do(ctx, op, req, sc)
	}
again:
	for range torn {
		var whole any
		var first *transport.Answer
		for i, fields := range portions {
			body, a, err := s.do(ctx, op, req, sc.with(scope{"fields": fields}))
			if err != nil {
				return nil, nil, err
			}
			if i == 0 {
				whole, first = body, a
				continue
			}
			if !o.joins(whole, body, path, one) {
				continue again
			}
		}
		return whole, first, nil
	}
	return nil, nil, &connector.Error{Class: connector.Retry, Code: "http.list_changed", Message: fmt.Sprintf("Records of %s changed each time that the parts of their fields were read; reading begins again.", s.m.Title)}
}

// portions are the fields of each request; one portion when they need not be parted. Key, version and what the manifest itself needs
// are in all.
func (s *system) portions(o *object, op string, req Request, sc scope) ([][]string, error) {
	fields, _ := sc["fields"].([]string)
	if o.AskFor == nil || len(fields) == 0 || !strings.Contains(fmt.Sprint(req.Path, req.Query, req.Body), "{fields") {
		return nil, nil
	}
	fixed := []string{}
	for _, name := range o.wanted([]string{o.Key[0]}) {
		if slices.Contains(fields, name) {
			fixed = append(fixed, name)
		}
	}
	rest := slices.DeleteFunc(slices.Clone(fields), func(name string) bool { return slices.Contains(fixed, name) })
	most := len(rest)
	if o.AskFor.Fields > 0 {
		most = min(most, max(1, o.AskFor.Fields-len(fixed)))
	}
	for most > 0 {
		var out [][]string
		fits := true
		for part := range slices.Chunk(rest, most) {
			portion := slices.Concat(fixed, part)
			if o.AskFor.URL > 0 && most > 1 {
				call, err := s.build(op, req, sc.with(scope{"fields": portion}))
				if err != nil {
					return nil, err
				}
				if fits = len(call.URL) <= o.AskFor.URL; !fits {
					break
				}
			}
			out = append(out, portion)
		}
		if fits {
			return out, nil
		}
		most = (most + 1) / 2
	}
	return nil, nil
}

// joins puts the second portion's records into those of the first. It does not when one is missing or changed in between.
func (o *object) joins(whole, more any, path string, one bool) bool {
	var a, b []any
	if one {
		a, b = []any{dig(whole, path)}, []any{dig(more, path)}
	} else {
		a, _ = o.list(whole, path)
		b, _ = o.list(more, path)
	}
	at := make(map[string]map[string]any, len(b))
	for _, v := range b {
		if m, ok := v.(map[string]any); ok {
			at[o.rawText(m, o.Key)] = m
		}
	}
	for _, v := range a {
		m, ok := v.(map[string]any)
		if !ok {
			continue // reading it says what is wrong
		}
		rest, there := at[o.rawText(m, o.Key)]
		if !there || o.Version != "" && o.rawText(m, []string{o.Version}) != o.rawText(rest, []string{o.Version}) {
			return false
		}
		overlay(m, rest)
	}
	return true
}

// rawText is what a record that was not taken apart has in fields.
func (o *object) rawText(raw map[string]any, fields []string) string {
	out := make([]string, len(fields))
	for i, name := range fields {
		if v := o.source(o.byName[name], raw); v != nil {
			out[i] = record.Text(v)
		}
	}
	return strings.Join(out, "\x00")
}
