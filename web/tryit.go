// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesTryIt(r chi.Router) {
	r.Get("/try-it", h.page(h.tryIt))
	r.Get("/try-it/record", h.page(h.tryRecord))
	r.Get("/try-it/feed", h.page(h.tryFeed))
}

// trial is the demo's service with the record that the steps change.
type trial struct {
	subject
	record *record.Entity
}

// trial finds them: the record that changed last, unless the page says which.
func (h *Handler) trial(v *visit) (t trial, err error) {
	if !v.session.Tenant.Demo || h.Demo.Service == "" {
		return t, errNoPage
	}
	for _, p := range []auth.Permission{auth.ViewRecords, auth.ViewConnections} {
		if err := v.who.May(p); err != nil {
			return t, err
		}
	}
	s, r, err := h.Services.Get(v.ctx(), v.who, h.Demo.Service)
	if err != nil {
		return t, err
	}
	t.subject = subject{s, r, r.Document}
	// The parts of the page ask for the record that it began with: others change meanwhile.
	if id := v.query("record"); id != "" {
		found, err := h.Reader.Record(v.ctx(), v.who, s.ID, id)
		t.record = found.Entity
		return t, err
	}
	list, err := h.Reader.Records(v.ctx(), v.who, s.ID, engine.RecordQuery{Limit: 1})
	if err != nil {
		return t, err
	}
	if len(list) == 0 {
		return t, fault.New(fault.Unavailable, "web.demo_starting", "The demo's databases are still being filled. Reload in a few seconds.")
	}
	t.record = list[0]
	return t, nil
}

func (h *Handler) tryIt(v *visit) error {
	page, err := v.shell("Try it", "/", "Overview", "/", "Try it")
	if err != nil {
		return err
	}
	view := TryItView{Page: page, Service: h.Demo.Service, Href: servicePath(h.Demo.Service)}
	t, err := h.trial(v)
	if fault.IsCode(err, "web.demo_starting") || fault.IsCode(err, "service.not_found") {
		view.Problem = v.alertOf(err, "The demo is not there yet")
		view.Problem.Tone = ui.Info
		return v.render(TryItPage(view))
	}
	if err != nil {
		return err
	}
	v.setCookie(triedCookie, "1")
	if err := h.fillTrial(v, &view, t); err != nil {
		return err
	}
	if view.Feed, err = h.feed(v, t.ID); err != nil {
		return err
	}
	if view.Steps, err = h.trySteps(v, t); err != nil {
		view.Problem = v.alertOf(err, "The steps cannot be shown")
	}
	return v.render(TryItPage(view))
}

func (h *Handler) tryRecord(v *visit) error {
	t, err := h.trial(v)
	if err != nil {
		return err
	}
	var view TryItView
	if err := h.fillTrial(v, &view, t); err != nil {
		return err
	}
	return v.render(TryNow(view))
}

func (h *Handler) tryFeed(v *visit) error {
	t, err := h.trial(v)
	if err != nil {
		return err
	}
	view := TryItView{ID: t.ID.Public()}
	if view.Feed, err = h.feed(v, t.ID); err != nil {
		return err
	}
	return v.render(tryFeed(view))
}

func (h *Handler) fillTrial(v *visit, view *TryItView, t trial) error {
	view.ID = t.ID.Public()
	id := ident.Format(ident.Entity, t.record.ID)
	view.Record = TryRecord{Title: titleOf(t.record), Href: recordPath(t.Name, t.record.ID), Part: "/try-it/record?record=" + id}
	for _, name := range t.doc.EntityFields() {
		if value, there := t.record.Fields[name]; there {
			stamp := t.record.StampOf(name)
			view.Record.Fields = append(view.Record.Fields, ui.KeyValue{Key: name, Body: ui.Fragments{shown(value)}, Hint: "from " + string(stamp.System) + ", " + ui.Ago(stamp.At, v.now, v.zone)})
		}
	}
	return nil
}

