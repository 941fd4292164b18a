// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Options say how files are read, from the connection's settings.
type Options struct {
	Format     string // "" and "auto" go by the name, then the content
	Delimiter  string
	Encoding   string
	RecordPath string
	Key        map[record.Object][]string // by object; "" is for all others
	MaxBytes   int64
	Settle     time.Duration // how long a file must have been left alone before it is read
	Table      record.Object // the file when the document names no object
}

var delimiters = map[string]string{"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}

// Settings are those that all places of files have in common.
func Settings() []connector.Setting {
	return []connector.Setting{
		{Name: "file", Title: "File", Kind: connector.Text, Doc: "The file to sync when the service names no objects: contacts.csv, or book.xlsx#Sheet."},
		{Name: "key", Title: "Key fields", Kind: connector.Text,
			Doc: "The fields that tell records apart: email, or country,number, or by file: contacts.csv=email; orders.csv=country,number. By default the field id."},
		{Name: "format", Title: "Format", Kind: connector.Choice, Default: "auto", Choices: []string{"auto", "csv", "tsv", "json", "jsonl", "xml", "xlsx", "parquet"},
			Doc: "auto goes by the end of the file's name, and where that says nothing by what the file begins with. A .json file with an object on each line is JSON Lines."},
		{Name: "delimiter", Title: "Delimiter of CSV", Kind: connector.Choice, Default: "auto", Choices: []string{"auto", "comma", "semicolon", "tab", "pipe"}, Doc: "auto takes the sign that divides the first lines most evenly."},
		{Name: "encoding", Title: "Encoding of CSV", Kind: connector.Choice, Default: "auto", Choices: []string{"auto", "utf-8", "utf-16le", "utf-16be", "windows-1252", "iso-8859-1", "iso-8859-15"},
			Doc: "auto goes by the byte order mark; without one, UTF-16 where every other byte is zero, UTF-8 where the file is valid as such, else windows-1252."},
		{Name: "recordPath", Title: "Path to the records", Kind: connector.Text, Doc: "For JSON and XML: where in the file the records are, such as data.contacts. By default the only list in a JSON file, and the children of the root in XML."},
		{Name: "maxMegabytes", Title: "Largest file", Kind: connector.Integer, Default: "256", Doc: "Files larger than so many megabytes are refused; a file is held in memory while it is worked on."},
	}
}

// ReadOptions takes the settings that Settings declares.
func ReadOptions(s connector.Settings) (Options, error) {
	o := Options{Format: s["format"], Delimiter: delimiters[s["delimiter"]], Encoding: s["encoding"], RecordPath: s["recordPath"], Table: record.Object(s["file"]), MaxBytes: 256 << 20}
	if o.Format == "auto" {
		o.Format = ""
	}
	if o.Encoding == "auto" {
		o.Encoding = ""
	}
	if n, err := strconv.Atoi(s["maxMegabytes"]); err == nil && n > 0 {
		o.MaxBytes = int64(n) << 20
	}
	var err error
	o.Key, err = parseKeys(s["key"])
	return o, err
}

func parseKeys(text string) (map[record.Object][]string, error) {
	keys := map[record.Object][]string{}
	for _, part := range strings.Split(text, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		object, fields, named := strings.Cut(part, "=")
		if !named {
			object, fields = "", part
		}
		var list []string
		for _, f := range strings.Split(fields, ",") {
			if f = strings.TrimSpace(f); f != "" {
				list = append(list, f)
			}
		}
		if len(list) == 0 {
			return nil, &connector.Error{Class: connector.Reject, Code: "files.key_malformed",
				Message: fmt.Sprintf("The setting key cannot be read at %s. Write fields (country,number), or fields by file (contacts.csv=email; orders.csv=number).", shorten(part))}
		}
		keys[record.Object(strings.TrimSpace(object))] = list
	}
	return keys, nil
}

// key is the key that the settings name for the object; nil for none.
func (o Options) key(object record.Object) []string {
	if k, there := o.Key[object]; there {
		return k
	}
	file, _ := sheetOf(object)
	if k, there := o.Key[record.Object(file)]; there {
		return k
	}
	return o.Key[""]
}

// marker is different for options that read a file differently.
func (o Options) marker(object record.Object) string {
	return fmt.Sprintf("%s|%s|%s|%s|%q", o.Format, o.Delimiter, o.Encoding, o.RecordPath, o.key(object))
}

// endings are the formats by the end of a file's name.
var endings = map[string]string{"csv": "csv", "tsv": "tsv", "tab": "tsv", "txt": "csv", "json": "json", "jsonl": "jsonl", "ndjson": "jsonl", "xml": "xml", "xlsx": "xlsx", "xlsm": "xlsx", "parquet": "parquet"}

// formatOf finds the format of a file by its name, else by how it begins; "" when neither says.
func (o Options) formatOf(name string, data []byte) string {
	if o.Format != "" {
		return o.Format
	}
	head := strings.TrimLeft(o.head(data), " \t\r\n")
	dot := strings.LastIndexByte(name, '.')
	if f := endings[strings.ToLower(name[dot+1:])]; dot >= 0 && f != "" {
		if f == "json" && lines(head) {
			return "jsonl" // databases export so
		}
		return f
	}
	switch {
	case strings.HasPrefix(head, "PAR1"):
		return "parquet"
	case strings.HasPrefix(head, "PK\x03\x04"):
		return "xlsx"
	case strings.HasPrefix(head, "<"):
		return "xml"
	case strings.HasPrefix(head, "["):
		return "json"
	case lines(head):
		return "jsonl"
	case strings.HasPrefix(head, "{"):
		return "json"
	case detectDelimiter(head) != 0:
		return "csv"
	}
	return ""
}

// head is how the file begins, as text.
func (o Options) head(data []byte) string {
	c := coding{charset: o.Encoding}
	data = data[:min(len(data), 64<<10)]
	text, err := c.decode(data)
	if err != nil { // a sign was cut in two, or it is no text
		return string(data)
	}
	return text
}

// lines says whether a text is JSON Lines: an object that ends with its line, and another one.
func lines(head string) bool {
	line, rest, more := strings.Cut(head, "\n")
	return more && strings.HasPrefix(line, "{") && json.Valid([]byte(line)) && strings.HasPrefix(strings.TrimSpace(rest), "{")
}

// read takes a file apart.
func (o Options) read(object record.Object, data []byte, s *schema) (*table, error) {
	name, _ := sheetOf(object)
	format := o.formatOf(name, data)
	var l layout
	var err error
	switch format {
	case "csv":
		l, err = readCSV(data, o, object, ',')
	case "tsv":
		l, err = readCSV(data, o, object, '\t')
	case "json":
		l, err = readJSON(data, o, object)
	case "jsonl":
		l, err = readJSONLines(data, object)
	case "xml":
		l, err = readXML(data, o, object)
	case "xlsx":
		l, err = readXLSX(data, object)
	case "parquet":
		l, err = readParquet(data, object)
	default:
		return nil, &connector.Error{Class: connector.Reject, Code: "files.format_unknown",
			Message: fmt.Sprintf("The format of %s is not known. Name it in the connection's setting format, or give the file an ending such as .csv.", object)}
	}
	if err != nil {
		return nil, err
	}
	t, err := typed(object, l, s, o.key(object))
	if err != nil {
		return nil, err
	}
	t.format = format
	for _, c := range t.columns {
		switch k := l.codec.(type) {
		case *csvCodec:
			c.fits = k.fits
		case *xmlCodec:
			if c.fits = xmlText; c.Native == nestedElements {
				c.fits = xmlNested
			}
		case *xlsxCodec:
			c.fits = cellFits
		}
	}
	return t, nil
}
