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

// Line is a line of the conformance suite: what each connector must have shown, or say why it cannot apply to it.
type Line string

// The lines, in the order of the table.
const (
	Pages   Line = "page boundaries"
	Ties    Line = "equal timestamps"
	Twice   Line = "upsert twice"
	Delete  Line = "delete"
	Partial Line = "partial batch failure"
	Limit   Line = "rate limit"
	Expired Line = "expired token"
	Unknown Line = "unknown outcome"
	Schema  Line = "schema discovery"
	Webhook Line = "webhook vectors"
)

// Lines are all of them.
var Lines = []Line{Pages, Ties, Twice, Delete, Partial, Limit, Expired, Unknown, Schema, Webhook}

// Finding is what was found of a line.
type Finding struct {
	Passed int    `json:"passed,omitempty"`
	Failed int    `json:"failed,omitempty"`
	Not    string `json:"not,omitempty"` // why it does not apply
}

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

	Lines map[Line]Finding `json:"lines,omitempty"`
}

// Proof is what a test beside the suite found of lines.
type Proof struct {
	Type  string           `json:"type"`
	Run   string           `json:"run"`
	Lines map[Line]Finding `json:"lines"`
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
	case Proof:
		kind, typ = "proof", v.Type
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
	found      map[Line]Finding
}

func (l *line) find(lines map[Line]Finding) {
	if l.found == nil {
		l.found = map[Line]Finding{}
	}
	for name, f := range lines {
		have := l.found[name]
		have.Passed, have.Failed = have.Passed+f.Passed, have.Failed+f.Failed
		if have.Not == "" {
			have.Not = f.Not
		}
		l.found[name] = have
	}
}

// Table reads the cards of a folder and writes two tables: what each connector can do, and what was found of each line of the suite. It
// returns how many cases failed, violations included; a connector of want of which there is no card counts as one, and so does a line
// of which nothing was found. Connectors that are not in want are left out.
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
		if l == nil {
			continue // the suite's own
		}
		if l.Run == "" {
			l = &line{Card: c, operations: map[string]bool{}}
			l.Pass, l.Total = 0, 0
			lines[c.Type] = l
		}
		l.find(c.Lines)
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
	if files, err = filepath.Glob(filepath.Join(dir, "proof-*.json")); err != nil {
		return 0, err
	}
	for _, f := range files {
		var p Proof
		if err := load(f, &p); err != nil {
			return 0, err
		}
		if l := lines[p.Type]; l != nil {
			l.find(p.Lines)
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
	if err := t.Flush(); err != nil {
		return failed, err
	}
	fmt.Fprintln(w)
	n, err := suite(w, order)
	return failed + n, err
}

// suite writes what was found of each line; numbers stand for the reasons below why a line does not apply.
func suite(w io.Writer, order []*line) (failed int, err error) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "System")
	for _, name := range Lines {
		fmt.Fprintf(t, "\t%s", name)
	}
	fmt.Fprintln(t)
	var reasons []string
	for _, l := range order {
		fmt.Fprint(t, l.System)
		for _, name := range Lines {
			switch f := l.found[name]; {
			case f.Failed > 0:
				failed++
				fmt.Fprint(t, "\tFAILED")
			case f.Passed > 0:
				fmt.Fprint(t, "\tpassed")
			case f.Not != "":
				at := slices.Index(reasons, f.Not)
				if at < 0 {
					at, reasons = len(reasons), append(reasons, f.Not)
				}
				fmt.Fprintf(t, "\tno: %d", at+1)
			default:
				failed++
				fmt.Fprint(t, "\tNOT SHOWN")
			}
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return failed, err
	}
	fmt.Fprintln(w, "\nA number says why the line does not apply:")
	for i, r := range reasons {
		fmt.Fprintf(w, "%3d  %s\n", i+1, r)
	}
	return failed, nil
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
