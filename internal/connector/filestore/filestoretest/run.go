// SPDX-License-Identifier: Apache-2.0

// Package filestoretest holds a connector of files to the conformance suite, in each of the formats.
package filestoretest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/record"
)

// Place is where files are, reached behind the connector's back.
type Place struct {
	Connector connector.Connector
	Settings  connector.Settings
	Bad       []connector.Settings
	Env       connector.Env
	Put       func(t testing.TB, name string, data []byte)
	List      func(t testing.TB, prefix string) []string
	Remove    func(t testing.TB, name string)
	Judge     string // what it runs against, for the table of connectors
	// Not are the lines of the suite that do not apply, with the reason.
	Not map[card.Line]string
}

// Formats are those that the suite is run in.
var Formats = []string{"csv", "tsv", "json", "jsonl", "xml", "xlsx", "parquet"}

// Run runs the suite with files of the format.
func Run(t *testing.T, p Place, format string) {
	var made atomic.Int64
	var shapes sync.Map // by object
	users := &users{p: p}
	connectortest.Run(t, connectortest.Harness{
		Connector: p.Connector, Settings: p.Settings, Bad: p.Bad, Detection: "hash", Env: p.Env, Users: users, Judge: p.Judge, Objects: "files", Not: p.Not,
		Create: func(t *testing.T, shape connectortest.Shape) record.Object {
			name := fmt.Sprintf("%s/%s_%d.%s", format, shape.Name, made.Add(1), format)
			shapes.Store(record.Object(name), shape)
			p.Create(t, record.Object(name), format, shape)
			return record.Object(name)
		},
		LosePlace: func(t *testing.T, o record.Object, consumer string) {
			for _, f := range p.List(t, ".syncline/"+consumer+"/") {
				p.Remove(t, f)
			}
			file, _, _ := strings.Cut(string(o), "#") // else there is nothing to compare
			p.Put(t, file+".schema.json", append(schemaOf(t, shape(&shapes, o)), ' '))
		},
		Leftovers: func(t *testing.T, _ record.Object, consumer string) []string {
			return p.List(t, ".syncline/"+consumer+"/")
		},
		Can: connectortest.Can{Deletes: true, Independent: true, Finds: true, Keyless: format != "parquet", Composite: true, Rekeys: true,
			Unique: true, LimitsLength: true, NotNull: true, Rounds: format == "parquet"},
	})
	if format == "csv" {
		t.Run("undone at once", func(t *testing.T) {
			t.Parallel()
			p.undone(t)
		})
	}
}

// undone: somebody undoes what we wrote before we read the file again, and it is as it was when we read it last. It is heard of all the
// same.
func (p Place) undone(t *testing.T) {
	checked, err := p.Connector.Spec().Check(p.Settings)
	if err != nil {
		t.Fatal(err)
	}
	env := p.Env
	env.Consumer = "svc_undone"
	sys, err := p.Connector.Open(t.Context(), checked, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sys.Close() })
	const object, before = record.Object("undone.csv"), "id,name\n1,Ada\n2,Bob\n3,Cy\n"
	p.Put(t, string(object), []byte(before))
	var cursor record.Cursor
	heard := func() string {
		out := map[record.Key]string{}
		for more := true; more; {
			page, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: object, Cursor: cursor, Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range page.Changes {
				out[c.Key] = string(c.Op) + " " + record.Text(c.Fields["name"])
			}
			cursor, more = page.Cursor, page.More
		}
		return fmt.Sprint(out)
	}
	heard()
	receipts, err := sys.(connector.Writer).Write(t.Context(), object, []connector.Write{
		{ID: record.NewEntityID(), Op: record.Upsert, Create: true, Fields: record.Fields{"id": "9", "name": "Ivy"}},
		{ID: record.NewEntityID(), Op: record.Upsert, Key: "1", Fields: record.Fields{"name": "Ada L."}},
		{ID: record.NewEntityID(), Op: record.Delete, Key: "2"},
	})
	if err != nil || receipts[0].Outcome != connector.Applied || receipts[1].Outcome != connector.Applied || receipts[2].Outcome != connector.Applied {
		t.Fatalf("the receipts are %+v, %v", receipts, err)
	}
	p.Put(t, string(object), []byte(before))
	older, want := cursor, fmt.Sprint(map[record.Key]string{"9": string(record.Delete) + " ", "1": string(record.Upsert) + " Ada", "2": string(record.Upsert) + " Bob"})
	if got := heard(); got != want {
		t.Errorf("read were %s, want %s", got, want)
	}
	cursor = older // as after a commit that failed
	if got := heard(); got != want {
		t.Errorf("from where it had stood, read were %s, want %s", got, want)
	}
	if got := heard(); got != fmt.Sprint(map[record.Key]string{}) {
		t.Errorf("read were %s once more", got)
	}
}

