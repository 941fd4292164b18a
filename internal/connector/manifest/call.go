// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/record"
)

// problem is an answer that says that something is wrong, classified.
type problem struct {
	err     *connector.Error
	class   string // a word of ErrorRule.Class
	said    string // the vendor's code
	message string // the vendor's
	body    any
	grows   bool // slow_down: nobody says for how long, so it is longer each time
}

func (p *problem) Error() string { return p.err.Error() }

func (p *problem) Unwrap() error { return p.err }

// build makes the call of a request.
func (s *system) build(op string, req Request, sc scope) (transport.Call, error) {
	call := transport.Call{Operation: op, Method: req.Method, Cost: req.Cost, Header: http.Header{"Accept": {accepted(req.Answer)}}, Records: countOf(sc)}
	if call.Method == "" {
		call.Method = http.MethodGet
	}
	fail := func(err error) (transport.Call, error) {
		return call, &connector.Error{Class: connector.Reject, Code: "manifest.request", Message: "A request cannot be made from the manifest: " + err.Error() + ".", Err: err}
	}
	for i, l := range s.m.Limits {
		if l.By != "" {
			call.Apart = append(call.Apart, make([]string, i+1-len(call.Apart))...)
			call.Apart[i] = s.text(l.By, sc)
		}
	}
	t, err := parseTemplate(req.Path)
	if err != nil {
		return fail(err)
	}
	path, missing, err := t.value(sc, url.PathEscape)
	if err != nil {
		return fail(err)
	}
	if missing {
		return fail(fmt.Errorf("a placeholder of the path %s has no value", req.Path))
	}
	call.URL = plain(path)
	if handed(req.Path) && !req.Bare { // an address out of an answer: credentials do not follow it elsewhere
		if call.URL, err = s.joined(call.URL, ""); err != nil {
			return call, err
		}
	}
	if !strings.Contains(strings.SplitN(call.URL, "?", 2)[0], "://") {
		call.URL = s.base + "/" + strings.TrimLeft(call.URL, "/")
	}
	if len(req.Query) > 0 {
		q := url.Values{}
		for _, k := range slices.Sorted(keysOf(req.Query)) {
			t, err := parseTemplate(req.Query[k])
			if err != nil {
				return fail(err)
			}
			v, missing, err := t.value(sc, nil)
			if err != nil {
				return fail(err)
			}
			if !missing && plain(v) != "" {
				q.Set(k, plain(v))
			}
		}
		if len(q) > 0 {
			sep := "?"
			if strings.Contains(call.URL, "?") {
				sep = "&"
			}
			call.URL += sep + q.Encode()
		}
	}
	common := s.m.Headers
	if req.Bare {
		common = nil
	}
	for _, headers := range []map[string]string{common, req.Headers} {
		for k, h := range headers {
			t, err := parseTemplate(h)
			if err != nil {
				return fail(err)
			}
			v, missing, err := t.value(sc, nil)
			if err != nil {
				return fail(err)
			}
			if !missing {
				call.Header.Set(k, strings.NewReplacer("\r", "", "\n", "").Replace(plain(v)))
			}
		}
	}
	if req.Body == nil {
		return call, nil
	}
	body, err := expand(req.Body, sc)
	if err == nil && req.BodyHook != "" {
		body, err = s.c.hooks.Bodies[req.BodyHook](tidy(body))
	}
	if err != nil {
		return fail(err)
	}
	if req.Encoding == "form" {
		form := url.Values{}
		brackets(form, "", body)
		call.Body = []byte(form.Encode())
		call.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return call, nil
	}
	if write := encoders[req.Encoding]; write != nil {
		var typ string
		if call.Body, typ, err = write(tidy(body)); err != nil {
			return fail(err)
		}
		if call.Header.Get("Content-Type") == "" || req.Encoding == "multipart" {
			call.Header.Set("Content-Type", typ)
		}
		return call, nil
	}
	canonical, err := record.Canonical(tidy(body))
	if err != nil {
		return fail(err)
	}
	call.Body = record.AppendJSON(nil, canonical)
	if call.Header.Get("Content-Type") == "" {
		call.Header.Set("Content-Type", "application/json")
	}
	return call, nil
}

