// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
)

// Sketch is what a form asks of a REST API of the usual shape. Source makes a manifest of it, so that whoever fills in the form
// needs no YAML, and whoever outgrows the form goes on with the manifest.
type Sketch struct {
	Title    string
	Type     string // made of the title when it is ""
	BaseURL  string
	Auth     string // none, bearer, header, query, basic, clientCredentials
	AuthName string // header, query: its name
	TokenURL string // clientCredentials
	Objects  []SketchObject
}

// SketchObject is a set of records.
type SketchObject struct {
	Name     string
	Key      string
	Example  string // a record, or an answer with a list of them, in JSON: fields and their types are learnt from it
	Fields   string // a name and a type a line; they count before the example's
	ReadOnly string // names of fields that cannot be written, between commas

	List     string // path
	Records  string // where the answer has the list
	Paging   string // none, offset, page, cursor, nextUrl, link
	Limit    string // parameter with the size of a page
	Place    string // parameter with the offset, page or token
	Next     string // cursor, nextUrl: where the answer has it
	Version  string // field with the time of the last change
	Since    string // parameter with the time since which
	Get      string // path with {id}
	Record   string // where the answer has the record
	Create   string // path; "" for none
	Update   string // path with {id}; "" for none
	Replaces bool   // an update sends the whole record (PUT)
	Delete   string // path with {id}; "" for none
	Wrap     string // the name under which a record is sent, "" for none
	Answers  bool   // writes answer with the record
}

// SketchJSON is a sketch that somebody wrote in YAML or JSON as the API takes it.
func SketchJSON(source []byte) ([]byte, error) { return yaml.YAMLToJSON(source) }

// SketchTypes are the words for the types of fields in a sketch.
var SketchTypes = []string{"text", "integer", "number", "boolean", "timestamp", "date", "json", "array", "uuid"}

var (
	keyPlace = regexp.MustCompile(`\{[A-Za-z_][A-Za-z0-9_]*\}|(^|/):[A-Za-z_][A-Za-z0-9_]*`)
	notAWord = regexp.MustCompile(`[^a-z0-9]+`)
	oneWord  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	instant  = regexp.MustCompile(`^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?Z|[+-]\d\d:?\d\d)$`)
	day      = regexp.MustCompile(`^\d{4}-\d\d-\d\d$`)
)

// quoted is a text as YAML has it. It is one in JSON, too.
func quoted(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a text can always be written
	return strings.TrimSuffix(b.String(), "\n")
}

// TypeOf is the type that a title makes.
func (s Sketch) TypeOf() string {
	if s.Type != "" {
		return s.Type
	}
	return strings.Trim(notAWord.ReplaceAllString(strings.ToLower(s.Title), "-"), "-")
}

// pathOf is a path as manifests have it.
func pathOf(path string) string {
	path = strings.TrimSpace(path)
	if path != "" && !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return keyPlace.ReplaceAllStringFunc(path, func(s string) string {
		if strings.HasPrefix(s, "/") {
			return "/{key}"
		}
		return "{key}"
	})
}

// sketchField is a field of a sketch.
type sketchField struct{ name, typ string }

