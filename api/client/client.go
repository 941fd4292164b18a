// SPDX-License-Identifier: Apache-2.0

// Package client is the API for Go programs, generated from openapi.yaml.
package client

//go:generate oapi-codegen -config oapi-codegen.yaml ../../openapi.yaml