func keysOf[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// countOf is how many records a request is about.
func countOf(sc scope) int {
	if items, ok := sc["items"].([]any); ok {
		return len(items)
	}
	return max(1, len(list(sc["keys"])))
}

// handed says whether a path is an address that an answer handed out.
func handed(path string) bool {
	for _, root := range []string{"{taken", "{token", "{record", "{item", "{fields", "{lock", "{job"} {
		if strings.HasPrefix(path, root) {
			return true
		}
	}
	return false
}

// tidy turns what templates brought into plain structures.
func tidy(v any) any {
	switch v := v.(type) {
	case record.Fields:
		return tidy(map[string]any(v))
	case scope:
		return tidy(map[string]any(v))
	case record.Key:
		return string(v)
	case []record.Key:
		return list(v)
	case []string:
		return list(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = tidy(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = tidy(v[i])
		}
		return out
	}
	return v
}

// brackets writes a structure as form fields: a[b]=c, a[]=d.
func brackets(form url.Values, name string, v any) {
	switch v := tidy(v).(type) {
	case map[string]any:
		for k, e := range v {
			inner := k
			if name != "" {
				inner = name + "[" + k + "]"
			}
			brackets(form, inner, e)
		}
	case []any:
		for _, e := range v {
			brackets(form, name+"[]", e)
		}
	case nil:
		form.Add(name, "")
	default:
		form.Add(name, plain(v))
	}
}

// reading are operations that may be repeated without a thought.
var reading = []string{"check", "list", "changes", "get", "find", "describe", "job", "archived", "keys"}

// do makes a request and reads its answer. What can be mended here is: ended credentials, a pause that the system asks for, and
// passing trouble where asking again changes nothing.
func (s *system) do(ctx context.Context, op string, req Request, sc scope) (any, *transport.Answer, error) {
	renewed, fetched := false, false
	for tries := 0; ; tries++ {
		call, err := s.build(op, req, sc)
		if err != nil {
			return nil, nil, err
		}
		var renew func(context.Context) error
		if !req.Bare {
			renew, err = s.prove(ctx, op, sc, &call)
		}
		if err != nil {
			if ctx.Err() == nil && tries < 2 && connector.Classify(err).Class == connector.Retry { // nothing was sent yet
				if err := s.client.Sleep(ctx, pause(tries)); err != nil {
					return nil, nil, err
				}
				continue
			}
			return nil, nil, err
		}
		if !req.Bare {
			if err := s.guard(ctx, &call); err != nil {
				return nil, nil, err
			}
		}
		if check := checkOf(ctx); check != nil && !slices.Contains(reading, op) {
			again := tries > 0 || renewed
			call.Ready = func(ctx context.Context, waited bool) error { return check(ctx, again || waited) }
		}
		answer, err := s.client.Do(ctx, call)
		if err != nil {
			var dial *net.OpError
			if req.Once && connector.Classify(err).Code == "http.unreachable" && !(errors.As(err, &dial) && dial.Op == "dial") {
				return nil, nil, s.unsure(err)
			}
			if ctx.Err() == nil && tries < 2 && slices.Contains(reading, op) && connector.Classify(err).Class == connector.Retry {
				if err := s.client.Sleep(ctx, pause(tries)); err != nil {
					return nil, nil, err
				}
				continue
			}
			return nil, nil, err
		}
		if !fetched && s.unguarded(answer) {
			fetched = true
			continue
		}
		body, p := s.judge(op, &req, answer)
		s.gauge(body)
		if p == nil {
			return body, answer, nil
		}
		switch p.class {
		case "renew":
			if renew != nil && !renewed {
				renewed = true
				if err := renew(ctx); err != nil {
					return nil, answer, err
				}
				continue
			}
		case "slow_down":
			if p.grows {
				p.err.After <<= tries
			}
			if tries < 4 && p.err.After <= 10*time.Second {
				s.client.Pause(op, p.err.After)
				continue
			}
		case "retry":
			if req.Once {
				return body, answer, s.unsure(p)
			}
			if tries < 2 && slices.Contains(reading, op) {
				if err := s.client.Sleep(ctx, pause(tries)); err != nil {
					return nil, answer, err
				}
				continue
			}
		}
		return body, answer, p
	}
}

// unsure is what becomes of a call that must not be repeated and whose answer nobody has.
func (s *system) unsure(err error) *problem {
	e := &connector.Error{Class: connector.Reject, Code: "http.not_repeated", Err: err,
		Message: s.m.Title + " did not answer whether it did this, and doing it twice would cost or double something. Look there, and then try again by hand."}
	return &problem{class: "refused", err: e}
}

// gauge notes what an answer's body says is left.
func (s *system) gauge(body any) {
	for _, q := range s.m.Quota {
		if !q.Body {
			continue
		}
		left, err1 := strconv.ParseFloat(digText(body, q.Remaining), 64)
		of, err2 := strconv.ParseFloat(digText(body, q.Of), 64)
		if err1 == nil && err2 == nil && of > 0 {
			s.client.Told(transport.Quota{Remaining: left, Of: of, Reserve: q.Reserve, Resets: transport.ResetAt(digText(body, q.Resets), s.client.Now())})
		}
	}
}

// told is what stands at a place of an answer: header:Name is a header, all else a path in the body.
func told(body any, a *transport.Answer, place string) string {
	if name, is := strings.CutPrefix(place, "header:"); is {
		if a == nil {
			return ""
		}
		return a.Header.Get(name)
	}
	return digText(body, place)
}

// waitOf is how long an answer says to wait, as a rule says where; 0 when it does not.
func waitOf(r ErrorRule, body any, a *transport.Answer) time.Duration {
	text := ""
	if r.AfterFrom != "" {
		text = told(body, a, r.AfterFrom)
	} else if r.AfterMatch != "" {
		text = string(a.Body)
	}
	if r.AfterMatch != "" {
		m := regexp.MustCompile(r.AfterMatch).FindStringSubmatch(text) // checked by Parse
		if len(m) < 2 {
			return 0
		}
		text = m[1]
	}
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		switch {
		case n > 1e11: // a Unix time in milliseconds
			return max(0, time.UnixMilli(int64(n)).Sub(a.At))
		case n > 1e8:
			return max(0, time.Unix(int64(n), 0).Sub(a.At))
		case r.AfterUnit == "ms":
			n /= 1000
		}
		return time.Duration(max(0, n) * float64(time.Second))
	}
	if d, err := time.ParseDuration(text); err == nil {
		return max(0, d)
	}
	if t, err := parseTime(text, "x"); err == nil {
		return max(0, t.Sub(a.At))
	}
	return 0
}

func pause(tries int) time.Duration { return 200 * time.Millisecond << (2 * tries) }

// judge reads an answer and decides what it means.
func (s *system) judge(op string, req *Request, a *transport.Answer) (body any, p *problem) {
	var unreadable error
	if len(strings.TrimSpace(string(a.Body))) > 0 {
		body, unreadable = req.parse(a)
		if unreadable == nil && req.AnswerHook != "" {
			body, unreadable = s.c.hooks.Answers[req.AnswerHook](body)
		}
	}
	e := s.m.Errors
	code, message := "", ""
	for _, path := range e.Code {
		if code = digText(body, path); code != "" {
			break
		}
	}
	for _, path := range e.Message {
		if message = digText(body, path); message != "" {
			break
		}
	}
	class, after, remedy := "", time.Duration(0), ""
	for _, r := range e.Rules {
		if len(r.Operations) > 0 && !slices.Contains(r.Operations, op) || len(r.Status) > 0 && !slices.Contains(r.Status, a.Status) || len(r.Code) > 0 && !slices.Contains(r.Code, code) || r.When != nil && !r.When.holds(body) {
			continue
		}
		if r.Match != "" {
			if ok, _ := regexp.MatchString(r.Match, message); !ok {
				continue
			}
		}
		if r.Body != "" {
			if ok, _ := regexp.Match(r.Body, a.Body); !ok {
				continue
			}
		}
		class, after, remedy = r.Class, duration(r.After, 0), r.Remedy
		if d := waitOf(r, body, a); d > 0 {
			after = d
		}
		break
	}
	if class == "" {
		class = byStatus(a.Status)
	}
	if class == "ok" {
		if unreadable != nil {
			return nil, &problem{class: "retry", err: &connector.Error{Class: connector.Retry, Code: "http.answer_unreadable", Message: "The system's answer cannot be read as its manifest says. If it stays so, check the address.", Err: unreadable}}
		}
		return body, nil
	}
	if a.After > 0 {
		after = a.After
	}
	for _, more := range []struct {
		places []string
		form   string
	}{{e.Field, " (the field %s)"}, {e.Trace, " (its request %s)"}} {
		for _, place := range more.places {
			if v := told(body, a, place); v != "" {
				message = strings.TrimSpace(message + fmt.Sprintf(more.form, v))
				break
			}
		}
	}
	p = s.problem(class, after, code, message, remedy, a.Status, body)
	p.grows = after == 0
	return body, p
}

func byStatus(status int) string {
	switch {
	case status >= 200 && status < 300:
		return "ok"
	case status == http.StatusUnauthorized:
		return "renew"
	case status == http.StatusForbidden:
		return "reconnect"
	case status == http.StatusNotFound, status == http.StatusGone:
		return "gone"
	case status == http.StatusConflict, status == http.StatusPreconditionFailed:
		return "conflict"
	case status == http.StatusTooManyRequests:
		return "slow_down"
	case status == http.StatusRequestTimeout, status >= 500:
		return "retry"
	case status >= 300 && status < 400:
		return "reconnect"
	}
	return "refused"
}

// problem makes the classified error of a class.
func (s *system) problem(class string, after time.Duration, said, message, remedy string, status int, body any) *problem {
	words := s.client.Redact(message)
	if words == "" {
		words = said
	}
	if len(words) > 500 {
		words = strings.ToValidUTF8(words[:500], "")
	}
	says := ""
	if words != "" {
		says = fmt.Sprintf(" It says: %s", strings.TrimRight(words, ". ")+".")
	}
	if remedy != "" {
		says += " " + remedy
	}
	kind, ok := kinds[class]
	if !ok {
		kind = kinds["refused"]
	}
	e := kind
	e.Err = fmt.Errorf("status %d, code %s", status, said)
	e.Message = fmt.Sprintf(kind.Message, s.m.Title) + says
	if class == "slow_down" {
		e.After = max(after, time.Second)
	}
	return &problem{err: &e, class: class, said: said, message: message, body: body}
}

// kinds are what the classes of a manifest mean to the engine.
var kinds = map[string]connector.Error{
	"renew":      {Class: connector.Reconnect, Code: "http.unauthorized", Message: "%s does not accept the credentials. Enter new ones."},
	"reconnect":  {Class: connector.Reconnect, Code: "http.forbidden", Message: "%s does not let these credentials do this. Check what they are allowed."},
	"slow_down":  {Class: connector.SlowDown, Code: "http.rate_limited", Message: "%s asks to slow down; it goes on by itself."},
	"gone":       {Class: connector.Missing, Code: "http.not_found", Message: "%s has no such record or address."},
	"conflict":   {Class: connector.Conflict, Code: "http.conflict", Message: "%s refuses the write because the record is not as expected."},
	"exists":     {Class: connector.Conflict, Code: "http.conflict", Message: "%s refuses the write because another record has these values."},
	"drift":      {Class: connector.Drift, Code: "http.drift", Message: "%s does not know a field that it had. Its fields are read anew."},
	"restart":    {Class: connector.Retry, Code: "http.list_changed", Message: "%s changed while its list was read; reading begins again."},
	"lost_place": {Class: connector.LostPlace, Code: "http.lost_place", Message: "%s no longer knows where reading stood; everything is read once more."},
	"retry":      {Class: connector.Retry, Code: "http.server_error", Message: "%s has trouble of its own; it will be tried again."},
	"refused":    {Class: connector.Reject, Code: "http.refused", Message: "%s refuses it."},
}

func classOf(err error) string {
	var p *problem
	if errors.As(err, &p) {
		return p.class
	}
	return ""
}
