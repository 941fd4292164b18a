// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/web/webtest"
)

func nameOf(path string) string {
	if path == "/" {
		return "overview"
	}
	return strings.NewReplacer("/", "-", "?", "-", "=", "-").Replace(strings.TrimPrefix(path, "/"))
}

// look sees a page as two readers do: in light on a wide screen, and in dark on a narrow one.
func look(p *webtest.Page, name string) {
	for _, v := range []struct {
		scheme string
		width  int
	}{{"light", 1280}, {"dark", 320}} {
		p.See(v.width, 800, v.scheme)
		p.Reflows()
		p.Targets()
		p.Axe()
		p.Shot(name)
	}
	p.See(1280, 800, "light")
}

// TestEveryPageIsAccessible looks at each page with data, without any, with trouble, and refused.
func TestEveryPageIsAccessible(t *testing.T) {
	h := newHouse(t)
	var p *webtest.Page
	see := func(paths ...string) {
		t.Helper()
		for _, path := range paths {
			p.Goto(h.url + path)
			p.Wait(`!document.querySelector("main .skeleton")`)
			look(p, nameOf(path))
		}
	}
	p = webtest.Open(t, h.url+"/sign-in", webtest.Options{Expect: []string{"401", "403", "404", "422"}})
	see("/sign-in", "/sign-up", "/docs", "/docs/errors", "/docs/errors/service.version_stale", "/docs/service-document")
	p.Goto(h.url + "/nowhere")
	look(p, "public-404")
	link, _, err := h.deps.Auth.Invite(context.Background(), h.owner, viewerEmail, auth.Viewer)
	h.must(err)
	p.Goto(h.url + "/invitations/" + link.Reveal())
	look(p, "invitation")

	// A new tenant, with nothing in it.
	p.Goto(h.url + "/sign-in")
	h.signIn(p, ownerEmail, "wrong and wrong again")
	p.Wait(`document.querySelector("[role=alert]")`)
	look(p, "sign-in-refused")
	h.signIn(p, ownerEmail, password)
	p.WaitPath("/")
	look(p, "overview-empty")
	for path, name := range map[string]string{"/services": "services-empty", "/try-it": "try-it-empty", "/services?q=nothing": "services-filtered"} {
		p.Goto(h.url + path)
		look(p, name)
	}

	h.furnish(40)
	h.trouble()
	runs := "/runs/" + h.lastRun()
	see("/", "/?range=7d", "/services", "/services/"+stock, "/services/"+stock+"/runs", runs, "/services/"+stock+"/revisions",
		"/services/"+stock+"/revisions/1", "/services/"+stock+"/revisions/2", "/services/"+stock+"/edit", "/services/new", "/try-it",
		"/settings/webhooks", "/docs/api-keys", "/services/gone", "/services/new?template=nightly")

	// The document refused.
	p.Goto(h.url + "/services/" + stock + "/edit")
	p.Wait(`document.querySelector("yaml-editor#document").view`)
	webtest.Eval[bool](p, `(document.querySelector("yaml-editor#document").value = "service: x\ndirection: sideways\n", true)`)
	p.Click(`button[data-primary]`)
	p.WaitText("#refusal", "Line 2")
	p.WaitText("#problems", "error")
	look(p, "editor-refused")

	// A system that does not answer, seen by somebody who may only look.
	for range 40 {
		h.right.Plant(connectortest.Fault{On: connectortest.OnWrite, Class: connector.Retry})
	}
	h.left.User("products").Put(sku(3), record.Fields{"quantity": record.Int(1)})
	_, _, err = h.deps.Auth.Accept(context.Background(), link, "Vera Holm", password, auth.Caller{})
	h.must(err)
	p = h.open(viewerEmail, "/services/"+stock, webtest.Options{Expect: []string{"403"}})
	p.WaitText("#service-now", "right does not work")
	look(p, "service-failing-viewer")
	p.Goto(h.url + "/services/new")
	look(p, "no-permission")
}

// trouble makes a conflict, a dead letter and a second revision.
func (h *house) trouble() {
	h.Helper()
	ctx := context.Background()
	h.right.Check("products", func(_ record.Key, f record.Fields) error {
		if q, ok := f["quantity"].(record.Number); ok && q == "666" {
			return &connector.Error{Class: connector.Reject, Code: "memory.refused", Message: "quantity 666 is not accepted here", Err: errors.New("refused")}
		}
		return nil
	})
	_, err := h.deps.Services.Pause(ctx, h.owner, stock, nil)
	h.must(err)
	left, right := h.left.User("products"), h.right.User("products")
	left.Put(sku(1), record.Fields{"name": "Trail Runner 1, left"})
	right.Put(sku(1), record.Fields{"name": "Trail Runner 1, right"})
	left.Put(sku(2), record.Fields{"quantity": record.Int(666)})
	h.apply(strings.Replace(document(stock), "lastWriteWins", "left-wins", 1))
	_, err = h.deps.Services.Resume(ctx, h.owner, stock, nil)
	h.must(err)
	h.eventually("a conflict and a dead letter", func() bool {
		conflicts, dead, err := h.deps.Reader.CountOpen(ctx, h.owner, h.service(stock).ID)
		h.must(err)
		return conflicts == 1 && dead == 1
	})
}

func (h *house) lastRun() string {
	h.Helper()
	runs, err := h.deps.Services.Runs(context.Background(), h.owner, serviceRuns(h.service(stock).ID))
	h.must(err)
	return runs[0].ID.Public()
}

func serviceRuns(id service.ID) service.RunFilter { return service.RunFilter{Service: id, Limit: 1} }
