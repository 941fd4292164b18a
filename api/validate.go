// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/syncline-dev/syncline/internal/fault"
)

// operation is an operation of openapi.yaml, ready to check requests against. The general validator for OpenAPI 3.1 compiles
// a schema for every parameter of every request; here each is compiled once, when it is first met.
type operation struct {
	id       string
	public   bool // no authentication
	long     bool // an answer that may take longer than requestTimeout: a file
	stream   bool // answers with an event stream
	rawBody  bool // the handler reads the text itself, so the check leaves it alone
	keyed    bool // takes an Idempotency-Key
	params   []*parameter
	bodies   map[string]*schema // by media type
	bodyMust bool
}

type parameter struct {
	name     string
	in       string // path, query, header
	required bool
	kind     string // string, integer, boolean, array
	empty    bool   // may have no value
	*schema
}

// schema is a JSON Schema inside openapi.yaml, compiled when it is first used.
type schema struct {
	fields  []string // of an object, for remedies
	compile func() (*jsonschema.Schema, error)
}

const resource = "https://syncline.dev/openapi.json"

// operations reads openapi.yaml.
func operations(document []byte) (map[string]*operation, error) {
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return nil, err
	}
	d := &description{root: root.(map[string]any), compiler: jsonschema.NewCompiler()}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(resource, root); err != nil {
		return nil, err
	}
	ops := map[string]*operation{}
	for path, item := range d.object("#/paths") {
		at := "#/paths/" + escape(path)
		for method := range item.(map[string]any) {
			if method == "parameters" {
				continue
			}
			op, err := d.operation(at, method)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			ops[strings.ToUpper(method)+" "+path] = op
		}
	}
	return ops, nil
}

// description walks openapi.yaml by JSON pointers.
type description struct {
	root     map[string]any
	mu       sync.Mutex
	compiler *jsonschema.Compiler
}

func escape(segment string) string {
	return strings.ReplaceAll(strings.ReplaceAll(segment, "~", "~0"), "/", "~1")
}

func unescape(segment string) string {
	return strings.ReplaceAll(strings.ReplaceAll(segment, "~1", "/"), "~0", "~")
}

// value returns what the pointer leads to, nil for nothing.
func (d *description) value(pointer string) any {
	var v any = d.root
	for _, segment := range strings.Split(strings.TrimPrefix(pointer, "#"), "/")[1:] {
		switch here := v.(type) {
		case map[string]any:
			v = here[unescape(segment)]
		case []any:
			i, err := strconv.Atoi(segment)
			if err != nil || i >= len(here) {
				return nil
			}
			v = here[i]
		default:
			return nil
		}
	}
	return v
}

// resolve follows $ref.
func (d *description) resolve(pointer string) string {
	for {
		ref, ok := d.object(pointer)["$ref"].(string)
		if !ok {
			return pointer
		}
		pointer = ref
	}
}

func (d *description) object(pointer string) map[string]any {
	m, _ := d.value(pointer).(map[string]any)
	return m
}

func (d *description) list(pointer string) []any {
	l, _ := d.value(pointer).([]any)
	return l
}

func (d *description) schema(pointer string) *schema {
	s := &schema{compile: sync.OnceValues(func() (*jsonschema.Schema, error) {
		d.mu.Lock() // a compiler is for one goroutine
		defer d.mu.Unlock()
		return d.compiler.Compile(resource + (&url.URL{Fragment: strings.TrimPrefix(pointer, "#")}).String())
	})}
	for name := range d.object(d.resolve(pointer) + "/properties") {
		s.fields = append(s.fields, name)
	}
	sort.Strings(s.fields)
	return s
}

