// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/syncline-dev/syncline/billing/stripe"
	"github.com/syncline-dev/syncline/internal/vault"
)

// config is everything that the environment says, read once. docs/configuration.md lists it.
type config struct {
	DatabaseURL   string        `env:"DATABASE_URL"`
	MasterKey     string        `env:"SYNCLINE_MASTER_KEY"`
	MasterKeyFile string        `env:"SYNCLINE_MASTER_KEY_FILE"`
	Listen        string        `env:"SYNCLINE_LISTEN" envDefault:"127.0.0.1:8080"`
	PublicURL     string        `env:"SYNCLINE_PUBLIC_URL"`
	AllowNetworks []string      `env:"SYNCLINE_ALLOW_NETWORKS"` // private ranges, addresses and hosts that customers' systems may be in
	FilesDir      string        `env:"SYNCLINE_FILES_DIR"`      // where connections of type files have their folders; none without it
	SignUpClosed  bool          `env:"SYNCLINE_SIGN_UP_CLOSED"`
	Pools         []string      `env:"SYNCLINE_POOLS" envDefault:"default"`
	Region        string        `env:"SYNCLINE_REGION" envDefault:"default"`
	Slots         int           `env:"SYNCLINE_SLOTS" envDefault:"100"`
	LogLevel      string        `env:"SYNCLINE_LOG_LEVEL" envDefault:"info"`
	LogFormat     string        `env:"SYNCLINE_LOG_FORMAT" envDefault:"json"`
	Lease         time.Duration `env:"SYNCLINE_LEASE" envDefault:"10s"` // how long a lost worker keeps its services
	StopWithin    time.Duration `env:"SYNCLINE_STOP_WITHIN" envDefault:"20s"`
	InvoiceGrace  time.Duration `env:"SYNCLINE_INVOICE_GRACE" envDefault:"24h"` // how long after its end a month waits for late usage
	InvoiceIssuer string        `env:"SYNCLINE_INVOICE_ISSUER"`                 // who invoices are from: name and address, in lines
	StripeKey     string        `env:"SYNCLINE_STRIPE_KEY"`
	StripeKeyFile string        `env:"SYNCLINE_STRIPE_KEY_FILE"`
	StripeSecret  string        `env:"SYNCLINE_STRIPE_WEBHOOK_SECRET"`
	StripeSecFile string        `env:"SYNCLINE_STRIPE_WEBHOOK_SECRET_FILE"`
	StripeURL     string        `env:"SYNCLINE_STRIPE_URL"` // another address than Stripe's own
	MaxConns      int32         `env:"SYNCLINE_MAX_CONNECTIONS" envDefault:"16"`
}

func readConfig() (config, error) {
	c, err := env.ParseAs[config]()
	if err != nil {
		return c, usageError{err}
	}
	return c, nil
}

// master reads the master keys from the file, else from the variable.
func (c config) master() (vault.Master, error) {
	text := c.MasterKey
	if c.MasterKeyFile != "" {
		b, err := os.ReadFile(c.MasterKeyFile)
		if err != nil {
			return vault.Master{}, fmt.Errorf("reading SYNCLINE_MASTER_KEY_FILE: %w", err)
		}
		text = string(b)
	}
	if strings.TrimSpace(text) == "" {
		return vault.Master{}, usageError{fmt.Errorf("no master key: set SYNCLINE_MASTER_KEY_FILE to a file with 32 bytes in base64 (make one with `openssl rand -base64 32`)")}
	}
	return vault.ParseMaster(text)
}

// stripe reads the keys for Stripe; nil when nobody collects.
func (c config) stripe() (*stripe.Options, error) {
	o := &stripe.Options{Key: c.StripeKey, WebhookSecret: c.StripeSecret, URL: c.StripeURL}
	for _, f := range []struct {
		name, path string
		to         *string
	}{{"SYNCLINE_STRIPE_KEY_FILE", c.StripeKeyFile, &o.Key}, {"SYNCLINE_STRIPE_WEBHOOK_SECRET_FILE", c.StripeSecFile, &o.WebhookSecret}} {
		if f.path == "" {
			continue
		}
		b, err := os.ReadFile(f.path)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", f.name, err)
		}
		*f.to = strings.TrimSpace(string(b))
	}
	if o.Key == "" {
		return nil, nil
	}
	return o, nil
}

func (c config) needDatabase() error {
	if c.DatabaseURL == "" {
		return usageError{fmt.Errorf("no database: set DATABASE_URL to the address of a PostgreSQL database, postgres://user:password@host/name (or run `syncline dev`, which brings its own)")}
	}
	return nil
}
