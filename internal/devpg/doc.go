// Package devpg runs a PostgreSQL 18 server for `pgtender dev` and for the tests, without asking the
// user for one.
//
// Programs finds the server's programs or brings them. Start runs a server in a folder, or joins the
// one that already runs there. A server is owned by a guard: a process of our own program, in its own
// session, that starts the postmaster and watches who uses it. Each user holds a shared lock on the
// folder's clients.lock; the kernel takes the lock back however the user ends, and the guard, which
// waits for an exclusive one, then stops the server. So nothing is left running, not even after
// kill -9. Should the guard itself be killed, the postmaster gets a signal where the system has one
// for that (Linux); elsewhere the next Start in that folder finds the server and stops it first.
//
// PostgreSQL refuses to run as root. Started by root, the server runs as another user, and what that
// user cannot reach (a checkout under /root) is kept in /var/lib/pgtender, to which a link in the
// folder points.
//
// A folder holds:
//
//	data            the cluster, or a link to it
//	postgres.log    what the server and the guard said
//	server.json     where the running server listens
//	start.lock      held by who is starting a server
//	guard.lock      held by the guard for as long as it lives
//	clients.lock    held, shared, by every user of the server
package devpg
