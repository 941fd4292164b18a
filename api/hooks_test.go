// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/api"
	"github.com/syncline-dev/syncline/internal/fault"
)

func TestPaymentHook(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, method, body string
		err                error
		want               int
		heard              bool
	}{
		{"taken", http.MethodPost, "{\"a\": 1}\n", nil, 204, true},
		{"not signed", http.MethodPost, "{}", fault.New(fault.Forbidden, "stripe.webhook_signature", "no"), 400, true},
		{"not now", http.MethodPost, "{}", errors.New("the database is away"), 503, true},
		{"looked at", http.MethodGet, "", nil, 405, false},
		{"too large", http.MethodPost, strings.Repeat("x", 1<<20+1), nil, 413, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			heard := false
			h := api.PaymentHook(func(_ context.Context, payload []byte, signature string) error {
				heard = true
				if string(payload) != tt.body || signature != "t=1,v1=2" {
					t.Errorf("heard %q signed %q", payload, signature)
				}
				return tt.err
			}, slog.New(slog.NewTextHandler(io.Discard, nil)))
			r := httptest.NewRequestWithContext(t.Context(), tt.method, "/hooks/stripe", strings.NewReader(tt.body))
			r.Header.Set("Stripe-Signature", "t=1,v1=2")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.want || heard != tt.heard {
				t.Errorf("answered %d, want %d; heard %v", w.Code, tt.want, heard)
			}
		})
	}
}