// trySteps are the changes to make, as commands that work when pasted.
func (h *Handler) trySteps(v *visit, t trial) (steps []TryStep, err error) {
	names := map[string]map[string]string{} // by system, the column of each field
	fields := v.fields(t.subject)
	if fields.Problem != nil {
		return nil, fault.New(fault.Unavailable, "web.demo_starting", "%s", fields.Problem.Text)
	}
	for i, system := range fields.Systems {
		names[system] = map[string]string{}
		for _, f := range fields.Fields {
			names[system][f.Field] = f.Systems[i]
		}
	}
	for i, s := range t.doc.Systems {
		shell, err := h.shellOf(v, t, s)
		if err != nil {
			return nil, err
		}
		link := t.record.Links[record.System(s.ID)]
		column := names[s.ID]
		if link == nil || column["sku"] == "" || column["quantity"] == "" {
			continue
		}
		table, key := objectNames(t.doc, s.ID), sqlText(record.Text(t.record.Fields["sku"]))
		where := "\n      WHERE " + column["sku"] + " = " + key
		other := t.doc.Systems[(i+1)%len(t.doc.Systems)].ID
		steps = append(steps, TryStep{
			Title: "Change a row in " + s.ID, System: SystemRef{s.ID, s.Type},
			Text:    fmt.Sprintf("In a terminal on this machine. Syncline sees the change, and %s has it in a fraction of a second.", other),
			Snippet: ui.Code{Title: s.ID, Lang: "shell", Text: shell(fmt.Sprintf("UPDATE %s\n      SET %s = %s %s%s", table, column["quantity"], column["quantity"], []string{"+ 7", "- 3"}[i%2], where))},
		})
		if i == len(t.doc.Systems)-1 {
			first := t.doc.Systems[0]
			ask, err := h.shellOf(v, t, first)
			if err != nil {
				return nil, err
			}
			c := names[first.ID]
			steps = append(steps,
				TryStep{
					Title: "Look at the other side", System: SystemRef{first.ID, first.Type}, Text: "The row holds what was written in " + s.ID + ".",
					Snippet: ui.Code{Title: first.ID, Lang: "shell", Text: ask(fmt.Sprintf("SELECT * FROM %s\n      WHERE %s = %s", objectNames(t.doc, first.ID), c["sku"], key))},
				},
				TryStep{
					Title: "Let both sides disagree", System: SystemRef{s.ID, s.Type},
					Text: "Pause the service, give the product another name on each side, and resume it. The rule of this service leaves names to a person: a conflict waits for you.",
					Snippet: ui.Code{Title: "both", Lang: "shell", Text: ask(fmt.Sprintf("UPDATE %s\n      SET %s = 'Name from %s'\n      WHERE %s = %s", objectNames(t.doc, first.ID), c["name"], first.ID, c["sku"], key)) +
						"\n" + shell(fmt.Sprintf("UPDATE %s\n      SET %s = 'Name from %s'%s", table, column["name"], s.ID, where))},
				},
			)
		}
	}
	return steps, nil
}

// shellOf makes a command that runs SQL in one of the demo's databases. The password is read from its file, so that it is
// shown nowhere.
func (h *Handler) shellOf(v *visit, t trial, s service.System) (func(sql string) string, error) {
	c, err := h.Connections.Get(v.ctx(), v.who, t.doc.ConnectionName(s.ID))
	if err != nil {
		return nil, err
	}
	set := c.Settings
	return func(sql string) string {
		if c.Connector == "postgresql" {
			return fmt.Sprintf("PGPASSWORD=$(cat %s) \\\n  psql -h %s -p %s -U %s %s \\\n  -c \"%s\"", h.passwordFile("postgres"), set["host"], set["port"], set["user"], set["database"], sql)
		}
		return fmt.Sprintf("MYSQL_PWD=$(cat %s) \\\n  mariadb -h %s -P %s -u %s %s \\\n  -e \"%s\"", h.passwordFile("mariadb"), set["host"], set["port"], set["user"], set["database"], sql)
	}, nil
}

func (h *Handler) passwordFile(server string) string {
	path := filepath.Join(h.Demo.Dir, server, "password")
	if strings.ContainsAny(path, " '\"$`\\") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}

// sqlText is a text in SQL within double quotes of a shell.
func sqlText(s string) string {
	return "'" + strings.NewReplacer("'", "''", `\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(s) + "'"
}
