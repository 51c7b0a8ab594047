// Package pgtender holds what the binary ships beside its code: the declaration of the AI-model registry.
package pgtender

import _ "embed"

// AtlasHCL is the shipped atlas.hcl.
//
//go:embed atlas.hcl
var AtlasHCL []byte
