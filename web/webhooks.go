// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/notify"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesWebhooks(r chi.Router) {
	r.Get("/settings/webhooks", h.page(h.webhooks))
	r.Post("/settings/webhooks", h.page(h.createWebhook))
	r.Get("/settings/webhooks/{webhook}", h.page(h.webhook))
	r.Post("/settings/webhooks/{webhook}", h.page(h.changeWebhook))
	r.Post("/settings/webhooks/{webhook}:rotate", h.page(h.rotateWebhook))
	r.Post("/settings/webhooks/{webhook}:test", h.page(h.webhookAct(func(v *visit, id uuid.UUID) (string, string, error) {
		d, err := h.Webhooks.Test(v.ctx(), v.who, id)
		return "A test event is on its way.", "?delivery=" + ident.Format(ident.Delivery, d.ID), err
	})))
	r.Post("/settings/webhooks/{webhook}:pause", h.page(h.webhookAct(func(v *visit, id uuid.UUID) (string, string, error) {
		state := notify.Paused
		_, err := h.Webhooks.Change(v.ctx(), v.who, id, 0, notify.Change{State: &state})
		return "Paused. What happens meanwhile is not sent.", "", err
	})))
	r.Post("/settings/webhooks/{webhook}:activate", h.page(h.webhookAct(func(v *visit, id uuid.UUID) (string, string, error) {
		state := notify.Active
		_, err := h.Webhooks.Change(v.ctx(), v.who, id, 0, notify.Change{State: &state})
		return "Active. It is sent what happens from now on.", "", err
	})))
	r.Post("/settings/webhooks/{webhook}:resend", h.page(h.webhookAct(func(v *visit, id uuid.UUID) (string, string, error) {
		hours, _ := strconv.Atoi(v.form("since"))
		n, err := h.Webhooks.ResendFailed(v.ctx(), v.who, id, v.now.Add(-time.Duration(max(1, hours))*time.Hour))
		return ui.Count(n, "delivery", "deliveries") + " on the way again.", "", err
	})))
	r.Post("/settings/webhooks/{webhook}:delete", h.page(h.deleteWebhook))
	r.Post("/settings/webhooks/{webhook}/deliveries/{delivery}:resend", h.page(h.webhookAct(func(v *visit, _ uuid.UUID) (string, string, error) {
		id, err := ident.Parse(ident.Delivery, v.param("delivery"))
		if err == nil {
			_, err = h.Webhooks.Resend(v.ctx(), v.who, id)
		}
		return "On the way again.", "?delivery=" + v.param("delivery"), err
	})))
}

func webhookPath(id uuid.UUID) string { return "/settings/webhooks/" + ident.Format(ident.Webhook, id) }

func (h *Handler) webhooks(v *visit) error {
	view, err := v.webhooksView()
	if err != nil {
		return err
	}
	return v.render(WebhooksPage(view))
}

func (v *visit) webhooksView() (view WebhooksView, err error) {
	list, err := v.h.Webhooks.List(v.ctx(), v.who)
	if err != nil {
		return view, err
	}
	if view.SettingsView, err = v.settings("/settings/webhooks", auth.EditWebhooks); err != nil {
		return view, err
	}
	for _, e := range list {
		view.Endpoints = append(view.Endpoints, endpointLine(e))
	}
	view.Form = endpointForm(notify.Endpoint{}, "new")
	return view, nil
}

func endpointLine(e notify.Endpoint) EndpointLine {
	return EndpointLine{
		ID: ident.Format(ident.Webhook, e.ID), Name: e.Name, URL: e.URL, Href: webhookPath(e.ID), State: string(e.State), Types: e.Types, DeliveredAt: e.DeliveredAt,
		FailingSince: e.FailingSince, Version: strconv.FormatInt(e.Version, 10),
	}
}

func endpointForm(e notify.Endpoint, prefix string) EndpointForm {
	return EndpointForm{
		Name: ui.Field{Name: "name", ID: prefix + "-name", Label: "Name", Value: e.Name, Hint: "What it tells: billing back end, on-call bot", Required: true, Autocomplete: "off"},
		URL:  ui.Field{Name: "url", ID: prefix + "-url", Label: "Address", Type: "url", Value: e.URL, Placeholder: "https://example.com/webhooks/syncline", Required: true, Autocomplete: "off", Mono: true},
		Types: ui.Area{Name: "types", ID: prefix + "-types", Label: "Events", Value: strings.Join(e.Types, "\n"), Rows: 4, Mono: true, Optional: true, Attrs: noSpelling,
			Hint: "One to a line; invoice.* stands for all that begin so. Empty: all but the frequent activity and run.progress."},
	}
}

// typed reads the form of an endpoint.
func (v *visit) typedEndpoint() (name, url string, types []string) {
	name, url = strings.TrimSpace(v.form("name")), strings.TrimSpace(v.form("url"))
	types = strings.FieldsFunc(v.form("types"), func(r rune) bool { return r == '\n' || r == '\r' || r == ',' || r == ' ' })
	return name, url, types
}

