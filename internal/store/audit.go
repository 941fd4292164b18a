// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/store/internal/db"
)

// Audit appends an act to the tenant's audit log: the entry is there when, and only if, the transaction commits. Seq, At,
// Prev and Hash are filled in here. Entries of one tenant are written one after the other: from here to the commit other
// changes of the tenant that are audited wait, so it is called last.
func (t *Tx) Audit(ctx context.Context, e audit.Entry) error {
	head, err := t.q.AdvanceAuditHead(ctx)
	if err != nil {
		return unavailable(err)
	}
	// PostgreSQL's text holds no NUL and no broken UTF-8, and what comes from a client may.
	for _, s := range []*string{&e.ActorKind, &e.ActorID, &e.ActorName, &e.Action, &e.Subject, &e.RequestID, &e.IP} {
		*s = clean(*s)
	}
	if len(e.Detail) == 0 {
		e.Detail = json.RawMessage("{}")
	}
	e.Seq, e.At, e.Prev = head.Seq, t.now, head.Hash
	e.Hash = e.Sum()
	return unavailable(t.q.InsertAuditEntry(ctx, db.InsertAuditEntryParams{
		Seq: e.Seq, At: e.At, ActorKind: e.ActorKind, ActorID: e.ActorID, ActorName: e.ActorName, Action: e.Action,
		Subject: e.Subject, Detail: e.Detail, RequestID: e.RequestID, Ip: e.IP, PrevHash: e.Prev, Hash: e.Hash,
	}))
}

// clean makes text from outside fit for a text column.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// AuditEntries returns entries of the tenant's log, newest first.
func (t *Tx) AuditEntries(ctx context.Context, f audit.Filter) ([]audit.Entry, error) {
	if f.Limit <= 0 {
		f.Limit = 25
	}
	rows, err := t.q.AuditEntries(ctx, db.AuditEntriesParams{
		Before: f.Before, Actor: clean(f.Actor), Action: clean(f.Action), Subject: clean(f.Subject),
		Since: optional(f.Since), Until: optional(f.Until), Page: int32(min(f.Limit, 1000)),
	})
	if err != nil {
		return nil, unavailable(err)
	}
	entries := make([]audit.Entry, len(rows))
	for i, r := range rows {
		entries[i] = auditEntry(r)
	}
	return entries, nil
}

// VerifyAudit reads the tenant's whole log and checks that it is as it was written, up to the end it had when this began.
func (t *Tx) VerifyAudit(ctx context.Context) (audit.Report, error) {
	end, err := t.q.AuditHead(ctx)
	if err != nil {
		return audit.Report{}, unavailable(err)
	}
	r := audit.Report{Head: audit.Head{Seq: end.Seq, Hash: end.Hash}}
	prev := []byte{}
	for r.Entries < end.Seq {
		rows, err := t.q.AuditChain(ctx, db.AuditChainParams{After: r.Entries, Upto: end.Seq, Page: 1000})
		if err != nil {
			return audit.Report{}, unavailable(err)
		}
		entries := make([]audit.Entry, len(rows))
		for i, row := range rows {
			entries[i] = auditEntry(db.AuditEntriesRow(row))
		}
		if len(entries) == 0 || entries[0].Seq != r.Entries+1 {
			r.BrokenAt = r.Entries + 1 // dropped
			return r, nil
		}
		if at := audit.Verify(prev, entries); at >= 0 {
			r.Entries += int64(at)
			r.BrokenAt = r.Entries + 1
			return r, nil
		}
		r.Entries += int64(len(entries))
		prev = entries[len(entries)-1].Hash
	}
	switch {
	case string(prev) != string(end.Hash):
		r.BrokenAt = max(end.Seq, 1) // the end is not the one that was written last
	case end.Rows != end.Seq:
		r.BrokenAt = end.Seq + 1 // added behind the end, or before the beginning
	}
	return r, nil
}

func auditEntry(r db.AuditEntriesRow) audit.Entry {
	return audit.Entry{
		Seq: r.Seq, At: r.At, ActorKind: r.ActorKind, ActorID: r.ActorID, ActorName: r.ActorName, Action: r.Action,
		Subject: r.Subject, Detail: r.Detail, RequestID: r.RequestID, IP: r.Ip, Prev: r.PrevHash, Hash: r.Hash,
	}
}

// optional is nil for the zero time.
func optional(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}
