// Package desired turns sources (.hcl and .sql files) into the Snapshot of the schema that they declare.
//
// PostgreSQL itself says what the sources mean: they are loaded into a scratch database, whose catalog is
// read, and nothing of it is left behind. HCL tables go by way of Atlas's plan from empty; SQL goes in statement by
// statement, tried again while others make progress, so the order of files and statements does not matter.
// Whatever Atlas or the snapshot would pass over in silence is refused, with file, line and column.
package desired
