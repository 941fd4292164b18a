// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"slices"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

var _ connector.Drafter = (*system)(nil)

// Draft makes the requests of writes and does not send them.
func (s *system) Draft(ctx context.Context, name record.Object, key record.Key, fields record.Fields) ([]connector.Draft, error) {
	o, err := s.object(ctx, name, false)
	if err != nil {
		return nil, err
	}
	var before *item
	if key != "" {
		present, err := s.items(ctx, o, nil, []record.Key{key})
		if err != nil {
			return nil, err
		}
		if it, ok := present[key]; ok {
			before = &it
		}
	}
	writable := record.Fields{}
	first := ""
	for i := range o.fields {
		f := &o.fields[i]
		v, given := fields[f.Name]
		if f.Hidden || f.ReadOnly || !given || v == nil {
			continue
		}
		writable[f.Name] = v
		if first == "" && !f.CreateOnly && !slices.Contains(o.Key, f.Name) {
			first = f.Name
		}
	}
	var out []connector.Draft
	add := func(verb string, w *Write, cw connector.Write, it *item) error {
		if w == nil {
			return nil
		}
		t := &task{w: &cw, verb: verb, before: it, trace: "the-write"}
		if cw.Op != record.Delete {
			var problem string
			if t.set, t.asked, problem = o.form(&cw); problem != "" {
				return &connector.Error{Class: connector.Reject, Code: "http.value_refused", Message: problem}
			}
		}
		req := w.Request
		if w.Lock != nil && it != nil && w.Lock.Header != "" {
			headers := map[string]string{w.Lock.Header: w.Lock.Value}
			for k, v := range req.Headers {
				headers[k] = v
			}
			req.Headers = headers
		}
		call, err := s.build(verb, req, s.scopeOf(o.Object).with(s.taskScope(o, t, w)))
		if err != nil {
			return err
		}
		d := connector.Draft{Verb: verb, Method: call.Method, URL: s.client.Redact(call.URL), Header: map[string]string{}, Body: s.client.Redact(string(call.Body))}
		for k := range call.Header {
			d.Header[k] = s.client.Redact(call.Header.Get(k))
		}
		out = append(out, d)
		return nil
	}
	made := o.Create
	if o.Upsert != nil && !slices.ContainsFunc(o.Upsert.By, func(f string) bool { return writable[f] == nil }) {
		made = o.Upsert
	}
	if err := add("create", made, connector.Write{Op: record.Upsert, Create: true, Fields: writable}, nil); err != nil {
		return nil, err
	}
	if before == nil {
		return out, nil
	}
	if first != "" {
		if err := add("update", o.Update, connector.Write{Op: record.Upsert, Key: key, Fields: record.Fields{first: writable[first]}}, before); err != nil {
			return nil, err
		}
	}
	return out, add("delete", o.Delete, connector.Write{Op: record.Delete, Key: key}, before)
}
