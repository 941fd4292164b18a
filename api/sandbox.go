// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/connection"
)

func (s *server) GetSandbox(ctx context.Context, req spec.GetSandboxRequestObject) (spec.GetSandboxResponseObject, error) {
	_, account, err := s.Connections.LookIntoSandbox(ctx, who(ctx), req.Connection)
	if err != nil {
		return nil, err
	}
	out := spec.GetSandbox200JSONResponse{Tables: make([]spec.SandboxTable, len(account.Tables)), Faults: make([]spec.SandboxFault, len(account.Faults))}
	for i, t := range account.Tables {
		table := spec.SandboxTable{Name: t.Name, Title: t.Title, Total: t.Total, Records: make([]spec.SandboxRecord, len(t.Rows))}
		for j, r := range t.Rows {
			table.Records[j] = spec.SandboxRecord{Key: r.Key, Fields: make(map[string]string, len(r.Values))}
			for k, v := range r.Values {
				table.Records[j].Fields[t.Columns[k]] = v
			}
		}
		out.Tables[i] = table
	}
	for i, f := range account.Faults {
		out.Faults[i] = spec.SandboxFault{Kind: spec.SandboxTrouble(f.Kind), Share: &f.Share, Times: &f.Times, Seconds: &f.Seconds}
	}
	return out, nil
}

func (s *server) EditSandbox(ctx context.Context, req spec.EditSandboxRequestObject) (spec.EditSandboxResponseObject, error) {
	e := connection.SandboxEdit{Table: req.Body.Table, Key: word(req.Body.Key)}
	if req.Body.Fields != nil {
		e.Fields = *req.Body.Fields
	}
	if err := s.Connections.EditSandbox(ctx, who(ctx), req.Connection, e); err != nil {
		return nil, err
	}
	return spec.EditSandbox204Response{}, nil
}

func (s *server) ResetSandbox(ctx context.Context, req spec.ResetSandboxRequestObject) (spec.ResetSandboxResponseObject, error) {
	if err := s.Connections.ResetSandbox(ctx, who(ctx), req.Connection); err != nil {
		return nil, err
	}
	return spec.ResetSandbox204Response{}, nil
}

func (s *server) SetSandboxFaults(ctx context.Context, req spec.SetSandboxFaultsRequestObject) (spec.SetSandboxFaultsResponseObject, error) {
	faults := make([]connection.SandboxFault, len(req.Body.Faults))
	for i, f := range req.Body.Faults {
		faults[i] = connection.SandboxFault{Kind: connection.SandboxTrouble(f.Kind), Share: given(f.Share), Times: given(f.Times), Seconds: given(f.Seconds)}
	}
	if err := s.Connections.PlantSandboxFaults(ctx, who(ctx), req.Connection, faults); err != nil {
		return nil, err
	}
	return spec.SetSandboxFaults204Response{}, nil
}
