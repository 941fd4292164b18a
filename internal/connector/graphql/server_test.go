// SPDX-License-Identifier: Apache-2.0

package graphql_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/graphql-go/graphql"
	"github.com/graphql-go/graphql/language/ast"

	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/record"
)

// person is a record of the server.
type person struct {
	ID, Email, FirstName string
	Phone                *string
	Score                *int
	Tags                 []string
	Street               string
	UpdatedAt            time.Time
	DeletedAt            *time.Time
}

// server is an endpoint that executes what it is sent, by a library that follows the specification.
type server struct {
	*httptest.Server
	schema graphql.Schema
	clock  *sandbox.Clock
	token  string

	mu       sync.Mutex
	people   []*person
	next     int
	frozen   *time.Time
	throttle int
	fail     int
	lose     bool
	damaged  bool // a node of the list cannot be had
	silent   bool // introspection is forbidden
	tells    map[chan string]bool
	lost     chan struct{} // ends all open streams
	opened   int           // streams that were opened
	arrived  chan struct{} // something was answered
	bodies   []string
}

// coded is an error with a code.
type coded struct{ code, message string }

func (e coded) Error() string                      { return e.message }
func (e coded) Extensions() map[string]interface{} { return map[string]interface{}{"code": e.code} }

func newServer(t *testing.T, clock *sandbox.Clock) *server {
	t.Helper()
	s := &server{clock: clock, token: "good-token", tells: map[chan string]bool{}, arrived: make(chan struct{}), lost: make(chan struct{})}
	str := func(f func(*person) any) graphql.FieldResolveFn {
		return func(p graphql.ResolveParams) (any, error) { return f(p.Source.(*person)), nil }
	}
	instant := graphql.NewScalar(graphql.ScalarConfig{Name: "Instant", Serialize: func(v any) any {
		switch t := v.(type) {
		case time.Time:
			return t.UTC().Format(time.RFC3339Nano)
		case *time.Time:
			if t != nil {
				return t.UTC().Format(time.RFC3339Nano)
			}
		}
		return nil
	}, ParseValue: func(any) any { return nil }, ParseLiteral: func(ast.Value) any { return nil }})
	address := graphql.NewObject(graphql.ObjectConfig{Name: "Address", Fields: graphql.Fields{"street": &graphql.Field{Type: graphql.String, Resolve: func(p graphql.ResolveParams) (any, error) { return p.Source, nil }}}})
	personType := graphql.NewObject(graphql.ObjectConfig{Name: "Person", Fields: graphql.Fields{
		"id":        &graphql.Field{Type: graphql.NewNonNull(graphql.ID), Resolve: str(func(p *person) any { return p.ID })},
		"email":     &graphql.Field{Type: graphql.NewNonNull(graphql.String), Resolve: str(func(p *person) any { return p.Email })},
		"firstName": &graphql.Field{Type: graphql.String, Resolve: str(func(p *person) any { return p.FirstName })},
		"phone":     &graphql.Field{Type: graphql.String, Resolve: str(func(p *person) any { return p.Phone })},
		"score":     &graphql.Field{Type: graphql.Int, Resolve: str(func(p *person) any { return p.Score })},
		"tags":      &graphql.Field{Type: graphql.NewNonNull(graphql.NewList(graphql.NewNonNull(graphql.String))), Resolve: str(func(p *person) any { return p.Tags })},
		"address":   &graphql.Field{Type: address, Resolve: str(func(p *person) any { return p.Street })},
		"updatedAt": &graphql.Field{Type: graphql.NewNonNull(instant), Resolve: str(func(p *person) any { return p.UpdatedAt })},
		"deletedAt": &graphql.Field{Type: instant, Resolve: str(func(p *person) any { return p.DeletedAt })},
		"greeting": &graphql.Field{Type: graphql.String, Args: graphql.FieldConfigArgument{"word": {Type: graphql.NewNonNull(graphql.String)}},
			Resolve: str(func(p *person) any { return "hello " + p.FirstName })},
	}})
	info := graphql.NewObject(graphql.ObjectConfig{Name: "PageInfo", Fields: graphql.Fields{"hasNextPage": &graphql.Field{Type: graphql.NewNonNull(graphql.Boolean)}, "endCursor": &graphql.Field{Type: graphql.String}}})
	edge := graphql.NewObject(graphql.ObjectConfig{Name: "PersonEdge", Fields: graphql.Fields{"cursor": &graphql.Field{Type: graphql.String}, "node": &graphql.Field{Type: personType, Resolve: func(p graphql.ResolveParams) (any, error) {
		e := p.Source.(map[string]any)
		if s.damaged && e["last"] == true {
			return nil, errors.New("the shard is away")
		}
		return e["node"], nil
	}}}})
	connection := graphql.NewObject(graphql.ObjectConfig{Name: "PersonConnection", Fields: graphql.Fields{
		"edges": &graphql.Field{Type: graphql.NewList(edge)}, "nodes": &graphql.Field{Type: graphql.NewList(personType)}, "pageInfo": &graphql.Field{Type: graphql.NewNonNull(info)}}})
	input := graphql.NewInputObject(graphql.InputObjectConfig{Name: "PersonInput", Fields: graphql.InputObjectConfigFieldMap{
		"email": {Type: graphql.String}, "firstName": {Type: graphql.String}, "phone": {Type: graphql.String}, "score": {Type: graphql.Int}, "tags": {Type: graphql.NewList(graphql.String)}}})
	userError := graphql.NewObject(graphql.ObjectConfig{Name: "UserError", Fields: graphql.Fields{"message": &graphql.Field{Type: graphql.String}, "code": &graphql.Field{Type: graphql.String}}})
	payload := graphql.NewObject(graphql.ObjectConfig{Name: "PersonPayload", Fields: graphql.Fields{"person": &graphql.Field{Type: personType}, "userErrors": &graphql.Field{Type: graphql.NewList(userError)}}})
	said := func(code, message string) map[string]any {
		return map[string]any{"userErrors": []any{map[string]any{"code": code, "message": message}}}
	}
	query := graphql.NewObject(graphql.ObjectConfig{Name: "Query", Fields: graphql.Fields{
		"people": &graphql.Field{Type: connection, Args: graphql.FieldConfigArgument{"first": {Type: graphql.Int}, "after": {Type: graphql.String}, "since": {Type: graphql.String}}, Resolve: func(p graphql.ResolveParams) (any, error) {
			list := s.listed(p.Args["since"])
			from := 0
			if after, ok := p.Args["after"].(string); ok && p.Args["since"] == nil { // by the record, so that what comes and goes moves nothing
				n, _ := strconv.Atoi(after)
				for from < len(list) && number(list[from].ID) <= n {
					from++
				}
			} else if ok {
				from, _ = strconv.Atoi(after)
			}
			end := min(from+p.Args["first"].(int), len(list))
			from = min(from, end)
			edges, nodes := []any{}, []any{}
			for i, one := range list[from:end] {
				edges, nodes = append(edges, map[string]any{"node": one, "last": from+i == end-1}), append(nodes, one)
			}
			cursor := strconv.Itoa(end)
			if p.Args["since"] == nil && end > 0 {
				cursor = strings.TrimPrefix(list[end-1].ID, "p")
			}
			return map[string]any{"edges": edges, "nodes": nodes, "pageInfo": map[string]any{"hasNextPage": end < len(list), "endCursor": cursor}}, nil
		}},
		"everybody": &graphql.Field{Type: graphql.NewList(personType), Args: graphql.FieldConfigArgument{"limit": {Type: graphql.Int}, "offset": {Type: graphql.Int}}, Resolve: func(p graphql.ResolveParams) (any, error) {
			list := s.listed(nil)
			from := min(p.Args["offset"].(int), len(list))
			return list[from:min(from+p.Args["limit"].(int), len(list))], nil
		}},
		"person": &graphql.Field{Type: personType, Args: graphql.FieldConfigArgument{"id": {Type: graphql.NewNonNull(graphql.ID)}}, Resolve: func(p graphql.ResolveParams) (any, error) {
			if one := s.find(p.Args["id"].(string)); one != nil {
				return one, nil
			}
			return nil, nil
		}},
		"byEmail": &graphql.Field{Type: graphql.NewList(personType), Args: graphql.FieldConfigArgument{"email": {Type: graphql.String}}, Resolve: func(p graphql.ResolveParams) (any, error) {
			var out []*person
			for _, one := range s.listed(nil) {
				if one.Email == p.Args["email"] {
					out = append(out, one)
				}
			}
			return out, nil
		}},
	}})
	mutation := graphql.NewObject(graphql.ObjectConfig{Name: "Mutation", Fields: graphql.Fields{
		"createPerson": &graphql.Field{Type: payload, Args: graphql.FieldConfigArgument{"input": {Type: graphql.NewNonNull(input)}}, Resolve: func(p graphql.ResolveParams) (any, error) {
			in := given(p)
			email, _ := in["email"].(string)
			if !strings.Contains(email, "@") {
				return said("INVALID", "email is not an address"), nil
			}
			for _, one := range s.listed(nil) {
				if one.Email == email {
					return said("TAKEN", "email has already been taken"), nil
				}
			}
			return map[string]any{"person": s.set(nil, in)}, nil
		}},
		"updatePerson": &graphql.Field{Type: payload, Args: graphql.FieldConfigArgument{"id": {Type: graphql.NewNonNull(graphql.ID)}, "input": {Type: graphql.NewNonNull(input)}}, Resolve: func(p graphql.ResolveParams) (any, error) {
			one := s.find(p.Args["id"].(string))
			if one == nil {
				return nil, coded{"NOT_FOUND", "no such person"}
			}
			in := given(p)
			if email, ok := in["email"].(string); ok && !strings.Contains(email, "@") {
				return nil, coded{"BAD_USER_INPUT", "email is not an address"}
			}
			return map[string]any{"person": s.set(one, in)}, nil
		}},
		"deletePerson": &graphql.Field{Type: graphql.ID, Args: graphql.FieldConfigArgument{"id": {Type: graphql.NewNonNull(graphql.ID)}}, Resolve: func(p graphql.ResolveParams) (any, error) {
			one := s.find(p.Args["id"].(string))
			if one == nil {
				return nil, coded{"NOT_FOUND", "no such person"}
			}
			s.remove(one)
			return one.ID, nil
		}},
	}})
	subscriptions := graphql.NewObject(graphql.ObjectConfig{Name: "Subscription", Fields: graphql.Fields{"personChanged": &graphql.Field{Type: graphql.ID, Resolve: func(p graphql.ResolveParams) (any, error) { return p.Source, nil },
		Subscribe: func(p graphql.ResolveParams) (any, error) {
			in, out := make(chan string, 1000), make(chan any)
			s.mu.Lock()
			s.tells[in] = true
			s.opened++
			s.mu.Unlock()
			go func() {
				defer close(out)
				for {
					select {
					case <-p.Context.Done():
						s.mu.Lock()
						delete(s.tells, in)
						s.mu.Unlock()
						return
					case id := <-in:
						select {
						case out <- id:
						case <-p.Context.Done():
						}
					}
				}
			}()
			return out, nil
		}}}})
	var err error
	if s.schema, err = graphql.NewSchema(graphql.SchemaConfig{Query: query, Mutation: mutation, Subscription: subscriptions}); err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.cut()
		s.Close()
	})
	return s
}

