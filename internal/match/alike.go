// SPDX-License-Identifier: Apache-2.0

package match

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/syncline-dev/syncline/internal/record"
)

// Kind says how a field's values are compared: names are the same in another order or with initials, telephone numbers with
// other punctuation, addresses with other abbreviations.
type Kind string

// The kinds.
const (
	KindText    Kind = "text"
	KindName    Kind = "name"
	KindEmail   Kind = "email"
	KindPhone   Kind = "phone"
	KindAddress Kind = "address"
)

// Algorithm says how likeness of letters is measured.
type Algorithm string

// The algorithms.
const (
	JaroWinkler Algorithm = "jaro-winkler"
	Levenshtein Algorithm = "levenshtein"
)

// kindWords tell a field's kind by its name, the first that it contains.
var kindWords = []struct {
	word string
	kind Kind
}{
	{"mail", KindEmail}, {"phone", KindPhone}, {"mobile", KindPhone}, {"telefon", KindPhone}, {"fax", KindPhone},
	{"address", KindAddress}, {"street", KindAddress}, {"name", KindName}, {"company", KindName}, {"account", KindName}, {"title", KindName},
}

// KindOf guesses a field's kind by its name.
func KindOf(field string) Kind {
	f := strings.ToLower(field)
	for _, k := range kindWords {
		if strings.Contains(f, k.word) {
			return k.kind
		}
	}
	return KindText
}

// Like is a field by which records are compared.
type Like struct {
	Field     string
	Kind      Kind
	Algorithm Algorithm
	Threshold float64 // at least so alike
	Weight    float64 // how much it counts; 0 is 1
	Same      bool    // it is one of the match fields: being the same in it alone makes a candidate
	// Normal brings a telephone number into the international form. Nil: digits are compared.
	Normal func(string) string
}

// Likeness is how a service tells records that are the same without being equal.
type Likeness struct {
	Fields []Like
	Auto   float64 // at least so alike: merged by rule
	Ask    float64 // at least so alike: a person decides
	Manual bool    // nothing is merged by rule
}

// Likely is what becomes of two records that were compared.
type Likely string

// The outcomes.
const (
	Ignore Likely = "ignore" // they are two things
	Ask    Likely = "ask"    // a person decides
	Auto   Likely = "auto"   // they are one thing
)

// FieldLikeness is how alike two records are in one field.
type FieldLikeness struct {
	Field     string
	Likeness  float64
	Threshold float64
}

// Verdict is how alike two records are.
type Verdict struct {
	Score   float64 // 0 to 1
	Outcome Likely
	Fields  []FieldLikeness // those in which both have a value
}

// Compare says how alike two records are. It is the same whichever comes first.
func (l *Likeness) Compare(a, b record.Fields) Verdict {
	var v Verdict
	var sum, weights float64
	same, reached, measured := false, true, false
	for i := range l.Fields {
		f := &l.Fields[i]
		x, y := f.normal(a[f.Field]), f.normal(b[f.Field])
		if x == "" || y == "" {
			continue
		}
		like := f.alike(x, y)
		v.Fields = append(v.Fields, FieldLikeness{f.Field, like, f.Threshold})
		w := f.Weight
		if w == 0 {
			w = 1
		}
		sum, weights = sum+w*like, weights+w
		switch {
		case f.Same:
			same = same || like == 1
		default:
			measured = true
			reached = reached && like >= f.Threshold
		}
	}
	v.Outcome = Ignore
	if weights == 0 {
		return v
	}
	if v.Score = sum / weights; same {
		v.Score = max(v.Score, l.Ask) // the same address with another telephone: somebody should look
	}
	switch candidate := same || measured && reached; {
	case !candidate || v.Score < l.Ask:
	case reached && v.Score >= l.Auto && !l.Manual:
		v.Outcome = Auto
	default:
		v.Outcome = Ask
	}
	return v
}

