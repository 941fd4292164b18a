// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/filestore"
	"github.com/syncline-dev/syncline/internal/connector/s3"
	"github.com/syncline-dev/syncline/internal/record"
)

// bucket keeps a partner's CSV file in S3. An object is seen when it is whole, and is replaced on the condition of its ETag.
type bucket struct {
	o   *outside
	rng *rand.Rand // of the partner

	mu      sync.Mutex
	objects map[string]object
	written int64
}

type object struct {
	data []byte
	etag string
	at   time.Time
}

const productsFile = "products.csv"

func newBucket(gate *Gate, name, id string, own *rand.Rand) *outside {
	o := newOutside(gate, name, record.System(id), products)
	o.memory, o.recalls, o.watches, o.object = nil, false, false, productsFile
	b := &bucket{o: o, rng: own, objects: make(map[string]object)}
	b.upload([]string{"sku", "name", "quantity", "price"}, nil)
	o.place, o.user = b, b
	o.kind = &kind{able: func(b base) connector.System {
		return struct {
			base
			scanning
			acknowledging
			pacing
		}{b, scanning{b}, acknowledging{b}, pacing{b}}
	}}
	if own.IntN(2) == 0 {
		b.put(productsFile+".schema.json", []byte(`{"fields": [{"name": "sku"}, {"name": "name"}, {"name": "quantity", "type": "integer"}, {"name": "price", "type": "number"}], "primaryKey": "sku"}`))
	} else {
		o.kind.raw = func(f record.Fields) record.Fields { // nothing says what is a number
			out := f.Clone()
			for name, v := range out {
				if v != nil {
					out[name] = record.Text(v)
				}
			}
			return out
		}
	}
	return o
}

// Spec is the connector's.
func (*bucket) Spec() connector.Spec { return s3.New().Spec() }

func (b *bucket) open(_ context.Context, l *line, consumer string) (connector.System, error) {
	options, err := filestore.ReadOptions(connector.Settings{"key": "sku"})
	if err != nil {
		return nil, err
	}
	return filestore.New(&objects{seam{b.o, l}, b}, "the bucket", options, connector.Env{Consumer: consumer})
}

// LosePlaces is somebody who tidies up: what the connector keeps beside the file is gone.
func (b *bucket) LosePlaces(record.Object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name := range b.objects {
		if strings.HasPrefix(name, ".") {
			delete(b.objects, name)
		}
	}
}

// Declare adds a column, or takes one away.
func (b *bucket) Declare(info connector.ObjectInfo) {
	b.mu.Lock()
	defer b.mu.Unlock()
	header, rows := b.table()
	_, wanted := info.Field("colour")
	at := slices.Index(header, "colour")
	switch {
	case wanted && at < 0:
		header = append(header, "colour")
		for i := range rows {
			rows[i] = append(rows[i], "")
		}
	case !wanted && at >= 0:
		header = slices.Delete(header, at, at+1)
		for i := range rows {
			rows[i] = slices.Delete(rows[i], at, at+1)
		}
	}
	b.upload(header, rows)
}

func (b *bucket) put(name string, data []byte) string {
	sum := sha256.Sum256(data)
	etag := hex.EncodeToString(sum[:8])
	b.objects[name] = object{data, etag, time.Now()}
	return etag
}

// table is the file as the partner's program reads it.
func (b *bucket) table() (header []string, rows [][]string) {
	return parseTable(b.objects[productsFile].data)
}

func parseTable(data []byte) (header []string, rows [][]string) {
	all, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil || len(all) == 0 {
		panic("the file cannot be read: " + string(data))
	}
	return all[0], all[1:]
}

func (b *bucket) upload(header []string, rows [][]string) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	_ = w.WriteAll(append([][]string{header}, rows...)) // a buffer does not fail
	b.put(productsFile, out.Bytes())
}

func typedRow(header, row []string) record.Fields {
	f := record.Fields{}
	for i, name := range header {
		info, known := products.Field(name)
		switch {
		case !known:
		case row[i] == "":
			f[name] = nil
		case info.Type == connector.TypeText:
			f[name] = row[i]
		default:
			f[name] = number(row[i])
		}
	}
	return f
}

func tableOf(data []byte) map[record.Key]record.Fields {
	header, rows := parseTable(data)
	out := make(map[record.Key]record.Fields, len(rows))
	for _, row := range rows {
		f := typedRow(header, row)
		out[record.Key(skuOf(f))] = f
	}
	return out
}

