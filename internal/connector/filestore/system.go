// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/written"
	"github.com/syncline-dev/syncline/internal/record"
)

// System is an open place of files.
type System struct {
	store   Store
	options Options
	title   string // of the place, for messages: "the folder"
	env     connector.Env

	mu     sync.Mutex
	tables map[record.Object]*table // as they were read last
	bare   bool                     // nothing can be kept in the place, so deletes are not seen
	kept   map[record.Object]string // the list that was acknowledged last

	written written.Records // what a file's list does not tell of
}

// ByHash is the detection: files are compared with a list of what was in them.
const ByHash = "hash"

// Deletes and Guarantee are what a connector of files says of itself in its Spec.
const (
	Deletes   = "list-diff where Syncline may write beside the files, else never"
	Guarantee = "effectively once: a file is replaced in one step, and only while it is as it was when its records were compared with the expected state"
)

// New makes a system of a store. It starts nothing.
func New(store Store, title string, o Options, env connector.Env) (*System, error) {
	if d := env.Detection; d != "" && d != "auto" && d != ByHash {
		return nil, &connector.Error{Class: connector.Reject, Code: "files.detection_unknown",
			Message: fmt.Sprintf("Changes in files cannot be detected by %q; use auto or %s.", d, ByHash)}
	}
	return &System{store: store, options: o, title: title, env: env, tables: map[record.Object]*table{}, kept: map[record.Object]string{}}, nil
}

// Check implements connector.System.
func (s *System) Check(ctx context.Context) error { return s.store.Check(ctx) }

// Close implements connector.System.
func (s *System) Close() error { return s.store.Close() }

// Pace implements connector.Pacer: looking whether a file changed is one small request.
func (s *System) Pace() connector.Pace {
	return connector.Pace{Min: time.Second, Max: 30 * time.Second}
}

// maxListed bounds how many files are looked at when listing objects.
const maxListed = 10_000

// Objects implements connector.Discoverer.
func (s *System) Objects(ctx context.Context) ([]record.Object, error) {
	files, err := s.store.List(ctx, "", maxListed)
	if err != nil {
		return nil, err
	}
	var names []record.Object
	books := 0
	for _, f := range files {
		if books < maxBooks && s.options.formatOf(f.Name, nil) == "xlsx" && !hidden(f.Name) && f.Size <= min(maxBook, s.options.MaxBytes) {
			books++
			if sheets := s.sheets(ctx, f.Name); len(sheets) > 1 {
				names = append(names, sheets...)
				continue
			}
		}
		if !hidden(f.Name) && (s.options.Format != "" || s.options.formatOf(f.Name, nil) != "") {
			names = append(names, record.Object(f.Name))
			continue
		}
		if of, isSchema := strings.CutSuffix(f.Name, schemaSuffix); isSchema && !hidden(of) { // a file that is declared and does not exist yet
			names = append(names, record.Object(of))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Workbooks are opened to list their sheets, as long as they are few and small.
const (
	maxBooks = 20
	maxBook  = 20 << 20
)

// sheets names the sheets of a workbook; none when it cannot be opened, which is said when it is used.
func (s *System) sheets(ctx context.Context, name string) (out []record.Object) {
	data, _, err := s.store.Get(ctx, name, maxBook)
	if err != nil {
		return nil
	}
	f, err := openBook(data)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }() // in memory
	for _, sheet := range f.GetSheetList() {
		out = append(out, record.Object(name+"#"+sheet))
	}
	return out
}

// Describe implements connector.Discoverer.
func (s *System) Describe(ctx context.Context, objects ...record.Object) ([]connector.ObjectInfo, error) {
	var out []connector.ObjectInfo
	for _, o := range objects {
		t, err := s.load(ctx, o)
		if err != nil {
			return nil, err
		}
		info := connector.ObjectInfo{Name: o, Key: t.key, Rows: int64(len(t.rows))}
		for _, c := range t.columns {
			info.Fields = append(info.Fields, c.FieldInfo)
		}
		if t.column(t.key[0]) == nil {
			info.Fields = append(info.Fields, connector.FieldInfo{Name: t.key[0], Type: connector.TypeText, Native: "text"})
		}
		out = append(out, info)
	}
	return out, nil
}

// Detection implements connector.Chooser.
func (s *System) Detection(context.Context, record.Object) (detection, why string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bare {
		return ByHash, "Nothing may be written beside the files, so a changed file is read whole and deleted records are not seen.", nil
	}
	return ByHash, "Files that changed are compared with a list of their records, kept in the folder .syncline beside them.", nil
}

// load returns the object's content as it is now.
func (s *System) load(ctx context.Context, object record.Object) (*table, error) {
	name, _ := sheetOf(object)
	if name == "" || hidden(name) {
		return nil, s.missing(object)
	}
	declared, schemaVersion, err := s.schema(ctx, object)
	if err != nil {
		return nil, err
	}
	info, err := s.settled(ctx, name)
	gone := errors.Is(err, ErrNotFound)
	switch {
	case gone && declared == nil:
		return nil, s.missing(object)
	case err != nil && !gone:
		return nil, err
	}
	s.mu.Lock()
	t := s.tables[object]
	s.mu.Unlock()
	if t != nil && t.id == s.contentID(object, info.Version, schemaVersion) {
		return t, nil
	}
	var data []byte
	if !gone {
		if info.Size > s.options.MaxBytes {
			return nil, s.tooLarge(object, info.Size)
		}
		data, info, err = s.store.Get(ctx, name, s.options.MaxBytes)
		if errors.Is(err, ErrNotFound) {
			return nil, s.missing(object)
		}
		if err != nil {
			return nil, err
		}
		if info.Size > s.options.MaxBytes {
			return nil, s.tooLarge(object, info.Size)
		}
	}
	t, err = s.options.read(object, data, declared)
	if err != nil {
		return nil, err
	}
	t.version, t.id = info.Version, s.contentID(object, info.Version, schemaVersion)
	s.mu.Lock()
	s.tables[object] = t
	s.mu.Unlock()
	return t, nil
}

func (s *System) tooLarge(object record.Object, size int64) error {
	return &connector.Error{Class: connector.Reject, Code: "files.too_large",
		Message: fmt.Sprintf("%s has %d megabytes; the connection's setting maxMegabytes allows %d.", object, size>>20, s.options.MaxBytes>>20)}
}

func (s *System) missing(object record.Object) error {
	return &connector.Error{Class: connector.Reject, Code: "files.not_found",
		Message: fmt.Sprintf("There is no file %s in %s. Put it there, or declare its fields in %s so that it is made when the first record is written.", object, s.title, schemaName(object))}
}

// settled waits until the file has been left alone for a while, so that one that somebody is writing is not read in the middle.
func (s *System) settled(ctx context.Context, name string) (Info, error) {
	for {
		info, err := s.store.Stat(ctx, name)
		if err != nil || s.options.Settle == 0 || info.Modified.IsZero() {
			return info, err
		}
		rest := s.options.Settle - time.Since(info.Modified)
		if rest <= 0 || rest > s.options.Settle { // a clock that is ahead is not waited for
			return info, nil
		}
		timer := time.NewTimer(rest)
		select {
		case <-ctx.Done():
			timer.Stop()
			return info, ctx.Err()
		case <-timer.C:
		}
	}
}

// schema reads what is declared beside the file; nil when nothing is.
func (s *System) schema(ctx context.Context, object record.Object) (*schema, string, error) {
	const most = 1 << 20
	data, info, err := s.store.Get(ctx, schemaName(object), most)
	if errors.Is(err, ErrNotFound) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	declared, err := parseSchema(data)
	if err != nil {
		return nil, "", &connector.Error{Class: connector.Reject, Code: "files.schema_malformed", Message: fmt.Sprintf("The schema %s cannot be used: %v.", schemaName(object), err)}
	}
	return declared, info.Version, nil
}

// contentID names content together with what decides how it is read.
func (s *System) contentID(object record.Object, version, schemaVersion string) string {
	return short(version + "\x00" + schemaVersion + "\x00" + s.options.marker(object))
}

func short(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:12])
}

