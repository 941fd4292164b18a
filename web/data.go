// SPDX-License-Identifier: Apache-2.0

package web

import (
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/syncline-dev/syncline/docs"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/ui"
)

// routesData are the pages about what services carry and what that takes: records, conflicts, dead letters, connections,
// usage and invoices, settings.
func (h *Handler) routesData(r chi.Router) {
	h.routesRecords(r)
	h.routesConflicts(r)
	h.routesDeadLetters(r)
	h.routesHolds(r)
	h.routesSchema(r)
	h.routesProof(r)
	h.routesReconcile(r)
	h.routesUndo(r)
	h.routesConnections(r)
	h.routesConnectors(r)
	h.routesUsage(r)
	h.routesFinance(r)
	h.routesSettings(r)
}

// A roster is the systems of a service in the order of its document, with the connector of each.
type roster struct {
	doc   *service.Document
	ids   []string
	types map[string]string
}

func rosterOf(doc *service.Document) roster {
	r := roster{doc: doc, types: map[string]string{}}
	for _, s := range doc.Systems {
		r.ids = append(r.ids, s.ID)
		r.types[s.ID] = s.Type
	}
	return r
}

// ref names a system, also one that the document does not have any more, and a person.
func (r roster) ref(id record.System) SystemRef {
	return SystemRef{ID: systemName(id), Type: r.types[string(id)]}
}

// holding are the systems that hold a copy of the entity, those of the document first.
func (r roster) holding(e *record.Entity) (refs []SystemRef) {
	for _, id := range r.ids {
		if e.Links[record.System(id)] != nil {
			refs = append(refs, r.ref(record.System(id)))
		}
	}
	for _, id := range systemsOf(e) {
		if !slices.Contains(r.ids, string(id)) {
			refs = append(refs, r.ref(id))
		}
	}
	return refs
}

// systemName is how people call a system in a service; what was decided by hand has none.
func systemName(id record.System) string {
	if id == record.Person {
		return "a person"
	}
	return string(id)
}

// A lineup is the tenant's services and what is known of their documents, each read once.
type lineup struct {
	v       *visit
	all     []service.Service
	rosters map[service.ID]roster
}

// lineup reads the list of services.
func (v *visit) lineup() (*lineup, error) {
	all, err := v.h.Services.List(v.ctx(), v.who, service.Filter{})
	return &lineup{v: v, all: all, rosters: map[service.ID]roster{}}, err
}

// named is the service of that name, or false.
func (l *lineup) named(name string) (service.Service, bool) {
	i := slices.IndexFunc(l.all, func(s service.Service) bool { return s.Name == name })
	if i < 0 {
		return service.Service{}, false
	}
	return l.all[i], true
}

// name is what the service of that id is called; "" when it is not there.
func (l *lineup) name(id service.ID) string {
	for _, s := range l.all {
		if s.ID == id {
			return s.Name
		}
	}
	return ""
}

// roster tells the systems of a service; none for one that is a draft without a document that can be read.
func (l *lineup) roster(id service.ID) (roster, error) {
	if r, ok := l.rosters[id]; ok {
		return r, nil
	}
	var r roster
	_, revision, err := l.v.h.Services.Get(l.v.ctx(), l.v.who, id.Public())
	switch {
	case fault.KindOf(err) == fault.NotFound:
	case err != nil:
		return r, err
	case revision.Document != nil:
		r = rosterOf(revision.Document)
	}
	l.rosters[id] = r
	return r, nil
}

// choice is the filter that chooses one of the services.
func (l *lineup) choice(chosen string) ui.Select {
	s := ui.Select{Name: "service", Label: "Service", Value: chosen, Options: []ui.Option{{Label: "Any service"}}}
	for _, svc := range l.all {
		s.Options = append(s.Options, ui.Option{Value: svc.Name, Label: svc.Name})
	}
	return s
}

// headline cuts a title that is longer than a line; the whole text stands with the record's fields.
func headline(s string) string {
	const most = 80
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return strings.TrimRight(string(r[:most-1]), " ") + "…"
}

// remedyOf is what the page of an error code tells to do, as plain text; "" for a code without a page.
func remedyOf(code string) string {
	page, found := docs.Error(code)
	if !found {
		return ""
	}
	_, rest, found := strings.Cut(string(page), "**Remedy.**")
	if !found {
		return ""
	}
	paragraph, _, _ := strings.Cut(strings.TrimSpace(rest), "\n\n")
	paragraph = strings.Join(strings.Fields(paragraph), " ")
	return strings.NewReplacer("`", "", "**", "").Replace(unlinked(paragraph))
}

// unlinked turns "[text](address)" into "text".
func unlinked(s string) string {
	var b strings.Builder
	for {
		open := strings.IndexByte(s, '[')
		middle := strings.Index(s, "](")
		if open < 0 || middle < open {
			return b.String() + s
		}
		end := strings.IndexByte(s[middle:], ')')
		if end < 0 {
			return b.String() + s
		}
		b.WriteString(s[:open] + s[open+1:middle])
		s = s[middle+end+1:]
	}
}

// hasPage says whether the documentation explains the code.
func hasPage(code string) string {
	if _, found := docs.Error(code); !found {
		return ""
	}
	return code
}

// errorsAt are the texts beside the fields of a form, by the whole pointer of each field ("/settings/host").
func errorsAt(err error) (at map[string]string, rest string) {
	at = map[string]string{}
	f := fault.As(err)
	if f == nil {
		return at, ""
	}
	for _, field := range f.Fields {
		text := strings.TrimSpace(field.Message + " " + field.Remedy)
		if field.Pointer == "" {
			rest = strings.TrimSpace(rest + " " + text)
			continue
		}
		at[field.Pointer] = strings.TrimSpace(at[field.Pointer] + " " + text)
	}
	if len(f.Fields) == 0 {
		rest = f.Message
	}
	return at, rest
}
