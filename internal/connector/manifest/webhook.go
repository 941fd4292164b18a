// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
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
	"hash"
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
func (c *Connector) Inbound(ctx context.Context, settings connector.Settings, env connector.Env, in Inbound) (Verdict, error) {
	w := c.m.Webhook
	if w == nil {
		return Verdict{}, fault.New(fault.NotFound, "webhook.unknown", "%s does not tell of changes.", c.m.Title)
	}
	s := &system{scope: scope{"settings": c.filled(settings), "region": c.m.region(settings)}}
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
		v, with := &w.Verify[i], in
		if v.Kind == "sns" {
			if proven, err = c.sns(ctx, settings, env, i, v, s.text(v.Topic, nil), in); err != nil {
				return Verdict{}, err
			}
			if !proven {
				continue
			}
			if said, done, err := c.snsControl(ctx, settings, env, in); done || err != nil {
				return said, err
			}
			break
		}
		if v.Keys != nil {
			// Only fetched keys count: the secret of a subscription is none.
			if with.Secrets, err = c.signers(ctx, settings, env, i, v, in, u); err != nil {
				return Verdict{}, err
			}
		}
		if proven = v.holds(s, with, u); proven {
			break
		}
	}
	if !proven {
		return Verdict{}, fault.New(fault.Unauthenticated, "webhook.unverified", "The message's signature does not fit. Check that the connection has the secret with which %s signs.", c.m.Title)
	}
	v := w.Reply.verdict()
	if len(strings.TrimSpace(string(in.Body))) == 0 {
		return v, nil
	}
	body, err := w.parse(in.Body)
	if err == nil && w.Unwrap != "" {
		if body, err = w.unwrapped(body); err == nil && body == nil {
			return v, nil
		}
	}
	if err != nil {
		return Verdict{}, fault.New(fault.Malformed, "webhook.malformed", "The message is not what the manifest says that it is, %s.", w.format())
	}
	shape := w.shape(body)
	events, ok := records(body, shape.Events)
	if !ok || shape.Events == "" && events == nil {
		events = []any{body}
	}
	mine, err := c.mine(ctx, s, settings, env)
	if err != nil {
		return Verdict{}, err
	}
	for _, e := range flat(events) {
		if w.Account != "" {
			account := digText(e, w.Account)
			if account == "" {
				account = digText(body, w.Account)
			}
			if account != "" && mine != "" && account != mine {
				continue
			}
		}
		object, key := shape.about(e), digText(e, shape.Key)
		if object == "" || key == "" {
			continue
		}
		v.Hints = append(v.Hints, connector.Hint{Object: record.Object(object), Key: record.Key(key)})
		id := ""
		if shape.ID != "" {
			id = digText(e, shape.ID)
		}
		v.IDs = append(v.IDs, id)
	}
	return v, nil
}

// mine is what messages call the connection's account: what the settings say, else what the vendor said when the connection was made or
// says now. "" when nobody knows; then every message counts, which costs a look at a record that may not be here.
func (c *Connector) mine(ctx context.Context, s *system, settings connector.Settings, env connector.Env) (string, error) {
	w := c.m.Webhook
	if said := s.text(w.AccountIs, nil); said != "" || w.Account == "" {
		return said, nil
	}
	ctx, cancel := context.WithTimeout(ctx, keyPatient)
	defer cancel()
	checked, err := c.Spec().Check(settings)
	if err != nil {
		return "", nil //nolint:nilerr // the connection says so itself; the message is proven all the same
	}
	full, err := c.open(ctx, checked, env)
	if err != nil {
		if class := connector.Classify(err).Class; class == connector.Retry || class == connector.SlowDown {
			return "", err // the message comes again
		}
		return "", nil
	}
	defer func() { _ = full.Close() }()
	return full.text(w.AccountIs, nil), nil
}

func (w *Webhook) format() string {
	if w.Format == "xml" {
		return "XML"
	}
	return "JSON"
}

func (w *Webhook) parse(message []byte) (any, error) {
	if w.Format == "xml" {
		return parseXML(message, w.Lists)
	}
	return record.ParseJSON(message)
}

// unwrapped is the vendor's message in that of a carrier; nil when there is none.
func (w *Webhook) unwrapped(body any) (any, error) {
	switch inner := dig(body, w.Unwrap).(type) {
	case nil:
		return nil, nil
	case string:
		if text, err := base64.StdEncoding.DecodeString(inner); err == nil {
			inner = string(text)
		}
		return w.parse([]byte(inner))
	default:
		return inner, nil
	}
}

func (r *Reply) verdict() Verdict {
	v := Verdict{Status: http.StatusOK}
	if r == nil {
		return v
	}
	if r.Status != 0 {
		v.Status = r.Status
	}
	if v.Body = r.Body; r.Body != "" {
		v.Header = map[string]string{"Content-Type": r.Type, "X-Content-Type-Options": "nosniff"}
	}
	return v
}

// shape is how this message is read.
func (w *Webhook) shape(message any) Body {
	out := Body{Events: w.Events, Type: w.Type, Key: w.Key, ID: w.ID, Object: w.Object, Objects: w.Objects}
	for _, b := range w.Bodies {
		if !b.When.holds(message) {
			continue
		}
		out.Events = b.Events
		for _, p := range [][2]*string{{&out.Type, &b.Type}, {&out.Key, &b.Key}, {&out.ID, &b.ID}, {&out.Object, &b.Object}} {
			if *p[1] != "" {
				*p[0] = *p[1]
			}
		}
		if b.Objects != nil {
			out.Objects = b.Objects
		}
		break
	}
	return out
}

