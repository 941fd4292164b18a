// SPDX-License-Identifier: Apache-2.0

package quality

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"

	"github.com/syncline-dev/syncline/internal/record"
)

// Failure is a value that breaks a rule.
type Failure struct {
	Field  string
	Rule   string // the word of the document: "required", "format"
	Reason string // one sentence without the field's name
}

func (f *Failure) Error() string {
	if f.Field == "" {
		return fmt.Sprintf("it meets the rule %s: %s", f.Rule, f.Reason)
	}
	return fmt.Sprintf("%s breaks the rule %s: %s", f.Field, f.Rule, f.Reason)
}

// Rule is what a field's value must be.
type Rule struct {
	Required             bool
	Type                 string // string, number, integer, boolean, date, datetime, array, object
	Format               string // email, E.164, url, uuid, date, date-time
	Region               string // the country of telephone numbers that name none, such as DE
	Normalize            bool
	Min, Max             record.Number // "" is unlimited
	Precision            *int          // digits after the point at most
	MinLength, MaxLength int           // characters; MaxLength 0 is unlimited
	Enum                 []record.Value
	Regex                *regexp.Regexp
}

// Normalized is the value in the usual form of the rule's format; as it is where it has none. Doing it twice changes
// nothing more.
func (r *Rule) Normalized(v record.Value) record.Value {
	s, ok := v.(string)
	if !r.Normalize || !ok {
		return v
	}
	switch r.Format {
	case "email":
		if at := strings.LastIndexByte(s, '@'); at > 0 {
			return strings.TrimSpace(s[:at]) + strings.ToLower(strings.TrimSpace(s[at:]))
		}
	case "E.164":
		if n, err := phonenumbers.Parse(s, r.region()); err == nil && phonenumbers.IsValidNumber(n) && n.GetExtension() == "" {
			return phonenumbers.Format(n, phonenumbers.E164)
		}
	case "url":
		return normalURL(s)
	case "uuid":
		if t := strings.ToLower(strings.Trim(strings.TrimPrefix(strings.TrimSpace(s), "urn:uuid:"), "{}")); uuidForm.MatchString(t) {
			return t
		}
	case "date":
		if t, ok := moment(s); ok {
			return t.Format(time.DateOnly)
		}
	case "date-time":
		if t, ok := moment(s); ok {
			return record.Time(t)
		}
	}
	switch r.Type {
	case "number", "integer":
		if n, ok := number(s); ok {
			return n
		}
	case "boolean":
		switch strings.ToLower(strings.TrimSpace(s)) {
		case "true", "yes":
			return true
		case "false", "no":
			return false
		}
	}
	return v
}

func (r *Rule) region() string {
	if r.Region == "" {
		return "ZZ" // none: a number must begin with + and its country's code
	}
	return r.Region
}

// Check says how the value breaks the rule, nil when it does not. A value that is not there breaks only required.
func (r *Rule) Check(field string, v record.Value) *Failure {
	fail := func(rule, format string, args ...any) *Failure {
		return &Failure{Field: field, Rule: rule, Reason: fmt.Sprintf(format, args...)}
	}
	if v == nil || v == "" {
		if r.Required {
			return fail("required", "a value must be there")
		}
		return nil
	}
	text := shorten(record.Text(v))
	if r.Type != "" && !hasType(v, r.Type) {
		return fail("type", "%q is not of the type %s", text, r.Type)
	}
	if r.Format != "" {
		if why := r.format(v); why != "" {
			return fail("format", "%q %s", text, why)
		}
	}
	if f := r.amounts(v, text, fail); f != nil {
		return f
	}
	length := utf8.RuneCountInString(record.Text(v))
	what := "characters"
	if list, ok := v.([]any); ok {
		length, what = len(list), "items"
	}
	if length < r.MinLength {
		return fail("minLength", "it has %d %s, at least %d are wanted", length, what, r.MinLength)
	}
	if r.MaxLength > 0 && length > r.MaxLength {
		return fail("maxLength", "it has %d %s, at most %d are possible", length, what, r.MaxLength)
	}
	if len(r.Enum) > 0 && !r.listed(v) {
		return fail("enum", "%q is not one of the values allowed", text)
	}
	if r.Regex != nil && !r.Regex.MatchString(record.Text(v)) {
		return fail("regex", "%q does not match %s", text, r.Regex)
	}
	return nil
}

func (r *Rule) amounts(v record.Value, text string, fail func(string, string, ...any) *Failure) *Failure {
	if r.Min == "" && r.Max == "" && r.Precision == nil {
		return nil
	}
	n, ok := number(v)
	if !ok {
		rule := "min"
		switch {
		case r.Min != "":
		case r.Max != "":
			rule = "max"
		default:
			rule = "precision"
		}
		return fail(rule, "%q is not a number", text)
	}
	if r.Min != "" && rat(n).Cmp(rat(r.Min)) < 0 {
		return fail("min", "%s is less than %s", n, r.Min)
	}
	if r.Max != "" && rat(n).Cmp(rat(r.Max)) > 0 {
		return fail("max", "%s is more than %s", n, r.Max)
	}
	if _, frac, _ := strings.Cut(string(n), "."); r.Precision != nil && len(frac) > *r.Precision {
		return fail("precision", "%s has %d digits after the point, at most %d are possible", n, len(frac), *r.Precision)
	}
	return nil
}

