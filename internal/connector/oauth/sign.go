// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
)

// Sign makes a signed token (RFC 7519) of the claims: RS256 with an RSA key, ES256 with one of the curve P-256. The key is in PEM:
// PKCS 8, PKCS 1 or EC. An empty keyID is left out.
func Sign(key, keyID string, claims map[string]any) (string, error) {
	private, err := parseKey(key)
	if err != nil {
		return "", err
	}
	head := map[string]string{"typ": "JWT"}
	if keyID != "" {
		head["kid"] = keyID
	}
	var sign func(digest []byte) ([]byte, error)
	switch k := private.(type) {
	case *rsa.PrivateKey:
		head["alg"] = "RS256"
		sign = func(d []byte) ([]byte, error) { return rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, d) }
	case *ecdsa.PrivateKey:
		if k.Curve != elliptic.P256() {
			return "", errors.New("a curve other than P-256")
		}
		head["alg"] = "ES256"
		sign = func(d []byte) ([]byte, error) {
			r, s, err := ecdsa.Sign(rand.Reader, k, d)
			if err != nil {
				return nil, err
			}
			out := make([]byte, 64) // RFC 7518 section 3.4
			r.FillBytes(out[:32])
			s.FillBytes(out[32:])
			return out, nil
		}
	default:
		return "", fmt.Errorf("a key of type %T", private)
	}
	h, err := json.Marshal(head)
	if err != nil {
		return "", err
	}
	c, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	message := base64.RawURLEncoding.EncodeToString(h) + "." + base64.RawURLEncoding.EncodeToString(c)
	digest := sha256.Sum256([]byte(message))
	sig, err := sign(digest[:])
	if err != nil {
		return "", err
	}
	return message + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

func parseKey(text string) (any, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("not PEM")
	}
	if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	return nil, errors.New("neither PKCS 8, PKCS 1 nor EC")
}
