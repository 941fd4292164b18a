// SPDX-License-Identifier: Apache-2.0

// Package sftp is the connector of folders on servers that speak SFTP.
package sftp

import (
	"context"
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/filestore"
)

// Connector is the connector type sftp.
type Connector struct{ abandoned time.Duration }

// New returns the connector.
func New() Connector { return Connector{abandoned: time.Minute} }

// Spec declares the connector.
func (Connector) Spec() connector.Spec {
	return connector.Spec{
		Type:    "sftp",
		Aliases: []string{"ssh-files"},
		Title:   "SFTP",
		Summary: "Tables in files of a folder on an SFTP server: CSV, JSON, JSON Lines, XML, XLSX and Parquet.",
		Class:   "standard",
		Settings: append([]connector.Setting{
			{Name: "host", Title: "Host", Kind: connector.Text, Required: true, Doc: "Name or address of the server."},
			{Name: "port", Title: "Port", Kind: connector.Integer, Default: "22", Doc: "Port that the server listens on."},
			{Name: "user", Title: "User", Kind: connector.Text, Required: true, Doc: "User to sign in as."},
			{Name: "password", Title: "Password", Kind: connector.Text, Secret: true, Doc: "The user's password, where there is no key."},
			{Name: "privateKey", Title: "Private key", Kind: connector.Text, Secret: true, Lines: 6, Doc: "The private key that belongs to a public key that the server knows, as ssh-keygen writes it."},
			{Name: "passphrase", Title: "Passphrase", Kind: connector.Text, Secret: true, Doc: "What the private key is locked with."},
			{Name: "hostKey", Title: "Key of the server", Kind: connector.Text, Doc: "The fingerprint of the server's key, SHA256:..., as ssh-keygen -lf shows it. A test of the connection without it says what the server shows."},
			{Name: "folder", Title: "Folder", Kind: connector.Text, Default: ".", Doc: "The folder; one that begins without a slash is below the user's own. Only what is below it is used."},
			{Name: "settleSeconds", Title: "Leave alone for", Kind: connector.Integer, Default: "5",
				Doc: "Seconds that a file must not have changed before it is read, so that one that is being uploaded is not read in the middle."},
		}, filestore.Settings()...),
		Detections: []string{filestore.ByHash},
		Deletes:    filestore.Deletes,
		Guarantee:  filestore.Guarantee + ". SFTP knows no conditions: an upload of somebody else in the moment between the last look and the replacing is overwritten",
	}
}

// Open prepares a system; nothing is dialled before it is used.
func (c Connector) Open(_ context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	options, err := filestore.ReadOptions(settings)
	if err != nil {
		return nil, err
	}
	if n, err := strconv.Atoi(settings["settleSeconds"]); err == nil && n > 0 {
		options.Settle = time.Duration(n) * time.Second
	}
	config, err := configure(settings)
	if err != nil {
		return nil, err
	}
	return filestore.New(&store{dial: env.Dial, address: net.JoinHostPort(settings["host"], settings["port"]), folder: path.Clean(settings["folder"]), config: config, abandoned: c.abandoned, seen: map[string]seen{}}, "the folder", options, env)
}

// configure makes what signing in takes.
func configure(settings connector.Settings) (*ssh.ClientConfig, error) {
	c := &ssh.ClientConfig{User: settings["user"], Timeout: dialTimeout, HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
		shown, known := ssh.FingerprintSHA256(key), strings.TrimSpace(settings["hostKey"])
		switch {
		case known == "":
			return &connector.Error{Class: connector.Reconnect, Code: "sftp.host_key_unknown", Message: fmt.Sprintf("The server shows the key %s. When its operator confirms it, put it into the setting hostKey.", shown)}
		case known != shown:
			return &connector.Error{Class: connector.Reconnect, Code: "sftp.host_key_different", Message: fmt.Sprintf("The server shows the key %s, and not the one of the setting hostKey. Ask its operator before you trust it.", shown)}
		}
		return nil
	}}
	if text := settings["privateKey"]; text != "" {
		var signer ssh.Signer
		var err error
		if settings["passphrase"] != "" {
			signer, err = ssh.ParsePrivateKeyWithPassphrase([]byte(text), []byte(settings["passphrase"]))
		} else {
			signer, err = ssh.ParsePrivateKey([]byte(text))
		}
		if err != nil {
			return nil, &connector.Error{Class: connector.Reconnect, Code: "sftp.private_key", Message: "The private key cannot be read. Give the whole text of the key file, and its passphrase where it has one."}
		}
		c.Auth = append(c.Auth, ssh.PublicKeys(signer))
	}
	if p := settings["password"]; p != "" {
		c.Auth = append(c.Auth, ssh.Password(p), ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i := range answers {
				answers[i] = p
			}
			return answers, nil
		}))
	}
	return c, nil
}
