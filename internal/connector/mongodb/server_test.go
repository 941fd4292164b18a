// SPDX-License-Identifier: Apache-2.0

package mongodb

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/syncline-dev/syncline/internal/record"
)

// replicaSet is a server of MongoDB's wire protocol in memory, as far as connector and tests need it, with what FerretDB lacks: change
// streams. It keeps what they promise: a change is told once its write is answered, in the order of writes; a resume token goes on
// right behind its event; documents as they were come only where the collection keeps them; a dropped collection ends in invalidate;
// and history that was trimmed is refused with ChangeStreamHistoryLost.
type replicaSet struct {
	listener net.Listener

	mu      sync.Mutex
	changed chan struct{} // closed by the next change
	stores  map[string]*store
	log     []change
	trimmed map[string]int64 // by collection: changes up to here are not known any more
	seq     int64
	cursors map[int64]*serverCursor
	next    int64
	refuse  map[string]bson.D // by command: the answer in place of it
	conns   map[net.Conn]bool
}

type store struct {
	docs   []bson.D
	images bool
	unique []string
}

type change struct {
	seq        int64
	collection string
	operation  string
	id         any
	full       bson.D
	before     bson.D // where they are kept
}

type serverCursor struct {
	collection string
	rest       []bson.D
	stream     bool
	at         int64
	before     string
	project    bson.D
	ended      bool
}

// commandError is an error as the server words it.
type commandError struct {
	code   int32
	name   string
	text   string
	labels bson.A
}

func (e commandError) Error() string { return e.text }

func newReplicaSet(t testing.TB) *replicaSet {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &replicaSet{listener: l, changed: make(chan struct{}), stores: map[string]*store{}, cursors: map[int64]*serverCursor{}, refuse: map[string]bson.D{}, trimmed: map[string]int64{}, conns: map[net.Conn]bool{}, seq: 1000, next: 1}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			s.mu.Unlock()
			served.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.cut()
		served.Wait()
	})
	return s
}

func (s *replicaSet) uri() string {
	return "mongodb://" + s.listener.Addr().String() + "/?directConnection=true"
}

// cut ends all connections without a word.
func (s *replicaSet) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// trim forgets all changes of a collection so far. An oplog that is full forgets those of all, but the suite's cases run side by side.
func (s *replicaSet) trim(collection string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = slices.DeleteFunc(s.log, func(c change) bool { return c.collection == collection })
	s.trimmed[collection] = s.seq
	s.seq++ // a place from now on is behind it
}

// saying makes a command answer with an error.
func (s *replicaSet) saying(command string, answer bson.D) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse[command] = answer
}

