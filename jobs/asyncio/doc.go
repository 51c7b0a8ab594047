// Package asyncio watches PostgreSQL 18's asynchronous I/O settings and advises, from what it reads and measures on this server and
// never from a formula. What only a restart can change is advised, with a way to try the start beforehand, and never
// done. AIO in PostgreSQL 18 serves reads.
package asyncio
