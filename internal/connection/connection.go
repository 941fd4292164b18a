// SPDX-License-Identifier: Apache-2.0

// Package connection is a tenant's link to one outside system: its settings, its sealed credentials, its health, and
// opening it behind the guard against addresses that are not the tenant's to reach.
package connection

import (
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/ident"
)

// ID names a connection.
type ID uuid.UUID

// String returns the bare uuid.
func (id ID) String() string { return uuid.UUID(id).String() }

// Public returns the id as people and programs see it: "con_...".
func (id ID) Public() string { return ident.Format(ident.Connection, id) }

// State is a connection's health.
type State string

// The states of a connection.
const (
	Unchecked State = "unchecked" // not tried since it was made or changed
	Healthy   State = "healthy"   // it answered, and allows what sync needs
	Degraded  State = "degraded"  // it does not answer at the moment; it is tried again
	Expired   State = "expired"   // credentials or address are wrong: a person must mend it
	Revoked   State = "revoked"   // the other side withdrew the permission
)

// Connection is a tenant's link to one system.
type Connection struct {
	ID        ID
	Name      string // unique in the tenant; "<service>/<system>" for one whose settings stand in a document
	Connector string // a connector's type
	// Settings as they were given, without those that are secret: ${NAME} stands here as text, and a secret setting that
	// is nothing but ${NAME} does too.
	Settings connector.Settings
	// Secrets names the secret settings that are kept sealed; their values are never shown again.
	Secrets   []string
	Owner     *uuid.UUID // the service whose document holds the settings; nil for one made by itself
	State     State
	Reason    string     // why it is not healthy, for people
	CheckedAt *time.Time // when State was found out
	CreatedAt time.Time
	UpdatedAt time.Time
	Version   int64

	// Sealed are the secret settings, sealed as JSON. The store keeps them; nobody else looks.
	Sealed []byte `json:"-"`
}

// Health returns what an attempt to use the connection says of it: err is what a connector returned, nil for success.
func Health(err error) (state State, reason string) {
	if err == nil {
		return Healthy, ""
	}
	if f := fault.As(err); f != nil { // found before the system was even asked: a secret that does not exist
		return Expired, f.Message
	}
	classified := connector.Classify(err)
	switch classified.Class {
	case connector.Reconnect, connector.Reject, connector.Missing, connector.Drift:
		return Expired, classified.Message
	}
	return Degraded, classified.Message
}

// namePattern is what connections made by themselves can be called. A slash is for those of documents.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}$`)

// wholeReference is a setting that is nothing but a reference to a secret. Such a one is no secret itself.
var wholeReference = regexp.MustCompile(`^\$\{[A-Za-z_][A-Za-z0-9_]{0,99}\}$`)

// anyReference is text with a reference somewhere; what it stands for is only known at use.
var anyReference = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]{0,99}\}`)

func checkName(name string) error {
	if namePattern.MatchString(name) && !ident.Is(ident.Connection, name) {
		return nil
	}
	return fault.New(fault.Invalid, "connection.name_malformed",
		"A connection's name begins with a letter or digit and has at most 100 letters, digits, spaces, dots, underscores and hyphens, like warehouse-db.").
		At(fault.Field{Pointer: "/name", Code: "connection.name_malformed", Message: "This cannot be the name of a connection.", Remedy: "Write it like warehouse-db."})
}

// checkSettings checks settings against the connector's declaration, references counted as right, and returns them as they
// are to be stored: without what is absent, defaults left out so that a later default counts.
func checkSettings(spec connector.Spec, in connector.Settings) (connector.Settings, error) {
	tried := make(connector.Settings, len(in))
	for name, value := range in {
		tried[name] = value
		if s, ok := spec.Setting(name); ok && anyReference.MatchString(value) {
			tried[name] = standIn(s)
		}
	}
	if _, err := spec.Check(tried); err != nil {
		return nil, err
	}
	out := make(connector.Settings, len(in))
	for name, value := range in {
		if value != "" {
			out[name] = value
		}
	}
	return out, nil
}

// standIn is a value that the setting certainly accepts, in place of one that is not known yet.
func standIn(s connector.Setting) string {
	switch s.Kind {
	case connector.Integer:
		return strconv.Itoa(max(1, s.Min))
	case connector.Boolean:
		return "true"
	case connector.Choice:
		if len(s.Choices) > 0 {
			return s.Choices[0]
		}
	}
	return "x"
}

// apart separates what is to be sealed from what can be shown.
func apart(spec connector.Spec, settings connector.Settings) (shown, secret connector.Settings) {
	shown, secret = connector.Settings{}, connector.Settings{}
	for name, value := range settings {
		if s, _ := spec.Setting(name); s.Secret && !wholeReference.MatchString(value) {
			secret[name] = value
		} else {
			shown[name] = value
		}
	}
	return shown, secret
}

func sortedNames(settings connector.Settings) []string {
	names := make([]string, 0, len(settings))
	for name := range settings {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func version(c Connection, ifMatch *int64) error {
	if ifMatch == nil || *ifMatch == c.Version {
		return nil
	}
	return fault.New(fault.Stale, "connection.version_stale", "Somebody changed the connection %s meanwhile. Read it again and repeat your change.", c.Name)
}