func (s *replicaSet) serve(c net.Conn) {
	defer func() {
		_ = c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	for {
		head := make([]byte, 16)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		size, id, op := binary.LittleEndian.Uint32(head), binary.LittleEndian.Uint32(head[4:]), binary.LittleEndian.Uint32(head[12:])
		if size < 16 || size > 48<<20 {
			return
		}
		body := make([]byte, size-16)
		if _, err := io.ReadFull(c, body); err != nil {
			return
		}
		command, err := parse(op, body)
		if err != nil {
			return
		}
		answer := s.answer(command)
		b, err := bson.Marshal(answer)
		if err != nil {
			return
		}
		var out bytes.Buffer
		write := func(n uint32) { _ = binary.Write(&out, binary.LittleEndian, n) }
		if op == 2004 { // OP_QUERY gets an OP_REPLY
			write(uint32(36 + len(b)))
			write(0)
			write(id)
			write(1)
			write(8)
			write(0)
			write(0)
			write(0)
			write(1)
		} else {
			write(uint32(21 + len(b)))
			write(0)
			write(id)
			write(2013)
			write(0)
			out.WriteByte(0)
		}
		out.Write(b)
		if _, err := c.Write(out.Bytes()); err != nil {
			return
		}
	}
}

// parse reads a command; document sequences become arrays.
func parse(op uint32, body []byte) (command bson.D, err error) {
	if op == 2004 {
		name := bytes.IndexByte(body[4:], 0)
		return command, bson.Unmarshal(body[4+name+1+8:], &command)
	}
	if op != 2013 {
		return nil, fmt.Errorf("the message %d is not known", op)
	}
	flags := binary.LittleEndian.Uint32(body)
	body = body[4:]
	if flags&1 != 0 {
		body = body[:len(body)-4]
	}
	for len(body) > 0 {
		kind := body[0]
		n := binary.LittleEndian.Uint32(body[1:])
		part := body[1 : 1+n]
		body = body[1+n:]
		if kind == 0 {
			var d bson.D
			if err := bson.Unmarshal(part, &d); err != nil {
				return nil, err
			}
			command = append(d, command...)
			continue
		}
		end := bytes.IndexByte(part[4:], 0)
		list := bson.A{}
		for rest := part[4+end+1:]; len(rest) > 0; {
			size := binary.LittleEndian.Uint32(rest)
			var d bson.D
			if err := bson.Unmarshal(rest[:size], &d); err != nil {
				return nil, err
			}
			list, rest = append(list, d), rest[size:]
		}
		command = append(command, bson.E{Key: string(part[4 : 4+end]), Value: list})
	}
	return command, nil
}

func get(d bson.D, path string) (any, bool) {
	first, rest, deep := strings.Cut(path, ".")
	for _, e := range d {
		if e.Key == first {
			if inner, ok := e.Value.(bson.D); deep && ok {
				return get(inner, rest)
			}
			return e.Value, !deep
		}
	}
	return nil, false
}

func has[T any](d bson.D, path string) T {
	v, _ := get(d, path)
	x, _ := v.(T)
	return x
}

func whole(d bson.D, path string) int64 {
	switch v, _ := get(d, path); n := v.(type) {
	case int32:
		return int64(n)
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 0
}

func (s *replicaSet) answer(command bson.D) bson.D {
	out, err := s.run(command)
	var e commandError
	if errors.As(err, &e) {
		d := bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: e.text}, {Key: "code", Value: e.code}, {Key: "codeName", Value: e.name}}
		if e.labels != nil {
			d = append(d, bson.E{Key: "errorLabels", Value: e.labels})
		}
		return d
	}
	if err != nil {
		return bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: err.Error()}, {Key: "code", Value: int32(8)}}
	}
	return append(out, bson.E{Key: "ok", Value: 1.0})
}

