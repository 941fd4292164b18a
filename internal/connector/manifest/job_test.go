// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// bulk is a vendor's upload jobs: made, filled, closed, asked about, and their results fetched part by part.
type bulk struct {
	t       *testing.T
	rows    []map[string]string // of the upload
	calls   []string
	polls   int
	state   string // what the job comes to; "" is complete
	lines   bool   // JSON Lines at another address instead of CSV
	leaked  bool
	refuse  string // the upload of a record with this name fails
	skipped string // and this one is not carried out by the job
	held    map[string]string
}

func (b *bulk) serve(r *http.Request) (int, string, http.Header) {
	path := r.URL.Path
	if r.URL.Host == "store.example" && r.Header.Get("Authorization") != "" {
		b.leaked = true
	}
	if r.Method != http.MethodGet || strings.HasPrefix(path, "/jobs/7/") {
		b.calls = append(b.calls, r.Method+" "+r.URL.Host+r.URL.RequestURI())
	}
	result := func(ok bool) (out []map[string]string) {
		for _, row := range b.rows {
			if row["name"] == b.skipped || (row["name"] == b.refuse) == ok {
				continue
			}
			one := map[string]string{"name": row["name"]}
			if ok {
				one["sf__Id"] = "id-" + row["name"]
				b.held[row["name"]] = one["sf__Id"]
			} else {
				one["sf__Error"] = "BAD:no good"
			}
			out = append(out, one)
		}
		return out
	}
	switch {
	case path == "/search":
		if id, there := b.held[r.URL.Query().Get("name")]; there {
			return 200, fmt.Sprintf(`[{"id": %q, "name": %q}]`, id, r.URL.Query().Get("name")), nil
		}
		return 200, `[]`, nil
	case path == "/jobs" && b.lines:
		return 200, `{"url": "https://store.example/put/abc"}`, nil
	case path == "/jobs":
		return 200, `{"id": "7"}`, nil
	case r.Method == http.MethodPut && b.lines:
		for _, line := range strings.Split(strings.TrimSpace(read(r)), "\n") {
			row := map[string]string{}
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				b.t.Errorf("%q: %v", line, err)
			}
			b.rows = append(b.rows, row)
		}
		return 200, ``, nil
	case r.Method == http.MethodPut:
		all, err := csv.NewReader(r.Body).ReadAll()
		if err != nil {
			b.t.Error(err)
		}
		for _, line := range all[1:] {
			row := map[string]string{}
			for i, name := range all[0] {
				row[name] = line[i]
			}
			b.rows = append(b.rows, row)
		}
		return 201, ``, nil
	case path == "/start":
		return 200, `{"job": {"id": "7"}}`, nil
	case r.Method == http.MethodPatch:
		return 200, `{}`, nil
	case path == "/jobs/7":
		if b.polls++; b.polls < 3 {
			return 200, `{"state": "InProgress"}`, nil
		}
		if b.state != "" {
			return 200, `{"state": "` + b.state + `"}`, nil
		}
		return 200, `{"state": "JobComplete", "results": "https://store.example/results/xyz"}`, nil
	case path == "/results/xyz":
		var out []string
		for _, one := range append(result(true), result(false)...) {
			line, _ := json.Marshal(one)
			out = append(out, string(line))
		}
		return 200, strings.Join(out, "\n"), nil
	case path == "/jobs/7/ok" && r.URL.Query().Get("locator") == "":
		return 200, table(result(true)[:2], "sf__Id"), http.Header{"Locator": {"p2"}}
	case path == "/jobs/7/ok":
		return 200, table(result(true)[2:], "sf__Id"), http.Header{"Locator": {"null"}}
	case path == "/jobs/7/failed":
		return 200, table(result(false), "sf__Error"), nil
	case path == "/jobs/7/unprocessed":
		return 200, "name\n" + b.skipped + "\n", nil
	case r.Method == http.MethodPost:
		one := map[string]string{}
		_ = json.Unmarshal([]byte(read(r)), &one)
		if one["name"] == b.refuse {
			return 400, `{"message": "no good"}`, nil
		}
		b.held[one["name"]] = "single-" + one["name"]
		return 200, `{"id": "single-` + one["name"] + `"}`, nil
	}
	return 404, `{}`, nil
}

func table(rows []map[string]string, second string) string {
	out := "name," + second + "\n"
	for _, r := range rows {
		out += r["name"] + "," + r[second] + "\n"
	}
	return out
}

