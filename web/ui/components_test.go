// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"
)

func markup(t *testing.T, c templ.Component) string {
	t.Helper()
	var b strings.Builder
	if err := c.Render(WithReader(context.Background(), Reader{Now: time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)}), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// hostile is what a customer's data may hold.
const hostile = `"><script>alert(1)</script>${x} # 'y' true: 12`

func TestNothingOfTheDataBecomesMarkup(t *testing.T) {
	v := Value{Text: hostile}
	for name, c := range map[string]templ.Component{
		"yaml": Code{Lang: "yaml", Text: hostile + "\nkey: " + hostile + "\n- " + hostile}, "json": Code{Lang: "json", Text: `{"a": "` + hostile + `"}`},
		"shell": Code{Lang: "shell", Text: "curl " + hostile + "\n# " + hostile}, "plain": Code{Text: hostile},
		"id": ID{Value: hostile, Href: "javascript:alert(1)"}, "state": State{Word: hostile}, "diff": Diff{Fields: []FieldDiff{{Field: hostile, Before: v, After: v}}},
		"compare": Compare{Sides: []Side{{System: hostile}, {System: "b"}}, Fields: []CompareField{{Name: hostile, Base: v, Values: []Value{v, v}}}},
		"toast":   toast(Toast{Text: hostile}), "editor": YAMLEditor{Name: "d", Value: hostile}, "tile": Tile{Type: hostile},
		"chart":    BarChart{Title: hostile, Series: []Series{{Name: hostile}}, Bars: []Bar{{Label: hostile, Tick: true, Parts: []int64{1}}}},
		"topology": Topology{Hub: Hub{Name: hostile}, Systems: []Node{{ID: hostile, Type: hostile, Object: hostile, Href: "javascript:alert(1)", Reads: true}}},
	} {
		out := markup(t, c)
		if strings.Contains(out, "<script") || strings.Contains(out, `href="javascript:`) {
			t.Errorf("%s lets data through as markup: %s", name, out)
		}
	}
}

func TestCodeKeepsEveryCharacter(t *testing.T) {
	text := "service: a # note\nlist: [1, true]\n  - x: \"y\"\n\n'<&>'"
	for _, lang := range []string{"yaml", "json", "shell", ""} {
		out := markup(t, Code{Lang: lang, Text: text}.highlighted())
		for _, tag := range []string{"key", "str", "num", "com", "flag"} {
			out = strings.ReplaceAll(out, `<span class="tok-`+tag+`">`, "")
		}
		out = strings.NewReplacer("</span>", "", "&#34;", `"`, "&#39;", "'", "&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(out)
		if out != text {
			t.Errorf("%s: %q became %q", lang, text, out)
		}
	}
}

func TestStateWordsOfTheAPIAllHaveALook(t *testing.T) {
	for _, w := range strings.Fields("draft active paused action_required archived queued running succeeded partial failed cancelled " +
		"synced pending conflict rejected frozen healthy degraded expired revoked open paid void uncollectible on_time on_track delayed never_run") {
		if _, ok := states[w]; !ok {
			t.Errorf("the state %q has no look", w)
		}
	}
	out := markup(t, State{Word: "a_word_of_the_future"})
	if !strings.Contains(out, "A word of the future") || !strings.Contains(out, `data-tone="idle"`) {
		t.Errorf("an unknown word must still be shown: %s", out)
	}
}

func TestChartHasZeroLineRoundTopAndItsNumbersAsTable(t *testing.T) {
	c := BarChart{Title: "Changes", Unit: "per hour", Series: []Series{{Name: "applied"}, {Name: "refused"}}, Bars: []Bar{{Label: "13:00", Parts: []int64{930, 0}}, {Label: "14:00", Parts: []int64{1, 64}}}}
	if got := c.top(); got != 1000 {
		t.Errorf("top of the axis is %d, want 1000", got)
	}
	for high, want := range map[int64]int64{0: 1, 1: 1, 3: 5, 11: 20, 24: 25, 26: 50, 101: 200, 2_100: 2_500} {
		if got := (BarChart{Bars: []Bar{{Parts: []int64{high}}}}).top(); got != want {
			t.Errorf("top above %d is %d, want %d", high, got, want)
		}
	}
	for _, r := range c.rects() {
		y, _ := strconv.ParseFloat(r.y, 64)
		h, _ := strconv.ParseFloat(r.h, 64)
		if h < 1 || y < 0 || y+h > 100.01 {
			t.Errorf("a bar leaves the plot or cannot be seen: y %s, height %s", r.y, r.h)
		}
	}
	out := markup(t, c)
	for _, want := range []string{`class="zero"`, "per hour", "<td", "930", "64"} {
		if !strings.Contains(out, want) {
			t.Errorf("the chart lacks %q", want)
		}
	}
}

func TestSparklineStaysInItsBox(t *testing.T) {
	for _, values := range [][]float64{nil, {1}, {0, 0, 0}, {1, 2, 3}, {-5, math.MaxFloat64 / 2}} {
		line, _ := Sparkline{Values: values}.paths()
		if len(values) < 2 && line != "" {
			t.Errorf("%v drew %q", values, line)
		}
		for _, point := range strings.FieldsFunc(line, func(r rune) bool { return r == 'M' || r == 'L' }) {
			_, y, _ := strings.Cut(point, " ")
			if f, err := strconv.ParseFloat(y, 64); err != nil || f < 0 || f > 28 {
				t.Errorf("%v: point %q leaves the box", values, point)
			}
		}
	}
}

// TestTopologyLayout holds for any number of systems: each has its place inside the picture, edges end where nodes and
// hub are, and the same systems are always drawn the same.
func TestTopologyLayout(t *testing.T) {
	for n := 1; n <= 12; n++ {
		var top Topology
		for i := range n {
			top.Systems = append(top.Systems, Node{ID: strconv.Itoa(i), Reads: true, Writes: i%2 == 0, In: 1, State: "healthy"})
		}
		left, right := top.sides()
		if len(left)+len(right) != n || (n > 1 && len(right) == 0) || len(left) == 0 || left[0].ID != "0" {
			t.Errorf("%d systems: %d left, %d right", n, len(left), len(right))
		}
		for _, e := range []edges{top.edges(false), top.edges(true)} {
			last := -math.MaxFloat64
			for i := range e.nodes {
				y, port := e.ys(i)
				if y-nodeHeight/2 < -0.01 || y+nodeHeight/2 > float64(e.height)+0.01 {
					t.Errorf("%d systems: node %d leaves the picture at %v of %d", n, i, y, e.height)
				}
				if y-last < nodeHeight+nodeGap-0.01 {
					t.Errorf("%d systems: node %d touches the one above", n, i)
				}
				last = y
				if hub := float64(e.height) / 2; math.Abs(port-hub) > hubHeight/2-8 {
					t.Errorf("%d systems: the edge of node %d misses the hub: port %v, hub at %v", n, i, port, hub)
				}
			}
		}
		if first, again := markup(t, top), markup(t, top); first != again {
			t.Error("two drawings of the same systems differ")
		}
	}
}

func TestStoppedEdgesSayWhy(t *testing.T) {
	for _, n := range []Node{{Paused: true, State: "healthy"}, {State: "expired"}, {State: "revoked"}} {
		n.Reads, n.In = true, 5
		top := Topology{Systems: []Node{n}}
		for _, f := range top.edges(false).flows() {
			if f.kind != "stopped" || f.pulse || !strings.Contains(f.label, "stopped") {
				t.Errorf("%+v is drawn as %s %q", n, f.kind, f.label)
			}
		}
	}
}

func TestProgressShowsTimeLeftOnlyWhenItMeansSomething(t *testing.T) {
	tests := []struct {
		name        string
		done, total int64
		left        time.Duration
		want        bool
	}{
		{"five percent done", 5, 100, time.Minute, true}, {"too early", 4, 100, time.Minute, false}, {"total unknown", 500, 0, time.Minute, false}, {"no estimate", 50, 100, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := markup(t, Progress{Title: "First sync", Done: tt.done, Total: tt.total, Left: tt.left, Unit: "records"})
			if strings.Contains(out, " left") != tt.want {
				t.Errorf("time left shown: %v, want %v", !tt.want, tt.want)
			}
			if strings.Contains(out, "max=") != (tt.total > 0) {
				t.Error("the bar must be open-ended exactly while the total is unknown")
			}
		})
	}
}

func TestDisabledButtonsSayWhy(t *testing.T) {
	out := markup(t, Button{Label: "Apply", Disabled: true, Why: "Your role is viewer", Href: "/x"})
	if strings.Contains(out, "<a ") || !strings.Contains(out, "disabled") || strings.Count(out, "Your role is viewer") != 2 {
		t.Errorf("want a disabled button with the reason on hover and for screen readers: %s", out)
	}
}
