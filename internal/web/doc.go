// Package web is pgtender's HTTP side: probes, metrics, and the status page for people and programs. It answers from memory only, so
// that it tells the truth fast while the database is slow, locked or gone.
package web
