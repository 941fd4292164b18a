// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/connector"
)

// Read returns the next page: of the snapshot, then of the changes.
func (s *system) Read(ctx context.Context, req connector.ReadRequest) (page connector.Page, err error) {
	if req.Limit < 1 || req.Limit > 10_000 {
		return page, &connector.Error{Class: connector.Reject, Code: "postgresql.limit", Message: fmt.Sprintf("A page of %d changes cannot be read; ask for 1 to 10,000.", req.Limit)}
	}
	err = s.on(ctx, "reading changes", func(c *pgconn.PgConn) error {
		page, err = s.read(ctx, c, req)
		return err
	})
	if connector.Classify(err).Class == connector.Drift {
		s.forget(req.Object)
	}
	if err != nil {
		return connector.Page{}, err
	}
	return page, nil
}

func (s *system) read(ctx context.Context, c *pgconn.PgConn, req connector.ReadRequest) (connector.Page, error) {
	t, err := s.table(ctx, c, req.Object)
	if err != nil {
		return connector.Page{}, err
	}
	var p place
	if req.Cursor == nil {
		ch, err := s.choose(ctx, c, t)
		if err != nil {
			return connector.Page{}, err
		}
		p = place{By: ch.by, Relation: t.oid, Snapshot: true}
		if err := s.begin(ctx, c, t, &p); err != nil {
			return connector.Page{}, err
		}
		if p.Total, err = s.total(ctx, c, t); err != nil {
			return connector.Page{}, err
		}
	} else {
		if p, err = placeOf(req.Cursor, t); err != nil {
			return connector.Page{}, err
		}
		if d := s.env.Detection; d != "" && d != "auto" && d != p.By {
			return connector.Page{}, lostPlace("detection_changed", "Changes of %s were detected by %s and are now to be by %s; the table is read anew.", t.sql(), p.By, d)
		}
	}
	if p.Snapshot && p.By != byHash {
		return s.snapshotPage(ctx, c, t, p, req)
	}
	switch p.By {
	case byTrigger:
		return s.readChangeLog(ctx, c, t, p, req)
	case byLog:
		return s.readStream(ctx, c, t, p, req)
	case byTimestamp:
		return s.readByTime(ctx, c, t, p, req)
	case byHash:
		return s.readByHash(ctx, c, t, p, req)
	}
	return connector.Page{}, lostPlace("cursor_unreadable", "The stored position is not one of this connector; the table %s is read anew.", t.sql())
}

// begin prepares the detection and takes the stream's position before the first row of the snapshot is read.
func (s *system) begin(ctx context.Context, c *pgconn.PgConn, t *table, p *place) error {
	switch p.By {
	case byTrigger:
		return s.beginChangeLog(ctx, c, t, p)
	case byLog:
		return s.beginStream(ctx, c, t, p)
	case byTimestamp:
		return s.beginByTime(ctx, c, t, p)
	}
	return s.beginByHash(ctx, c, t, p)
}
