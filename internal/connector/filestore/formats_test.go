// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/parquet-go/parquet-go"
	"github.com/xuri/excelize/v2"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// edit reads a file, applies the writes and gives the new content.
func edit(t *testing.T, o Options, object record.Object, data []byte, schemaText string, writes ...connector.Write) ([]byte, *table) {
	t.Helper()
	var declared *schema
	if schemaText != "" {
		var err error
		if declared, err = parseSchema([]byte(schemaText)); err != nil {
			t.Fatal(err)
		}
	}
	before, err := o.read(object, data, declared)
	if err != nil {
		t.Fatalf("reading: %v", err)
	}
	b := batch{table: before.copied(), removed: map[*row]bool{}}
	for i := range writes {
		if r := b.write(&writes[i]); r.Outcome != connector.Applied {
			t.Fatalf("write %d is %s: %v", i, r.Outcome, r.Err)
		}
	}
	b.finish()
	out, err := b.codec.encode(b.table)
	if err != nil {
		t.Fatalf("writing: %v", err)
	}
	after, err := o.read(object, out, declared)
	if err != nil {
		t.Fatalf("reading back: %v\n%s", err, out)
	}
	return out, after
}

func set(key record.Key, f record.Fields) connector.Write {
	return connector.Write{Op: record.Upsert, Key: key, Fields: f}
}

func add(f record.Fields) connector.Write {
	return connector.Write{Op: record.Upsert, Create: true, Fields: f}
}

func drop(key record.Key) connector.Write { return connector.Write{Op: record.Delete, Key: key} }

