// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/tenant"
)

var update = flag.Bool("update", false, "write the golden files")

// matrix is the table of docs/security.md: who may do what.
func matrix() string {
	var b strings.Builder
	b.WriteString("| Permission |")
	for _, r := range Roles {
		fmt.Fprintf(&b, " %s |", r)
	}
	b.WriteString(" Scopes of API keys |\n|---|" + strings.Repeat(":-:|", len(Roles)) + "---|\n")
	for _, p := range Permissions() {
		fmt.Fprintf(&b, "| `%s` |", p)
		for _, r := range Roles {
			if r.May(p) {
				b.WriteString(" ✓ |")
			} else {
				b.WriteString("   |")
			}
		}
		var scopes []string
		for _, s := range scopesWith(p) {
			scopes = append(scopes, string(s))
		}
		fmt.Fprintf(&b, " %s |\n", strings.Join(scopes, ", "))
	}
	return b.String()
}

// The table may only change knowingly, and the page that people read changes with it.
func TestPermissionMatrix(t *testing.T) {
	const golden = "testdata/permissions.md"
	if *update {
		if err := os.WriteFile(golden, []byte(matrix()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := matrix(); got != string(want) {
		t.Errorf("the permissions changed. If that is meant, run go test -update and look at the difference.\n%s", got)
	}
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), string(want)) {
		t.Error("docs/security.md does not hold the table of testdata/permissions.md; copy it there")
	}
}

func TestMatrixRules(t *testing.T) {
	for _, p := range Permissions() {
		if p == Operate { // no role of a tenant runs the installation
			if roles, scopes := RolesWith(p), scopesWith(p); len(roles) != 0 || !slices.Equal(scopes, []Scope{ScopeOperator}) {
				t.Errorf("%s: %v %v", p, roles, scopes)
			}
			continue
		}
		if !Owner.May(p) {
			t.Errorf("an owner may not %s", p)
		}
		if len(RolesWith(p)) == 0 {
			t.Errorf("nobody may %s", p)
		}
		if strings.HasSuffix(string(p), ".edit") || p == RunServices || p == ResolveConflicts || p == RedriveDeadLetters {
			if Viewer.May(p) || ScopeRead.May(p) {
				t.Errorf("a viewer may %s", p)
			}
		}
		for _, s := range Scopes {
			if s.May(p) && !Admin.May(p) && s != ScopeFinance {
				t.Errorf("a key with the scope %s may %s, which even an admin may not", s, p)
			}
		}
		if Viewer.May(p) && !Editor.May(p) || Editor.May(p) && !Admin.May(p) {
			t.Errorf("%s: editors do not have all that viewers have, or admins not all that editors have", p)
		}
	}
	for _, p := range []Permission{ViewRecords, EditRecords, ResolveConflicts, RedriveDeadLetters, ViewSecrets, ViewConnections} {
		if Finance.May(p) || ScopeFinance.May(p) {
			t.Errorf("finance may %s, and is not to see contents of records", p)
		}
	}
	for _, s := range Scopes {
		if s.May(EditTenant) {
			t.Errorf("a key with the scope %s may change the tenant", s)
		}
	}
	if Role("nobody").May(ViewTenant) || Scope("all").May(ViewTenant) || Owner.May("no.such") || (Principal{}).Can(ViewTenant) {
		t.Error("somebody unknown may do something, or somebody something unknown")
	}
}

func TestMaySaysWhatIsNeeded(t *testing.T) {
	id := tenant.ID{1}
	for _, tt := range []struct {
		name string
		who  Principal
		what Permission
		says []string // nil: allowed
	}{
		{"a viewer looks", Principal{Kind: KindMember, Role: Viewer}, ViewRecords, nil},
		{"a viewer edits", Principal{Kind: KindMember, Role: Viewer}, EditServices, []string{"owner, admin or editor", "services.edit", "your role is viewer"}},
		{"an admin changes the tenant", Principal{Kind: KindMember, Role: Admin}, EditTenant, []string{"role owner ", "your role is admin"}},
		{"a reading key writes", Principal{Kind: KindKey, Scopes: []Scope{ScopeRead}}, EditServices, []string{"scope write or admin"}},
		{"scopes add up", Principal{Kind: KindKey, Scopes: []Scope{ScopeRead, ScopeConnections}}, EditSecrets, nil},
		{"no key may", Principal{Kind: KindKey, Scopes: Scopes}, EditTenant, []string{"No API key", "role owner"}},
		{"a key's role counts for nothing", Principal{Kind: KindKey, Role: Owner, Scopes: []Scope{ScopeRead}}, EditServices, []string{"scope"}},
		{"a member's scopes count for nothing", Principal{Kind: KindMember, Role: Viewer, Scopes: Scopes}, EditServices, []string{"role"}},
		{"Syncline itself", System(id, "scheduler"), EditTenant, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.who.May(tt.what)
			if (err == nil) != (tt.says == nil) {
				t.Fatalf("got %v", err)
			}
			if err == nil {
				return
			}
			if !fault.IsCode(err, "auth.forbidden") || fault.KindOf(err) != fault.Forbidden {
				t.Errorf("got %v, want auth.forbidden", err)
			}
			for _, s := range tt.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}
}

func TestParseScopes(t *testing.T) {
	got, err := ParseScopes([]string{"write", "read", "write"})
	if err != nil || !slices.Equal(got, []Scope{ScopeRead, ScopeWrite}) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := ParseScopes([]string{"read", "everything"}); !fault.IsCode(err, "auth.scope_unknown") {
		t.Errorf("an unknown scope: %v", err)
	}
	if _, err := ParseScopes(nil); !fault.IsCode(err, "auth.scope_missing") {
		t.Errorf("no scope: %v", err)
	}
}
