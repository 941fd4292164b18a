// SPDX-License-Identifier: Apache-2.0

// Package gallery shows every component and every page of the dashboard with sample data, for looking at them and for
// the browser tests. Nothing of it is part of the program.
package gallery

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/syncline-dev/syncline/web"
	"github.com/syncline-dev/syncline/web/static"
	"github.com/syncline-dev/syncline/web/ui"
)

// now is the time at which all samples are seen.
var now = time.Date(2026, 11, 23, 14, 2, 11, 0, time.UTC)

// Entry is one page of the gallery.
type Entry struct {
	Path string
	Name string
	make func(ui.Page) templ.Component
}

// Entries are all pages, components first.
func Entries() []Entry {
	return []Entry{
		{"/components/controls", "Controls", controls},
		{"/components/data", "Data", data},
		{"/components/feedback", "Feedback and the five states", feedback},
		{"/components/show", "Topology, timeline, difference, code", show},
		{"/", "Overview", overview},
		{"/overview-empty", "Overview of a new tenant", overviewEmpty},
		{"/services", "Services", servicesPage},
		{"/services-empty", "Services, none", servicesEmpty},
		{"/services/inventory-sync", "A service", servicePage},
		{"/services/first-sync", "A service in its first sync", serviceFirstSync},
		{"/services/paused", "A service, paused, seen by a viewer", servicePaused},
		{"/runs/run_01JDCV9", "A run under way", runPage},
		{"/services/inventory-sync/edit", "The document of a service", editorPage},
		{"/conflicts", "Conflicts", conflictsPage},
		{"/conflicts/moved", "A conflict that moved on", conflictsMoved},
		{"/conflicts-empty", "Conflicts, none", conflictsEmpty},
		{"/records", "Records", recordsPage},
		{"/records/ent_01JDCV", "A record", recordPage},
		{"/dead-letters", "Dead letters", deadLettersPage},
		{"/runs/run_01JDCV5/undo", "Undo of a run", undoPage},
		{"/holds", "Held changes", holdsPage},
		{"/holds-empty", "Held changes, none", holdsEmpty},
		{"/holds/hld_01JDCB", "A hold", holdPage},
		{"/services/inventory-sync/proof", "Proof of equality", proofPage},
		{"/services/inventory-sync/proof-first", "Proof of equality, the first under way", proofFirst},
		{"/services/inventory-sync/reconciliations", "Reconciliation", reconcilePage},
		{"/connections", "Connections", connectionsPage},
		{"/usage", "Usage", usagePage},
		{"/invoices/inv_11", "A draft invoice", invoicePage},
		{"/invoices/inv_10", "An open invoice that was adjusted and credited", openInvoicePage},
		{"/finance", "Finance", financePage},
		{"/finance-empty", "Finance, nothing to do", financeEmpty},
		{"/finance/preview", "The preview of a bulk approval", previewPage},
		{"/settings", "Settings, members", settings("members")},
		{"/settings/keys", "Settings, API keys", settings("keys")},
		{"/settings/secrets", "Settings, secrets", settings("secrets")},
		{"/pricing", "The calculator", pricingPage},
		{"/usage/cost", "Cost and budgets", costPage},
		{"/settings/webhooks", "Settings, webhooks", webhooksPage},
		{"/settings/webhooks/whk_1", "A webhook endpoint", webhookPage},
		{"/settings/plan", "Settings, plan", planPage},
		{"/services/inventory-sync/plans", "Plans of a service", servicePlansPage},
		{"/services/inventory-sync/plans-empty", "Plans of a service, none", servicePlansNone},
		{"/plans/pln_2", "A plan", servicePlanPage},
		{"/plans/pln_3", "A plan that is being made", servicePlanOpen},
		{"/plans/moved", "A plan that the world moved on from", servicePlanMoved},
		{"/services/inventory-sync/backfills", "Backfills", backfillsPage},
		{"/services/inventory-sync/backfills-empty", "Backfills, none, seen by a viewer", backfillsNone},
		{"/conflicts/duplicates", "Duplicates", duplicatesPage},
		{"/conflicts/duplicates-empty", "Duplicates, none", duplicatesNone},
		{"/conflicts/duplicates/dup_1", "A pair of records", duplicatePage},
		{"/conflicts/duplicates/merged", "A pair of records, merged", duplicateMerged},
		{"/operator", "Operators, tenants", operatorTenantsPage},
		{"/operator/none", "Operators, no tenant found", operatorTenantsNone},
		{"/operator/tenants/ten_1", "Operators, a tenant", operatorTenantPage},
		{"/operator/plans", "Operators, the price list", operatorPlansPage},
		{"/operator/plans/new", "Operators, a version of a plan", operatorPlanPage},
		{"/operator/coupons", "Operators, coupon codes", operatorCodesPage},
		{"/operator/coupons-empty", "Operators, no coupon code", operatorCodesNone},
		{"/operator/revenue", "Operators, revenue", revenuePage},
		{"/operator/revenue-empty", "Operators, no revenue", revenueNone},
		{"/sign-in", "Sign in", signIn},
		{"/sign-in/refused", "Sign in, refused", signInRefused},
		{"/sign-up", "Sign up, refused", signUp},
		{"/errors/404", "Not found", errorPage(ui.ErrorPage{Status: 404, Request: "req_01JDCW4M8T"})},
		{"/errors/500", "Failed", errorPage(ui.ErrorPage{Status: 500, Request: "req_01JDCW4M8T", Code: "internal"})},
	}
}

