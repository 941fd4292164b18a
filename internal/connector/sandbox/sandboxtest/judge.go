// SPDX-License-Identifier: Apache-2.0

package sandboxtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
)

// Judge holds requests against a vendor's own API description.
type Judge struct {
	routers []routers.Router
	skip    []string

	mu         sync.Mutex
	requests   int
	operations map[string]int
	violations []string
}

// specs is where the vendors' descriptions are, beside the repository; "" when they are not there.
func specs() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			for _, up := range []string{"..", "../.."} { // a second worktree is often a folder deeper
				found := filepath.Join(dir, up, "shared", "vendors", "specs")
				if _, err := os.Stat(found); err == nil {
					return found
				}
			}
			return ""
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// NewJudge reads descriptions (paths inside the folder of a vendor). Without the folder the test says that it was not judged;
// where CI says that it must be judged, it fails. Calls whose path begins with one of skip are not in the descriptions.
func NewJudge(t *testing.T, vendor string, files []string, skip ...string) *Judge {
	t.Helper()
	dir := specs()
	if dir == "" {
		if os.Getenv("CI") != "" { //nolint:forbidigo // the one question a test asks of where it runs
			t.Fatal("not judged: the vendors' descriptions are not beside the repository")
		}
		t.Log("not judged: the vendors' descriptions are not beside the repository")
		return &Judge{skip: []string{"/"}, operations: map[string]int{}}
	}
	j := &Judge{skip: skip, operations: map[string]int{}}
	for _, f := range files {
		source, err := os.ReadFile(filepath.Join(dir, vendor, f))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := load(source)
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		r, err := gorillamux.NewRouter(doc)
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		j.routers = append(j.routers, r)
	}
	t.Cleanup(func() { j.report(t, vendor) })
	return j
}

var pathStep = regexp.MustCompile(`\{(\w+)\}`)

var unresolved = regexp.MustCompile(`fragment in URI: "#/components/(\w+)/(\w+)"`)

// lost are parameters whose definitions the published descriptions do not have; path parameters must be there for a path to be
// known.
var lost = map[string][2]string{"UserId": {"user_id", "path"}, "JobStatusId": {"job_status_id", "path"}, "OauthTokenId": {"oauth_token_id", "path"},
	"IncrementalUnixTime": {"start_time", "query"}, "IncrementalCursor": {"cursor", "query"}, "IncrementalPage": {"per_page", "query"}}

func load(source []byte) (*openapi3.T, error) {
	text := string(source)
	var doc *openapi3.T
	for {
		var err error
		if doc, err = openapi3.NewLoader().LoadFromData([]byte(text)); err == nil {
			break
		}
		// What a published description refers to and does not have can be anything.
		m := unresolved.FindStringSubmatch(err.Error())
		if m == nil {
			return nil, err
		}
		stub := map[string]string{"schemas": "{}", "examples": "{value: 0}", "responses": "{description: any}"}[m[1]]
		if m[1] == "parameters" {
			p, ok := lost[m[2]]
			if !ok {
				p = [2]string{strings.ToLower(m[2]), "query"}
				for _, step := range pathStep.FindAllStringSubmatch(text, -1) {
					if strings.EqualFold(strings.ReplaceAll(step[1], "_", ""), m[2]) {
						p = [2]string{step[1], "path"}
					}
				}
			}
			stub = fmt.Sprintf("{name: %s, in: %s, required: %v, schema: {type: string}}", p[0], p[1], p[1] == "path")
		}
		if stub == "" {
			return nil, err
		}
		if head := "\n  " + m[1] + ":\n"; strings.Contains(text, head) {
			text = strings.Replace(text, head, head+"    "+m[2]+": "+stub+"\n", 1)
		} else {
			text = strings.Replace(text, "\ncomponents:\n", "\ncomponents:\n  "+m[1]+":\n    "+m[2]+": "+stub+"\n", 1)
		}
	}
	doc.Servers = nil
	for _, p := range doc.Paths.Map() {
		p.Servers = nil
		for _, op := range p.Operations() {
			op.Servers, op.Security = nil, nil
		}
	}
	doc.Security = nil
	return doc, nil
}

