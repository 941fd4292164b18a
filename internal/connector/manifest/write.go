// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

// task is one write on its way.
type task struct {
	index  int
	w      *connector.Write
	verb   string // create, update, delete
	set    map[string]any
	asked  record.Fields // what the fields become, in canonical form as the system will give it back
	before *item
	trace  string
	seenAt time.Time       // when the record was compared last
	tries  int             // how often it was found changed right before it was written
	err    error           // what its call came to, when its outcome is not known by that
	begun  bool            // a part of it was carried out
	did    map[string]bool // fields that requests of their own changed already
}

// makes says whether a verb makes records.
func makes(verb string) bool { return verb == "create" || verb == "upsert" }

// Write reads what is there, compares, and sends what is left to do, in batches where the system takes them.
func (s *system) Write(ctx context.Context, name record.Object, writes []connector.Write) ([]connector.Receipt, error) {
	if len(writes) == 0 {
		return nil, nil
	}
	o, err := s.object(ctx, name, false)
	if err != nil {
		return nil, err
	}
	receipts := make([]connector.Receipt, len(writes))
	tasks := make([]*task, 0, len(writes))
	var keys []record.Key
	for i := range writes {
		w := &writes[i]
		t := &task{index: i, w: w, trace: fmt.Sprintf("%s-%d", w.ID, i)}
		if w.Op != record.Delete {
			var problem string
			if t.set, t.asked, problem = o.form(w); problem != "" {
				receipts[i] = refusal("http.value_refused", problem)
				continue
			}
		}
		if w.Key == "" && w.Op == record.Upsert {
			w.Key = o.keyOf(w.Fields)
		}
		if w.Key != "" {
			keys = append(keys, w.Key)
		}
		tasks = append(tasks, t)
	}
	began := s.client.Now()
	present, err := s.items(ctx, o, nil, keys)
	if err != nil {
		return nil, err
	}
	known, err := s.look(ctx, o, tasks)
	if err != nil {
		return nil, err
	}
	todo := map[string][]*task{}
	for _, t := range tasks {
		var it *item
		if found, ok := present[t.w.Key]; ok && !found.deleted && t.w.Key != "" {
			it = &found
		} else if found, ok := known[t.index]; ok {
			it = &found
		}
		r, send := o.decide(t, it)
		t.seenAt = began
		if !send {
			receipts[t.index] = r
			continue
		}
		verb := t.verb
		if verb == "create" && o.upserts(t) {
			verb = "upsert"
		}
		if s.verb(o, verb) == nil {
			receipts[t.index] = refusal("http.verb_missing", fmt.Sprintf("%s cannot %s records of %s.", s.m.Title, t.verb, o.Title))
			continue
		}
		todo[verb] = append(todo[verb], t)
	}
	for _, verb := range []string{"delete", "update", "upsert", "create"} {
		if err := s.send(ctx, o, verb, todo[verb], receipts); err != nil {
			return s.halt(ctx, o, slices.Concat(todo["delete"], todo["update"], todo["upsert"], todo["create"]), receipts, err)
		}
	}
	return receipts, nil
}

// upserts says whether the record has what the vendor knows it by.
func (o *object) upserts(t *task) bool {
	return o.Upsert != nil && !slices.ContainsFunc(o.Upsert.By, func(f string) bool { return t.asked[f] == nil })
}

// halt is what a batch comes to that trouble stopped in the middle. What was carried out is known by its answers, and what was not
// even begun as well; what may have been carried out without an answer is looked at. When that cannot be found out, or nothing is known
// at all, the trouble is the outcome of the whole.
func (s *system) halt(ctx context.Context, o *object, tasks []*task, receipts []connector.Receipt, err error) ([]connector.Receipt, error) {
	if c := connector.Classify(err).Class; ctx.Err() != nil || c == connector.Drift || c == connector.LostPlace {
		return nil, err
	}
	known := false
	for i := range receipts {
		known = known || receipts[i].Outcome != ""
	}
	if !known {
		return nil, err
	}
	var unclear []*task
	for _, t := range tasks {
		if receipts[t.index].Outcome == "" && (t.begun || t.err != nil && perhaps(t.err)) {
			if t.before == nil && t.w.Key == "" && len(o.known()) == 0 {
				return nil, err // nothing tells here whether it was made
			}
			unclear = append(unclear, t)
		}
	}
	if len(unclear) > 0 {
		found, lookErr := s.asTheyAre(ctx, o, unclear)
		if lookErr != nil {
			return nil, err
		}
		for _, t := range unclear {
			r, send := o.decide(t, found[t])
			if !send {
				if r.Outcome == connector.Already { // it was to be sent, so this is what it did
					r.Outcome = connector.Applied
				}
				receipts[t.index] = r
			}
		}
	}
	for _, t := range tasks {
		if receipts[t.index].Outcome == "" {
			receipts[t.index] = connector.Receipt{Outcome: connector.Unsent, Key: t.w.Key, Err: err}
		}
	}
	return receipts, nil
}

