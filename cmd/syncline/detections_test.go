// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/service"
)

// detectionKinds are all words of the document's changeDetection but auto.
var detectionKinds = []string{"timestamp", "hash", "database-trigger", "cdc", "webhook", "polling", "stream"}

// detections is what each connector of the program can do, best first: what auto tries in this order.
var detections = map[string]string{
	"postgresql": "database-trigger cdc timestamp hash", "mysql": "cdc timestamp hash", "mongodb": "stream hash", "dynamodb": "stream hash",
	"files": "hash", "sftp": "hash", "s3": "hash", "azure-blob": "hash", "google-cloud-storage": "hash", "dropbox": "hash", "google-drive": "hash",
	"google-sheets": "hash", "excel": "hash", "airtable": "hash",
	"kafka": "stream", "rabbitmq": "stream", "sqs": "stream", "sse": "stream", "websocket": "stream", "graphql": "stream timestamp hash polling",
	"salesforce": "webhook timestamp polling", "hubspot": "webhook timestamp polling", "zendesk": "webhook timestamp polling", "clearbit": "hash polling",
}

// Each kind of detection for each connector: what it can do is taken as said, for a single system and for the service; what it cannot is
// refused before anything is opened, with what it can do, and where another system can do it, told.
func TestDetections(t *testing.T) {
	pool := transport.NewPool()
	specs := map[string]connector.Spec{}
	for _, c := range connectors(config{FilesDir: t.TempDir()}, pool) {
		specs[c.Spec().Type] = c.Spec()
	}
	known := service.Lookups{Connector: func(typ string) (connector.Spec, bool) { s, ok := specs[typ]; return s, ok }}
	for typ := range specs {
		if _, listed := detections[typ]; !listed {
			t.Errorf("the table has no line for %s, which can %v", typ, specs[typ].Detections)
		}
	}
	check := func(document string) (errors, notices string, doc *service.Document) {
		doc, err := service.Parse([]byte(document), service.YAML)
		if err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		found := doc.Validate(known)
		said := func(list []fault.Field) (out string) {
			for _, p := range list {
				if p.Code == "service.detection_unavailable" {
					out += p.Message + " " + p.Remedy
				}
			}
			return out
		}
		return said(found.Errors), said(found.Notices), doc
	}
	for typ, listed := range detections {
		t.Run(typ, func(t *testing.T) {
			spec, there := specs[typ]
			if !there {
				t.Fatal("the program has no such connector")
			}
			if got := strings.Join(spec.Detections, " "); got != listed {
				t.Fatalf("it can %q, the table says %q", got, listed)
			}
			can := strings.Fields(listed)
			for _, word := range append([]string{"auto"}, detectionKinds...) {
				able := word == "auto" || slices.Contains(can, word)
				own, _, doc := check(fmt.Sprintf("service: d\nsystems:\n  - {id: a, type: %s, objects: [x], changeDetection: %s}\n  - {id: b, type: %s, objects: [y]}\n", typ, word, typ))
				if refused := own != ""; refused == able {
					t.Errorf("%s for one system: %q", word, own)
				}
				if !able && !strings.Contains(own, can[0]) {
					t.Errorf("%s is refused without what it can do: %q", word, own)
				}
				if got := doc.DetectionFor("a", spec.Detections); got != word {
					t.Errorf("%s for one system is opened with %s", word, got)
				}
				if got := doc.DetectionFor("b", spec.Detections); got != "auto" {
					t.Errorf("the other is opened with %s", got)
				}
				all, told, doc := check(fmt.Sprintf("service: d\nsystems:\n  - {id: a, type: %s, objects: [x]}\n  - {id: b, type: %s, objects: [y]}\nsyncConfig: {changeDetection: %s}\n", typ, typ, word))
				if refused := all != ""; refused == able || told != "" {
					t.Errorf("%s for all: %q, told %q", word, all, told)
				}
				want := "auto"
				if able {
					want = word
				}
				if got := doc.DetectionFor("a", spec.Detections); got != want {
					t.Errorf("%s for all is opened with %s", word, got)
				}
				// Beside one that can do it, it is told, and the system chooses for itself.
				for other, theirs := range detections {
					if word == "auto" || able || !slices.Contains(strings.Fields(theirs), word) {
						continue
					}
					all, told, doc := check(fmt.Sprintf("service: d\nsystems:\n  - {id: a, type: %s, objects: [x]}\n  - {id: b, type: %s, objects: [y]}\nsyncConfig: {changeDetection: %s}\n", typ, other, word))
					if all != "" || !strings.Contains(told, "a can by "+can[0]) || strings.Contains(told, "b can by") {
						t.Errorf("%s for %s and %s: %q, told %q", word, typ, other, all, told)
					}
					if got := doc.DetectionFor("a", spec.Detections); got != "auto" {
						t.Errorf("%s beside %s is opened with %s", word, other, got)
					}
				}
			}
		})
	}
}
