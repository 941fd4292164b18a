// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestRedeemVerb(t *testing.T) {
	b := newBench(t)
	t.Setenv("DATABASE_URL", b.db.Config().ConnString())
	if out, _, code := b.syncline("operator", "code", "LAUNCH-2027", "--title", "Launch offer", "--percent", "20", "--reason", "The launch"); code != 0 {
		t.Fatalf("making the code: %d %q", code, out)
	}
	if _, talk, code := b.syncline("redeem", "launch-2027"); code != 0 || !strings.Contains(talk, "Redeemed: Launch offer") {
		t.Errorf("redeeming: %d %q", code, talk)
	}
	if _, _, code := b.syncline("redeem", "launch-2027"); code != exitFailed {
		t.Errorf("twice: %d", code)
	}
	if _, _, code := b.syncline("redeem", "nothing"); code != exitFailed {
		t.Errorf("a code that there is not: %d", code)
	}
	if _, _, code := b.syncline("redeem"); code != exitUsage {
		t.Errorf("without a code: %d", code)
	}
	if _, _, code := b.syncline("operator", "code", "EUROS", "--title", "Later", "--percent", "5", "--months", "0", "--reason", "For ever"); code != 0 {
		t.Fatalf("making another: %d", code)
	}
	if out, _, code := b.syncline("redeem", "EUROS", "--json"); code != 0 || !strings.Contains(out, `"coupons"`) {
		t.Errorf("as JSON: %d %q", code, out)
	}
}
