// SPDX-License-Identifier: Apache-2.0

// Package webtest drives the dashboard in a real browser: one headless Chromium for all tests of a package, a fresh
// profile per page, and checks that every page passes by itself, console errors and broken policies among them.
//
// A package that uses it hands its TestMain over: func TestMain(m *testing.M) { webtest.Main(m) }.
package webtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Patience is how long a step may take before the test fails. It is long because tests share few cores; no test waits
// longer than it must.
const Patience = 30 * time.Second

var browser struct {
	once  sync.Once
	ctx   context.Context
	close func()
	err   error
}

// Main runs the tests and closes the browser if one was started.
func Main(m *testing.M) {
	code := m.Run()
	if browser.close != nil {
		browser.close()
	}
	os.Exit(code)
}

// start opens the browser. CHROMIUM names its program when it is not in the usual places.
func start() {
	path := os.Getenv("CHROMIUM")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path != "" {
			break
		}
		path, _ = exec.LookPath(name)
	}
	if path == "" {
		browser.err = errors.New("no Chromium found: install Debian's package chromium, or set CHROMIUM to the program")
		return
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.DisableGPU, chromedp.Headless,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("disable-renderer-backgrounding", true), chromedp.Flag("disable-background-timer-throttling", true),
		chromedp.Flag("disable-backgrounding-occluded-windows", true), chromedp.Flag("force-color-profile", "srgb"),
	}
	allocator, closeAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeBrowser := chromedp.NewContext(allocator)
	browser.ctx = ctx
	browser.close = func() {
		closeBrowser()
		closeAllocator()
	}
	browser.err = chromedp.Do(ctx)
}

// Serve serves h for the length of the test and returns its address. It closes after the pages do, because an open page
// holds its live stream.
func Serve(t testing.TB, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// Options say how a page is seen.
type Options struct {
	Width, Height int    // 1280 by 800 when zero
	Scheme        string // "light" (when empty) or "dark": what the system prefers
	Motion        bool   // let animations run; they are reduced otherwise
	Touch         bool
	Scale         float64       // device pixels per CSS pixel; 1 when zero
	Expect        []string      // parts of console errors that this test means to provoke
	Header        []HeaderValue // sent with every request
}

// HeaderValue is one request header.
type HeaderValue struct{ Name, Value string }

// Page is one tab in a profile of its own.
type Page struct {
	t       testing.TB
	ctx     context.Context
	options Options

	mu     sync.Mutex
	errors []string
	weight map[network.RequestID]float64
}

// Open starts the browser if need be and opens url in a new profile. The tab closes with the test; errors in the
// page's console that the options do not expect fail it.
func Open(t testing.TB, url string, options Options) *Page {
	t.Helper()
	browser.once.Do(start)
	if browser.err != nil {
		t.Fatalf("starting the browser: %v", browser.err)
	}
	if options.Width == 0 {
		options.Width = 1280
	}
	if options.Height == 0 {
		options.Height = 800
	}
	if options.Scheme == "" {
		options.Scheme = "light"
	}
	ctx, cancel := chromedp.NewContext(browser.ctx, chromedp.WithNewBrowserContext())
	p := &Page{t: t, ctx: ctx, options: options, weight: map[network.RequestID]float64{}}
	t.Cleanup(func() {
		p.check()
		cancel()
	})
	p.do("opening a tab")
	p.listen()
	p.do("setting up the tab", p.setUp())
	if url != "" {
		p.Goto(url)
	}
	return p
}

func (p *Page) listen() {
	console := chromedp.Console(p.ctx)
	finished := chromedp.Events(p.ctx, network.LoadingFinished)
	go func() {
		for m, err := range console {
			if err != nil {
				return
			}
			if m.IsException() || m.Type == chromedp.ConsoleError {
				p.mu.Lock()
				p.errors = append(p.errors, strings.TrimSpace(m.Text+" "+m.URL))
				p.mu.Unlock()
			}
		}
	}()
	go func() {
		for e, err := range finished {
			if err != nil {
				return
			}
			p.mu.Lock()
			p.weight[e.RequestID] = e.EncodedDataLength
			p.mu.Unlock()
		}
	}()
}

func (p *Page) setUp() chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		var none chromedp.Void
		motion := "reduce"
		if p.options.Motion {
			motion = "no-preference"
		}
		if _, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: p.options.Scheme}, {Name: "prefers-reduced-motion", Value: motion},
		}}); err != nil {
			return none, err
		}
		if _, err := cdp.Call(ctx, t, network.Enable, network.EnableParams{}); err != nil {
			return none, err
		}
		if len(p.options.Header) > 0 {
			headers := network.Headers{}
			for _, h := range p.options.Header {
				headers[h.Name] = h.Value
			}
			if _, err := cdp.Call(ctx, t, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: headers}); err != nil {
				return none, err
			}
		}
		view := []chromedp.EmulateViewportOption{}
		if p.options.Touch {
			view = append(view, chromedp.EmulateMobile, chromedp.EmulateTouch)
		}
		if p.options.Scale > 0 {
			view = append(view, chromedp.EmulateScale(p.options.Scale))
		}
		return chromedp.EmulateViewport(int64(p.options.Width), int64(p.options.Height), view...)(ctx, t)
	}
}

