// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector/airtable"
	"github.com/syncline-dev/syncline/internal/connector/dropbox"
	"github.com/syncline-dev/syncline/internal/connector/dynamodb"
	"github.com/syncline-dev/syncline/internal/connector/excel"
	"github.com/syncline-dev/syncline/internal/connector/gcs"
	"github.com/syncline-dev/syncline/internal/connector/gdrive"
	"github.com/syncline-dev/syncline/internal/connector/googlesheets"
	"github.com/syncline-dev/syncline/internal/connector/hubspot"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/salesforce"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/sqs"
	"github.com/syncline-dev/syncline/internal/connector/zendesk"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// maxSandbox bounds what a simulated account may hold.
const maxSandbox = 4 << 20

// mostShown is how many records of a simulated account are shown.
const mostShown = 200

// sandboxTx is what simulated accounts need of a transaction.
type sandboxTx interface {
	LockSandbox(ctx context.Context, connection uuid.UUID) ([]byte, error)
	SaveSandbox(ctx context.Context, connection uuid.UUID, vendor string, state []byte) error
	ClearSandbox(ctx context.Context, connection uuid.UUID) error
}

// sandboxes are the simulated accounts of connections. Their state is in the database, so all processes see one account; a call
// locks it for as long as the simulator takes to answer.
type sandboxes struct {
	inTx    func(context.Context, tenant.ID, func(sandboxTx) error) error
	vendors map[string]sandbox.Vendor
}

var _ connection.Sandboxes = (*sandboxes)(nil)

func newSandboxes(inTx func(context.Context, tenant.ID, func(sandboxTx) error) error) *sandboxes {
	s := &sandboxes{inTx: inTx, vendors: map[string]sandbox.Vendor{}}
	for _, v := range []sandbox.Vendor{&salesforce.Simulator{}, &hubspot.Simulator{}, &zendesk.Simulator{ExportRate: 120}, &sqs.Simulator{}, &googlesheets.Simulator{},
		&excel.Simulator{}, &airtable.Simulator{}, &gcs.Simulator{}, &dropbox.Simulator{}, &gdrive.Simulator{}, &dynamodb.Simulator{}} {
		s.vendors[v.Type()] = v
	}
	return s
}

// with runs f on the account and keeps what it made of it.
func (s *sandboxes) with(ctx context.Context, id tenant.ID, c connection.ID, typ string, f func(*sandbox.Server) error) error {
	v := s.vendors[typ]
	return s.inTx(ctx, id, func(tx sandboxTx) error {
		state, err := tx.LockSandbox(ctx, uuid.UUID(c))
		if err != nil {
			return err
		}
		h := fnv.New64a()
		_, _ = h.Write(c[:])
		world := sandbox.NewWorld(nil, h.Sum64())
		if state != nil {
			if world, err = sandbox.LoadWorld(state, nil, h.Sum64()); err != nil {
				return err
			}
		}
		server := sandbox.NewServer(v, world, state == nil)
		if err := f(server); err != nil {
			return err
		}
		next, err := world.Save()
		switch {
		case err != nil:
			return err
		case len(next) > maxSandbox:
			return fault.New(fault.Conflict, "connection.sandbox_full", "The sandbox is full: it holds at most %d MB. Reset it, or delete records.", maxSandbox>>20)
		case state != nil && string(next) == string(state):
			return nil
		}
		return tx.SaveSandbox(ctx, uuid.UUID(c), typ, next)
	})
}

func (s *sandboxes) Through(id tenant.ID, c connection.ID, typ string) http.RoundTripper {
	if s.vendors[typ] == nil {
		return nil
	}
	if c == (connection.ID{}) { // settings that are only tried
		return sandbox.NewServer(s.vendors[typ], sandbox.NewWorld(nil, 1), true)
	}
	return manifest.RoundTrip(func(r *http.Request) (*http.Response, error) {
		var res *http.Response
		var broken error
		var slow time.Duration
		err := s.with(r.Context(), id, c, typ, func(server *sandbox.Server) error {
			server.Sleep = func(_ context.Context, d time.Duration) { slow += d } // not while the account is locked
			// What breaks before its answer was carried out all the same.
			res, broken = server.RoundTrip(r) //nolint:bodyclose // the caller closes it
			return nil
		})
		if err == nil && slow > 0 {
			rest := time.NewTimer(slow)
			defer rest.Stop()
			select {
			case <-rest.C:
			case <-r.Context().Done():
				err = r.Context().Err()
			}
		}
		if err = errors.Join(err, broken); err != nil {
			return nil, err
		}
		return res, nil
	})
}

