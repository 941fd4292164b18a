// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/a-h/templ"
)

// Topology is the picture of a service: its systems around the entity they are kept equal through, with directions,
// throughput, lag and what is owed. The layout follows from the order of the systems alone, so that a refresh never
// moves anything. Nodes are links; the same facts stand in a table below.
type Topology struct {
	ID      string
	Hub     Hub
	Systems []Node
	Attrs   templ.Attributes // hx-get, hx-trigger
}

// Hub is the entity in the middle.
type Hub struct {
	Name      string // "products"
	Entities  int64
	Conflicts int64
	Href      string // to the records
	Issues    string // to the conflicts
}

// Node is one system in its service.
type Node struct {
	ID      string // the system's id in the document: "warehouse"
	Type    string // its connector: "postgresql"
	Object  string // "stock_levels"
	Href    string
	State   string // connection state word: "healthy"
	Paused  bool   // nothing flows because someone paused it
	Primary bool
	Records int64
	Lag     time.Duration // from the change there to its arrival elsewhere, median of the last minutes
	Owed    int64         // deliveries that wait
	Dead    int64         // dead letters
	Reads   bool          // changes are read from it
	Writes  bool          // changes are written to it
	In      float64       // changes read, per second
	Out     float64       // changes written, per second
}

// Render writes the picture and its table.
func (t Topology) Render(ctx context.Context, w io.Writer) error { return topology(t).Render(ctx, w) }

func (t Topology) attrs() templ.Attributes {
	a := templ.Attributes{}
	for k, v := range t.Attrs {
		a[k] = v
	}
	if t.ID != "" {
		a["id"] = t.ID
	}
	return a
}

// Heights in sixteenths of a rem, as css/07-show.css has them.
const (
	nodeHeight = 88
	nodeGap    = 16
	hubHeight  = 152
	lane       = 5 // distance of the two directions from their middle
)

// sides deals the systems: the first, which is the primary or the source, to the left, then as evenly as possible.
func (t Topology) sides() (left, right []Node) {
	n := (len(t.Systems) + 1) / 2
	if len(t.Systems) == 3 || len(t.Systems) == 4 {
		n = len(t.Systems) / 2
	}
	return t.Systems[:n], t.Systems[n:]
}

// An edges picture is one side: everything between the nodes of the left (or right) and the hub.
type edges struct {
	height int
	right  bool
	nodes  []Node
}

func (t Topology) height() int {
	left, right := t.sides()
	n := max(len(left), len(right))
	return max(hubHeight, n*nodeHeight+(n-1)*nodeGap)
}

func (t Topology) edges(right bool) edges {
	l, r := t.sides()
	if right {
		return edges{t.height(), true, r}
	}
	return edges{t.height(), false, l}
}

func (e edges) box() string { return fmt.Sprintf("0 0 100 %d", e.height) }

func (e edges) rem() string { return coord(float64(e.height)/16) + "rem" }

// ys are the middles of node i and of its port on the hub.
func (e edges) ys(i int) (node, port float64) {
	n := len(e.nodes)
	block := float64(n*nodeHeight + (n-1)*nodeGap)
	node = (float64(e.height)-block)/2 + float64(i*(nodeHeight+nodeGap)) + nodeHeight/2
	spread := math.Min(30, float64(hubHeight-48)/float64(max(n-1, 1)))
	port = float64(e.height)/2 + (float64(i)-float64(n-1)/2)*spread
	return node, port
}

// A flow is one drawn direction between a node and the hub.
type flow struct {
	path   string
	kind   string // "flow", "idle" or "stopped"
	thick  string
	pulse  bool
	headX  string // where the arrow ends
	headY  string
	head   string // its outline, pointing right or left
	label  string
	labelX string
	labelY string
	dx     string
	anchor string
}

func (e edges) flows() []flow {
	var out []flow
	for i, n := range e.nodes {
		ny, py := e.ys(i)
		both := n.Reads && n.Writes
		add := func(toHub bool, rate float64) {
			off := 0.0
			if both {
				off = lane
				if toHub {
					off = -lane
				}
			}
			a, b := ny+off, py+off // at the node, at the hub
			nx, hx := 0.0, 100.0
			if e.right {
				nx, hx = 100, 0
			}
			from, to := [2]float64{nx, a}, [2]float64{hx, b}
			if !toHub {
				from, to = to, from
			}
			f := flow{kind: "idle"}
			f.path = fmt.Sprintf("M%s %sC50 %s 50 %s %s %s", coord(from[0]), coord(from[1]), coord(from[1]), coord(to[1]), coord(to[0]), coord(to[1]))
			switch {
			case n.Paused || StateTone(n.State) == Bad:
				f.kind = "stopped"
			case rate > 0:
				f.kind, f.pulse = "flow", true
				if rate > 100 {
					f.thick = "thick-3"
				} else if rate > 10 {
					f.thick = "thick-2"
				}
			}
			f.headX, f.headY = coord(to[0])+"%", coord(to[1]/float64(e.height)*100)+"%"
			if to[0] > from[0] {
				f.head = "M-9 -4.5L0 0L-9 4.5Z"
			} else {
				f.head = "M9 -4.5L0 0L9 4.5Z"
			}
			arrow := "→ "
			if toHub == e.right {
				arrow = "← "
			}
			f.label = arrow + Rate(rate)
			if f.kind == "stopped" {
				f.label = arrow + "stopped"
			}
			f.labelY = coord((ny+labelOffset(ny, py, both, toHub))/float64(e.height)*100) + "%"
			f.labelX, f.dx, f.anchor = "0%", "14", "start"
			if e.right {
				f.labelX, f.dx, f.anchor = "100%", "-14", "end"
			}
			out = append(out, f)
		}
		if n.Reads {
			add(true, n.In)
		}
		if n.Writes {
			add(false, n.Out)
		}
	}
	return out
}

// labelOffset puts the labels where the curve does not go: above a line that bends down, below one that bends up, and
// one on each side of a straight pair.
func labelOffset(node, port float64, both, toHub bool) float64 {
	switch {
	case port > node+4 && both && toHub:
		return -26
	case port > node+4 && both:
		return -12
	case port > node+4:
		return -8
	case port < node-4 && both && !toHub:
		return 32
	case port < node-4 && both:
		return 18
	case port < node-4:
		return 15
	case both && !toHub:
		return 20
	case both:
		return -12
	}
	return -8
}

func (t Topology) twin() DataTable {
	d := DataTable{
		Caption: "Systems of this service", Scroll: true, Numbers: 4,
		Head: []string{"System", "Connector", "Connection", "Direction", "Records", "Read", "Written", "Lag", "Owed", "Dead letters"},
	}
	for _, n := range t.Systems {
		d.Rows = append(d.Rows, []string{
			n.ID, n.Type, Words(n.State), n.direction(), Number(n.Records), Rate(n.In), Rate(n.Out), Span(n.Lag), Number(n.Owed), Number(n.Dead),
		})
	}
	return d
}

func (n Node) direction() string {
	switch {
	case n.Reads && n.Writes:
		return "both ways"
	case n.Reads:
		return "read only"
	case n.Writes:
		return "written only"
	}
	return "none"
}
