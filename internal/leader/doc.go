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
// standby: connected; the lock is tried every two seconds or so.
//
// leading: the work runs under a context that ends at once when the session is lost.
//
// The session (see Session) is a connection of its own, never of a pool, whose connections end by age. That it
// lives is known at once from the socket, and asked every three seconds with a deadline of five. So a
// leader whose network went silent gives up after eight seconds at most. The server ends a leader's session that has
// been silent for twelve (idle_session_timeout): then another takes over, although the first may be stopped, and
// not dead. In this order no two believe to lead at the same time, unless the first is stopped altogether; when it
// wakes, Confirm, which the runner calls before it begins anything, asks the server first. What was
// under way when it was stopped is still guarded by the run's own session and its lock on the object.
package leader
