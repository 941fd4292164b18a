// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"hash/fnv"
	"io"
	"strconv"
	"strings"

	"github.com/syncline-dev/syncline/web/static"
)

// Icon is one picture of the sprite (web/editor/icons.txt lists the names). Without a label it is decoration and
// hidden from screen readers.
type Icon struct {
	Name  string
	Label string
	Class string // "icon-sm", "icon-lg", "icon-spin"
}

// Render writes the icon.
func (i Icon) Render(ctx context.Context, w io.Writer) error {
	return icon(i, static.URL("icons.svg")+"#"+i.Name).Render(ctx, w)
}

// Tile is the mark of a connector: a symbol for databases and files, two letters for the rest, on a tint that is the
// same for the same system everywhere. Vendors' own logos are not used.
type Tile struct {
	Type string // the connector's name, "postgresql"
	Size string // "", "sm" or "lg"
}

// Render writes the tile.
func (t Tile) Render(ctx context.Context, w io.Writer) error { return tile(t).Render(ctx, w) }

var tileIcons = map[string]string{
	"memory": "flask-conical", "webhook": "webhook", "rest": "network", "files": "file-text", "csv": "file-text", "s3": "boxes", "smtp": "mail",
}

var tileLetters = map[string]string{
	"postgresql": "Pg", "mysql": "My", "mariadb": "Ma", "mongodb": "Mo", "dynamodb": "Dy", "salesforce": "Sf", "hubspot": "Hs", "zendesk": "Zd",
	"shopify": "Sh", "amazon-mws": "Am", "ebay": "eB", "stripe": "St", "quickbooks": "Qb", "kafka": "Ka",
}

func (t Tile) letters() string {
	if l := tileLetters[t.Type]; l != "" {
		return l
	}
	name := strings.TrimLeft(t.Type, " -_")
	if name == "" {
		return "?"
	}
	r := []rune(name)
	if len(r) == 1 {
		return strings.ToUpper(string(r))
	}
	return strings.ToUpper(string(r[:1])) + string(r[1:2])
}

var tileHues = map[string]int{"postgresql": 0, "mariadb": 2, "mysql": 2, "mongodb": 1, "salesforce": 0, "hubspot": 3, "zendesk": 6, "shopify": 1, "stripe": 5, "ebay": 3, "amazon-mws": 2}

func (t Tile) hue() string {
	if h, ok := tileHues[t.Type]; ok {
		return "hue-" + strconv.Itoa(h)
	}
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(t.Type)) // a hash does not fail
	return "hue-" + strconv.Itoa(int(sum.Sum32()%8))
}

// Logo is the mark, three strata folding down to a common trough, with or without the name beside it.
type Logo struct {
	Bare bool // the mark alone
}

// Render writes the logo.
func (l Logo) Render(ctx context.Context, w io.Writer) error { return logo(l).Render(ctx, w) }