// refuse puts what was wrong beside the fields.
func (f *EndpointForm) refuse(err error, name, url string, types []string) {
	at, rest := errorsAt(err)
	f.Name.Value, f.Name.Error = name, at["/name"]
	f.URL.Value, f.URL.Error = url, at["/url"]
	f.Types.Value = strings.Join(types, "\n")
	for pointer, text := range at {
		if strings.HasPrefix(pointer, "/types") {
			f.Types.Error = text
		}
	}
	if rest != "" && f.Name.Error+f.URL.Error+f.Types.Error == "" {
		f.Name.Error = rest
	}
}

func (h *Handler) createWebhook(v *visit) error {
	name, url, types := v.typedEndpoint()
	e, secret, err := h.Webhooks.Create(v.ctx(), v.who, name, url, types)
	if err != nil && !refused(err) {
		return err
	}
	if err != nil {
		view, readErr := v.webhooksView()
		if readErr != nil {
			return readErr
		}
		view.Form.refuse(err, name, url, types)
		view.Open = "new-webhook"
		return v.renderAs(statusOf(err), WebhooksPage(view))
	}
	view, err := v.webhookView(e)
	if err != nil {
		return err
	}
	view.Secret = secret.Reveal()
	return v.render(WebhookPage(view))
}

// theWebhook is the endpoint that the address names.
func (v *visit) theWebhook() (uuid.UUID, error) {
	return ident.Parse(ident.Webhook, v.param("webhook"))
}

func (h *Handler) webhook(v *visit) error {
	id, err := v.theWebhook()
	if err != nil {
		return err
	}
	e, err := h.Webhooks.Get(v.ctx(), v.who, id)
	if err != nil {
		return err
	}
	view, err := v.webhookView(e)
	if err != nil {
		return err
	}
	return v.render(WebhookPage(view))
}

func (v *visit) webhookView(e notify.Endpoint) (view WebhookView, err error) {
	if view.SettingsView, err = v.settings("/settings/webhooks", auth.EditWebhooks, e.Name); err != nil {
		return view, err
	}
	names, err := v.names()
	if err != nil {
		return view, err
	}
	view.Endpoint, view.Reason, view.Form = endpointLine(e), e.Reason, endpointForm(e, "webhook")
	types := "All but the frequent ones"
	if len(e.Types) > 0 {
		types = strings.Join(e.Types, ", ")
	}
	view.Facts = []ui.KeyValue{
		{Key: "Address", Body: ui.Fragments{ui.ID{Value: e.URL, Label: "address"}}},
		{Key: "Events", Text: types},
		{Key: "Last got through", Body: ui.Fragments{ui.Time{At: e.DeliveredAt}}},
		{Key: "Id", Body: ui.Fragments{ui.ID{Value: view.Endpoint.ID, Label: "id of the endpoint"}}},
		{Key: "Made", Body: ui.Fragments{ui.Time{At: e.CreatedAt, Date: true}}, Hint: "by " + named(names, e.CreatedBy)},
	}
	if !e.FailingSince.IsZero() {
		view.Facts = append(view.Facts, ui.KeyValue{Key: "Failing since", Body: ui.Fragments{ui.Time{At: e.FailingSince}}})
	}
	if v.now.Before(e.OldUntil) {
		view.Facts = append(view.Facts, ui.KeyValue{Key: "Two secrets until", Body: ui.Fragments{ui.Time{At: e.OldUntil}}})
	}
	view.Since = ui.Select{Name: "since", Label: "Events of", Value: "24", Options: []ui.Option{{Value: "1", Label: "the last hour"}, {Value: "24", Label: "the last day"}, {Value: "168", Label: "the last week"}, {Value: "720", Label: "the last 30 days"}}}
	path := "/v1/webhook-endpoints/" + view.Endpoint.ID
	view.Code = []ui.Code{
		{Title: "CLI", Lang: "shell", Text: "syncline webhooks test " + view.Endpoint.ID + "\nsyncline webhooks deliveries " + view.Endpoint.ID + " --state failed"},
		{Title: "curl", Lang: "shell", Text: v.curl("GET", path, "") + "\n\n# what failed\n" + v.curl("GET", "/v1/webhook-deliveries?filter[endpoint]="+view.Endpoint.ID+"&filter[state]=failed", "-g")},
	}
	return view, v.deliveriesInto(&view, e)
}

