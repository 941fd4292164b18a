// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
)

func TestEncryption(t *testing.T) {
	t.Parallel()
	dir, roots := certificates(t)
	server := ownServer(t, "ssl_cert", filepath.Join(dir, "cert.pem"), "ssl_key", filepath.Join(dir, "key.pem"))
	d := ownDatabase(t, server, orders, fill(10))
	d.exec("CREATE USER 'careful'@'%' IDENTIFIED BY 'x' REQUIRE SSL", "GRANT ALL ON *.* TO 'careful'@'%'")
	tests := []struct {
		encryption, user string
		config           *tls.Config
		code             string
	}{
		{"false", "root", nil, ""},
		{"false", "careful", nil, "mysql.login"},
		{"preferred", "careful", nil, ""},
		{"required", "careful", nil, ""},
		{"verify", "careful", &tls.Config{RootCAs: roots}, ""},
		{"verify", "careful", nil, "mysql.certificate"},
	}
	for _, tt := range tests {
		t.Run(tt.encryption+" "+tt.user+" "+tt.code, func(t *testing.T) {
			settings := connector.Settings{}
			for k, v := range d.settings {
				settings[k] = v
			}
			settings["tls"] = tt.encryption
			if tt.user != "root" {
				settings["user"], settings["password"] = tt.user, "x"
			}
			sys, err := New().Open(context.Background(), settings, connector.Env{Consumer: "svc_test", TLS: tt.config})
			if code(err) != tt.code {
				t.Fatalf("%v, want %s", err, tt.code)
			}
			if err != nil {
				return
			}
			t.Cleanup(func() { sys.Close() })
			s := base(sys)
			if s.server.encrypted != (tt.encryption != "false") {
				t.Errorf("encrypted: %v", s.server.encrypted)
			}
			r := d.replica(s, "orders", 100)
			r.drain()
			d.exec("UPDATE orders SET total = total + 1")
			r.drain() // through the log, for which the account needs encryption too
			r.equal()
			if way, why, err := s.Detection(context.Background(), "orders"); way != byLog {
				t.Errorf("%s because %s, %v", way, why, err)
			}
		})
	}
}

// A server without encryption, as a replica that stands in may be, does not end the wish for it: the next connection asks again.
func TestEveryConnectionAsksForEncryption(t *testing.T) {
	t.Parallel()
	// The first message of a server (protocol 10), without and with CLIENT_SSL.
	greeting := func(capabilities string) []byte {
		text := "\x0a8.0.0\x00\x01\x00\x00\x00saltsalt\x00" + capabilities + "\x21\x02\x00\x08\x00\x15" + strings.Repeat("\x00", 10) + "saltsaltsalt\x00mysql_native_password\x00"
		return append([]byte{byte(len(text)), 0, 0, 0}, text...)
	}
	const clientSSL = 0x08 // in the second byte of what the client can do
	asked := make(chan bool, 2)
	dials := 0
	a := access{host: "db.example.com", user: "root", encryption: "preferred", tls: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: "db.example.com"}, pool: 1}
	a.dial = func(context.Context, string, string) (net.Conn, error) {
		dials++
		capabilities := "\x00\x82"
		if dials > 1 {
			capabilities = "\x00\x8a"
		}
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			reply := make([]byte, 6)
			if _, err := server.Write(greeting(capabilities)); err == nil {
				_, err = io.ReadFull(server, reply)
				asked <- err == nil && reply[5]&clientSSL != 0
			}
		}()
		return client, nil
	}
	p, err := a.newPool(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, want := range []bool{false, true} {
		if conn, err := p.Conn(t.Context()); err == nil {
			conn.Close()
			t.Error("a server that hangs up lets us in")
		}
		if got := <-asked; got != want {
			t.Errorf("encryption is asked for: %v, want %v", got, want)
		}
	}
}

// certificates makes an authority and a server's certificate for 127.0.0.1, where the server can read them.
func certificates(t *testing.T) (dir string, roots *x509.CertPool) {
	t.Helper()
	dir, err := os.MkdirTemp("", "syncline-tls-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a server under test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, content := range map[string][]byte{"cert.pem": certificate, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	return dir, roots
}
