// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Code is an authorization code that the vendor has given out. It is good once and for a short while.
type Code struct {
	Client    string    `json:"client"`
	Redirect  string    `json:"redirect"`
	Challenge string    `json:"challenge,omitempty"` // of PKCE, S256
	Scope     string    `json:"scope,omitempty"`
	Brief     bool      `json:"brief,omitempty"` // it brings no refresh token
	Expires   time.Time `json:"expires"`
}

// Consent is how a vendor asks a person whether an app may use their account.
type Consent struct {
	Vendor  string            // "HubSpot"
	Account string            // what the page calls the account
	Scopes  map[string]string // what each scope means, in the page's words; others are shown as they are
	Known   bool              // a scope that is not among Scopes is refused
	PKCE    bool              // an app must use it
	Life    time.Duration     // of a code; a minute when zero
	// Lasting says whether the question asks for access that goes on while the person is away; nil: every question does.
	Lasting func(question url.Values) bool
}

type consentView struct {
	Consent
	Client string
	Scopes []string
	Wrong  string
	Style  template.CSS
	Nonce  string
}

const consentStyle = `body{margin:0;background:#eef1f5;color:#1d2430;font:16px/1.5 system-ui,sans-serif;display:grid;min-height:100vh;place-items:center}
main{background:#fff;max-width:27rem;width:calc(100% - 2rem);border-radius:14px;box-shadow:0 8px 40px #1d243026;overflow:hidden;margin:2rem 0}
header{background:#26324a;color:#fff;padding:1.1rem 1.6rem}header b{font-size:1.15rem}header span{display:block;opacity:.8;font-size:.85rem}
section{padding:1.2rem 1.6rem 1.6rem}h1{font-size:1.15rem;margin:0 0 .6rem}ul{padding-left:1.1rem;margin:.4rem 0 1.2rem}
form{display:flex;gap:.7rem}button{font:inherit;padding:.55rem 1.3rem;border-radius:8px;border:1px solid #8a94a6;background:#fff;color:#1d2430;cursor:pointer}
button[value=allow]{background:#1c5fd4;border-color:#1c5fd4;color:#fff}button:focus-visible{outline:3px solid #f0a020;outline-offset:2px}
footer{padding:.8rem 1.6rem;background:#f6f7f9;color:#566070;font-size:.8rem}code{font-size:.85em}`

