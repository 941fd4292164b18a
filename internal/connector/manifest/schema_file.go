// SPDX-License-Identifier: Apache-2.0

package manifest

import _ "embed"

//go:embed schema.json
var schemaFile []byte

// Schema returns the JSON Schema (2020-12) of a manifest, for editors. What only Parse can know is not in it. The file is made from
// the types by `go generate ./internal/connector/manifest`, as is the reference in docs/manifest-reference.md.
func Schema() []byte { return schemaFile }

//go:generate go test -run ^TestGeneratedFiles$ . -update

// SchemaID is the address under which editors know the schema.
const SchemaID = "https://syncline.dev/schemas/connector-v1.json"