// given is the input of a mutation with its nulls, which the library leaves out of what it hands on.
func given(p graphql.ResolveParams) map[string]any {
	in := p.Args["input"].(map[string]any)
	sent, _ := p.Context.Value(variables{}).(map[string]any)
	for _, v := range sent {
		fields, _ := v.(map[string]any)
		for name, value := range fields {
			if value == nil {
				in[name] = nil
			}
		}
	}
	return in
}

// variables is what a request's variables are kept under.
type variables struct{}

func number(id string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(id, "p"))
	return n
}

// All of the following is called with the lock held.

func (s *server) now() time.Time {
	if s.frozen != nil {
		return *s.frozen
	}
	return s.clock.Now()
}

func (s *server) listed(since any) (out []*person) {
	at, _ := time.Parse(time.RFC3339Nano, fmt.Sprint(since))
	for _, p := range s.people {
		if since == nil && p.DeletedAt == nil || since != nil && !p.UpdatedAt.Before(at) {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b *person) int {
		if since != nil && !a.UpdatedAt.Equal(b.UpdatedAt) {
			return a.UpdatedAt.Compare(b.UpdatedAt)
		}
		return number(a.ID) - number(b.ID)
	})
	return out
}

func (s *server) find(id string) *person {
	for _, p := range s.people {
		if p.ID == id && p.DeletedAt == nil {
			return p
		}
	}
	return nil
}