// perhaps says whether a call that failed may have been carried out all the same.
func perhaps(err error) bool {
	e := connector.Classify(err)
	if e.Class == connector.SlowDown || e.Class == connector.Reconnect || e.Code == "manifest.request" {
		return false
	}
	var dial *net.OpError
	return !errors.As(err, &dial) || dial.Op != "dial"
}

func (s *system) verb(o *object, verb string) *Write {
	switch verb {
	case "upsert":
		return o.Upsert
	case "create":
		return o.Create
	case "update":
		return o.Update
	}
	return o.Delete
}

func refusal(code, message string) connector.Receipt {
	return connector.Receipt{Outcome: connector.Refused, Err: &connector.Error{Class: connector.Reject, Code: code, Message: message}}
}

// form turns the write's fields into what the wire has, and says in a sentence what does not fit.
func (o *object) form(w *connector.Write) (set map[string]any, asked record.Fields, problem string) {
	set, asked = map[string]any{}, record.Fields{}
	for _, name := range slices.Sorted(keysOf(w.Fields)) {
		v := w.Fields[name]
		f := o.byName[name]
		switch {
		case f == nil || f.Hidden:
			return nil, nil, fmt.Sprintf("There is no field %s in %s.", name, o.Title)
		case f.ReadOnly:
			if slices.Contains(o.Key, name) {
				continue // the key is where the request has it
			}
			return nil, nil, fmt.Sprintf("The field %s cannot be written.", name)
		case f.CreateOnly && !w.Create:
			continue
		}
		if p := f.unfit(v); p != "" {
			return nil, nil, fmt.Sprintf("The field %s %s.", name, p)
		}
		encoded := f.encode(v, &o.Object)
		path := f.Path
		if f.Split != "" {
			path = f.Split
		}
		to := func(path string, v any) {
			if strings.Contains(path, ".") && o.FieldsAt == "" {
				put(set, path, v)
			} else {
				set[path] = v
			}
		}
		var back record.Value
		var err error
		if f.TimeAt != "" {
			var clock any
			encoded, clock = f.apart(v)
			to(f.TimeAt, clock)
			if back, err = f.joined(encoded, clock); err == nil && back != nil {
				back = record.Time(moment(back.(string)))
			}
		} else {
			back, err = f.decode(encoded, &o.Object)
		}
		to(path, encoded)
		if c, cerr := record.Canonical(back); err == nil && cerr == nil {
			back = c
		} else {
			back = v
		}
		asked[name] = back
	}
	return set, asked, ""
}

// keyOf is the key that the fields make, "" when the system makes it.
func (o *object) keyOf(f record.Fields) record.Key {
	values := make([]record.Value, len(o.Key))
	for i, k := range o.Key {
		if o.byName[k].ReadOnly || f[k] == nil {
			return ""
		}
		values[i] = f[k]
	}
	return record.MakeKey(values...)
}

// known are the fields by which a record is looked for before one is made.
func (o *object) known() []string {
	if len(o.Identity) == 0 && o.Upsert != nil {
		return o.Upsert.By
	}
	return o.Identity
}

// look searches for records that a creation would double: those with the same identity.
func (s *system) look(ctx context.Context, o *object, tasks []*task) (map[int]item, error) {
	var queries []record.Fields
	var of []*task
	for _, t := range tasks {
		if !t.w.Create || t.w.Op != record.Upsert || t.w.Key != "" {
			continue
		}
		q := record.Fields{}
		for _, f := range o.known() {
			if v := t.asked[f]; v != nil {
				q[f] = v
			}
		}
		if len(o.known()) > 0 && len(q) == len(o.known()) {
			queries, of = append(queries, q), append(of, t)
		}
	}
	if len(queries) == 0 {
		return nil, nil
	}
	found, err := s.find(ctx, o, queries)
	if err != nil {
		return nil, err
	}
	out := make(map[int]item)
	for i, t := range of {
		if len(found[i]) > 0 {
			out[t.index] = found[i][0]
		}
	}
	return out, nil
}

