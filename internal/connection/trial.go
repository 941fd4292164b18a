// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
)

// Bounds on a trial.
const (
	trialTimeout = 25 * time.Second
	trialObjects = 12
	trialRecords = 5
)

// Trial is what a connector was found to do with settings; nothing was written and nothing is kept.
type Trial struct {
	Spec          connector.Spec
	Reached       bool // the system answered
	Authenticated bool // it takes the credentials
	Problem       error
	Objects       []TrialObject
}

// TrialObject is what an object was found to hold.
type TrialObject struct {
	Info    connector.ObjectInfo
	Records []record.Change // of the first page, at most 5
	More    bool
	Took    time.Duration
	Problem error             // why it could not be read
	Drafts  []connector.Draft // what writes would send
	NoDraft error             // why that cannot be said
}

// OK says whether everything worked that was tried.
func (t Trial) OK() bool {
	return t.Problem == nil && t.Authenticated && !slices.ContainsFunc(t.Objects, func(o TrialObject) bool { return o.Problem != nil || o.NoDraft != nil })
}

// TryConnector tries a manifest that need not be kept yet: whether the system is reached and takes the credentials, the first
// records of each object, and what writes would send. It reads through the guard and writes nothing. The error is for what is
// wrong with manifest or settings; what the system says is in the trial.
func (m *Manager) TryConnector(ctx context.Context, who auth.Principal, source []byte, settings connector.Settings) (Trial, error) {
	if err := who.May(auth.EditConnections); err != nil {
		return Trial{}, err
	}
	found, err := m.catalog.Check(who, source)
	if err != nil {
		return Trial{}, err
	}
	return m.tryAll(ctx, who, found, settings)
}

// TryType is TryConnector for a connector that there is, by type.
func (m *Manager) TryType(ctx context.Context, who auth.Principal, typ string, settings connector.Settings) (Trial, error) {
	if err := who.May(auth.EditConnections); err != nil {
		return Trial{}, err
	}
	found, err := m.catalog.Get(ctx, who.Tenant, typ)
	if err != nil {
		return Trial{}, err
	}
	return m.tryAll(ctx, who, found, settings)
}

func (m *Manager) tryAll(ctx context.Context, who auth.Principal, found connector.Connector, settings connector.Settings) (Trial, error) {
	spec, checked, err := check(found, settings)
	if err != nil {
		return Trial{}, err
	}
	shown, secret := apart(spec, checked)
	t := Trial{Spec: spec}
	ctx, cancel := context.WithTimeout(ctx, trialTimeout)
	defer cancel()
	system, _, err := m.open(ctx, who.Tenant, Connection{Connector: spec.Type, Settings: shown}, found, secret, connector.Env{Consumer: "con_test"})
	if err == nil {
		defer func() { _ = system.Close() }() // nothing was written through it
		err = system.Check(ctx)
	}
	if f := fault.As(err); f != nil {
		return Trial{}, err // a secret that is named is not there
	}
	t.Problem = err
	t.Reached, t.Authenticated = reached(err)
	if err != nil {
		return t, nil
	}
	d, ok := system.(connector.Discoverer)
	if !ok {
		return t, nil
	}
	names, err := d.Objects(ctx)
	if err != nil {
		t.Problem = err
		return t, nil
	}
	for _, name := range names[:min(len(names), trialObjects)] {
		t.Objects = append(t.Objects, tryObject(ctx, system, d, name))
	}
	return t, nil
}

// reached says from a check's error how far it came.
func reached(err error) (reached, authenticated bool) {
	if err == nil {
		return true, true
	}
	c := connector.Classify(err)
	switch c.Code {
	case "connection.unreachable", "connection.host_unknown", "connection.address_refused", "connection.address_malformed", "connection.timeout", "http.unreachable", "http.certificate", "http.address",
		"connection.credentials_missing", "connection.setting_malformed", "connection.key_unreadable", "manifest.request", "http.paused", "http.budget", "connector.unclassified":
		return false, false
	}
	return true, c.Class != connector.Reconnect
}

func tryObject(ctx context.Context, system connector.System, d connector.Discoverer, name record.Object) (o TrialObject) {
	began := time.Now()
	defer func() { o.Took = time.Since(began) }()
	o.Info.Name = name
	infos, err := d.Describe(ctx, name)
	if err != nil || len(infos) == 0 {
		o.Problem = err
		return o
	}
	o.Info = infos[0]
	if r, ok := system.(connector.Reader); ok {
		page, err := r.Read(ctx, connector.ReadRequest{Object: name, Limit: trialRecords})
		if err != nil {
			o.Problem = err
			return o
		}
		o.Records, o.More = page.Changes[:min(len(page.Changes), trialRecords)], page.More && page.Phase == connector.Snapshot || len(page.Changes) > trialRecords
	}
	w, ok := system.(connector.Drafter)
	if !ok {
		return o
	}
	key, fields := record.Key(""), sample(o.Info)
	if i := slices.IndexFunc(o.Records, func(c record.Change) bool { return c.Op != record.Delete }); i >= 0 {
		key = o.Records[i].Key
		maps.Copy(fields, o.Records[i].Fields)
	}
	o.Drafts, o.NoDraft = w.Draft(ctx, name, key, fields)
	return o
}

// sample is a value for each field that can be written.
func sample(info connector.ObjectInfo) record.Fields {
	out := record.Fields{}
	for _, f := range info.Fields {
		switch {
		case f.ReadOnly || f.Generated:
		case len(f.Enum) > 0:
			out[f.Name] = f.Enum[0]
		case f.Type == connector.TypeText:
			out[f.Name] = "example"
		}
	}
	return out
}