func (s *server) set(p *person, in map[string]any) *person {
	if p == nil {
		s.next++
		p = &person{ID: fmt.Sprintf("p%d", s.next), Tags: []string{}, Street: "Elm Street"}
		s.people = append(s.people, p)
	}
	for k, v := range in {
		text, _ := v.(string)
		switch k {
		case "email":
			p.Email = text
		case "firstName":
			p.FirstName = text
		case "phone":
			if p.Phone = nil; v != nil {
				p.Phone = &text
			}
		case "score":
			p.Score = nil
			if n, ok := v.(int); ok {
				p.Score = &n
			}
		}
	}
	p.UpdatedAt = s.now()
	s.tell(p.ID)
	return p
}

func (s *server) remove(p *person) {
	at := s.now()
	p.DeletedAt, p.UpdatedAt = &at, at
	s.tell(p.ID)
}

func (s *server) tell(id string) {
	for c := range s.tells {
		c <- id
	}
}

// Until here.

// cut ends all open streams.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.lost)
	s.lost = make(chan struct{})
}

type asked struct {
	Query     string         `json:"query"`
	Variables map[string]any `json:"variables"`
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+s.token {
		http.Error(w, `{"errors":[{"message":"who are you?","extensions":{"code":"UNAUTHENTICATED"}}]}`, http.StatusUnauthorized)
		return
	}
	if r.Header.Get("Upgrade") != "" {
		s.socket(w, r)
		return
	}
	raw, _ := io.ReadAll(r.Body)
	var q asked
	if json.Unmarshal(raw, &q) != nil {
		http.Error(w, "no query", http.StatusBadRequest)
		return
	}
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		s.events(w, r, q)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies = append(s.bodies, string(raw))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Date", s.clock.Now().UTC().Format(http.TimeFormat))
	say := func(code string) {
		_, _ = fmt.Fprintf(w, `{"data":null,"errors":[{"message":"not now","extensions":{"code":%q}}]}`, code)
	}
	switch {
	case s.throttle > 0:
		s.throttle--
		say("THROTTLED")
		return
	case s.fail > 0:
		s.fail--
		say("INTERNAL_SERVER_ERROR")
		return
	case s.silent && strings.Contains(q.Query, "__type"):
		say("FORBIDDEN")
		return
	}
	res := graphql.Do(graphql.Params{Schema: s.schema, RequestString: q.Query, VariableValues: q.Variables, Context: context.WithValue(r.Context(), variables{}, q.Variables)})
	if s.lose && strings.Contains(q.Query, "mutation") {
		s.lose = false
		s.mu.Unlock() // what is sent beside it is carried out, too
		select {
		case <-s.arrived:
		case <-time.After(300 * time.Millisecond):
		}
		s.mu.Lock()
		panic(http.ErrAbortHandler)
	}
	_ = json.NewEncoder(w).Encode(res)
	select {
	case s.arrived <- struct{}{}:
	default:
	}
}