// decide compares a write with the record as it is, and says whether something is to be sent.
func (o *object) decide(t *task, it *item) (r connector.Receipt, send bool) {
	w := t.w
	r = connector.Receipt{Key: w.Key}
	if it != nil {
		r.Key, r.Version = it.key, it.version
		t.before = it
	}
	switch {
	case w.Op == record.Delete && it == nil:
		r.Outcome = connector.Already
	case w.Op == record.Delete && !has(it.fields, w.Expect):
		r.Outcome, r.Stored = connector.Moved, it.fields
	case w.Op == record.Delete:
		t.verb = "delete"
		return r, true
	case it == nil && w.Create:
		t.verb = "create"
		return r, true
	case it == nil:
		r.Outcome = connector.Gone
	case has(it.fields, t.asked):
		r.Outcome, r.Stored = connector.Already, o.stored(t, it.fields)
	case w.Create || !has(it.fields, w.Expect):
		r.Outcome, r.Stored = connector.Moved, it.fields
	default:
		t.verb = "update"
		return r, true
	}
	return r, false
}

// stored are the written fields as the system holds them, nil when they are as asked for.
func (o *object) stored(t *task, held record.Fields) record.Fields {
	out := make(record.Fields, len(t.w.Fields))
	same := true
	for name, v := range t.w.Fields {
		h, known := held[name]
		if !known {
			h = t.asked[name]
		}
		if _, sent := t.asked[name]; !sent {
			if t.before == nil {
				continue
			}
			h = t.before.fields[name] // it was left out: it cannot be changed any more
		}
		out[name] = h
		same = same && record.Equal(h, v)
	}
	if same {
		return nil
	}
	return out
}

// once is a text by which the system knows a write that is repeated: the same for the same record, fields and state before, in whatever batch
// and whenever it is tried again, and another for the next change, which must not pass for the one before.
func (t *task) once() string {
	before := uint64(0)
	if t.before != nil {
		before = digest(t.before.fields)
	}
	set, err := json.Marshal(t.set) // in the order of names
	if err != nil {
		set = []byte(fmt.Sprint(t.set))
	}
	return sha(fmt.Appendf(nil, "%s %s %x %s", t.w.ID, t.verb, before, set))[:32]
}

// scope is what placeholders mean for a write.
func (s *system) taskScope(o *object, t *task, w *Write) scope {
	sc := scope{"key": keyText(t.w.Key), "part": o.parts(t.w.Key), "fields": t.set, "trace": t.trace, "once": t.once(), "version": nil, "record": nil}
	if t.before == nil && o.Empty == "omit" {
		sc["fields"] = full(t.set)
	}
	if len(w.By) > 0 {
		by, rest := make(map[string]any, len(w.By)), clone(sc["fields"].(map[string]any))
		for _, name := range w.By {
			f := o.byName[name]
			by[name] = f.encode(t.asked[name], &o.Object)
			delete(rest, f.Path)
		}
		sc["by"], sc["rest"] = by, rest
	}
	if t.before != nil {
		sc["key"] = keyText(t.before.key)
		if v := dig(t.before.raw, o.versionPath()); v != nil {
			sc["version"] = record.Text(v)
		}
		if w.Lock != nil && w.Lock.From != "" {
			if v := told(t.before.raw, &transport.Answer{Header: t.before.answer}, w.Lock.From); v != "" {
				sc["lock"] = v
			}
		}
		sc["record"] = o.merged(t.before.raw, t.set)
	} else {
		sc["record"] = sc["fields"]
	}
	return sc
}

// full is a map without its nulls.
func full(m map[string]any) map[string]any {
	out := clone(m)
	for k, v := range out {
		if v == nil {
			delete(out, k)
		}
	}
	return out
}

func (o *object) versionPath() string {
	if f := o.byName[o.Version]; f != nil {
		if o.FieldsAt != "" && !f.Outside {
			return o.FieldsAt + "." + f.Path
		}
		return f.Path
	}
	return "\x00"
}

// merged is the whole record with the fields set, without those that cannot be written: for systems that replace.
func (o *object) merged(raw, set map[string]any) map[string]any {
	held := raw
	if o.FieldsAt != "" {
		held, _ = dig(raw, o.FieldsAt).(map[string]any)
	}
	out := clone(held)
	for i := range o.fields {
		if f := &o.fields[i]; f.ReadOnly || f.CreateOnly || f.Hidden {
			delete(out, f.Path)
		}
	}
	overlay(out, set)
	if o.Empty == "omit" {
		return full(out)
	}
	return out
}

