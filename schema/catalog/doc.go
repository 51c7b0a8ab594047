// Package catalog reads the managed part of one database's pg_catalog, in one transaction and a
// constant number of queries, into a Snapshot: plain sorted values that two databases can be compared by.
//
// Every object is a Key and a list of Facts. Two databases are equal when their keys and facts are,
// so a property that is not a fact does not exist for pgtender: whatever a user can declare must be
// one, or its kind must be in Snapshot.Unmanaged. All definitions are what the server prints under
// search_path = ” (pg_get_indexdef, pg_get_viewdef …), so both sides are normalised by PostgreSQL itself.
//
// Not compared, because no source can declare it or no statement could change it without rewriting the table: who owns
// an object, its privileges (listed as Unmanaged where they are not the default ones), the order of a table's
// columns, the position of a sequence, whether a materialised view is populated, and any row.
package catalog