func (s *replicaSet) run(command bson.D) (bson.D, error) {
	name := command[0].Key
	if name == "getMore" {
		return s.getMore(command)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if answer, refused := s.refuse[name]; refused {
		return nil, commandError{int32(whole(answer, "code")), has[string](answer, "codeName"), has[string](answer, "errmsg"), nil}
	}
	on, _ := command[0].Value.(string)
	switch name {
	case "hello", "isMaster", "ismaster":
		addr := s.listener.Addr().String()
		return bson.D{{Key: "helloOk", Value: true}, {Key: "ismaster", Value: true}, {Key: "isWritablePrimary", Value: true}, {Key: "setName", Value: "rs0"}, {Key: "hosts", Value: bson.A{addr}}, {Key: "me", Value: addr}, {Key: "primary", Value: addr},
			{Key: "maxBsonObjectSize", Value: int32(16 << 20)}, {Key: "maxMessageSizeBytes", Value: int32(48_000_000)}, {Key: "maxWriteBatchSize", Value: int32(100_000)}, {Key: "minWireVersion", Value: int32(0)}, {Key: "maxWireVersion", Value: int32(21)}}, nil
	case "ping", "endSessions":
		return nil, nil
	case "killCursors":
		for _, id := range has[bson.A](command, "cursors") {
			n, _ := id.(int64)
			delete(s.cursors, n)
		}
		return nil, nil
	case "create":
		if s.stores[on] != nil {
			return nil, commandError{48, "NamespaceExists", "Collection already exists.", nil}
		}
		s.stores[on] = &store{images: has[bool](command, "changeStreamPreAndPostImages.enabled")}
		return nil, nil
	case "collMod":
		s.stores[on].images = has[bool](command, "changeStreamPreAndPostImages.enabled")
		return nil, nil
	case "drop":
		delete(s.stores, on)
		s.note(change{collection: on, operation: "drop"})
		s.note(change{collection: on, operation: "invalidate"})
		return nil, nil
	case "createIndexes":
		for _, i := range has[bson.A](command, "indexes") {
			if key := has[bson.D](i.(bson.D), "key"); has[bool](i.(bson.D), "unique") && len(key) == 1 {
				s.stores[on].unique = append(s.stores[on].unique, key[0].Key)
			}
		}
		return nil, nil
	case "listIndexes":
		list := []bson.D{{{Key: "v", Value: int32(2)}, {Key: "key", Value: bson.D{{Key: "_id", Value: int32(1)}}}, {Key: "name", Value: "_id_"}}}
		if st := s.stores[on]; st != nil {
			for _, u := range st.unique {
				list = append(list, bson.D{{Key: "v", Value: int32(2)}, {Key: "key", Value: bson.D{{Key: u, Value: int32(1)}}}, {Key: "name", Value: u + "_1"}, {Key: "unique", Value: true}})
			}
		}
		return s.cursor(on, list, 0), nil
	case "listCollections":
		var list []bson.D
		want := has[string](command, "filter.name")
		for n, st := range s.stores {
			if want == "" || n == want {
				o := bson.D{}
				if st.images {
					o = bson.D{{Key: "changeStreamPreAndPostImages", Value: bson.D{{Key: "enabled", Value: true}}}}
				}
				list = append(list, bson.D{{Key: "name", Value: n}, {Key: "type", Value: "collection"}, {Key: "options", Value: o}, {Key: "info", Value: bson.D{{Key: "readOnly", Value: false}}}})
			}
		}
		return s.cursor("$cmd.listCollections", list, 0), nil
	case "count":
		n := 0
		if st := s.stores[on]; st != nil {
			n = len(st.docs)
		}
		return bson.D{{Key: "n", Value: int32(n)}}, nil
	case "find":
		return s.find(on, command)
	case "insert":
		return s.insert(on, command)
	case "update":
		return s.update(on, command)
	case "delete":
		return s.remove(on, command)
	case "aggregate":
		return s.watch(on, command)
	}
	return nil, commandError{59, "CommandNotFound", "no such command: '" + name + "'", nil}
}

// cursor hands a list out in batches; 0 is all at once.
func (s *replicaSet) cursor(on string, list []bson.D, batch int64) bson.D {
	first, id := list, int64(0)
	if batch > 0 && int64(len(list)) > batch {
		first = list[:batch]
		s.next++
		id = s.next
		s.cursors[id] = &serverCursor{collection: on, rest: list[batch:]}
	}
	return bson.D{{Key: "cursor", Value: bson.D{{Key: "id", Value: id}, {Key: "ns", Value: "shop." + on}, {Key: "firstBatch", Value: toA(first)}}}}
}

func toA(list []bson.D) bson.A {
	out := bson.A{}
	for _, d := range list {
		out = append(out, d)
	}
	return out
}

func (s *replicaSet) find(on string, command bson.D) (bson.D, error) {
	st := s.stores[on]
	if st == nil {
		return s.cursor(on, nil, 0), nil
	}
	var list []bson.D
	for _, d := range st.docs {
		ok, err := matches(d, has[bson.D](command, "filter"))
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, d)
		}
	}
	for _, by := range has[bson.D](command, "sort") {
		direction := int(whole(bson.D{by}, by.Key))
		slices.SortStableFunc(list, func(a, b bson.D) int {
			x, _ := get(a, by.Key)
			y, _ := get(b, by.Key)
			return direction * compare(x, y)
		})
	}
	if n := whole(command, "limit"); n > 0 && int64(len(list)) > n {
		list = list[:n]
	}
	if p := has[bson.D](command, "projection"); p != nil {
		for i, d := range list {
			list[i] = include(d, append(bson.D{{Key: "_id", Value: int32(1)}}, p...))
		}
	}
	return s.cursor(on, list, whole(command, "batchSize")), nil
}

// include is a projection that names what to keep.
func include(d bson.D, fields bson.D) (out bson.D) {
	for _, e := range d {
		var inner bson.D
		for _, f := range fields {
			if f.Key == e.Key {
				out, inner = append(out, e), nil
				break
			}
			if rest, deep := strings.CutPrefix(f.Key, e.Key+"."); deep {
				inner = append(inner, bson.E{Key: rest, Value: f.Value})
			}
		}
		if sub, ok := e.Value.(bson.D); ok && inner != nil {
			out = append(out, bson.E{Key: e.Key, Value: include(sub, inner)})
		}
	}
	return out
}

