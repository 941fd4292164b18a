// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"net/url"
	"strings"
	"testing"
)

// The examples of RFC 5849: section 1.2 has a signature for a request with parameters in its address, and section 3.4.1.1 a base
// string with everything that can be in one.
func TestSignatureOfRFC5849(t *testing.T) {
	t.Parallel()
	o := One{ConsumerKey: "dpf43f3p2l4k3l03", ConsumerSecret: "kd94hf93k423kf44", Token: "nnch734d00sl2jdk", TokenSecret: "pfkkdhi9sl3r4s00", Realm: "Photos", SHA1: true}
	u, err := url.Parse("http://photos.example.net/photos?file=vacation.jpg&size=original")
	if err != nil {
		t.Fatal(err)
	}
	// The example has no oauth_version, which may be left out.
	own := [][2]string{{"oauth_consumer_key", o.ConsumerKey}, {"oauth_nonce", "chapoH"}, {"oauth_signature_method", "HMAC-SHA1"}, {"oauth_timestamp", "137131202"}, {"oauth_token", o.Token}}
	if got := percent(o.signature(baseString("GET", u, nil, own))); got != "MdpQcU8iPSUjWoN%2FUDMsK2sui9I%3D" {
		t.Errorf("the signature is %s", got)
	}
	if u, err = url.Parse("http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b"); err != nil {
		t.Fatal(err)
	}
	own = [][2]string{{"oauth_consumer_key", "9djdj82h48djs9d2"}, {"oauth_token", "kkk9d7dh3k39sjv7"}, {"oauth_signature_method", "HMAC-SHA1"}, {"oauth_timestamp", "137131201"}, {"oauth_nonce", "7d8f3e4a"}}
	const want = "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
	if got := baseString("post", u, url.Values{"c2": {""}, "a3": {"2 q"}}, own); got != want {
		t.Errorf("what is signed is\n%s", got)
	}
	header, err := o.authorization("GET", "https://photos.example.net/photos", nil, "137131202", "chapoH")
	if err != nil || !strings.HasPrefix(header, `OAuth realm="Photos", oauth_consumer_key="dpf43f3p2l4k3l03", oauth_nonce="chapoH", oauth_signature_method="HMAC-SHA1", oauth_timestamp="137131202", oauth_token="nnch734d00sl2jdk", oauth_version="1.0", oauth_signature="`) {
		t.Errorf("the header is %s, %v", header, err)
	}
}