// Keys are the blocks that the record belongs to, sorted: only records with a block in common are compared. A record has a
// handful, whatever it says, so the comparisons grow as the records do.
func (l *Likeness) Keys(fields record.Fields) []string {
	var keys []string
	for i := range l.Fields {
		f := &l.Fields[i]
		n := f.normal(fields[f.Field])
		if n == "" {
			continue
		}
		add := func(mark, text string) {
			if text != "" {
				keys = append(keys, mark+":"+f.Field+":"+cutText(text, 80))
			}
		}
		if f.Same {
			add("=", n)
		}
		if f.Same && f.Kind != KindName && f.Kind != KindAddress {
			continue
		}
		switch f.Kind {
		case KindEmail:
			add("=", n)
		case KindPhone:
			add("=", tail(onlyDigits(n), 7))
		case KindName, KindAddress:
			tokens := byLength(strings.Fields(n))
			tokens = tokens[:min(len(tokens), mostWords)]
			for i, t := range tokens {
				rest := ""
				for j, other := range tokens {
					if j != i {
						rest += cutText(other, 1)
					}
				}
				rest = sortLetters(rest)
				add("s", soundex(t)+rest) // a slip in another word, or one that is not heard
				add("t", tail(t, 6)+rest) // a slip at its beginning
			}
			if len(tokens) > 1 {
				add("w", cutText(tokens[0], 4)+" "+soundex(tokens[1]))
			}
		default:
			letters := strings.ReplaceAll(n, " ", "")
			add("h", cutText(letters, 8))
			add("t", tail(letters, 8))
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// normal is the value in the form in which it is compared; "" for one that says nothing.
func (f *Like) normal(v record.Value) string {
	if v == nil {
		return ""
	}
	s := record.Text(v)
	switch f.Kind {
	case KindEmail:
		return normalEmail(s)
	case KindPhone:
		if f.Normal != nil {
			s = f.Normal(s)
		}
		digits := strings.TrimLeft(onlyDigits(s), "0")
		if len(digits) < 5 {
			return ""
		}
		return digits
	case KindAddress:
		tokens := strings.Fields(plain(s))
		for i, t := range tokens {
			if long, ok := abbreviations[t]; ok {
				tokens[i] = long
			}
		}
		return strings.Join(tokens, " ")
	}
	return plain(s)
}

// alike measures two values in their normal form.
func (f *Like) alike(x, y string) float64 {
	if x == y {
		return 1
	}
	switch f.Kind {
	case KindEmail:
		xu, xd, _ := strings.Cut(x, "@")
		yu, yd, _ := strings.Cut(y, "@")
		like := f.letters(xu, yu)
		if xd != yd {
			like *= 0.9
		}
		return min(like, 0.99)
	case KindPhone:
		// One of the two may lack its country's code.
		if a, b := tail(x, 9), tail(y, 9); len(a) >= 7 && len(b) >= 7 && (strings.HasSuffix(a, b) || strings.HasSuffix(b, a)) {
			return 0.95
		}
		return 0
	case KindName:
		return min(max(f.letters(x, y), f.letters(sortedWords(x), sortedWords(y)), f.initials(x, y)), 0.99)
	case KindAddress:
		like := max(f.letters(x, y), f.letters(sortedWords(x), sortedWords(y)))
		if !sameNumbers(x, y) {
			like = min(like, 0.5) // the neighbours
		}
		return min(like, 0.99)
	}
	return min(f.letters(x, y), 0.99)
}

func (f *Like) letters(x, y string) float64 {
	if f.Algorithm == Levenshtein {
		return levenshtein(x, y)
	}
	return jaroWinkler(x, y)
}

// initials compares names word by word where one of the two has initials only: "J Smith", "John Smith". 0 where none has.
func (f *Like) initials(x, y string) float64 {
	a, b := strings.Fields(x), strings.Fields(y)
	if len(a) != len(b) || len(a) < 2 {
		return 0
	}
	sum, short := 0.0, false
	for i := range a {
		if utf8.RuneCountInString(a[i]) == 1 || utf8.RuneCountInString(b[i]) == 1 {
			ra, _ := utf8.DecodeRuneInString(a[i])
			rb, _ := utf8.DecodeRuneInString(b[i])
			if ra != rb {
				return 0
			}
			sum, short = sum+0.85, true
			continue
		}
		sum += f.letters(a[i], b[i])
	}
	if !short {
		return 0
	}
	return sum / float64(len(a))
}

// abbreviations of addresses, in the form in which they are compared.
var abbreviations = map[string]string{
	"st": "street", "str": "strasse", "straße": "strasse", "ave": "avenue", "av": "avenue", "rd": "road", "blvd": "boulevard", "ln": "lane", "dr": "drive", "ct": "court",
	"sq": "square", "pl": "place", "hwy": "highway", "apt": "apartment", "ste": "suite", "fl": "floor", "n": "north", "s": "south", "e": "east", "w": "west", "pkwy": "parkway",
}

// letterForms are letters that have no form without a mark.
var letterForms = strings.NewReplacer("ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "đ", "d", "ł", "l", "þ", "th", "ı", "i")

// plain is a text in small letters without marks, its words with one space between.
func plain(s string) string {
	s = letterForms.Replace(strings.ToLower(norm.NFKD.String(s)))
	var b strings.Builder
	gap := false
	for _, r := range s {
		switch {
		case unicode.Is(unicode.Mn, r), r == '\'', r == '’', r == '.':
			// O'Neil is ONeil, J.R. is JR
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			if gap && b.Len() > 0 {
				b.WriteByte(' ')
			}
			gap = false
			b.WriteRune(r)
		default:
			gap = true
		}
	}
	return b.String()
}

// normalEmail is an address as it is delivered: the domain small, without what is after a +; Google ignores dots, too.
func normalEmail(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	user, domain, ok := strings.Cut(s, "@")
	if !ok || user == "" || domain == "" {
		return ""
	}
	user, _, _ = strings.Cut(user, "+")
	if domain == "googlemail.com" {
		domain = "gmail.com"
	}
	if domain == "gmail.com" {
		user = strings.ReplaceAll(user, ".", "")
	}
	if user == "" {
		return ""
	}
	return user + "@" + domain
}

func onlyDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
}

func sortedWords(s string) string {
	words := strings.Fields(s)
	slices.Sort(words)
	return strings.Join(words, " ")
}

// byLength are the words, the longest first; words of the same length in the order of the alphabet.
func byLength(words []string) []string {
	slices.SortFunc(words, func(a, b string) int {
		if d := len(b) - len(a); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return words
}

func sortLetters(s string) string {
	b := []byte(s)
	slices.Sort(b)
	return string(b)
}

func sameNumbers(x, y string) bool {
	numbers := func(s string) (out []string) {
		for _, w := range strings.Fields(s) {
			if w[0] >= '0' && w[0] <= '9' {
				out = append(out, w)
			}
		}
		slices.Sort(out)
		return out
	}
	a, b := numbers(x), numbers(y)
	return len(a) == 0 || len(b) == 0 || slices.Equal(a, b)
}

func cutText(s string, n int) string {
	r := []rune(s)
	return string(r[:min(n, len(r))])
}

func tail(s string, n int) string {
	r := []rune(s)
	return string(r[max(0, len(r)-n):])
}

// mostWords is how many words of a name or address, the longest ones, make blocks.
const mostWords = 4

// soundLength is longer than the four letters in use elsewhere: longer words would share their blocks with too many others.
const soundLength = 7

// soundex is the word as it sounds, in English spelling; of other letters its beginning.
func soundex(word string) string {
	const codes = "01230120022455012623010202"
	out := make([]byte, 0, soundLength)
	var last byte
	for i, r := range word {
		if r < 'a' || r > 'z' {
			if i == 0 {
				return cutText(word, 3)
			}
			continue
		}
		code := codes[r-'a']
		switch {
		case i == 0:
			out = append(out, byte(r))
		case code != '0' && code != last:
			out = append(out, code)
		}
		if r != 'h' && r != 'w' {
			last = code
		}
		if len(out) == soundLength {
			break
		}
	}
	return string(out)
}

// jaroWinkler measures how alike two texts are, 0 to 1; what they begin with counts more.
func jaroWinkler(x, y string) float64 {
	a, b := []rune(x), []rune(y)
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(a) == 0 {
		return 0
	}
	if x == y {
		return 1
	}
	j := jaro(a, b)
	prefix := 0
	for prefix < min(4, len(a)) && a[prefix] == b[prefix] {
		prefix++
	}
	return j + float64(prefix)*0.1*(1-j)
}

func jaro(a, b []rune) float64 {
	reach := max(len(b)/2-1, 0)
	usedA, usedB := make([]bool, len(a)), make([]bool, len(b))
	matches := 0
	for i, r := range a {
		for k := max(0, i-reach); k < min(len(b), i+reach+1); k++ {
			if !usedB[k] && b[k] == r {
				usedA[i], usedB[k] = true, true
				matches++
				break
			}
		}
	}
	if matches == 0 {
		return 0
	}
	moved, k := 0, 0
	for i := range a {
		if !usedA[i] {
			continue
		}
		for !usedB[k] {
			k++
		}
		if a[i] != b[k] {
			moved++
		}
		k++
	}
	m := float64(matches)
	return (m/float64(len(a)) + m/float64(len(b)) + (m-float64(moved/2))/m) / 3
}

// levenshtein is the share of letters that need not be changed to make one text of the other.
func levenshtein(x, y string) float64 {
	a, b := []rune(x), []rune(y)
	longest := max(len(a), len(b))
	if longest == 0 || len(a) == 0 || len(b) == 0 {
		return 0
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return 1 - float64(row[len(b)])/float64(longest)
}
