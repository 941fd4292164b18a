// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/textproto"
	"slices"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

// maxDeep bounds how deep an answer in XML may be.
const maxDeep = 64

func accepted(answer string) string {
	switch answer {
	case "xml":
		return "application/xml"
	case "csv":
		return "text/csv"
	case "jsonl":
		return "application/x-ndjson, application/jsonl, application/json;q=0.9, */*;q=0.5"
	}
	return "application/json"
}

// parse reads an answer as the request says.
func (r *Request) parse(a *transport.Answer) (any, error) {
	switch r.Answer {
	case "xml":
		return parseXML(a.Body, r.Lists)
	case "csv", "jsonl":
		if a.Status/100 == 2 && r.Answer == "csv" {
			return parseCSV(a.Body)
		}
		if a.Status/100 == 2 {
			return parseLines(a.Body)
		}
		body, err := record.ParseJSON(a.Body) // what is wrong is hardly ever said in lines
		if err != nil {
			return nil, nil //nolint:nilerr // the status says enough
		}
		return body, nil
	}
	return record.ParseJSON(a.Body)
}

// parseXML makes a map with the root of it. Names lose their space; entities other than XML's own are refused.
func parseXML(b []byte, lists []string) (any, error) {
	d := xml.NewDecoder(bytes.NewReader(b))
	for {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		if start, ok := t.(xml.StartElement); ok {
			v, err := element(d, start, lists, 1)
			return map[string]any{start.Name.Local: v}, err
		}
	}
}

func element(d *xml.Decoder, start xml.StartElement, lists []string, depth int) (any, error) {
	if depth > maxDeep {
		return nil, errors.New("it is too deep")
	}
	out := map[string]any{}
	for _, a := range start.Attr {
		if a.Name.Space == "xmlns" || a.Name.Local == "xmlns" {
			continue
		}
		if a.Name.Local == "nil" && a.Value == "true" {
			return nil, d.Skip()
		}
		out["@"+a.Name.Local] = a.Value
	}
	var text strings.Builder
	for {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.CharData:
			text.Write(t)
		case xml.StartElement:
			v, err := element(d, t, lists, depth+1)
			if err != nil {
				return nil, err
			}
			name := t.Name.Local
			switch before, again := out[name]; {
			case !again && slices.Contains(lists, name):
				out[name] = []any{v}
			case !again:
				out[name] = v
			default:
				l, is := before.([]any)
				if !is {
					l = []any{before}
				}
				out[name] = append(l, v)
			}
		case xml.EndElement:
			if len(out) == 0 {
				return text.String(), nil
			}
			if s := strings.TrimSpace(text.String()); s != "" {
				out["#text"] = s
			}
			return out, nil
		}
	}
}

// parseCSV makes a list of maps; an empty place is null.
func parseCSV(b []byte) (any, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))))
	names, err := r.Read()
	if err == io.EOF {
		return []any{}, nil
	}
	if err != nil {
		return nil, err
	}
	out := []any{}
	for {
		line, err := r.Read()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		row := make(map[string]any, len(names))
		for i, name := range names {
			if row[name] = line[i]; line[i] == "" {
				row[name] = nil
			}
		}
		out = append(out, row)
	}
}

// parseLines makes a list of JSON values, one a line.
func parseLines(b []byte) (any, error) {
	out := []any{}
	for line := range bytes.Lines(b) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		v, err := record.ParseJSON(line)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func writeLines(body any) ([]byte, string, error) {
	var out []byte
	for _, v := range list(body) {
		c, err := record.Canonical(v)
		if err != nil {
			return nil, "", err
		}
		out = append(record.AppendJSON(out, c), '\n')
	}
	return out, "application/x-ndjson", nil
}

var encoders = map[string]func(body any) (b []byte, mediaType string, err error){"xml": writeXML, "csv": writeCSV, "jsonl": writeLines, "multipart": writeMultipart}

func writeXML(body any) ([]byte, string, error) {
	root, ok := body.(map[string]any)
	if !ok || len(root) != 1 {
		return nil, "", errors.New("a body in XML is a map with one name, the root")
	}
	var b bytes.Buffer
	b.WriteString(xml.Header)
	e := xml.NewEncoder(&b)
	for name, v := range root {
		if err := putElement(e, name, v); err != nil {
			return nil, "", err
		}
	}
	if err := e.Close(); err != nil {
		return nil, "", err
	}
	return b.Bytes(), "application/xml; charset=utf-8", nil
}

func putElement(e *xml.Encoder, name string, v any) error {
	if l, ok := v.([]any); ok {
		for _, one := range l {
			if err := putElement(e, name, one); err != nil {
				return err
			}
		}
		return nil
	}
	start := xml.StartElement{Name: xml.Name{Local: name}}
	m, nested := v.(map[string]any)
	names := slices.Sorted(maps.Keys(m))
	for _, n := range names {
		if a, is := strings.CutPrefix(n, "@"); is && m[n] != nil {
			start.Attr = append(start.Attr, xml.Attr{Name: xml.Name{Local: a}, Value: plain(m[n])})
		}
	}
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	switch {
	case nested:
		for _, n := range names {
			switch {
			case n == "#text":
				if err := e.EncodeToken(xml.CharData(plain(m[n]))); err != nil {
					return err
				}
			case !strings.HasPrefix(n, "@"):
				if err := putElement(e, n, m[n]); err != nil {
					return err
				}
			}
		}
	case v != nil:
		if err := e.EncodeToken(xml.CharData(plain(v))); err != nil {
			return err
		}
	}
	return e.EncodeToken(start.End())
}

func writeCSV(body any) ([]byte, string, error) {
	rows, ok := body.([]any)
	if !ok {
		rows = []any{body}
	}
	var names []string
	for _, r := range rows {
		m, ok := r.(map[string]any)
		if !ok {
			return nil, "", errors.New("a body in CSV is a list of maps")
		}
		for n := range m {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	slices.Sort(names)
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write(names) // a buffer takes everything; Error says what else there is
	for _, r := range rows {
		line := make([]string, len(names))
		for i, n := range names {
			if v := r.(map[string]any)[n]; v != nil {
				line[i] = plain(v)
			}
		}
		_ = w.Write(line)
	}
	w.Flush()
	return b.Bytes(), "text/csv; charset=utf-8", w.Error()
}

func writeMultipart(body any) ([]byte, string, error) {
	m, ok := body.(map[string]any)
	if !ok {
		return nil, "", errors.New("a body of parts is a map")
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(m)) {
		h := textproto.MIMEHeader{}
		disposition := fmt.Sprintf("form-data; name=%q", name)
		content := m[name]
		if file, is := content.(map[string]any); is {
			if f := file["filename"]; f != nil {
				disposition += fmt.Sprintf("; filename=%q", plain(f))
			}
			if t := file["type"]; t != nil {
				h.Set("Content-Type", strings.NewReplacer("\r", "", "\n", "").Replace(plain(t)))
			}
			content = file["content"]
		}
		h.Set("Content-Disposition", disposition)
		part, err := w.CreatePart(h)
		if err != nil {
			return nil, "", err
		}
		if content != nil {
			if _, err := io.WriteString(part, plain(content)); err != nil {
				return nil, "", err
			}
		}
	}
	err := w.Close()
	return b.Bytes(), w.FormDataContentType(), err
}
