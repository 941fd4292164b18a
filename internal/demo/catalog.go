// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"math/rand/v2"
)

// product is a row of the warehouse's stock_levels and of the storefront's products.
type product struct {
	SKU      string
	Name     string
	Quantity int
	Reserved int
	Location string
	Cents    int // price
}

var (
	kinds = []struct {
		code, noun string
		low, high  int // price range in whole dollars
		variants   []string
	}{
		{"MUG", "Mug", 9, 24, []string{"250 ml", "350 ml", "500 ml"}},
		{"LMP", "Desk Lamp", 39, 129, []string{"Short", "Tall"}},
		{"CHR", "Chair", 89, 349, []string{"Low Back", "High Back"}},
		{"DSK", "Desk", 199, 899, []string{"120 cm", "140 cm", "160 cm"}},
		{"RUG", "Rug", 49, 499, []string{"80 x 150", "120 x 180", "200 x 300"}},
		{"BLK", "Blanket", 29, 119, []string{"Single", "Double"}},
		{"BOT", "Bottle", 14, 42, []string{"500 ml", "750 ml", "1 l"}},
		{"PAN", "Pan", 24, 159, []string{"20 cm", "24 cm", "28 cm"}},
		{"TWL", "Towel", 7, 39, []string{"Hand", "Bath", "Beach"}},
		{"BAG", "Bag", 34, 229, []string{"Small", "Medium", "Large"}},
		{"CLK", "Clock", 24, 149, []string{"Wall", "Table"}},
		{"VAS", "Vase", 12, 89, []string{"Slim", "Round"}},
		{"PLW", "Pillow", 16, 79, []string{"40 x 40", "50 x 50", "40 x 80"}},
		{"KNF", "Knife", 19, 189, []string{"Paring", "Chef", "Bread"}},
		{"NTB", "Notebook", 6, 28, []string{"A6", "A5", "A4"}},
		{"SHF", "Shelf", 45, 399, []string{"Two Tiers", "Four Tiers"}},
	}
	materials = []struct{ code, word string }{
		{"OAK", "Oak"}, {"WAL", "Walnut"}, {"LIN", "Linen"}, {"WOL", "Wool"}, {"CER", "Ceramic"}, {"STL", "Steel"},
		{"BRS", "Brass"}, {"GLS", "Glass"}, {"CTN", "Cotton"}, {"LTH", "Leather"}, {"CRK", "Cork"}, {"BAM", "Bamboo"},
	}
	colours = []struct{ code, word string }{
		{"NVY", "Navy"}, {"SND", "Sand"}, {"MOS", "Moss"}, {"CHA", "Charcoal"}, {"IVR", "Ivory"}, {"RST", "Rust"}, {"SKY", "Sky"},
	}
	aisles = []string{"A", "B", "C", "D", "E", "F"}
)

// catalogue makes n products, always the same ones, in the order of their SKUs' making.
func catalogue(n int) []product {
	r := rand.New(rand.NewPCG(2024, 10))
	var out []product
	for _, k := range kinds {
		for _, m := range materials {
			for _, c := range colours {
				for i, v := range k.variants {
					out = append(out, product{
						SKU:      fmt.Sprintf("%s-%s-%s-%d", k.code, m.code, c.code, i+1),
						Name:     fmt.Sprintf("%s %s %s, %s", c.word, m.word, k.noun, v),
						Quantity: 5 + r.IntN(240),
						Reserved: r.IntN(5),
						Location: fmt.Sprintf("%s%02d-%d", aisles[r.IntN(len(aisles))], 1+r.IntN(24), 1+r.IntN(5)),
						Cents:    (k.low+r.IntN(k.high-k.low))*100 + 90,
					})
				}
			}
		}
	}
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out[:min(n, len(out))]
}