func (d *description) operation(path, method string) (*operation, error) {
	at := path + "/" + method
	o := d.object(at)
	op := &operation{bodies: map[string]*schema{}}
	op.id, _ = o["operationId"].(string)
	op.rawBody, _ = o["x-raw-body"].(bool)
	op.long, _ = o["x-long"].(bool)
	if security, said := o["security"].([]any); said {
		op.public = len(security) == 0
	}
	for _, list := range []string{path + "/parameters", at + "/parameters"} {
		for i := range d.list(list) {
			p, err := d.parameter(d.resolve(fmt.Sprintf("%s/%d", list, i)))
			if err != nil {
				return nil, err
			}
			op.keyed = op.keyed || p.name == "Idempotency-Key"
			op.params = append(op.params, p)
		}
	}
	if o["requestBody"] != nil {
		body := d.resolve(at + "/requestBody")
		op.bodyMust, _ = d.object(body)["required"].(bool)
		for media := range d.object(body + "/content") {
			op.bodies[media] = d.schema(body + "/content/" + escape(media) + "/schema")
		}
	}
	for status := range d.object(at + "/responses") {
		if d.value(d.resolve(at+"/responses/"+status)+"/content/text~1event-stream") != nil {
			op.stream = true
		}
	}
	return op, nil
}

func (d *description) parameter(at string) (*parameter, error) {
	o := d.object(at)
	p := &parameter{schema: d.schema(at + "/schema")}
	p.name, _ = o["name"].(string)
	p.in, _ = o["in"].(string)
	p.required, _ = o["required"].(bool)
	p.empty, _ = o["allowEmptyValue"].(bool)
	p.kind, _ = d.object(d.resolve(at + "/schema"))["type"].(string)
	if !slices.Contains([]string{"string", "integer", "boolean", "array"}, p.kind) {
		return nil, fmt.Errorf("parameter %s: nothing reads the type %q", p.name, p.kind)
	}
	return p, nil
}

// check says what is wrong with a request.
func (op *operation) check(r *http.Request, body []byte) error {
	if err := op.checkParameters(r); err != nil {
		return err
	}
	return op.checkBody(r, body)
}

func (op *operation) checkParameters(r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fault.Wrap(err, fault.Malformed, "request.malformed", "The query of the address cannot be read.")
	}
	var wrong []problemField
	fail := func(name, code, text, remedy string) {
		wrong = append(wrong, problemField{Parameter: name, Field: fault.Field{Code: code, Message: text, Remedy: remedy}})
	}
	known := map[string]bool{}
	for _, p := range op.params {
		var values []string
		switch p.in {
		case "query":
			known[p.name] = true
			values = query[p.name]
		case "header":
			values = r.Header.Values(p.name)
		case "path":
			text, err := url.PathUnescape(chi.URLParam(r, p.name))
			if err != nil {
				return fault.Wrap(err, fault.Malformed, "request.malformed", "The address cannot be read.")
			}
			values = []string{text}
		}
		switch {
		case len(values) == 0 && !p.required:
			continue
		case len(values) == 0 && p.name == "If-Match":
			return ifMatchMissing("If-Match with the ETag that you read, or If-Match: * for whatever is there")
		case len(values) == 0 && p.name == "Idempotency-Key":
			return fault.New(fault.Malformed, "idempotency.key_missing", "This creates something, so it takes an Idempotency-Key header with a key of your choice, such as a random UUID.")
		case len(values) == 0:
			fail(p.name, "request.parameter_invalid", "The parameter is missing.", "")
		case len(values) > 1:
			fail(p.name, "request.parameter_invalid", "The parameter is there more than once.", "Separate several values by commas.")
		default:
			text, err := p.problem(values[0])
			if err != nil {
				return err
			}
			if text != "" {
				fail(p.name, "request.parameter_invalid", text, "")
			}
		}
	}
	for name := range query {
		if !known[name] {
			fail(name, "request.parameter_unknown", "There is no such parameter here.", op.knownParameters())
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	sort.Slice(wrong, func(i, j int) bool { return wrong[i].Parameter < wrong[j].Parameter })
	first := wrong[0]
	return &httpError{parameters: wrong, cause: fault.New(fault.Malformed, first.Code, "The parameter %s: %s", first.Parameter, first.Message)}
}

func (op *operation) knownParameters() string {
	var names []string
	for _, p := range op.params {
		if p.in == "query" {
			names = append(names, p.name)
		}
	}
	if len(names) == 0 {
		return "Leave it out; none are taken."
	}
	return "Parameters are: " + strings.Join(names, ", ") + "."
}

// problem says what is wrong with a parameter's value, "" for nothing.
func (p *parameter) problem(text string) (string, error) {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return "It holds characters that are no text.", nil
	}
	var v any = text
	switch p.kind {
	case "integer":
		if _, err := strconv.ParseInt(text, 10, 64); err != nil {
			return "It must be a whole number.", nil
		}
		v = json.Number(text)
	case "boolean":
		if text != "true" && text != "false" {
			return "It must be true or false.", nil
		}
		v = text == "true"
	case "array":
		items := []any{}
		for _, item := range strings.Split(text, ",") {
			items = append(items, item)
		}
		v = items
	}
	if text == "" && p.empty {
		return "", nil
	}
	if text == "" && p.kind != "string" {
		return "It has no value.", nil
	}
	found, err := p.validate(v)
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0].Message, nil
}

