// SPDX-License-Identifier: Apache-2.0

package graphql

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector/manifest"
)

// object is what a customer says of an object.
type object struct {
	Type         string            `yaml:"type" must:"true" doc:"The GraphQL type of its records: Contact."`
	Key          []string          `yaml:"key" doc:"The fields that identify a record; id unless said."`
	Version      string            `yaml:"version" doc:"The field with the time of a record's last change: updatedAt."`
	Fields       map[string]string `yaml:"fields" doc:"The fields, each with its type as the schema writes it. Without them the endpoint is asked."`
	Selections   map[string]string `yaml:"selections" doc:"For fields that are objects: what to select of them: {address: \"{ street city }\"}."`
	ReadOnly     []string          `yaml:"readOnly" doc:"Fields that cannot be written. Keys and the version are not, unless writable says so."`
	Writable     []string          `yaml:"writable" doc:"Key fields that a creation gives."`
	Types        map[string]string `yaml:"types" doc:"What scalars of the schema's own mean: {Money: number}."`
	Model        string            `yaml:"model" doc:"The standard record shape: contacts, companies, products."`
	Bindings     map[string]any    `yaml:"bindings" doc:"The model's fields: name to this object's field."`
	Identity     []string          `yaml:"identity" doc:"Fields that no two records share; before a record is made, one with these values is looked for."`
	List         *query            `yaml:"list" must:"true" doc:"The query that gives all records."`
	Changes      *query            `yaml:"changes" doc:"The query that gives the records changed since {since}. Without it everything is read and compared."`
	Get          *query            `yaml:"get" must:"true" doc:"The query that gives one record by key."`
	Find         *find             `yaml:"find" doc:"The query that gives the records with the value of one field."`
	Create       *mutation         `yaml:"create" doc:"The mutation that makes a record."`
	Update       *mutation         `yaml:"update" doc:"The mutation that changes the fields that are sent."`
	Delete       *mutation         `yaml:"delete" doc:"The mutation that deletes a record."`
	Deletes      deletes           `yaml:"deletes" doc:"How deletions are seen."`
	Subscription *subscription     `yaml:"subscription" doc:"A subscription that says when there is something to read."`
}

// query reads.
type query struct {
	Query     string         `yaml:"query" must:"true" doc:"The query; ...fields selects the fields."`
	Variables map[string]any `yaml:"variables" doc:"Its variables, with {limit}, {token}, {offset}, {since}, {key}, {value} where they mean something."`
	Records   string         `yaml:"records" doc:"Where data has the list: contacts.nodes, or contacts.edges.*.node."`
	Record    string         `yaml:"record" doc:"Where data has the record."`
	Paging    string         `yaml:"paging" doc:"relay: by pageInfo beside the list. offset: by {offset}. none: one answer has all." enum:"relay,offset,none"`
	Size      int            `yaml:"size" doc:"The most records in a page."`
	Time      string         `yaml:"time" doc:"How {since} is written." enum:"rfc3339,millis,epoch,epochMillis,date"`
	Overlap   string         `yaml:"overlap" doc:"How far each look goes back, for what became visible late: 5s."`
}

// find searches by one field.
type find struct {
	Query     string         `yaml:"query" must:"true" doc:"The query; ...fields selects the fields."`
	Variables map[string]any `yaml:"variables" doc:"Its variables, with {value}."`
	Records   string         `yaml:"records" must:"true" doc:"Where data has the list."`
	By        string         `yaml:"by" must:"true" doc:"The field that is searched by."`
}

// mutation writes.
type mutation struct {
	Mutation  string         `yaml:"mutation" must:"true" doc:"The mutation; ...fields selects the fields."`
	Variables map[string]any `yaml:"variables" doc:"Its variables, with {fields} (those to set), {key}, {record} (the whole record), {version}."`
	Key       string         `yaml:"key" doc:"create: where data has the new record's key."`
	Record    string         `yaml:"record" doc:"Where data has the record as it is now."`
	Errors    string         `yaml:"errors" doc:"Where data lists what was refused: contactCreate.userErrors."`
}

// deletes says how deletions are seen.
type deletes struct {
	Mode   string `yaml:"mode" doc:"diff: everything is read and compared. tombstone: a field marks them. never." enum:"diff,tombstone,never"`
	Field  string `yaml:"field" doc:"tombstone: the field that marks a deleted record."`
	Equals string `yaml:"equals" doc:"tombstone: its value then; without it, any value."`
}