// matches evaluates a filter.
func matches(d, filter bson.D) (bool, error) {
	for _, f := range filter {
		if f.Key == "$or" {
			any := false
			for _, part := range f.Value.(bson.A) {
				ok, err := matches(d, part.(bson.D))
				if err != nil {
					return false, err
				}
				any = any || ok
			}
			if !any {
				return false, nil
			}
			continue
		}
		is, there := get(d, f.Key)
		operators, ok := f.Value.(bson.D)
		if !ok || len(operators) == 0 || !strings.HasPrefix(operators[0].Key, "$") {
			if !same(is, f.Value) {
				return false, nil
			}
			continue
		}
		for _, o := range operators {
			holds := false
			switch o.Key {
			case "$in":
				for _, v := range o.Value.(bson.A) {
					holds = holds || same(is, v)
				}
			case "$gt":
				holds = there && rank(is) == rank(o.Value) && compare(is, o.Value) > 0
			case "$gte":
				holds = there && rank(is) == rank(o.Value) && compare(is, o.Value) >= 0
			case "$lte":
				holds = there && rank(is) == rank(o.Value) && compare(is, o.Value) <= 0
			case "$type":
				holds = there && ranks[rank(is)] == o.Value
			default:
				return false, commandError{2, "BadValue", "unknown operator: " + o.Key, nil}
			}
			if !holds {
				return false, nil
			}
		}
	}
	return true, nil
}

var ranks = []string{"null", "number", "string", "object", "array", "binData", "objectId", "bool", "date"}

func rank(v any) int {
	name := "null"
	switch v.(type) {
	case int32, int64, float64, bson.Decimal128:
		name = "number"
	case string:
		name = "string"
	case bson.D:
		name = "object"
	case bson.A:
		name = "array"
	case bson.Binary:
		name = "binData"
	case bson.ObjectID:
		name = "objectId"
	case bool:
		name = "bool"
	case bson.DateTime:
		name = "date"
	}
	return slices.Index(ranks, name)
}

// compare orders values as the server does: by type, then by value.
func compare(a, b any) int {
	if x, y := rank(a), rank(b); x != y {
		return x - y
	}
	switch ranks[rank(a)] {
	case "null":
		return 0
	case "number":
		x, _ := value(a)
		y, _ := value(b)
		p, ok1 := new(big.Rat).SetString(record.Text(x))
		q, ok2 := new(big.Rat).SetString(record.Text(y))
		if ok1 && ok2 {
			return p.Cmp(q)
		}
		return strings.Compare(record.Text(x), record.Text(y))
	case "string":
		return strings.Compare(a.(string), b.(string))
	case "date":
		return int(a.(bson.DateTime) - b.(bson.DateTime))
	}
	_, x, _ := bson.MarshalValue(a)
	_, y, _ := bson.MarshalValue(b)
	return bytes.Compare(x, y)
}

func same(a, b any) bool { return rank(a) == rank(b) && compare(a, b) == 0 }

func (s *replicaSet) note(c change) {
	s.seq++
	c.seq = s.seq
	s.log = append(s.log, c)
	close(s.changed)
	s.changed = make(chan struct{})
}

// taken says which unique field has the document's value in another one.
func (st *store) taken(d bson.D, but int) string {
	for _, field := range append([]string{"_id"}, st.unique...) {
		v, there := get(d, field)
		for i, other := range st.docs {
			if w, too := get(other, field); i != but && there && too && same(v, w) {
				return field
			}
		}
	}
	return ""
}

func duplicate(i int, field string) bson.D {
	return bson.D{{Key: "index", Value: int32(i)}, {Key: "code", Value: int32(11000)}, {Key: "errmsg", Value: "E11000 duplicate key error collection: index: " + field}}
}

func written(n, modified int, faults bson.A) bson.D {
	out := bson.D{{Key: "n", Value: int32(n)}, {Key: "nModified", Value: int32(modified)}}
	if len(faults) > 0 {
		out = append(out, bson.E{Key: "writeErrors", Value: faults})
	}
	return out
}