func (v *visit) deliveriesInto(view *WebhookView, e notify.Endpoint) error {
	at := v.place()
	q := notify.DeliveryQuery{Endpoint: e.ID, State: notify.DeliveryState(v.query("state")), Limit: pageSize + 1}
	if c := at.after(); c != "" {
		var err error
		if q.Before, err = ident.Parse(ident.Delivery, c); err != nil {
			return err
		}
	}
	list, err := v.h.Webhooks.Deliveries(v.ctx(), v.who, q)
	if err != nil {
		return err
	}
	list, more := cut(list)
	next := ""
	if more {
		next = ident.Format(ident.Delivery, list[len(list)-1].ID)
	}
	view.Pager = at.pager(len(list), next, "delivery", "deliveries")
	view.Refresh = v.r.URL.RequestURI()
	if v.r.Method != http.MethodGet {
		view.Refresh = view.Endpoint.Href
	}
	view.Filter = ui.FilterBar{Action: view.Endpoint.Href, Target: "#deliveries", Selects: []ui.Select{{Name: "state", Label: "State", Value: string(q.State), Options: options("Any state", "pending", "delivered", "failed")}}}
	if q.State != "" {
		view.Filter.Chips = []ui.Chip{v.chip("state", "State", string(q.State))}
	}
	looked := v.query("delivery")
	for _, d := range list {
		line := deliveryLine(d)
		line.Href = view.Endpoint.Href + "?delivery=" + line.ID + "#delivery"
		line.Current = line.ID == looked
		view.Delivered = append(view.Delivered, line)
	}
	if looked == "" {
		return nil
	}
	id, err := ident.Parse(ident.Delivery, looked)
	if err != nil {
		return err
	}
	d, err := v.h.Webhooks.Delivery(v.ctx(), v.who, id)
	if err != nil {
		return err
	}
	shown := &DeliveryView{Line: deliveryLine(d), Body: d.Body}
	var pretty bytes.Buffer
	if json.Indent(&pretty, []byte(d.Body), "", "  ") == nil {
		shown.Body = pretty.String()
	}
	for _, a := range d.Tried {
		shown.Attempts = append(shown.Attempts, AttemptLine{
			Number: itoa(a.Number), At: a.At, Took: fmt.Sprintf("%d ms", a.Took.Milliseconds()), Status: statusText(a.Status), Good: a.Problem == "", Problem: a.Problem, Excerpt: a.Excerpt,
		})
	}
	view.Shown = shown
	return nil
}

func statusText(status int) string {
	if status == 0 {
		return "no answer"
	}
	return itoa(status)
}

func deliveryLine(d notify.Delivery) DeliveryLine {
	l := DeliveryLine{ID: ident.Format(ident.Delivery, d.ID), Type: d.Type, Event: d.Event, State: string(d.State), Problem: d.Problem, Attempts: d.Attempts, At: d.At}
	if d.Status != 0 || d.Problem != "" {
		l.Status = statusText(d.Status)
	}
	if d.State == notify.Pending {
		l.Due = d.DueAt
	}
	return l
}

func (h *Handler) changeWebhook(v *visit) error {
	id, err := v.theWebhook()
	if err != nil {
		return err
	}
	name, url, types := v.typedEndpoint()
	if types == nil {
		types = []string{}
	}
	version, _ := strconv.ParseInt(v.form("version"), 10, 64) // 0 for whatever is there
	_, err = h.Webhooks.Change(v.ctx(), v.who, id, version, notify.Change{Name: &name, URL: &url, Types: &types})
	if err != nil {
		if !refused(err) {
			return err
		}
		e, readErr := h.Webhooks.Get(v.ctx(), v.who, id)
		if readErr != nil {
			return readErr
		}
		view, readErr := v.webhookView(e)
		if readErr != nil {
			return readErr
		}
		view.Form.refuse(err, name, url, types)
		return v.renderAs(statusOf(err), WebhookPage(view))
	}
	v.flash(ui.OK, "Changed.")
	return v.redirect(webhookPath(id))
}

func (h *Handler) rotateWebhook(v *visit) error {
	id, err := v.theWebhook()
	if err != nil {
		return err
	}
	e, secret, err := h.Webhooks.Rotate(v.ctx(), v.who, id, notify.DefaultOverlap)
	if err != nil {
		return v.backTo(webhookPath(id), err)
	}
	view, err := v.webhookView(e)
	if err != nil {
		return err
	}
	view.Secret = secret.Reveal()
	return v.render(WebhookPage(view))
}

// webhookAct does something with an endpoint and leads back to its page, saying so.
func (h *Handler) webhookAct(act func(v *visit, id uuid.UUID) (said, query string, err error)) func(*visit) error {
	return func(v *visit) error {
		id, err := v.theWebhook()
		if err != nil {
			return err
		}
		said, query, err := act(v, id)
		if err != nil {
			return v.backTo(webhookPath(id), err)
		}
		v.flash(ui.OK, said)
		return v.redirect(webhookPath(id) + query)
	}
}

func (h *Handler) deleteWebhook(v *visit) error {
	id, err := v.theWebhook()
	if err != nil {
		return err
	}
	if err := h.Webhooks.Remove(v.ctx(), v.who, id, 0); err != nil {
		return v.backTo(webhookPath(id), err)
	}
	v.flash(ui.OK, "The endpoint is gone, and its deliveries with it.")
	return v.redirect("/settings/webhooks")
}
