// SPDX-License-Identifier: Apache-2.0

package graphql_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/graphql"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

// people is what a customer writes for the server.
const people = `
people:
  type: Person
  version: updatedAt
  readOnly: [deletedAt]
  identity: [email]
  list:
    query: "query($first: Int!, $after: String) { people(first: $first, after: $after) { edges { node { ...fields } } pageInfo { hasNextPage endCursor } } }"
    records: people.edges.*.node
  changes:
    query: "query($since: String!, $first: Int!, $after: String) { people(since: $since, first: $first, after: $after) { nodes { ...fields } pageInfo { hasNextPage endCursor } } }"
    records: people.nodes
  deletes: {mode: tombstone, field: deletedAt}
  get: {query: "query($id: ID!) { person(id: $id) { ...fields } }", record: person}
  find: {query: "query($email: String!) { byEmail(email: $email) { ...fields } }", records: byEmail, by: email}
  create:
    mutation: "mutation($input: PersonInput!) { createPerson(input: $input) { person { ...fields } userErrors { message code } } }"
    record: createPerson.person
    errors: createPerson.userErrors
  update:
    mutation: "mutation($id: ID!, $input: PersonInput!) { updatePerson(id: $id, input: $input) { person { ...fields } userErrors { message code } } }"
    record: updatePerson.person
    errors: updatePerson.userErrors
  delete: {mutation: "mutation($id: ID!) { deletePerson(id: $id) }"}
`

// everybody is the same without changes: pages by offset, all compared, fields listed.
const everybody = `
people:
  type: Person
  fields: {id: "ID!", email: "String!", firstName: String, phone: String, score: Int, address: Address}
  selections: {address: "{ street }"}
  readOnly: [address]
  identity: [email]
  list: {query: "query($limit: Int!, $offset: Int!) { everybody(limit: $limit, offset: $offset) { ...fields } }", records: everybody, paging: offset}
  get: {query: "query($id: ID!) { person(id: $id) { ...fields } }", record: person}
  create: {mutation: "mutation($input: PersonInput!) { createPerson(input: $input) { person { id } userErrors { message code } } }", key: createPerson.person.id, errors: createPerson.userErrors}
  update: {mutation: "mutation($key: ID!, $patch: PersonInput!) { updatePerson(id: $key, input: $patch) { person { id } } }", variables: {key: "{key}", patch: "{fields}"}}
  delete: {mutation: "mutation($id: ID!) { deletePerson(id: $id) }"}
`

const listen = "  subscription: {query: \"subscription { personChanged }\"}\n"

func settings(s *server, objects string, more ...string) connector.Settings {
	out := connector.Settings{"endpoint": s.URL + "/graphql", "objects": objects, "accessToken": s.token}
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

func env() connector.Env {
	return connector.Env{Dial: (&net.Dialer{}).DialContext, Tenant: "a-tenant"}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	for detection, objects := range map[string]string{"timestamp": people, "hash": everybody} {
		t.Run(detection, func(t *testing.T) {
			t.Parallel()
			connectortest.RunRecords(t, connectortest.Records{
				Judge:     "graphql-go 0.8.1 (server)",
				Settings:  connector.Settings{"endpoint": "http://people.test/graphql", "objects": objects, "accessToken": "good-token"},
				Bad:       []connector.Settings{{"endpoint": "http://people.test/graphql", "objects": objects, "accessToken": "wrong-token"}, {"endpoint": "http://people.test/graphql", "objects": objects}, {"endpoint": "ftp://elsewhere", "objects": objects}, {"endpoint": "http://people.test/graphql", "objects": "people: {type: Person}", "accessToken": "good-token"}},
				Detection: detection,
				Object:    "people",
				Open: func(t *testing.T) (connector.Connector, connector.Env, connectortest.Account) {
					clock := sandbox.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), 100*time.Millisecond)
					s := newServer(t, clock)
					e := env()
					e.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
						return (&net.Dialer{}).DialContext(ctx, "tcp", s.Listener.Addr().String())
					}
					return graphql.New(&transport.Pool{Now: clock.Now, Wait: clock.Wait}), e, s
				},
				New: func(n int) record.Fields {
					return record.Fields{"email": fmt.Sprintf("person%d@example.com", n), "firstName": fmt.Sprintf("First %d", n), "phone": fmt.Sprintf("+1415555%04d", n), "score": record.Int(int64(n))}
				},
				Field: "firstName", Other: "phone", Identity: "email",
				Refused: map[string]record.Fields{"a word in a number": {"score": "many"}, "a field that is not there": {"colour": "red"}, "an address that is none": {"email": "nobody"}},
				Deletes: true,
				Not: map[card.Line]string{card.Expired: "the token comes with the settings; one that ended is refused as bad credentials",
					card.Webhook: "changes are told through a subscription of the API, and nothing is sent to an address of ours"},
			})
		})
	}
}