func (s *replicaSet) insert(on string, command bson.D) (bson.D, error) {
	if s.stores[on] == nil {
		s.stores[on] = &store{}
	}
	st := s.stores[on]
	n := 0
	var faults bson.A
	for i, x := range has[bson.A](command, "documents") {
		d := x.(bson.D)
		if field := st.taken(d, -1); field != "" {
			faults = append(faults, duplicate(i, field))
			continue
		}
		st.docs = append(st.docs, d)
		n++
		id, _ := get(d, "_id")
		s.note(change{collection: on, operation: "insert", id: id, full: d})
	}
	return written(n, 0, faults), nil
}

func (s *replicaSet) update(on string, command bson.D) (bson.D, error) {
	n, modified := 0, 0
	var faults bson.A
	st := s.stores[on]
	for i, x := range has[bson.A](command, "updates") {
		u := x.(bson.D)
		for j, d := range s.docsOf(on) {
			ok, err := matches(d, has[bson.D](u, "q"))
			if err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
			next, changed := slices.Clone(d), false
			for _, set := range has[bson.D](u, "u.$set") {
				k := slices.IndexFunc(next, func(e bson.E) bool { return e.Key == set.Key })
				switch {
				case k < 0:
					next, changed = append(next, set), true
				case !same(next[k].Value, set.Value) || next[k].Value == nil != (set.Value == nil):
					next[k], changed = set, true
				}
			}
			n++
			if !changed {
				break
			}
			if field := st.taken(next, j); field != "" {
				n--
				faults = append(faults, duplicate(i, field))
				break
			}
			modified++
			st.docs[j] = next
			id, _ := get(d, "_id")
			s.note(change{collection: on, operation: "update", id: id, full: next, before: st.was(d)})
			break
		}
	}
	return written(n, modified, faults), nil
}

func (st *store) was(d bson.D) bson.D {
	if st.images {
		return d
	}
	return nil
}

func (s *replicaSet) docsOf(on string) []bson.D {
	if st := s.stores[on]; st != nil {
		return slices.Clone(st.docs)
	}
	return nil
}

func (s *replicaSet) remove(on string, command bson.D) (bson.D, error) {
	n := 0
	st := s.stores[on]
	for _, x := range has[bson.A](command, "deletes") {
		for j, d := range s.docsOf(on) {
			ok, err := matches(d, has[bson.D](x.(bson.D), "q"))
			if err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
			st.docs = slices.Delete(st.docs, j, j+1)
			n++
			id, _ := get(d, "_id")
			s.note(change{collection: on, operation: "delete", id: id, before: st.was(d)})
			break
		}
	}
	return written(n, 0, nil), nil
}

func token(seq int64) bson.D {
	return bson.D{{Key: "_data", Value: fmt.Sprintf("82%016X", seq)}}
}

// watch opens a change stream.
func (s *replicaSet) watch(on string, command bson.D) (bson.D, error) {
	pipeline := has[bson.A](command, "pipeline")
	stage, _ := pipeline[0].(bson.D)
	if len(stage) != 1 || stage[0].Key != "$changeStream" {
		return nil, commandError{40324, "Location40324", "Unrecognized pipeline stage name", nil}
	}
	o, _ := stage[0].Value.(bson.D)
	c := &serverCursor{collection: on, stream: true, at: s.seq, before: has[string](o, "fullDocumentBeforeChange")}
	for _, later := range pipeline[1:] {
		c.project = has[bson.D](later.(bson.D), "$project")
		if c.project == nil {
			return nil, commandError{40324, "Location40324", "Unrecognized pipeline stage name", nil}
		}
	}
	after := has[bson.D](o, "resumeAfter")
	if after == nil {
		after = has[bson.D](o, "startAfter")
	}
	if after != nil {
		raw, err := hex.DecodeString(strings.TrimPrefix(has[string](after, "_data"), "82"))
		if err != nil || len(raw) != 8 {
			return nil, commandError{260, "InvalidResumeToken", "Bad resume token", nil}
		}
		if c.at = int64(binary.BigEndian.Uint64(raw)); c.at <= s.trimmed[on] {
			return nil, commandError{286, "ChangeStreamHistoryLost", "Resume of change stream was not possible, as the resume point may no longer be in the oplog.", bson.A{"NonResumableChangeStreamError"}}
		}
	}
	s.next++
	s.cursors[s.next] = c
	return bson.D{{Key: "cursor", Value: bson.D{{Key: "id", Value: s.next}, {Key: "ns", Value: "shop." + on}, {Key: "firstBatch", Value: bson.A{}}, {Key: "postBatchResumeToken", Value: token(c.at)}}}}, nil
}

