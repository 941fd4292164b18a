// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/http"

	"github.com/syncline-dev/syncline/web/ui"
)

// Policy is the content security policy of every page: nothing from elsewhere, no inline script, no inline style, no
// evaluated code, no framing.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// SecurityHeaders sets the headers every page carries. Pages are never cached by others and not stored, because they
// show the tenant's data.
func SecurityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", Policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cache-Control", "private, no-store")
		next.ServeHTTP(w, r)
	})
}

// PrefsFrom reads what the reader chose from the cookies the page sets: theme and single-letter shortcuts.
func PrefsFrom(r *http.Request) ui.Prefs {
	var p ui.Prefs
	if c, err := r.Cookie("theme"); err == nil && (c.Value == "light" || c.Value == "dark") {
		p.Theme = c.Value
	}
	if c, err := r.Cookie("keys"); err == nil {
		p.KeysOff = c.Value == "off"
	}
	return p
}