func open(t *testing.T, s *server, settings connector.Settings) connector.System {
	t.Helper()
	c := graphql.New(&transport.Pool{})
	checked, err := c.Spec().Check(settings)
	if err != nil {
		t.Fatal(err)
	}
	sys, err := c.Open(t.Context(), checked, env())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sys.Close() })
	return sys
}

func real() *sandbox.Clock { return sandbox.NewClock(time.Now(), time.Millisecond) }

// What the endpoint tells of a type is what the schema says; what needs arguments or a selection is left out.
func TestIntrospection(t *testing.T) {
	t.Parallel()
	s := newServer(t, real())
	infos, err := open(t, s, settings(s, people)).(connector.Discoverer).Describe(t.Context(), "people")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]connector.Type{"id": "text", "email": "text", "firstName": "text", "phone": "text", "score": "integer", "tags": "array", "updatedAt": "timestamp", "deletedAt": "timestamp"}
	for name, typ := range want {
		if f, ok := infos[0].Field(name); !ok || f.Type != typ || f.Nullable == (name == "id" || name == "email" || name == "updatedAt" || name == "tags") {
			t.Errorf("%s is %+v, there: %v, want %s", name, f, ok, typ)
		}
	}
	if len(infos[0].Fields) != len(want) {
		t.Errorf("there are the fields %+v", infos[0].Fields)
	}
	s.do(func() { s.silent = true })
	_, err = graphql.New(&transport.Pool{}).Open(t.Context(), settings(s, people), env())
	if e := connector.Classify(err); err == nil || e.Code != "graphql.no_introspection" || e.Class != connector.Reconnect {
		t.Errorf("an endpoint that forbids introspection gave %v", err)
	}
	open(t, s, settings(s, everybody, "introspection", "false")) // fields are listed: nothing is asked
	_, err = graphql.New(&transport.Pool{}).Open(t.Context(), settings(s, people, "introspection", "false"), env())
	if err == nil || connector.Classify(err).Code != "graphql.objects_malformed" {
		t.Errorf("neither fields nor introspection gave %v", err)
	}
}

// An answer that has data and errors is not whole: the records that are missing in it are not passed over.
func TestPartialAnswer(t *testing.T) {
	t.Parallel()
	s := newServer(t, real())
	s.Insert(t, 1, record.Fields{"email": "a@example.com"})
	s.Insert(t, 2, record.Fields{"email": "b@example.com"})
	s.do(func() { s.damaged = true })
	sys := open(t, s, settings(s, people))
	page, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "people", Limit: 10})
	if err == nil || connector.Classify(err).Class != connector.Retry || !strings.Contains(err.Error(), "the shard is away") {
		t.Fatalf("half an answer gave %+v, %v", page, err)
	}
	s.do(func() { s.damaged = false })
	page, err = sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "people", Limit: 10})
	if err != nil || len(page.Changes) != 2 {
		t.Errorf("afterwards %+v, %v", page, err)
	}
}