// Handler serves the gallery, the static files, and the few addresses the samples call: checking and completing a
// document, a live stream, search.
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(static.Prefix, static.Handler())
	for _, e := range Entries() {
		pattern := "GET " + e.Path
		if e.Path == "/" {
			pattern = "GET /{$}"
		}
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			page := samplePage(e.Name, e.Path)
			page.Prefs = web.PrefsFrom(r)
			page.Prefs.Still = true
			if r.URL.Query().Get("env") == "sandbox" {
				page.Tenant.Env = "sandbox"
			}
			render(w, r, e.make(page), http.StatusOK)
		})
	}
	// A page that is plain text names no icon; browsers then ask for this one.
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /search", search)
	mux.HandleFunc("POST /documents:lint", lint)
	mux.HandleFunc("POST /documents:complete", complete)
	mux.HandleFunc("POST /documents:changes", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /live", stream)
	// Parts that refresh themselves find nothing new here.
	mux.HandleFunc("GET /services/{name}/parts/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /parts/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /runs/{run}/parts/now", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("POST /runs/{act}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("act") != "undo" {
			w.Header().Set("HX-Trigger", `{"toast": {"text": "Cancelled", "tone": "ok", "undo": "/runs/undo"}}`)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /services/{act}", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) })
	mux.HandleFunc("POST /services/inventory-sync/document", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, r.FormValue("document")) //nolint:gosec // plain text to who sent it, in a program that only tests run
	})
	mux.HandleFunc("POST /conflicts/{act}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = r.ParseForm() // an unreadable form is an empty one here
		fmt.Fprintf(w, `<p id="conflict">%s</p>`, html.EscapeString(r.PostForm.Encode()))
	})
	mux.HandleFunc("GET /gallery", index)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		render(w, r, ui.ErrorPage{Status: 404, Request: "req_01JDCW4M8T", Prefs: web.PrefsFrom(r)}, http.StatusNotFound)
	})
	return web.SecurityHeaders(mux)
}

func render(w http.ResponseWriter, r *http.Request, c templ.Component, status int) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	ctx := ui.WithReader(r.Context(), ui.Reader{Now: now, Zone: time.UTC})
	if err := c.Render(ctx, w); err != nil {
		fmt.Fprintln(w, err)
	}
}

func index(w http.ResponseWriter, r *http.Request) {
	page := samplePage("Gallery", "/gallery")
	page.Prefs = web.PrefsFrom(r)
	render(w, r, listing(page, Entries()), http.StatusOK)
}

func search(w http.ResponseWriter, r *http.Request) {
	q := strings.ToLower(r.URL.Query().Get("q"))
	var found ui.PaletteResults
	if q != "" && strings.Contains("inventory-sync trail runner", q) {
		found.Groups = []ui.PaletteGroup{
			{Title: "Services", Items: []ui.PaletteItem{{Label: "inventory-sync", Sub: "Service", Icon: "refresh-cw", Href: "/services/inventory-sync"}}},
			{Title: "Records", Items: []ui.PaletteItem{{Label: "Trail Runner 2, blue, 42", Sub: "SKU-10482", Icon: "table-2", Href: "/records/ent_01JDCV"}}},
		}
	}
	render(w, r, found, http.StatusOK)
}

// A problem is what a check of a document answers, one per fault.
type problem struct {
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Message  string `json:"message"`
	Remedy   string `json:"remedy"`
	Severity string `json:"severity"`
}

// lint stands in for the real check: it knows two faults.
func lint(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 256<<10))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	problems := []problem{}
	for i, line := range strings.Split(string(body), "\n") {
		if at := strings.Index(line, "bothways"); at >= 0 {
			problems = append(problems, problem{i + 1, at + 1, `"bothways" is not a direction.`, "Write bi-directional, unidirectional, multi-directional, conditional or hierarchical.", "error"})
		}
		if at := strings.Index(line, "${STOREFRONT_DSN}"); at >= 0 {
			problems = append(problems, problem{i + 1, at + 1, "The secret STOREFRONT_DSN has not been used for 30 days.", "Nothing needs to be done if this service is new.", "info"})
		}
	}
	answer(w, problems)
}

func complete(w http.ResponseWriter, _ *http.Request) {
	answer(w, []map[string]string{
		{"label": "lastWriteWins", "detail": "the newest change wins", "type": "enum", "info": "Compares the systems' own times of change; a skewed clock is shown on the conflict."},
		{"label": "manual", "detail": "a person decides", "type": "enum"},
		{"label": "warehouse-wins", "detail": "the system warehouse wins", "type": "enum"},
	})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the reader may be gone
}

// stream sends one event at once and then keeps the line open. It answers a Last-Event-ID with the next number.
func stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	id := "1"
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		id = last + "1"
	}
	fmt.Fprintf(w, "retry: 200\n\nid: %s\nevent: service\ndata: {\"subject\": \"svc_01JDCQ\", \"after\": %q}\n\n", id, r.Header.Get("Last-Event-ID")) //nolint:gosec // an event stream is not markup
	flush := http.NewResponseController(w)
	_ = flush.Flush() // the reader may be gone
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			fmt.Fprint(w, ": still here\n\n")
			_ = flush.Flush()
		}
	}
}