// Put uploads the file with the record in it.
func (b *bucket) Put(key record.Key, fields record.Fields) {
	b.mu.Lock()
	defer b.mu.Unlock()
	header, rows := b.table()
	sku := slices.Index(header, "sku")
	at := slices.IndexFunc(rows, func(row []string) bool { return row[sku] == string(key) })
	if at < 0 {
		row := make([]string, len(header))
		row[sku] = string(key)
		rows, at = append(rows, row), len(rows)
	}
	for name, v := range fields {
		rows[at][slices.Index(header, name)] = record.Text(v)
	}
	b.upload(header, rows)
}

// Delete uploads the file without the record.
func (b *bucket) Delete(key record.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	header, rows := b.table()
	sku := slices.Index(header, "sku")
	b.upload(header, slices.DeleteFunc(rows, func(row []string) bool { return row[sku] == string(key) }))
}

// Get returns the record.
func (b *bucket) Get(key record.Key) record.Fields { return b.All()[key] }

// All returns the file's records.
func (b *bucket) All() map[record.Key]record.Fields {
	b.mu.Lock()
	defer b.mu.Unlock()
	return tableOf(b.objects[productsFile].data)
}

// Writes counts the records that are not as they were after an upload by the connector.
func (b *bucket) Writes() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.written
}

// Tamper is Put or Delete: who reads all of it sees everything.
func (b *bucket) Tamper(key record.Key, fields record.Fields) { tamper(b, key, fields) }

// others is the partner's program, which writes the same records in another order.
func (b *bucket) others() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	header, rows := b.table()
	b.rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	b.upload(header, rows)
	return "the partner uploads the same records in another order"
}

// objects is the bucket as an opened connector reaches it.
type objects struct {
	seam
	of *bucket
}

func (s *objects) Check(ctx context.Context) error { return s.call(ctx, "check") }
func (s *objects) Close() error                    { return nil }

func (s *objects) List(ctx context.Context, prefix string, limit int) (out []filestore.Info, err error) {
	if err := s.call(ctx, "list"); err != nil {
		return nil, err
	}
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.of.objects)) {
		if strings.HasPrefix(name, prefix) && len(out) < limit {
			out = append(out, s.of.info(name))
		}
	}
	return out, nil
}

func (b *bucket) info(name string) filestore.Info {
	o := b.objects[name]
	return filestore.Info{Name: name, Size: int64(len(o.data)), Version: o.etag, Modified: o.at}
}

func (s *objects) Stat(ctx context.Context, name string) (filestore.Info, error) {
	if err := s.call(ctx, "stat"); err != nil {
		return filestore.Info{}, err
	}
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if _, there := s.of.objects[name]; !there {
		return filestore.Info{}, filestore.ErrNotFound
	}
	return s.of.info(name), nil
}

func (s *objects) Get(ctx context.Context, name string, _ int64) ([]byte, filestore.Info, error) {
	if err := s.call(ctx, "get"); err != nil {
		return nil, filestore.Info{}, err
	}
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	o, there := s.of.objects[name]
	if !there {
		return nil, filestore.Info{}, filestore.ErrNotFound
	}
	return slices.Clone(o.data), s.of.info(name), nil
}

func (s *objects) Put(ctx context.Context, name string, data []byte, version string) (string, error) {
	if err := s.call(ctx, "put"); err != nil {
		return "", err
	}
	etag, met := s.of.replace(name, data, version)
	if !met {
		if s.l != nil { // an answer takes its time, and who tries again at once does so later
			s.o.gate.sleep(ctx, s.l.name+" "+s.o.name, time.Millisecond)
		}
		return "", filestore.ErrMoved
	}
	return etag, s.changed(ctx)
}

// replace puts the object there if it is of that version.
func (b *bucket) replace(name string, data []byte, version string) (etag string, met bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.objects[name]
	if before.etag != version {
		return "", false
	}
	if name == productsFile {
		was, is := tableOf(before.data), tableOf(data)
		for k, f := range is {
			if was[k] == nil || show(f) != show(was[k]) {
				b.written++
			}
		}
		for k := range was {
			if is[k] == nil {
				b.written++
			}
		}
	}
	return b.put(name, data), true
}

func (s *objects) Remove(ctx context.Context, name string) error {
	if err := s.call(ctx, "remove"); err != nil {
		return err
	}
	s.of.mu.Lock()
	delete(s.of.objects, name)
	s.of.mu.Unlock()
	return s.changed(ctx)
}

var (
	_ place           = (*bucket)(nil)
	_ people          = (*bucket)(nil)
	_ filestore.Store = (*objects)(nil)
)
