package desired

import (
	"fmt"
	"slices"
	"strings"
)

// verdict is what becomes of a piece of SQL.
type verdict struct {
	refusal string // it is not schema, or not ours: why, and what to do
	setting string // a SET, as SET LOCAL
	skip    bool   // harmless, and without meaning here
}

func refuse(format string, args ...any) verdict {
	return verdict{refusal: fmt.Sprintf(format, args...)}
}

// classify decides by the first words. Kinds of objects that cannot be compared are not its business: they are
// loaded, found in the catalog and refused there, so what is managed is said in one place.
func classify(f *file, p piece) verdict {
	if p.meta != "" {
		return classifyMeta(p.meta)
	}
	t := p.tokens
	first := t[0].text
	if t[0].kind != word {
		return verdict{} // the server says what is wrong with it
	}
	switch first {
	case "CREATE":
		return classifyCreate(t)
	case "ALTER":
		return classifyAlter(t)
	case "COMMENT":
		return classifyComment(t)
	case "SET":
		return classifySet(f, p)
	case "SELECT", "WITH", "VALUES", "TABLE":
		return classifySelect(t)
	case "SECURITY":
		return verdict{} // security labels are found in the catalog
	case "INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "TRUNCATE":
		return refuse("%s is data, and sources declare the schema only: remove it (with pg_dump, use --schema-only)", first)
	case "BEGIN", "COMMIT", "ROLLBACK", "START", "END", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE":
		return refuse("%s controls a transaction: remove it; the sources are loaded as a whole, and apply decides what shares a transaction", first)
	case "DO", "CALL", "EXECUTE":
		return refuse("%s runs code, so what it declares cannot be seen: write the statements that it would run", first)
	case "DROP":
		return refuse("DROP declares nothing: remove it and the declaration of what it drops (with pg_dump, do not use --clean)")
	case "GRANT", "REVOKE":
		return classifyGrant(t)
	case "REASSIGN":
		return refuse("%s: ownership is not managed: remove it", first)
	case "REFRESH", "VACUUM", "ANALYZE", "CLUSTER", "REINDEX", "CHECKPOINT", "LOCK":
		return refuse("%s is work, not schema: remove it; jobs of atlas.hcl do such work", first)
	}
	return refuse("%s declares no schema: sources may have CREATE, ALTER, COMMENT and a few SET statements", first)
}

func classifyMeta(meta string) verdict {
	command, _, _ := strings.Cut(meta, " ")
	if command == `\restrict` || command == `\unrestrict` { // pg_dump frames a dump in them since 17.6 and 18
		return verdict{skip: true}
	}
	return refuse(`%s is a command of psql, not SQL: remove it`, command)
}

func classifyCreate(t []token) verdict {
	kind, at := created(t)
	switch kind {
	case "DATABASE", "TABLESPACE", "ROLE", "USER", "GROUP", "SUBSCRIPTION":
		return refuse("CREATE %s is not part of a database's schema: remove it and run it by hand", kind)
	case "TEMP", "TEMPORARY", "LOCAL", "GLOBAL":
		return refuse("a temporary object ends with its session and cannot be declared: remove it")
	case "INDEX":
		if startsWith(t[at:], "CONCURRENTLY") {
			return refuse("CREATE INDEX CONCURRENTLY: write CREATE INDEX; apply builds it concurrently where rows are in the way")
		}
	}
	return verdict{}
}

func classifyAlter(t []token) verdict {
	kind := ""
	if len(t) > 1 {
		kind = t[1].text
	}
	switch kind {
	case "SYSTEM":
		return refuse("ALTER SYSTEM is not part of a database's schema: remove it; the io block of atlas.hcl tunes the server")
	case "DATABASE", "TABLESPACE", "ROLE", "USER", "GROUP", "SUBSCRIPTION":
		if !startsWith(t[1:], "USER", "MAPPING") {
			return refuse("ALTER %s is not part of a database's schema: remove it and run it by hand", kind)
		}
	case "DEFAULT":
		if has(t, "ON", "LARGE", "OBJECTS") {
			return refuse("ALTER DEFAULT PRIVILEGES ON LARGE OBJECTS: large objects are not managed: remove it")
		}
		return verdict{}
	}
	switch {
	case len(t) > 3 && startsWith(t[len(t)-3:], "OWNER", "TO"), has(t, "OWNER", "TO"):
		return refuse("OWNER TO: ownership is not managed: remove it (with pg_dump, use --no-owner)")
	case has(t, "DETACH", "PARTITION"):
		return refuse("DETACH PARTITION declares nothing: remove the partition from the sources instead")
	}
	return verdict{}
}