// told are the stream's next events; mu is held.
func (s *replicaSet) told(c *serverCursor, most int64) (list []bson.D, err error) {
	if c.at < s.trimmed[c.collection] {
		return nil, commandError{286, "ChangeStreamHistoryLost", "The resume point is no longer in the oplog.", bson.A{"NonResumableChangeStreamError"}}
	}
	for _, e := range s.log {
		if e.seq <= c.at || e.collection != c.collection || int64(len(list)) == most || c.ended {
			continue
		}
		d := bson.D{{Key: "_id", Value: token(e.seq)}, {Key: "operationType", Value: e.operation}, {Key: "clusterTime", Value: bson.Timestamp{T: uint32(e.seq)}}, {Key: "ns", Value: bson.D{{Key: "db", Value: "shop"}, {Key: "coll", Value: e.collection}}}}
		if e.id != nil {
			d = append(d, bson.E{Key: "documentKey", Value: bson.D{{Key: "_id", Value: e.id}}})
		}
		if e.operation == "insert" {
			d = append(d, bson.E{Key: "fullDocument", Value: e.full})
		}
		if c.before == "whenAvailable" && e.operation != "insert" {
			if e.before != nil {
				d = append(d, bson.E{Key: "fullDocumentBeforeChange", Value: e.before})
			} else {
				d = append(d, bson.E{Key: "fullDocumentBeforeChange", Value: nil})
			}
		}
		if c.project != nil {
			if d = include(d, c.project); len(d) == 0 || d[0].Key != "_id" {
				return nil, commandError{280, "ChangeStreamFatalError", "Encountered an event whose _id field, which contains the resume token, was modified by the pipeline.", nil}
			}
		}
		list = append(list, d)
		c.at, c.ended = e.seq, e.operation == "invalidate"
	}
	if int64(len(list)) < most && !c.ended {
		c.at = s.seq // looked through to the end
	}
	return list, nil
}

func (s *replicaSet) getMore(command bson.D) (bson.D, error) {
	id, _ := command[0].Value.(int64)
	batch := whole(command, "batchSize")
	if batch == 0 {
		batch = 100_000
	}
	until := time.NewTimer(time.Duration(whole(command, "maxTimeMS")) * time.Millisecond)
	defer until.Stop()
	for {
		s.mu.Lock()
		c := s.cursors[id]
		if c == nil {
			s.mu.Unlock()
			return nil, commandError{43, "CursorNotFound", fmt.Sprintf("cursor id %d not found", id), nil}
		}
		if !c.stream {
			n := min(batch, int64(len(c.rest)))
			out := c.rest[:n]
			if c.rest = c.rest[n:]; len(c.rest) == 0 {
				delete(s.cursors, id)
				id = 0
			}
			s.mu.Unlock()
			return bson.D{{Key: "cursor", Value: bson.D{{Key: "id", Value: id}, {Key: "ns", Value: "shop." + c.collection}, {Key: "nextBatch", Value: toA(out)}}}}, nil
		}
		list, err := s.told(c, batch)
		changed, at := s.changed, c.at
		if c.ended || err != nil {
			delete(s.cursors, id)
			id = 0
		}
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
		answer := bson.D{{Key: "cursor", Value: bson.D{{Key: "id", Value: id}, {Key: "ns", Value: "shop." + c.collection}, {Key: "nextBatch", Value: toA(list)}, {Key: "postBatchResumeToken", Value: token(at)}}}}
		if len(list) > 0 || id == 0 {
			return answer, nil
		}
		select {
		case <-until.C:
			return answer, nil
		case <-changed:
		}
	}
}
