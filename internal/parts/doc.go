// Package parts knows tables that are partitioned by time: what the catalog says of their partitions,
// where intervals begin in a time zone, which partitions are wanted and missing, how far ahead the table
// reaches, and what a partition is called. Jobs and checks stand on it; it changes nothing.
//
// Everything is compared in the key's own terms. For timestamptz and UUIDv7 keys that is the instant. For
// timestamp and date keys it is the wall clock, held as a time.Time in UTC that shows the same clock; the
// daemon's zone is where that clock hangs. See Key.
package parts