// subscription listens.
type subscription struct {
	Query     string         `yaml:"query" must:"true" doc:"The subscription."`
	Variables map[string]any `yaml:"variables" doc:"Its variables."`
}

// parse reads a description.
func parse(source string) (map[string]object, error) {
	objects := map[string]object{}
	if problems := manifest.Decode([]byte(source), &objects, "the description of the objects"); len(problems) > 0 {
		p := problems[0]
		return nil, misfit("graphql.objects_malformed", "The setting objects cannot be used: line %d, column %d: %s %s", p.Line, p.Column, p.Message, p.Remedy)
	}
	if len(objects) == 0 {
		return nil, misfit("graphql.objects_malformed", "The setting objects names no object.")
	}
	for name, o := range objects {
		if len(o.Key) == 0 {
			o.Key = []string{"id"}
		}
		objects[name] = o
		for _, text := range []string{o.Type, o.Version} {
			if text != "" && !graphName.MatchString(text) {
				return nil, misfit("graphql.objects_malformed", "In the setting objects, %s: %q is no name of GraphQL.", name, text)
			}
		}
		for f := range o.Fields {
			if !graphName.MatchString(f) {
				return nil, misfit("graphql.objects_malformed", "In the setting objects, %s: the field %q is no name of GraphQL.", name, f)
			}
		}
		if o.List.Records == "" || o.Get.Record == "" || o.Changes != nil && (o.Changes.Records == "" || o.Version == "") {
			return nil, misfit("graphql.objects_malformed", "In the setting objects, %s: list and changes say under records where the list is, get says under record where the record is, and changes need the field of the last change as version.", name)
		}
		if o.Deletes.Mode == "tombstone" && o.Deletes.Field == "" {
			return nil, misfit("graphql.objects_malformed", "In the setting objects, %s: deletes of mode tombstone name the field that marks a deleted record.", name)
		}
		if o.Deletes.Mode == "diff" && o.Changes != nil {
			return nil, misfit("graphql.objects_malformed", "In the setting objects, %s: deletions are found by comparing only without changes, when everything is read.", name)
		}
		if o.Create != nil && o.Create.Key == "" && o.Create.Record == "" && len(o.Writable) == 0 {
			return nil, misfit("graphql.objects_malformed", "In the setting objects, %s: create says under key, or under record, where the answer has the new record's key.", name)
		}
	}
	return objects, nil
}

var graphName = regexp.MustCompile(`^[_A-Za-z][_0-9A-Za-z]*$`)

// accepts is what answers may be.
const accepts = "application/graphql-response+json, application/json;q=0.9"

// The words by which servers say in extensions.code what is wrong.
var codes = []struct {
	class string
	words []string
}{
	{"renew", []string{"UNAUTHENTICATED", "UNAUTHORIZED"}},
	{"reconnect", []string{"FORBIDDEN", "ACCESS_DENIED", "PERMISSION_DENIED"}},
	{"slow_down", []string{"THROTTLED", "RATE_LIMITED", "RATELIMITED", "TOO_MANY_REQUESTS", "MAX_COST_EXCEEDED"}},
	{"gone", []string{"NOT_FOUND"}},
	{"exists", []string{"ALREADY_EXISTS", "DUPLICATE", "TAKEN"}},
	{"conflict", []string{"CONFLICT", "VERSION_MISMATCH", "PRECONDITION_FAILED"}},
	{"drift", []string{"GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED"}},
	{"refused", []string{"BAD_USER_INPUT", "BAD_REQUEST", "VALIDATION_FAILED", "INVALID"}},
	{"retry", []string{"INTERNAL_SERVER_ERROR", "SERVICE_UNAVAILABLE", "TIMEOUT", "PERSISTED_QUERY_NOT_FOUND"}},
}

type dict = map[string]any

