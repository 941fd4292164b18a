// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"maps"
	"sync"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
)

// score counts what becomes of the cases of a run.
type score struct {
	mu   sync.Mutex
	card card.Card
}

// newScore makes the card of a run, kept when all its cases are over. Lines of not do not apply, for the reasons given.
func newScore(t *testing.T, spec connector.Spec, c card.Card, not map[card.Line]string) *score {
	c.Lines = map[card.Line]card.Finding{}
	for name, why := range not {
		c.Lines[name] = card.Finding{Not: why}
	}
	c.System, c.Type, c.Guarantee, c.Run = spec.Title, spec.Type, spec.Guarantee, t.Name()
	if c.Detection == "" || c.Detection == "auto" {
		c.Detection = spec.Detections[0]
	}
	s := &score{card: c}
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := card.Keep(s.card, s.card.Run); err != nil {
			t.Errorf("keeping the card: %v", err)
		}
	})
	return s
}

// count is called at the beginning of a case, which shows these lines.
func (s *score) count(t *testing.T, lines ...card.Line) {
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.card.Total++
		if !t.Failed() {
			s.card.Pass++
		}
		mark(s.card.Lines, t.Failed(), lines)
	})
}

func mark(found map[card.Line]card.Finding, failed bool, lines []card.Line) {
	for _, name := range lines {
		f := found[name]
		if failed {
			f.Failed++
		} else {
			f.Passed++
		}
		found[name] = f
	}
}

// Proves says that this test, beside the suite, shows lines of it for the connector of that type.
func Proves(t *testing.T, typ string, lines ...card.Line) {
	t.Helper()
	t.Cleanup(func() {
		found := map[card.Line]card.Finding{}
		mark(found, t.Failed(), lines)
		if err := card.Keep(card.Proof{Type: typ, Run: t.Name(), Lines: found}, t.Name()); err != nil {
			t.Errorf("keeping what was proven: %v", err)
		}
	})
}

// with adds what a connector says to what holds for its kind.
func with(kind, own map[card.Line]string) map[card.Line]string {
	maps.Copy(kind, own)
	return kind
}

// Reasons why lines do not apply that several connectors share.
const (
	NoBudget = "it has connections and no budget of calls that could be used up"
	NoToken  = "it is signed in to with a password or a key, which does not end; one that was changed is refused as bad credentials"
	NoMore   = "its list of changes is read; what the vendor would send says not more than that something changed"
	NoHooks  = "changes are read from it, and nothing is sent to us"
)

// Signed are the lines that do not apply to what is signed in to with a password or key and sends nothing.
func Signed() map[card.Line]string {
	return map[card.Line]string{card.Expired: NoToken, card.Webhook: NoHooks}
}

// Served are the lines that do not apply to a server of one's own.
func Served() map[card.Line]string {
	return map[card.Line]string{card.Expired: NoToken, card.Webhook: NoHooks, card.Limit: NoBudget}
}
