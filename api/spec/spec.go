// SPDX-License-Identifier: Apache-2.0

// Package spec is generated from openapi.yaml: the types of the API, its router and the strict server that api implements.
package spec

//go:generate oapi-codegen -config oapi-codegen.yaml ../../openapi.yaml