// about is the object that an event is about.
func (b *Body) about(e any) string {
	typ := digText(e, b.Type)
	if b.Object != "" {
		if o := digText(e, b.Object); o != "" {
			if name, ok := b.Objects[o]; ok {
				return name
			}
		}
	}
	if name, ok := b.Objects[typ]; ok {
		return name
	}
	best := ""
	for prefix := range b.Objects {
		if strings.HasPrefix(typ, prefix) && len(prefix) > len(best) {
			best = prefix
		}
	}
	return b.Objects[best]
}

func (h *Handshake) answer(s *system, in Inbound, u *url.URL) (Verdict, bool) {
	v, done := h.attempt(s, in, u)
	if done && h.Status != 0 {
		v.Status = h.Status
	}
	return v, done
}

func (h *Handshake) attempt(s *system, in Inbound, u *url.URL) (Verdict, bool) {
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
	given, _ := v.given(in, u)
	secrets := v.secrets(s.text(v.Secret, nil), in.Secrets)
	if given == "" || len(secrets) == 0 {
		return false
	}
	switch v.Kind {
	case "secret":
		return slices.ContainsFunc(secrets, func(secret string) bool { return subtle.ConstantTimeCompare([]byte(given), []byte(secret)) == 1 })
	case "jwt":
		return slices.ContainsFunc(secrets, func(secret string) bool { return v.token(s, given, secret, in) })
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

// given is what the message proves itself with, and the id of the key where it names one.
func (v *Verify) given(in Inbound, u *url.URL) (given, kid string) {
	switch {
	case v.Query != "":
		given = u.Query().Get(v.Query)
	case v.Body != "":
		return v.carried(in.Body), ""
	default:
		given = in.Header.Get(v.Header)
	}
	given = strings.TrimPrefix(given, v.Prefix)
	switch {
	case v.Wrapped:
		text, err := base64.StdEncoding.DecodeString(given)
		if err != nil {
			return "", ""
		}
		said, err := record.ParseJSON(text)
		if err != nil {
			return "", ""
		}
		return digText(said, v.Field), digText(said, v.KeyID)
	case v.Kind == "jwt":
		var head struct {
			KeyID string `json:"kid"`
		}
		if first, _, _ := strings.Cut(given, "."); readPart(first, &head) {
			kid = head.KeyID
		}
	case v.KeyID != "":
		kid = in.Header.Get(v.KeyID)
	}
	return given, kid
}

// carried is the secret in a message; "" where one of several is another.
func (v *Verify) carried(message []byte) string {
	body, err := record.ParseJSON(message)
	if err != nil {
		if body, err = parseXML(message, nil); err != nil {
			return ""
		}
	}
	found := dig(body, v.Body)
	list, several := found.([]any)
	if !several {
		list = []any{found}
	}
	out := ""
	for i, e := range flat(list) {
		text, ok := e.(string)
		if !ok || i > 0 && text != out {
			return ""
		}
		out = text
	}
	return out
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
	if v.Field == "" || v.Wrapped {
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
		h := v.algorithm()()
		h.Write(message)
		return ecdsa.VerifyASN1(key, h.Sum(nil), signature)
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
	h := hmac.New(v.algorithm(), key)
	h.Write(message)
	return hmac.Equal(signature, h.Sum(nil))
}

func (v *Verify) algorithm() func() hash.Hash {
	switch v.Algorithm {
	case "sha1":
		return sha1.New
	case "sha512":
		return sha512.New
	}
	return sha256.New
}

// token says whether a signed token (RFC 7519) is proven, not old, and about this body. The kind of key decides the algorithm, never
// the token.
func (v *Verify) token(s *system, given, secret string, in Inbound) bool {
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
	} else if key, err := rsaKey(secret); err == nil {
		digest := sha256.Sum256(signed)
		if head.Algorithm != "RS256" || rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) != nil {
			return false
		}
	} else {
		h := hmac.New(sha256.New, []byte(secret))
		h.Write(signed)
		if head.Algorithm != "HS256" || strings.Contains(secret, "BEGIN ") || strings.HasPrefix(secret, "{") || !hmac.Equal(signature, h.Sum(nil)) {
			return false
		}
	}
	for name, template := range v.Claims {
		want := s.text(template, nil)
		if want == "" || subtle.ConstantTimeCompare([]byte(digText(claims, name)), []byte(want)) != 1 {
			return false
		}
	}
	return v.claimed(claims, in)
}

// claimed says whether a token's claims are about this moment and this body.
func (v *Verify) claimed(claims map[string]any, in Inbound) bool {
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

// rsaKey reads an RSA key of 2,048 bits or more, in PEM or as a JWK.
func rsaKey(text string) (*rsa.PublicKey, error) {
	if block, _ := pem.Decode([]byte(text)); block != nil {
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		if k, ok := key.(*rsa.PublicKey); ok && k.N.BitLen() >= 2048 {
			return k, nil
		}
		return nil, errors.New("not an RSA key of 2,048 bits or more")
	}
	var k struct{ Kty, N, E string }
	if err := json.Unmarshal([]byte(text), &k); err != nil {
		return nil, err
	}
	n, err := base64.RawURLEncoding.DecodeString(k.N)
	if err != nil {
		return nil, err
	}
	e, err := base64.RawURLEncoding.DecodeString(k.E)
	if err != nil {
		return nil, err
	}
	out := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e[:min(len(e), 4)]).Int64())}
	if k.Kty != "RSA" || out.N.BitLen() < 2048 || out.E < 3 || len(e) > 4 {
		return nil, errors.New("not an RSA key of 2,048 bits or more")
	}
	return out, nil
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
