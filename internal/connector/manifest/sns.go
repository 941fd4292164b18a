// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // signature version 1
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
)

// Messages of Amazon SNS (Developer Guide: "Verifying the signatures of Amazon SNS messages", "HTTP/HTTPS notification JSON format"). Amazon
// signs for every topic with the same keys, so a message counts only when it names the topic that is meant, and what it makes us fetch (the
// certificate, the confirmation) only where that topic's region has it: never elsewhere, by TLS, through the guard, without credentials.

// snsTolerance is how old a message may be, unless said: SNS tries for an hour.
const snsTolerance = time.Hour

// snsMost is the largest message; SNS sends at most 256 KiB.
const snsMost = 1 << 20

type snsMessage struct {
	Type, MessageID, TopicArn, Message, Timestamp, Token string
	Subject                                              *string
	SubscribeURL, SigningCertURL                         string
	Signature, SignatureVersion                          string
}

func readSNS(body []byte) (m snsMessage, ok bool) {
	if len(body) > snsMost || json.Unmarshal(body, &m) != nil {
		return m, false
	}
	switch m.Type {
	case "Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation":
		return m, true
	}
	return m, false
}

// signed is what the signature is over.
func (m *snsMessage) signed() []byte {
	var b strings.Builder
	add := func(name, value string) { b.WriteString(name + "\n" + value + "\n") }
	add("Message", m.Message)
	add("MessageId", m.MessageID)
	if m.Type == "Notification" {
		if m.Subject != nil {
			add("Subject", *m.Subject)
		}
	} else {
		add("SubscribeURL", m.SubscribeURL)
	}
	add("Timestamp", m.Timestamp)
	if m.Type != "Notification" {
		add("Token", m.Token)
	}
	add("TopicArn", m.TopicArn)
	add("Type", m.Type)
	return []byte(b.String())
}

// ours says whether an address is one of SNS in the region of the topic.
func (m *snsMessage) ours(address string) (*url.URL, bool) {
	arn := strings.Split(m.TopicArn, ":") // arn:aws:sns:eu-west-1:123456789012:name
	u, err := url.Parse(address)
	if err != nil || len(arn) != 6 || arn[0] != "arn" || arn[2] != "sns" || arn[3] == "" || strings.Trim(arn[3], "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return nil, false
	}
	host := "sns." + arn[3] + ".amazonaws.com"
	if arn[1] == "aws-cn" {
		host += ".cn"
	}
	return u, u.Scheme == "https" && u.User == nil && u.Host == host && u.Fragment == ""
}

// sns says whether a message is from the topic.
func (c *Connector) sns(ctx context.Context, settings connector.Settings, env connector.Env, at int, v *Verify, topic string, in Inbound) (bool, error) {
	m, ok := readSNS(in.Body)
	if !ok || topic == "" || m.TopicArn != topic || !fresh(m.Timestamp, in.Now, duration(v.Tolerance, snsTolerance)) {
		return false, nil
	}
	if m.SignatureVersion != "1" && m.SignatureVersion != "2" {
		return false, nil
	}
	signature, err := base64.StdEncoding.DecodeString(m.Signature)
	if err != nil {
		return false, nil //nolint:nilerr // it proves nothing
	}
	from, ours := m.ours(m.SigningCertURL)
	if !ours || !strings.HasSuffix(from.Path, ".pem") || from.RawQuery != "" {
		return false, nil
	}
	text, err := c.remembered(ctx, fmt.Sprintf("%s%s %s %d", c.space, env.Tenant, env.Consumer, at), from.String(), in.Now, keyLasts, func(ctx context.Context) (string, error) {
		b, err := c.fetchBare(ctx, settings, env, from)
		if err != nil {
			return "", err
		}
		if _, err := snsKey(b, in.Now); err != nil {
			return "", nil //nolint:nilerr // what is no certificate proves nothing, and is not asked for again at once
		}
		return string(b), nil
	})
	if err != nil || text == "" {
		return false, err
	}
	key, err := snsKey([]byte(text), in.Now)
	if err != nil {
		return false, nil //nolint:nilerr // it ended meanwhile
	}
	if m.SignatureVersion == "1" {
		sum := sha1.Sum(m.signed()) //nolint:gosec // signature version 1
		return rsa.VerifyPKCS1v15(key, crypto.SHA1, sum[:], signature) == nil, nil
	}
	sum := sha256.Sum256(m.signed())
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil, nil
}

// snsKey is the key of a certificate that is in force.
func snsKey(text []byte, now time.Time) (*rsa.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("no certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < 2048 || now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return nil, fmt.Errorf("no certificate in force with an RSA key of 2,048 bits or more")
	}
	return key, nil
}

// snsControl deals with a proven message that is about the subscription itself: one that asks is answered by fetching the address it gives.
func (c *Connector) snsControl(ctx context.Context, settings connector.Settings, env connector.Env, in Inbound) (Verdict, bool, error) {
	m, _ := readSNS(in.Body)
	if m.Type == "Notification" {
		return Verdict{}, false, nil
	}
	if m.Type == "SubscriptionConfirmation" {
		at, ours := m.ours(m.SubscribeURL)
		if !ours { // it is signed all the same, so Amazon changed its ways
			return Verdict{}, true, &connector.Error{Class: connector.Drift, Code: "http.answer_unexpected", Message: "SNS wants its subscription confirmed at an address that is not of its own region; it is not fetched."}
		}
		ctx, cancel := context.WithTimeout(ctx, keyPatient)
		defer cancel()
		if _, err := c.fetchBare(ctx, settings, env, at); err != nil {
			return Verdict{}, true, fmt.Errorf("confirming a subscription: %w", err)
		}
	}
	return Verdict{Status: http.StatusOK}, true, nil
}

// fetchBare gets what is at an address, without the connection's proof. Another status than 200 is an error of class Retry: the message comes again.
func (c *Connector) fetchBare(ctx context.Context, settings connector.Settings, env connector.Env, from *url.URL) ([]byte, error) {
	checked, err := c.Spec().Check(settings)
	if err != nil {
		return nil, err
	}
	s, err := c.open(ctx, checked, env)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	call, err := s.build("keys", Request{Method: http.MethodGet, Path: escapeBraces(from.String()), Bare: true}, s.scope)
	if err != nil {
		return nil, err
	}
	answer, err := s.client.Do(ctx, call)
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusOK {
		return nil, &connector.Error{Class: connector.Retry, Code: "http.server_error", Message: fmt.Sprintf("%s answers %d.", from.Host, answer.Status)}
	}
	return answer.Body, nil
}
