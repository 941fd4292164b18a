// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"crypto/rand"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"

	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// NewAccount is what a newcomer writes.
type NewAccount struct {
	Email      string
	Name       string
	Password   string
	TenantName string
	TimeZone   string // IANA name; "" means UTC
	Demo       bool   // made by `syncline dev`
}

// SignUp makes a person, a tenant that they own, and the tenant's key, in one transaction, and signs them in.
func (m *Manager) SignUp(ctx context.Context, a NewAccount, from Caller) (Token, Session, error) {
	if m.o.SignUpClosed && !a.Demo {
		return "", Session{}, fault.New(fault.Forbidden, "auth.sign_up_closed", "This installation is open to invited people only. Ask a member to invite you.")
	}
	email, badEmail := tidyEmail(a.Email)
	name, badName := tidyName(a.Name, "/name")
	tenantName, badTenant := tidyName(a.TenantName, "/tenantName")
	zone, badZone := tidyZone(a.TimeZone)
	if err := invalid(badEmail, badName, badTenant, badZone, checkPassword(a.Password, email, "/password")); err != nil {
		return "", Session{}, err
	}
	if from.IP != "" {
		if err := m.signups.attempt(from.IP); err != nil {
			return "", Session{}, err
		}
	}
	hash, err := m.hasher.hash(ctx, a.Password)
	if err != nil {
		return "", Session{}, err
	}
	u := User{ID: UserID(uuid.Must(uuid.NewV7())), Email: email, Name: name, CreatedAt: m.dir.Now()}
	t, err := m.found(ctx, u, tenantName, zone, a.Demo, from, func(t tenant.Tenant, key []byte, who Principal) error {
		return m.dir.SignUp(ctx, u, hash, t, key, who.Did("tenant.created", ident.Format(ident.Tenant, t.ID), map[string]any{"name": t.Name}))
	})
	if err != nil {
		return "", Session{}, err
	}
	return m.start(ctx, u, Membership{Tenant: t, Role: Owner, Since: u.CreatedAt}, from)
}

// CreateTenant makes a further tenant, owned by the person.
func (m *Manager) CreateTenant(ctx context.Context, s Session, name, timeZone string, from Caller) (tenant.Tenant, error) {
	if m.o.SignUpClosed {
		return tenant.Tenant{}, fault.New(fault.Forbidden, "auth.sign_up_closed", "This installation makes no new tenants. Ask whoever operates it.")
	}
	name, badName := tidyName(name, "/name")
	zone, badZone := tidyZone(timeZone)
	if err := invalid(badName, badZone); err != nil {
		return tenant.Tenant{}, err
	}
	if err := m.signups.attempt(s.Member.ID.String()); err != nil {
		return tenant.Tenant{}, err
	}
	u := User{ID: s.Member.ID, Email: s.Member.Email, Name: s.Member.Name}
	return m.found(ctx, u, name, zone, false, from, func(t tenant.Tenant, key []byte, who Principal) error {
		return m.dir.Found(ctx, u, t, key, who.Did("tenant.created", ident.Format(ident.Tenant, t.ID), map[string]any{"name": t.Name}))
	})
}

// found prepares a tenant and has it made, with another short name for as long as it is taken.
func (m *Manager) found(ctx context.Context, u User, name, zone string, demo bool, from Caller, create func(tenant.Tenant, []byte, Principal) error) (tenant.Tenant, error) {
	t := tenant.Tenant{
		ID: tenant.ID(uuid.Must(uuid.NewV7())), Name: name, Slug: slug(name), State: tenant.Active,
		Region: m.o.Region, TimeZone: zone, Demo: demo, CreatedAt: m.dir.Now(), Version: 1,
	}
	key, err := m.keys.NewTenantKey(t.ID)
	if err != nil {
		return tenant.Tenant{}, err
	}
	who := Principal{Kind: KindMember, ID: u.ID.String(), Name: u.Name, Tenant: t.ID, Role: Owner, RequestID: from.RequestID, IP: from.IP}
	for try := 0; ; try++ {
		err := create(t, key, who)
		if !fault.IsCode(err, "tenant.slug_taken") || try == 5 {
			return t, err
		}
		t.Slug = slug(name) + "-" + strings.ToLower(rand.Text()[:4+try])
	}
}

// slug is the short name that addresses a tenant: "Café Ünal & Co." becomes "cafe-unal-co".
func slug(name string) string {
	plain, _, err := transform.String(transform.Chain(norm.NFKD, runes.Remove(runes.In(unicode.Mn))), name)
	if err != nil {
		plain = name
	}
	words := strings.FieldsFunc(strings.ToLower(plain), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	s := strings.Join(words, "-")
	s = strings.Trim(s[:min(len(s), 40)], "-")
	if s == "" {
		return "tenant"
	}
	return s
}

func tidyZone(name string) (string, []fault.Field) {
	if name == "" {
		return "UTC", nil
	}
	if _, err := time.LoadLocation(name); err != nil || name == "Local" {
		return name, []fault.Field{{Pointer: "/timeZone", Code: "auth.time_zone_unknown", Message: "There is no such time zone.", Remedy: "Write an IANA name such as Europe/Berlin, or UTC."}}
	}
	return name, nil
}

// clean makes text from outside fit for the database: no NUL, no broken UTF-8.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
