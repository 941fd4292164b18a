// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/syncline-dev/syncline/api/spec"
)

// Contract is openapi.yaml as the tests hold answers against it.
type Contract struct {
	Operations []Operation
	d          *description
	router     chi.Router
	byPattern  map[string]*Operation

	mu      sync.Mutex
	schemas map[string]*schema
}

// Operation is one operation of the document.
type Operation struct {
	ID, Method, Path string
	Public           bool
	Stream           bool
	Permission       string
	Parameters       []Parameter
	Bodies           []string // media types of the request
	at               string
}

// Parameter is one parameter of an operation.
type Parameter struct {
	Name, In string
	Required bool
}

// NewContract reads the embedded document.
func NewContract() (*Contract, error) {
	document, err := spec.GetSpecJSON()
	if err != nil {
		return nil, err
	}
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return nil, err
	}
	c := &Contract{
		d: &description{root: root.(map[string]any), compiler: jsonschema.NewCompiler()}, router: chi.NewRouter(),
		byPattern: map[string]*Operation{}, schemas: map[string]*schema{},
	}
	c.d.compiler.DefaultDraft(jsonschema.Draft2020)
	c.d.compiler.AssertFormat()
	if err := c.d.compiler.AddResource(resource, root); err != nil {
		return nil, err
	}
	for _, path := range slices.Sorted(maps.Keys(c.d.object("#/paths"))) {
		at := "#/paths/" + escape(path)
		for _, method := range slices.Sorted(maps.Keys(c.d.object(at))) {
			if method == "parameters" {
				continue
			}
			op, err := c.d.operation(at, method)
			if err != nil {
				return nil, err
			}
			o := Operation{ID: op.id, Method: strings.ToUpper(method), Path: path, Public: op.public, Stream: op.stream, at: at + "/" + method}
			o.Permission, _ = c.d.object(o.at)["x-permission"].(string)
			o.Bodies = slices.Sorted(maps.Keys(op.bodies))
			for _, p := range op.params {
				o.Parameters = append(o.Parameters, Parameter{p.name, p.in, p.required})
			}
			c.Operations = append(c.Operations, o)
			c.router.Method(o.Method, path, http.NotFoundHandler())
		}
	}
	for i := range c.Operations {
		c.byPattern[c.Operations[i].Method+" "+c.Operations[i].Path] = &c.Operations[i]
	}
	return c, nil
}

// Of returns the operation that a request is for, nil for none.
func (c *Contract) Of(r *http.Request) *Operation {
	ctx := chi.NewRouteContext()
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.Path
	}
	if !c.router.Match(ctx, r.Method, path) {
		return nil
	}
	return c.byPattern[r.Method+" "+ctx.RoutePattern()]
}

// Example returns the example of a request body.
func (c *Contract) Example(o *Operation, media string) []byte {
	body := c.d.resolve(o.at + "/requestBody")
	switch v := c.d.value(body + "/content/" + escape(media) + "/example").(type) {
	case string:
		return []byte(v)
	default:
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return b
	}
}

// CheckAnswer says how an answer differs from what the document promises.
func (c *Contract) CheckAnswer(o *Operation, status int, header http.Header, body []byte) error {
	at := o.at + "/responses/" + strconv.Itoa(status)
	if c.d.value(at) == nil {
		if status < 400 {
			return fmt.Errorf("%s: the status %d is not documented", o.ID, status)
		}
		at = o.at + "/responses/default"
	}
	at = c.d.resolve(at)
	for name := range c.d.object(at + "/headers") {
		h := c.d.object(c.d.resolve(at + "/headers/" + escape(name)))
		if must, _ := h["required"].(bool); must && header.Get(name) == "" {
			return fmt.Errorf("%s %d: the header %s is missing", o.ID, status, name)
		}
	}
	content := c.d.object(at + "/content")
	if content == nil {
		if len(body) > 0 {
			return fmt.Errorf("%s %d: a body that is not documented: %s", o.ID, status, body)
		}
		return nil
	}
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || content[media] == nil {
		return fmt.Errorf("%s %d: the content type %q is not documented", o.ID, status, header.Get("Content-Type"))
	}
	if !strings.HasSuffix(media, "json") {
		return nil
	}
	return c.check(at+"/content/"+escape(media)+"/schema", body, fmt.Sprintf("%s %d", o.ID, status))
}

// CheckEvent says how an event differs from what the document promises.
func (c *Contract) CheckEvent(data []byte) error {
	return c.check("#/components/schemas/Event", data, "event")
}

func (c *Contract) check(at string, body []byte, what string) error {
	v, err := decode(body)
	if err != nil {
		return fmt.Errorf("%s: %w: %s", what, err, body)
	}
	c.mu.Lock()
	s := c.schemas[at]
	if s == nil {
		s = c.d.schema(at)
		c.schemas[at] = s
	}
	c.mu.Unlock()
	found, err := s.validate(v)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return fmt.Errorf("%s: %+v\n%s", what, found, body)
	}
	return nil
}

// CheckExamples says which examples do not fit their schemas, and which are missing.
func (c *Contract) CheckExamples() (wrong []error) {
	look := func(at, what string) {
		for media, v := range c.d.object(at + "/content") {
			m := v.(map[string]any)
			example, there := m["example"]
			if !there {
				wrong = append(wrong, fmt.Errorf("%s %s has no example", what, media))
				continue
			}
			if m["schema"] == nil || !strings.HasSuffix(media, "json") {
				continue
			}
			b, err := json.Marshal(example)
			if err == nil {
				err = c.check(at+"/content/"+escape(media)+"/schema", b, what)
			}
			if err != nil {
				wrong = append(wrong, err)
			}
		}
	}
	for _, o := range c.Operations {
		if len(o.Bodies) > 0 {
			look(c.d.resolve(o.at+"/requestBody"), o.ID+" request")
		}
		for status := range c.d.object(o.at + "/responses") {
			look(c.d.resolve(o.at+"/responses/"+status), o.ID+" "+status)
		}
	}
	return wrong
}

// Routes lists what the router serves, "GET /v1/tenant".
func Routes(d Deps) (routes []string, err error) {
	s := &server{Deps: d}
	err = chi.Walk(s.router(), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		routes = append(routes, method+" "+route)
		return nil
	})
	slices.Sort(routes)
	return routes, err
}

// NewLimiterAt is a rate limiter with a clock of the test's own; it says whether a request is let through.
func NewLimiterAt(now func() time.Time) func(name string, limit RateLimit) bool {
	l := newLimiter(RateLimit{})
	l.now = now
	return func(name string, limit RateLimit) bool {
		_, _, ok := l.take(name, limit)
		return ok
	}
}