// Source is the manifest. What is missing or cannot be is named by the pointer of its field: /title, /objects/0/list.
func (s Sketch) Source() (string, []fault.Field) {
	var problems []fault.Field
	wrong := func(pointer, message, remedy string) {
		problems = append(problems, fault.Field{Pointer: pointer, Code: "manifest.bad_value", Message: message, Remedy: remedy})
	}
	if s.Title == "" {
		wrong("/title", "The system has no name.", "Enter it as people know it.")
	} else if !typeName.MatchString(s.TypeOf()) {
		wrong("/type", "The word for documents cannot be used.", "Use lower case letters, digits and dashes, beginning with a letter.")
	}
	if !strings.HasPrefix(s.BaseURL, "https://") && !strings.HasPrefix(s.BaseURL, "http://") {
		wrong("/baseUrl", "The address is not a URL.", "Begin with https://; paths are added behind it.")
	}
	if (s.Auth == "header" || s.Auth == "query") && s.AuthName == "" {
		wrong("/authName", "The name of the header or parameter with the key is missing.", "Enter it, like X-Api-Key.")
	}
	if s.Auth == "clientCredentials" && !strings.HasPrefix(s.TokenURL, "https://") && !strings.HasPrefix(s.TokenURL, "http://") {
		wrong("/tokenUrl", "The address that gives tokens is missing.", "Enter the URL of the token endpoint.")
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("manifest: 1\ntype: %s\ntitle: %s\nsummary: %s\n\nsettings:", s.TypeOf(), quoted(s.Title), quoted("Records of "+s.Title+"."))
	line("  - {name: url, title: Address, doc: %s, default: %s}", quoted("Where paths begin."), quoted(strings.TrimRight(s.BaseURL, "/")))
	secret := func(name, title string) { line("  - {name: %s, title: %s, required: true, secret: true}", name, title) }
	auth := "{kind: none}"
	switch s.Auth {
	case "bearer":
		secret("token", "Access token")
		auth = `{kind: bearer, token: "{settings.token}"}`
	case "header", "query":
		secret("token", "Key")
		auth = fmt.Sprintf(`{kind: %s, name: %s, value: "{settings.token}"}`, s.Auth, quoted(s.AuthName))
	case "basic":
		line("  - {name: user, title: User, required: true}")
		secret("password", "Password")
		auth = `{kind: basic, user: "{settings.user}", password: "{settings.password}"}`
	case "clientCredentials":
		line("  - {name: clientId, title: Client ID, required: true}")
		secret("clientSecret", "Client secret")
		auth = fmt.Sprintf(`{kind: clientCredentials, tokenUrl: %s, clientId: "{settings.clientId}", clientSecret: "{settings.clientSecret}"}`, quoted(s.TokenURL))
	}
	line("\nbaseUrl: \"{settings.url}\"\nauth:\n  - %s\n\nobjects:", auth)
	names := map[string]bool{}
	for i, o := range s.Objects {
		at := fmt.Sprintf("/objects/%d", i)
		if !oneWord.MatchString(o.Name) || names[o.Name] {
			wrong(at+"/name", "The records have no name of their own.", "Use letters, digits and dashes, each name once.")
		}
		names[o.Name] = true
		fields, problem := o.fields()
		if problem != "" {
			wrong(at+"/fields", problem, "Paste one record as the system answers it, or write a name and a type a line.")
		}
		o.check(at, fields, wrong)
		o.write(line, fields)
	}
	if len(s.Objects) == 0 {
		wrong("/objects", "There are no records to sync.", "Describe at least one kind.")
	}
	if len(problems) > 0 {
		return "", problems
	}
	return b.String(), nil
}

// check finds what is missing or does not go together.
func (o SketchObject) check(at string, fields []sketchField, wrong func(pointer, message, remedy string)) {
	there := func(name string) bool {
		return slices.ContainsFunc(fields, func(f sketchField) bool { return f.name == name })
	}
	if o.Key == "" || len(fields) > 0 && !there(o.Key) {
		wrong(at+"/key", "The field that identifies a record is missing.", "Enter its name; it must be among the fields.")
	}
	if o.List == "" {
		wrong(at+"/list", "The path of the list is missing.", "Enter it, like /articles.")
	}
	for pointer, path := range map[string]string{"/get": o.Get, "/update": o.Update, "/delete": o.Delete} {
		if path != "" && !strings.Contains(pathOf(path), "{key}") {
			wrong(at+pointer, "The path does not say where the key stands.", "Write {id} in its place, like /articles/{id}.")
		}
	}
	if o.Get == "" {
		wrong(at+"/get", "The path of one record is missing.", "Enter it with {id} where the key stands, like /articles/{id}.")
	}
	if (o.Paging == "cursor" || o.Paging == "nextUrl") && o.Next == "" {
		wrong(at+"/next", "Where the answer says how the list goes on is missing.", "Enter the name, like next_token, or meta.next.")
	}
	if (o.Paging == "offset" || o.Paging == "page" || o.Paging == "cursor") && o.Place == "" {
		wrong(at+"/place", "The parameter that says where a page begins is missing.", "Enter its name, like offset, page or cursor.")
	}
	if o.Since != "" && (o.Version == "" || len(fields) > 0 && !there(o.Version)) {
		wrong(at+"/version", "The field with the time of the last change is missing.", "Enter its name; it must be among the fields. Without it, leave the parameter empty: everything is then compared.")
	}
}

// write adds the object to the manifest.
func (o SketchObject) write(line func(string, ...any), fields []sketchField) {
	line("  %s:\n    key: [%s]", o.Name, quoted(o.Key))
	if o.Version != "" {
		line("    version: %s", quoted(o.Version))
	}
	fixed := []string{o.Key, o.Version}
	for _, name := range strings.Split(o.ReadOnly, ",") {
		fixed = append(fixed, strings.TrimSpace(name))
	}
	line("    fields:")
	for _, f := range fields {
		extra := ""
		if slices.Contains(fixed, f.name) {
			extra = ", readOnly: true"
		}
		line("      - {name: %s, type: %s%s}", quoted(f.name), f.typ, extra)
	}
	query := func(since bool) string {
		var parts []string
		add := func(name, value string) {
			if name != "" {
				parts = append(parts, quoted(name)+": "+quoted(value))
			}
		}
		if since {
			add(o.Since, "{since}")
		}
		add(o.Limit, "{limit}")
		switch o.Paging {
		case "offset":
			add(o.Place, "{offset}")
		case "page":
			add(o.Place, "{page}")
		case "cursor":
			add(o.Place, "{token}")
		}
		if len(parts) == 0 {
			return ""
		}
		return ", query: {" + strings.Join(parts, ", ") + "}"
	}
	style := o.Paging
	if style == "" {
		style = "none"
	}
	paging := "{style: " + style
	if o.Next != "" && (style == "cursor" || style == "nextUrl") {
		paging += ", next: " + quoted(o.Next)
	}
	if style == "page" {
		paging += ", firstPage: 1"
	}
	if style != "none" {
		paging += ", size: 100"
	}
	paging += "}"
	list := func(since bool) {
		line("      request: {path: %s%s}", quoted(pathOf(o.List)), query(since))
		if o.Records != "" {
			line("      records: %s", quoted(o.Records))
		}
		line("      paging: %s", paging)
	}
	line("    list:")
	list(false)
	if o.Since != "" {
		line("    changes:\n      style: since")
		list(true)
		line("      time: rfc3339\n      overlap: 5s\n    deletes: {mode: never}")
	} else {
		line("    changes: {style: full}\n    deletes: {mode: diff}")
	}
	where := ""
	if o.Record != "" {
		where = ", record: " + quoted(o.Record)
	}
	line("    get: {request: {path: %s}%s}", quoted(pathOf(o.Get)), where)
	body := func(of string) string {
		if o.Wrap != "" {
			return "{" + quoted(o.Wrap) + ": " + quoted(of) + "}"
		}
		return quoted(of)
	}
	answer, made := "", quoted(o.Key)
	if o.Record != "" {
		made = quoted(o.Record + "." + o.Key)
	}
	if o.Answers {
		if answer = ", record: " + quoted(o.Record); o.Record == "" {
			answer = ", record: ."
		}
	}
	if o.Create != "" {
		line("    create: {request: {method: POST, path: %s, body: %s}, key: %s%s}", quoted(pathOf(o.Create)), body("{fields}"), made, answer)
	}
	switch {
	case o.Update == "":
	case o.Replaces:
		line("    update: {semantics: replace, request: {method: PUT, path: %s, body: %s}%s}", quoted(pathOf(o.Update)), body("{record}"), answer)
	default:
		line("    update: {request: {method: PATCH, path: %s, body: %s}%s}", quoted(pathOf(o.Update)), body("{fields}"), answer)
	}
	if o.Delete != "" {
		line("    delete: {request: {method: DELETE, path: %s}}", quoted(pathOf(o.Delete)))
	}
}

// fields are those that were written down, then those of the example.
func (o SketchObject) fields() (out []sketchField, problem string) {
	seen := map[string]bool{}
	add := func(name, typ string) {
		if !seen[name] {
			seen[name] = true
			out = append(out, sketchField{name, typ})
		}
	}
	for _, text := range strings.Split(o.Fields, "\n") {
		words := strings.Fields(strings.NewReplacer(":", " ", ",", " ").Replace(text))
		switch {
		case len(words) == 0:
			continue
		case !oneWord.MatchString(words[0]):
			return nil, fmt.Sprintf("%q is not the name of a field.", words[0])
		case len(words) == 1:
			add(words[0], "text")
		case len(words) > 2 || !slices.Contains(SketchTypes, words[1]):
			return nil, fmt.Sprintf("%q is not a name and a type; types are %s.", strings.TrimSpace(text), strings.Join(SketchTypes, ", "))
		default:
			add(words[0], words[1])
		}
	}
	if strings.TrimSpace(o.Example) != "" {
		x, err := record.ParseJSON([]byte(o.Example))
		if err != nil {
			return nil, "The example is not JSON."
		}
		one := o.example(x)
		if one == nil {
			return nil, "The example has no record in it."
		}
		for _, name := range sortedKeys(one) {
			add(name, guess(one[name]))
		}
	}
	if len(out) == 0 {
		return nil, "The fields of a record are not known."
	}
	return out, ""
}

// example is the record in an example: itself, the first of a list, or where the answers have it.
func (o SketchObject) example(x any) map[string]any {
	for _, path := range []string{o.Records, o.Record} {
		if path != "" {
			if found := dig(x, path); found != nil {
				x = found
				break
			}
		}
	}
	if list, ok := x.([]any); ok && len(list) > 0 {
		x = list[0]
	}
	one, _ := x.(map[string]any)
	return one
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(keysOf(m)) }

// guess is the type that a value seems to be of.
func guess(v any) string {
	switch v := v.(type) {
	case bool:
		return "boolean"
	case record.Number:
		if strings.ContainsAny(string(v), ".eE") {
			return "number"
		}
		return "integer"
	case string:
		switch {
		case instant.MatchString(v):
			return "timestamp"
		case day.MatchString(v):
			return "date"
		}
	case []any:
		return "array"
	case map[string]any:
		return "json"
	}
	return "text"
}
