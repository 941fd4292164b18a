// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Sandboxes are the simulated accounts of connections.
type Sandboxes interface {
	// Through carries calls to the connection's account; nil when there is no simulator of that connector.
	Through(id tenant.ID, c ID, connector string) http.RoundTripper
	// Look shows what the account holds, and the faults that wait for its next calls.
	Look(ctx context.Context, id tenant.ID, c ID, connector string) (Sandbox, error)
	// Edit changes a record as a person would in the vendor's own screens: a new one without a key, a deletion without fields.
	Edit(ctx context.Context, id tenant.ID, c ID, connector string, e SandboxEdit) error
	// Plant replaces the faults that the account's next calls meet.
	Plant(ctx context.Context, id tenant.ID, c ID, connector string, faults []SandboxFault) error
	// Reset makes the account as new.
	Reset(ctx context.Context, id tenant.ID, c ID, connector string) error
}

// Sandbox is a simulated account.
type Sandbox struct {
	Tables []SandboxTable
	Faults []SandboxFault
}

// SandboxTable is a set of records at a simulated vendor.
type SandboxTable struct {
	Name    string // as edits name it
	Title   string
	Columns []string
	Rows    []SandboxRow
	Total   int
}

// SandboxRow is one of them.
type SandboxRow struct {
	Key    string
	Values []string // of the columns
}

// SandboxEdit is a change of a record.
type SandboxEdit struct {
	Table  string
	Key    string            // "": a new record
	Fields map[string]string // nil: delete it
}

// SandboxTrouble is a kind of trouble that a simulated vendor makes when it is asked to.
type SandboxTrouble string

const (
	SandboxRateLimit    SandboxTrouble = "rate-limit"    // 429, with the time to wait
	SandboxUnavailable  SandboxTrouble = "unavailable"   // 502
	SandboxSlow         SandboxTrouble = "slow"          // the answer takes its time
	SandboxLostAnswer   SandboxTrouble = "lost-answer"   // the call is carried out, and the connection breaks before its answer
	SandboxTokensEnd    SandboxTrouble = "tokens-end"    // access tokens end before the call
	SandboxHooksLost    SandboxTrouble = "hooks-lost"    // a webhook message is not sent
	SandboxHooksDoubled SandboxTrouble = "hooks-doubled" // it is sent twice
)

// SandboxTroubles are all kinds.
var SandboxTroubles = []SandboxTrouble{SandboxRateLimit, SandboxUnavailable, SandboxSlow, SandboxLostAnswer, SandboxTokensEnd, SandboxHooksLost, SandboxHooksDoubled}

// Bounds of faults: a call that takes longer would be given up, and more kinds at once than there are say nothing.
const (
	mostSandboxFaults  = 20
	mostSandboxSeconds = 20
	mostSandboxTimes   = 10_000
)

// SandboxFault is trouble that calls to a simulated account meet.
type SandboxFault struct {
	Kind    SandboxTrouble
	Share   int // per cent of the calls that meet it, 1 to 100; 0 is all
	Times   int // how many calls meet it until it is over; 0 is without end
	Seconds int // how long a slow answer takes, or what a rate limit says to wait; 0 is 2
}

func (f SandboxFault) check(i int) error {
	at := fmt.Sprintf("faults[%d]", i)
	switch {
	case !slices.Contains(SandboxTroubles, f.Kind):
		return fault.New(fault.Invalid, "connection.sandbox_fault", "%s.kind: %q is none of the kinds of trouble that a sandbox makes: %s.", at, f.Kind, list(SandboxTroubles))
	case f.Share < 0 || f.Share > 100:
		return fault.New(fault.Invalid, "connection.sandbox_fault", "%s.share: %d is no share of calls. Give 1 to 100 per cent; 0 or nothing means all.", at, f.Share)
	case f.Times < 0 || f.Times > mostSandboxTimes:
		return fault.New(fault.Invalid, "connection.sandbox_fault", "%s.times: %d is too many or too few. Give 1 to %d calls; 0 or nothing means without end.", at, f.Times, mostSandboxTimes)
	case f.Seconds < 0 || f.Seconds > mostSandboxSeconds:
		return fault.New(fault.Invalid, "connection.sandbox_fault", "%s.seconds: %d is too long or too short. Give 1 to %d; 0 or nothing means 2.", at, f.Seconds, mostSandboxSeconds)
	}
	return nil
}

func list[S ~string](words []S) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = string(w)
	}
	return strings.Join(out, ", ")
}

// WithSandboxes lets connections use simulators.
func (m *Manager) WithSandboxes(s Sandboxes) *Manager {
	m.sandboxes = s
	return m
}

// sandboxed is a connector that knows from its settings whether a connection belongs to the sandbox.
type sandboxed interface {
	Sandboxed(settings map[string]string) bool
}

// Sandboxed says whether the connection speaks to a simulator.
func (m *Manager) Sandboxed(ctx context.Context, who auth.Principal, ref string) (bool, error) {
	if err := who.May(auth.ViewConnections); err != nil {
		return false, err
	}
	_, yes, err := m.sandbox(ctx, who.Tenant, ref)
	return yes, err
}

