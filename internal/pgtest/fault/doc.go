// Package fault puts faults between a program and its server, for tests.
//
// A Proxy stands before a server and sees each statement of each connection, in order. Rules say at which of them what goes
// wrong: the program is killed, the server goes down, the connection is cut or falls silent, the server answers with an
// error. Errors are raised by the server itself, in the statement's place, so that transactions are
// really aborted.
//
//	p := fault.New(t, url)
//	rule := p.At(fault.Nth(17), fault.Fault{When: fault.After, Then: fault.Cut})
//	… the program works with p.URL() …
//	rule.Hits() == 1
//
// The rest are faults that need no proxy: Queue fills the lock queue of a table, Clock is a clock that is set
// by hand.
package fault