// describe is the manifest of what the description says, as JSON, which is YAML.
func describe(endpoint, header string, objects map[string]object) ([]byte, error) {
	made, rules := dict{}, []any{}
	messages, said := []any{"errors.0.message"}, []any{"errors.0.extensions.code"}
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		o := objects[name]
		made[name] = o.manifest(endpoint)
		for _, m := range []*mutation{o.Create, o.Update, o.Delete} {
			if m != nil && m.Errors != "" {
				messages, said = append(messages, "data."+m.Errors+".0.message"), append(said, "data."+m.Errors+".0.code")
			}
		}
	}
	for _, c := range codes {
		rules = append(rules, dict{"code": c.words, "class": c.class})
	}
	// An answer with data and errors is not whole. What was to be read is asked for again, for else records would be missing without
	// a word; what was to be written was refused, and a person sees why.
	there := func(path string) dict { return dict{"path": path, "exists": true} }
	rules = append(rules, dict{"operations": []any{"create", "update", "delete"}, "when": there("errors.0"), "class": "refused"}, dict{"when": there("errors.0"), "status": []any{200}, "class": "retry"})
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		o := objects[name]
		for _, m := range []*mutation{o.Create, o.Update, o.Delete} {
			if m != nil && m.Errors != "" {
				rules = append(rules, dict{"when": there("data." + m.Errors + ".0"), "class": "refused"})
			}
		}
	}
	rules = append(rules, dict{"when": dict{"path": "data", "exists": false}, "status": []any{200}, "class": "reconnect", "remedy": "The answer has no data: check that the address is that of a GraphQL endpoint."})
	setting := func(name string, secret bool) dict { return dict{"name": name, "secret": secret} }
	return json.Marshal(dict{
		"manifest": 1, "type": "graphql", "title": "The GraphQL endpoint", "summary": "A GraphQL endpoint.", "baseUrl": literal(endpoint),
		"settings": []any{setting("accessToken", true), setting("headerValue", true), setting("user", false), setting("password", true)},
		"headers":  dict{"Accept": accepts},
		"auth": []any{
			dict{"kind": "bearer", "token": "{settings.accessToken}"},
			dict{"kind": "header", "name": literal(header), "value": "{settings.headerValue}"},
			dict{"kind": "basic", "user": "{settings.user}", "password": "{settings.password}", "needs": []any{"user"}},
			dict{"kind": "none"},
		},
		"check":   dict{"method": "POST", "path": literal(endpoint), "body": dict{"query": literal("{ __typename }")}},
		"errors":  dict{"message": messages, "code": said, "rules": rules},
		"objects": made,
	})
}

// literal is a text that has no placeholders.
func literal(s string) string { return strings.NewReplacer("{", "{{", "}", "}}").Replace(s) }

// request posts a document. The fragment fields is added where it is used.
func (o *object) request(endpoint, document string, variables dict) dict {
	if regexp.MustCompile(`\.\.\.\s*fields\b`).MatchString(document) && !regexp.MustCompile(`fragment\s+fields\b`).MatchString(document) {
		var b strings.Builder
		for _, f := range slices.Sorted(maps.Keys(o.Fields)) {
			b.WriteString(" " + f + o.Selections[f])
		}
		document += " fragment fields on " + o.Type + " {" + b.String() + " }"
	}
	if variables == nil {
		variables = dict{}
	}
	return dict{"method": "POST", "path": literal(endpoint), "body": dict{"query": literal(document), "variables": variables}}
}

// list is a query of many records.
func (o *object) list(endpoint string, q *query) dict {
	variables := dict{}
	paging := dict{"style": "none"}
	switch {
	case q.Paging == "offset":
		variables["limit"], variables["offset"] = "{limit}", "{offset}"
		paging["style"] = "offset"
	case q.Paging == "relay", q.Paging == "" && strings.Contains(q.Query, "pageInfo"):
		variables["first"], variables["after"] = "{limit}", "{token}"
		steps := strings.Split(q.Records, ".")
		if i := slices.IndexFunc(steps, func(s string) bool { return s == "nodes" || s == "edges" }); i >= 0 {
			steps = steps[:i]
		}
		at := "data." + strings.Join(steps, ".") + ".pageInfo."
		paging = dict{"style": "cursor", "next": at + "endCursor", "more": at + "hasNextPage"}
	}
	if q.Size > 0 {
		paging["size"] = q.Size
	} else {
		paging["size"] = 100
	}
	if strings.Contains(q.Query, "$since") {
		variables["since"] = "{since}"
	}
	maps.Copy(variables, q.Variables)
	return dict{"request": o.request(endpoint, q.Query, variables), "records": "data." + q.Records, "paging": paging}
}