var consentPage = template.Must(template.New("consent").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>{{.Vendor}}: give access</title><style nonce="{{.Nonce}}">{{.Style}}</style></head>
<body><main><header><b>{{.Vendor}}</b><span>{{.Account}}</span></header><section>
{{if .Wrong}}<h1>This app cannot be given access</h1><p role="alert">{{.Wrong}}</p>
{{else}}<h1>Give Syncline access to your {{.Vendor}} account?</h1><p>The app <code>{{.Client}}</code> asks to:</p><ul>{{range .Scopes}}<li>{{.}}</li>{{else}}<li>use your account</li>{{end}}</ul>
<form method="post"><button name="decision" value="allow">Allow</button><button name="decision" value="deny">Deny</button></form>{{end}}
</section><footer>This is the simulator of {{.Vendor}} that comes with Syncline. Nothing leaves this installation.</footer></main></body></html>
`))

// Ask answers the vendor's authorize page: a GET shows it, and a POST with the decision sends the person back to the app, as
// RFC 6749 section 4.1 and RFC 7636 have it. What could send them to a wrong place is said on the page and goes nowhere.
func (c Consent) Ask(x *Exchange) {
	q := x.Query
	back, err := url.Parse(q.Get("redirect_uri"))
	view := consentView{Consent: c, Client: q.Get("client_id"), Style: consentStyle}
	switch {
	case view.Client == "":
		view.Wrong = "There is no client_id in the address, or the app is not known."
	case err != nil || !back.IsAbs() || back.Host == "" || back.Fragment != "":
		view.Wrong = "The redirect_uri is missing or is not one that the app may use."
	}
	if view.Wrong != "" {
		c.show(x, http.StatusBadRequest, view)
		return
	}
	say := func(answer url.Values) {
		if s := q.Get("state"); s != "" {
			answer.Set("state", s)
		}
		target := *back
		more := target.Query()
		for k, v := range answer {
			more[k] = v
		}
		target.RawQuery = more.Encode()
		x.Reply.Set("Location", target.String())
		x.Say(http.StatusFound, nil)
	}
	refuse := func(problem, says string) { say(url.Values{"error": {problem}, "error_description": {says}}) }
	scopes := strings.FieldsFunc(q.Get("scope"), func(r rune) bool { return r == ' ' || r == ',' })
	for _, s := range scopes {
		words, known := c.Scopes[s]
		if !known && c.Known {
			refuse("invalid_scope", "The app has no scope "+s+".")
			return
		}
		if !known {
			words = s
		}
		view.Scopes = append(view.Scopes, words)
	}
	switch {
	case q.Get("response_type") != "code":
		refuse("unsupported_response_type", "Only response_type=code is supported.")
	case c.PKCE && q.Get("code_challenge") == "", q.Get("code_challenge") != "" && q.Get("code_challenge_method") != "S256":
		refuse("invalid_request", "A code_challenge with the method S256 is needed.")
	case x.Method != http.MethodPost:
		c.show(x, http.StatusOK, view)
	case x.Form.Get("decision") != "allow":
		refuse("access_denied", "The person said no.")
	default:
		x.W.Seq++
		code := fmt.Sprintf("code-%d-%d", x.W.Seq, x.W.Now().UnixNano())
		life := c.Life
		if life == 0 {
			life = time.Minute
		}
		for old, k := range x.W.Codes {
			if !x.W.Now().Before(k.Expires) {
				delete(x.W.Codes, old)
			}
		}
		x.W.Codes[code] = Code{Client: view.Client, Redirect: q.Get("redirect_uri"), Challenge: q.Get("code_challenge"), Scope: q.Get("scope"), Brief: c.Lasting != nil && !c.Lasting(q), Expires: x.W.Now().Add(life)}
		say(url.Values{"code": {code}})
	}
}

func (c Consent) show(x *Exchange, status int, view consentView) {
	sum := sha256.Sum256([]byte(consentStyle))
	view.Nonce = base64.RawURLEncoding.EncodeToString(sum[:12]) // the style is constant, so anybody may know it
	var page bytes.Buffer
	if err := consentPage.Execute(&page, view); err != nil {
		x.Say(http.StatusInternalServerError, nil)
		return
	}
	x.Reply.Set("Content-Type", "text/html; charset=utf-8")
	x.Reply.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+view.Nonce+"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	x.Say(status, page.String())
}

// Redeem takes a code for the token endpoint and gives a new refresh token for it; else it says what is wrong, in the words of
// RFC 6749. A code that was asked for is gone, whatever was wrong with the question.
func (x *Exchange) Redeem() (refresh, scope, problem string) { return x.redeem(false) }

// redeem may do without the secret of a public app, which PKCE proves.
func (x *Exchange) redeem(public bool) (refresh, scope, problem string) {
	id, secret := x.client()
	given := x.Form.Get("code")
	code, known := x.W.Codes[given]
	delete(x.W.Codes, given)
	sum := sha256.Sum256([]byte(x.Form.Get("code_verifier")))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	switch {
	case secret == "" && (!public || code.Challenge == ""):
		return "", "", "invalid_client"
	case !known, !x.W.Now().Before(code.Expires), code.Client != id, code.Redirect != x.Form.Get("redirect_uri"),
		code.Challenge != "" && subtle.ConstantTimeCompare([]byte(challenge), []byte(code.Challenge)) != 1:
		return "", "", "invalid_grant"
	}
	if code.Brief {
		return "", code.Scope, ""
	}
	return x.Refresh(), code.Scope, ""
}

// Refresh gives out a refresh token.
func (x *Exchange) Refresh() string {
	x.W.Seq++
	token := fmt.Sprintf("refresh-%d-%d", x.W.Seq, x.W.Now().UnixNano())
	x.W.Grants[token] = true
	return token
}