func (r *Rule) listed(v record.Value) bool {
	for _, e := range r.Enum {
		if record.Equal(e, v) || record.Text(e) == record.Text(v) && e != nil {
			return true
		}
	}
	return false
}

func rat(n record.Number) *big.Rat {
	r, ok := new(big.Rat).SetString(string(n))
	if !ok {
		return new(big.Rat)
	}
	return r
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:57]) + "..."
	}
	return s
}

func number(v record.Value) (record.Number, bool) {
	switch v := v.(type) {
	case record.Number:
		return v, true
	case string:
		n, err := record.ParseNumber(strings.TrimSpace(v))
		return n, err == nil
	}
	return "", false
}

func hasType(v record.Value, typ string) bool {
	switch typ {
	case "string":
		_, ok := v.(string)
		return ok
	case "number":
		_, ok := number(v)
		return ok
	case "integer":
		n, ok := number(v)
		return ok && !strings.Contains(string(n), ".")
	case "boolean":
		_, ok := v.(bool)
		return ok || v == "true" || v == "false" || v == record.Number("0") || v == record.Number("1")
	case "date":
		s, _ := v.(string)
		_, err := time.Parse(time.DateOnly, s)
		return err == nil
	case "datetime":
		s, _ := v.(string)
		_, ok := moment(s)
		return ok && len(s) > len(time.DateOnly)
	case "array":
		_, ok := v.([]any)
		return ok
	case "object":
		_, ok := v.(map[string]any)
		return ok
	}
	return true
}

var momentLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", time.DateOnly}

// moment reads a date or a date with a time; without a zone it is UTC.
func moment(s string) (time.Time, bool) {
	s = strings.TrimSpace(s)
	for _, layout := range momentLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

var (
	uuidForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	// An address as mail servers take it: no quoted local part, no comment, no bare host.
	emailForm = regexp.MustCompile("^[\\pL\\pN!#$%&'*+/=?^_`{|}~-]+(\\.[\\pL\\pN!#$%&'*+/=?^_`{|}~-]+)*@([\\pL\\pN]([\\pL\\pN-]{0,61}[\\pL\\pN])?\\.)+[\\pL\\pN]([\\pL\\pN-]{0,61}[\\pL\\pN])$")
	urlForm   = regexp.MustCompile(`^(?i)(https?|ftp)://([^\s/?#@]*@)?([\pL\pN]([\pL\pN_-]*[\pL\pN])?(\.[\pL\pN]([\pL\pN_-]*[\pL\pN])?)*\.?|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?([/?#]\S*)?$`)
	urlHead   = regexp.MustCompile(`^(?i)([a-z][a-z0-9+.-]*://)?([^/?#]*)(.*)$`)
)

// format says what is wrong with a value's format, "" when nothing is.
func (r *Rule) format(v record.Value) string {
	s, ok := v.(string)
	if !ok {
		return "is not a text"
	}
	switch r.Format {
	case "email":
		if at := strings.LastIndexByte(s, '@'); at > 64 || len(s) > 254 || !emailForm.MatchString(s) {
			return "is not an e-mail address"
		}
	case "E.164":
		n, err := phonenumbers.Parse(s, r.region())
		switch {
		case err != nil && r.Region == "" && !strings.HasPrefix(strings.TrimSpace(s), "+"):
			return "is not a telephone number with its country's code"
		case err != nil || !phonenumbers.IsValidNumber(n):
			return "is not a telephone number"
		case phonenumbers.Format(n, phonenumbers.E164) != s:
			return "is not written in the international form " + phonenumbers.Format(n, phonenumbers.E164)
		}
	case "url":
		if len(s) > 2048 || !urlForm.MatchString(s) {
			return "is not a web address"
		}
	case "uuid":
		if !uuidForm.MatchString(strings.ToLower(s)) {
			return "is not a uuid"
		}
	case "date":
		if _, err := time.Parse(time.DateOnly, s); err != nil {
			return "is not a date such as 2026-11-23"
		}
	case "date-time":
		if _, ok := moment(s); !ok || len(s) <= len(time.DateOnly) {
			return "is not a date with a time such as 2026-11-23T10:00:00Z"
		}
	}
	return ""
}

// normalURL writes scheme and host small, adds the scheme where there is none, and takes out what says nothing.
func normalURL(s string) string {
	t := strings.TrimSpace(s)
	m := urlHead.FindStringSubmatch(t)
	if m == nil || m[2] == "" || strings.ContainsAny(t, " \t\n") {
		return s
	}
	scheme, host, rest := strings.ToLower(m[1]), m[2], m[3]
	if scheme == "" {
		if !strings.Contains(host, ".") || strings.Contains(host, "@") {
			return s
		}
		scheme = "https://"
	}
	user := ""
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		user, host = host[:at+1], host[at+1:]
	}
	host = strings.ToLower(host)
	switch scheme {
	case "https://":
		host = strings.TrimSuffix(host, ":443")
	case "http://":
		host = strings.TrimSuffix(host, ":80")
	}
	if rest == "/" {
		rest = ""
	}
	return scheme + user + host + rest
}
