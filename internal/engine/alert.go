// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/service"
)

// AlertRule is that so many conflicts within a time are an alert.
type AlertRule struct {
	Field  *string // nil: about any field
	Count  int
	Within time.Duration
}

// ConflictAlert is that systems disagreed so often that a rule of the document told of it.
type ConflictAlert struct {
	ID          uuid.UUID
	Service     service.ID
	ServiceName string
	AlertRule
	Conflicts int64 // those within the time when it was raised
	At        time.Time
}

// AlertQuery selects alerts, the newest first.
type AlertQuery struct {
	Service service.ID // zero for all
	Since   time.Time  // zero for all
	Before  uuid.UUID  // go on after this one
	Limit   int
}

func alertRules(doc *service.Document) (list []AlertRule, err error) {
	for _, a := range doc.SyncConfig.ConflictAlerts {
		within, err := service.ParseInterval(a.Within)
		if err != nil {
			return nil, err
		}
		r := AlertRule{Count: a.Count, Within: within.Duration()}
		if a.Field != "" {
			r.Field = &a.Field
		}
		list = append(list, r)
	}
	return list, nil
}

// alert raises the alerts that a page's new conflicts complete, in the commit that writes these: whoever is told finds them.
func (l *lane) alert(ctx context.Context, tx Tx, conflicts []*Conflict) error {
	var due []ConflictAlert
	for _, r := range l.flow.plan.Alerts {
		if slices.ContainsFunc(conflicts, func(c *Conflict) bool { return c.isNew && (r.Field == nil || *r.Field == c.Field) }) {
			due = append(due, ConflictAlert{ID: newID(), Service: l.flow.guard.Service, AlertRule: r})
		}
	}
	if len(due) == 0 {
		return nil
	}
	raised, err := tx.RaiseAlerts(ctx, due)
	if err != nil {
		return err
	}
	for _, a := range raised {
		err := tx.Emit(ctx, "conflict.alert", uuid.UUID(a.Service), map[string]any{
			"alert": ident.Format(ident.ConflictAlert, a.ID), "field": a.Field, "conflicts": a.Conflicts, "count": a.Count, "withinSeconds": int64(a.Within / time.Second)})
		if err != nil {
			return err
		}
	}
	return nil
}

// ConflictAlerts lists alerts.
func (r *Reader) ConflictAlerts(ctx context.Context, who auth.Principal, q AlertQuery) (list []ConflictAlert, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return nil, err
	}
	return list, r.inTx(ctx, who.Tenant, func(tx ReadTx) (err error) {
		list, err = tx.ConflictAlerts(ctx, q)
		return err
	})
}
