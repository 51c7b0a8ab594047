package pg

import (
	"strings"

	"github.com/jackc/pgx/v5"
)

// Ident quotes the parts of an identifier, always: "public"."order".
func Ident(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

// Literal quotes a string constant. Backslashes are safe whatever standard_conforming_strings says.
func Literal(s string) string {
	quoted := "'" + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return " E" + quoted
	}
	return quoted
}

// MaxNameBytes is PostgreSQL's NAMEDATALEN - 1: longer names are cut by the server.
const MaxNameBytes = 63