// socket speaks graphql-transport-ws.
func (s *server) socket(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	s.mu.Lock()
	lost := s.lost
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-lost:
			_ = c.CloseNow()
		case <-ctx.Done():
		}
	}()
	var writing sync.Mutex
	say := func(v any) {
		writing.Lock()
		defer writing.Unlock()
		b, _ := json.Marshal(v)
		_ = c.Write(ctx, websocket.MessageText, b)
	}
	say(map[string]any{"type": "ping"}) // anybody may at any time
	begun := false
	for {
		_, b, err := c.Read(ctx)
		if err != nil {
			return
		}
		var f struct {
			ID, Type string
			Payload  asked
		}
		_ = json.Unmarshal(b, &f)
		switch f.Type {
		case "connection_init":
			begun = true
			say(map[string]any{"type": "connection_ack"})
		case "ping":
			say(map[string]any{"type": "pong"})
		case "subscribe":
			if !begun {
				_ = c.Close(4401, "Unauthorized")
				return
			}
			results := graphql.Subscribe(graphql.Params{Schema: s.schema, RequestString: f.Payload.Query, VariableValues: f.Payload.Variables, Context: ctx})
			if strings.Contains(f.Payload.Query, "nothing") {
				say(map[string]any{"id": f.ID, "type": "error", "payload": []any{map[string]any{"message": "Cannot query field"}}})
				continue
			}
			s.listening()
			go func() {
				for res := range results {
					say(map[string]any{"id": f.ID, "type": "next", "payload": res})
				}
			}()
		}
	}
}

