// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/record"
)

// Run holds the connector to its contract. Call it once for each detection.
func Run(t *testing.T, h Harness) {
	if h.Types == nil {
		h.Types = allTypes
	}
	s := &suite{Harness: h}
	points := newScore(t, h.Connector.Spec(), card.Card{Objects: h.Objects, Read: true, Write: true, Delete: h.Can.Deletes, Detection: h.Detection, Judge: h.Judge}, h.Not)
	lines := map[string][]card.Line{
		"discover": {card.Schema}, "snapshot": {card.Pages}, "snapshot resumes": {card.Pages}, "stream": {card.Delete}, "stream in pages": {card.Pages, card.Ties},
		"write": {card.Delete}, "write again": {card.Twice}, "write refused": {card.Partial}, "write unknown": {card.Unknown},
	}
	if h.Not[card.Unknown] != "" {
		delete(lines, "write unknown")
	}
	for _, c := range []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"spec", testSpec},
		{"open", testOpen},
		{"discover", testDiscover},
		{"snapshot", testSnapshot},
		{"snapshot resumes", testSnapshotResumes},
		{"list", testList},
		{"snapshot hands over", testHandOver},
		{"fields asked for", testFields},
		{"stream", testStream},
		{"stream in pages", testStreamPages},
		{"keys", testKeys},
		{"transactions", testTransactions},
		{"storm", testStorm},
		{"older cursor", testOlderCursor},
		{"acknowledge", testAcknowledge},
		{"two consumers", testTwoConsumers},
		{"lost place", testLostPlace},
		{"read keys", testReadKeys},
		{"scan", testScan},
		{"digest", testDigest},
		{"find", testFind},
		{"write", testWrite},
		{"write again", testWriteAgain},
		{"write expecting", testWriteExpecting},
		{"write refused", testWriteRefused},
		{"write unknown", testWriteUnknown},
		{"write many", testWriteMany},
		{"keys made", testKeysMade},
		{"values", testValues},
		{"own writes", testOwnWrites},
		{"watch", testWatch},
		{"clean", testClean},
	} {
		t.Run(c.name, func(t *testing.T) {
			points.count(t, lines[c.name]...)
			t.Parallel()
			c.run(t, s)
		})
	}
}

type suite struct{ Harness }

// consumers counts the names handed out, so that no two cases share what a consumer leaves behind.
var consumers atomic.Int64

func consumer() string {
	return fmt.Sprintf("svc_%08x_%d", uint32(started.UnixNano()), consumers.Add(1))
}

var started = time.Now()

