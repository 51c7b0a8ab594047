// Package pg is the one way to the server: connections, SQLSTATEs, quoting, lock timeouts with
// retry, and advisory locks. Nothing else in pgtender builds a connection or quotes a name.
package pg
