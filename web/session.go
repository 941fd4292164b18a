// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/http"
	"strings"

	"github.com/syncline-dev/syncline/internal/auth"
)

// The names of the session's cookie. A browser takes one that begins with __Host- only over https, for this host alone and
// for all of it, so no neighbouring site can plant one; over http on a developer's machine it would not be taken at all.
const (
	secureCookie = "__Host-syncline_session"
	plainCookie  = "syncline_session"
)

// SessionCookie is the name of the session's cookie for an installation at that address, for the API, which takes it too.
func SessionCookie(publicURL string) string {
	if strings.HasPrefix(publicURL, "https://") {
		return secureCookie
	}
	return plainCookie
}

func (h *Handler) cookieName() string {
	if h.secure {
		return secureCookie
	}
	return plainCookie
}

// token is what the browser proves its session with, "" for none.
func (h *Handler) token(r *http.Request) auth.Token {
	c, err := r.Cookie(h.cookieName())
	if err != nil {
		return ""
	}
	return auth.Token(c.Value)
}

// remember hands the session to the browser.
func (v *visit) remember(token auth.Token, s auth.Session) {
	http.SetCookie(v.w, &http.Cookie{
		Name: v.h.cookieName(), Value: token.Reveal(), Path: "/", Expires: s.ExpiresAt,
		HttpOnly: true, Secure: v.h.secure, SameSite: http.SameSiteLaxMode,
	})
}

// forget takes the session from the browser.
func (v *visit) forget() {
	http.SetCookie(v.w, &http.Cookie{Name: v.h.cookieName(), Path: "/", MaxAge: -1, HttpOnly: true, Secure: v.h.secure, SameSite: http.SameSiteLaxMode})
}
