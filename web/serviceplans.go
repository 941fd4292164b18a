// SPDX-License-Identifier: Apache-2.0

package web

import (
	"math/big"
	"net/http"
	"strconv"
	"strings"

	"github.com/a-h/templ"
	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/safety"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

func (h *Handler) routesServicePlans(r chi.Router) {
	r.Post("/services/{service}/plan", h.page(h.planDraft))
	r.Get("/services/{service}/plans", h.page(h.servicePlans))
	r.Get("/plans/{plan}", h.page(h.servicePlan))
	r.Get("/plans/{plan}/parts/now", h.page(h.servicePlanNow))
	r.Post("/plans/{plan}:cancel", h.page(h.cancelServicePlan))
	r.Post("/plans/{plan}:again", h.page(h.planAgain))
	r.Post("/plans/{plan}:apply", h.page(h.applyServicePlan))
}

func servicePlanPath(id uuid.UUID) string { return "/plans/" + ident.Format(ident.ServicePlan, id) }

// planDraft begins a plan of the document that a service has, which is how a draft is planned from its page.
func (h *Handler) planDraft(v *visit) error {
	if err := v.who.May(auth.EditServices); err != nil {
		return err
	}
	s, err := v.subject()
	if err != nil {
		return err
	}
	view := editorOf(s)
	view.Document = s.revision.Source
	return v.planText(view, s.Name, "Services", "/services", s.Name, view.Path, "Edit")
}

// planText begins the plan and leads to it; refused, it shows the document again with what is wrong.
func (v *visit) planText(view EditorView, name string, crumbs ...string) error {
	p, err := v.h.Planner.PlanDocument(v.ctx(), v.who, name, []byte(view.Document), formatOf(view.Document))
	if refused(err) {
		view.refuse(err, "Not planned")
		return v.editor(view, statusOf(err), crumbs...)
	}
	if err != nil {
		return err
	}
	return v.redirect(servicePlanPath(p.ID))
}

// servicePlans lists the plans of a service that can still be looked at.
func (h *Handler) servicePlans(v *visit) error {
	s, err := v.subject()
	if err != nil {
		return err
	}
	at := v.place()
	before, err := ident.Parse(ident.ServicePlan, at.after())
	if err != nil {
		before = uuid.Nil
	}
	list, err := h.Planner.List(v.ctx(), v.who, s.Name, before, pageSize+1)
	if err != nil {
		return err
	}
	list, more := cut(list)
	next := ""
	if more {
		next = ident.Format(ident.ServicePlan, list[len(list)-1].ID)
	}
	view := ServicePlansView{Service: v.view(s), Refresh: v.r.URL.RequestURI(), Pager: at.pager(len(list), next, "plan", "plans")}
	for i := range list {
		view.Plans = append(view.Plans, servicePlanLine(&list[i]))
	}
	if err := v.framed(&view.Service, s, "plans", "Plans"); err != nil {
		return err
	}
	return v.render(ServicePlansPage(view))
}

func servicePlanLine(p *safety.ServicePlan) ServicePlanLine {
	l := ServicePlanLine{ID: ident.Format(ident.ServicePlan, p.ID), Href: servicePlanPath(p.ID), Title: planTitles[p.Kind], State: string(p.State), By: p.Actor, At: p.CreatedAt, Expires: p.ExpiresAt, Error: p.Error}
	if p.Kind == safety.BulkPlan && p.Selection != nil {
		l.Sub = selectionText(p.Selection)
	} else if p.Base > 0 {
		l.Sub = "against revision " + itoa(p.Base)
	}
	return l
}

var planTitles = map[safety.PlanKind]string{safety.FirstPlan: "First sync", safety.RevisionPlan: "New document", safety.BulkPlan: "Backfill"}

func (v *visit) thePlan() (p safety.ServicePlan, err error) {
	id, err := ident.Parse(ident.ServicePlan, v.param("plan"))
	if err != nil {
		return p, err
	}
	return v.h.Planner.Get(v.ctx(), v.who, id)
}

func (h *Handler) servicePlan(v *visit) error {
	p, err := v.thePlan()
	if err != nil {
		return err
	}
	view, err := v.servicePlanView(&p)
	if err != nil {
		return err
	}
	return v.servicePlanPage(http.StatusOK, view)
}

func (v *visit) servicePlanPage(status int, view ServicePlanView) (err error) {
	crumbs := []string{"Services", "/services"}
	if view.Home != "" {
		crumbs = append(crumbs, view.Name, view.Home, "Plans", view.Home+"/plans")
	}
	if view.Page, err = v.shell("Plan of "+view.Name, "/services", append(crumbs, "Plan")...); err != nil {
		return err
	}
	return v.renderAs(status, ServicePlanPage(view))
}

func (h *Handler) servicePlanNow(v *visit) error {
	p, err := v.thePlan()
	if err != nil {
		return err
	}
	view, err := v.servicePlanView(&p)
	if err != nil {
		return err
	}
	return v.render(ServicePlanNow(view))
}

func (h *Handler) cancelServicePlan(v *visit) error {
	p, err := v.thePlan()
	if err != nil {
		return err
	}
	if p, err = h.Planner.Cancel(v.ctx(), v.who, p.ID); err != nil {
		return err
	}
	v.done("The plan is given up.")
	if !v.htmx() {
		return v.redirect(servicePlanPath(p.ID))
	}
	return h.servicePlanNow(v)
}

// planAgain makes a new plan of the same, because the world has moved on since.
func (h *Handler) planAgain(v *visit) error {
	p, err := v.thePlan()
	if err != nil {
		return err
	}
	if p.Kind == safety.BulkPlan {
		p, err = h.Planner.PlanRun(v.ctx(), v.who, p.Name, *p.Selection)
	} else {
		p, err = h.Planner.PlanDocument(v.ctx(), v.who, "", []byte(p.Source), p.Format)
	}
	if refused(err) {
		v.flash(ui.Bad, fault.As(err).Message)
		return v.redirect(v.r.URL.Path[:strings.LastIndexByte(v.r.URL.Path, ':')])
	}
	if err != nil {
		return err
	}
	return v.redirect(servicePlanPath(p.ID))
}

// applyServicePlan carries out what the page shows. The form sends the hash that was looked at, so that nothing else is done.
func (h *Handler) applyServicePlan(v *visit) error {
	p, err := v.thePlan()
	if err != nil {
		return err
	}
	if p.Kind == safety.BulkPlan {
		confirmed, err := h.Planner.Confirm(v.ctx(), v.who, v.form("hash"), nil, p.Selection)
		if err != nil {
			return v.planRefused(&p, err)
		}
		r, err := h.Services.ReadAgain(v.ctx(), v.who, p.Name, *p.Selection, false, &confirmed.Base)
		if err != nil {
			return v.planRefused(&p, err)
		}
		v.flash(ui.OK, "The backfill begins.")
		return v.redirect(runPath(r.ID))
	}
	confirmed, err := h.Planner.Confirm(v.ctx(), v.who, v.form("hash"), p.Document, nil)
	if err != nil {
		return v.planRefused(&p, err)
	}
	out, err := h.Services.Apply(v.ctx(), v.who, service.Application{Name: p.Name, Source: []byte(p.Source), Format: p.Format, Note: v.form("note"), Base: &confirmed.Base})
	if err != nil {
		return v.planRefused(&p, err)
	}
	v.flash(ui.OK, appliedText(out))
	return v.redirect(servicePath(out.Service.Name))
}

// planRefused shows the plan with why it is not carried out, and the way on.
func (v *visit) planRefused(p *safety.ServicePlan, err error) error {
	if !refused(err) && !fault.IsCode(err, "plan.not_found") {
		return err
	}
	view, readErr := v.servicePlanView(p)
	if readErr != nil {
		return readErr
	}
	f := fault.As(err)
	title := "Not carried out"
	if fault.KindOf(err) == fault.Stale {
		title = "The world moved on since this plan was made"
	}
	view.Moved = fault.KindOf(err) == fault.Stale
	view.Refusal = &ui.Alert{Tone: ui.Warn, Title: title, Text: f.Message, Code: f.Code, Role: "alert"}
	if view.MayPlan {
		view.Refusal.Actions = ui.Fragments{ui.Act{Action: view.Path + ":again", Button: ui.Button{Label: "Make a new plan", Icon: "refresh-cw", Size: "sm", Kind: ui.Primary}}}
	}
	return v.servicePlanPage(statusOf(err), view)
}

func (v *visit) servicePlanView(p *safety.ServicePlan) (view ServicePlanView, err error) {
	path := servicePlanPath(p.ID)
	view = ServicePlanView{
		Path: path, Part: path + "/parts/now", ID: ident.Format(ident.ServicePlan, p.ID), Name: p.Name, State: string(p.State), Title: planTitles[p.Kind] + " of " + p.Name, Open: !p.State.Over(), Hash: p.Hash,
		MayRead: v.can(auth.ViewRecords), Changes: changeLines(p.Differences), Bulk: p.Kind == safety.BulkPlan, Later: p.Later(), Stopping: p.CancelAt != nil,
	}
	view.MayPlan = v.can(auth.EditServices)
	if view.Bulk {
		view.MayPlan = v.can(auth.RunServices)
	}
	view.MayCancel = view.Open && v.can(auth.RunServices)
	view.MayApply = view.MayPlan && p.State == safety.PlanReady
	if p.Service != (service.ID{}) {
		view.Home = servicePath(p.Name)
	}
	for _, n := range p.Notices {
		view.Notices = append(view.Notices, problemIn(n))
	}
	view.Facts = []ui.KeyValue{
		{Key: "About", Text: planAbout(p)},
		{Key: "Asked for", Body: ui.Fragments{ui.Time{At: p.CreatedAt}}, Hint: "by " + p.Actor},
		{Key: "Made", Body: ui.Fragments{ui.Time{At: timeOf(p.FinishedAt), Never: "not yet"}}},
		{Key: "Holds until", Body: ui.Fragments{ui.Time{At: p.ExpiresAt}}},
		{Key: "Plan", Body: ui.Fragments{ui.ID{Value: view.ID, Short: true, Label: "plan id"}}},
	}
	if p.Hash != "" {
		view.Facts = append(view.Facts, ui.KeyValue{Key: "Hash", Body: ui.Fragments{ui.ID{Value: p.Hash, Short: true, Label: "hash of the plan"}}, Hint: "carries out exactly this"})
	}
	view.Snippets = v.planSnippets(p)
	view.Progress = planProgress(p)
	if p.State == safety.PlanFailed {
		view.Failed = &ui.Alert{Tone: ui.Bad, Title: "The plan could not be made", Text: p.Error, Code: hasPage(p.ErrorCode)}
	}
	if p.Outcome == nil {
		return view, nil
	}
	view.figures(p)
	if p.State != safety.PlanReady || !v.can(auth.ViewUsage) {
		return view, nil
	}
	u := p.Usage()
	e, err := v.h.Plans.Estimate(v.ctx(), v.who, plans.Assumed{
		Syncs: u.Operations, ComplexSyncs: u.Complex, Contacts: u.Records["contacts"], Products: u.Records["products"], Transactions: u.Records["transactions"],
		Standard: u.Standard, Premium: u.Premium, Enrichments: u.Lookups,
	})
	if err != nil {
		return view, err
	}
	view.cost(p, e)
	return view, nil
}

// planAbout says what the plan is of.
func planAbout(p *safety.ServicePlan) string {
	switch {
	case p.Kind == safety.BulkPlan:
		return selectionText(p.Selection)
	case p.Base == 0:
		return "a new service"
	case p.Kind == safety.FirstPlan:
		return "a service that nothing runs of yet"
	}
	return "a document in place of revision " + itoa(p.Base)
}

func (v *visit) planSnippets(p *safety.ServicePlan) []ui.Code {
	api := "/v1/services/" + p.Name
	list := []ui.Code{{Title: "curl", Lang: "shell", Text: v.curl("GET", api+"/plans/"+ident.Format(ident.ServicePlan, p.ID), "")}}
	if p.Hash == "" || p.Kind == safety.BulkPlan {
		return list
	}
	return append(list, ui.Code{Title: "Apply it", Lang: "shell", Text: v.curl("PUT", api+"?plan="+p.Hash, `-H "Content-Type: application/yaml" --data-binary @`+p.Name+".yaml") + "\n\n# or\nsyncline apply -f " + p.Name + ".yaml --plan " + p.Hash})
}

// planProgress is how far the making has come; nil when it is over.
func planProgress(p *safety.ServicePlan) *ui.Progress {
	if p.State.Over() {
		return nil
	}
	out := &ui.Progress{ID: "plan-progress", Title: "Finding out what would happen", State: string(p.State), Unit: "records", Note: "Nothing is written anywhere"}
	names := []string{"opening", "reading", "comparing"}
	labels := []string{"Open the systems", "Read and match", "Compare"}
	at := -1
	if o := p.Outcome; o != nil {
		for i, n := range names {
			if o.Step.Name == n {
				at = i
			}
		}
		out.Done, out.Total = o.Step.Done, o.Step.Total
		if o.Step.System != "" {
			labels[1] = "Read and match " + string(o.Step.System)
		}
	} else {
		out.Note = "Waits for a worker"
	}
	for i, l := range labels {
		state := "next"
		if i < at {
			state = "done"
		} else if i == at {
			state = "now"
		}
		out.Phases = append(out.Phases, ui.Phase{Name: l, State: state})
	}
	return out
}

// figures fills in what would happen, as far as it is known.
func (view *ServicePlanView) figures(p *safety.ServicePlan) {
	t := p.Totals()
	view.Stats = []ui.Stat{
		{Label: "Created", Icon: "plus", Value: ui.Number(t.Creates), Note: ui.Count(t.Matched, "record is", "records are") + " there already"},
		{Label: "Updated", Icon: "pencil", Value: ui.Number(t.Updates), Note: ui.Number(t.Equal) + " known and unchanged"},
		{Label: "Deleted", Icon: "minus", Value: ui.Number(t.Deletes), Tone: toneOver(t.Deletes, ui.Bad)},
		{Label: "Conflicts", Icon: "split", Value: ui.Number(t.Conflicts), Tone: toneOver(t.Open, ui.Split), Note: ui.Number(t.Open) + " for a person"},
		{Label: "Duplicates", Icon: "layers", Value: ui.Number(t.Duplicates + t.Ambiguous), Tone: toneOver(t.Duplicates+t.Ambiguous, ui.Warn), Note: ui.Number(t.Ambiguous) + " could be several"},
		{Label: "Set aside", Icon: "shield-alert", Value: ui.Number(t.Invalid + t.Unsendable + t.Held), Tone: toneOver(t.Invalid+t.Unsendable+t.Held, ui.Warn),
			Note: ui.Number(t.Invalid+t.Unsendable) + " in quarantine, " + ui.Number(t.Held) + " held"},
	}
	types := map[string]string{}
	for _, s := range p.Document.Systems {
		types[s.ID] = s.Type
	}
	for i := range p.Outcome.Seats {
		s := &p.Outcome.Seats[i]
		seat := PlanSeat{System: SystemRef{string(s.System), types[string(s.System)]}, Object: string(s.Object), Read: s.Read, Detection: s.Detection, Why: s.Why, ForeseenSeat: *s}
		view.Seats = append(view.Seats, seat)
	}
	for _, w := range p.Outcome.Warnings {
		view.Warnings = append(view.Warnings, ui.Alert{Tone: ui.Warn, Text: w.Message})
	}
	if !view.MayRead {
		return
	}
	for _, k := range sampleKinds {
		g := PlanSamples{Title: k.title, Text: k.text, Tone: k.tone}
		for _, s := range p.Outcome.Samples {
			if s.Kind != k.kind {
				continue
			}
			line := PlanSample{
				System: SystemRef{string(s.System), types[string(s.System)]}, Object: string(s.Object), Key: keyText(string(s.Key)), Title: headline(keyText(or(s.Title, string(s.Key)))), Why: s.Why,
				Diff: ui.Diff{Bare: true, Fields: fieldDiffs(record.Entry{Before: s.Before, After: s.After}, "")},
			}
			if line.Key == line.Title {
				line.Key = ""
			}
			g.Lines = append(g.Lines, line)
		}
		if len(g.Lines) > 0 {
			view.Samples = append(view.Samples, g)
		}
	}
}

func toneOver(n int64, tone ui.Tone) ui.Tone {
	if n == 0 {
		return ""
	}
	return tone
}

var sampleKinds = []struct {
	kind        engine.SampleKind
	title, text string
	tone        ui.Tone
}{
	{engine.SampleDelete, "Deleted", "These records would go.", ui.Bad},
	{engine.SampleConflict, "Conflicts", "Systems say different things; a rule or a person decides.", ui.Split},
	{engine.SampleHeld, "Held", "The safety brake would hold these for a person.", ui.Warn},
	{engine.SampleInvalid, "Quarantine", "These cannot be taken in, or not put into the other system's form.", ui.Warn},
	{engine.SampleUnfound, "Waiting for another record", "These refer to a record that the system would not have, or to each other.", ui.Warn},
	{engine.SampleDuplicate, "Duplicates", "The same as another record of the same system.", ui.Warn},
	{engine.SampleAmbiguous, "Could be several", "More than one record is like these; a person decides.", ui.Warn},
	{engine.SampleUpdate, "Updated", "Values that would be written over.", ui.Info},
	{engine.SampleCreate, "Created", "Records that would be new there.", ui.OK},
	{engine.SampleFiltered, "Left out", "The filter lets these go nowhere.", ui.Idle},
}

// cost fills in what carrying the plan out adds to the month, and each object's share of what its writes cost.
func (view *ServicePlanView) cost(p *safety.ServicePlan, e plans.Estimate) {
	c := costPart("More this month", "", e)
	c.Total.Estimate = true
	writes := billing.Zero(e.Cost.Currency)
	for _, a := range e.Added {
		if a.Meter == billing.SyncOperations {
			writes = writes.Add(a.Cost)
		}
	}
	view.Cost = &c
	total := p.Operations()
	if total == 0 {
		return
	}
	// Each takes what is left of the sum at its place, so that the shares add up to it whatever is rounded.
	var done int64
	given := billing.Zero(e.Cost.Currency)
	for i := range view.Seats {
		done += view.Seats[i].Operations()
		upTo := billing.RoundExact(new(big.Rat).Mul(writes.Amount.Rat(), big.NewRat(done, total)), e.Cost.Currency)
		view.Seats[i].Cost = moneyOf(billing.Money{Amount: upTo.Amount.Sub(given.Amount), Currency: upTo.Currency})
		given = upTo
	}
}

// selectionText says which records a bulk run reads.
func selectionText(s *service.Selection) string {
	if s == nil || s.Everything() {
		return "all records"
	}
	var parts []string
	what := "records"
	switch {
	case len(s.Records) == 1:
		what = "the record " + string(s.Records[0])
	case len(s.Records) > 1:
		what = strconv.Itoa(len(s.Records)) + " named records"
	}
	if s.Object != "" {
		what += " of " + s.Object
	}
	if s.Source != "" {
		what += " in " + s.Source
	}
	parts = append(parts, what)
	switch {
	case s.From != "" && s.To != "":
		parts = append(parts, "from "+string(s.From)+" to "+string(s.To))
	case s.From != "":
		parts = append(parts, "from "+string(s.From)+" on")
	case s.To != "":
		parts = append(parts, "up to "+string(s.To))
	}
	if !s.Since.IsZero() {
		parts = append(parts, "changed since "+s.Since.UTC().Format("2 January 2006 15:04 UTC"))
	}
	if s.Expression != "" {
		parts = append(parts, "where "+s.Expression)
	}
	if len(s.Conditions) > 0 {
		parts = append(parts, ui.Count(int64(len(s.Conditions)), "condition", "conditions"))
	}
	if len(s.Targets) > 0 {
		parts = append(parts, "to "+and(s.Targets))
	}
	return strings.Join(parts, ", ")
}

// planButton plans a draft as it is.
func planButton(path string) templ.Component {
	return ui.Act{Action: path + "/plan", Button: ui.Button{Label: "Plan", Icon: "file-diff"}}
}
