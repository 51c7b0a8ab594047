// Package refresh keeps materialised views fresh: concurrently, so that readers never wait, plainly only when a view was
// never populated or its policy says so; each refresh and its ledger row are one transaction. With when = "auto" a refresh
// that is proved needless is passed over.
//
// # When a refresh is needless
//
// A refresh is passed over when no change that was committed before the run began is missing from the view. The proof
// rests on five things that are read before each refresh (the first of them after it), stored with it, and held against a new reading
// before the next.
//
// The view as our refresh left it (basis.go). Somebody else's refresh may put older rows back: one in REPEATABLE READ, or any that took its
// snapshot before it waited for its lock. But each writes the view's row of pg_class, also one that changes nothing, and nothing but a
// refresh writes the view's rows. So the xmin of that row and the file are read after our refresh, in its transaction and under its
// lock; they need no counting, and VACUUM and ANALYZE leave them as they are. Ours is READ COMMITTED, whatever the default.
//
// Nothing but rows (needs.go, closure.go). The view's stored query is parsed. Its result must follow from the rows of
// ordinary tables: every kind of node must be known to be harmless, every function must be PostgreSQL's own and IMMUTABLE,
// types too must be PostgreSQL's own or made of such, and every relation a table, a partitioned table or a materialised view:
// no foreign table, sequence, system catalog, row security, whole row or system column. Whatever is not on these lists
// refreshes.
//
// The same definitions and files (basis.go). Stored queries, files (relfilenode: TRUNCATE and every rewrite change it),
// partitions, columns and generation expressions are compared by content and by the xmin of their catalog rows. They are read
// before the refresh and again within its transaction, after it; if they differ, nothing is stored. As the refresh holds a
// lock on each table that it read until it commits, no partition can be attached, read by it, and be gone again unnoticed.
//
// The same counters. The server counts rows inserted, updated and deleted for each table, also those rolled back, and only
// upwards. A transaction whose changes the refresh did not see became visible after the refresh took its snapshot, and is
// counted only after that; so it is not in the counters stored, which were read before. When the server starts its counters
// anew (crash, restart, promotion, a reset of one table or all), the identity that is stored beside them changes. When a session finds that
// the server's settings were loaded since that reading, track_counts may have been off meanwhile, so it refreshes; nor is anything stored
// while a statement runs that began before they were last loaded, and may go by the old ones.
//
// Everything counted (guard.go). A session adds what it did to the counters when it becomes idle, but not more often than
// once in a second; then a timer does so 10 s after it became idle. So before the counters are compared, no session may be
// left that can have committed something before the run and not counted it. A session is above doubt when
//   - it has been idle for 15 s (the timer's 10 s, and 5 s for a slow machine), or is gone: it counts as it ends;
//   - or it is idle or within a transaction exactly as it was before the refresh (same process, same moment of becoming idle, or
//     same virtual transaction): it has committed nothing since;
//   - or its last statement made it count (pg.Counted), as all idle sessions of pgtender do, or it is in the first
//     transaction after that, whose lock it then holds;
//   - or it is used again and again, and is seen in a pause 16 s after it was first seen in one: the timer has run out
//     since, and the server heeds it in the first pause. A run waits for this when that may save more than it costs.
//
// Parallel workers and autovacuum write no rows. Any other worker (logical replication, a background worker) counts at times of
// its own, and is always in doubt. So are prepared transactions, which another session counts, and every session when the role
// may not see what others do (pg_monitor), or when track_counts is off or could be.
//
// The sessions are looked at before the counters: one that is gone by the first look has counted by the second. Each
// reading is a transaction of its own, so that none sees statistics that another one cached. Of the server's clock durations are used,
// and whether settings were loaded after the reading; a mark is compared, never ordered.
//
// What is assumed: no superuser has a session that writes with track_counts off, be it set there or, when it began, for its role or
// database (nobody else can, and no one else can see it), nobody calls functions that write catalogs directly, the server's clock is not set forward within the 15 s before a
// look, nor back over the time since a refresh, and it wakes a session within 5 s of its timer. For whoever will not assume that there is max_staleness, after which
// a refresh is made in any case.
//
// Several views: one that stands on another is due after it, and a refresh that changes no row leaves the counters of
// the view as they are, so the one above is passed over as well.
package refresh
