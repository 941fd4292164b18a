// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 5849 has it, and some systems still want it
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// One signs requests as OAuth 1.0 does (RFC 5849), with a token that was made beforehand.
type One struct {
	ConsumerKey, ConsumerSecret string
	Token, TokenSecret          string
	Realm                       string // "" is left out
	SHA1                        bool   // HMAC-SHA1, else HMAC-SHA256
}

// Authorization is the header of a request. form is a body of the type application/x-www-form-urlencoded, which is signed with the
// rest; nil for any other. The address must not be changed afterwards.
func (o One) Authorization(method, address string, form url.Values, now time.Time) (string, error) {
	return o.authorization(method, address, form, strconv.FormatInt(now.Unix(), 10), rand.Text())
}

func (o One) authorization(method, address string, form url.Values, timestamp, nonce string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	own := [][2]string{{"oauth_consumer_key", o.ConsumerKey}, {"oauth_nonce", nonce}, {"oauth_signature_method", o.method()}, {"oauth_timestamp", timestamp}, {"oauth_token", o.Token}, {"oauth_version", "1.0"}}
	signature := o.signature(baseString(method, u, form, own))
	var header strings.Builder
	header.WriteString("OAuth ")
	if o.Realm != "" {
		fmt.Fprintf(&header, `realm="%s", `, strings.NewReplacer(`"`, "", `\`, "", "\r", "", "\n", "").Replace(o.Realm))
	}
	for _, p := range own {
		fmt.Fprintf(&header, `%s="%s", `, p[0], percent(p[1]))
	}
	fmt.Fprintf(&header, `oauth_signature="%s"`, percent(signature))
	return header.String(), nil
}

func (o One) method() string {
	if o.SHA1 {
		return "HMAC-SHA1"
	}
	return "HMAC-SHA256"
}

func (o One) signature(base string) string {
	algorithm := sha256.New
	if o.SHA1 {
		algorithm = sha1.New
	}
	h := hmac.New(algorithm, []byte(percent(o.ConsumerSecret)+"&"+percent(o.TokenSecret)))
	h.Write([]byte(base))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// baseString is what is signed: section 3.4.1.
func baseString(method string, u *url.URL, form url.Values, own [][2]string) string {
	var pairs [][2]string
	for _, p := range own {
		pairs = append(pairs, [2]string{percent(p[0]), percent(p[1])})
	}
	for _, more := range []url.Values{u.Query(), form} {
		for name, values := range more {
			for _, v := range values {
				pairs = append(pairs, [2]string{percent(name), percent(v)})
			}
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		if n := strings.Compare(a[0], b[0]); n != 0 {
			return n
		}
		return strings.Compare(a[1], b[1])
	})
	all := make([]string, len(pairs))
	for i, p := range pairs {
		all[i] = p[0] + "=" + p[1]
	}
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if scheme == "http" {
		host = strings.TrimSuffix(host, ":80")
	} else {
		host = strings.TrimSuffix(host, ":443")
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return strings.ToUpper(method) + "&" + percent(scheme+"://"+host+path) + "&" + percent(strings.Join(all, "&"))
}

// percent escapes as section 3.6 has it: everything but the unreserved characters of RFC 3986.
func percent(s string) string {
	var out strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~' {
			out.WriteByte(c)
			continue
		}
		fmt.Fprintf(&out, "%%%02X", c)
	}
	return out.String()
}
