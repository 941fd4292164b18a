// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// How often connections are looked at. Each pause is a fifth shorter or longer, by chance, so that they do not come all at once.
const (
	checkUsed     = 5 * time.Minute  // a healthy one that services use
	checkUnused   = 30 * time.Minute // one that none uses
	checkBack     = 30 * time.Second // one that does not answer; twice as long each time
	checkBackMost = 10 * time.Minute
	checkMend     = 20 * time.Minute // one that a person must mend: it may have been mended over there
	spellGap      = 2 * time.Hour    // longer without a look and nobody knows what was between
	dueAtOnce     = 6
)

// Vitals is what is known of how a connection does beside its state.
type Vitals struct {
	NextCheckAt   time.Time
	Failures      int // in a row
	Took          time.Duration
	EndsAt        *time.Time // the first known end of a credential
	Ends          string     // which: "the certificate of Client certificate"
	Noticed       *int       // the last notice that was given: 14, 3 or 0 days before
	QuotaLeft     *float64   // what the vendor last said is left, of QuotaOf
	QuotaOf       *float64
	QuotaResetsAt *time.Time
	QuotaAt       *time.Time
	Endpoint      string // the second address, while the first cannot be reached
}

// Spell is a time during which a connection was found in one state for one reason.
type Spell struct {
	Since  time.Time
	SeenAt time.Time // when it was last found so
	State  State
	Reason string
	Checks int
}

// Due is a connection to be looked at.
type Due struct {
	Tenant     tenant.ID
	Connection ID
}

// HealthTx is what looking after connections needs of a transaction.
type HealthTx interface {
	Vitals(ctx context.Context, id ID) (Vitals, error)
	SaveVitals(ctx context.Context, id ID, v Vitals) error
	NoteSpell(ctx context.Context, c Connection, gap time.Duration) error
	// Spells are those that were seen after a time, the newest first.
	Spells(ctx context.Context, id ID, after time.Time, limit int) ([]Spell, error)
	// RetryServicesUsing ends the pause after a failure of the services that use the connections of these names.
	RetryServicesUsing(ctx context.Context, names ...string) error
	// TellReset tells all processes to forget what they know of an account.
	TellReset(ctx context.Context, account string) error
}

// seen is what one look found beside the error.
type seen struct {
	looked bool // it was a look, not a remark of somebody who used the connection
	took   time.Duration
	endsAt time.Time
	ends   string
	gauges connector.Gauges
	gauged bool
}

// look opens a connection, checks it, and reads off what there is to read.
func (m *Manager) look(ctx context.Context, id tenant.ID, c Connection) (s seen, err error) {
	s.looked = true
	s.endsAt, s.ends = m.end(ctx, id, c)
	began := time.Now()
	err = m.tryAnd(ctx, func(ctx context.Context) (connector.System, error) {
		system, _, err := m.Open(ctx, id, c.ID.Public(), connector.Env{Consumer: c.ID.Public()})
		return system, err
	}, func(system connector.System) {
		// What it does not bring is said by the look itself, or found by looking for changes.
		_, _ = m.listen(ctx, id, c.ID.Public(), "", system)
		if g, ok := system.(connector.Gauged); ok {
			s.gauges, s.gauged = g.Gauges(), true
		}
	})
	s.took = time.Since(began)
	return s, err
}

// end is the first known end of what the connection proves itself with: what a vendor said of a grant, certificates, tokens that say it
// themselves.
func (m *Manager) end(ctx context.Context, id tenant.ID, c Connection) (at time.Time, what string) {
	sooner := func(t time.Time, of string) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at, what = t, of
		}
	}
	kept, err := m.tokensOf(id, c.ID).Load(ctx)
	if err == nil && kept[connector.Granted] != "" {
		if t, err := time.Parse(time.RFC3339, kept["refresh_expires_at"]); err == nil {
			sooner(t, "the access that was given in the browser")
		} else if t, err := time.Parse(time.RFC3339, kept["expires_at"]); err == nil && kept["refresh_token"] == "" {
			sooner(t, "the access that was given in the browser")
		}
	}
	_, found, sealed, err := m.unsealed(ctx, id, c.ID.Public())
	if err != nil {
		return at, what
	}
	settings, err := m.resolve(ctx, id, c, sealed)
	if err != nil {
		return at, what
	}
	for name, value := range settings {
		title := name
		if s, ok := found.Spec().Setting(name); ok && s.Title != "" {
			title = s.Title
		}
		for rest := []byte(value); ; {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if cert, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
				sooner(cert.NotAfter, "the certificate in "+title)
			}
		}
		sooner(endOfToken(value), title)
	}
	return at, what
}