// What nobody changed stays byte for byte as it was: that is what people see in their own files.
func TestTextFormatsKeepWhatNobodyChanged(t *testing.T) {
	t.Parallel()
	const typed = `{"fields": [{"name": "id", "type": "integer"}, {"name": "price", "type": "number"}]}`
	tests := []struct {
		name, file, schema string
		options            Options
		before, after      string
		writes             []connector.Write
	}{
		{name: "semicolons, CRLF, a quoted cell", file: "a.csv",
			before: "id;name;note\r\n1;\"Ada; L.\";\r\n2;Bob;x\r\n", writes: []connector.Write{set("2", record.Fields{"note": "it's \"new\""}), add(record.Fields{"id": "3", "name": ""})},
			after: "id;name;note\r\n1;\"Ada; L.\";\r\n2;Bob;\"it's \"\"new\"\"\"\r\n3;\"\";\r\n"},
		{name: "numbers as they are written", file: "a.csv", schema: typed,
			before: "id,price,note\n1,1.50,a\n2,2.50,b\n", writes: []connector.Write{set("2", record.Fields{"note": "c"})},
			after: "id,price,note\n1,1.50,a\n2,2.50,c\n"},
		{name: "no end of the last line, short rows, empty lines", file: "a.csv",
			before: "id,name,note\n\n1,Ada", writes: []connector.Write{set("1", record.Fields{"note": "x"})}, after: "id,name,note\n1,Ada,x"},
		{name: "a line break in a cell, a record taken out", file: "a.csv",
			before: "id,name\n1,\"two\nlines\"\n2,gone\n3,stays\n", writes: []connector.Write{drop("2")}, after: "id,name\n1,\"two\nlines\"\n3,stays\n"},
		{name: "tabs", file: "a.tsv", before: "id\tname\n1\ta,b\n", writes: []connector.Write{add(record.Fields{"id": "2", "name": "c\td"})}, after: "id\tname\n1\ta,b\n2\t\"c\td\"\n"},
		{name: "a byte order mark", file: "a.csv", before: "\xef\xbb\xbfid,name\n1,ä\n", writes: []connector.Write{set("1", record.Fields{"name": "ö"})}, after: "\xef\xbb\xbfid,name\n1,ö\n"},
		{name: "windows-1252 by its bytes", file: "a.csv", before: "id,name\n1,J\xfcrgen\n2,\x80\n", writes: []connector.Write{set("2", record.Fields{"name": "é"})}, after: "id,name\n1,J\xfcrgen\n2,\xe9\n"},
		{name: "UTF-16", file: "a.csv", before: "\xff\xfei\x00d\x00\n\x001\x00\n\x00", writes: []connector.Write{add(record.Fields{"id": "2"})}, after: "\xff\xfei\x00d\x00\n\x001\x00\n\x002\x00\n\x00"},
		{name: "a list in an envelope", file: "a.json",
			before: "{\"total\": 2, \"contacts\": [\n    {\"id\":1,\"price\":1.50},\n    {\"price\":2,\"id\":2}\n  ], \"next\": null}\n", writes: []connector.Write{set("2", record.Fields{"price": record.Number("3")})},
			after: "{\"total\": 2, \"contacts\": [\n    {\"id\":1,\"price\":1.50},\n    {\"price\": 3, \"id\": 2}\n  ], \"next\": null}\n"},
		{name: "a path to the records", file: "a.json", options: Options{RecordPath: "data.people"},
			before: `{"data": {"other": [1], "people": [{"id": "a"}]}}`, writes: []connector.Write{add(record.Fields{"id": "b"})}, after: `{"data": {"other": [1], "people": [{"id": "a"},{"id": "b"}]}}`},
		{name: "an empty list", file: "a.json", schema: typed, before: "[]", writes: []connector.Write{add(record.Fields{"id": record.Number("1")})}, after: "[\n  {\"id\": 1, \"price\": null}\n]"},
		{name: "lines", file: "a.jsonl", before: "{\"id\":1,\"x\":[1, 2]}\n{\"id\":2}\n", writes: []connector.Write{drop("2"), add(record.Fields{"id": record.Number("3")})},
			after: "{\"id\":1,\"x\":[1, 2]}\n{\"id\": 3, \"x\": null}\n"},
		{name: "elements and attributes", file: "a.xml",
			before: "<?xml version=\"1.0\"?>\n<shop>\n  <!-- kept -->\n  <item id=\"1\"><name>A &amp; B</name><deep><x>1</x></deep></item>\n  <item id=\"2\"/>\n</shop>\n", options: Options{Key: map[record.Object][]string{"": {"@id"}}},
			writes: []connector.Write{set("2", record.Fields{"name": "<new>"})},
			after:  "<?xml version=\"1.0\"?>\n<shop>\n  <!-- kept -->\n  <item id=\"1\"><name>A &amp; B</name><deep><x>1</x></deep></item>\n  <!-- kept -->\n  <item id=\"2\">\n  <!-- kept -->\n    <name>&lt;new&gt;</name>\n  <!-- kept -->\n  </item>\n</shop>\n"},
		{name: "nested elements", file: "a.xml",
			before: "<people>\n  <person><id>1</id><address kind=\"home\"><city>Oslo</city><!-- why --></address><tag>a</tag><tag>b</tag></person>\n  <person><id>2</id><address/></person>\n</people>\n",
			writes: []connector.Write{
				set("1", record.Fields{"tag": []any{"a", "c & d", nil}}), // the address stays as it is written
				set("2", record.Fields{"address": map[string]any{"@kind": "work", "city": "Bergen", "floors": record.Number("3"), "none": nil, "phone": []any{map[string]any{"@x": true, "#text": "1"}, "2"}}}),
				add(record.Fields{"id": "3", "tag": []any{"only"}, "address": map[string]any{"#text": "just text"}})},
			after: "<people>\n  <person>\n    <id>1</id>\n    <address kind=\"home\"><city>Oslo</city><!-- why --></address>\n    <tag>a</tag>\n    <tag>c &amp; d</tag>\n    <tag></tag>\n  </person>\n" +
				"  <person>\n    <id>2</id>\n    <address kind=\"work\">\n      <city>Bergen</city>\n      <floors>3</floors>\n      <phone x=\"true\">1</phone>\n      <phone>2</phone>\n    </address>\n  </person>\n" +
				"  <person>\n    <id>3</id>\n    <address>just text</address>\n    <tag>only</tag>\n  </person>\n</people>\n"},
		{name: "prefixes and what binds them", file: "a.xml",
			before: "<c:people xmlns:c=\"urn:crm\" xmlns=\"urn:old\">\n  <c:person xsi:type=\"c:Lead\" xmlns:xsi=\"urn:xsi\"><c:id>1</c:id><name xmlns=\"urn:names\">Ada</name><a:address xmlns:a=\"urn:post\" a:kind=\"home\" kind=\"x\"><a:city>Oslo</a:city></a:address><c:tag>a</c:tag><tag>b</tag></c:person>\n" +
				"  <c:person><c:id>2</c:id></c:person>\n  <c:person><c:id>3</c:id><p:note xmlns:p=\"urn:p\">n</p:note></c:person>\n</c:people>\n",
			writes: []connector.Write{
				set("1", record.Fields{"name": "Ada L.", "address": map[string]any{"@a:kind": "work", "@kind": "x", "city": "Bergen"}, "tag": []any{"a", "c", "d"}}),
				set("2", record.Fields{"note": "new", "@type": "c:Lead"}),
				add(record.Fields{"id": "4", "name": "Bo", "note": "m"})},
			after: "<c:people xmlns:c=\"urn:crm\" xmlns=\"urn:old\">\n  <c:person xmlns:xsi=\"urn:xsi\" xsi:type=\"c:Lead\">\n    <c:id>1</c:id>\n    <name xmlns=\"urn:names\">Ada L.</name>\n    <a:address xmlns:a=\"urn:post\" a:kind=\"work\" kind=\"x\">\n      <a:city>Bergen</a:city>\n    </a:address>\n    <c:tag>a</c:tag>\n    <tag>c</tag>\n    <tag>d</tag>\n  </c:person>\n" +
				"  <c:person xsi:type=\"c:Lead\" xmlns:xsi=\"urn:xsi\">\n    <c:id>2</c:id>\n    <p:note xmlns:p=\"urn:p\">new</p:note>\n  </c:person>\n  <c:person><c:id>3</c:id><p:note xmlns:p=\"urn:p\">n</p:note></c:person>\n" +
				"  <c:person xmlns:xsi=\"urn:xsi\">\n    <c:id>4</c:id>\n    <name xmlns=\"urn:names\">Bo</name>\n    <p:note xmlns:p=\"urn:p\">m</p:note>\n  </c:person>\n</c:people>\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, _ := edit(t, tt.options, record.Object(tt.file), []byte(tt.before), tt.schema, tt.writes...)
			if string(got) != tt.after {
				t.Errorf("became\n%q, want\n%q", got, tt.after)
			}
		})
	}
}

