// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// A consistency token stands for a write. A read that shows it is answered when the systems that the answer tells of have what was
// written, and a write that shows it is made only then: no system sees it before what its writer had seen. A token that a write
// answers with so stands for all that its own tokens stood for, and never grows.
//
// This file makes and reads tokens and waits for what they stand for.

// wrote is what a token stands for: a record at a version, the run that reads one, or what one act wrote of several.
type wrote struct {
	Service uuid.UUID  `json:"s"`
	Record  uuid.UUID  `json:"r,omitzero"`
	Version int64      `json:"v,omitempty"`
	Run     uuid.UUID  `json:"u,omitzero"`
	Key     record.Key `json:"k,omitempty"` // of the run's record
	First   uuid.UUID  `json:"f,omitzero"`  // the lines of the history that an act on several records wrote
	Last    uuid.UUID  `json:"l,omitzero"`
	Actor   string     `json:"a,omitempty"` // whose lines they are
}

// Limits of tokens that are shown.
const (
	mostTokens = 20
	mostWait   = 20 * time.Second
)

// tokens signs them, so that nobody can make one up, or use it for another tenant.
type tokens struct{ keys [][]byte }

func newTokens(sealing [][]byte) tokens { return tokens{subkeys(sealing, "consistency")} }

func (t tokens) signature(key []byte, id tenant.ID, b []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id.String()))
	mac.Write([]byte{0})
	mac.Write(b)
	return mac.Sum(nil)[:signatureSize]
}

func (t tokens) write(id tenant.ID, w wrote) string {
	b, err := json.Marshal(w)
	if err != nil {
		panic(err) // ids and numbers
	}
	return base64.RawURLEncoding.EncodeToString(append(t.signature(t.keys[0], id, b), b...))
}

// tokenOfAct stands for what an act wrote of several records.
func (s *server) tokenOfAct(ctx context.Context, id service.ID, of record.Span) string {
	return s.tokens.write(who(ctx).Tenant, wrote{Service: uuid.UUID(id), First: of.First, Last: of.Last, Actor: of.Actor})
}

// tokenIfWrote is tokenOfAct, and nil for an act that wrote nothing.
func (s *server) tokenIfWrote(ctx context.Context, id service.ID, of record.Span) *string {
	if of.IsZero() {
		return nil
	}
	return new(s.tokenOfAct(ctx, id, of))
}

// read reads the tokens of a header: one, or several with commas between them.
func (t tokens) read(id tenant.ID, header string) ([]wrote, error) {
	var list []wrote
	for text := range strings.SplitSeq(header, ",") {
		w, ok := t.readOne(id, strings.TrimSpace(text))
		if !ok || len(list) == mostTokens {
			return nil, fault.New(fault.Malformed, "consistency.token_invalid", "Syncline-Consistency-Token has something that no write of this tenant answered with, or more than %d tokens. Send the tokens as they were given, with commas between them.", mostTokens)
		}
		list = append(list, w)
	}
	return list, nil
}

func (t tokens) readOne(id tenant.ID, text string) (w wrote, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) <= signatureSize {
		return w, false
	}
	for _, key := range t.keys {
		if hmac.Equal(b[:signatureSize], t.signature(key, id, b[signatureSize:])) {
			return w, json.Unmarshal(b[signatureSize:], &w) == nil
		}
	}
	return w, false
}

// tokenOf stands for the record as it is.
func (s *server) tokenOf(ctx context.Context, id service.ID, e *record.Entity) string {
	return s.tokens.write(who(ctx).Tenant, wrote{Service: uuid.UUID(id), Record: uuid.UUID(e.ID), Version: e.Version})
}

// tokenOfRun stands for the record that the run reads, which is known once it is over.
func (s *server) tokenOfRun(ctx context.Context, r service.Run, key record.Key) string {
	return s.tokens.write(who(ctx).Tenant, wrote{Service: uuid.UUID(r.Service), Run: uuid.UUID(r.ID), Key: key})
}

// waitFor is how long a request wants to wait, by its `Prefer: wait=seconds` (RFC 7240). A preference that cannot be read, or be
// met, is none.
func waitFor(prefer *string) time.Duration {
	for part := range strings.SplitSeq(word(prefer), ",") {
		if name, value, _ := strings.Cut(strings.TrimSpace(part), "="); strings.EqualFold(name, "wait") {
			if n, err := strconv.Atoi(strings.Trim(value, `"`)); err == nil && n >= 0 {
				return min(time.Duration(n)*time.Second, mostWait)
			}
		}
	}
	return syncWait
}

