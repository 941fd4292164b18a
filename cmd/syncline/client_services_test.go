// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestServiceVerbs(t *testing.T) {
	b := newBench(t)
	document := b.file("stock.yaml", stock)
	if _, _, code := b.syncline("apply", "-f", document, "--note", "the first"); code != 0 {
		t.Fatalf("apply: %d", code)
	}
	for _, step := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"pause"}, exitUsage, ""},
		{[]string{"pause", "nothing"}, exitFailed, ""},
		{[]string{"pause", "stock"}, 0, "stock is paused."},
		{[]string{"pause", "stock"}, 0, "stock is paused."},
		{[]string{"resume", "stock"}, 0, "stock is active."},
		{[]string{"apply", "-f", b.file("daily.yaml", strings.Replace(stock, "1h", "24h", 1)), "--yes"}, 0, ""},
		{[]string{"rollback", "stock"}, exitUsage, ""},
		{[]string{"rollback", "stock", "first"}, exitUsage, ""},
		{[]string{"rollback", "stock", "9"}, exitFailed, ""},
		{[]string{"rollback", "stock", "1", "--note", "hourly again"}, 0, "stock is at revision 3, which says what revision 1 said."},
		{[]string{"plan", "-f", document, "--documents", "--detailed-exitcode"}, 0, ""},
		{[]string{"archive", "stock"}, 0, "stock is archived."},
		{[]string{"resume", "stock"}, 0, "stock is active."},
	} {
		if _, talk, code := b.syncline(step.args...); code != step.code || !strings.Contains(talk, step.says) {
			t.Errorf("%s: %d %q", strings.Join(step.args, " "), code, talk)
		}
	}
	out, _, code := b.syncline("revisions", "stock")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); code != 0 || len(lines) != 4 || !strings.Contains(lines[1], "hourly again") || !strings.Contains(lines[3], "the first") {
		t.Errorf("revisions: %d\n%s", code, out)
	}
}

func TestRunsVerbs(t *testing.T) {
	b := newBench(t)
	if out, talk, code := b.syncline("runs"); code != 0 || out != "" || !strings.Contains(talk, "No run") {
		t.Errorf("without any: %d %q %q", code, out, talk)
	}
	if _, _, code := b.syncline("apply", "-f", b.file("stock.yaml", stock)); code != 0 {
		t.Fatalf("apply: %d", code)
	}
	out, _, code := b.syncline("runs", "stock", "--state", "queued", "--json")
	var list struct{ Data []struct{ ID string } }
	if err := json.Unmarshal([]byte(out), &list); code != 0 || err != nil || len(list.Data) != 1 {
		t.Fatalf("the list: %d, %v\n%s", code, err, out)
	}
	run := list.Data[0].ID
	if out, _, code := b.syncline("runs"); code != 0 || !strings.Contains(out, run) || !strings.Contains(out, " stock ") || !strings.Contains(out, "queued") {
		t.Errorf("as a table: %d\n%s", code, out)
	}
	for _, step := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"runs", "--state", "resting"}, exitFailed, ""},
		{[]string{"runs", "show"}, exitUsage, ""},
		{[]string{"runs", "show", run}, 0, "queued"},
		{[]string{"runs", "cancel", run}, 0, "cancelled"},
		{[]string{"runs", "follow", run}, exitFailed, "cancelled"},
		{[]string{"runs", "resume", run}, exitFailed, ""}, // no backfill
		{[]string{"runs", "stock", "--state", "queued"}, 0, "No run"},
	} {
		if out, talk, code := b.syncline(step.args...); code != step.code || !strings.Contains(out+talk, step.says) {
			t.Errorf("%s: %d %q %q", strings.Join(step.args, " "), code, out, talk)
		}
	}
}
