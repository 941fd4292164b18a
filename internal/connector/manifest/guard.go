// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"net/http"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/transport"
)

// proof is what writes carry where the vendor guards against forged requests.
type proof struct{ token, cookies string }

// guard puts the token that the vendor hands out beforehand into a write; reading is not guarded.
func (s *system) guard(ctx context.Context, call *transport.Call) error {
	g := s.m.Guarded
	if g == nil || call.Method == http.MethodGet {
		return nil
	}
	s.guarding.Lock() // of many that write at once one asks
	defer s.guarding.Unlock()
	if s.guarded == nil {
		got, err := s.fetchGuard(ctx, g)
		if err != nil {
			return err
		}
		s.guarded = got
	}
	call.Header.Set(g.Header, s.guarded.token)
	if s.guarded.cookies != "" {
		call.Header.Set("Cookie", s.guarded.cookies)
	}
	return nil
}

func (s *system) fetchGuard(ctx context.Context, g *Guarded) (*proof, error) {
	req := g.Request
	req.Method = http.MethodGet // or it would need the token itself
	body, answer, err := s.do(ctx, "check", req, s.scope)
	if err != nil {
		return nil, err
	}
	got := &proof{token: answer.Header.Get(g.From)}
	if g.From == "" {
		got.token = digText(body, g.Path)
	}
	var cookies []string
	for _, c := range (&http.Response{Header: answer.Header}).Cookies() {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	got.cookies = strings.Join(cookies, "; ")
	if got.token == "" {
		return nil, &connector.Error{Class: connector.Drift, Code: "http.answer_unexpected", Message: s.m.Title + " hands out no token for writes where its manifest says."}
	}
	s.client.Hide(got.token)
	return got, nil
}

// unguarded says whether the answer asks for a new token, and forgets the old one.
func (s *system) unguarded(a *transport.Answer) bool {
	g := s.m.Guarded
	if g == nil || a.Status != http.StatusForbidden {
		return false
	}
	ended := g.Ended
	if ended == "" {
		ended = "Required"
	}
	if !strings.EqualFold(a.Header.Get(g.Header), ended) {
		return false
	}
	s.guarding.Lock()
	defer s.guarding.Unlock()
	s.guarded = nil
	return true
}
