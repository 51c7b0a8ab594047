package config

import "slices"

// The reference is the table of every block and attribute that may stand in the file. The reader holds
// the file against it, and docs/configuration.md is written from it, so neither can know more than the other.

// standing says what becomes of a name.
type standing int

const (
	used    standing = iota
	ignored          // the atlas CLI's; accepted, listed, without effect
	refused          // the atlas CLI's or nobody's; passing over it could do harm
	later            // ours, not built yet
)

// attribute is one `name = value`.
type attribute struct {
	name     string
	kind     string // of the value, as a person would say it
	def      string // the default as it would be written; empty: none, or said in doc
	required bool
	doc      string
	refuses  string // which values are errors, beyond those of another kind
	standing standing
	reason   string // for everything but used
}

// block is one `name "label" { … }`.
type block struct {
	name     string
	label    string // what the label is; empty: no label
	optional bool   // the label may be left out
	many     bool   // may be given more than once
	free     bool   // the names inside are not examined
	doc      string
	attrs    []attribute
	blocks   []block
	standing standing
	reason   string
}

func (b *block) attr(name string) *attribute {
	for i := range b.attrs {
		if b.attrs[i].name == name {
			return &b.attrs[i]
		}
	}
	return nil
}

func (b *block) block(name string) *block {
	for i := range b.blocks {
		if b.blocks[i].name == name {
			return &b.blocks[i]
		}
	}
	return nil
}

// names returns what may be written in the block: only the names that are used.
func (b *block) names() []string {
	var names []string
	for _, a := range b.attrs {
		if a.standing == used {
			names = append(names, a.name)
		}
	}
	for _, c := range b.blocks {
		if c.standing == used {
			names = append(names, c.name)
		}
	}
	return names
}

// parentsOf returns the blocks below b in which a name is used, sorted.
func (b *block) parentsOf(name string) []string {
	var parents []string
	for i := range b.blocks {
		c := &b.blocks[i]
		if c.standing != used {
			continue
		}
		if slices.Contains(c.names(), name) {
			parents = append(parents, c.name)
		}
		parents = append(parents, c.parentsOf(name)...)
	}
	slices.Sort(parents)
	return slices.Compact(parents)
}

// Defaults, and the limits of numbers. A default is written as it would be in the file.
const (
	defaultFile            = "atlas.hcl"
	defaultSchema          = "public"
	defaultListen          = "127.0.0.1:9818"
	defaultTimeZone        = "UTC"
	defaultApply           = ApplySafe
	defaultHistory         = "90 days"
	defaultAhead           = 3
	defaultSchedule        = "@hourly"
	defaultArchiveSchedule = "30 3 * * *"
	defaultGranularity     = ByPartition
	defaultWhen            = RefreshAlways
	defaultIOMode          = IORecommend

	maxAhead       = 366
	maxIOWorkers   = 32 // the server's own limit
	maxTimeoutDays = 24 // statement_timeout holds 2^31-1 milliseconds
)

// root is the file itself.
func root() *block {
	return &block{blocks: []block{
		variableBlock(),
		{
			name: "locals", many: true, free: true,
			doc: "Names for values, used as `local.NAME`. A local may use variables, functions and other locals.",
		},
		envBlock(),
		{name: "atlas", free: true, many: true, standing: ignored, reason: "pgtender logs in nowhere"},
		{name: "data", label: "the kind and the name", free: true, many: true, standing: ignored,
			reason: "data sources are not read; using one in the chosen env is an error"},
		{name: "docker", label: "the kind and the name", free: true, many: true, standing: ignored,
			reason: "pgtender starts no containers; using one in the chosen env is an error"},
		lintBlock(), diffBlock(), testBlock(),
	}}
}

func variableBlock() block {
	return block{
		name: "variable", label: "the variable's name", many: true,
		doc: "A value from outside, used as `var.NAME` and set by `--var NAME=value`. A variable without a default must be set.",
		attrs: []attribute{
			{name: "type", kind: "type", required: true, doc: "`string`, `number`, `bool`, `list(string)` and so on, without quotes. The text of `--var` is converted to it; lists, maps and objects are written as JSON.", refuses: "a type in quotes"},
			{name: "default", kind: "of the type", doc: "The value when `--var` does not set one. May call functions, such as `getenv(\"NAME\")`; may not use other variables."},
			{name: "description", kind: "string", doc: "For the reader of the file."},
			{name: "sensitive", standing: refused, reason: "the atlas CLI does not know it; remove it: pgtender prints no value of a variable whose name speaks of a password, secret, token or key"},
		},
	}
}

