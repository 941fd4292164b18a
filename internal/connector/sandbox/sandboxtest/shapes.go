// SPDX-License-Identifier: Apache-2.0

package sandboxtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Shapes holds requests against the description of an Amazon service: an operation by the header X-Amz-Target, its members by name,
// type, length and enumeration.
type Shapes struct {
	Judge
	targets map[string]string // by operation: the input's shape
	shapes  map[string]shape
}

type shape struct {
	Type     string           `json:"type"`
	Members  map[string]ref   `json:"members"`
	Required []string         `json:"required"`
	Member   ref              `json:"member"`
	Value    ref              `json:"value"`
	Enum     []string         `json:"enum"`
	Min      *float64         `json:"min"`
	Max      *float64         `json:"max"`
	Union    bool             `json:"union"`
	Key      *json.RawMessage `json:"key"`
}

type ref struct {
	Shape string `json:"shape"`
}

// NewShapes reads the descriptions of a vendor. Without them the test says that it was not judged.
func NewShapes(t *testing.T, vendor string, files ...string) *Shapes {
	t.Helper()
	s := &Shapes{Judge: Judge{operations: map[string]int{}}, targets: map[string]string{}, shapes: map[string]shape{}}
	dir := specs()
	if dir == "" {
		if os.Getenv("CI") != "" { //nolint:forbidigo // the one question a test asks of where it runs
			t.Fatal("not judged: the vendors' descriptions are not beside the repository")
		}
		t.Log("not judged: the vendors' descriptions are not beside the repository")
		s.skip = []string{"/"}
		return s
	}
	for _, f := range files {
		source, err := os.ReadFile(filepath.Join(dir, vendor, f))
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Metadata struct {
				TargetPrefix string `json:"targetPrefix"`
			} `json:"metadata"`
			Operations map[string]struct {
				Input ref `json:"input"`
			} `json:"operations"`
			Shapes map[string]shape `json:"shapes"`
		}
		if err := json.Unmarshal(source, &doc); err != nil {
			t.Fatal(err)
		}
		prefix := doc.Metadata.TargetPrefix
		for name, op := range doc.Operations {
			s.targets[prefix+"."+name] = prefix + "/" + op.Input.Shape
		}
		for name, sh := range doc.Shapes {
			s.shapes[prefix+"/"+name] = sh
		}
	}
	t.Cleanup(func() { s.report(t, vendor) })
	return s
}

// See is for a sandbox.Server.
func (s *Shapes) See(r *http.Request, body []byte) {
	if len(s.skip) > 0 {
		return
	}
	target := r.Header.Get("X-Amz-Target")
	problem := "no such operation"
	if input, known := s.targets[target]; known {
		var v any
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			problem = err.Error()
		} else {
			prefix, name, _ := strings.Cut(input, "/")
			problem = s.fault(prefix, name, v, "")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.operations[target]++
	if problem != "" {
		s.violations = append(s.violations, fmt.Sprintf("%s %.300s: %s", target, body, problem))
	}
}

// fault says what of a value does not fit its shape, "" when nothing does not.
func (s *Shapes) fault(prefix, name string, v any, at string) string {
	sh := s.shapes[prefix+"/"+name]
	within := func(n int, what string) string {
		if sh.Min != nil && float64(n) < *sh.Min || sh.Max != nil && float64(n) > *sh.Max {
			return fmt.Sprintf("%s has %d %s", at, n, what)
		}
		return ""
	}
	switch sh.Type {
	case "structure":
		m, ok := v.(map[string]any)
		if !ok {
			return at + " is no object"
		}
		for _, r := range sh.Required {
			if _, there := m[r]; !there {
				return at + "/" + r + " is missing"
			}
		}
		for k, x := range m {
			member, known := sh.Members[k]
			if !known {
				return at + "/" + k + " is not known"
			}
			if f := s.fault(prefix, member.Shape, x, at+"/"+k); f != "" {
				return f
			}
		}
	case "list":
		l, ok := v.([]any)
		if !ok {
			return at + " is no list"
		}
		for i, x := range l {
			if f := s.fault(prefix, sh.Member.Shape, x, fmt.Sprintf("%s/%d", at, i)); f != "" {
				return f
			}
		}
		return within(len(l), "members")
	case "map":
		m, ok := v.(map[string]any)
		if !ok {
			return at + " is no map"
		}
		for k, x := range m {
			if f := s.fault(prefix, sh.Value.Shape, x, at+"/"+k); f != "" {
				return f
			}
		}
		return within(len(m), "members")
	case "string":
		text, ok := v.(string)
		if !ok {
			return at + " is no text"
		}
		if len(sh.Enum) > 0 && !slices.Contains(sh.Enum, text) {
			return at + " is " + text
		}
		return within(len(text), "characters")
	case "integer", "long":
		n, ok := v.(json.Number)
		if !ok {
			return at + " is no number"
		}
		if i, err := n.Int64(); err != nil {
			return at + " is no whole number"
		} else if sh.Min != nil && float64(i) < *sh.Min || sh.Max != nil && float64(i) > *sh.Max {
			return fmt.Sprintf("%s is %d", at, i)
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			return at + " is neither true nor false"
		}
	}
	return ""
}
