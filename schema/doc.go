// Package schema brings a database to the schema that its sources declare: it loads the sources (package desired),
// reads the database (package catalog), plans the way between (package plan) and runs it (package apply).
package schema
