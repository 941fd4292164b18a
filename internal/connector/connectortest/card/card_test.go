// SPDX-License-Identifier: Apache-2.0

package card_test

import (
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
)

// Runs of one connector are one line; failures, violations and connectors that no run was about are counted.
func TestTable(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(card.Folder, dir)
	for _, c := range []card.Card{
		{System: "Shop", Type: "shop", Run: "a", Objects: "orders", Read: true, Write: true, Detection: "webhook", Guarantee: "Effectively once: looked at first.", Judge: "simulator", Pass: 3, Total: 4},
		{System: "Shop", Type: "shop", Run: "b", Objects: "orders", Read: true, Delete: true, Detection: "timestamp", Judge: "simulator", Pass: 5, Total: 5},
		{System: "Archive", Type: "archive", Run: "a", Objects: "files", Read: true, Detection: "hash", Judge: "server", Pass: 1, Total: 1},
	} {
		if err := card.Keep(c, c.Run); err != nil {
			t.Fatal(err)
		}
	}
	all := map[card.Line]card.Finding{}
	for _, name := range card.Lines {
		all[name] = card.Finding{Passed: 1}
	}
	all[card.Webhook] = card.Finding{Not: "nothing is sent"}
	for _, typ := range []string{"shop", "archive"} {
		if err := card.Keep(card.Proof{Type: typ, Lines: all}, "c"); err != nil {
			t.Fatal(err)
		}
	}
	all = map[card.Line]card.Finding{card.Twice: {Passed: 3, Failed: 1}, card.Pages: {Passed: 2}}
	if err := card.Keep(card.Proof{Type: "shop", Lines: all}, "d"); err != nil {
		t.Fatal(err)
	}
	if err := card.Keep(card.Card{System: "The suite's own", Type: "memory", Run: "a", Pass: 1, Total: 2}, "a"); err != nil {
		t.Fatal(err)
	}
	if err := card.Keep(card.Judged{Type: "shop", Operations: map[string]int{"GET /a": 2, "PUT /a": 1}, Requests: 3, Violations: 1}, "a"); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	failed, err := card.Table(&out, dir, "archive", "shop", "forgotten")
	if err != nil || failed != 3+1+len(card.Lines) { // a case, a violation, a connector without a run; a line; all lines of that connector
		t.Errorf("%d failed, %v", failed, err)
	}
	table, suite, _ := strings.Cut(out.String(), "\n\n")
	for _, want := range []string{"Shop       passed           passed            FAILED", "NOT SHOWN", "no: 1", "  1  nothing is sent"} {
		if !strings.Contains(suite, want) {
			t.Errorf("%q is not in\n%s", want, suite)
		}
	}
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if len(lines) != 4 || strings.Contains(out.String(), "suite's own") || !strings.HasPrefix(lines[1], "Archive") || !strings.HasPrefix(lines[2], "forgotten") || !strings.Contains(lines[2], "no run") {
		t.Fatalf("it is\n%s", out.String())
	}
	for _, want := range []string{"orders", "yes   yes    yes", "timestamp, webhook", "Effectively once", "2 operations, 3 requests, 1 violations", "8/9"} {
		if !strings.Contains(lines[3], want) {
			t.Errorf("%q is not in %s", want, lines[3])
		}
	}
}
