// Package asyncio looks after PostgreSQL 18's asynchronous I/O settings. It advises from what it reads and measures on this server, never from
// a formula, and in apply mode tries what a reload can undo. What only a restart can change is advised, with the start tried beforehand
// where the server's program is on this machine, and never done. AIO in PostgreSQL 18 serves reads.
//
// A trial of one setting:
//
//	baseline   one window with the old value: is enough read to prove anything?
//	journal    a row 'begun' with the old entry of postgresql.auto.conf, committed
//	pairs      old and new value in turn, in random order, a window each; harm (errors, a lagging standby, a crowded CPU) ends it at once
//	verdict    kept: the new value is put in force, then the row says 'kept'
//	           otherwise the old entry is put back, then the row says 'reverted'
//
// A process may die anywhere in between: the row stays 'begun', and the next run of the job puts the old entry back (whatever the file says by
// then), unless somebody else has changed the setting since; then the row says 'overtaken' and the setting is left alone.
package asyncio
