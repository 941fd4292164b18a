// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestWebhookVerbs(t *testing.T) {
	b := newBench(t)
	if _, talk, code := b.syncline("webhooks"); code != 0 || !strings.Contains(talk, "No webhook endpoint yet") {
		t.Errorf("none: %d %q", code, talk)
	}
	if _, _, code := b.syncline("webhooks", "create", "Back end", "http://example.com/"); code != exitInvalid {
		t.Errorf("without encryption: %d", code)
	}
	out, talk, code := b.syncline("webhooks", "create", "Back end", "https://example.com/hook", "--type", "invoice.*", "--type", "conflict")
	id, secret, _ := strings.Cut(strings.TrimSpace(out), "\t")
	if code != 0 || !strings.HasPrefix(id, "whk_") || !strings.HasPrefix(secret, "whsec_") || !strings.Contains(talk, "shown this once") {
		t.Fatalf("create: %d %q %q", code, out, talk)
	}
	if out, _, _ = b.syncline("webhooks"); !strings.Contains(out, "invoice.*,conflict") || strings.Contains(out, secret) {
		t.Errorf("list: %q", out)
	}
	if out, _, code = b.syncline("webhooks", "change", id, "--state", "paused"); code != 0 || !strings.Contains(out, "paused") {
		t.Errorf("pause: %d %q", code, out)
	}
	if _, _, code = b.syncline("webhooks", "test", id); code != exitFailed {
		t.Errorf("a test of a paused one: %d", code)
	}
	if _, _, code = b.syncline("webhooks", "change", id); code != exitUsage {
		t.Errorf("a change of nothing: %d", code)
	}
	if out, _, code = b.syncline("webhooks", "change", id, "--state", "active", "--type", "run.*"); code != 0 || !strings.Contains(out, "active") {
		t.Errorf("make active: %d %q", code, out)
	}
	out, _, code = b.syncline("webhooks", "rotate", id, "--json")
	var rotated struct {
		Secret, OldSecretUntil string
		Types                  []string
	}
	if err := json.Unmarshal([]byte(out), &rotated); err != nil || code != 0 || rotated.Secret == secret || rotated.OldSecretUntil == "" || strings.Join(rotated.Types, "") != "run.*" {
		t.Errorf("rotate: %d %q %v", code, out, err)
	}
	if out, _, code = b.syncline("webhooks", "deliveries", id, "--state", "failed"); code != 0 || !strings.HasPrefix(out, "DELIVERY") {
		t.Errorf("deliveries: %d %q", code, out)
	}
	if out, _, code = b.syncline("webhooks", "resend", id, "--since", "2026-01-01T00:00:00Z"); code != 0 || !strings.HasPrefix(out, "0 ") {
		t.Errorf("resend: %d %q", code, out)
	}
	if _, _, code = b.syncline("webhooks", "resend", id, "--since", "yesterday"); code != exitUsage {
		t.Errorf("a time that is none: %d", code)
	}
	if _, _, code = b.syncline("webhooks", "delete", id); code != 0 {
		t.Errorf("delete: %d", code)
	}
	if _, _, code = b.syncline("webhooks", "delete", id); code != exitFailed {
		t.Errorf("delete again: %d", code)
	}
}