// reach waits until the systems have what the tokens stand for; all systems where none is named. Faults: consistency.token_invalid,
// consistency.not_reached when it takes longer than the request waits, consistency.blocked when waiting would not help.
func (s *server) reach(ctx context.Context, token, prefer *string, systems []string) error {
	if word(token) == "" {
		return nil
	}
	list, err := s.tokens.read(who(ctx).Tenant, *token)
	if err != nil {
		return err
	}
	if err := who(ctx).May(auth.ViewRecords); err != nil { // whether a record has arrived tells something of it
		return err
	}
	until := time.Now().Add(waitFor(prefer))
	for _, w := range list {
		for {
			missing, err := s.missing(ctx, w, systems)
			if err != nil {
				return err
			}
			if missing == "" {
				break
			}
			if !time.Now().Before(until) {
				f := fault.New(fault.Unavailable, "consistency.not_reached", "What the token stands for has not arrived everywhere: %s Try again with the same token.", missing)
				return &httpError{cause: f, retryAfter: 1}
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(syncLook):
			}
		}
	}
	return nil
}

// missing says in one sentence what of the write is still to arrive; "" for nothing.
func (s *server) missing(ctx context.Context, w wrote, systems []string) (string, error) {
	sid, ref := service.ID(w.Service), ident.Format(ident.Entity, w.Record)
	if w.Run != uuid.Nil {
		switch r, err := s.Services.Run(ctx, who(ctx), service.RunID(w.Run)); {
		case fault.KindOf(err) == fault.NotFound:
			return "", nil // forgotten long since
		case err != nil:
			return "", err
		case !r.Over():
			return fmt.Sprintf("the run %s is %s.", r.ID.Public(), r.State), nil
		}
		ref = string(w.Key)
	}
	_, r, err := s.serviceOf(ctx, sid.Public(), auth.ViewRecords)
	if err != nil {
		return "", goneIsReached(err)
	}
	if w.First != uuid.Nil {
		list, err := s.Records.Outstanding(ctx, who(ctx), sid, record.Span{First: w.First, Last: w.Last, Actor: w.Actor})
		if err != nil {
			return "", err
		}
		return outstanding(list, r.Document, systems)
	}
	d, err := s.Records.Record(ctx, who(ctx), sid, ref)
	if err != nil {
		return "", goneIsReached(err)
	}
	if d.Version < w.Version {
		return fmt.Sprintf("record %s is at version %d, and %d was written.", ref, d.Version, w.Version), nil
	}
	return lacking(&d, r.Document, ref, systems)
}

// goneIsReached: what is not there any more, nobody waits for.
func goneIsReached(err error) error {
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	return err
}

// outstanding says which of the systems lacks what an act wrote. It is a function of its arguments.
func outstanding(list []engine.Outstanding, doc *service.Document, systems []string) (missing string, err error) {
	why := map[string]string{"hold": "changes there wait for somebody to decide", "frozen": "records are frozen", "approval": "records wait for approval",
		"rejected": "it refused some, and dead letters wait for somebody", "in-doubt": "decisions about them wait for somebody"}
	for _, o := range list {
		switch system := string(o.System); {
		case systems != nil && !slices.Contains(systems, system), !slices.Contains(doc.Receiving()[o.Collection], system):
		case o.Blocked != "":
			return "", fault.New(fault.Conflict, "consistency.blocked", "What was written does not reach %s by waiting: %s.", o.System, why[o.Blocked])
		case missing == "":
			missing = fmt.Sprintf("%s is still to get %d of the records.", o.System, o.Records)
		}
	}
	return missing, nil
}

// lacking says which of the systems does not have the record as it is. What waits for a person, or was refused, is a fault. It is a
// function of its arguments.
func lacking(d *engine.Detail, doc *service.Document, ref string, systems []string) (string, error) {
	for _, system := range doc.Receiving()[d.Collection] {
		if systems != nil && !slices.Contains(systems, system) {
			continue
		}
		blocked := func(why string) error {
			return fault.New(fault.Conflict, "consistency.blocked", "Record %s does not reach %s by waiting: %s", ref, system, why)
		}
		w, waits := d.WaitsFor(record.System(system))
		if waits && (w.Reason == "hold" || w.Reason == "frozen" || w.Reason == "approval") {
			return "", blocked(w.Why)
		}
		l := d.Links[record.System(system)]
		_, owed := d.Owed[record.System(system)]
		switch {
		case owed, l != nil && l.State == record.Pending:
			return fmt.Sprintf("%s is still to get record %s.", system, ref), nil
		case l != nil && l.State == record.Rejected:
			return "", blocked("it refused it, and a dead letter waits for somebody.")
		case l != nil && l.State == record.InDoubt:
			return "", blocked("a decision about it waits for somebody.")
		}
	}
	return "", nil
}