func overlay(onto, set map[string]any) {
	for k, v := range set {
		if inner, ok := v.(map[string]any); ok {
			if held, ok := onto[k].(map[string]any); ok {
				merged := clone(held)
				overlay(merged, inner)
				onto[k] = merged
				continue
			}
		}
		onto[k] = v
	}
}

// send carries tasks of one verb out.
func (s *system) send(ctx context.Context, o *object, verb string, tasks []*task, receipts []connector.Receipt) error {
	if len(tasks) == 0 {
		return nil
	}
	w := s.verb(o, verb)
	if w.Batch == nil || len(tasks) < max(w.Batch.Min, 2) {
		return s.sendEach(ctx, o, verb, w, tasks, receipts)
	}
	var alone []*task
	tasks = slices.DeleteFunc(slices.Clone(tasks), func(t *task) bool {
		one := slices.ContainsFunc(w.Also, func(a Also) bool { _, asked := t.set[o.byName[a.Field].Path]; return asked })
		if one {
			alone = append(alone, t)
		}
		return one
	})
	if err := s.sendEach(ctx, o, verb, w, alone, receipts); err != nil {
		return err
	}
	for part := range slices.Chunk(tasks, w.Batch.Size) {
		if &part[0] != &tasks[0] {
			for _, t := range part {
				t.seenAt = time.Time{} // the parts before it took their time
			}
		}
		if err := s.sendBatch(ctx, o, verb, w, part, receipts); err != nil {
			return err
		}
	}
	return nil
}

func (s *system) sendEach(ctx context.Context, o *object, verb string, w *Write, tasks []*task, receipts []connector.Receipt) error {
	return aFewWhole(ctx, len(tasks), func(ctx context.Context, i int) error {
		r, err := s.sendOne(ctx, o, verb, w, tasks[i])
		if err != nil {
			r = connector.Receipt{}
		}
		receipts[tasks[i].index], tasks[i].err = r, err
		return err
	})
}

// sendOne carries one task out, as long as its record is as it was compared with.
func (s *system) sendOne(ctx context.Context, o *object, verb string, w *Write, t *task) (connector.Receipt, error) {
	one := []*task{t}
	for {
		r, err := s.sendOnce(s.checking(ctx, o, one), o, verb, w, t)
		if !errors.Is(err, errStale) {
			return r, err
		}
		out := make([]connector.Receipt, t.index+1)
		rest, err := s.again(ctx, o, one, out)
		if err != nil || len(rest) == 0 {
			return out[t.index], err
		}
	}
}

func (s *system) sendOnce(ctx context.Context, o *object, verb string, w *Write, t *task) (connector.Receipt, error) {
	req := w.Request
	headers := map[string]string{}
	for k, v := range req.Headers {
		headers[k] = v
	}
	if w.Lock != nil && t.before != nil && w.Lock.Header != "" {
		headers[w.Lock.Header] = w.Lock.Value
	}
	if w.Idempotency != "" {
		headers[w.Idempotency] = "{once}"
	}
	req.Headers = headers
	var apart []Also
	values := make(map[string]any)
	rest := *t // without the fields that requests of their own change
	rest.set = clone(t.set)
	for _, also := range w.Also {
		path := o.byName[also.Field].Path
		value, asked := t.set[path]
		if !asked {
			continue
		}
		if also.Values != nil {
			word, known := also.Values[plain(value)]
			if !known {
				return refusal("http.value_refused", fmt.Sprintf("The field %s cannot become %q; it can become %s.", also.Field, plain(value), strings.Join(slices.Sorted(keysOf(also.Values)), ", "))), nil
			}
			value = word
		}
		delete(rest.set, path)
		values[also.Field] = value
		apart = append(apart, also)
	}
	scoped := func() scope { return s.scopeOf(o.Object).with(s.taskScope(o, &rest, w)) }
	also := func(key record.Key) error {
		for _, a := range apart {
			if t.did[a.Field] {
				continue
			}
			sc := scoped().with(scope{"value": values[a.Field]})
			if key != "" {
				sc["key"], sc["part"] = keyText(key), o.parts(key)
			}
			if _, _, err := s.do(ctx, verb, a.Request, sc); err != nil {
				return err
			}
			if t.did == nil {
				t.did = make(map[string]bool)
			}
			t.begun, t.did[a.Field] = true, true
		}
		return nil
	}
	for _, step := range w.Before {
		if t.before != nil && step.Unless.holds(t.before.raw) {
			continue
		}
		if _, _, err := s.do(ctx, verb, step.Request, scoped()); err != nil {
			return s.outcome(ctx, o, verb, w, t, err)
		}
		t.begun = true
	}
	if !makes(verb) {
		if err := also(""); err != nil {
			return s.outcome(ctx, o, verb, w, t, err)
		}
	}
	var answer any
	var a *transport.Answer
	if len(rest.set) > 0 || verb != "update" {
		var err error
		if answer, a, err = s.do(ctx, verb, req, scoped()); err != nil {
			return s.outcome(ctx, o, verb, w, t, err)
		}
		t.begun = true
		if w.Job != nil && (a.Status == http.StatusAccepted || told(answer, a, w.Job.ID) != "") {
			if answer, _, err = s.await(ctx, w.Job, scoped(), answer, a); err != nil {
				return s.outcome(ctx, o, verb, w, t, err)
			}
		}
	}
	key := t.w.Key
	if t.before != nil {
		key = t.before.key
	}
	if makes(verb) {
		if w.Key != "" {
			key = w.keyOf(answer, a)
		}
		if key == "" {
			if key = o.keyIn(answer, w.Record); key == "" {
				var err error
				if key, err = s.keyOfMade(ctx, o, w, t); err != nil {
					return connector.Receipt{}, err
				}
			}
		}
		if err := also(key); err != nil { // it is made, so this is no refusal of the whole
			return connector.Receipt{}, err
		}
		if len(apart) > 0 { // the answer was given before
			answer = nil
		}
	}
	var held any
	if w.Record != "" && answer != nil {
		held = dig(answer, w.Record)
	}
	return s.done(o, verb, t, key, held), nil
}

