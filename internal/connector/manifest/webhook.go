// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // some vendors sign with it
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
)

type (
	// Inbound is a message that came to a connection's address.
	Inbound = connector.Inbound
	// Verdict is what it means.
	Verdict = connector.Verdict
)

// Inbound verifies a message on its raw bytes, answers handshakes and reads what it tells of. The fault webhook.unverified is for
// a message whose origin is not proven.
func (c *Connector) Inbound(settings connector.Settings, in Inbound) (Verdict, error) {
	w := c.m.Webhook
	if w == nil {
		return Verdict{}, fault.New(fault.NotFound, "webhook.unknown", "%s does not tell of changes.", c.m.Title)
	}
	plainSettings := make(map[string]any, len(settings))
	for k, v := range settings {
		plainSettings[k] = v
	}
	s := &system{scope: scope{"settings": plainSettings}}
	u, err := url.Parse(in.URL)
	if err != nil {
		return Verdict{}, fault.New(fault.Malformed, "webhook.malformed", "The address cannot be read.")
	}
	if h := w.Handshake; h != nil {
		if v, done := h.answer(s, in, u); done {
			return v, nil
		}
	}
	proven := false
	for i := range w.Verify {
		proven = proven || w.Verify[i].holds(s, in, u)
	}
	if !proven {
		return Verdict{}, fault.New(fault.Unauthenticated, "webhook.unverified", "The message's signature does not fit. Check that the connection has the secret with which %s signs.", c.m.Title)
	}
	v := Verdict{Status: http.StatusOK}
	if len(strings.TrimSpace(string(in.Body))) == 0 {
		return v, nil
	}
	body, err := record.ParseJSON(in.Body)
	if err != nil {
		return Verdict{}, fault.New(fault.Malformed, "webhook.malformed", "The message is not JSON.")
	}
	events, ok := records(body, w.Events)
	if !ok || w.Events == "" && events == nil {
		events = []any{body}
	}
	for _, e := range events {
		object, key := w.about(e), digText(e, w.Key)
		if object == "" || key == "" {
			continue
		}
		v.Hints = append(v.Hints, connector.Hint{Object: record.Object(object), Key: record.Key(key)})
		id := ""
		if w.ID != "" {
			id = digText(e, w.ID)
		}
		v.IDs = append(v.IDs, id)
	}
	return v, nil
}

// about is the object that an event is about.
func (w *Webhook) about(e any) string {
	typ := digText(e, w.Type)
	if w.Object != "" {
		if o := digText(e, w.Object); o != "" {
			if name, ok := w.Objects[o]; ok {
				return name
			}
		}
	}
	if name, ok := w.Objects[typ]; ok {
		return name
	}
	best := ""
	for prefix := range w.Objects {
		if strings.HasPrefix(typ, prefix) && len(prefix) > len(best) {
			best = prefix
		}
	}
	return w.Objects[best]
}

func (h *Handshake) answer(s *system, in Inbound, u *url.URL) (Verdict, bool) {
	switch h.Kind {
	case "echoHeader":
		if v := in.Header.Get(h.Name); v != "" {
			return Verdict{Status: http.StatusOK, Header: map[string]string{h.Name: v}}, true
		}
	case "echoQuery":
		if v := u.Query().Get(h.Name); v != "" {
			return Verdict{Status: http.StatusOK, Header: map[string]string{"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}, Body: v}, true
		}
	case "echoField":
		if body, err := record.ParseJSON(in.Body); err == nil {
			if v := digText(body, h.Name); v != "" {
				return Verdict{Status: http.StatusOK, Header: map[string]string{"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}, Body: v}, true
			}
		}
	case "hashChallenge":
		if v := u.Query().Get(h.Name); v != "" {
			address, _, _ := strings.Cut(in.URL, "?")
			answer := record.AppendJSON(nil, map[string]any{"challengeResponse": sha([]byte(v + s.text(h.Secret, nil) + address))})
			return Verdict{Status: http.StatusOK, Header: map[string]string{"Content-Type": "application/json"}, Body: string(answer)}, true
		}
	}
	return Verdict{}, false
}

// holds says whether the message is proven in this way. A secret that is not set proves nothing.
func (v *Verify) holds(s *system, in Inbound, u *url.URL) bool {
	given := in.Header.Get(v.Header)
	if v.Query != "" {
		given = u.Query().Get(v.Query)
	}
	var secrets []string
	for _, secret := range strings.Split(s.text(v.Secret, nil), "\n") { // several are valid while one is exchanged
		if secret = strings.TrimSpace(secret); secret != "" {
			secrets = append(secrets, secret)
		}
	}
	if given == "" || len(secrets) == 0 {
		return false
	}
	if v.Kind == "secret" {
		given = strings.TrimPrefix(given, v.Prefix)
		return slices.ContainsFunc(secrets, func(secret string) bool { return subtle.ConstantTimeCompare([]byte(given), []byte(secret)) == 1 })
	}
	stamp := in.Header.Get(v.Timestamp)
	candidates := []string{strings.TrimPrefix(given, v.Prefix)}
	if v.Field != "" {
		candidates = nil
		for _, part := range strings.Split(given, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			switch name {
			case v.Field:
				candidates = append(candidates, value)
			case "t":
				if v.Timestamp == "" {
					stamp = value
				}
			}
		}
	}
	if v.Tolerance != "" && !fresh(stamp, in.Now, duration(v.Tolerance, 5*time.Minute)) {
		return false
	}
	message := v.Message
	if message == "" {
		message = "{body}"
	}
	signed := strings.NewReplacer("{method}", in.Method, "{url}", in.URL, "{timestamp}", stamp, "{body}", string(in.Body)).Replace(message)
	var algorithm = sha256.New
	if v.Algorithm == "sha1" {
		algorithm = sha1.New
	}
	for _, secret := range secrets {
		h := hmac.New(algorithm, []byte(secret))
		h.Write([]byte(signed))
		want := h.Sum(nil)
		for _, c := range candidates {
			var got []byte
			var err error
			if v.Encoding == "hex" {
				got, err = hex.DecodeString(c)
			} else {
				got, err = base64.StdEncoding.DecodeString(c)
			}
			if err == nil && hmac.Equal(got, want) {
				return true
			}
		}
	}
	return false
}

// fresh says whether a time, in seconds, milliseconds or as text, is near now.
func fresh(stamp string, now time.Time, tolerance time.Duration) bool {
	var at time.Time
	if n, err := strconv.ParseInt(stamp, 10, 64); err == nil {
		if at = time.Unix(n, 0); n > 1e11 {
			at = time.UnixMilli(n)
		}
	} else if at, err = parseTime(stamp, ""); err != nil {
		return false
	}
	d := now.Sub(at)
	return d <= tolerance && d >= -tolerance
}