// listening waits until the subscription that is under way was made.
func (s *server) listening() {
	for n := 0; n == 0; runtime.Gosched() {
		s.mu.Lock()
		n = s.opened
		s.mu.Unlock()
	}
}

// events speaks GraphQL over server-sent events.
func (s *server) events(w http.ResponseWriter, r *http.Request, q asked) {
	s.mu.Lock()
	lost, before := s.lost, s.opened
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	results := graphql.Subscribe(graphql.Params{Schema: s.schema, RequestString: q.Query, VariableValues: q.Variables, Context: ctx})
	for n := before; n == before; runtime.Gosched() {
		s.mu.Lock()
		n = s.opened
		s.mu.Unlock()
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	flush := http.NewResponseController(w)
	_, _ = fmt.Fprint(w, ":\n\n")
	_ = flush.Flush()
	for {
		select {
		case <-lost:
			panic(http.ErrAbortHandler)
		case <-ctx.Done():
			return
		case res, ok := <-results:
			if !ok {
				return
			}
			b, _ := json.Marshal(res)
			_, _ = fmt.Fprintf(w, "event: next\ndata: %s\n\n", b)
			_ = flush.Flush()
		}
	}
}

// The account behind the connector's back.

func (s *server) Insert(_ testing.TB, _ int, fields record.Fields) record.Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	return record.Key(s.set(nil, plain(fields)).ID)
}

func plain(fields record.Fields) map[string]any {
	out := map[string]any{}
	for k, v := range fields {
		if n, ok := v.(record.Number); ok {
			i, _ := strconv.Atoi(string(n))
			v = i
		}
		out[k] = v
	}
	return out
}

func (s *server) Update(_ testing.TB, key record.Key, set record.Fields) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(s.find(string(key)), plain(set))
}

func (s *server) Delete(_ testing.TB, key record.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(s.find(string(key)))
}

func (s *server) Freeze(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen = nil; on {
		at := s.clock.Now()
		s.frozen = &at
	}
}

func (s *server) Throttle(n int) { s.do(func() { s.throttle = n }) }
func (s *server) Fail(n int)     { s.do(func() { s.fail = n }) }
func (s *server) LoseWrite()     { s.do(func() { s.lose = true }) }
func (s *server) Expire()        {}

func (s *server) Live() (n int) {
	s.do(func() { n = len(s.listed(nil)) })
	return n
}

func (s *server) Elapse(d time.Duration) { s.clock.Advance(d) }

func (s *server) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}
