// SPDX-License-Identifier: Apache-2.0

package service

import _ "embed"

//go:embed schema.json
var schemaFile []byte

// Schema returns the JSON Schema (2020-12) of the service document, for editors. It accepts what Parse accepts; what only
// Validate can know is not in it. The file is made from the shapes by `go generate ./internal/service`.
func Schema() []byte { return schemaFile }

//go:generate go test -run ^TestGeneratedFiles$ . -update

// SchemaID is the address under which editors know the schema.
const SchemaID = "https://syncline.dev/schemas/service-v1.json"
