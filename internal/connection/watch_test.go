// SPDX-License-Identifier: Apache-2.0

package connection_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
)

// run runs a statement as the owner of the database.
func (b *bench) run(sql string, args ...any) {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

// watch lets what is due be looked at.
func (b *bench) watch() int {
	b.t.Helper()
	n, err := b.WatchOnce(b.t.Context(), b.db.Operator().DueConnections, slog.New(slog.DiscardHandler))
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// told are the types of events about connections so far, changes left out.
func (b *bench) told() (out []string) {
	b.t.Helper()
	var text string
	if err := b.ownerRow(`SELECT coalesce(string_agg(type || ' ' || coalesce(data ->> 'days', ''), ',' ORDER BY id), '') FROM events WHERE type IN ('connection.unhealthy', 'connection.recovered', 'connection.expiring') AND $1 <> ''`, &text, "x"); err != nil {
		b.t.Fatal(err)
	}
	for _, s := range strings.Split(text, ",") {
		if s != "" {
			out = append(out, strings.TrimSpace(s))
		}
	}
	return out
}

// A connection is looked at when it is due, more often while it does not answer; what was found is a history, and those who listen hear of
// the turns, once each.
func TestHealthHasAHistory(t *testing.T) {
	b := setUp(t, connection.GuardOptions{})
	var down error
	b.probe.check = func() error { return down }
	c := b.make("shop", connector.Settings{"host": "h"})
	history := func() connection.History {
		t.Helper()
		_, h, err := b.History(t.Context(), b.who, "shop")
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	now := func() { b.run(`UPDATE connection_health SET next_check_at = now() - interval '1 second'`) }
	if n := b.watch(); n != 0 {
		t.Fatalf("%d were looked at before they were due", n)
	}
	between := func(what string, least, most time.Duration) {
		t.Helper()
		if d := time.Until(history().Vitals.NextCheckAt); d < least || d > most {
			t.Errorf("%s: the next look is in %s", what, d)
		}
	}
	now()
	if n := b.watch(); n != 1 {
		t.Fatalf("%d were due", n)
	}
	between("healthy, unused", 23*time.Minute, 37*time.Minute)
	now()
	b.watch()
	if h := history(); len(h.Spells) != 1 || h.Spells[0].State != connection.Healthy || h.Spells[0].Checks != 2 || h.Vitals.Failures != 0 {
		t.Errorf("after two good looks: %+v", h)
	}
	down = &connector.Error{Class: connector.Retry, Code: "http.unreachable", Message: "It does not answer."}
	last := time.Duration(0)
	for i := range 3 {
		now()
		b.watch()
		d := time.Until(history().Vitals.NextCheckAt)
		if least, most := 24*time.Second<<i, 37*time.Second<<i; d < least-2*time.Second || d > most {
			t.Errorf("after %d failures the next look is in %s", i+1, d)
		}
		last = d
	}
	if h := history(); last < time.Minute || h.Vitals.Failures != 3 || len(h.Spells) != 2 || h.Spells[0].State != connection.Degraded || h.Spells[0].Checks != 3 || h.Spells[0].Reason != "It does not answer." {
		t.Errorf("while it is down: %+v", h)
	}
	if told := b.told(); !slices.Equal(told, []string{"connection.unhealthy"}) {
		t.Errorf("told was %v", told)
	}
	down = nil
	now()
	b.watch()
	if told := b.told(); !slices.Equal(told, []string{"connection.unhealthy", "connection.recovered"}) {
		t.Errorf("then told was %v", told)
	}
	between("healthy again", 23*time.Minute, 37*time.Minute)
	// An hour up, an hour down, an hour up: two thirds. What nobody looked at for long is not counted.
	b.run(`DELETE FROM connection_spells`)
	for i, s := range []string{"healthy", "degraded", "healthy"} {
		b.run(`INSERT INTO connection_spells (tenant_id, connection_id, since, seen_at, state) VALUES ($1, $2, now() - make_interval(hours => $3), now() - make_interval(hours => $4), $5)`, b.id.String(), c.ID.String(), 3-i, 2-i, s)
	}
	b.run(`INSERT INTO connection_spells (tenant_id, connection_id, since, seen_at, state) VALUES ($1, $2, now() - interval '40 hours', now() - interval '39 hours', 'expired')`, b.id.String(), c.ID.String())
	h := history()
	if len(h.Spells) != 4 || h.Up[0] < 0.66 || h.Up[0] > 0.67 || h.Up[1] < 0.49 || h.Up[1] > 0.51 || h.Up[2] != h.Up[1] {
		t.Errorf("it was up %v of %d spells", h.Up, len(h.Spells))
	}
	// It is bounded.
	b.run(`INSERT INTO connection_spells (tenant_id, connection_id, since, seen_at, state, reason) SELECT $1::uuid, $2::uuid, now() - make_interval(mins => n), now() - make_interval(mins => n), 'degraded', n::text FROM generate_series(200, 900) n`, b.id.String(), c.ID.String())
	now()
	b.watch()
	var kept int
	if err := b.ownerRow(`SELECT count(*) FROM connection_spells WHERE connection_id = $1`, &kept, c.ID.String()); err != nil || kept != 500 {
		t.Errorf("%d spells are kept, %v", kept, err)
	}
	// Two processes share the work.
	b.make("other", connector.Settings{"host": "h"})
	now()
	first, err := b.db.Operator().DueConnections(t.Context(), 10)
	second, err2 := b.db.Operator().DueConnections(t.Context(), 10)
	if err != nil || err2 != nil || len(first) != 2 || len(second) != 0 {
		t.Errorf("due are %d, then %d, %v %v", len(first), len(second), err, err2)
	}
}

// A use that fails counts as well as a look.
func TestAUseIsPartOfTheHistory(t *testing.T) {
	b := setUp(t, connection.GuardOptions{})
	b.probe.check = func() error { return nil }
	b.make("shop", connector.Settings{"host": "h"})
	if err := b.Report(t.Context(), b.id, "shop", &connector.Error{Class: connector.Reconnect, Code: "x", Message: "The password is wrong."}); err != nil {
		t.Fatal(err)
	}
	if err := b.Report(t.Context(), b.id, "shop", nil); err != nil {
		t.Fatal(err)
	}
	_, h, err := b.History(t.Context(), b.who, "shop")
	if told := b.told(); err != nil || len(h.Spells) != 2 || h.Spells[1].Reason != "The password is wrong." || !slices.Equal(told, []string{"connection.unhealthy", "connection.recovered"}) {
		t.Errorf("%+v, told %v, %v", h.Spells, told, err)
	}
}

func certificate(t *testing.T, end time.Time) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// Credentials that say when they end are told of 14 and 3 days before and at the end, once each, and again when the next one ends.
func TestEndsAreToldOf(t *testing.T) {
	b := setUp(t, connection.GuardOptions{})
	b.probe.check = func() error { return nil }
	day := 24 * time.Hour
	look := func(left time.Duration, kind string) connection.Vitals {
		t.Helper()
		end := time.Now().Add(left).Truncate(time.Second)
		password := certificate(t, end)
		if kind == "token" {
			password = "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, end.Unix())) + ".x"
		}
		if _, err := b.Update(t.Context(), b.who, "shop", connection.Change{Settings: connector.Settings{"host": "h", "password": password}}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := b.Test(t.Context(), b.who, "shop"); err != nil {
				t.Fatal(err)
			}
		}
		_, h, err := b.History(t.Context(), b.who, "shop")
		if err != nil || h.Vitals.EndsAt == nil || !h.Vitals.EndsAt.Equal(end) || !strings.Contains(h.Vitals.Ends, "Password") {
			t.Fatalf("%s, %s: %+v, %v", left, kind, h.Vitals, err)
		}
		return h.Vitals
	}
	b.make("shop", connector.Settings{"host": "h"})
	for _, step := range []struct {
		left time.Duration
		kind string
		told string
	}{
		{30 * day, "certificate", ""},
		{13 * day, "certificate", "connection.expiring 14"},
		{10 * day, "certificate", ""},
		{2 * day, "certificate", "connection.expiring 3"},
		{-time.Hour, "certificate", "connection.expiring 0"},
		{200 * day, "token", ""},
		{12 * day, "token", "connection.expiring 14"},
	} {
		before := len(b.told())
		look(step.left, step.kind)
		if got := strings.Join(b.told()[before:], ","); got != step.told {
			t.Errorf("%s left: told was %q, want %q", step.left, got, step.told)
		}
	}
}

// A reset forgets the token and looks anew; what a person gave, and everything else, stays.
func TestReset(t *testing.T) {
	b := setUp(t, connection.GuardOptions{})
	b.probe.check = func() error { return errors.New("down") }
	c := b.make("crm", connector.Settings{"host": "h"})
	creds := b.env("crm").Credentials
	renew := func(kept map[string]string) {
		t.Helper()
		if _, err := creds.Renew(t.Context(), kept["access_token"], func(context.Context, map[string]string) (map[string]string, error) { return kept, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Test(t.Context(), b.who, "crm"); err != nil {
		t.Fatal(err)
	}
	renew(map[string]string{"access_token": "a", "refresh_token": "r"})
	if _, err := b.Reset(t.Context(), b.who, "crm"); err != nil {
		t.Fatal(err)
	}
	if kept, err := b.env("crm").Credentials.Load(t.Context()); err != nil || kept != nil {
		t.Errorf("after a reset kept is %v, %v", kept, err)
	}
	_, h, err := b.History(t.Context(), b.who, "crm")
	if err != nil || h.Vitals.Failures != 0 || time.Until(h.Vitals.NextCheckAt) > 0 || len(h.Spells) != 1 {
		t.Errorf("after a reset: %+v, %v", h, err)
	}
	creds = b.env("crm").Credentials
	renew(map[string]string{"access_token": "a", "refresh_token": "r", connector.Granted: "code", "setting.host": "x"})
	if _, err := b.Reset(t.Context(), b.who, c.ID.Public()); err != nil {
		t.Fatal(err)
	}
	if kept, err := b.env("crm").Credentials.Load(t.Context()); err != nil || kept["access_token"] != "" || kept["refresh_token"] != "r" || kept[connector.Granted] != "code" || kept["setting.host"] != "x" {
		t.Errorf("after a reset of what a person gave, kept is %v, %v", kept, err)
	}
	var audited int
	if err := b.ownerRow(`SELECT count(*) FROM audit_log WHERE action = 'connection.reset' AND $1 <> ''`, &audited, "x"); err != nil || audited != 2 {
		t.Errorf("%d audit entries, %v", audited, err)
	}
}
