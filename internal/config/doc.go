// Package config reads atlas.hcl into typed, validated values.
//
// The language is the one of the atlas CLI: its functions, its variables and locals, its env blocks.
// The reading is stricter: a block, attribute or value that is not in the reference (reference.go) is
// an error with its place and the nearest known name, and all errors of a file come at once. What the
// atlas CLI knows and pgtender has no use for is listed in Env.Ignored when passing over it does no
// harm, and refused by name when it does.
//
// Nothing here talks to a database: whether a table exists is for others to find out.
package config