func TestFormatsAreFound(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, content, want string }{
		{"a.csv", "", "csv"}, {"A.CSV", "", "csv"}, {"a.ndjson", "", "jsonl"}, {"x/a.xlsx", "", "xlsx"}, {"a.parquet", "", "parquet"},
		{"export", "id;name\n1;a\n2;b\n", "csv"}, {"export", " [{\"id\":1}]", "json"}, {"export", "{\"id\":1}\n{\"id\":2}\n", "jsonl"},
		{"export", "{\n \"rows\": [] }", "json"}, {"export", "<?xml?>", "xml"}, {"export", "PAR1...", "parquet"}, {"export", "PK\x03\x04", "xlsx"}, {"export", "nothing", ""},
		{"2026.01", "id|name\n1|a\n", "csv"}, {"a.json", "{\"id\":1}\r\n{\"id\":2}\r\n", "jsonl"}, {"a.json", "{\"id\":1,\n\"rows\":[\n{}]}", "json"}, {"a.json", "[\n{\"id\":1},\n{\"id\":2}]", "json"},
		{"export", "\xff\xfei\x00;\x00b\x00\n\x00", "csv"}, {"export", "\x00i\x00;\x00b\x00\n", "csv"}, {"export", "\ufeff[{\"id\":1}]", "json"}, {"export", "i;caf\xe9\n1;2\n", "csv"},
	} {
		if got := (Options{}).formatOf(tt.name, []byte(tt.content)); got != tt.want {
			t.Errorf("%s with %q is %q, want %q", tt.name, tt.content, got, tt.want)
		}
	}
	for text, want := range map[string]byte{"a,b;c,d\n1,2;3,4\n": ',', "a;b\n\"1,5,6,7\";2\n": ';', "a\tb\n": '\t', "a|b|c\n1|2|3": '|', "alone\n": 0} {
		if got := detectDelimiter(text); got != want {
			t.Errorf("%q is divided by %q, want %q", text, got, want)
		}
	}
}