// do runs steps within Patience and fails the test when one does not succeed.
func (p *Page) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	if len(steps) == 0 { // the first call opens the tab and must not carry the deadline
		ctx = p.ctx
	}
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%s: %v%s", what, err, p.consoleText())
	}
}

func (p *Page) consoleText() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.errors) == 0 {
		return ""
	}
	return "\nconsole: " + strings.Join(p.errors, "\n         ")
}

// check fails the test on console errors nobody expected. Broken content security policies are among them.
func (p *Page) check() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.errors {
		expected := false
		for _, part := range p.options.Expect {
			expected = expected || strings.Contains(e, part)
		}
		if !expected {
			p.t.Errorf("console error: %s", e)
		}
	}
}

// See changes how the page is seen, in the same tab and without loading it again.
func (p *Page) See(width, height int, scheme string) {
	p.t.Helper()
	p.options.Width, p.options.Height, p.options.Scheme = width, height, scheme
	p.stopTransitions()
	p.do("changing the view", p.setUp())
	// One frame, so that what watches sizes has seen the new one.
	p.do("drawing", chromedp.Evaluate[chromedp.Void](`new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))`, chromedp.EvalAwaitPromise))
}

// stopTransitions makes colours change at once, so that no check sees them half way.
func (p *Page) stopTransitions() {
	p.t.Helper()
	p.Eval(`if (!document.adoptedStyleSheets.length) {
		const still = new CSSStyleSheet();
		still.replaceSync("*, *::before, *::after { transition-property: none !important; }");
		document.adoptedStyleSheets = [still];
	}`)
}

// Goto loads an address and waits until the page and its scripts are there.
func (p *Page) Goto(url string) {
	p.t.Helper()
	p.do("loading "+url, chromedp.Navigate(url))
	p.Wait(`document.readyState === "complete" && document.fonts.status === "loaded"`)
}

// Reload loads the page again.
func (p *Page) Reload() {
	p.t.Helper()
	p.do("reloading", chromedp.Reload())
	p.Wait(`document.readyState === "complete"`)
}

// Click clicks the first element that matches a CSS selector, once it is visible, stands still, and nothing lies on it: a page
// that keeps itself up to date moves what it shows, and puts other elements in the place of those that were found.
func (p *Page) Click(css string) {
	p.t.Helper()
	p.ready()
	at := await[struct{ X, Y float64 }](p, "clicking "+css, fmt.Sprintf(`new Promise((done) => {
		let before;
		const look = () => {
			const e = document.querySelector(%q);
			e?.scrollIntoViewIfNeeded();
			const r = e?.checkVisibility({ visibilityProperty: true }) ? e.getClientRects()[0] : undefined;
			const place = r && [r.x, r.y, r.width, r.height].join(), x = r?.x + r?.width / 2, y = r?.y + r?.height / 2;
			const top = r && document.elementFromPoint(x, y);
			if (place === before && top && (e.contains(top) || top.contains(e) || top.closest("label")?.control === e)) return done({ x, y });
			before = place;
			setTimeout(look, 20);
		};
		look();
	})`, css))
	p.do("clicking "+css, chromedp.MouseClickXY(at.X, at.Y))
}

// ready waits until the page's scripts have run: before, a key or a click may go to nobody.
func (p *Page) ready() {
	p.t.Helper()
	p.Wait(`document.readyState === "complete"`)
}

