// Package leader lets at most one of any number of daemons act on a database, with the database as
// the authority: the leader is whoever's session holds one advisory lock.
//
//	              connected, a primary            lock taken
//	connecting ───────────────────────▶ standby ─────────────▶ leading
//	    ▲                                  │                      │
//	    │         session lost             │    session lost, or  │
//	    └──────────────────────────────────┴──── work returned ◀──┘
//
// connecting: no session, or one on a server that is a read-only standby or of another version. Tried again with a
// pause that doubles from a quarter of a second to five seconds, with jitter, for ever: no fault of
// the database ends it. The one thing that does is a transaction-pooling proxy found at the first connection.
//
// standby: connected; the lock is tried every second or so.
//
// leading: the work runs under a context that ends at once when the session is lost.
//
// The session (see Session) is a connection of its own, never of a pool, whose connections end by age. That it
// lives is known at once from the socket, and asked every two seconds with a deadline of five. So a
// leader whose network went silent gives up after seven seconds at most. The server ends a leader's session that has
// been silent for eight (idle_session_timeout): then another takes over, although the first may be stopped, and
// not dead. In this order no two believe to lead at the same time, unless the first is stopped altogether; when it
// wakes, Confirm, which the runner calls before it begins anything, asks the server first.
//
// A process may be stopped between any two instructions, so Confirm alone proves nothing of the next moment. The authority is the database:
//
//   - A scheduled run begins with its row in the ledger, which one statement writes only while the server process of this
//     term (Term.PID) holds the leader's lock. Whoever sleeps before that begins nothing.
//   - What was under way when the process was stopped stays its own for a moment: its run has a session with the lock on the object, which
//     outlives the term. Another daemon skips that object, and tries again soon.
//   - The server ends that session as well, when it has been silent for twelve seconds, and the run's transactions, when they have been idle
//     for thirty (pg.IdleInTransaction); with a frozen machine or a cut network, all of its sessions by TCP within some eleven. What
//     they had not committed is rolled back. The next run first completes the rows of runs
//     whose session is gone; a run whose row is completed cannot commit its result any more.
//   - A statement of a stopped process that the server is still busy with goes on to its end. What it locks is its own until
//     then; an own job's session has a lock of its own, so that its statement never runs twice at a time (package sqljob).
//   - In the moment between the two, transactions of both may meet. Each job's transactions are right beside another's: the fault
//     matrix (internal/cli, kind "overtaken") lets another process do the work at every statement of every job.
//
// A failover changes nothing of this: the new primary knows no lock of the old one, and a session on the old one, should it live on as a
// split brain, is on a server whose fencing is the cluster's business.
package leader