// What a table is written in is found out, and kept when it is written: encodings with and without a mark, and all delimiters.
func TestEncodingsAreFound(t *testing.T) {
	t.Parallel()
	wide := func(order binary.ByteOrder, s string) string {
		var out []byte
		for _, u := range utf16.Encode([]rune(s)) {
			b := make([]byte, 2)
			order.PutUint16(b, u)
			out = append(out, b...)
		}
		return string(out)
	}
	little := func(s string) string { return wide(binary.LittleEndian, s) }
	big := func(s string) string { return wide(binary.BigEndian, s) }
	same := func(s string) string { return s }
	latin := func(s string) string { return strings.NewReplacer("é", "\xe9", "ß", "\xdf").Replace(s) }
	for _, e := range []struct {
		name, mark string
		write      func(string) string
	}{
		{"UTF-8", "", same}, {"UTF-8 with a mark", "\xef\xbb\xbf", same}, {"UTF-16, little end first", "\xff\xfe", little}, {"UTF-16, big end first", "\xfe\xff", big},
		{"UTF-16 without a mark", "", little}, {"UTF-16 without a mark, big end first", "", big}, {"Latin", "", latin},
	} {
		for _, d := range []string{",", ";", "\t", "|"} {
			before := e.mark + e.write("id"+d+"name"+d+"note\n1"+d+"René"+d+"\n2"+d+"Groß"+d+"x\n")
			want := e.mark + e.write("id"+d+"name"+d+"note\n1"+d+"René"+d+"é\n2"+d+"Groß"+d+"x\n")
			out, after := edit(t, Options{}, "a.csv", []byte(before), "", set("1", record.Fields{"note": "é"}))
			if string(out) != want {
				t.Errorf("%s, divided by %q, is written as %q, want %q", e.name, d, out, want)
			}
			if got := after.byKey["2"].fields["name"]; got != "Groß" {
				t.Errorf("%s, divided by %q: the name is %v", e.name, d, got)
			}
		}
	}
}

