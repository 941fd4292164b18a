// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

const (
	feedLines  = 12
	feedReads  = 50              // entries read for them, because a change and its deliveries become one line
	freshUntil = 3 * time.Second // how long a line is marked as new
)

// feed is what happened lately, a line for each change with the systems it went to. Of all services for the zero id.
func (h *Handler) feed(v *visit, s service.ID) ([]ui.FeedItem, error) {
	list, err := h.Reader.Recents(v.ctx(), v.who, s, uuid.Nil, feedReads)
	if err != nil {
		return nil, err
	}
	return feedItems(list, v.now, s == service.ID{}), nil
}

// feedItems joins each change with its deliveries. list is the newest first. named says that lines name their service.
func feedItems(list []engine.Recent, now time.Time, named bool) []ui.FeedItem {
	type delivered struct {
		system record.System
		lag    time.Duration
	}
	var items []ui.FeedItem
	seen := map[record.EntityID]bool{}
	waiting := map[record.EntityID][]delivered{} // deliveries whose change comes further down
	for _, r := range list {
		if r.Op == record.Linked || r.Op == record.Unlinked || r.Op == record.Froze || r.Op == record.Thawed || r.Op == record.Reconciled || r.Op == record.Unreconciled {
			continue
		}
		if r.Kind == record.Delivered {
			waiting[r.Entity] = append(waiting[r.Entity], delivered{r.System, r.Lag})
			continue
		}
		if len(items) == feedLines {
			break
		}
		item := ui.FeedItem{
			ID: ident.Format(ident.Journal, r.ID), At: r.At, Icon: "clock", Tone: ui.Info,
			Text: ui.Fragments{feedText(feedLine(r, named))}, Fresh: now.Sub(r.At) < freshUntil,
		}
		way := string(r.System)
		if r.Kind == record.Decided {
			item.Icon, item.Tone, way = "split", ui.Split, or(r.Actor, "by rule")
		}
		to := waiting[r.Entity]
		if len(to) == 0 && r.Kind == record.Changed && !seen[r.Entity] {
			// The newest that is known of this record did not arrive anywhere; its state says why.
			switch r.Standing {
			case record.InDoubt:
				item.Icon, item.Tone, way = "split", ui.Split, way+", waits for a decision"
			case record.Rejected:
				item.Icon, item.Tone, way = "circle-x", ui.Bad, way+", refused"
			case record.Pending:
				way += ", on its way"
			default:
				item.Icon, item.Tone = "check", ui.Idle
			}
		}
		seen[r.Entity] = true
		if len(to) > 0 {
			delete(waiting, r.Entity)
			if r.Kind == record.Changed {
				item.Icon, item.Tone = "check", ui.OK
			}
			var names []string
			var slowest time.Duration
			for _, d := range slices.Backward(to) {
				if d.system != r.System && !slices.Contains(names, string(d.system)) {
					names = append(names, string(d.system))
				}
				slowest = max(slowest, d.lag)
			}
			if len(names) > 0 {
				way += " → " + strings.Join(names, ", ")
			}
			if slowest > 0 {
				way += ", " + ui.Span(slowest)
			}
		}
		item.End = way
		items = append(items, item)
	}
	return items
}

// FeedLine is what a line says of a change.
type FeedLine struct {
	Title   string
	Href    string
	What    string // "created", "deleted", "quantity"
	Before  string // empty for creations
	After   string
	More    int    // fields beside the one that is shown
	Service string // when lines of several services stand together
}

func feedLine(r engine.Recent, named bool) FeedLine {
	l := FeedLine{Href: recordPath(r.ServiceName, r.Entity)}
	for _, fields := range []record.Fields{r.Fields, r.After, r.Before} {
		if l.Title == "" {
			l.Title = titleIn(fields)
		}
	}
	if l.Title == "" && r.MatchKey != "" {
		l.Title = keyText(r.MatchKey)
	}
	if l.Title == "" {
		l.Title = "A record"
	}
	if named {
		l.Service = r.ServiceName
	}
	switch r.Op {
	case record.Created:
		l.What = "created"
		return l
	case record.Deleted:
		l.What = "deleted"
		return l
	}
	names := changedFields(r.Before, r.After)
	if len(names) == 0 {
		l.What = "changed"
		return l
	}
	l.What, l.More = names[0], len(names)-1
	l.Before, l.After = short(r.Before[l.What]), short(r.After[l.What])
	return l
}

// changedFields are the names of fields that differ, those of least interest last: a time of change goes with every change.
func changedFields(before, after record.Fields) []string {
	var names []string
	for name, v := range after {
		if !record.Equal(before[name], v) {
			names = append(names, name)
		}
	}
	for name := range before {
		if _, there := after[name]; !there {
			names = append(names, name)
		}
	}
	dull := func(name string) int {
		n := strings.ToLower(name)
		if strings.HasSuffix(n, "_at") || strings.Contains(n, "updated") || strings.Contains(n, "modified") {
			return 1
		}
		return 0
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := dull(a) - dull(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names
}

// short is a value for a line of many.
func short(v record.Value) string {
	if v == nil {
		return "empty"
	}
	text := []rune(record.Text(v))
	if len(text) > 40 {
		return string(text[:39]) + "…"
	}
	if len(text) == 0 {
		return "“”"
	}
	return string(text)
}

func (l FeedLine) more() string {
	switch l.More {
	case 0:
		return ""
	case 1:
		return "and 1 field"
	}
	return fmt.Sprintf("and %d fields", l.More)
}
