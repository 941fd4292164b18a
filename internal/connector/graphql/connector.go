// SPDX-License-Identifier: Apache-2.0

// Package graphql is the connector of GraphQL endpoints that a customer describes: queries for reading, mutations for writing, and
// subscriptions that say when there is something to read.
//
// What the description says is turned into a manifest, and the manifest's runtime does the reading and writing.
package graphql

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/push"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

// Connector is the connector type graphql.
type Connector struct{ pool *transport.Pool }

// New returns the connector.
func New(pool *transport.Pool) *Connector { return &Connector{pool} }

// The ways that subscriptions are spoken.
const (
	overWebSocket = "websocket"
	overSSE       = "sse"
)

// Spec declares the connector.
func (*Connector) Spec() connector.Spec {
	return connector.Spec{
		Type:    "graphql",
		Title:   "GraphQL",
		Summary: "Any GraphQL endpoint: you give the queries and mutations, and it reads, writes and listens to subscriptions.",
		Class:   "standard",
		Settings: []connector.Setting{
			{Name: "endpoint", Title: "Endpoint", Kind: connector.Text, Required: true, Doc: "The URL that queries are posted to: https://shop.example.com/graphql."},
			{Name: "objects", Title: "Objects", Kind: connector.Text, Required: true, Lines: 16, Doc: "YAML: for each object its type, key, and the queries and mutations by which its records are read and written. The connector's page shows one."},
			{Name: "accessToken", Title: "Access token", Kind: connector.Text, Secret: true, Doc: "Sent as Authorization: Bearer. One way of proving who is calling is enough."},
			{Name: "headerName", Title: "Header", Kind: connector.Text, Doc: "Instead of it: the header that carries a key, like X-Api-Key."},
			{Name: "headerValue", Title: "Header's value", Kind: connector.Text, Secret: true, Doc: "The key in that header."},
			{Name: "user", Title: "User", Kind: connector.Text, Doc: "Instead of it: the name for basic authentication."},
			{Name: "password", Title: "Password", Kind: connector.Text, Secret: true, Doc: "The password for basic authentication."},
			{Name: "introspection", Title: "Introspection", Kind: connector.Boolean, Default: "true", Doc: "Ask the endpoint for the fields of types whose fields the description does not list. Many endpoints forbid it in production: then list the fields."},
			{Name: "subscriptionProtocol", Title: "Subscriptions over", Kind: connector.Choice, Default: overWebSocket, Choices: []string{overWebSocket, overSSE}, Doc: "How subscriptions are spoken: websocket is the protocol graphql-transport-ws, sse is GraphQL over server-sent events."},
			{Name: "subscriptionUrl", Title: "Subscription URL", Kind: connector.Text, Doc: "Where subscriptions are spoken, when it is not the endpoint itself."},
		},
		Detections: []string{"stream", "timestamp", "hash", "polling"},
		Deletes:    "as the description says: diff (everything is read and compared), tombstone (a field marks them), or never",
		Guarantee:  "effectively once: each record is read and compared before it is written, so repeating a write changes nothing. A subscription only says when to look: what it missed is read from the cursor.",
	}
}