func (op *operation) checkBody(r *http.Request, body []byte) error {
	if len(op.bodies) == 0 {
		return nil
	}
	if len(bytes.TrimSpace(body)) == 0 {
		if op.bodyMust {
			return fault.New(fault.Malformed, "request.body_missing", "A body is needed here.")
		}
		return nil
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	s := op.bodies[media]
	if err != nil || s == nil {
		var takes []string
		for m := range op.bodies {
			takes = append(takes, m)
		}
		sort.Strings(takes)
		return &httpError{status: http.StatusUnsupportedMediaType, cause: fault.New(fault.Malformed, "request.media_type", "The body's Content-Type %q is not taken here; send %s.", r.Header.Get("Content-Type"), strings.Join(takes, " or "))}
	}
	if op.rawBody {
		return nil
	}
	v, err := decode(body)
	if err != nil {
		return malformedJSON(body, err)
	}
	found, err := s.validate(v)
	if err != nil {
		return err
	}
	if found = append(found, withNUL("", v)...); len(found) == 0 {
		return nil
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].Pointer < found[j].Pointer })
	where := found[0].Pointer
	if where != "" {
		where = " At " + where + ":"
	}
	return fault.New(fault.Invalid, "request.invalid", "The body is not as it should be.%s %s", where, found[0].Message).At(found...)
}

// decode reads one JSON value and nothing behind it. A field that is there twice is refused: readers disagree about which counts.
func decode(body []byte) (any, error) {
	if err := twice(json.NewDecoder(bytes.NewReader(body)), maxDepth); err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(body))
}

// withNUL finds texts with the character U+0000, which JSON can write and no database keeps.
func withNUL(pointer string, v any) (found []fault.Field) {
	note := func(at, text string) {
		if strings.ContainsRune(text, 0) {
			found = append(found, fault.Field{Pointer: at, Code: "request.invalid", Message: "It holds the character U+0000, which is no text."})
		}
	}
	switch v := v.(type) {
	case string:
		note(pointer, v)
	case []any:
		for i, item := range v {
			found = append(found, withNUL(pointer+"/"+strconv.Itoa(i), item)...)
		}
	case map[string]any:
		for name, item := range v {
			at := pointer + "/" + escape(name)
			note(at, name)
			found = append(found, withNUL(at, item)...)
		}
	}
	return found
}

// maxDepth is how deep a body may be nested; none of ours comes near.
const maxDepth = 64

