// SPDX-License-Identifier: Apache-2.0

package sandboxtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Discovery holds requests against the description of a Google API: method and path, query parameters, and the body by its schema.
type Discovery struct {
	Judge
	methods []discovered
	common  map[string]any
	schemas map[string]discoverySchema
}

type discovered struct {
	id, verb   string
	path       *regexp.Regexp
	parameters map[string]discoverySchema
	body       string
}

type discoverySchema struct {
	Ref        string                     `json:"$ref"`
	Type       string                     `json:"type"`
	Properties map[string]discoverySchema `json:"properties"`
	Items      *discoverySchema           `json:"items"`
	Additional *discoverySchema           `json:"additionalProperties"`
	Enum       []string                   `json:"enum"`
	Location   string                     `json:"location"`
	Required   bool                       `json:"required"`
}

type discoveryResource struct {
	Methods map[string]struct {
		ID          string                     `json:"id"`
		Path        string                     `json:"path"`
		FlatPath    string                     `json:"flatPath"`
		HTTPMethod  string                     `json:"httpMethod"`
		Parameters  map[string]discoverySchema `json:"parameters"`
		Request     discoverySchema            `json:"request"`
		MediaUpload *struct {
			Protocols map[string]struct {
				Path string `json:"path"`
			} `json:"protocols"`
		} `json:"mediaUpload"`
	} `json:"methods"`
	Resources map[string]discoveryResource `json:"resources"`
}

var discoveryStep = regexp.MustCompile(`\\\{(\\\+)?(\w+)\\\}`)

// NewDiscovery reads a vendor's description. Without it the test says that it was not judged. Calls whose path begins with one of
// skip are not in it.
func NewDiscovery(t *testing.T, vendor, file string, skip ...string) *Discovery {
	t.Helper()
	d := &Discovery{Judge: Judge{operations: map[string]int{}, skip: skip}, schemas: map[string]discoverySchema{}}
	dir := specs()
	if dir == "" {
		if os.Getenv("CI") != "" { //nolint:forbidigo // the one question a test asks of where it runs
			t.Fatal("not judged: the vendors' descriptions are not beside the repository")
		}
		t.Log("not judged: the vendors' descriptions are not beside the repository")
		d.skip = []string{"/"}
		return d
	}
	source, err := os.ReadFile(filepath.Join(dir, vendor, file))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		discoveryResource
		ServicePath string                     `json:"servicePath"`
		Parameters  map[string]any             `json:"parameters"`
		Schemas     map[string]discoverySchema `json:"schemas"`
	}
	if err := json.Unmarshal(source, &doc); err != nil {
		t.Fatal(err)
	}
	d.schemas, d.common = doc.Schemas, doc.Parameters
	d.add(doc.discoveryResource, doc.ServicePath)
	t.Cleanup(func() { d.report(t, vendor) })
	return d
}

func (d *Discovery) add(r discoveryResource, service string) {
	pattern := func(path string) *regexp.Regexp {
		p := discoveryStep.ReplaceAllString(regexp.QuoteMeta("/"+strings.TrimPrefix(path, "/")), `[^/]+`)
		return regexp.MustCompile("^" + p + "$")
	}
	for _, m := range r.Methods {
		one := discovered{id: m.ID, verb: m.HTTPMethod, path: pattern(service + m.Path), parameters: m.Parameters, body: m.Request.Ref}
		d.methods = append(d.methods, one)
		if m.MediaUpload != nil {
			for _, p := range m.MediaUpload.Protocols {
				d.methods = append(d.methods, discovered{id: m.ID + " (upload)", verb: m.HTTPMethod, path: pattern(p.Path), parameters: m.Parameters})
			}
		}
	}
	for _, inner := range r.Resources {
		d.add(inner, service)
	}
}

// See is for a sandbox.Server.
func (d *Discovery) See(r *http.Request, body []byte) {
	for _, s := range d.skip {
		if strings.HasPrefix(r.URL.Path, s) {
			return
		}
	}
	path := r.URL.EscapedPath()
	operation, problem := r.Method+" "+path, "no such method"
	for _, m := range d.methods {
		if m.verb != r.Method || !m.path.MatchString(path) {
			continue
		}
		operation, problem = m.id, d.faulty(m, r, body)
		if problem == "" {
			break
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests++
	d.operations[operation]++
	if problem != "" {
		d.violations = append(d.violations, fmt.Sprintf("%s %s %.300s: %s", r.Method, r.URL, body, problem))
	}
}

func (d *Discovery) faulty(m discovered, r *http.Request, body []byte) string {
	query := r.URL.Query()
	for name, values := range query {
		p, known := m.parameters[name]
		if _, common := d.common[name]; !known && !common && name != "uploadType" {
			return "the parameter " + name + " is not known"
		}
		for _, v := range values {
			if known && len(p.Enum) > 0 && !slices.Contains(p.Enum, v) {
				return "the parameter " + name + " is " + v
			}
		}
	}
	for name, p := range m.parameters {
		if p.Required && p.Location == "query" && query.Get(name) == "" {
			return "the parameter " + name + " is missing"
		}
	}
	if m.body == "" || len(body) == 0 {
		return ""
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return err.Error()
	}
	return d.fault(discoverySchema{Ref: m.body}, v, "")
}

func (d *Discovery) fault(s discoverySchema, v any, at string) string {
	if s.Ref != "" {
		s = d.schemas[s.Ref]
	}
	switch s.Type {
	case "object":
		o, ok := v.(map[string]any)
		if !ok {
			return at + " is no object"
		}
		for k, x := range o {
			p, known := s.Properties[k]
			if !known {
				if s.Additional == nil {
					return at + "/" + k + " is not known"
				}
				p = *s.Additional
			}
			if f := d.fault(p, x, at+"/"+k); f != "" {
				return f
			}
		}
	case "array":
		l, ok := v.([]any)
		if !ok {
			return at + " is no list"
		}
		for i, x := range l {
			if f := d.fault(*s.Items, x, fmt.Sprintf("%s/%d", at, i)); f != "" {
				return f
			}
		}
	case "string":
		text, ok := v.(string)
		if !ok {
			return at + " is no text"
		}
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
			return at + " is " + text
		}
	case "integer", "number":
		if _, ok := v.(json.Number); !ok {
			return at + " is no number"
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			return at + " is neither true nor false"
		}
	}
	return ""
}
