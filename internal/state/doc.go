// Package state owns the schema pgtender in the target database: the run ledger, what was archived,
// what is known of views and statistics, and the journals of settings and of applied plans. It makes
// the schema and brings it up to date; each table is read and written by the package whose work it records.
//
// A version of the schema is one file in ddl/, numbered from 1, applied in one transaction together
// with its row in pgtender.version, and never edited after a release.
package state