func envBlock() block {
	return block{
		name: "env", label: "the env's name", optional: true, many: true,
		doc: "One database and everything about it. With several, `--env` chooses; the others are checked for unknown names and not evaluated. An env without a label takes the name from `--env`: it says `name = atlas.env`.",
		attrs: []attribute{
			{name: "name", kind: "`atlas.env`", doc: "Only in an env without a label.", refuses: "anything but `atlas.env`"},
			{name: "url", kind: "string", doc: "The database: a PostgreSQL URL or `key=value` words; the libpq environment fills what is missing. `--url` comes first. It may be left out only with `--url`.", refuses: "an empty string; schemes other than `postgres` and `postgresql`"},
			{name: "dev", kind: "string", doc: "Where scratch databases may be made; left out or empty: on the target's server. `--dev-url` comes first.", refuses: "schemes other than `postgres` and `postgresql`, so also `docker://`"},
			{name: "schemas", kind: "list of strings", doc: "The managed schemas; every other schema is never touched. Left out: `public` and those that the sources create.", refuses: "an empty list; a schema twice; `pgtender`, `information_schema`, `pg_…`"},
			{name: "exclude", kind: "list of strings", doc: "Objects that are left alone, as `schema.object` or `schema`, with `*`, `?` and `[a-z]`; a part in double quotes is taken literally.", refuses: "more than two parts; `[type=…]`; a schema that is not managed"},
			{name: "src", kind: "string or list of strings", doc: "The older form of `schema { src = … }`.", refuses: "being given beside it"},
			{name: "include", standing: refused, reason: "passing over it would widen what is managed; say what to leave alone with exclude"},
			{name: "for_each", standing: refused, reason: "one pgtender tends one database; start one for each, with --var or --url"},
		},
		blocks: []block{
			schemaBlock(), daemonBlock(), partitionBlock(), archiveBlock(), refreshBlock(), ioBlock(), jobBlock(), checkBlock(),
			{name: "migration", free: true, standing: ignored, reason: "pgtender compares schemas and has no migration directory"},
			{name: "format", free: true, standing: ignored, reason: "it shapes the atlas CLI's own output"},
			{name: "log", free: true, standing: ignored, reason: "it shapes the atlas CLI's own output"},
			lintBlock(), diffBlock(), testBlock(),
		},
	}
}

func lintBlock() block {
	return block{name: "lint", free: true, standing: ignored, reason: "it is about linting migration files; pgtender names hazards itself"}
}

func testBlock() block {
	return block{name: "test", free: true, standing: ignored, reason: "it is about the atlas CLI's own tests"}
}

func diffBlock() block {
	return block{
		name: "diff", standing: ignored, reason: "pgtender decides how a change is made",
		blocks: []block{
			{name: "concurrent_index", free: true, standing: ignored, reason: "pgtender itself chooses how an index is built"},
			{name: "skip", free: true, standing: refused, reason: "passing over it would plan changes that the atlas CLI skips; say what to leave alone with exclude"},
		},
	}
}

func schemaBlock() block {
	return block{
		name: "schema", doc: "What the database is to look like.",
		attrs: []attribute{
			{name: "src", kind: "string or list of strings", required: true, doc: "`file://` and a path: a `.hcl` or `.sql` file, or a folder of them, read in name order. Relative paths start at the folder of atlas.hcl. `--to` comes first.", refuses: "other schemes; a path that does not exist; a file of another kind; a path twice"},
			{name: "vars", standing: later, reason: "input values for the schema's own files are not supported yet"},
		},
		blocks: []block{
			{name: "repo", free: true, standing: ignored, reason: "pgtender pushes to no registry"},
			{name: "mode", free: true, standing: refused, reason: "pgtender always compares every kind of object that it manages; say what to leave alone with exclude"},
		},
	}
}