// ReadKeys implements connector.KeyReader.
func (s *System) ReadKeys(ctx context.Context, object record.Object, fields []string, keys []record.Key) ([]record.Change, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	t, err := s.load(ctx, object)
	if err != nil {
		return nil, err
	}
	out := make([]record.Change, 0, len(keys))
	for _, k := range keys {
		if r := t.byKey[k]; r != nil {
			out = append(out, t.change(r, fields))
		} else {
			out = append(out, record.Change{Key: k, Op: record.Delete})
		}
	}
	return out, nil
}

// Scan implements connector.Scanner, in the order of keys.
func (s *System) Scan(ctx context.Context, req connector.ScanRequest) (out connector.Scanned, err error) {
	t, err := s.load(ctx, req.Object)
	if err != nil {
		return out, err
	}
	i := 0
	if req.Place != nil {
		i = sort.Search(len(t.sorted), func(i int) bool { return t.sorted[i].key > record.Key(req.Place) })
	}
	for ; i < len(t.sorted) && len(out.Records) < req.Limit; i++ {
		out.Records = append(out.Records, t.change(t.sorted[i], req.Fields))
	}
	if i < len(t.sorted) {
		out.Next = record.Cursor(t.sorted[i-1].key)
	}
	return out, nil
}

// Find implements connector.Finder.
func (s *System) Find(ctx context.Context, object record.Object, fields []string, queries []record.Fields) ([][]record.Change, error) {
	t, err := s.load(ctx, object)
	if err != nil {
		return nil, err
	}
	found := make([][]record.Change, len(queries))
	byField := map[string]map[string][]*row{} // the rows by the value of the first field of a query
	for i, q := range queries {
		names := make([]string, 0, len(q))
		for name := range q {
			names = append(names, name)
		}
		sort.Strings(names)
		if len(names) == 0 {
			continue
		}
		name := names[0]
		if byField[name] == nil {
			byField[name] = map[string][]*row{}
			for _, r := range t.sorted {
				text := record.Text(r.fields[name])
				byField[name][text] = append(byField[name][text], r)
			}
		}
		for _, r := range byField[name][record.Text(q[name])] {
			if holds(r.fields, q) {
				if found[i] = append(found[i], t.change(r, fields)); len(found[i]) == 2 {
					break
				}
			}
		}
	}
	return found, nil
}

func holds(all, some record.Fields) bool {
	for name, v := range some {
		if !record.Equal(all[name], v) {
			return false
		}
	}
	return true
}

var (
	_ connector.Discoverer   = (*System)(nil)
	_ connector.Reader       = (*System)(nil)
	_ connector.KeyReader    = (*System)(nil)
	_ connector.Finder       = (*System)(nil)
	_ connector.Writer       = (*System)(nil)
	_ connector.Acknowledger = (*System)(nil)
	_ connector.Cleaner      = (*System)(nil)
	_ connector.Chooser      = (*System)(nil)
	_ connector.Pacer        = (*System)(nil)
)