// sandbox finds the connection and whether it speaks to a simulator.
func (m *Manager) sandbox(ctx context.Context, id tenant.ID, ref string) (c Connection, yes bool, err error) {
	var sealed map[string]string
	var found connector.Connector
	err = m.inTx(ctx, id, func(tx Tx) (err error) {
		if c, err = tx.Connection(ctx, ref); err != nil {
			return err
		}
		found, err = m.catalog.Find(ctx, tx, c.Connector)
		if fault.IsCode(err, "connector.unknown") || fault.IsCode(err, "connector.outdated") {
			return nil // a connector that is not here has no sandbox
		}
		if err != nil || c.Sealed == nil {
			return err
		}
		key, err := tx.TenantKey(ctx)
		if err != nil {
			return err
		}
		sealed, err = m.unseal(key, id, c)
		return err
	})
	if err != nil || m.sandboxes == nil || m.sandboxes.Through(id, c.ID, c.Connector) == nil {
		return c, false, err
	}
	s, ok := found.(sandboxed)
	if !ok {
		return c, false, nil
	}
	settings, err := m.resolve(ctx, id, c, sealed)
	if err != nil {
		return c, false, nil //nolint:nilerr // a secret is missing: the connection says so itself
	}
	return c, s.Sandboxed(settings), nil
}

func (m *Manager) mustSandbox(ctx context.Context, id tenant.ID, ref string) (Connection, error) {
	c, yes, err := m.sandbox(ctx, id, ref)
	if err == nil && !yes {
		err = fault.New(fault.Conflict, "connection.not_sandboxed", "The connection %s does not speak to a sandbox. Set its environment to sandbox.", c.Name)
	}
	return c, err
}

// LookIntoSandbox shows the records of a simulated account, and the faults that were planted there.
func (m *Manager) LookIntoSandbox(ctx context.Context, who auth.Principal, ref string) (Connection, Sandbox, error) {
	if err := who.May(auth.ViewConnections); err != nil {
		return Connection{}, Sandbox{}, err
	}
	c, err := m.mustSandbox(ctx, who.Tenant, ref)
	if err != nil {
		return c, Sandbox{}, err
	}
	account, err := m.sandboxes.Look(ctx, who.Tenant, c.ID, c.Connector)
	return c, account, err
}

// EditSandbox changes a record there, as somebody at the vendor would.
func (m *Manager) EditSandbox(ctx context.Context, who auth.Principal, ref string, e SandboxEdit) error {
	what := map[string]any{"table": e.Table}
	switch {
	case e.Fields == nil && e.Key == "":
		return fault.New(fault.Invalid, "connection.sandbox_unknown", "Which record shall be deleted? Give its key.")
	case e.Fields == nil:
		what["deleted"] = e.Key
	case e.Key == "":
		what["made"] = true
	default:
		what["changed"] = e.Key
	}
	return m.inSandbox(ctx, who, ref, "connection.sandbox_edited", what, func(c Connection) error {
		return m.sandboxes.Edit(ctx, who.Tenant, c.ID, c.Connector, e)
	})
}

// PlantSandboxFaults replaces the faults that the account's next calls meet; none heals it.
func (m *Manager) PlantSandboxFaults(ctx context.Context, who auth.Principal, ref string, faults []SandboxFault) error {
	if len(faults) > mostSandboxFaults {
		return fault.New(fault.Invalid, "connection.sandbox_fault", "There are %d faults; at most %d can wait at once.", len(faults), mostSandboxFaults)
	}
	kinds := make([]SandboxTrouble, len(faults))
	for i, f := range faults {
		if err := f.check(i); err != nil {
			return err
		}
		kinds[i] = f.Kind
	}
	return m.inSandbox(ctx, who, ref, "connection.sandbox_faults", map[string]any{"faults": kinds}, func(c Connection) error {
		return m.sandboxes.Plant(ctx, who.Tenant, c.ID, c.Connector, faults)
	})
}

// ResetSandbox makes the account as new.
func (m *Manager) ResetSandbox(ctx context.Context, who auth.Principal, ref string) error {
	return m.inSandbox(ctx, who, ref, "connection.sandbox_reset", map[string]any{}, func(c Connection) error {
		return m.sandboxes.Reset(ctx, who.Tenant, c.ID, c.Connector)
	})
}

// inSandbox does something to a simulated account and notes who did.
func (m *Manager) inSandbox(ctx context.Context, who auth.Principal, ref, act string, details map[string]any, do func(Connection) error) error {
	if err := who.May(auth.EditConnections); err != nil {
		return err
	}
	c, err := m.mustSandbox(ctx, who.Tenant, ref)
	if err != nil {
		return err
	}
	if err := do(c); err != nil {
		return err
	}
	details["name"] = c.Name
	return m.inTx(ctx, who.Tenant, func(tx Tx) error { return tx.Audit(ctx, who.Did(act, c.ID.Public(), details)) })
}
