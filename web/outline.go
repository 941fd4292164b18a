// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/service"
)

// An outline is what lists say of a service's document. A revision never changes, so it is kept.
type outline struct {
	direction string
	systems   []SystemRef
	schedule  string
	author    string
	created   time.Time
}

type outlineKey struct {
	service  service.ID
	revision int
}

// outlines keeps those of services that were listed lately.
type outlines struct {
	mu   sync.Mutex
	kept map[outlineKey]outline
}

const outlinesKept = 2000

// outline reads that of a service which the visitor was allowed to list.
func (v *visit) outline(s service.Service) (outline, error) {
	c, key := &v.h.outlines, outlineKey{s.ID, s.Revision}
	c.mu.Lock()
	o, ok := c.kept[key]
	c.mu.Unlock()
	if ok {
		return o, nil
	}
	_, r, err := v.h.Services.Get(v.ctx(), v.who, s.ID.Public())
	if err != nil {
		return o, err
	}
	o = outlineOf(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil || len(c.kept) >= outlinesKept {
		c.kept = map[outlineKey]outline{}
	}
	c.kept[outlineKey{s.ID, r.Number}] = o
	return o, nil
}

func outlineOf(r service.Revision) outline {
	o := outline{direction: string(r.Document.EffectiveDirection()), schedule: scheduleWords(r.Document.Schedule()), author: r.Author, created: r.CreatedAt}
	for _, s := range r.Document.Systems {
		o.systems = append(o.systems, SystemRef{ID: s.ID, Type: s.Type})
	}
	return o
}

// scheduleWords says when runs are due: "as changes happen", "every 15 min", "cron 0 2 * * *, Europe/Berlin".
func scheduleWords(s service.Schedule) string {
	switch s.Kind {
	case service.Realtime:
		return "as changes happen"
	case service.ByInterval:
		d := s.Every.Duration()
		switch {
		case d == time.Minute:
			return "every minute"
		case d == time.Hour:
			return "every hour"
		case d == 24*time.Hour:
			return "every day"
		case d%(24*time.Hour) == 0:
			return fmt.Sprintf("every %d days", d/(24*time.Hour))
		case d%time.Hour == 0:
			return fmt.Sprintf("every %d hours", d/time.Hour)
		case d%time.Minute == 0:
			return fmt.Sprintf("every %d min", d/time.Minute)
		}
		return fmt.Sprintf("every %d s", d/time.Second)
	case service.ByCron:
		text := map[string]string{
			"0 * * * *": "every hour", "0 0 * * *": "every day at 00:00", "0 0 * * 0": "every Sunday at 00:00", "0 0 * * 1": "every Monday at 00:00", "0 0 1 * *": "on the first of each month", "0 0 1 1 *": "on 1 January",
		}[s.Cron]
		if text == "" {
			text = "cron " + s.Cron
		}
		if s.Zone != nil {
			text += ", " + s.Zone.String()
		}
		return text
	}
	return "never by itself"
}