func classifyComment(t []token) verdict {
	if !startsWith(t, "COMMENT", "ON") || len(t) < 3 {
		return verdict{}
	}
	switch t[2].text {
	case "DATABASE", "TABLESPACE", "ROLE", "SUBSCRIPTION", "LARGE":
		return refuse("COMMENT ON %s is not part of a database's schema: remove it and run it by hand", t[2].text)
	}
	return verdict{}
}

// Settings that pg_dump writes and that have no bearing on what is declared.
var harmless = []string{
	"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_timeout",
	"check_function_bodies", "client_min_messages", "row_security", "escape_string_warning",
}

// Settings that a declaration depends on, valid to the file's end.
var meaningful = []string{"search_path", "default_tablespace", "default_table_access_method", "default_toast_compression", "xmloption"}

func classifySet(f *file, p piece) verdict {
	t := p.tokens[1:]
	if startsWith(t, "SESSION") || startsWith(t, "LOCAL") {
		t = t[1:]
	}
	if len(t) < 2 {
		return verdict{}
	}
	name := strings.ToLower(t[0].text)
	value := t[1:]
	if value[0].text == "=" || startsWith(value, "TO") {
		value = value[1:]
	}
	plain := ""
	if len(value) > 0 {
		plain = strings.ToLower(strings.Trim(value[0].text, "'"))
	}
	switch {
	case slices.Contains(harmless, name):
		return verdict{skip: true}
	case slices.Contains(meaningful, name):
		return verdict{setting: "SET LOCAL " + f.text[t[0].start:p.end]}
	case name == "client_encoding" && (plain == "utf8" || plain == "utf-8" || plain == "unicode"),
		name == "standard_conforming_strings" && (plain == "on" || plain == "true"),
		name == "default_with_oids" && (plain == "off" || plain == "false"):
		return verdict{skip: true}
	}
	return refuse("SET %s: a source may set %s only, beside what pg_dump writes: remove it", strings.ToLower(f.text[t[0].start:t[0].end]), strings.Join(meaningful, ", "))
}

// classifySelect allows the one SELECT that pg_dump --schema-only writes.
func classifySelect(t []token) verdict {
	i := 1
	if len(t) > 3 && startsWith(t[i:], "PG_CATALOG") && t[i+1].text == "." {
		i += 2
	}
	if startsWith(t[i:], "SET_CONFIG") && len(t) == i+8 && t[i+1].text == "(" && t[i+2].text == "'search_path'" &&
		t[i+3].text == "," && t[i+4].kind == text && t[i+5].text == "," && t[i+7].text == ")" {
		return verdict{setting: "SELECT pg_catalog.set_config('search_path', " + t[i+4].text + ", true)"}
	}
	if startsWith(t[i:], "SETVAL") {
		return refuse("setval is data, and sources declare the schema only: remove it (with pg_dump, use --schema-only)")
	}
	return refuse("%s declares nothing: remove it", t[0].text)
}

// classifyGrant lets privileges on what is managed pass. Which objects those are, the catalog tells.
func classifyGrant(t []token) verdict {
	first := t[0].text
	i := slices.IndexFunc(t, func(x token) bool { return x.kind == word && x.text == "ON" })
	if i < 0 || i+1 >= len(t) {
		return refuse("%s of a role: membership is not part of a database's schema: remove it and run it by hand", first)
	}
	switch what := t[i+1].text; what {
	case "DATABASE", "TABLESPACE", "PARAMETER", "LANGUAGE", "FOREIGN":
		return refuse("%s ON %s is not part of a database's schema: remove it and run it by hand", first, what)
	case "LARGE":
		return refuse("%s ON LARGE OBJECT: large objects are not managed: remove it", first)
	}
	return verdict{}
}
