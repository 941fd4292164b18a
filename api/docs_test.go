// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/docs/docstest"
	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/postgres"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// example runs the worked example of a page of docs/: its yaml block is the service's document, its json blocks are what people write into
// systems, or what these then hold, and its http blocks are requests with their answers. Each block is for one step.
type example struct {
	*party
	t       *testing.T
	page    []byte
	used    map[string]int // how many of a language's blocks were
	service service.ID
	seen    map[string]string // by the beginning of an id, such as "run_", the one that an answer had last
}

// The worked examples of pages about concepts that the API shows.
func TestDocs(t *testing.T) {
	t.Parallel()
	for page, steps := range map[string]string{
		"entities-links-shadows":      "apply put ask put hold ask",
		"records-and-history":         "apply put put ask",
		"runs-and-first-sync":         "apply put hold ask",
		"deliveries-and-dead-letters": "apply put ask put hold ask",
		"scheduling":                  "apply put ask put ask settle hold ask",
		"billing":                     "ask",
		"connections":                 "ask",
		"events":                      "apply told",
	} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			e := newExample(t, page)
			for _, step := range strings.Fields(steps) {
				map[string]func(){"apply": e.apply, "put": e.put, "settle": e.settle, "hold": e.hold, "ask": e.ask, "told": e.told}[step]()
			}
			for _, lang := range []string{"yaml", "json", "http"} {
				if all := len(docstest.Blocks(e.page, lang)); e.used[lang] < all && page != "connections" { // its documents are parts of one
					t.Errorf("the page has %d blocks of %s, and %d were run", all, lang, e.used[lang])
				}
			}
		})
	}
}

func newExample(t *testing.T, page string) *example {
	text, err := os.ReadFile("../docs/" + page + ".md")
	if err != nil {
		t.Fatal(err)
	}
	var w *world
	if page == "connections" { // which is about the settings that the real one has
		w = newWorldOf(t, nil, postgres.New())
	} else {
		w = newWorldOf(t, []string{"postgresql", "mysql"})
	}
	return &example{party: w.newParty("docs"), t: t, page: text, used: map[string]int{}, seen: map[string]string{}}
}

// next is the page's next block in the language.
func (e *example) next(lang string) string {
	e.t.Helper()
	all := docstest.Blocks(e.page, lang)
	n := e.used[lang]
	if n >= len(all) {
		e.t.Fatalf("the page has no block %d of %s", n+1, lang)
	}
	e.used[lang]++
	return all[n]
}

// apply makes connections of the document's systems, and the service.
func (e *example) apply() {
	e.t.Helper()
	document := e.next("yaml")
	for _, m := range regexp.MustCompile(`id: (\w+), type: (\w+)`).FindAllStringSubmatch(document, -1) {
		_, err := e.deps.Connections.Create(context.Background(), e.owner(), connection.New{Name: m[1], Connector: m[2], Settings: connector.Settings{"token": "of nobody"}})
		e.must(err)
		e.systems[m[1]] = e.systems[m[2]]
	}
	e.service = e.party.apply(document).Service.ID
}

func (e *example) recordsOf(block string) map[string][]record.Fields {
	e.t.Helper()
	var out map[string][]record.Fields
	if err := json.Unmarshal([]byte(block), &out); err != nil {
		e.t.Fatalf("%v\n%s", err, block)
	}
	return out
}

// put has people write records into systems, and carries the service until nothing is left to do, unless it is paused.
func (e *example) put() {
	e.t.Helper()
	for system, list := range e.recordsOf(e.next("json")) {
		for _, r := range list {
			e.systems[system].User("products").Put(record.Key(record.Text(r["sku"])), r)
		}
	}
	e.settle()
}

// settle has everything read, unless a run waits anyway, and carries the service until nothing is owed.
func (e *example) settle() {
	e.t.Helper()
	if e.number(`SELECT count(*) FROM services WHERE state = 'active'`) == 0 {
		return
	}
	if e.number(`SELECT count(*) FROM runs WHERE state IN ('queued', 'running')`) == 0 {
		_, _, err := e.deps.Services.RunNow(context.Background(), e.owner(), e.service.Public())
		e.must(err)
	}
	e.carry(e.service, func() { e.eventually("all to be read and written", func() bool { return e.quiet(e.service) }) })
}

// hold requires the systems named to hold these records, and no others.
func (e *example) hold() {
	e.t.Helper()
	for system, list := range e.recordsOf(e.next("json")) {
		all := e.systems[system].User("products").All()
		if len(all) != len(list) {
			e.t.Errorf("%s holds %d records, the page says %d", system, len(all), len(list))
		}
		for _, r := range list {
			for f, v := range r {
				if got := all[record.Key(record.Text(r["sku"]))][f]; !record.Equal(got, v) {
					e.t.Errorf("%s holds %s %v of %v, the page says %v", system, f, got, r["sku"], v)
				}
			}
		}
	}
}