func shape(shapes *sync.Map, o record.Object) connectortest.Shape {
	s, _ := shapes.Load(o)
	return s.(connectortest.Shape)
}

// Create makes an empty object of the shape: its schema, and where the format needs one a file.
func (p Place) Create(t testing.TB, object record.Object, format string, shape connectortest.Shape) {
	t.Helper()
	file, _, _ := strings.Cut(string(object), "#")
	if format == "parquet" {
		p.Put(t, file, emptyParquet(t, shape))
	}
	p.Put(t, file+".schema.json", schemaOf(t, shape))
}

func schemaOf(t testing.TB, shape connectortest.Shape) []byte {
	t.Helper()
	type constraints struct {
		Required  bool `json:"required,omitempty"`
		Unique    bool `json:"unique,omitempty"`
		MaxLength int  `json:"maxLength,omitempty"`
	}
	type field struct {
		Name        string      `json:"name"`
		Type        string      `json:"type"`
		Constraints constraints `json:"constraints"`
	}
	fields := []field{}
	unique := map[string]bool{}
	for _, u := range shape.Unique {
		unique[u] = true
	}
	for _, f := range shape.Fields {
		fields = append(fields, field{f.Name, string(f.Type), constraints{!f.Nullable, unique[f.Name], f.MaxLength}})
	}
	schema, err := json.Marshal(map[string]any{"fields": fields, "primaryKey": shape.Key})
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func emptyParquet(t testing.TB, shape connectortest.Shape) []byte {
	group := parquet.Group{}
	for _, f := range shape.Fields {
		var n parquet.Node
		switch f.Type {
		case connector.TypeText:
			n = parquet.String()
		case connector.TypeInteger:
			n = parquet.Int(64)
		case connector.TypeNumber:
			scale := f.Scale
			if scale < 0 {
				scale = 9
			}
			n = parquet.Decimal(scale, 41, parquet.FixedLenByteArrayType(18))
		case connector.TypeFloat:
			n = parquet.Leaf(parquet.DoubleType)
		case connector.TypeBoolean:
			n = parquet.Leaf(parquet.BooleanType)
		case connector.TypeTimestamp:
			n = parquet.Timestamp(parquet.Microsecond)
		case connector.TypeDateTime:
			n = parquet.TimestampAdjusted(parquet.Microsecond, false)
		case connector.TypeDate:
			n = parquet.Date()
		case connector.TypeTime:
			n = parquet.Time(parquet.Microsecond)
		case connector.TypeBytes:
			n = parquet.Leaf(parquet.ByteArrayType)
		case connector.TypeJSON:
			n = parquet.JSON()
		case connector.TypeUUID:
			n = parquet.UUID()
		case connector.TypeArray:
			n = parquet.List(parquet.Optional(parquet.String()))
		}
		if f.Nullable {
			n = parquet.Optional(n)
		}
		group[f.Name] = n
	}
	var b bytes.Buffer
	if err := parquet.NewWriter(&b, parquet.NewSchema("records", group)).Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// users edit files with the connector as another consumer. That what is written is what others read is held by the tests
// of the formats, which look at bytes.
type users struct{ p Place }

func (u *users) write(t testing.TB, object record.Object, writes ...connector.Write) {
	t.Helper()
	settings, err := u.p.Connector.Spec().Check(u.p.Settings)
	if err != nil {
		t.Fatal(err)
	}
	env := u.p.Env
	env.Consumer = "user"
	sys, err := u.p.Connector.Open(t.Context(), settings, env)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	receipts, err := sys.(connector.Writer).Write(t.Context(), object, writes)
	for range 50 { // others may be quicker several times in a row; nothing is written then
		if err == nil || connector.Classify(err).Code != "files.busy" {
			break
		}
		receipts, err = sys.(connector.Writer).Write(t.Context(), object, writes)
	}
	if err != nil {
		t.Fatalf("a user's edit of %s: %v", object, err)
	}
	for i, r := range receipts {
		if r.Outcome != connector.Applied && r.Outcome != connector.Already {
			t.Fatalf("a user's edit of %s: %+v is %s (%v)", object, writes[i], r.Outcome, r.Err)
		}
	}
}

func (u *users) Insert(t testing.TB, object record.Object, rows ...record.Fields) {
	t.Helper()
	var writes []connector.Write
	for _, r := range rows {
		writes = append(writes, connector.Write{Op: record.Upsert, Create: true, Fields: r})
	}
	u.write(t, object, writes...)
}

func (u *users) Update(t testing.TB, object record.Object, key record.Key, set record.Fields) {
	t.Helper()
	u.write(t, object, connector.Write{Op: record.Upsert, Key: key, Fields: set})
}

func (u *users) Delete(t testing.TB, object record.Object, keys ...record.Key) {
	t.Helper()
	var writes []connector.Write
	for _, k := range keys {
		writes = append(writes, connector.Write{Op: record.Delete, Key: k})
	}
	u.write(t, object, writes...)
}

func (u *users) Begin(t testing.TB) connectortest.Transaction {
	t.Fatal("files have no transactions")
	return nil
}

// ReadOnly checks how a place is read that may not be written: put replaces the file behind its back. The file holds the
// records 1 (Ada) and 2 (Bob).
func ReadOnly(t *testing.T, c connector.Connector, settings connector.Settings, env connector.Env, object record.Object, put func(data string)) {
	sys, err := c.Open(t.Context(), settings, env)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	var cursor record.Cursor
	read := func() (out map[record.Key]record.Value, deletes int) {
		out = map[record.Key]record.Value{}
		for more := true; more; {
			page, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: object, Cursor: cursor, Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range page.Changes {
				out[c.Key] = c.Fields["name"]
				if c.Op == record.Delete {
					deletes++
				}
			}
			cursor, more = page.Cursor, page.More
		}
		return out, deletes
	}
	if got, _ := read(); len(got) != 2 || got["1"] != "Ada" {
		t.Errorf("the snapshot is %v", got)
	}
	if got, _ := read(); len(got) != 0 {
		t.Errorf("an unchanged file gave %v", got)
	}
	put("id,name\n1,Ada L.\n3,Cy\n")
	if got, deletes := read(); len(got) != 2 || got["1"] != "Ada L." || got["3"] != "Cy" || deletes != 0 {
		t.Errorf("the changed file gave %v and %d deletes", got, deletes)
	}
	_, err = sys.(connector.Writer).Write(t.Context(), object, []connector.Write{{Op: record.Upsert, Key: "1", Fields: record.Fields{"name": "x"}}})
	if e := connector.Classify(err); err == nil || e.Class != connector.Reconnect || e.Code != "files.read_only" {
		t.Errorf("a write gave %v", err)
	}
	if _, why, _ := sys.(connector.Chooser).Detection(t.Context(), object); !strings.Contains(why, "not seen") {
		t.Errorf("the detection is explained as %q", why)
	}
	if err := sys.(connector.Cleaner).Clean(t.Context(), []record.Object{object}); err != nil {
		t.Errorf("cleaning: %v", err)
	}
}
