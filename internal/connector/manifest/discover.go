// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// finding is an object that the system said there is: how it is spoken to, and what was said of it.
type finding struct {
	def   Object
	entry any
}

// maxObjects bounds what a system may say that it has.
const maxObjects = 5_000

// known are the names of the objects known so far.
func (s *system) known() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for name, o := range s.m.Objects {
		if !o.Template {
			out = append(out, name)
		}
	}
	for name := range s.found {
		if o, described := s.m.Objects[name]; !described || o.Template {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// define says how an object is spoken to. The system is asked which there are when it is not one that is described.
func (s *system) define(ctx context.Context, name record.Object) (Object, any, error) {
	if o, ok := s.m.Objects[string(name)]; ok && !o.Template {
		return o, nil, nil
	}
	for asked := false; s.m.Discover != nil; asked = true {
		s.mu.Lock()
		f, ok := s.found[string(name)]
		s.mu.Unlock()
		if ok {
			return f.def, f.entry, nil
		}
		if asked {
			break
		}
		if err := s.findObjects(ctx); err != nil {
			return Object{}, nil, err
		}
	}
	return Object{}, nil, s.noObject(name)
}

// findObjects asks the system which objects there are.
func (s *system) findObjects(ctx context.Context) error {
	d := s.m.Discover
	if d == nil {
		return nil
	}
	like := s.m.Objects[d.Like] // checked by Parse
	found := make(map[string]finding)
	token, number := "", 0
	for pages := 0; ; pages++ {
		limit := 100
		if d.Paging.Size > 0 {
			limit = d.Paging.Size
		}
		sc := s.scope.with(scope{"limit": limit, "offset": number + d.Paging.FirstItem, "page": number + d.Paging.FirstPage})
		req := d.Request
		if token != "" && token != "+" {
			sc["token"] = token
			if d.Paging.addressed() {
				u, err := s.joined(token, d.Paging.Style)
				if err != nil {
					return err
				}
				req = req.at(u)
			}
		}
		body, a, err := s.do(ctx, "describe", req, sc)
		if err != nil {
			return err
		}
		entries, ok := records(body, s.text(d.List, nil))
		if !ok {
			return &connector.Error{Class: connector.Drift, Code: "http.answer_unexpected", Message: fmt.Sprintf("%s does not say which objects there are where its manifest says.", s.m.Title)}
		}
		for _, e := range entries {
			name := digText(e, d.Name)
			if name == "" || flagAt(e, d.Skip) {
				continue
			}
			o := like
			o.Template, o.Native, o.Title = false, name, name
			if n := digText(e, d.Native); d.Native != "" && n != "" {
				o.Native = n
			}
			if t := digText(e, d.Title); d.Title != "" && t != "" {
				o.Title = t
			}
			found[name] = finding{o, e}
		}
		if token, number = following(d.Paging, body, a, make([]item, len(entries)), number, limit); token == "" {
			break
		}
		if len(found) > maxObjects || pages > maxObjects {
			return &connector.Error{Class: connector.Reject, Code: "http.too_many_to_compare", Message: fmt.Sprintf("%s has more than %d objects; describe those that you need in the manifest.", s.m.Title, maxObjects)}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = found
	return nil
}

// sampled learns fields from records. What is of several types is a text where one of them is, else any value.
func (s *system) sampled(ctx context.Context, def Object) ([]Field, error) {
	n := min(def.Describe.Sample, 1000)
	if def.List == nil {
		return nil, nil
	}
	probe := &object{Object: def, name: record.Object(def.Native), byName: map[string]*Field{}}
	probe.Key, probe.Version, probe.Deletes = nil, "", Deletes{}
	for i := range def.Fields {
		if f := &def.Fields[i]; slices.Contains(def.Key, f.Name) { // to go on by the last key
			probe.fields, probe.Key = append(probe.fields, *f), def.Key
		}
	}
	for i := range probe.fields {
		probe.byName[probe.fields[i].Name] = &probe.fields[i]
	}
	r := &reader{s: s, o: probe, req: connector.ReadRequest{Object: probe.name, Limit: n}, sc: s.scopeOf(def).with(scope{"fields": []string{}})}
	types := make(map[string]string)
	token, number := "", 0
	for seen, pages := 0, 0; seen < n && pages < 50; pages++ {
		items, next, at, _, err := r.fetch(ctx, "list", def.List.Request, def.List.Records, def.List.Paging, token, number, r.sc)
		if err != nil {
			return nil, err
		}
		for _, it := range items {
			held := it.raw
			if def.FieldsAt != "" {
				held, _ = dig(it.raw, def.FieldsAt).(map[string]any)
			}
			for name, v := range held {
				if v == nil {
					continue
				}
				types[name] = wider(types[name], guess(v))
			}
		}
		seen += len(items)
		if next == "" {
			break
		}
		if token, number = next, at; token == "+" {
			token = ""
		}
	}
	var out []Field
	for _, name := range slices.Sorted(maps.Keys(types)) {
		if strings.ContainsAny(name, "*[") {
			continue
		}
		out = append(out, Field{Name: name, Path: name, Type: types[name]})
	}
	return out, nil
}

// wider is the type that takes values of both.
func wider(a, b string) string {
	switch {
	case a == "" || a == b:
		return b
	case a == "integer" && b == "number" || a == "number" && b == "integer":
		return "number"
	case slices.Contains([]string{"json", "array", "boolean", "integer", "number"}, a) || slices.Contains([]string{"json", "array", "boolean", "integer", "number"}, b):
		return "json"
	}
	return "text"
}

// trimmed takes off what people enter around the values of settings.
func (m *Manifest) trimmed(settings connector.Settings) connector.Settings {
	out := maps.Clone(settings)
	for _, d := range m.Settings {
		v := strings.TrimSpace(settings[d.Name])
		if d.Prefix == "" && d.Suffix == "" || v == "" {
			continue
		}
		v = strings.TrimPrefix(v, d.Prefix)
		if d.Suffix != "" {
			v = strings.TrimSuffix(strings.TrimRight(v, "/"), d.Suffix)
		}
		out[d.Name] = v
	}
	return out
}

// learn fills in settings that the system knows itself. It is asked once for the same settings in the life of the process.
func (s *system) learn(ctx context.Context, settings map[string]any) error {
	if len(s.m.Learn) == 0 {
		return nil
	}
	given := s.account + " " + sha([]byte(fmt.Sprint(settings))) // another site has another id
	empty := func(name string) bool { return settings[name] == nil || settings[name] == "" }
	s.c.mu.Lock()
	for name, v := range s.c.learnt[given] {
		if empty(name) {
			settings[name] = v
		}
	}
	s.c.mu.Unlock()
	learnt := make(map[string]string)
	for _, l := range s.m.Learn {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(l.Settings)), empty) {
			continue
		}
		body, _, err := s.do(ctx, "check", l.Request, s.scope)
		if err != nil && l.Optional {
			continue // asked again when it is opened the next time
		}
		if err != nil {
			return err
		}
		one := body
		if l.List != "" || l.Where != nil {
			entries, _ := records(body, l.List)
			one = nil
			for _, e := range entries {
				if l.Where != nil {
					where := *l.Where
					if where.Equals = s.text(where.Equals, nil); !where.holds(e) {
						continue
					}
				}
				one = e
				break
			}
		}
		for name, path := range l.Settings {
			if !empty(name) {
				continue
			}
			v := digText(one, path)
			if v == "" && l.Optional {
				continue
			}
			if v == "" {
				return &connector.Error{Class: connector.Reconnect, Code: "http.setting_not_learnt", Message: fmt.Sprintf("%s does not say what %s is, for these credentials and settings. Enter it, or check what the credentials may see.", s.m.Title, s.m.titleOf(name))}
			}
			settings[name], learnt[name] = v, v
		}
	}
	if len(learnt) > 0 {
		s.c.mu.Lock()
		if s.c.learnt == nil {
			s.c.learnt = make(map[string]map[string]string)
		}
		if len(s.c.learnt) > 10_000 {
			clear(s.c.learnt)
		}
		if s.c.learnt[given] == nil {
			s.c.learnt[given] = make(map[string]string)
		}
		maps.Copy(s.c.learnt[given], learnt)
		s.c.mu.Unlock()
	}
	s.base, s.root = strings.TrimRight(s.text(s.m.BaseURL, nil), "/"), strings.TrimRight(s.text(s.m.RootURL, nil), "/")
	s.scope["root"] = s.base
	return nil
}

func (m *Manifest) titleOf(setting string) string {
	for _, d := range m.Settings {
		if d.Name == setting {
			return d.Title
		}
	}
	return setting
}