// endOfToken reads the end of a JSON Web Token off it. Nothing is trusted in it: it is our own credential.
func endOfToken(value string) time.Time {
	parts := strings.Split(value, ".")
	if len(parts) != 3 || !strings.HasPrefix(value, "ey") {
		return time.Time{}
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		End float64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(body, &claims) != nil || claims.End < 1e8 || claims.End > 1e11 {
		return time.Time{}
	}
	return time.Unix(int64(claims.End), 0)
}

// notices are the days before an end at which it is told of.
var notices = []int{0, 3, 14}

// due is the notice that is to be given for an end, nil while it is far.
func notice(end, now time.Time) *int {
	for _, days := range notices {
		if end.Sub(now) <= time.Duration(days)*24*time.Hour {
			return &days
		}
	}
	return nil
}

// pause is how long until the next look.
func pause(c Connection, failures int, used bool) time.Duration {
	d := checkUsed
	switch {
	case c.State == Degraded:
		d = min(checkBack<<min(max(0, failures-1), 10), checkBackMost)
	case c.State != Healthy && c.State != Unchecked:
		d = checkMend
	case !used:
		d = checkUnused
	}
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// vitals notes what a look or a use found, in the transaction that writes the state: the history, when to look next, ends that come near,
// and what changed for those who are told.
func (m *Manager) vitals(ctx context.Context, tx Tx, before State, c Connection, s seen) error {
	v, err := tx.Vitals(ctx, c.ID)
	if err != nil {
		return err
	}
	using, err := usedBy(ctx, tx, c)
	if err != nil {
		return err
	}
	if v.Failures++; c.State == Healthy {
		v.Failures = 0
	}
	v.NextCheckAt = tx.Now().Add(pause(c, v.Failures, len(using) > 0))
	if s.looked {
		v.Took, v.EndsAt, v.Ends = s.took, nil, s.ends
		due := (*int)(nil)
		if !s.endsAt.IsZero() {
			v.EndsAt, due = &s.endsAt, notice(s.endsAt, tx.Now())
		}
		if due != nil && (v.Noticed == nil || *due < *v.Noticed) {
			err := tx.Emit(ctx, "connection.expiring", ownerOf(c), map[string]any{"id": c.ID.Public(), "name": c.Name, "what": v.Ends, "endsAt": v.EndsAt.UTC(), "days": *due})
			if err != nil {
				return err
			}
		}
		v.Noticed = due
	}
	if s.gauged {
		v.Endpoint = s.gauges.Endpoint
		if q := s.gauges.Quota; q != nil {
			at := tx.Now()
			v.QuotaLeft, v.QuotaOf, v.QuotaAt, v.QuotaResetsAt = &q.Left, &q.Of, &at, nil
			if !q.ResetsAt.IsZero() {
				v.QuotaResetsAt = &q.ResetsAt
			}
		}
	}
	if err := tx.SaveVitals(ctx, c.ID, v); err != nil {
		return err
	}
	if err := tx.NoteSpell(ctx, c, spellGap); err != nil {
		return err
	}
	was, is := before != Healthy && before != Unchecked, c.State != Healthy
	if was == is {
		return nil
	}
	data := map[string]any{"id": c.ID.Public(), "name": c.Name, "state": c.State, "reason": c.Reason}
	if is {
		return tx.Emit(ctx, "connection.unhealthy", ownerOf(c), data)
	}
	delete(data, "reason")
	if err := tx.Emit(ctx, "connection.recovered", ownerOf(c), data); err != nil {
		return err
	}
	return tx.RetryServicesUsing(ctx, c.Name)
}

// Watch looks at connections when they are due, until ctx ends; due gives those of all tenants to one process at a time.
func (m *Manager) Watch(ctx context.Context, due func(ctx context.Context, limit int) ([]Due, error), log *slog.Logger) error {
	every := time.NewTicker(5 * time.Second)
	defer every.Stop()
	for {
		n, err := m.WatchOnce(ctx, due, log)
		if err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "looking for connections to check", "error", err)
		}
		if n == dueAtOnce && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
	}
}

// WatchOnce looks at those that are due now, some at once, and says how many.
func (m *Manager) WatchOnce(ctx context.Context, due func(ctx context.Context, limit int) ([]Due, error), log *slog.Logger) (int, error) {
	list, err := due(ctx, dueAtOnce)
	if err != nil {
		return 0, err
	}
	var all sync.WaitGroup
	for _, d := range list {
		all.Go(func() {
			if _, err := m.check(ctx, d.Tenant, d.Connection.Public()); err != nil && ctx.Err() == nil && !fault.IsCode(err, "connection.not_found") {
				log.WarnContext(ctx, "checking a connection", "tenant", d.Tenant, "connection", d.Connection.Public(), "error", err)
			}
		})
	}
	all.Wait()
	return len(list), nil
}