// Fill replaces the text of a field as if typed.
func (p *Page) Fill(css, text string) {
	p.t.Helper()
	p.ready()
	// In one step, for the same reason.
	p.Wait(fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.focus(); e.select?.(); return document.activeElement === e; })()`, css))
	p.do("filling "+css, keys(text))
}

// Type types into whatever has the focus. Special keys are the constants of package kb of chromedp.
func (p *Page) Type(text string) {
	p.t.Helper()
	p.ready()
	p.do("typing", keys(text))
}

// Press presses one key with modifiers: Press("k", chromedp.ModifierCtrl).
func (p *Page) Press(key string, modifiers ...chromedp.Modifier) {
	p.t.Helper()
	p.ready()
	p.do("pressing "+key, keys(key, modifiers...))
}

// keys presses keys as a keyboard does: the character comes from the key going down, so that a page that takes the key
// for itself also keeps the character away.
func keys(text string, modifiers ...chromedp.Modifier) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (none chromedp.Void, err error) {
		for _, r := range text {
			var down *input.DispatchKeyEventParams
			for _, k := range kb.Encode(r) {
				for _, m := range modifiers {
					k.Modifiers |= int64(m)
				}
				switch k.Type {
				case kb.KeyDown:
					down = k
					continue
				case kb.KeyChar:
					if k.Modifiers&^int64(chromedp.ModifierShift) == 0 {
						down.Text, down.UnmodifiedText = k.Text, k.UnmodifiedText
					}
					continue
				}
				for _, step := range []*input.DispatchKeyEventParams{down, k} {
					if _, err := cdp.Call(ctx, t, input.DispatchKeyEvent, *step); err != nil {
						return none, err
					}
				}
			}
		}
		return none, nil
	}
}

// Wait waits until a JavaScript expression is true, also across the loading of another page.
func (p *Page) Wait(expression string) {
	p.t.Helper()
	await[chromedp.Void](p, "waiting for "+expression, fmt.Sprintf(`new Promise((done) => {
		const look = () => { let ok = false; try { ok = Boolean(%s); } catch {} ok ? done() : setTimeout(look, 20); };
		look();
	})`, expression))
}

// await is what a promise comes to, also across the loading of another page.
func await[T any](p *Page, what, promise string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	for {
		v, err := chromedp.Run(ctx, chromedp.Evaluate[T](promise, chromedp.EvalAwaitPromise))
		switch {
		case err == nil:
			return v
		case ctx.Err() == nil && left(err): // the page went away while it was asked; ask the next one
		default:
			p.t.Fatalf("%s: %v%s", what, err, p.consoleText())
		}
	}
}

// left tells whether an evaluation failed because its page was left.
func left(err error) bool {
	for _, part := range []string{"navigated or closed", "context was destroyed", "Cannot find context", "Cannot find default execution context", "Promise was collected"} {
		if strings.Contains(err.Error(), part) {
			return true
		}
	}
	return false
}

// WaitPath waits until a page with this path has been loaded with its scripts.
func (p *Page) WaitPath(path string) {
	p.t.Helper()
	p.Wait(fmt.Sprintf(`location.pathname === %q && document.readyState === "complete"`, path))
}

// WaitText waits until the element that matches shows the text somewhere.
func (p *Page) WaitText(css, text string) {
	p.t.Helper()
	p.Wait(fmt.Sprintf(`document.querySelector(%q)?.innerText.includes(%q)`, css, text))
}

// Eval runs JavaScript for its effect.
func (p *Page) Eval(statement string) {
	p.t.Helper()
	p.do("running "+statement, chromedp.Evaluate[chromedp.Void]("{"+statement+"}", chromedp.EvalAwaitPromise))
}

// Eval evaluates a JavaScript expression and returns its value.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("evaluating %s: %v", expression, err)
	}
	return v
}

// Text is what the first element that matches shows.
func (p *Page) Text(css string) string {
	p.t.Helper()
	return Eval[string](p, fmt.Sprintf(`document.querySelector(%q).innerText`, css))
}

// Has tells whether something matches.
func (p *Page) Has(css string) bool {
	p.t.Helper()
	return Eval[bool](p, fmt.Sprintf(`document.querySelector(%q) !== null`, css))
}

// URL is the present address.
func (p *Page) URL() string {
	p.t.Helper()
	return Eval[string](p, `location.href`)
}

// Weight is how many bytes came over the network for this page so far, compressed, headers included.
func (p *Page) Weight() int {
	p.t.Helper()
	// The network's own news of what came may be later than the page's.
	came := Eval[int](p, `1 + performance.getEntriesByType("resource").filter((e) => e.transferSize > 0).length`)
	for until := time.Now().Add(Patience); ; time.Sleep(10 * time.Millisecond) {
		p.mu.Lock()
		var sum float64
		for _, n := range p.weight {
			sum += n
		}
		told := len(p.weight)
		p.mu.Unlock()
		if told >= came {
			return int(sum)
		}
		if time.Now().After(until) {
			p.t.Fatalf("of %d things that came over the network only %d were told of", came, told)
		}
	}
}

// Shot writes a picture of the whole page to the folder that SYNCLINE_SHOTS names, and does nothing without it. The
// name of the file says how the page was seen: overview-dark-360.png.
func (p *Page) Shot(name string) {
	p.t.Helper()
	dir := os.Getenv("SYNCLINE_SHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	shot := func(ctx context.Context, t *chromedp.Target) ([]byte, error) {
		r, err := cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: new(false)})
		return r.Data, err
	}
	// The viewport grows to the page first, so that bars at its end are drawn at the end.
	height := Eval[int](p, `Math.ceil(document.documentElement.scrollHeight)`)
	p.do("growing the viewport", chromedp.EmulateViewport(int64(p.options.Width), int64(max(height, p.options.Height))))
	data, err := chromedp.Run(ctx, shot)
	if err != nil {
		p.t.Fatalf("taking a picture of %s: %v", name, err)
	}
	p.do("restoring the viewport", chromedp.EmulateViewport(int64(p.options.Width), int64(p.options.Height)))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.t.Fatal(err)
	}
	file := filepath.Join(dir, fmt.Sprintf("%s-%s-%d.png", name, p.options.Scheme, p.options.Width))
	if err := os.WriteFile(file, data, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