// XML says itself how it is encoded, whatever the connection says of CSV, and JSON shows it. The file keeps its encoding, and what XML's
// lacks is written by its number.
func TestEncodingsOfXMLAndJSON(t *testing.T) {
	t.Parallel()
	wide := func(order binary.AppendByteOrder, s string) string {
		var out []byte
		for _, u := range utf16.Encode([]rune(s)) {
			out = order.AppendUint16(out, u)
		}
		return string(out)
	}
	little := func(s string) string { return wide(binary.LittleEndian, s) }
	big := func(s string) string { return wide(binary.BigEndian, s) }
	same := func(s string) string { return s }
	latin := func(s string) string { return strings.NewReplacer("é", "\xe9", "ß", "\xdf").Replace(s) }
	const records = "<l><r><id>1</id><name>Groß</name></r><r><id>2</id></r></l>"
	const changed = "<l><r><id>1</id><name>Groß</name></r><r>  <id>2</id>  <name>é €</name></r></l>"
	numbered := strings.Replace(changed, "€", "&#8364;", 1)
	for _, e := range []struct {
		name, mark, first, want string
		write                   func(string) string
	}{
		{"XML that says nothing", "", "", changed, same},
		{"UTF-8 with a mark", "\xef\xbb\xbf", `<?xml version="1.0" encoding="UTF-8"?>`, changed, same},
		{"Latin-1", "", `<?xml version="1.0" encoding="ISO-8859-1" standalone="yes"?>`, numbered, latin},
		{"Windows, in single quotes", "", `<?xml version='1.0' encoding='windows-1252'?>`, strings.Replace(changed, "€", "\x80", 1), latin},
		{"Latin-9", "", `<?xml version="1.0" encoding="iso-8859-15"?>`, strings.Replace(changed, "€", "\xa4", 1), latin},
		{"UTF-16, little end first", "\xff\xfe", `<?xml version="1.0" encoding="UTF-16"?>`, changed, little},
		{"UTF-16, big end first", "\xfe\xff", `<?xml version="1.0" encoding="utf-16"?>`, changed, big},
		{"UTF-16 without a mark", "", "", changed, little},
	} {
		out, after := edit(t, Options{Encoding: "iso-8859-1"}, "a.xml", []byte(e.mark+e.write(e.first+records)), "", set("2", record.Fields{"name": "é €"}))
		if want := e.mark + e.write(e.first+e.want); string(out) != want {
			t.Errorf("%s is written as\n%q, want\n%q", e.name, out, want)
		}
		if a, b := after.byKey["1"].fields["name"], after.byKey["2"].fields["name"]; a != "Groß" || b != "é €" {
			t.Errorf("%s: the names are %v and %v", e.name, a, b)
		}
	}
	for _, e := range []struct {
		name, mark string
		write      func(string) string
	}{{"UTF-8", "", same}, {"UTF-8 with a mark", "\xef\xbb\xbf", same}, {"UTF-16", "\xff\xfe", little}, {"UTF-16, big end first", "\xfe\xff", big}, {"UTF-16 without a mark", "", little}} {
		for file, text := range map[record.Object][2]string{
			"a.json":  {`[{"id":"1","name":"Groß"},{"id":"2","name":null}]`, `[{"id":"1","name":"Groß"},{"id": "2", "name": "€"}]`},
			"a.jsonl": {"{\"id\":\"1\",\"name\":\"Groß\"}\n{\"id\":\"2\",\"name\":null}\n", "{\"id\":\"1\",\"name\":\"Groß\"}\n{\"id\": \"2\", \"name\": \"€\"}\n"},
		} {
			out, _ := edit(t, Options{}, file, []byte(e.mark+e.write(text[0])), "", set("2", record.Fields{"name": "€"}))
			if want := e.mark + e.write(text[1]); string(out) != want {
				t.Errorf("%s in %s is written as\n%q, want\n%q", file, e.name, out, want)
			}
		}
	}
}

// What is wrong in a file is said with its place, and never read as something else.
func TestFaultyFiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ file, content, schema, code, words string }{
		{"a.csv", "id,name\n1,a\n1,b\n", "", "files.key_not_unique", "line 2 and line 3"},
		{"a.csv", "id,name\n1,a\n,b\n", "", "files.key_missing", "line 3"},
		{"a.csv", "id,name\n1,a,b\n", "", "files.malformed", "line 2 has 3 cells"},
		{"a.csv", "id,name\n1,\"a\n", "", "files.malformed", "does not end"},
		{"a.csv", "id,id\n", "", "files.header", "id"},
		{"a.csv", "number,name\n", "", "files.no_key", "setting key"},
		{"a.csv", "id,n\n1,x\n", `{"fields":[{"name":"n","type":"integer"}]}`, "files.value_malformed", "line 2, the field n"},
		{"a.json", `{"a":[],"b":[]}`, "", "files.malformed", "recordPath"},
		{"a.json", `[1]`, "", "files.malformed", "record 1"},
		{"a.jsonl", "{\"id\":1}\n{\"id\":", "", "files.malformed", "line 2"},
		{"a.xml", "<a><b>", "", "files.malformed", "ends inside the element b"},
		{"a.xml", "<a><x:b></y:b></a>", "", "files.malformed", "y:b ends where it has not begun"},
		{"a.xml", "<a><b><id>1</id></b><c/></a>", "", "files.malformed", "called b"},
		{"a.xml", "<?xml version=\"1.0\" encoding=\"koi8-r\"?><a/>", "", "files.encoding", "koi8-r"},
		{"a.xml", "<a><b><id>\xe9</id></b></a>", "", "files.encoding", "utf-8"},
		{"a.xlsx", "PK no", "", "files.malformed", "workbook"},
		{"a.parquet", "PAR1", "", "files.malformed", "Parquet"},
		{"a.bin", "???", "", "files.format_unknown", "setting format"},
	} {
		var declared *schema
		if tt.schema != "" {
			declared, _ = parseSchema([]byte(tt.schema))
		}
		_, err := (Options{}).read(record.Object(tt.file), []byte(tt.content), declared)
		var e *connector.Error
		if !errors.As(err, &e) || e.Code != tt.code || !strings.Contains(e.Message, tt.words) {
			t.Errorf("%s %q: %v, want %s with %q", tt.file, tt.content, err, tt.code, tt.words)
		}
	}
}