// open connects as a consumer; the connection is closed, and what it left is cleaned, when the test ends.
func (s *suite) open(t *testing.T, consumer string, objects ...record.Object) connector.System {
	t.Helper()
	sys, err := s.tryOpen(t, s.Settings, consumer, s.Detection)
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	t.Cleanup(func() {
		if c, ok := sys.(connector.Cleaner); ok && len(objects) > 0 {
			if err := c.Clean(contextAfter(t), objects); err != nil {
				t.Errorf("cleaning up: %v", err)
			}
		}
		if err := sys.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return sys
}

func (s *suite) tryOpen(t *testing.T, settings connector.Settings, consumer, detection string) (connector.System, error) {
	t.Helper()
	checked, err := s.Connector.Spec().Check(settings)
	if err != nil {
		t.Fatalf("the harness's settings are refused: %v", err)
	}
	env := s.Env
	env.Consumer, env.Detection = consumer, detection
	return s.Connector.Open(t.Context(), checked, env)
}

// object makes one of the shape and opens it for a new consumer.
func (s *suite) object(t *testing.T, shape Shape) (connector.System, record.Object) {
	t.Helper()
	o := s.Create(t, shape)
	return s.open(t, consumer(), o), o
}

func testSpec(t *testing.T, s *suite) {
	spec := s.Connector.Spec()
	for what, v := range map[string]string{"type": spec.Type, "title": spec.Title, "summary": spec.Summary, "deletes": spec.Deletes, "guarantee": spec.Guarantee} {
		if v == "" {
			t.Errorf("the spec has no %s", what)
		}
	}
	if level := strings.ToLower(spec.Guarantee); !strings.HasPrefix(level, "effectively once") && !strings.HasPrefix(level, "at least once") {
		t.Errorf("the guarantee does not begin with the level it gives, effectively once or at least once: %s", spec.Guarantee)
	}
	if spec.Class != "standard" && spec.Class != "premium" {
		t.Errorf("the price class is %q", spec.Class)
	}
	if len(spec.Detections) == 0 {
		t.Error("the spec names no change detection")
	}
	words := []string{"timestamp", "hash", "database-trigger", "cdc", "webhook", "polling", "stream"}
	for _, d := range spec.Detections {
		if !slices.Contains(words, d) {
			t.Errorf("the detection %q is no word of the document's changeDetection: %s", d, strings.Join(words, ", "))
		}
	}
	seen := map[string]bool{}
	for _, d := range spec.Settings {
		if d.Name == "" || d.Title == "" || d.Doc == "" || d.Kind == "" {
			t.Errorf("the setting %+v lacks a name, title, doc or kind", d)
		}
		if seen[d.Name] {
			t.Errorf("the setting %s is declared twice", d.Name)
		}
		seen[d.Name] = true
		if (d.Kind == connector.Choice) != (len(d.Choices) > 0) {
			t.Errorf("the setting %s is of kind %s with the choices %v", d.Name, d.Kind, d.Choices)
		}
		if d.Required && d.Default != "" {
			t.Errorf("the setting %s is required and has a default", d.Name)
		}
		if d.Secret && d.Default != "" {
			t.Errorf("the secret %s has a default", d.Name)
		}
	}
	if s.Detection != "" && s.Detection != "auto" && !slices.Contains(spec.Detections, s.Detection) {
		t.Errorf("the harness tests %s, which the spec does not have", s.Detection)
	}
}

func testOpen(t *testing.T, s *suite) {
	sys, o := s.object(t, items)
	if err := sys.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	for i, bad := range s.Bad {
		sys, err := s.tryOpen(t, bad, consumer(), s.Detection)
		if err == nil {
			err = sys.Check(t.Context())
			sys.Close()
		}
		if err == nil {
			t.Errorf("bad settings %d are accepted", i)
		} else if e := connector.Classify(err); e.Class != connector.Reconnect || e.Message == "" {
			t.Errorf("bad settings %d gave class %s: %v", i, e.Class, e)
		} else {
			for _, d := range s.Connector.Spec().Settings {
				if v := bad[d.Name]; d.Secret && v != "" && strings.Contains(e.Error(), v) {
					t.Errorf("the error shows the secret %s: %v", d.Name, e)
				}
			}
		}
	}
	if sys, err := s.tryOpen(t, s.Settings, consumer(), "divination"); err == nil {
		sys.Close()
		t.Error("an unknown detection is accepted")
	} else if c := connector.Classify(err).Class; c != connector.Reject {
		t.Errorf("an unknown detection gave class %s", c)
	}
	if c, ok := sys.(connector.Chooser); ok {
		d, why, err := c.Detection(t.Context(), o)
		switch {
		case err != nil:
			t.Errorf("detection: %v", err)
		case why == "" || !slices.Contains(s.Connector.Spec().Detections, d):
			t.Errorf("the detection is %q because %q", d, why)
		case s.Detection != "" && s.Detection != "auto" && d != s.Detection:
			t.Errorf("the detection is %q, asked for was %q", d, s.Detection)
		}
	}
	for what, c := range map[string]struct{ can, does bool }{
		"Watcher": {s.Can.Watches, as[connector.Watcher](sys)},
		"Finder":  {s.Can.Finds, as[connector.Finder](sys)},
	} {
		if c.can != c.does {
			t.Errorf("%s: the harness says %v, the system says %v", what, c.can, c.does)
		}
	}
}

// example is a record with a value in each field.
func example(shape Shape) record.Fields {
	f := record.Fields{}
	for _, d := range shape.Fields {
		f[d.Name] = samples[d.Type][1]
		switch d.Type {
		case connector.TypeJSON:
			f[d.Name] = samples[d.Type][0]
		case connector.TypeInteger:
			f[d.Name] = num(1)
		}
	}
	return f
}

func as[T any](v any) bool {
	_, ok := v.(T)
	return ok
}

func testDiscover(t *testing.T, s *suite) {
	describe := func(t *testing.T, shape Shape) connector.ObjectInfo {
		sys, o := s.object(t, shape)
		if s.Can.Schemaless {
			s.Users.Insert(t, o, example(shape))
		}
		d := sys.(connector.Discoverer)
		names, err := d.Objects(t.Context())
		if err != nil || !slices.Contains(names, o) {
			t.Fatalf("objects are %v (%v), want %s among them", names, err, o)
		}
		infos, err := d.Describe(t.Context(), o)
		if err != nil || len(infos) != 1 {
			t.Fatalf("describing %s: %v", o, err)
		}
		return infos[0]
	}
	shapes := []Shape{items, natural, typed(s.Types)}
	if s.Can.Composite {
		shapes = append(shapes, regions)
	}
	if s.Can.MakesKeys {
		shapes = append(shapes, serial)
	}
	for _, shape := range shapes {
		info := describe(t, shape)
		if !slices.Equal(info.Key, shape.Key) {
			t.Errorf("%s: the key is %v, want %v", shape.Name, info.Key, shape.Key)
		}
		for _, want := range shape.Fields {
			got, there := info.Field(want.Name)
			switch {
			case !there:
				t.Errorf("%s has no field %s", shape.Name, want.Name)
			case got.Type != want.Type:
				t.Errorf("%s.%s is %s (%s), want %s", shape.Name, want.Name, got.Type, got.Native, want.Type)
			case got.Nullable != want.Nullable && s.Can.NotNull:
				t.Errorf("%s.%s: nullable is %v", shape.Name, want.Name, got.Nullable)
			case got.Generated != want.Generated:
				t.Errorf("%s.%s: generated is %v", shape.Name, want.Name, got.Generated)
			case got.ReadOnly:
				t.Errorf("%s.%s is read-only", shape.Name, want.Name)
			case want.MaxLength > 0 && s.Can.LimitsLength && got.MaxLength != want.MaxLength:
				t.Errorf("%s.%s: the longest text is %d, want %d", shape.Name, want.Name, got.MaxLength, want.MaxLength)
			case want.Scale > 0 && s.Can.Rounds && got.Scale != want.Scale:
				t.Errorf("%s.%s: the scale is %d, want %d", shape.Name, want.Name, got.Scale, want.Scale)
			}
		}
	}
	sys := s.open(t, consumer())
	refused := map[string]record.Object{"absent": "no_such_object"}
	if s.Can.Keyless {
		refused["keyless"] = s.Create(t, keyless)
	}
	for name, o := range refused {
		_, err := sys.(connector.Discoverer).Describe(t.Context(), o)
		if err == nil {
			t.Errorf("an object that is %s is described", name)
		} else if e := connector.Classify(err); e.Class != connector.Reject || e.Message == "" {
			t.Errorf("an object that is %s gave class %s: %v", name, e.Class, e)
		}
	}
}