// See is for a sandbox.Server.
func (j *Judge) See(r *http.Request, body []byte) {
	for _, s := range j.skip {
		if strings.HasPrefix(r.URL.Path, s) {
			return
		}
	}
	ask := r.Clone(r.Context())
	ask.URL = &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	ask.Body = io.NopCloser(bytes.NewReader(body))
	problem := "no such operation"
	operation := r.Method + " " + r.URL.Path
	for _, router := range j.routers {
		route, params, err := router.FindRoute(ask)
		if err != nil {
			continue
		}
		operation = r.Method + " " + route.Path
		ask.Body = io.NopCloser(bytes.NewReader(body))
		problem = ""
		if err := openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{Request: ask, PathParams: params, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, MultiError: true}}); err != nil {
			problem = err.Error()
			continue
		}
		break
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.requests++
	j.operations[operation]++
	if problem != "" {
		j.violations = append(j.violations, fmt.Sprintf("%s %s: %.600s", operation, body, problem))
	}
}

func (j *Judge) report(t *testing.T, vendor string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t.Logf("%s: %d operations used, %d requests, %d violations", vendor, len(j.operations), j.requests, len(j.violations))
	for _, op := range slices.Sorted(maps.Keys(j.operations)) {
		t.Logf("  %6d %s", j.operations[op], op)
	}
	if err := card.Keep(card.Judged{Type: vendor, Run: t.Name(), Operations: j.operations, Requests: j.requests, Violations: len(j.violations)}, t.Name()); err != nil {
		t.Error(err)
	}
	if j.requests == 0 {
		t.Errorf("%s: nothing was judged", vendor)
	}
	for i, v := range j.violations {
		if i == 5 {
			break
		}
		t.Error(v)
	}
}

// Collection holds requests against a list of methods and addresses, for a vendor that publishes no more than that: a path
// whose steps in {{braces}} or with a leading colon stand for anything.
type Collection struct {
	Judge
	known map[string][]*regexp.Regexp
}

// NewCollection reads a request collection. More are requests, "METHOD /path", that its documentation has and the collection has
// not or has otherwise.
func NewCollection(t *testing.T, vendor, file string, more ...string) *Collection {
	t.Helper()
	c := &Collection{Judge: Judge{operations: map[string]int{}}, known: map[string][]*regexp.Regexp{}}
	dir := specs()
	if dir == "" {
		if os.Getenv("CI") != "" { //nolint:forbidigo // the one question a test asks of where it runs
			t.Fatal("not judged: the vendors' descriptions are not beside the repository")
		}
		t.Log("not judged: the vendors' descriptions are not beside the repository")
		c.skip = []string{"/"}
		return c
	}
	source, err := os.ReadFile(filepath.Join(dir, vendor, file))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Requests map[string]struct {
			Method string `json:"method"`
			URL    any    `json:"url"`
		} `json:"requests"`
	}
	if err := json.Unmarshal(source, &doc); err != nil {
		t.Fatal(err)
	}
	for _, r := range doc.Requests {
		if raw, ok := r.URL.(string); ok {
			c.add(r.Method, raw)
		}
	}
	for _, m := range more {
		method, address, _ := strings.Cut(m, " ")
		c.add(method, address)
	}
	t.Cleanup(func() { c.report(t, vendor) })
	return c
}

var anyStep = regexp.MustCompile(`\{\{[^}]+\}\}|:[A-Za-z_]+|<[A-Z_]+>`)

func (c *Collection) add(method, raw string) {
	address, _, _ := strings.Cut(raw, "?")
	_, address, _ = strings.Cut(address, "/services/")
	var pattern strings.Builder
	rest := "/services/" + strings.TrimRight(address, "/")
	for {
		i := anyStep.FindStringIndex(rest)
		if i == nil {
			pattern.WriteString(regexp.QuoteMeta(rest))
			break
		}
		pattern.WriteString(regexp.QuoteMeta(rest[:i[0]]) + `[^/]+`)
		rest = rest[i[1]:]
	}
	c.known[method] = append(c.known[method], regexp.MustCompile("^"+pattern.String()+"/?$"))
}

// See is for a sandbox.Server.
func (c *Collection) See(r *http.Request, body []byte) {
	for _, s := range c.skip {
		if strings.HasPrefix(r.URL.Path, s) {
			return
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	for _, p := range c.known[r.Method] {
		if p.MatchString(r.URL.Path) {
			c.operations[r.Method+" "+p.String()]++
			return
		}
	}
	c.violations = append(c.violations, fmt.Sprintf("%s %s %.200s: not in the vendor's collection", r.Method, r.URL.Path, body))
}
