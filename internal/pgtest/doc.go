// Package pgtest gives tests a real PostgreSQL 18.
//
// A package that needs one has this in its tests:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
// and then asks for databases, which are its own and vanish with the test:
//
//	url := pgtest.Database(t)
//
// All packages of one `go test` share one server, which the first of them starts and which stops
// when the last has ended, however it ended; see package devpg. A test that must restart, break or
// configure a server takes Private.
package pgtest