func workbook(t *testing.T) []byte {
	t.Helper()
	f := excelize.NewFile()
	_ = f.SetSheetName("Sheet1", "Orders")
	_, _ = f.NewSheet("Other")
	bold, err := f.NewStyle(&excelize.Style{Font: &excelize.Font{Bold: true}})
	if err != nil {
		t.Fatal(err)
	}
	for cell, v := range map[string]any{"A1": "id", "B1": "due", "C1": "net", "D1": "gross", "A2": 1, "C2": 10.5, "A3": 2, "C3": 20, "A4": 3, "C4": 1,
		"B2": time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC), "B3": time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)} {
		if err := f.SetCellValue("Orders", cell, v); err != nil {
			t.Fatal(err)
		}
	}
	_ = f.SetCellFormula("Orders", "D2", "C2*1.19")
	_ = f.SetCellStyle("Orders", "C2", "C2", bold)
	_ = f.SetCellValue("Other", "A1", "untouched")
	b, err := f.WriteToBuffer()
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A workbook keeps its other sheets, its formats and formulas; dates stay dates.
func TestWorkbook(t *testing.T) {
	t.Parallel()
	out, after := edit(t, Options{}, "a.xlsx", workbook(t), "",
		set("1", record.Fields{"net": record.Number("11"), "due": "2026-03-01"}), drop("2"), add(record.Fields{"id": record.Number("9"), "net": record.Number("0.1")}))
	if c := after.column("due"); c == nil || c.Type != connector.TypeDate {
		t.Errorf("due is %+v, want a date", c)
	}
	if got := after.byKey["1"].fields; !record.Equal(got["due"], "2026-03-01") || !record.Equal(got["net"], record.Number("11")) {
		t.Errorf("the record is %v", got)
	}
	if len(after.rows) != 3 || after.byKey["2"] != nil || !record.Equal(after.byKey["9"].fields["net"], record.Number("0.1")) {
		t.Errorf("the records are %v", after.byKey)
	}
	f, err := excelize.OpenReader(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := f.GetCellValue("Other", "A1"); v != "untouched" {
		t.Errorf("the other sheet holds %q", v)
	}
	if formula, _ := f.GetCellFormula("Orders", "D2"); formula != "C2*1.19" {
		t.Errorf("the formula is %q", formula)
	}
	if style, _ := f.GetCellStyle("Orders", "C2"); style == 0 {
		t.Error("the cell lost its style")
	}
	if _, err := (Options{}).read("a.xlsx#Nowhere", out, nil); connector.Classify(err).Code != "files.no_sheet" {
		t.Errorf("a sheet that is not there gave %v", err)
	}
	b := batch{table: after.copied(), removed: map[*row]bool{}}
	w := set("1", record.Fields{"gross": record.Number("1")})
	if r := b.write(&w); r.Outcome != connector.Refused {
		t.Errorf("a formula was overwritten: %+v", r)
	}
}

// What nested elements hold is said after a write as it is read again, and what they cannot hold is refused.
func TestNestedElements(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		in   record.Value
		kept record.Value
		bad  bool
	}{
		{"numbers are text", map[string]any{"n": record.Number("5"), "b": true}, map[string]any{"n": "5", "b": "true"}, false},
		{"a list of one", []any{"a"}, "a", false},
		{"a list of none", []any{}, nil, false},
		{"null is not there", map[string]any{"a": nil, "b": "c"}, map[string]any{"b": "c"}, false},
		{"nothing but text", map[string]any{"#text": " t "}, "t", false},
		{"nothing", map[string]any{}, "", false},
		{"a list in a list", []any{"a", []any{"b", "c"}}, nil, true},
		{"an attribute with members", map[string]any{"@a": map[string]any{"b": "c"}}, nil, true},
		{"no name", map[string]any{"a b": "c"}, nil, true},
		{"no character", map[string]any{"a": "\x00"}, nil, true},
	} {
		got, err := xmlNested(test.in)
		if (err != nil) != test.bad || !test.bad && !record.Equal(got, test.kept) {
			t.Errorf("%s: %#v, %v", test.name, got, err)
			continue
		}
		if test.bad || got == nil {
			continue
		}
		var b bytes.Buffer
		w := &xmlWriter{c: &xmlCodec{coding: coding{charset: "utf-8"}}}
		if err := w.element(&b, nil, "v", got, "\n  "); err != nil {
			t.Fatal(err)
		}
		l, err := readXML([]byte("<r><x><id>1</id>"+b.String()+"</x><x><id>2</id><v><deep/></v></x></r>"), Options{}, "a.xml")
		if err != nil || !record.Equal(l.rows[0].fields["v"], test.kept) {
			t.Errorf("%s is read again as %#v, %v", test.name, l.rows[0].fields["v"], err)
		}
	}
}

