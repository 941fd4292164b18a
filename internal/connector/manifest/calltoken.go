// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/oauth"
	"github.com/syncline-dev/syncline/internal/connector/transport"
)

// covers says whether such a call carries the token.
func (t *CallToken) covers(m *Manifest, op string, sc scope) bool {
	if op == transport.Token || len(t.Operations) > 0 && !slices.Contains(t.Operations, op) {
		return false
	}
	if len(t.Objects) == 0 {
		return true
	}
	native, _ := sc["native"].(string)
	return slices.ContainsFunc(t.Objects, func(name string) bool { return native != "" && m.Objects[name].Native == native })
}

// prove puts the proof into a request: the connection's own, or the token that such calls carry. renew gets another token in place of
// one that the system does not take; nil where there is none to be had.
func (s *system) prove(ctx context.Context, op string, sc scope, call *transport.Call) (renew func(context.Context) error, err error) {
	for i := range s.m.Tokens {
		t := &s.m.Tokens[i]
		if !t.covers(s.m, op, sc) {
			continue
		}
		w := s.classWallet(i, t, sc)
		kept, good, err := w.Look(ctx)
		if err == nil && !good {
			kept, err = w.Renew(ctx, kept[oauth.AccessToken])
		}
		if err != nil {
			return nil, err
		}
		token := kept[oauth.AccessToken]
		s.auth.carry(call, token)
		return func(ctx context.Context) error {
			_, err := w.Renew(ctx, token)
			return err
		}, nil
	}
	token, err := s.authorize(ctx, call)
	if err != nil || !s.auth.tokens() {
		return nil, err
	}
	return func(ctx context.Context) error {
		_, err := s.wallet().Renew(ctx, token)
		return err
	}, nil
}

// classWallet is where the tokens of a class of calls are. They are cheap and short-lived, so each process keeps its own.
func (s *system) classWallet(i int, t *CallToken, sc scope) oauth.Wallet {
	native, _ := sc["native"].(string)
	name := fmt.Sprintf("%s token %d", s.account, i)
	if t.Request != nil {
		name += " " + native
	}
	return oauth.Wallet{Client: s.client, Kept: s.c.memoryOf(name), Buy: func(ctx context.Context, kept map[string]string) (map[string]string, error) {
		if t.Request == nil {
			e := s.endpoint()
			e.Parameters = maps.Clone(e.Parameters)
			for k, v := range t.Parameters {
				e.Parameters[k] = s.text(v, nil)
			}
			e.Also = nil
			sep := s.auth.ScopeSeparator
			if sep == "" {
				sep = " "
			}
			return e.Own(ctx, s.client, nil, strings.Join(t.Scopes, sep))
		}
		body, _, err := s.do(ctx, transport.Token, *t.Request, sc)
		if err != nil {
			return nil, err
		}
		at, ends := t.Token, t.Expires
		if at == "" {
			at = "access_token"
		}
		if ends == "" {
			ends = "expires_in"
		}
		next := map[string]string{oauth.AccessToken: digText(body, at)}
		if next[oauth.AccessToken] == "" {
			return nil, &connector.Error{Class: connector.Drift, Code: "http.answer_unexpected", Message: s.m.Title + " gives no token for such calls where its manifest says."}
		}
		if seconds, err := strconv.ParseFloat(digText(body, ends), 64); err == nil && seconds > 0 {
			next[oauth.ExpiresAt] = s.client.Now().Add(time.Duration(seconds * float64(time.Second))).UTC().Format(time.RFC3339)
		}
		return next, nil
	}}
}