// keyOf is the new key that an answer to a creation has.
func (w *Write) keyOf(answer any, a *transport.Answer) record.Key {
	text := told(answer, a, w.Key)
	if w.KeyMatch != "" {
		m := regexp.MustCompile(w.KeyMatch).FindStringSubmatch(text) // checked by Parse
		if len(m) < 2 {
			return ""
		}
		return record.Key(m[1])
	}
	if strings.HasPrefix(w.Key, "header:") && strings.Contains(text, "/") {
		address, _, _ := strings.Cut(text, "?")
		address = strings.TrimRight(address, "/")
		text = address[strings.LastIndexByte(address, '/')+1:]
		if plain, err := url.PathUnescape(text); err == nil {
			text = plain
		}
	}
	return record.Key(text)
}

// keyIn is the key of the record that an answer has; "" when it has none.
func (o *object) keyIn(answer any, path string) record.Key {
	if path == "" || answer == nil {
		return ""
	}
	it, err := o.read(dig(answer, path))
	if err != nil {
		return ""
	}
	return it.key
}

// keyOfMade looks for a record that was made without the vendor saying which it is.
func (s *system) keyOfMade(ctx context.Context, o *object, w *Write, t *task) (record.Key, error) {
	fields := w.By
	if len(fields) == 0 {
		fields = o.known()
	}
	q := record.Fields{}
	for _, f := range fields {
		if v := t.asked[f]; v != nil {
			q[f] = v
		}
	}
	if len(q) > 0 && len(q) == len(fields) {
		found, err := s.find(ctx, o, []record.Fields{q})
		if err != nil {
			return "", err
		}
		if len(found[0]) == 1 {
			return found[0][0].key, nil
		}
	}
	return "", &connector.Error{Class: connector.Retry, Code: "http.answer_unexpected", Message: fmt.Sprintf("%s made a record of %s and did not say its key; the record is looked for.", s.m.Title, o.Title)}
}

// done is the receipt of a success. held is the record as the answer has it, nil when it has none.
func (s *system) done(o *object, verb string, t *task, key record.Key, held any) connector.Receipt {
	r := connector.Receipt{Outcome: connector.Applied, Key: key}
	if verb == "delete" {
		return r
	}
	fields := t.asked
	if held != nil {
		if it, err := o.read(held); err == nil {
			fields, r.Version, r.Key = it.fields, it.version, it.key
		}
	}
	r.Stored = o.stored(t, fields)
	return r
}

