// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"io"
	"log/slog"
	"net/http"

	"github.com/syncline-dev/syncline/internal/fault"
)

// maxMessage is how large a message of a payment provider may be.
const maxMessage = 1 << 20

// PaymentHook takes the payment provider's messages. They are checked on the bytes as they came, noted, and worked on later: the
// answer is quick, so that the provider does not send again what was taken. A message that is not signed is told nothing else.
func PaymentHook(hear func(ctx context.Context, payload []byte, signature string) error, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
		if err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		switch err := hear(r.Context(), payload, r.Header.Get("Stripe-Signature")); {
		case err == nil:
			w.WriteHeader(http.StatusNoContent)
		case fault.KindOf(err) == fault.Forbidden || fault.KindOf(err) == fault.Malformed:
			log.WarnContext(r.Context(), "a message that claims to be the payment provider's was refused", "error", err)
			w.WriteHeader(http.StatusBadRequest)
		default: // it comes again
			log.ErrorContext(r.Context(), "a message of the payment provider could not be taken", "error", err)
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
}
