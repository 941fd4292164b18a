// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// object is an object with its fields, as described.
type object struct {
	Object
	name   record.Object
	fields []Field
	byName map[string]*Field
	info   connector.ObjectInfo
}

// Objects lists what the manifest has, and what the system says that there is.
func (s *system) Objects(ctx context.Context) ([]record.Object, error) {
	if err := s.findObjects(ctx); err != nil {
		return nil, err
	}
	var out []record.Object
	for _, name := range s.known() {
		out = append(out, record.Object(name))
	}
	return out, nil
}

// Describe reads the fields anew. Objects are asked for side by side.
func (s *system) Describe(ctx context.Context, names ...record.Object) ([]connector.ObjectInfo, error) {
	out := make([]connector.ObjectInfo, len(names))
	errs := make([]error, len(names))
	var wait sync.WaitGroup
	for i, name := range names {
		wait.Add(1)
		go func() {
			defer wait.Done()
			o, err := s.object(ctx, name, true)
			if errs[i] = err; err == nil {
				out[i] = o.info
			}
		}()
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// object is the compiled object, asking the system for its fields when they are not known or anew is set.
func (s *system) object(ctx context.Context, name record.Object, anew bool) (*object, error) {
	s.mu.Lock()
	o := s.objects[name]
	s.mu.Unlock()
	if o != nil && !anew {
		return o, nil
	}
	def, entry, err := s.define(ctx, name)
	if err != nil {
		return nil, err
	}
	o = &object{Object: def, name: name, fields: slices.Clone(def.Fields), byName: make(map[string]*Field)}
	if def.Describe != nil {
		found, err := s.discover(ctx, def, entry)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			if !slices.ContainsFunc(o.fields, func(known Field) bool { return known.Name == f.Name }) {
				o.fields = append(o.fields, f)
			}
		}
	}
	for i := range o.fields {
		o.fields[i].Zone = s.text(o.fields[i].Zone, nil)
		o.byName[o.fields[i].Name] = &o.fields[i]
	}
	o.info = connector.ObjectInfo{Name: name, Key: def.Key, Rows: -1, Model: def.Model, Open: def.Describe != nil && def.Describe.Sample > 0}
	for _, f := range o.fields {
		if f.Hidden {
			continue
		}
		o.info.Fields = append(o.info.Fields, connector.FieldInfo{Name: f.Name, Type: connector.Type(f.Type), Native: f.Type, Nullable: !f.Required, ReadOnly: f.ReadOnly,
			Generated: f.Generated, MaxLength: f.MaxLength, Scale: f.Scale, Enum: f.Enum})
	}
	for _, k := range def.Key {
		if o.byName[k] == nil {
			return nil, &connector.Error{Class: connector.Drift, Code: "http.no_key", Message: fmt.Sprintf("%s does not have the field %s of %s, which identifies its records. Check what the credentials may see.", s.m.Title, k, name)}
		}
	}
	o.bind()
	s.mu.Lock()
	s.objects[name] = o
	s.mu.Unlock()
	return o, nil
}

// bind takes for each field of the model the first of its names that the object has.
func (o *object) bind() {
	if len(o.Bindings) == 0 {
		return
	}
	o.info.Bindings = make(map[string]string, len(o.Bindings))
	for field, to := range o.Bindings {
		for _, name := range list(to) {
			n := plain(name)
			first, _, _ := strings.Cut(n, ".")
			if f := o.byName[n]; f != nil && !f.Hidden || o.byName[first] != nil {
				o.info.Bindings[field] = n
				break
			}
		}
	}
}

// flagAt reads a flag that a leading ! turns round; path=value is set when it has that value.
func flagAt(v any, path string) bool {
	if path == "" {
		return false
	}
	name, turned := strings.CutPrefix(path, "!")
	set := "true"
	if i := strings.LastIndexByte(name, '='); i > strings.LastIndexByte(name, ']') {
		name, set = name[:i], name[i+1:]
	}
	return (digText(v, name) == set) != turned
}

func (s *system) discover(ctx context.Context, def Object, entry any) ([]Field, error) {
	d := def.Describe
	if d.Sample > 0 {
		return s.sampled(ctx, def)
	}
	body := entry
	if d.Request.Path != "" {
		var err error
		if body, _, err = s.do(ctx, "describe", d.Request, s.scopeOf(def)); err != nil {
			if classOf(err) == "gone" {
				return nil, &connector.Error{Class: connector.Reject, Code: "http.no_such_object", Message: fmt.Sprintf("%s has no %s, or the credentials may not see it.", s.m.Title, def.Title), Err: err}
			}
			return nil, err
		}
	}
	found, _ := records(body, s.text(d.List, s.scopeOf(def)))
	var out []Field
	for _, e := range found {
		name := digText(e, d.Name)
		if name == "" || flagAt(e, d.Skip) {
			continue
		}
		native := digText(e, d.Type)
		typ, ok := d.Types[native]
		if !ok {
			typ = d.Types["*"]
		}
		if typ == "skip" {
			continue
		}
		if typ == "" {
			typ = "text"
		}
		f := Field{Name: name, Path: name, Type: typ, Codec: d.Codecs[native], ReadOnly: flagAt(e, d.ReadOnly), Required: flagAt(e, d.Required)}
		if typ == "text" && d.MaxLength != "" {
			f.MaxLength, _ = strconv.Atoi(digText(e, d.MaxLength))
		}
		if typ == "number" && d.Scale != "" {
			f.Scale, _ = strconv.Atoi(digText(e, d.Scale))
		}
		out = append(out, f)
	}
	return out, nil
}

// scopeOf is what placeholders mean for an object.
func (s *system) scopeOf(def Object) scope {
	n := make(map[string]any, len(def.Names))
	for k, v := range def.Names {
		n[k] = v
	}
	return s.scope.with(scope{"native": def.Native, "object": def.Title, "names": n})
}

// wanted are the wire names of the fields to ask for: those named, the key, the version, and what marks a deleted record.
func (o *object) wanted(fields []string) []string {
	var out []string
	add := func(name string) {
		f := o.byName[name]
		if f == nil {
			return
		}
		path := f.Path
		if f.Split != "" {
			path = f.Split
		}
		if f.Outside || path == "" {
			return
		}
		for _, path := range []string{path, f.TimeAt} {
			if first, _, inside := strings.Cut(path, "."); inside {
				path = first
			}
			if path != "" && !slices.Contains(out, path) {
				out = append(out, path)
			}
		}
	}
	for _, k := range o.Key {
		add(k)
	}
	add(o.Version)
	for i := range o.fields {
		if f := &o.fields[i]; f.Hidden || len(fields) == 0 || slices.Contains(fields, f.Name) {
			add(f.Name)
		}
	}
	return out
}

// item is a record as it came.
type item struct {
	key     record.Key
	raw     map[string]any
	fields  record.Fields
	version string // as the system writes it
	deleted bool
	told    string      // when a list that only names records says that it changed
	state   string      // and what it was when it was read
	answer  http.Header // of the answer that had it alone; nil when it came with others
}

// source is where the field has its value in a raw record.
func (o *object) source(f *Field, raw map[string]any) any {
	path := f.Path
	if f.Split != "" {
		path = f.Split
	}
	if o.FieldsAt != "" && !f.Outside {
		return dig(dig(raw, o.FieldsAt), path)
	}
	if v, ok := raw[path]; ok { // a name with dots in it
		return v
	}
	return dig(raw, path)
}

// read takes a record apart. A value that cannot be read is null in a field of its own trouble: the error names it.
func (o *object) read(v any) (item, error) {
	raw, ok := v.(map[string]any)
	if !ok {
		return item{}, fmt.Errorf("a record of %s is not an object", o.name)
	}
	it := item{raw: raw, fields: make(record.Fields, len(o.fields)), deleted: o.Deletes.Mode == "tombstone" && o.Deletes.When.holds(raw)}
	for i := range o.fields {
		f := &o.fields[i]
		v := o.source(f, raw)
		var err error
		if f.TimeAt != "" {
			clock := *f
			clock.Path = f.TimeAt
			if v, err = f.joined(v, o.source(&clock, raw)); err == nil && v != nil {
				it.fields[f.Name] = v
				if connector.Type(f.Type) == connector.TypeTimestamp {
					it.fields[f.Name] = record.Time(moment(v.(string)))
				}
				continue
			}
		}
		var value record.Value
		if err == nil {
			value, err = f.decode(v, &o.Object)
		}
		if err != nil {
			return it, fmt.Errorf("the field %s of %s: %w", f.Name, o.name, err)
		}
		it.fields[f.Name] = value
	}
	values := make([]record.Value, len(o.Key))
	for i, k := range o.Key {
		if values[i] = it.fields[k]; values[i] == nil {
			return it, fmt.Errorf("a record of %s has no %s", o.name, k)
		}
	}
	it.key = record.MakeKey(values...)
	if o.Version != "" && it.fields[o.Version] != nil {
		it.version = record.Text(it.fields[o.Version])
	}
	return it, nil
}

// readAll takes a list of records apart; a malformed answer is an error of class Drift.
func (o *object) readAll(answer any, path string) ([]item, error) {
	found, ok := o.list(answer, path)
	if !ok {
		return nil, o.malformed(fmt.Errorf("no list at %q", path))
	}
	out := make([]item, 0, len(found))
	for _, v := range found {
		it, err := o.read(v)
		if err != nil {
			return nil, o.malformed(err)
		}
		out = append(out, it)
	}
	return out, nil
}

// list is the list of records in an answer. In a map from keys to records each record gets its key.
func (o *object) list(answer any, path string) ([]any, bool) {
	m, is := dig(answer, path).(map[string]any)
	if o.Keyed == "" || !is {
		return records(answer, path)
	}
	out := make([]any, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		one, ok := m[k].(map[string]any)
		if !ok {
			out = append(out, m[k])
			continue
		}
		if dig(one, o.Keyed) == nil {
			put(one, o.Keyed, k)
		}
		out = append(out, one)
	}
	return out, true
}

func (o *object) malformed(err error) error {
	return &connector.Error{Class: connector.Drift, Code: "http.answer_unexpected", Message: fmt.Sprintf("An answer about %s does not look as the manifest says: %v.", o.name, err), Err: err}
}

// change is the item as a change with the fields asked for.
func (o *object) change(it item, fields []string) record.Change {
	c := record.Change{Key: it.key, Op: record.Upsert, Version: it.version}
	if o.Version != "" {
		if t, err := parseTime(it.fields[o.Version], ""); it.fields[o.Version] != nil && err == nil {
			c.At = t
		}
	}
	if it.deleted {
		c.Op = record.Delete
		return c
	}
	c.Fields = make(record.Fields, len(o.fields))
	for i := range o.fields {
		f := &o.fields[i]
		if len(fields) == 0 && !f.Hidden || slices.Contains(fields, f.Name) || slices.Contains(o.Key, f.Name) {
			c.Fields[f.Name] = it.fields[f.Name]
		}
	}
	return c
}

// keyText is the key as requests have it.
func keyText(k record.Key) string { return string(k) }
