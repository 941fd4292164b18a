// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"strconv"
	"time"

	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/web/ui"
)

// HistoryView is how a connection did in the last days.
type HistoryView struct {
	Facts    []ui.KeyValue
	Bars     []SpellBar // of the last 7 days, in parts of the picture's width of 700
	Words    string     // what the picture shows, for those who cannot see it
	Spells   []SpellLine
	More     int
	Expiring *ui.Alert
	Reset    string // where it is let begin anew; "" for who may not
}

// SpellBar is a spell in the picture.
type SpellBar struct {
	X, Width string
	Tone     ui.Tone
	Title    string
}

// SpellLine is a spell in the list.
type SpellLine struct {
	State  string
	Since  time.Time
	Lasted string
	Reason string
}

const (
	pictureDays  = 7
	pictureWidth = 700.0
	spellsShown  = 12
)

func (v *visit) historyView(c connection.Connection, may bool) (view HistoryView, err error) {
	_, h, err := v.h.Connections.History(v.ctx(), v.who, c.ID.Public())
	if err != nil {
		return view, err
	}
	from := v.now.AddDate(0, 0, -pictureDays)
	for i, s := range h.Spells {
		var next *connection.Spell
		if i > 0 {
			next = &h.Spells[i-1]
		}
		end := s.Ends(next, v.now)
		lasted := took(end.Sub(s.Since))
		if len(view.Spells) == spellsShown {
			view.More++
		} else {
			view.Spells = append(view.Spells, SpellLine{State: string(s.State), Since: s.Since, Lasted: lasted, Reason: s.Reason})
		}
		if !end.After(from) {
			continue
		}
		since := s.Since
		if since.Before(from) {
			since = from
		}
		x := pictureWidth * float64(since.Sub(from)) / float64(v.now.Sub(from))
		width := max(1.5, pictureWidth*float64(end.Sub(since))/float64(v.now.Sub(from)))
		view.Bars = append(view.Bars, SpellBar{X: number(min(x, pictureWidth-width)), Width: number(width), Tone: ui.StateTone(string(s.State)), Title: string(s.State) + " for " + lasted})
	}
	day := func(of string, part float64) {
		if part >= 0 {
			view.Facts = append(view.Facts, ui.KeyValue{Key: "Healthy, last " + of, Text: fmt.Sprintf("%.2f%%", 100*part)})
			view.Words += fmt.Sprintf("healthy for %.2f%% of the last %s; ", 100*part, of)
		}
	}
	day("day", h.Up[0])
	day("7 days", h.Up[1])
	day("30 days", h.Up[2])
	vitals := h.Vitals
	if vitals.Took > 0 {
		view.Facts = append(view.Facts, ui.KeyValue{Key: "The last look took", Text: took(vitals.Took)})
	}
	if !vitals.NextCheckAt.IsZero() {
		view.Facts = append(view.Facts, ui.KeyValue{Key: "Next look", Body: ui.Fragments{ui.Time{At: vitals.NextCheckAt}}})
	}
	if vitals.QuotaLeft != nil && vitals.QuotaOf != nil {
		q := ui.KeyValue{Key: "Quota left", Text: number(*vitals.QuotaLeft) + " of " + number(*vitals.QuotaOf)}
		if vitals.QuotaResetsAt != nil {
			q.Hint = "whole again " + vitals.QuotaResetsAt.In(v.zone).Format("2 Jan 15:04:05")
		}
		view.Facts = append(view.Facts, q)
	}
	if vitals.Endpoint != "" {
		view.Facts = append(view.Facts, ui.KeyValue{Key: "Second address", Text: vitals.Endpoint, Mono: true, Hint: "in use while the first cannot be reached"})
	}
	if vitals.EndsAt != nil {
		view.Facts = append(view.Facts, ui.KeyValue{Key: "Ends", Body: ui.Fragments{ui.Time{At: *vitals.EndsAt, Date: true}}, Hint: vitals.Ends})
	}
	view.Expiring = expiring(vitals, v.now)
	if may {
		view.Reset = addressOfConnection(c) + ":reset"
	}
	return view, nil
}

// expiring is the banner of a credential that ends soon.
func expiring(vitals connection.Vitals, now time.Time) *ui.Alert {
	if vitals.EndsAt == nil || vitals.Noticed == nil {
		return nil
	}
	a := &ui.Alert{Tone: ui.Warn, Title: "A credential ends soon", Text: vitals.Ends + " ends on " + vitals.EndsAt.Format("2 January 2006") + ". Exchange it before: syncing stops when it has ended. Links between records stay."}
	if !vitals.EndsAt.After(now) {
		a.Tone, a.Title, a.Text = ui.Bad, "A credential has ended", vitals.Ends+" ended on "+vitals.EndsAt.Format("2 January 2006")+". Exchange it: links between records stay."
	} else if *vitals.Noticed <= 3 {
		a.Tone = ui.Bad
	}
	return a
}

// number is a figure without more digits than it has.
func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 32) }

// took is a time that passed, in words short enough for a list.
func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%.1f h", d.Hours())
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// resetConnection lets a connection begin anew, in all processes.
func (h *Handler) resetConnection(v *visit) error {
	c, err := h.Connections.Reset(v.ctx(), v.who, v.param("connection"))
	if refused(err) {
		v.flash(ui.Bad, fault.As(err).Message)
		return v.redirect(connectionPath(v.param("connection")))
	}
	if err != nil {
		return err
	}
	h.objects.forget(v.who.Tenant)
	v.flash(ui.OK, c.Name+" begins anew: pauses, budgets and token are forgotten, links stay. It is looked at in a moment.")
	return v.redirect(addressOfConnection(c))
}