const jobHead = `    identity: [name]
    find: {one: true, fields: [name], request: {path: /search, query: {name: "{value}"}}}
    create:
      request: {method: POST, path: /things, body: "{fields}"}
      key: id
      batch:
        size: 100
        by: fields
        key: sf__Id
        message: sf__Error
`

const csvJob = jobHead + `        request: {method: POST, path: /jobs, body: {object: "{native}", operation: insert}}
        job:
          id: id
          steps:
            - {request: {method: PUT, path: "/jobs/{job}/batches", encoding: csv, body: [{$each: items, $merge: "{fields}"}]}}
            - {request: {method: PATCH, path: "/jobs/{job}", body: {state: UploadComplete}}}
          poll: {path: "/jobs/{job}"}
          state: state
          done: [JobComplete]
          failed: [Failed]
          parts:
            - {are: done, request: {path: "/jobs/{job}/ok", query: {locator: "{token}"}, answer: csv}, paging: {style: cursor, next: "header:Locator"}}
            - {are: failed, request: {path: "/jobs/{job}/failed", answer: csv}}
            - {are: undone, request: {path: "/jobs/{job}/unprocessed", answer: csv}}
`

const linesJob = jobHead + `        ok: {path: sf__Id, exists: true}
        request: {method: POST, path: /jobs}
        job:
          take: {url: url}
          steps:
            - {request: {method: PUT, path: "{taken.url|raw}", bare: true, encoding: jsonl, body: [{$each: items, $merge: "{fields}"}]}}
            - {request: {method: POST, path: /start, body: {from: "{taken.url}"}}, take: {job: job.id}}
          poll: {path: "/jobs/{job}"}
          state: state
          done: [JobComplete]
          failed: [Failed]
          takeDone: {results: results}
          parts: [{request: {path: "{taken.results|raw}", bare: true, answer: jsonl}}]
`

// Upload jobs: results of creations in pages and parts, matched by what was sent; what failed is refused, what was left out goes alone.
func TestUploadJobs(t *testing.T) {
	for _, lines := range []bool{false, true} {
		b := &bulk{t: t, lines: lines, refuse: "c", held: map[string]string{}}
		source := csvJob
		if lines {
			source = linesJob
		} else {
			b.skipped = "e"
		}
		sys, _ := timed(t, headed+"errors: {message: [message]}\n"+thing+source, b.serve)
		var writes []connector.Write
		names := []string{"a", "b", "c", "d", "e", "f, \"g\""}
		if lines {
			names[5] = "f"
		}
		for _, n := range names {
			writes = append(writes, make1(n))
		}
		if !lines {
			writes = writes[:5]
		}
		got := writeAll(t, sys, "things", writes...)
		for i, r := range got {
			want, key := connector.Applied, "id-"+names[i]
			switch names[i] {
			case b.refuse:
				want, key = connector.Refused, ""
			case b.skipped:
				key = "single-" + names[i]
			}
			if r.Outcome != want || string(r.Key) != key {
				t.Errorf("lines %v: %s is %+v, want %s %s", lines, names[i], r, want, key)
			}
			if names[i] == b.refuse && !strings.Contains(r.Err.Error(), "no good") {
				t.Errorf("it says %v", r.Err)
			}
		}
		if b.leaked {
			t.Error("the credentials went to the address that was handed out")
		}
		if all := strings.Join(b.calls, "; "); !lines && !strings.HasPrefix(all, "POST shop.example/jobs; PUT shop.example/jobs/7/batches; PATCH shop.example/jobs/7; GET shop.example/jobs/7/ok; GET shop.example/jobs/7/ok?locator=p2; GET shop.example/jobs/7/failed; GET shop.example/jobs/7/unprocessed; POST") {
			t.Errorf("called %s", all)
		}
	}
}

// An address that an answer hands out gets the credentials only when it is the system's own.
func TestHandedOutAddress(t *testing.T) {
	b := &bulk{t: t, lines: true, held: map[string]string{}}
	sys, _ := timed(t, headed+thing+strings.Replace(linesJob, "bare: true, encoding", "encoding", 1), b.serve)
	_, err := sys.(connector.Writer).Write(t.Context(), "things", []connector.Write{{ID: record.NewEntityID(), Op: record.Upsert, Create: true, Fields: record.Fields{"name": "a"}}, {ID: record.NewEntityID(), Op: record.Upsert, Create: true, Fields: record.Fields{"name": "b"}}})
	if err == nil || b.leaked || len(b.rows) != 0 {
		t.Errorf("it went there: %v", err)
	}
}
