// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Values in each form that vendors write them in: read, and written back in the same form.
func TestForms(t *testing.T) {
	const doc = `{"version":1,"type":"doc","content":[{"type":"paragraph","content":[{"type":"text","text":"Hello"},{"type":"hardBreak"},{"type":"text","text":"you","marks":[{"type":"strong"}]}]},{"type":"bulletList","content":[{"type":"listItem","content":[{"type":"paragraph","content":[{"type":"text","text":"one"}]},{"type":"orderedList","content":[{"type":"listItem","content":[{"type":"paragraph","content":[{"type":"text","text":"in"}]}]}]}]}]},{"type":"rule"},{"type":"paragraph","content":[{"type":"mention","attrs":{"id":"1","text":"@Ada"}},{"type":"text","text":" "},{"type":"inlineCard","attrs":{"url":"https://x.example"}}]}]}`
	const docBack = `{"content":[{"content":[{"text":"a","type":"text"}],"type":"paragraph"},{"type":"paragraph"},{"content":[{"text":"- b","type":"text"}],"type":"paragraph"}],"type":"doc","version":1}`
	tests := []struct {
		name, field, wire string
		want              record.Value
		set               record.Value // "": what was read
		sent              string       // "": as it came
	}{
		{"OData date", `type: timestamp, codec: msDate`, `{"v":"/Date(1398902400123)/"}`, "2014-05-01T00:00:00.123Z", "", ""},
		{"OData date with offset", `type: timestamp, codec: msDate`, `{"v":"/Date(1398902400000+0060)/"}`, "2014-05-01T00:00:00Z", "", `{"v":"/Date(1398902400000)/"}`},
		{"OData day", `type: date, codec: msDate`, `{"v":"/Date(-86400000)/"}`, "1969-12-31", "", ""},
		{"serial day", `type: date, codec: serialDate`, `{"v":45292}`, "2024-01-01", "", ""},
		{"serial time", `type: timestamp, codec: serialDate, zone: "Europe/Berlin"`, `{"v":45292.75}`, "2024-01-01T17:00:00Z", "", ""},
		{"serial datetime", `type: datetime, codec: serialDate`, `{"v":45292.5}`, "2024-01-01T12:00:00", "", ""},
		{"a form of its own", `type: timestamp, format: "dd.MM.yyyy HH:mm", zone: "{settings.zone}"`, `{"v":"01.07.2026 14:30"}`, "2026-07-01T14:30:00Z", "", ""},
		{"a form with a zone", `type: timestamp, format: "dd.MM.yyyy HH:mm", zone: "Europe/Berlin"`, `{"v":"01.07.2026 14:30"}`, "2026-07-01T12:30:00Z", "", ""},
		{"a form for days", `type: date, format: "MM/dd/yyyy"`, `{"v":"07/01/2026"}`, "2026-07-01", "2026-12-24", `{"v":"12/24/2026"}`},
		{"a zone and no offset", `type: timestamp, zone: "America/New_York"`, `{"v":"2026-07-01T08:00:00"}`, "2026-07-01T12:00:00Z", "", ""},
		{"a zone and an offset", `type: timestamp, zone: "America/New_York"`, `{"v":"2026-07-01T08:00:00Z"}`, "2026-07-01T08:00:00Z", "2026-07-01T16:00:00Z", `{"v":"2026-07-01T12:00:00"}`},
		{"date and time apart", `type: timestamp, timeAt: t`, `{"t":"14:30:15","v":"2026-07-01"}`, "2026-07-01T14:30:15Z", "2026-07-02T00:00:01Z", `{"t":"00:00:01","v":"2026-07-02"}`},
		{"OData date and time apart", `type: timestamp, codec: msDate, timeAt: t, zone: "Europe/Berlin"`, `{"t":"PT01H30M00S","v":"/Date(1782864000000)/"}`, "2026-06-30T23:30:00Z", "", ""},
		{"epoch days", `type: date, codec: epoch`, `{"v":1782864000}`, "2026-07-01", "", ""},
		{"document", `codec: document`, `{"v":` + doc + `}`, "Hello\nyou\n- one\n  1. in\n---\n@Ada https://x.example", "a\n\n- b", `{"v":` + docBack + `}`},
		{"cleared by a word", `clear: "-"`, `{"v":"-"}`, nil, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			held, sent := test.wire, ""
			sys, _ := timed(t, headed+`objects:
  things:
    key: [id]
    fields: [{name: id, outside: true, readOnly: true}, {name: v, `+test.field+`}]
    fieldsAt: f
    list: {request: {path: /things}, paging: {style: none}}
    deletes: {mode: never}
    get: {request: {path: "/things/{key}"}}
    create: {request: {method: POST, path: /things, body: "{fields}"}, key: id}
`, func(r *http.Request) (int, string, http.Header) {
				if r.Method == http.MethodPost {
					sent = read(r)
					return 200, `{"id": "2"}`, nil
				}
				return 200, `{"id": "1", "f": ` + held + `}`, nil
			})
			got, err := sys.(connector.KeyReader).ReadKeys(t.Context(), "things", nil, []record.Key{"1"})
			if err != nil || !record.Equal(got[0].Fields["v"], test.want) {
				t.Fatalf("read %v, want %v (%v)", got, test.want, err)
			}
			set := test.set
			if set == "" {
				set = got[0].Fields["v"]
			}
			receipts, err := sys.(connector.Writer).Write(t.Context(), "things", []connector.Write{{ID: record.NewEntityID(), Op: record.Upsert, Create: true, Fields: record.Fields{"v": set}}})
			if err != nil || receipts[0].Outcome != connector.Applied || receipts[0].Stored != nil {
				t.Fatalf("%+v, %v", receipts, err)
			}
			want := test.sent
			if want == "" {
				want = test.wire
			}
			var a, b any
			if json.Unmarshal([]byte(sent), &a) != nil || json.Unmarshal([]byte(want), &b) != nil || !reflect.DeepEqual(a, b) {
				t.Errorf("sent %s, want %s", sent, want)
			}
		})
	}
}

// What a vendor replaces whole has no place for cleared fields.
func TestClearedByLeavingOut(t *testing.T) {
	sent := ""
	sys, _ := timed(t, headed+`objects:
  things:
    key: [id]
    empty: omit
    fields: [{name: id, readOnly: true}, {name: a}, {name: b}]
    list: {request: {path: /things}, paging: {style: none}}
    deletes: {mode: never}
    get: {request: {path: "/things/{key}"}}
    update: {semantics: replace, request: {method: PUT, path: "/things/{key}", body: "{record}"}}
`, func(r *http.Request) (int, string, http.Header) {
		if r.Method == http.MethodPut {
			sent = read(r)
		}
		return 200, `{"id": "1", "a": "x", "b": "y"}`, nil
	})
	got, err := sys.(connector.Writer).Write(t.Context(), "things", []connector.Write{{ID: record.NewEntityID(), Op: record.Upsert, Key: "1", Fields: record.Fields{"a": nil}}})
	if err != nil || got[0].Outcome != connector.Applied || sent != `{"b":"y"}` {
		t.Errorf("sent %s: %+v, %v", sent, got, err)
	}
}

func read(r *http.Request) string {
	b, _ := io.ReadAll(r.Body)
	return string(b)
}