// outcome turns a refused request into a receipt, where that is what it is.
func (s *system) outcome(ctx context.Context, o *object, verb string, w *Write, t *task, err error) (connector.Receipt, error) {
	key := t.w.Key
	if t.before != nil {
		key = t.before.key
	}
	var p *problem
	switch class := classOf(err); class {
	case "gone":
		if verb == "delete" {
			return connector.Receipt{Outcome: connector.Already, Key: key}, nil
		}
		if verb == "update" {
			return connector.Receipt{Outcome: connector.Gone, Key: key}, nil
		}
		fallthrough
	case "refused", "drift":
		return connector.Receipt{Outcome: connector.Refused, Key: key, Err: rejected(err)}, nil
	case "conflict", "exists":
		if !makes(verb) {
			if class == "exists" { // another record has the value
				return connector.Receipt{Outcome: connector.Refused, Key: key, Err: rejected(err)}, nil
			}
			return connector.Receipt{Outcome: connector.Moved, Key: key}, nil
		}
		if w.Exists != "" {
			if e, ok := err.(*problem); ok { //nolint:errorlint // do returns it as it is
				p = e
			}
			if p != nil {
				if m := regexp.MustCompile(w.Exists).FindStringSubmatch(p.message); len(m) > 1 {
					key = record.Key(m[1])
				}
			}
		}
		if key == "" { // look for who has it
			found, ferr := s.look(ctx, o, []*task{t})
			if ferr != nil {
				return connector.Receipt{}, ferr
			}
			if it, ok := found[t.index]; ok {
				key = it.key
			}
		}
		if key == "" {
			return connector.Receipt{Outcome: connector.Refused, Err: rejected(err)}, nil
		}
		return connector.Receipt{Outcome: connector.Moved, Key: key}, nil
	}
	return connector.Receipt{}, err
}

// rejected is the error of a refused record.
func rejected(err error) error {
	e := connector.Classify(err)
	if e.Code == "http.value_refused" {
		return e
	}
	return &connector.Error{Class: connector.Reject, Code: "http.refused", Message: e.Message, Err: e.Err}
}

// sendBatch carries several tasks out in one request. A batch that is refused as a whole is split, so that one faulty record
// does not fail the others.
func (s *system) sendBatch(ctx context.Context, o *object, verb string, w *Write, tasks []*task, receipts []connector.Receipt) error {
	err := s.sendTogether(ctx, o, verb, w, tasks, receipts)
	for _, t := range tasks {
		if err != nil && receipts[t.index].Outcome == "" && t.err == nil {
			t.err = err
		}
	}
	return err
}

