// Package registry holds the declared schema of the AI-model registry: its tables in Atlas HCL, its
// functions, triggers and views in SQL. docs/registry.md explains them.
package registry

import "embed"

// Files are the schema's sources, to be read like the folder file://schema/registry.
//
//go:embed *.hcl *.sql
var Files embed.FS