func misfit(code, format string, args ...any) error {
	return &connector.Error{Class: connector.Reconnect, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Open reads the description, asks for the fields that it leaves open, and prepares a system.
func (c *Connector) Open(ctx context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	if d := env.Detection; d != "" && d != "auto" && !slices.Contains(c.Spec().Detections, d) {
		return nil, &connector.Error{Class: connector.Reject, Code: "http.detection", Message: fmt.Sprintf("GraphQL cannot see changes by %s; it can by %s.", d, strings.Join(c.Spec().Detections, ", "))}
	}
	endpoint, err := address(settings["endpoint"], "http", "https")
	if err != nil {
		return nil, err
	}
	objects, err := parse(settings["objects"])
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	switch {
	case settings["accessToken"] != "":
		header.Set("Authorization", "Bearer "+settings["accessToken"])
	case settings["headerName"] != "" && settings["headerValue"] != "":
		header.Set(settings["headerName"], settings["headerValue"])
	case settings["user"] != "":
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(settings["user"]+":"+settings["password"])))
	}
	s := &system{header: header, objects: objects, secrets: []string{settings["accessToken"], settings["headerValue"], settings["password"]}, detection: env.Detection}
	asked := c.pool.Client(transport.Options{Account: env.Tenant + " graphql " + endpoint, Dial: env.Dial, TLS: env.TLS, Secrets: s.secrets, Through: env.Sandbox})
	defer asked.Close()
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		o := objects[name]
		if len(o.Fields) == 0 {
			if settings["introspection"] == "false" {
				return nil, misfit("graphql.objects_malformed", "The object %s lists no fields, and asking the endpoint for them is switched off. List them: fields: {id: ID!, name: String}.", name)
			}
			if o.Fields, err = introspect(ctx, asked, endpoint, header, o.Type); err != nil {
				return nil, err
			}
			objects[name] = o
		}
	}
	source, err := describe(endpoint, settings["headerName"], objects)
	if err != nil {
		return nil, err
	}
	made, err := manifest.NewOwn(source, env.Tenant, c.pool)
	if err != nil {
		return nil, misfit("graphql.objects_malformed", "The description of the objects cannot be used: %v", err)
	}
	inner := env
	if env.Detection == "stream" {
		inner.Detection = ""
	}
	known := connector.Settings{}
	for _, name := range []string{"accessToken", "headerValue", "user", "password"} {
		if settings[name] != "" {
			known[name] = settings[name]
		}
	}
	opened, err := made.Open(ctx, known, inner)
	if err != nil {
		return nil, err
	}
	s.records = opened.(records) // what a manifest opens has all of it
	s.protocol, s.url = settings["subscriptionProtocol"], settings["subscriptionUrl"]
	if s.url == "" {
		s.url = endpoint
	}
	if s.protocol == overWebSocket {
		s.url = strings.Replace(strings.Replace(s.url, "https://", "wss://", 1), "http://", "ws://", 1)
		_, err = address(s.url, "ws", "wss")
	} else {
		_, err = address(s.url, "http", "https")
	}
	if err != nil {
		return nil, err
	}
	listens := slices.ContainsFunc(slices.Collect(maps.Values(objects)), func(o object) bool { return o.Subscription != nil })
	if env.Detection == "stream" && !listens {
		return nil, &connector.Error{Class: connector.Reject, Code: "http.detection", Message: "Changes cannot be streamed: no object's description has a subscription. Give one, or use auto."}
	}
	if !listens || env.Detection != "" && env.Detection != "auto" && env.Detection != "stream" {
		return s, nil
	}
	s.push = push.New(env, s.secrets...)
	return &listening{s}, nil
}

// address checks a URL's scheme and host.
func address(text string, schemes ...string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || !slices.Contains(schemes, u.Scheme) || u.Host == "" || u.User != nil {
		return "", misfit("graphql.address", "The address of the GraphQL endpoint is not a URL that begins with %s:// and has a host and no password.", schemes[len(schemes)-1])
	}
	return u.String(), nil
}

// records is what a manifest's system can do.
type records interface {
	connector.System
	connector.Discoverer
	connector.Reader
	connector.KeyReader
	connector.Finder
	connector.Writer
	connector.Chooser
	connector.Pacer
	connector.Scanner
	connector.Drafter
	connector.Acknowledger
	Account() string
}

// system is one open endpoint.
type system struct {
	records
	objects   map[string]object
	header    http.Header
	secrets   []string
	detection string
	protocol  string
	url       string
	push      *push.Client
}

// Detection implements connector.Chooser.
func (s *system) Detection(ctx context.Context, name record.Object) (string, string, error) {
	d, why, err := s.records.Detection(ctx, name)
	if err == nil && s.push != nil && s.objects[string(name)].Subscription != nil {
		return "stream", "A subscription tells when there is something to read; it is then read from the cursor.", nil
	}
	return d, why, err
}

// Close implements connector.System.
func (s *system) Close() error {
	if s.push != nil {
		s.push.Close()
	}
	return s.records.Close()
}

// listening is a system with subscriptions.
type listening struct{ *system }

var (
	_ connector.Connector = (*Connector)(nil)
	_ connector.Watcher   = (*listening)(nil)
)

// introspection asks for the fields of a type, their types unwrapped as deep as they are wrapped.
const introspection = `query($name: String!) { __type(name: $name) { kind fields { name args { type { kind } defaultValue } type { ...t ofType { ...t ofType { ...t ofType { ...t } } } } } } } fragment t on __Type { kind name }`

type typeRef struct {
	Kind   string   `json:"kind"`
	Name   string   `json:"name"`
	OfType *typeRef `json:"ofType"`
}