// manifest is the object as a manifest says it.
func (o *object) manifest(endpoint string) dict {
	fields := []any{}
	for _, f := range slices.Sorted(maps.Keys(o.Fields)) {
		native := strings.TrimSpace(o.Fields[f])
		d := dict{"name": f, "type": o.typeOf(native), "required": strings.HasSuffix(native, "!")}
		key := slices.Contains(o.Key, f)
		if slices.Contains(o.ReadOnly, f) || (key || f == o.Version) && !slices.Contains(o.Writable, f) {
			d["readOnly"] = true
			d["generated"] = key
		} else if key {
			d["createOnly"] = true
		}
		fields = append(fields, d)
	}
	out := dict{"key": o.Key, "fields": fields, "list": o.list(endpoint, o.List)}
	if o.Version != "" {
		out["version"] = o.Version
	}
	if o.Model != "" {
		out["model"], out["bindings"] = o.Model, o.Bindings
	}
	if len(o.Identity) > 0 {
		out["identity"] = o.Identity
	}
	mode := o.Deletes.Mode
	if o.Changes != nil {
		c := o.list(endpoint, o.Changes)
		c["style"] = "since"
		if o.Changes.Time != "" {
			c["time"] = o.Changes.Time
		}
		c["overlap"] = "5s"
		if o.Changes.Overlap != "" {
			c["overlap"] = o.Changes.Overlap
		}
		out["changes"] = c
		if mode == "" {
			mode = "never"
		}
	} else {
		out["changes"] = dict{"style": "full"}
		if mode == "" {
			mode = "diff"
		}
	}
	out["deletes"] = dict{"mode": mode}
	if mode == "tombstone" {
		when := dict{"path": o.Deletes.Field, "exists": true}
		if o.Deletes.Equals != "" {
			when = dict{"path": o.Deletes.Field, "equals": o.Deletes.Equals}
		}
		out["deletes"] = dict{"mode": mode, "when": when}
	}
	byKey := dict{"key": "{key}"}
	if len(o.Key) == 1 {
		byKey = dict{o.Key[0]: "{key}"}
	}
	merged := func(base, more dict) dict {
		v := maps.Clone(base)
		if more != nil {
			v = more
		}
		return v
	}
	out["get"] = dict{"request": o.request(endpoint, o.Get.Query, merged(byKey, o.Get.Variables)), "record": "data." + o.Get.Record}
	if f := o.Find; f != nil {
		out["find"] = dict{"request": o.request(endpoint, f.Query, merged(dict{f.By: "{value}"}, f.Variables)), "records": "data." + f.Records, "fields": []any{f.By}, "one": true}
	}
	write := func(verb string, m *mutation, usual dict) {
		if m == nil {
			return
		}
		w := dict{"request": o.request(endpoint, m.Mutation, merged(usual, m.Variables))}
		if m.Key != "" {
			w["key"] = "data." + m.Key
		} else if verb == "create" && m.Record != "" {
			w["key"] = fmt.Sprintf("data.%s.%s", m.Record, o.Key[0])
		}
		if m.Record != "" {
			w["record"] = "data." + m.Record
		}
		out[verb] = w
	}
	both := maps.Clone(byKey)
	both["input"] = "{fields}"
	write("create", o.Create, dict{"input": "{fields}"})
	write("update", o.Update, both)
	write("delete", o.Delete, byKey)
	return out
}

// scalars are the types that schemas have, in our words.
var scalars = map[string]string{"ID": "text", "String": "text", "Int": "integer", "Float": "number", "Boolean": "boolean", "BigInt": "integer", "Long": "integer", "Decimal": "number", "BigDecimal": "number",
	"DateTime": "timestamp", "Timestamp": "timestamp", "ISO8601DateTime": "timestamp", "timestamptz": "timestamp", "Instant": "timestamp", "Date": "date", "date": "date", "ISO8601Date": "date", "Time": "time",
	"JSON": "json", "JSONObject": "json", "jsonb": "json", "UUID": "uuid", "uuid": "uuid"}

func (o *object) typeOf(native string) string {
	bare := strings.TrimSuffix(native, "!")
	if strings.HasPrefix(bare, "[") {
		return "array"
	}
	if t := o.Types[bare]; t != "" {
		return t
	}
	if t := scalars[bare]; t != "" {
		return t
	}
	for f, selected := range o.Selections { // a field with a selection is an object
		if selected != "" && strings.TrimSuffix(o.Fields[f], "!") == bare {
			return "json"
		}
	}
	return "text"
}
