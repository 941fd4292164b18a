// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // some vendors sign with it
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
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
	case "probe":
		if (in.Method == http.MethodGet || in.Method == http.MethodHead) && len(in.Body) == 0 {
			return Verdict{Status: http.StatusOK}, true
		}
	case "echoHeader":
		if v := in.Header.Get(h.Name); v != "" && h.Answer == "" {
			return h.learnt(v, Verdict{Status: http.StatusOK, Header: map[string]string{h.Name: v}}), true
		} else if v != "" {
			return h.echo(v), true
		}
	case "echoQuery":
		if v := u.Query().Get(h.Name); v != "" {
			return h.echo(v), true
		}
	case "echoField":
		if body, err := record.ParseJSON(in.Body); err == nil {
			if v := digText(body, h.Name); v != "" {
				return h.echo(v), true
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

// echo answers with what came.
func (h *Handshake) echo(v string) Verdict {
	out := Verdict{Status: http.StatusOK, Header: map[string]string{"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}, Body: v}
	if h.Answer != "" {
		out.Header = map[string]string{"Content-Type": "application/json"}
		out.Body = string(record.AppendJSON(nil, map[string]any{h.Answer: v}))
	}
	return h.learnt(v, out)
}

func (h *Handshake) learnt(v string, out Verdict) Verdict {
	if h.Learn {
		out.Offered = v
	}
	return out
}

// holds says whether the message is proven in this way. A secret that is not set proves nothing.
func (v *Verify) holds(s *system, in Inbound, u *url.URL) bool {
	given := in.Header.Get(v.Header)
	if v.Query != "" {
		given = u.Query().Get(v.Query)
	}
	secrets := v.secrets(s.text(v.Secret, nil), in.Secrets)
	if given == "" || len(secrets) == 0 {
		return false
	}
	given = strings.TrimPrefix(given, v.Prefix)
	switch v.Kind {
	case "secret":
		return slices.ContainsFunc(secrets, func(secret string) bool { return subtle.ConstantTimeCompare([]byte(given), []byte(secret)) == 1 })
	case "jwt":
		return slices.ContainsFunc(secrets, func(secret string) bool { return v.token(given, secret, in) })
	}
	stamp, candidates := v.parts(given, in.Header.Get(v.Timestamp))
	if v.Tolerance != "" && !fresh(stamp, in.Now, duration(v.Tolerance, 5*time.Minute)) {
		return false
	}
	message := v.Message
	if message == "" {
		message = "{body}"
	}
	signed := []byte(strings.NewReplacer("{method}", in.Method, "{url}", in.URL, "{id}", in.Header.Get(v.ID), "{timestamp}", stamp, "{body}", string(in.Body)).Replace(message))
	for _, c := range candidates {
		signature, err := v.decoded(c)
		if err != nil {
			continue
		}
		if slices.ContainsFunc(secrets, func(secret string) bool { return v.fits(secret, signed, signature) }) {
			return true
		}
	}
	return false
}

// secrets are those of the settings, several while one is exchanged, and those of the subscription.
func (v *Verify) secrets(written string, more []string) (out []string) {
	if v.Kind == "ecdsa" || v.Kind == "jwt" && strings.Contains(written, "BEGIN ") { // PEM has lines of its own
		const end = "-----END PUBLIC KEY-----"
		for _, block := range strings.SplitAfter(written, end) {
			if block = strings.TrimSpace(block); block != "" {
				out = append(out, block)
			}
		}
		return append(out, more...)
	}
	for _, secret := range append(strings.Split(written, "\n"), more...) {
		if secret = strings.TrimSpace(secret); secret != "" {
			out = append(out, secret)
		}
	}
	return out
}

// parts takes the header apart: the time, and the signatures of which one must fit.
func (v *Verify) parts(given, stamp string) (at string, candidates []string) {
	if v.Field == "" {
		return stamp, []string{given}
	}
	separator, assign := v.Separator, v.Assign
	if separator == "" {
		separator = ","
	}
	if assign == "" {
		assign = "="
	}
	for _, part := range strings.Split(given, separator) {
		name, value, _ := strings.Cut(strings.TrimSpace(part), assign)
		switch name {
		case v.Field:
			candidates = append(candidates, value)
		case "t":
			if v.Timestamp == "" {
				stamp = value
			}
		}
	}
	return stamp, candidates
}

func (v *Verify) decoded(s string) ([]byte, error) {
	if v.Encoding == "hex" {
		return hex.DecodeString(s)
	}
	return base64.StdEncoding.DecodeString(s)
}

// fits says whether the signature is one over the message.
func (v *Verify) fits(secret string, message, signature []byte) bool {
	if v.Kind == "ecdsa" {
		key, err := publicKey(secret)
		if err != nil {
			return false
		}
		digest := sha256.Sum256(message)
		return ecdsa.VerifyASN1(key, digest[:], signature)
	}
	key := []byte(secret)
	var err error
	switch v.Key {
	case "base64":
		key, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	case "hex":
		key, err = hex.DecodeString(secret)
	}
	if err != nil {
		return false
	}
	algorithm := sha256.New
	switch v.Algorithm {
	case "sha1":
		algorithm = sha1.New
	case "sha512":
		algorithm = sha512.New
	}
	h := hmac.New(algorithm, key)
	h.Write(message)
	return hmac.Equal(signature, h.Sum(nil))
}

// token says whether a signed token (RFC 7519) is proven, not old, and about this body. The kind of key decides the algorithm, never
// the token.
func (v *Verify) token(given, secret string, in Inbound) bool {
	parts := strings.Split(given, ".")
	if len(parts) != 3 {
		return false
	}
	var head struct {
		Algorithm string `json:"alg"`
	}
	var claims map[string]any
	if !readPart(parts[0], &head) || !readPart(parts[1], &claims) {
		return false
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return false
	}
	signed := []byte(parts[0] + "." + parts[1])
	if key, err := publicKey(secret); err == nil {
		digest := sha256.Sum256(signed)
		if head.Algorithm != "ES256" || key.Curve != elliptic.P256() || len(signature) != 64 ||
			!ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
			return false
		}
	} else {
		h := hmac.New(sha256.New, []byte(secret))
		h.Write(signed)
		if head.Algorithm != "HS256" || strings.Contains(secret, "BEGIN ") || strings.HasPrefix(secret, "{") || !hmac.Equal(signature, h.Sum(nil)) {
			return false
		}
	}
	if end, ok := claims["exp"].(float64); ok && !in.Now.Before(time.Unix(int64(end), 0)) {
		return false
	}
	if v.Tolerance != "" {
		at, ok := claims["iat"].(float64)
		if !ok || !fresh(strconv.FormatInt(int64(at), 10), in.Now, duration(v.Tolerance, 5*time.Minute)) {
			return false
		}
	}
	if v.BodyHash == "" {
		return true
	}
	hash, _ := claims[v.BodyHash].(string)
	return subtle.ConstantTimeCompare([]byte(hash), []byte(sha(in.Body))) == 1
}

func readPart(part string, into any) bool {
	b, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(b, into) == nil
}

// publicKey reads a key on an elliptic curve, in PEM or as a JWK (RFC 7517) of P-256.
func publicKey(text string) (*ecdsa.PublicKey, error) {
	if block, _ := pem.Decode([]byte(text)); block != nil {
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		if k, ok := key.(*ecdsa.PublicKey); ok {
			return k, nil
		}
		return nil, errors.New("not a key on an elliptic curve")
	}
	var k struct{ Kty, Crv, X, Y string }
	if err := json.Unmarshal([]byte(text), &k); err != nil {
		return nil, err
	}
	x, err := base64.RawURLEncoding.DecodeString(k.X)
	if err != nil {
		return nil, err
	}
	y, err := base64.RawURLEncoding.DecodeString(k.Y)
	if err != nil {
		return nil, err
	}
	if k.Kty != "EC" || k.Crv != "P-256" || len(x) != 32 || len(y) != 32 {
		return nil, errors.New("not a key of P-256")
	}
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
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
