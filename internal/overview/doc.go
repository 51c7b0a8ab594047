// Package overview reads, in the background, what the status page shows beyond the checks' answers: the partitions of each table with
// what was archived of it, the last runs, the materialised views, the I/O settings with their journal, and the last applied plans. It keeps
// the last reading in memory, each part with its age, so that whoever asks never waits for the server.
//
// Each part is read in a read-only transaction of its own, with a deadline and a short lock_timeout: a table that somebody has
// locked, or a right that is missing, costs that part and no other. Sizes come from the catalog (relpages), as of the last VACUUM or ANALYZE:
// pg_relation_size would wait for the lock of the table.
package overview
