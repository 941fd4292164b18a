// SPDX-License-Identifier: Apache-2.0

package webtest

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/chromedp/chromedp"
)

// axe-core is licensed under the MPL-2.0 and serves the tests only; see testdata/README.md.
//
//go:embed testdata/axe.min.js
var axeSource string

type violation struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		HTML           string `json:"html"`
		FailureSummary string `json:"failureSummary"`
	} `json:"nodes"`
}

// Axe checks the page as it is now against WCAG 2.2 A and AA and axe's best practices, and fails the test for every
// violation.
func (p *Page) Axe() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 4*Patience)
	defer cancel()
	if !Eval[bool](p, `typeof axe === "object"`) {
		if err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](axeSource+";void 0")); err != nil {
			p.t.Fatalf("loading axe-core: %v", err)
		}
	}
	p.stopTransitions()
	// Colours are judged as they stand, so fades and waits of the style sheet end first.
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`(async () => {
		for (const a of document.getAnimations()) { try { a.finish(); } catch { a.cancel(); } }
		const r = await axe.run(document, { resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
		return JSON.stringify(r.violations);
	})()`, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("running axe-core: %v", err)
	}
	var found []violation
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		p.t.Fatalf("reading axe-core's answer: %v", err)
	}
	for _, v := range found {
		var b strings.Builder
		for i, n := range v.Nodes {
			if i == 6 {
				fmt.Fprintf(&b, "\n  and %d more", len(v.Nodes)-i)
				break
			}
			html := n.HTML
			if len(html) > 240 {
				html = html[:240] + "..."
			}
			fmt.Fprintf(&b, "\n  %s\n    %s", html, strings.ReplaceAll(n.FailureSummary, "\n", "\n    "))
		}
		p.t.Errorf("accessibility, %s (%s): %s%s", v.ID, v.Impact, v.Help, b.String())
	}
}

// Reflows fails the test when the page scrolls sideways: at 320 px nothing may be lost (WCAG 1.4.10).
func (p *Page) Reflows() {
	p.t.Helper()
	wide := Eval[string](p, `(() => {
		const limit = document.documentElement.clientWidth;
		if (document.documentElement.scrollWidth <= limit) return "";
		const out = [...document.querySelectorAll("body *")].filter((e) => {
			if (!e.checkVisibility() || e.closest(".sr-only, .skip, .table-scroll, .tabs, pre, yaml-editor, yaml-diff, svg")) return false;
			return e.getBoundingClientRect().right > limit + 0.5;
		});
		return document.documentElement.scrollWidth + " px: " + out.slice(0, 4).map((e) => e.outerHTML.slice(0, 160)).join("\n  ");
	})()`)
	if wide != "" {
		p.t.Errorf("the page is wider than its window, %s", wide)
	}
}

// Targets fails the test for controls smaller than 24 by 24 px that are not part of a sentence (WCAG 2.5.8).
func (p *Page) Targets() {
	p.t.Helper()
	small := Eval[[]string](p, `[...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, summary")].filter((e) => {
		if (!e.checkVisibility({ visibilityProperty: true, opacityProperty: false })) return false;
		if (e.closest("p, .skip, .sr-only, svg, .plain-text, .moment-cause, .kv dd, .field-hint, .topo-hub-count, .linked, .chips")) return false;
		if (e.matches(".row-link, .line-text a, .inbox-item a, .skip") || e.closest("label")) return false;
		if (/^(checkbox|radio)$/.test(e.type)) return false;
		const r = e.getBoundingClientRect();
		return r.width > 0 && (r.width < 23.5 || r.height < 23.5);
	}).map((e) => Math.round(e.getBoundingClientRect().width) + " x " + Math.round(e.getBoundingClientRect().height) + ": " + e.outerHTML.slice(0, 140))`)
	for _, s := range small {
		p.t.Errorf("target smaller than 24 px, %s", s)
	}
}
