// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"encoding/pem"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Anybody can send a message that names a key, so what that makes us ask the vendor is bounded.
const (
	keyLasts   = 24 * time.Hour
	keyUnknown = 5 * time.Minute // how long an id that the vendor does not know is not asked for again
	keyAsks    = 10              // questions in keyPer, of a connection
	keyPer     = time.Minute
	keyPatient = 10 * time.Second // how long a message waits for its key
	mostKeys   = 100              // kept in mind, of a connection
	mostRings  = 10_000
)

var keyName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._~+=:-]{0,199}$`)

// keyring has the keys with which a connection's messages are signed.
type keyring struct {
	lock  chan struct{} // of size 1: one asks, the others wait for its answer
	kept  map[string]keyEntry
	asked []time.Time
}

type keyEntry struct {
	key   string // "" where the vendor knows none
	until time.Time
}

func (c *Connector) ring(name string) *keyring {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rings[name]
	if r == nil {
		if c.rings == nil || len(c.rings) >= mostRings {
			c.rings = map[string]*keyring{}
		}
		r = &keyring{lock: make(chan struct{}, 1), kept: map[string]keyEntry{}}
		c.rings[name] = r
	}
	return r
}

// signers are the keys that can have signed the message: that of the id it names, none when it names none or the vendor does not know
// it. What can be seen to be wrong without the key asks nobody.
func (c *Connector) signers(ctx context.Context, settings connector.Settings, env connector.Env, at int, v *Verify, in Inbound, u *url.URL) ([]string, error) {
	given, kid := v.given(in, u)
	if given == "" || !keyName.MatchString(kid) || !v.plausible(given, in) {
		return nil, nil
	}
	key, err := c.remembered(ctx, fmt.Sprintf("%s%s %s %d", c.space, env.Tenant, env.Consumer, at), kid, in.Now, duration(v.Keys.Lasts, keyLasts), func(ctx context.Context) (string, error) {
		return c.fetchKey(ctx, settings, env, v.Keys, kid)
	})
	if err != nil || key == "" {
		return nil, err
	}
	return []string{key}, nil
}

// remembered is the key of that id in a ring, fetched when it is not kept in mind; "" when there is none.
func (c *Connector) remembered(ctx context.Context, name, kid string, now time.Time, lasts time.Duration, fetch func(context.Context) (string, error)) (string, error) {
	ring := c.ring(name)
	ctx, cancel := context.WithTimeout(ctx, keyPatient)
	defer cancel()
	select {
	case ring.lock <- struct{}{}:
		defer func() { <-ring.lock }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if e, known := ring.kept[kid]; known && now.Before(e.until) {
		return e.key, nil
	}
	for len(ring.asked) > 0 && now.Sub(ring.asked[0]) >= keyPer {
		ring.asked = ring.asked[1:]
	}
	if len(ring.asked) >= keyAsks { // it may be a good one, so it may come again
		return "", &connector.Error{Class: connector.SlowDown, Code: "http.budget", After: keyPer, Message: "Too many messages name keys that are not known."}
	}
	ring.asked = append(ring.asked, now)
	key, err := fetch(ctx)
	if err != nil {
		return "", fmt.Errorf("fetching the key of a message: %w", err)
	}
	e := keyEntry{key, now.Add(lasts)}
	if key == "" {
		e.until = now.Add(keyUnknown)
	}
	if len(ring.kept) >= mostKeys {
		maps.DeleteFunc(ring.kept, func(_ string, e keyEntry) bool { return e.key == "" || !now.Before(e.until) })
	}
	if len(ring.kept) >= mostKeys {
		clear(ring.kept)
	}
	ring.kept[kid] = e
	return e.key, nil
}

// plausible says whether the message could hold, if the key fits.
func (v *Verify) plausible(given string, in Inbound) bool {
	if v.Kind != "jwt" {
		stamp, _ := v.parts(given, in.Header.Get(v.Timestamp))
		return v.Tolerance == "" || fresh(stamp, in.Now, duration(v.Tolerance, 5*time.Minute))
	}
	parts := strings.Split(given, ".")
	var head struct {
		Algorithm string `json:"alg"`
	}
	var claims map[string]any
	return len(parts) == 3 && readPart(parts[0], &head) && readPart(parts[1], &claims) && (head.Algorithm == "ES256" || head.Algorithm == "RS256") && v.claimed(claims, in)
}

// fetchKey asks the vendor for a key; "" when it does not know it, or does not use it any more.
func (c *Connector) fetchKey(ctx context.Context, settings connector.Settings, env connector.Env, k *Keys, kid string) (string, error) {
	checked, err := c.Spec().Check(settings)
	if err != nil {
		return "", err
	}
	s, err := c.open(ctx, checked, env)
	if err != nil {
		return "", err
	}
	defer func() { _ = s.Close() }()
	body, _, err := s.do(ctx, "keys", k.Request, s.scope.with(scope{"kid": kid}))
	if class := classOf(err); class == "gone" || class == "refused" {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if k.Ended != "" && dig(body, k.Ended) != nil {
		return "", nil
	}
	switch found := dig(body, k.At).(type) {
	case string:
		return inLines(found), nil
	case map[string]any: // a JWK
		return asJWK(found), nil
	case []any: // a set of them
		for _, e := range found {
			if digText(e, "kid") == kid {
				return asJWK(e), nil
			}
		}
	}
	return "", nil
}

func asJWK(v any) string {
	canonical, err := record.Canonical(v)
	if err != nil {
		return ""
	}
	return string(record.AppendJSON(nil, canonical))
}

const (
	keyBegin = "-----BEGIN PUBLIC KEY-----"
	keyEnd   = "-----END PUBLIC KEY-----"
)

// inLines is a key in PEM that a vendor sends in one line (eBay), or without its first and last, as it should be.
func inLines(text string) string {
	text = strings.TrimSpace(text)
	if block, _ := pem.Decode([]byte(text)); block != nil || strings.HasPrefix(text, "{") {
		return text
	}
	text = strings.TrimSuffix(strings.TrimPrefix(text, keyBegin), keyEnd)
	return keyBegin + "\n" + strings.Join(strings.Fields(text), "") + "\n" + keyEnd + "\n"
}