func (s *sandboxes) Look(ctx context.Context, id tenant.ID, c connection.ID, typ string) (out connection.Sandbox, err error) {
	err = s.with(ctx, id, c, typ, func(server *sandbox.Server) error {
		server.Do(ctx, func(x *sandbox.Exchange) {
			for _, info := range server.Vendor().Tables() {
				t := connection.SandboxTable{Name: info.Name, Title: info.Title, Columns: info.Columns, Total: x.W.Live(info.Name)}
				rows := x.W.Sorted(info.Name)
				slices.Reverse(rows) // the newest first
				for _, r := range rows {
					if !r.Live() || len(t.Rows) == mostShown {
						continue
					}
					row := connection.SandboxRow{Key: r.ID}
					for _, column := range info.Columns {
						row.Values = append(row.Values, sandbox.Text(sandbox.At(r.Fields, strings.Split(column, ".")...)))
					}
					t.Rows = append(t.Rows, row)
				}
				out.Tables = append(out.Tables, t)
			}
			for _, f := range x.W.Faults {
				out.Faults = append(out.Faults, shownFault(f))
			}
		})
		return nil
	})
	return out, err
}

func (s *sandboxes) Edit(ctx context.Context, id tenant.ID, c connection.ID, typ string, e connection.SandboxEdit) error {
	return s.with(ctx, id, c, typ, func(server *sandbox.Server) error {
		tables := server.Vendor().Tables()
		i := slices.IndexFunc(tables, func(t sandbox.TableInfo) bool { return t.Name == e.Table })
		if i < 0 {
			return fault.New(fault.NotFound, "connection.sandbox_unknown", "There is no %q in this sandbox.", e.Table)
		}
		var set map[string]any
		if e.Fields != nil {
			set = make(map[string]any, len(e.Fields))
			for name, value := range e.Fields {
				if !slices.Contains(tables[i].Columns, name) {
					return fault.New(fault.Invalid, "connection.sandbox_unknown", "There is no field %q in this sandbox.", name)
				}
				switch value {
				case "":
					set[name] = nil
				case "true", "false":
					set[name] = value == "true"
				default:
					set[name] = value
				}
			}
		}
		if e.Key != "" {
			there := false
			server.Do(ctx, func(x *sandbox.Exchange) { there = x.W.Get(e.Table, e.Key) != nil })
			if !there {
				return fault.New(fault.NotFound, "connection.sandbox_unknown", "There is no record %q in this sandbox any more.", e.Key)
			}
		}
		if server.Edit(ctx, e.Table, e.Key, set) == "" {
			return fmt.Errorf("the sandbox made no record")
		}
		return nil
	})
}

func (s *sandboxes) Plant(ctx context.Context, id tenant.ID, c connection.ID, typ string, faults []connection.SandboxFault) error {
	return s.with(ctx, id, c, typ, func(server *sandbox.Server) error {
		server.Heal()
		for _, f := range faults {
			server.Plant(plantedFault(f))
		}
		return nil
	})
}

// plantedFault says to the simulator what shall happen.
func plantedFault(f connection.SandboxFault) sandbox.Fault {
	wait := time.Duration(f.Seconds) * time.Second
	if wait == 0 {
		wait = 2 * time.Second
	}
	var out sandbox.Fault
	switch f.Kind {
	case connection.SandboxRateLimit:
		out = sandbox.TooMany(f.Times)
		out.Header["Retry-After"] = strconv.Itoa(int(wait / time.Second))
	case connection.SandboxUnavailable:
		out = sandbox.Broken(f.Times)
	case connection.SandboxSlow:
		out = sandbox.Slow(f.Times, wait)
	case connection.SandboxLostAnswer:
		out = sandbox.Fault{Applied: true, Drop: true}
	case connection.SandboxTokensEnd:
		out = sandbox.Fault{Expire: true}
	case connection.SandboxHooksLost:
		out = sandbox.Fault{Lost: true}
	case connection.SandboxHooksDoubled:
		out = sandbox.Fault{Double: true}
	}
	out.Name, out.Times, out.Chance = string(f.Kind), f.Times, float64(f.Share%100)/100
	return out
}

// shownFault is what waits, as it was planted; its times are those that are left.
func shownFault(f sandbox.Fault) connection.SandboxFault {
	out := connection.SandboxFault{Kind: connection.SandboxTrouble(f.Name), Share: int(math.Round(f.Chance * 100)), Times: f.Times, Seconds: int(f.Delay / time.Second)}
	if after := f.Header["Retry-After"]; after != "" {
		out.Seconds, _ = strconv.Atoi(after)
	}
	return out
}

func (s *sandboxes) Reset(ctx context.Context, id tenant.ID, c connection.ID, _ string) error {
	return s.inTx(ctx, id, func(tx sandboxTx) error { return tx.ClearSandbox(ctx, uuid.UUID(c)) })
}