// check looks at a connection and records what it found.
func (m *Manager) check(ctx context.Context, id tenant.ID, ref string) (Connection, error) {
	var c Connection
	err := m.inTx(ctx, id, func(tx Tx) (err error) {
		c, err = tx.Connection(ctx, ref)
		return err
	})
	if err != nil {
		return Connection{}, err
	}
	s, tried := m.look(ctx, id, c)
	if ctx.Err() != nil {
		return Connection{}, ctx.Err()
	}
	if fault.KindOf(tried) == fault.Unavailable {
		return Connection{}, tried // our own database, or the master key: it says nothing of the connection
	}
	return m.record(ctx, id, c, tried, s)
}

// History is how a connection did.
type History struct {
	Vitals Vitals
	Spells []Spell // the newest first, of the last 30 days
	// Up are the parts of the known time of the last day, week and 30 days in which it was healthy; -1 where nothing is known.
	Up [3]float64
}

// History says how a connection did in the last 30 days.
func (m *Manager) History(ctx context.Context, who auth.Principal, ref string) (c Connection, h History, err error) {
	if err := who.May(auth.ViewConnections); err != nil {
		return c, h, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		if c, err = tx.Connection(ctx, ref); err != nil {
			return err
		}
		if h.Vitals, err = tx.Vitals(ctx, c.ID); err != nil {
			return err
		}
		h.Spells, err = tx.Spells(ctx, c.ID, tx.Now().AddDate(0, 0, -30), 500)
		for i, days := range []int{1, 7, 30} {
			h.Up[i] = up(h.Spells, tx.Now().AddDate(0, 0, -days), tx.Now())
		}
		return err
	})
	return c, h, err
}

// Ends is when a spell ended: with the next one, unless nobody looked for long. next is the one after it, nil for the last.
func (s Spell) Ends(next *Spell, now time.Time) time.Time {
	end := now
	if next != nil {
		end = next.Since
	}
	if end.Sub(s.SeenAt) > spellGap {
		return s.SeenAt
	}
	return end
}

// up is the healthy part of the time that something is known of; -1 when nothing is.
func up(spells []Spell, from, now time.Time) float64 {
	var healthy, known time.Duration
	for i, s := range spells {
		var next *Spell
		if i > 0 {
			next = &spells[i-1]
		}
		since, end := s.Since, s.Ends(next, now)
		if since.Before(from) {
			since = from
		}
		if s.State == Unchecked || !end.After(since) {
			continue
		}
		known += end.Sub(since)
		if s.State == Healthy {
			healthy += end.Sub(since)
		}
	}
	if known == 0 {
		return -1
	}
	return float64(healthy) / float64(known)
}

// Reset makes a connection begin anew: all processes forget its breaker, pauses and budgets, its token is bought anew, services open it
// anew and ask again what it has. Links, cursors and what a person gave access to stay.
func (m *Manager) Reset(ctx context.Context, who auth.Principal, ref string) (c Connection, err error) {
	if err := who.May(auth.EditConnections); err != nil {
		return c, err
	}
	if c, err = m.Get(ctx, who, ref); err != nil {
		return c, err
	}
	account := ""
	system, _, opened := m.Open(ctx, who.Tenant, c.ID.Public(), connector.Env{Consumer: c.ID.Public()})
	if opened == nil { // what cannot be opened has nothing to forget but its token
		if a, ok := system.(connector.Gauged); ok {
			account = a.Account()
		}
		_ = system.Close() // nothing was written through it
	}
	kept, err := m.tokensOf(who.Tenant, c.ID).Load(ctx)
	if err != nil {
		return c, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		key, err := tx.TenantKeyToSeal(ctx)
		if err != nil {
			return err
		}
		if c, err = tx.LockConnection(ctx, c.ID.Public()); err != nil {
			return err
		}
		if err := m.forgetToken(ctx, tx, key, c, kept); err != nil {
			return err
		}
		v, err := tx.Vitals(ctx, c.ID)
		if err != nil {
			return err
		}
		v.NextCheckAt, v.Failures, v.Endpoint = tx.Now(), 0, ""
		v.QuotaLeft, v.QuotaOf, v.QuotaAt, v.QuotaResetsAt = nil, nil, nil, nil
		if err := tx.SaveVitals(ctx, c.ID, v); err != nil {
			return err
		}
		if account != "" {
			if err := tx.TellReset(ctx, account); err != nil {
				return err
			}
		}
		if err := tx.RestartServicesUsing(ctx, c.Name); err != nil {
			return err
		}
		if err := changed(ctx, tx, c); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("connection.reset", c.ID.Public(), map[string]any{"name": c.Name}))
	})
	return c, err
}