// ask sends the requests of a block. An answer must have what the page shows of it; "..." ends a text of which the rest is not told, and an
// id that begins so in a request is the one that an answer had.
func (e *example) ask() {
	e.t.Helper()
	parts := strings.Split(strings.TrimSpace(e.next("http")), "\n\n")
	if len(parts)%2 != 0 {
		e.t.Fatalf("a request of the page has no answer: %s", parts[len(parts)-1])
	}
	for pair := range slices.Chunk(parts, 2) {
		head, answer, _ := strings.Cut(pair[1], "\n")
		got := e.do(e.request(pair[0]))
		if want := strings.TrimSpace(head); fmt.Sprint(got.status) != want {
			e.t.Fatalf("%s\nis answered %d, the page says %s: %s", pair[0], got.status, want, got.body)
		}
		if answer != "" {
			e.compare(pair[0], got.body, []byte(answer))
		}
	}
}

var (
	shortened  = regexp.MustCompile(`\b[a-z]+_\.\.\.`)
	headerLine = regexp.MustCompile(`^([A-Z][A-Za-z-]+): (.+)`)
)

func (e *example) request(text string) call {
	text = shortened.ReplaceAllStringFunc(text, func(id string) string { return e.seen[strings.TrimSuffix(id, "...")] })
	first, rest, _ := strings.Cut(text, "\n")
	method, path, _ := strings.Cut(first, " ")
	c := e.as(method, path, "")
	for line := range strings.Lines(rest) {
		if m := headerLine.FindStringSubmatch(line); m != nil && c.body == "" {
			c.header = append(c.header, m[1], m[2])
		} else {
			c.body += line
		}
	}
	return c
}

func (e *example) compare(what string, got, want []byte) {
	e.t.Helper()
	var is, says any
	for _, side := range []struct {
		text []byte
		into *any
	}{{got, &is}, {want, &says}} {
		d := json.NewDecoder(bytes.NewReader(side.text))
		d.UseNumber()
		if err := d.Decode(side.into); err != nil {
			e.t.Fatalf("%s: %v\n%s", what, err, side.text)
		}
	}
	e.differs(what, is, says)
	if e.t.Failed() {
		e.t.Logf("the whole answer: %s", got)
	}
}

// differs tells of what the page shows and the answer does not have.
func (e *example) differs(at string, is, says any) {
	e.t.Helper()
	switch says := says.(type) {
	case map[string]any:
		has, _ := is.(map[string]any)
		for k, v := range says {
			if _, there := has[k]; !there {
				e.t.Errorf("%s: there is no %s", at, k)
			}
			e.differs(at+" "+k, has[k], v)
		}
	case []any:
		has, _ := is.([]any)
		if len(has) != len(says) {
			e.t.Errorf("%s: %d of them, the page says %d", at, len(has), len(says))
			return
		}
		for i := range says {
			e.differs(fmt.Sprint(at, " ", i), has[i], says[i])
		}
	default:
		text, _ := says.(string)
		if begin, open := strings.CutSuffix(text, "..."); open {
			if has, _ := is.(string); strings.HasPrefix(has, begin) {
				e.seen[begin] = has
				return
			}
		}
		if is != says {
			e.t.Errorf("%s: %v, the page says %v", at, is, says)
		}
	}
}

// told requires the event that the page shows, as it shows it, of the stream that it opens.
func (e *example) told() {
	e.t.Helper()
	_, address, found := strings.Cut(docstest.Blocks(e.page, "sh")[0], "$SYNCLINE_URL")
	if !found {
		e.t.Fatal("the page opens no stream")
	}
	stream := e.follow(e.as("GET", strings.TrimSuffix(strings.TrimSpace(address), `"`), ""))
	stream.began()
	e.settle()
	shown := e.next("text")
	_, typ, _ := strings.Cut(shown, "event: ")
	typ, _, _ = strings.Cut(typ, "\n")
	_, data, _ := strings.Cut(shown, "data: ")
	got, err := json.Marshal(stream.next(typ).data)
	e.must(err)
	var says map[string]any
	if err := json.Unmarshal([]byte(data), &says); err != nil {
		e.t.Fatal(err)
	}
	var is map[string]any
	e.must(json.Unmarshal(got, &is))
	for _, own := range []string{"id", "time"} { // of each event
		if is[own] == nil || says[own] == nil {
			e.t.Errorf("%s is %v, the page says %v", own, is[own], says[own])
		}
		delete(is, own)
		delete(says, own)
	}
	e.differs(typ, is, says)
}