func (s *system) sendTogether(ctx context.Context, o *object, verb string, w *Write, tasks []*task, receipts []connector.Receipt) error {
	b := w.Batch
	items := make([]any, len(tasks))
	keys := make([]record.Key, len(tasks))
	for i, t := range tasks {
		sc := s.taskScope(o, t, w)
		items[i], keys[i] = sc, record.Key(plain(sc["key"]))
	}
	sc := s.scopeOf(o.Object).with(scope{"items": items, "keys": keys})
	answer, a, err := s.do(s.checking(ctx, o, tasks), verb, b.Request, sc)
	if errors.Is(err, errStale) {
		rest, err := s.again(ctx, o, tasks, receipts)
		switch {
		case err != nil || len(rest) == 0:
			return err
		case len(rest) == 1:
			return s.sendEach(ctx, o, verb, w, rest, receipts)
		}
		return s.sendBatch(ctx, o, verb, w, rest, receipts)
	}
	var verdicts []verdict
	if err == nil && b.Job != nil {
		answer, verdicts, err = s.await(ctx, b.Job, sc, answer, a)
	}
	if err != nil {
		switch classOf(err) {
		case "refused", "conflict", "exists", "gone", "drift":
			if len(tasks) == 1 {
				return s.sendEach(ctx, o, verb, w, tasks, receipts)
			}
			half := len(tasks) / 2
			for _, part := range [][]*task{tasks[:half], tasks[half:]} {
				if len(part) == 1 {
					err = s.sendEach(ctx, o, verb, w, part, receipts)
				} else {
					err = s.sendBatch(ctx, o, verb, w, part, receipts)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}
		return err
	}
	if b.NoResults && !makes(verb) {
		for _, t := range tasks {
			receipts[t.index] = s.done(o, verb, t, t.w.Key, nil)
		}
		return nil
	}
	if b.Job == nil || len(b.Job.Parts) == 0 {
		found, _ := records(answer, b.Results)
		verdicts = make([]verdict, len(found))
		for i, v := range found {
			verdicts[i] = verdict{v: v}
		}
	}
	return s.results(ctx, o, verb, w, tasks, answer, verdicts, receipts)
}

// verdict is what an answer says of one record of a batch; are is empty when the result itself tells.
type verdict struct {
	v   any
	are string // a word of JobPart.Are
}

// results reads a batch's answer, record by record.
func (s *system) results(ctx context.Context, o *object, verb string, w *Write, tasks []*task, answer any, list []verdict, receipts []connector.Receipt) error {
	b := w.Batch
	answered := make(map[*task]bool, len(tasks))
	find := func(i int, v any) *task {
		switch b.By {
		case "index":
			for j, t := range tasks {
				if digText(v, b.Match) == fmt.Sprint(j) {
					return t
				}
			}
		case "key":
			for _, t := range tasks {
				if t.before != nil && digText(v, b.Match) == string(t.before.key) {
					return t
				}
			}
		case "trace":
			for _, t := range tasks {
				if digText(v, b.Match) == t.trace {
					return t
				}
			}
		case "fields":
			for _, t := range tasks {
				if !answered[t] && repeats(v, t.set) {
					return t
				}
			}
		default:
			if i < len(tasks) {
				return tasks[i]
			}
		}
		return nil
	}
	var again []*task
	silent := make(map[*task]bool) // of these the answer does not say that they were not carried out
	for i, one := range list {
		v := one.v
		t := find(i, v)
		if t == nil {
			continue
		}
		answered[t] = true
		if one.are == "undone" {
			again = append(again, t)
			continue
		}
		if one.are == "done" || one.are == "" && (b.Ok == nil || b.Ok.holds(v)) {
			key := t.w.Key
			if t.before != nil {
				key = t.before.key
			}
			if makes(verb) && b.Key != "" {
				key = record.Key(digText(v, b.Key))
			}
			if makes(verb) && key == "" && b.Record == "" { // which it is shows when it is looked for
				again, silent[t] = append(again, t), true
				continue
			}
			var held any
			if b.Record != "" {
				held = dig(v, b.Record)
			}
			receipts[t.index] = s.done(o, verb, t, key, held)
			continue
		}
		r, retry, err := s.failed(ctx, o, verb, w, t, digText(v, b.Code), digText(v, b.Message), v)
		if err != nil {
			return err
		}
		if retry {
			again = append(again, t)
			continue
		}
		receipts[t.index] = r
	}
	if b.Errors != "" {
		failures, _ := records(answer, b.Errors)
		for _, f := range failures {
			for _, k := range digAll(f, b.ErrorKeys) {
				for _, t := range tasks {
					if t.before != nil && string(t.before.key) == k || t.trace == k {
						answered[t] = true
						again = append(again, t) // alone, its own answer says what it is
					}
				}
			}
		}
	}
	for _, t := range tasks {
		if !answered[t] {
			again, silent[t] = append(again, t), true
		}
	}
	if len(again) == 0 {
		return nil
	}
	// What has no result may have been done all the same, so each is looked at again before it is sent alone.
	var keys []record.Key
	for _, t := range again {
		if t.before != nil {
			keys = append(keys, t.before.key)
		}
	}
	present, err := s.items(ctx, o, nil, keys)
	if err != nil {
		return err
	}
	known, err := s.look(ctx, o, again)
	if err != nil {
		return err
	}
	var rest []*task
	for _, t := range again {
		var it *item
		if t.before != nil {
			if found, ok := present[t.before.key]; ok && !found.deleted {
				it = &found
			}
		} else if found, ok := known[t.index]; ok {
			it = &found
		}
		r, send := o.decide(t, it)
		if !send {
			if silent[t] && r.Outcome == connector.Already { // it was to be sent, so this is what the batch did
				r.Outcome = connector.Applied
			}
			receipts[t.index] = r
			continue
		}
		rest = append(rest, t)
	}
	return s.sendEach(ctx, o, verb, w, rest, receipts)
}

func digAll(v any, path string) []string {
	var out []string
	switch x := dig(v, path).(type) {
	case []any:
		for _, e := range x {
			out = append(out, record.Text(e))
		}
	case nil:
	default:
		out = append(out, record.Text(x))
	}
	return out
}

// failed classifies the failed result of one record in a batch.
func (s *system) failed(ctx context.Context, o *object, verb string, w *Write, t *task, said, message string, v any) (r connector.Receipt, retry bool, err error) {
	class := "refused"
	remedy := ""
	for _, rule := range s.m.Errors.Rules {
		if len(rule.Code) > 0 && slices.Contains(rule.Code, said) && (rule.Match == "" || regexp.MustCompile(rule.Match).MatchString(message)) {
			class, remedy = rule.Class, rule.Remedy
			break
		}
	}
	switch class {
	case "retry", "slow_down":
		return r, true, nil
	}
	r, err = s.outcome(ctx, o, verb, w, t, s.problem(class, 0, said, message, remedy, 200, v))
	return r, false, err
}

// repeats says whether a result has all that was sent, as texts.
func repeats(v any, sent map[string]any) bool {
	m, ok := v.(map[string]any)
	if !ok {
		return false
	}
	for name, value := range sent {
		held, there := m[name]
		if !there {
			return false
		}
		a, b := "", ""
		if held != nil {
			a = plain(held)
		}
		if value != nil {
			b = plain(value)
		}
		if a != b {
			return false
		}
	}
	return true
}

// take puts what an answer has into what the next requests are made of.
func take(sc scope, places map[string]string, answer any, a *transport.Answer) {
	taken, _ := sc["taken"].(map[string]any)
	taken = clone(taken)
	for name, place := range places {
		if v := told(answer, a, place); v != "" {
			if taken[name] = v; name == "job" {
				sc["job"] = v
			}
		}
	}
	sc["taken"] = taken
}

// unheard is trouble after a job was begun. It goes on whether we can ask or not: what it did is found out by reading.
func (s *system) unheard(err error) error {
	return &connector.Error{Class: connector.Retry, Code: "http.server_error", Message: fmt.Sprintf("%s could not be asked what became of a batch; the records are looked at.", s.m.Title), Err: err}
}

// await does what a job needs besides its first request, asks for it until it is done, and gets its results.
func (s *system) await(ctx context.Context, j *Job, sc scope, answer any, first *transport.Answer) (any, []verdict, error) {
	sc = sc.with(nil)
	if j.ID != "" {
		if id := told(answer, first, j.ID); id != "" {
			sc["job"] = id
		}
	}
	take(sc, j.Take, answer, first)
	for i, step := range j.Steps {
		body, a, err := s.do(ctx, "job", step.Request, sc)
		if err != nil {
			last := i == len(j.Steps)-1
			if c := connector.Classify(err).Class; !last && classOf(err) != "" || classOf(err) == "" && (c == connector.Drift || c == connector.Reject) {
				return nil, nil, err // the vendor said no before it had all, or the request cannot be made
			}
			return nil, nil, s.unheard(err)
		}
		take(sc, step.Take, body, a)
	}
	if sc["job"] == nil {
		return answer, nil, &connector.Error{Class: connector.Drift, Code: "http.answer_unexpected", Message: fmt.Sprintf("%s answered without a job where one was expected.", s.m.Title)}
	}
	every := duration(j.Every, time.Second)
	for n := 0; ; n++ {
		body, a, err := s.do(ctx, "job", j.Poll, sc)
		if err != nil {
			return nil, nil, s.unheard(err)
		}
		state := digText(body, j.State)
		if slices.Contains(j.Done, state) {
			take(sc, j.TakeDone, body, a)
			verdicts, err := s.parts(ctx, j, sc)
			return body, verdicts, err
		}
		if slices.Contains(j.Failed, state) {
			return nil, nil, s.problem("refused", 0, state, "the job failed", "", 200, body)
		}
		if n >= 120 {
			return nil, nil, &connector.Error{Class: connector.Retry, Code: "http.job_slow", Message: fmt.Sprintf("%s has not finished a batch in time; the records are looked at.", s.m.Title)}
		}
		if err := s.client.Sleep(ctx, min(every<<min(n, 3), max(5*time.Second, every))); err != nil {
			return nil, nil, err
		}
	}
}

// maxParts bounds the pages of a job's results.
const maxParts = 1000

// parts gets a job's results, part by part, and page by page where they have pages.
func (s *system) parts(ctx context.Context, j *Job, sc scope) (out []verdict, err error) {
	for _, part := range j.Parts {
		token, number := "", 0
		for pages := 0; pages < maxParts; pages++ {
			limit := 1000
			if part.Paging.Size > 0 {
				limit = part.Paging.Size
			}
			asked, req := sc.with(scope{"limit": limit, "offset": number + part.Paging.FirstItem, "page": number + part.Paging.FirstPage}), part.Request
			if token != "" && token != "+" {
				asked["token"] = token
				if part.Paging.addressed() {
					u, err := s.joined(token, part.Paging.Style)
					if err != nil {
						return nil, err
					}
					req = req.at(u)
				}
			}
			body, a, err := s.do(ctx, "job", req, asked)
			if err != nil {
				return nil, s.unheard(err)
			}
			found, _ := records(body, part.Records)
			for _, v := range found {
				out = append(out, verdict{v, part.Are})
			}
			if token, number = following(part.Paging, body, a, make([]item, len(found)), number, limit); token == "" || token == "null" {
				break
			}
		}
	}
	return out, nil
}