// A field with a selection is read whole, and a query's braces are its own.
func TestSelections(t *testing.T) {
	t.Parallel()
	s := newServer(t, real())
	key := s.Insert(t, 1, record.Fields{"email": "a@example.com"})
	got, err := open(t, s, settings(s, everybody)).(connector.KeyReader).ReadKeys(t.Context(), "people", nil, []record.Key{key})
	if err != nil || !record.Equal(got[0].Fields["address"], map[string]any{"street": "Elm Street"}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// What a description cannot be is said with its place.
func TestMalformed(t *testing.T) {
	t.Parallel()
	s := newServer(t, real())
	for name, objects := range map[string]string{
		"no YAML": "people: [", "no type": "people: {list: {query: q, records: r}, get: {query: q, record: r}}", "no such name": strings.Replace(people, "identity:", "identitty:", 1),
		"no place of the list": strings.Replace(people, "    records: people.nodes\n", "", 1), "a type that is none": strings.Replace(people, "type: Person", "type: \"Person { x }\"", 1),
		"compared and asked for": strings.Replace(people, "{mode: tombstone, field: deletedAt}", "{mode: diff}", 1), "nothing": "{}",
	} {
		_, err := graphql.New(&transport.Pool{}).Open(t.Context(), settings(s, objects), env())
		if e := connector.Classify(err); err == nil || e.Class != connector.Reconnect || e.Code != "graphql.objects_malformed" {
			t.Errorf("%s gave %v", name, err)
		}
	}
}

// A subscription wakes the reader; what happened while nobody listened is read all the same.
func TestSubscription(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"websocket", "sse"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, real())
			sys := open(t, s, settings(s, people+listen, "subscriptionProtocol", protocol))
			if d, why, err := sys.(connector.Chooser).Detection(t.Context(), "people"); d != "stream" || why == "" || err != nil {
				t.Errorf("the detection is %s because %q, %v", d, why, err)
			}
			seen, cursor := map[record.Key]bool{}, record.Cursor(nil)
			read := func() {
				for {
					page, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: "people", Cursor: cursor, Limit: 10})
					if err != nil {
						t.Fatal(err)
					}
					for _, c := range page.Changes {
						seen[c.Key] = true
					}
					if cursor = page.Cursor; !page.More {
						return
					}
				}
			}
			read()
			watch := func() (wakes chan record.Object, ended chan error, stop func()) {
				ctx, cancel := context.WithCancel(t.Context())
				wakes, ended = make(chan record.Object, 1000), make(chan error, 1)
				go func() {
					ended <- sys.(connector.Watcher).Watch(ctx, []record.Object{"people"}, func(o record.Object) { wakes <- o })
				}()
				return wakes, ended, cancel
			}
			wait := func(what string, wakes chan record.Object, ended chan error) {
				t.Helper()
				select {
				case <-wakes:
				case err := <-ended:
					t.Fatalf("watching ended before %s: %v", what, err)
				case <-time.After(time.Minute):
					t.Fatalf("no wake: %s", what)
				}
			}
			wakes, ended, stop := watch()
			defer stop()
			wait("its beginning", wakes, ended)
			for n := range 3 {
				key := s.Insert(t, n, record.Fields{"email": fmt.Sprintf("%d@example.com", n)})
				for !seen[key] {
					wait("a new record", wakes, ended)
					read()
				}
			}
			s.cut() // the connection is lost
			select {
			case err := <-ended:
				if err == nil || connector.Classify(err).Class != connector.Retry {
					t.Fatalf("a lost connection gave %v", err)
				}
			case <-time.After(time.Minute):
				t.Fatal("a lost connection is not noticed")
			}
			key := s.Insert(t, 9, record.Fields{"email": "meanwhile@example.com"})
			wakes, ended, stop = watch()
			defer stop()
			wait("its second beginning", wakes, ended)
			if read(); !seen[key] {
				t.Error("what happened while nobody listened was not read")
			}
			stop()
			if err := <-ended; err != nil {
				t.Errorf("watching ended with %v", err)
			}
		})
	}
}

// What the endpoint does not take, or who it does not let listen, is said as what it is, without the credentials.
func TestSubscriptionRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t, real())
	sys := open(t, s, settings(s, everybody+"  subscription: {query: \"subscription { nothing }\"}\n"))
	err := sys.(connector.Watcher).Watch(t.Context(), []record.Object{"people"}, func(record.Object) {})
	if e := connector.Classify(err); err == nil || e.Code != "graphql.subscription_refused" || e.Class != connector.Reject {
		t.Errorf("a subscription that is not there gave %v", err)
	}
	for _, protocol := range []string{"websocket", "sse"} {
		sys = open(t, s, settings(s, everybody+listen, "accessToken", "secret-but-wrong", "introspection", "false", "subscriptionProtocol", protocol))
		err = sys.(connector.Watcher).Watch(t.Context(), []record.Object{"people"}, func(record.Object) {})
		if e := connector.Classify(err); err == nil || e.Class != connector.Reconnect || strings.Contains(err.Error(), "secret-but-wrong") {
			t.Errorf("%s with a wrong token gave %v", protocol, err)
		}
	}
}
