// SPDX-License-Identifier: Apache-2.0

// Package card keeps what a run of the conformance suite found of each connector, for the table that `make connectors` prints.
package card

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// Folder is the variable that says where a test run leaves its cards; nothing is left without it.
const Folder = "SYNCLINE_CARDS"

// Card is what one run of the suite found of a connector.
type Card struct {
	System    string `json:"system"`  // the connector's title
	Type      string `json:"type"`    // its type
	Run       string `json:"run"`     // which run this was: the test's name
	Objects   string `json:"objects"` // "any table", "contacts"
	Read      bool   `json:"read"`
	Write     bool   `json:"write"`
	Delete    bool   `json:"delete"`    // deletions in the system are seen
	Detection string `json:"detection"` // under test; "auto" is written as the first the connector has
	Guarantee string `json:"guarantee"`
	Judge     string `json:"judge"` // what it ran against
	Pass      int    `json:"pass"`
	Total     int    `json:"total"`
}

// Judged is what a vendor's own API description said of the requests of a run.
type Judged struct {
	Type       string         `json:"type"`
	Run        string         `json:"run"`
	Operations map[string]int `json:"operations"` // requests by operation
	Requests   int            `json:"requests"`
	Violations int            `json:"violations"`
}

// Keep writes a card, or a verdict, into the folder that the environment names.
func Keep(v any, run string) error {
	dir := os.Getenv(Folder) //nolint:forbidigo // the question whether anybody wants the cards
	if dir == "" {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	kind := "card"
	var typ string
	switch v := v.(type) {
	case Card:
		typ = v.Type
	case Judged:
		kind, typ = "judged", v.Type
	default:
		return fmt.Errorf("there are no cards of %T", v)
	}
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '_'
	}, kind+"-"+typ+"-"+run)
	return os.WriteFile(filepath.Join(dir, name+".json"), b, 0o644)
}

// A line is a connector's in the table.
type line struct {
	Card
	detections []string
	judges     []string
	operations map[string]bool
	requests   int
	violations int
}

// Table reads the cards of a folder and writes the table. It returns how many cases failed, violations included; a connector of want
// of which there is no card counts as one.
func Table(w io.Writer, dir string, want ...string) (failed int, err error) {
	lines := map[string]*line{}
	for _, typ := range want {
		lines[typ] = &line{Card: Card{System: typ, Type: typ}, judges: []string{"no run of the suite"}, operations: map[string]bool{}}
	}
	files, err := filepath.Glob(filepath.Join(dir, "card-*.json"))
	if err != nil {
		return 0, err
	}
	for _, f := range files {
		var c Card
		if err := load(f, &c); err != nil {
			return 0, err
		}
		l := lines[c.Type]
		if l == nil || l.Run == "" {
			l = &line{Card: c, operations: map[string]bool{}}
			l.Pass, l.Total = 0, 0
			lines[c.Type] = l
		}
		l.Pass, l.Total = l.Pass+c.Pass, l.Total+c.Total
		l.Read, l.Write, l.Delete = l.Read || c.Read, l.Write || c.Write, l.Delete || c.Delete
		l.detections, l.judges = append(l.detections, c.Detection), append(l.judges, c.Judge)
	}
	if files, err = filepath.Glob(filepath.Join(dir, "judged-*.json")); err != nil {
		return 0, err
	}
	for _, f := range files {
		var j Judged
		if err := load(f, &j); err != nil {
			return 0, err
		}
		if l := lines[j.Type]; l != nil {
			for op := range j.Operations {
				l.operations[op] = true
			}
			l.requests, l.violations = l.requests+j.Requests, l.violations+j.Violations
		}
	}
	var order []*line
	for _, l := range lines {
		order = append(order, l)
	}
	slices.SortFunc(order, func(a, b *line) int { return strings.Compare(strings.ToLower(a.System), strings.ToLower(b.System)) })
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "System\tObjects\tRead\tWrite\tDelete\tDetection\tGuarantee\tJudge\tPass/total")
	for _, l := range order {
		judge := strings.Join(distinct(l.judges), ", ")
		if l.requests > 0 {
			judge += fmt.Sprintf("; vendor's description: %d operations, %d requests, %d violations", len(l.operations), l.requests, l.violations)
		}
		guarantee, _, _ := strings.Cut(l.Guarantee, ":")
		if len(guarantee) > 60 {
			guarantee, _, _ = strings.Cut(guarantee, ",")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d/%d\n", l.System, l.Objects, yes(l.Read), yes(l.Write), yes(l.Delete),
			strings.Join(distinct(l.detections), ", "), strings.TrimRight(guarantee, "."), judge, l.Pass, l.Total)
		if failed += l.Total - l.Pass + l.violations; l.Total == 0 {
			failed++
		}
	}
	return failed, t.Flush()
}

func load(file string, into any) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func distinct(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(s string) bool { return s == "" })
}
