// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
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

// newScore makes the card of a run, kept when all its cases are over.
func newScore(t *testing.T, spec connector.Spec, c card.Card) *score {
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

// count is called at the beginning of a case.
func (s *score) count(t *testing.T) {
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.card.Total++
		if !t.Failed() {
			s.card.Pass++
		}
	})
}