type parquetPhone struct {
	Kind   string   `parquet:"kind"`
	Number *string  `parquet:"number,optional"`
	Tags   []string `parquet:"tags,list"`
}

type parquetGeo struct {
	Lat float64 `parquet:"lat"`
	Lon float64 `parquet:"lon"`
}

type parquetAddress struct {
	City string      `parquet:"city"`
	Geo  *parquetGeo `parquet:"geo,optional"`
}

type parquetPerson struct {
	ID      int64             `parquet:"id"`
	Name    string            `parquet:"name"`
	Address *parquetAddress   `parquet:"address,optional"`
	Phones  []parquetPhone    `parquet:"phones,list"`
	Bare    []parquetPhone    `parquet:"bare"`
	Labels  map[string]string `parquet:"labels"`
	Counts  map[int32]int64   `parquet:"counts"`
}

// Groups, lists of groups and maps, as another program wrote them, are read as objects and lists; what is written, that program reads.
func TestNestedParquet(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	ada := parquetPerson{ID: 1, Name: "Ada", Address: &parquetAddress{"Oslo", &parquetGeo{59.9, 10.7}}, Phones: []parquetPhone{{Kind: "home", Number: text("1"), Tags: []string{"a", "b"}}, {Kind: "work"}},
		Bare: []parquetPhone{{Kind: "x", Tags: []string{"c"}}, {Kind: "y", Tags: []string{"d", "e"}}}, Labels: map[string]string{"vip": "yes", "lang": "en"}, Counts: map[int32]int64{7: 70}}
	var file bytes.Buffer
	w := parquet.NewGenericWriter[parquetPerson](&file)
	if _, err := w.Write([]parquetPerson{ada, {ID: 2, Name: "Bob"}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	fields := func(address, phones, bare, labels, counts string) record.Fields {
		out := record.Fields{}
		for name, text := range map[string]string{"address": address, "phones": phones, "bare": bare, "labels": labels, "counts": counts} {
			v, err := record.ParseJSON([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			out[name] = v
		}
		return out
	}
	same := func(what string, got, want record.Fields) {
		t.Helper()
		for name, v := range want {
			if !record.Equal(got[name], v) {
				t.Errorf("%s: %s is %s, want %s", what, name, record.Text(got[name]), record.Text(v))
			}
		}
	}
	adaSays := fields(`{"city":"Oslo","geo":{"lat":59.9,"lon":10.7}}`, `[{"kind":"home","number":"1","tags":["a","b"]},{"kind":"work","number":null,"tags":[]}]`, `[{"kind":"x","number":null,"tags":["c"]},{"kind":"y","number":null,"tags":["d","e"]}]`,
		`{"lang":"en","vip":"yes"}`, `[{"key":7,"value":70}]`)
	carlSays := fields(`{"city":"Rome","geo":null}`, `[{"kind":"a","number":"2","tags":[]},{"kind":"b","number":null,"tags":["z"]}]`, `[]`, `{}`, `[{"key":1,"value":2},{"key":3,"value":4}]`)
	carlSays["id"], carlSays["name"] = record.Number("3"), "Carl"
	out, after := edit(t, Options{}, "a.parquet", file.Bytes(), "", add(carlSays),
		set("2", record.Fields{"address": map[string]any{"city": "Bonn"}, "phones": adaSays["phones"], "labels": map[string]any{"k": "v"}}))
	same("Ada", after.byKey["1"].fields, adaSays)
	same("Carl", after.byKey["3"].fields, carlSays)
	same("Bob", after.byKey["2"].fields, fields(`{"city":"Bonn","geo":null}`, `[{"kind":"home","number":"1","tags":["a","b"]},{"kind":"work","number":null,"tags":[]}]`, `[]`, `{"k":"v"}`, `[]`))
	if a, p := after.column("address"), after.column("phones"); a.Type != connector.TypeJSON || a.Native != "struct" || !a.Nullable || p.Type != connector.TypeArray || p.Native != "list" {
		t.Errorf("the columns are %+v and %+v", a, p)
	}
	// The other program.
	people, err := parquet.Read[parquetPerson](bytes.NewReader(out), int64(len(out)))
	if err != nil || len(people) != 3 {
		t.Fatalf("%d people, %v", len(people), err)
	}
	for i := range people {
		switch p := people[i]; p.ID {
		case 1:
			if *p.Phones[0].Number != "1" || !slices.Equal(p.Phones[0].Tags, []string{"a", "b"}) || p.Address.Geo.Lon != 10.7 || p.Labels["vip"] != "yes" || p.Counts[7] != 70 || len(p.Bare) != 2 || !slices.Equal(p.Bare[1].Tags, []string{"d", "e"}) {
				t.Errorf("Ada is %+v", p)
			}
		case 2:
			if p.Address == nil || p.Address.City != "Bonn" || p.Address.Geo != nil || len(p.Phones) != 2 || *p.Phones[0].Number != "1" || p.Labels["k"] != "v" {
				t.Errorf("Bob is %+v", p)
			}
		case 3:
			if p.Name != "Carl" || p.Address.City != "Rome" || len(p.Phones) != 2 || p.Phones[1].Tags[0] != "z" || p.Counts[3] != 4 {
				t.Errorf("Carl is %+v", p)
			}
		}
	}
	// What does not fit says where.
	table, err := Options{}.read("a.parquet", file.Bytes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for words, bad := range map[string]record.Value{
		"no such column": map[string]any{"city": "x", "street": "y"}, "null in city": map[string]any{"geo": nil}, "geo is an object": map[string]any{"city": "x", "geo": "there"}, "does not take this in lat": map[string]any{"city": "x", "geo": map[string]any{"lat": "far", "lon": record.Number("1")}},
	} {
		if _, err := table.column("address").accept(bad); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s is %v, want %q", record.Text(bad), err, words)
		}
	}
}