// text is the type as a schema writes it.
func (t *typeRef) text() string {
	switch {
	case t == nil:
		return ""
	case t.Kind == "NON_NULL":
		return t.OfType.text() + "!"
	case t.Kind == "LIST":
		return "[" + t.OfType.text() + "]"
	}
	return t.Name
}

// leaf says whether values of the type have no selection of their own.
func (t *typeRef) leaf() bool {
	if t == nil {
		return false
	}
	if t.OfType != nil {
		return t.OfType.leaf()
	}
	return t.Kind == "SCALAR" || t.Kind == "ENUM"
}

func (t *typeRef) inner() *typeRef {
	for t.OfType != nil {
		t = t.OfType
	}
	return t
}

// introspect asks the endpoint for the fields of a type that need neither arguments nor a selection.
func introspect(ctx context.Context, client *transport.Client, endpoint string, header http.Header, typ string) (map[string]string, error) {
	body, err := json.Marshal(map[string]any{"query": introspection, "variables": map[string]any{"name": typ}})
	if err != nil {
		return nil, err
	}
	h := header.Clone()
	h.Set("Content-Type", "application/json")
	h.Set("Accept", accepts)
	a, err := client.Do(ctx, transport.Call{Operation: "describe", Method: http.MethodPost, URL: endpoint, Header: h, Body: body})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct {
			Type *struct {
				Kind   string `json:"kind"`
				Fields []struct {
					Name string `json:"name"`
					Args []struct {
						Type         typeRef `json:"type"`
						DefaultValue *string `json:"defaultValue"`
					} `json:"args"`
					Type typeRef `json:"type"`
				} `json:"fields"`
			} `json:"__type"`
		} `json:"data"`
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	malformed := json.Unmarshal(a.Body, &answer)
	switch {
	case a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden:
		return nil, &connector.Error{Class: connector.Reconnect, Code: "http.unauthorized", Message: "The endpoint does not accept the credentials. Check them in the connection."}
	case a.Status == http.StatusTooManyRequests:
		return nil, &connector.Error{Class: connector.SlowDown, Code: "http.rate_limited", After: max(a.After, 1e9), Message: "The system asks to slow down."}
	case a.Status >= 500:
		return nil, &connector.Error{Class: connector.Retry, Code: "http.server_error", Message: "The endpoint had trouble of its own. It will be tried again.", Err: fmt.Errorf("status %d", a.Status)}
	case malformed != nil:
		return nil, &connector.Error{Class: connector.Reconnect, Code: "graphql.address", Message: fmt.Sprintf("The endpoint does not answer as GraphQL does (status %d). Check its address.", a.Status), Err: malformed}
	case len(answer.Errors) > 0:
		return nil, &connector.Error{Class: connector.Reconnect, Code: "graphql.no_introspection", Err: errors.New(client.Redact(answer.Errors[0].Message)),
			Message: fmt.Sprintf("The endpoint does not tell the fields of the type %s. List them in the description: fields: {id: ID!, name: String}. It says: %s", typ, client.Redact(answer.Errors[0].Message))}
	case answer.Data.Type == nil:
		return nil, &connector.Error{Class: connector.Reconnect, Code: "graphql.no_type", Message: fmt.Sprintf("The endpoint has no type %s. Check the type in the description of the objects.", typ)}
	}
	fields := map[string]string{}
	for _, f := range answer.Data.Type.Fields {
		needs := slices.ContainsFunc(f.Args, func(a struct {
			Type         typeRef `json:"type"`
			DefaultValue *string `json:"defaultValue"`
		}) bool {
			return a.Type.Kind == "NON_NULL" && a.DefaultValue == nil
		})
		if needs || !f.Type.leaf() || strings.HasPrefix(f.Name, "__") {
			continue
		}
		text := f.Type.text()
		if f.Type.inner().Kind == "ENUM" && !strings.HasPrefix(text, "[") { // its values are texts to us
			text = strings.Replace(text, f.Type.inner().Name, "String", 1)
		}
		fields[f.Name] = text
	}
	if len(fields) == 0 {
		return nil, &connector.Error{Class: connector.Reconnect, Code: "graphql.no_type", Message: fmt.Sprintf("The type %s has no fields with plain values. Name the type of a record in the description of the objects.", typ)}
	}
	return fields, nil
}