// twice finds a field that is there twice in an object.
func twice(dec *json.Decoder, depth int) error {
	if depth == 0 {
		return errors.New("it is nested too deep")
	}
	dec.UseNumber()
	t, err := dec.Token()
	if err != nil {
		return err
	}
	delim, nested := t.(json.Delim)
	if !nested {
		return nil
	}
	seen := map[string]bool{}
	for dec.More() {
		if delim == '{' {
			t, err := dec.Token()
			if err != nil {
				return err
			}
			name, _ := t.(string)
			if seen[name] {
				return fmt.Errorf("the field %q is there twice", name)
			}
			seen[name] = true
		}
		if err := twice(dec, depth-1); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

func malformedJSON(body []byte, err error) error {
	var syntax *json.SyntaxError
	f := fault.Wrap(err, fault.Malformed, "request.malformed", "The body is not JSON: %v.", err)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		f.Message = "The body is not JSON: it ends too early."
	}
	if errors.As(err, &syntax) {
		before := body[:min(int(syntax.Offset), len(body))]
		line := bytes.Count(before, []byte("\n")) + 1
		column := len(before) - bytes.LastIndexByte(before, '\n') - 1
		return f.At(fault.Field{Line: line, Column: max(column, 1), Message: "It cannot be read from here on."})
	}
	return f
}

var english = message.NewPrinter(language.English)

// validate lists what is wrong with a value.
func (s *schema) validate(v any) ([]fault.Field, error) {
	compiled, err := s.compile()
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	err = compiled.Validate(v)
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return nil, err
	}
	return s.findings(invalid), nil
}

func (s *schema) findings(e *jsonschema.ValidationError) (out []fault.Field) {
	if len(e.Causes) > 0 {
		for _, cause := range e.Causes {
			out = append(out, s.findings(cause)...)
		}
		return out
	}
	pointer := ""
	for _, segment := range e.InstanceLocation {
		pointer += "/" + escape(segment)
	}
	note := func(at, message, remedy string) {
		out = append(out, fault.Field{Pointer: at, Code: "request.invalid", Message: message, Remedy: remedy})
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			note(pointer+"/"+escape(name), "The field "+name+" is missing.", "")
		}
	case *kind.AdditionalProperties:
		remedy := ""
		if pointer == "" && len(s.fields) > 0 {
			remedy = "Fields are: " + strings.Join(s.fields, ", ") + "."
		}
		for _, name := range k.Properties {
			note(pointer+"/"+escape(name), "There is no field "+strconv.Quote(name)+" here.", remedy)
		}
	case *kind.Type:
		note(pointer, fmt.Sprintf("It is %s, and must be %s.", k.Got, strings.Join(k.Want, " or ")), "")
	case *kind.Enum:
		var names []string
		for _, w := range k.Want {
			names = append(names, fmt.Sprint(w))
		}
		note(pointer, "It must be one of "+strings.Join(names, ", ")+".", "")
	case *kind.MinLength:
		note(pointer, fmt.Sprintf("It has %d characters, and needs at least %d.", k.Got, k.Want), "")
	case *kind.MaxLength:
		note(pointer, fmt.Sprintf("It has %d characters, and may have at most %d.", k.Got, k.Want), "")
	case *kind.MinItems:
		note(pointer, fmt.Sprintf("It has %d items, and needs at least %d.", k.Got, k.Want), "")
	case *kind.MaxItems:
		note(pointer, fmt.Sprintf("It has %d items, and may have at most %d.", k.Got, k.Want), "")
	case *kind.MinProperties:
		note(pointer, fmt.Sprintf("It has %d fields, and needs at least %d.", k.Got, k.Want), "")
	case *kind.Minimum:
		note(pointer, "It must be at least "+k.Want.RatString()+".", "")
	case *kind.Maximum:
		note(pointer, "It must be at most "+k.Want.RatString()+".", "")
	case *kind.Pattern:
		note(pointer, "It is not of the form "+k.Want+".", "")
	case *kind.Format:
		note(pointer, "It is not a valid "+k.Want+".", "")
	default:
		note(pointer, "It is not as it should be: "+e.ErrorKind.LocalizedString(english)+".", "")
	}
	return out
}
