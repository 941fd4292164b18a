// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/a-h/templ"
)

// Stats is a strip of figures.
type Stats struct {
	ID    string
	Items []Stat
	Attrs templ.Attributes
}

// Stat is one figure.
type Stat struct {
	Label string
	Icon  string
	Tone  Tone // of the icon
	Value string
	Unit  string
	Delta *Delta
	Note  string
	Href  string
	Spark *Sparkline
	Bar   *Budget
}

// Delta is a change against before.
type Delta struct {
	Text string // "+12%"
	Up   bool
	Good string // "true", "false" or "" when it is neither
}

// Render writes the strip.
func (s Stats) Render(ctx context.Context, w io.Writer) error { return stats(s).Render(ctx, w) }

func (s Stats) attrs() templ.Attributes {
	a := templ.Attributes{}
	for k, v := range s.Attrs {
		a[k] = v
	}
	if s.ID != "" {
		a["id"] = s.ID
	}
	return a
}

// Sparkline is a small line without axes; Label says in words what it shows, because the picture cannot be read out.
type Sparkline struct {
	Values []float64
	Label  string // "Records in the last 24 hours: 12,408, steady"
	Tone   Tone
}

// Render writes the line.
func (s Sparkline) Render(ctx context.Context, w io.Writer) error { return sparkline(s).Render(ctx, w) }

// paths are the line and the area under it in a box of 100 by 28 with the zero line at the bottom.
func (s Sparkline) paths() (line, area string) {
	if len(s.Values) < 2 {
		return "", ""
	}
	top := 0.0
	for _, v := range s.Values {
		top = math.Max(top, v)
	}
	if top == 0 {
		top = 1
	}
	var b strings.Builder
	for i, v := range s.Values {
		x := float64(i) / float64(len(s.Values)-1) * 100
		y := 26.5 - math.Max(0, v)/top*24
		if i == 0 {
			b.WriteString("M")
		} else {
			b.WriteString("L")
		}
		b.WriteString(coord(x) + " " + coord(y))
	}
	line = b.String()
	return line, line + "L100 27L0 27Z"
}

func coord(f float64) string { return strconv.FormatFloat(math.Round(f*100)/100, 'f', -1, 64) }

// BarChart shows counts over time, stacked by series, with a zero line, a unit and a table with the same numbers.
type BarChart struct {
	ID     string // unique on the page
	Title  string // "Records and errors, last 24 hours"
	Unit   string // "records per hour"
	Series []Series
	Bars   []Bar
	Height int // in px; 160 when zero
}

// Series is one part of each bar.
type Series struct {
	Name string
	Tone Tone
}

// Bar is one span of time; Parts are in the order of the series.
type Bar struct {
	Label string // "14:00"
	Tick  bool   // the label is written under the bar
	Parts []int64
}

// Render writes the chart and its table.
func (c BarChart) Render(ctx context.Context, w io.Writer) error { return barChart(c).Render(ctx, w) }

func (c BarChart) height() int {
	if c.Height == 0 {
		return 160
	}
	return c.Height
}

func (b Bar) total() (n int64) {
	for _, p := range b.Parts {
		n += max(p, 0)
	}
	return n
}

// top is the round number at or above the highest bar: 1, 2, 2.5 or 5 times a power of ten.
func (c BarChart) top() int64 {
	var high int64 = 1
	for _, b := range c.Bars {
		high = max(high, b.total())
	}
	step := math.Pow(10, math.Floor(math.Log10(float64(high))))
	for _, m := range []float64{1, 2, 2.5, 5, 10} {
		if t := m * step; t >= float64(high) && t == math.Trunc(t) {
			return int64(t)
		}
	}
	return high
}

func (c BarChart) sum(series int) (n int64) {
	for _, b := range c.Bars {
		if series < len(b.Parts) {
			n += b.Parts[series]
		}
	}
	return n
}

// A rect is one drawn part, in percent of the width and of the plot's height.
type rect struct {
	x, y, w, h string
	tone       Tone
}

func (c BarChart) rects() []rect {
	var out []rect
	n := float64(len(c.Bars))
	top := float64(c.top())
	for i, b := range c.Bars {
		base := 0.0
		for s, p := range b.Parts {
			if p <= 0 || s >= len(c.Series) {
				continue
			}
			// A count that is there is seen: one percent of the height at least.
			h := math.Max(float64(p)/top*100, 1)
			out = append(out, rect{
				x: coord(float64(i)/n*100 + 12/n), w: coord(76 / n), y: coord(100 - base - h), h: coord(h), tone: c.Series[s].Tone,
			})
			base += h
		}
	}
	return out
}

func (c BarChart) slot(i int) (x, w string) {
	n := float64(len(c.Bars))
	return coord(float64(i)/n*100) + "%", coord(100/n) + "%"
}

func (c BarChart) middle(i int) string {
	return coord((float64(i)+0.5)/float64(len(c.Bars))*100) + "%"
}

func (c BarChart) tip(b Bar) string {
	var parts []string
	for i, s := range c.Series {
		if i < len(b.Parts) {
			parts = append(parts, Number(b.Parts[i])+" "+s.Name)
		}
	}
	return b.Label + ": " + strings.Join(parts, ", ")
}

func (c BarChart) twin() DataTable {
	d := DataTable{Caption: c.Title, Head: []string{"Time"}, Numbers: 1}
	for _, s := range c.Series {
		d.Head = append(d.Head, Words(s.Name))
	}
	for _, b := range c.Bars {
		row := []string{b.Label}
		for _, p := range b.Parts {
			row = append(row, Number(p))
		}
		d.Rows = append(d.Rows, row)
	}
	return d
}

func (c BarChart) summary() string {
	var parts []string
	for i, s := range c.Series {
		parts = append(parts, fmt.Sprintf("%s %s", Number(c.sum(i)), s.Name))
	}
	return c.Title + ": " + strings.Join(parts, ", ") + ". The same numbers are in the table below."
}

// compact writes an axis label: 800, 1.5k, 20k, 3M.
func compact(n int64) string {
	switch {
	case n >= 1_000_000:
		return trim(float64(n)/1e6, 1) + "M"
	case n >= 1_000:
		return trim(float64(n)/1e3, 1) + "k"
	}
	return strconv.FormatInt(n, 10)
}
