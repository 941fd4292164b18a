// SPDX-License-Identifier: Apache-2.0

package sftp_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sftpkit "github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/filestore/filestoretest"
	"github.com/syncline-dev/syncline/internal/connector/sftp"
	"github.com/syncline-dev/syncline/internal/record"
)

// server is an SFTP server over a folder, with a user that may come with a password or a key.
type server struct {
	host, port, fingerprint, key string
	dir                          string
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{dir: t.TempDir()}
	_, hostKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	host, err := ssh.NewSignerFromKey(hostKey)
	if err != nil {
		t.Fatal(err)
	}
	s.fingerprint = ssh.FingerprintSHA256(host.PublicKey())
	_, userKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(userKey, "")
	if err != nil {
		t.Fatal(err)
	}
	s.key = string(pem.EncodeToMemory(block))
	user, err := ssh.NewSignerFromKey(userKey)
	if err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	config := &ssh.ServerConfig{
		PasswordCallback: func(c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			if c.User() == "feed" && string(password) == "right" {
				return &ssh.Permissions{}, nil
			}
			return nil, refused
		},
		PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if c.User() == "feed" && string(key.Marshal()) == string(user.PublicKey().Marshal()) {
				return &ssh.Permissions{}, nil
			}
			return nil, refused
		},
	}
	config.AddHostKey(host)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if s.host, s.port, err = net.SplitHostPort(l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn, config)
		}
	}()
	return s
}

func (s *server) serve(raw net.Conn, config *ssh.ServerConfig) {
	conn, channels, requests, err := ssh.NewServerConn(raw, config)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	go ssh.DiscardRequests(requests)
	for ch := range channels {
		channel, asked, err := ch.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range asked {
				_ = r.Reply(r.Type == "subsystem" && string(r.Payload[4:]) == "sftp", nil)
			}
		}()
		files, err := sftpkit.NewServer(channel, sftpkit.WithServerWorkingDirectory(s.dir))
		if err != nil {
			return
		}
		go func() {
			_ = files.Serve()
			_ = files.Close()
		}()
	}
}

func (s *server) settings(more connector.Settings) connector.Settings {
	out := connector.Settings{"host": s.host, "port": s.port, "user": "feed", "password": "right", "hostKey": s.fingerprint, "settleSeconds": "0"}
	for k, v := range more {
		out[k] = v
	}
	return out
}

func env() connector.Env {
	var d net.Dialer
	return connector.Env{Dial: d.DialContext}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"csv", "jsonl"} { // the others are tried on other stores
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			folder := filepath.Join(s.dir, "exchange")
			if err := os.Mkdir(folder, 0o750); err != nil {
				t.Fatal(err)
			}
			filestoretest.Run(t, filestoretest.InFolder(filestoretest.Place{
				Connector: sftp.Impatient(3 * time.Second), Env: env(), Judge: "an SFTP server", Not: connectortest.Served(), Settings: s.settings(connector.Settings{"folder": "exchange"}),
				Bad: []connector.Settings{s.settings(connector.Settings{"folder": "nowhere"}), s.settings(connector.Settings{"folder": "exchange", "password": "wrong"}),
					s.settings(connector.Settings{"folder": "exchange", "hostKey": "SHA256:another"}), s.settings(connector.Settings{"folder": "exchange", "hostKey": ""})},
			}, folder), format)
		})
	}
}

// Signing in goes by key as well, an unknown server is named and not trusted, and a connection that broke is made again.
func TestSigningIn(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	if err := os.WriteFile(filepath.Join(s.dir, "people.csv"), []byte("id,name\n1,Ada\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(more connector.Settings) error {
		settings, err := sftp.New().Spec().Check(s.settings(more))
		if err != nil {
			t.Fatal(err)
		}
		var last net.Conn
		e := env()
		e.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, network, address)
			last = c
			return c, err
		}
		sys, err := sftp.New().Open(t.Context(), settings, e)
		if err != nil {
			return err
		}
		defer func() { _ = sys.Close() }()
		read := func() error {
			got, err := sys.(connector.KeyReader).ReadKeys(t.Context(), "people.csv", []string{"name"}, []record.Key{"1"})
			if err == nil && (len(got) != 1 || got[0].Fields["name"] != "Ada") {
				t.Errorf("read %+v", got)
			}
			return err
		}
		if err := read(); err != nil {
			return err
		}
		_ = last.Close()
		if err := read(); err != nil && connector.Classify(err).Code != "sftp.broken" {
			t.Errorf("a broken connection: %v", err)
		}
		return read()
	}
	for name, want := range map[string]struct {
		more connector.Settings
		code string
	}{
		"by key":         {connector.Settings{"password": "", "privateKey": s.key}, ""},
		"by password":    {nil, ""},
		"wrong password": {connector.Settings{"password": "wrong"}, "sftp.sign_in"},
		"no secret":      {connector.Settings{"password": ""}, "sftp.sign_in"},
		"broken key":     {connector.Settings{"privateKey": "-----BEGIN"}, "sftp.private_key"},
		"unknown server": {connector.Settings{"hostKey": ""}, "sftp.host_key_unknown"},
		"another server": {connector.Settings{"hostKey": "SHA256:another"}, "sftp.host_key_different"},
	} {
		err := check(want.more)
		code := ""
		if err != nil {
			code = connector.Classify(err).Code
		}
		if code != want.code {
			t.Errorf("%s: %v", name, err)
		}
		if want.code == "sftp.host_key_unknown" && !strings.Contains(err.Error(), s.fingerprint) {
			t.Errorf("it does not say what the server shows: %v", err)
		}
	}
}

// A lock that somebody dead left does not stop writing for ever, and nothing of ours stays behind.
func TestNothingStays(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	if err := os.WriteFile(filepath.Join(s.dir, "people.csv"), []byte("id,name\n1,Ada\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	settings, err := sftp.New().Spec().Check(s.settings(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, ".people.csv.lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	sys, err := sftp.Impatient(50*time.Millisecond).Open(t.Context(), settings, env())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sys.Close() }()
	got, err := sys.(connector.Writer).Write(t.Context(), "people.csv", []connector.Write{{ID: record.NewEntityID(), Op: record.Upsert, Key: "1", Fields: record.Fields{"name": "Ada L."}}})
	if err != nil || got[0].Outcome != connector.Applied {
		t.Fatalf("%+v, %v", got, err)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "people.csv" && e.Name() != ".syncline" {
			t.Errorf("%s stays", e.Name())
		}
	}
	if fi, err := os.Stat(filepath.Join(s.dir, "people.csv")); err != nil || fi.Mode().Perm() != 0o640 {
		t.Errorf("the file's rights: %v, %v", fi.Mode(), err)
	}
}
