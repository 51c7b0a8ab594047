package refresh

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// firstUserOID is the least oid of what users make. Source: FirstNormalObjectId, access/transam.h.
const firstUserOID = 16384

// needs is what the result of a stored query depends on.
type needs struct {
	relations map[uint32]bool
	functions map[uint32]bool
	operators map[uint32]bool // whose functions count as well
	types     map[uint32]bool
	outputs   map[uint32]bool // types whose output function is called
	inputs    map[uint32]bool // and those whose input function is
	odd       string          // why nothing can be said of it; ""
}

func newNeeds() *needs {
	return &needs{relations: map[uint32]bool{}, functions: map[uint32]bool{}, operators: map[uint32]bool{},
		types: map[uint32]bool{}, outputs: map[uint32]bool{}, inputs: map[uint32]bool{}}
}

// harmless are the kinds of node whose value follows from their parts, and from the functions, operators and types they name. Any
// other kind, also one that a later PostgreSQL brings, is odd.
var harmless = map[string]bool{
	"QUERY": true, "RANGETBLENTRY": true, "RTEPERMISSIONINFO": true, "ALIAS": true, "FROMEXPR": true, "JOINEXPR": true,
	"RANGETBLREF": true, "RANGETBLFUNCTION": true, "TARGETENTRY": true, "VAR": true, "CONST": true, "OPEXPR": true, "BOOLEXPR": true,
	"FUNCEXPR": true, "AGGREF": true, "WINDOWFUNC": true, "WINDOWCLAUSE": true, "SORTGROUPCLAUSE": true, "GROUPINGSET": true,
	"GROUPINGFUNC": true, "SUBLINK": true, "CASEEXPR": true, "CASEWHEN": true, "CASETESTEXPR": true, "COALESCEEXPR": true,
	"MINMAXEXPR": true, "NULLTEST": true, "BOOLEANTEST": true, "RELABELTYPE": true, "COERCEVIAIO": true, "ARRAYCOERCEEXPR": true,
	"COLLATEEXPR": true, "SCALARARRAYOPEXPR": true, "DISTINCTEXPR": true, "NULLIFEXPR": true, "ARRAYEXPR": true,
	"SUBSCRIPTINGREF": true, "ROWEXPR": true, "FIELDSELECT": true, "NAMEDARGEXPR": true, "PARAM": true,
	"COMMONTABLEEXPR": true, "CTESEARCHCLAUSE": true, "CTECYCLECLAUSE": true, "SETOPERATIONSTMT": true,
}

// oddities puts the better known of the other kinds into words.
var oddities = map[string]string{
	"SQLVALUEFUNCTION":    "it uses CURRENT_DATE, CURRENT_TIMESTAMP, CURRENT_USER or the like, which change by themselves",
	"NEXTVALUEEXPR":       "it takes numbers from a sequence",
	"TABLESAMPLECLAUSE":   "it takes a sample (TABLESAMPLE)",
	"TABLEFUNC":           "it uses XMLTABLE or JSON_TABLE",
	"XMLEXPR":             "it makes XML, which depends on settings",
	"JSONCONSTRUCTOREXPR": "it makes JSON, which depends on settings such as TimeZone",
	"ROWMARKCLAUSE":       "it locks rows (FOR UPDATE)",
	"COERCETODOMAIN":      "it casts to a domain, whose conditions may call anything",
}

// resultTypes are the fields that say of what type a node's value is.
var resultTypes = map[string]string{
	"VAR": "vartype", "CONST": "consttype", "FUNCEXPR": "funcresulttype", "OPEXPR": "opresulttype", "DISTINCTEXPR": "opresulttype",
	"NULLIFEXPR": "opresulttype", "COERCEVIAIO": "resulttype", "RELABELTYPE": "resulttype", "ARRAYCOERCEEXPR": "resulttype",
	"FIELDSELECT": "resulttype", "AGGREF": "aggtype", "WINDOWFUNC": "wintype", "CASEEXPR": "casetype", "CASETESTEXPR": "typeId",
	"COALESCEEXPR": "coalescetype", "MINMAXEXPR": "minmaxtype", "PARAM": "paramtype", "SUBSCRIPTINGREF": "refrestype",
	"ARRAYEXPR": "array_typeid", "ROWEXPR": "row_typeid",
}

// boolean are the kinds of node that yield true or false.
var boolean = map[string]bool{"BOOLEXPR": true, "NULLTEST": true, "BOOLEANTEST": true, "SCALARARRAYOPEXPR": true}

// Oids of built-in types.
const boolOID, int4OID = 16, 23

// read adds what one stored query depends on.
func (n *needs) read(text string) {
	tree, ok := parseTree(text)
	if !ok {
		n.say("its stored query cannot be read")
		return
	}
	walk(tree, n.visit)
}

func (n *needs) say(odd string) {
	if n.odd == "" {
		n.odd = odd
	}
}

func (n *needs) visit(x *node) {
	if !harmless[x.name] {
		if words, known := oddities[x.name]; known {
			n.say(words)
		} else {
			n.say("its query has a part (" + x.name + ") that is not known to depend on nothing else")
		}
	}
	for _, field := range []string{"funcid", "opfuncid", "aggfnoid", "winfnoid", "startInRangeFunc", "endInRangeFunc"} {
		n.collect(n.functions, x, field)
	}
	for _, field := range []string{"opno", "eqop", "sortop"} {
		n.collect(n.operators, x, field)
	}
	for _, field := range []string{"vartype", "consttype", "funcresulttype", "opresulttype", "resulttype", "aggtype", "wintype", "casetype",
		"coalescetype", "minmaxtype", "paramtype", "refrestype", "refcontainertype", "refelemtype", "array_typeid", "element_typeid", "row_typeid"} {
		n.collect(n.types, x, field)
	}
	n.collect(n.relations, x, "relid")
	switch x.name {
	case "VAR":
		for _, number := range x.numbers("varattno") {
			if number < 0 {
				n.say("it reads system columns (ctid, xmin, …)")
			} else if number == 0 {
				n.say("it reads a whole row as one value, which changes with each new column")
			}
		}
	case "QUERY":
		for _, number := range x.numbers("commandType") {
			if number != 1 {
				n.say("its query writes")
			}
		}
	case "COERCEVIAIO":
		n.collect(n.inputs, x, "resulttype")
		if oid, ok := typeOf(x.fields["arg"]); ok {
			n.outputs[oid] = true
		} else {
			n.say("it casts by way of text from something whose type is not plain")
		}
	}
}

// collect adds the oids of a field; 0 is none.
func (n *needs) collect(to map[uint32]bool, x *node, field string) {
	for _, v := range x.numbers(field) {
		if v > 0 {
			to[uint32(v)] = true
		}
	}
}

func (x *node) numbers(field string) []int64 {
	var out []int64
	for _, v := range x.fields[field] {
		if text, ok := v.(string); ok {
			if number, err := strconv.ParseInt(text, 10, 64); err == nil {
				out = append(out, number)
			}
		}
	}
	return out
}

// typeOf is the type of the value that a field's one node yields.
func typeOf(values []any) (uint32, bool) {
	if len(values) != 1 {
		return 0, false
	}
	x, ok := values[0].(*node)
	switch {
	case !ok:
		return 0, false
	case boolean[x.name]:
		return boolOID, true
	case x.name == "GROUPINGFUNC":
		return int4OID, true
	case x.name == "COLLATEEXPR" || x.name == "NAMEDARGEXPR":
		return typeOf(x.fields["arg"])
	}
	field, known := resultTypes[x.name]
	numbers := x.numbers(field)
	if !known || len(numbers) != 1 || numbers[0] <= 0 {
		return 0, false
	}
	return uint32(numbers[0]), true
}

func sorted(set map[uint32]bool) []uint32 {
	out := slices.Sorted(maps.Keys(set))
	if out == nil {
		return []uint32{}
	}
	return out
}

// functionFact is what the catalog says of one function that a query calls.
type functionFact struct {
	name       string
	volatility string // provolatile
	oid        uint32
	search     bool // it takes a text search configuration
}

// objection is why a function's value may change though its arguments do not; "": it does not.
func (f functionFact) objection() string {
	switch {
	case f.oid >= firstUserOID:
		return fmt.Sprintf("it calls %s, which is not PostgreSQL's own: what it does cannot be known", f.name)
	case f.volatility == "v":
		return fmt.Sprintf("it calls %s, which is VOLATILE", f.name)
	case f.volatility == "s":
		hint := ""
		if f.name == "date_trunc(text,timestamp with time zone)" {
			hint = "; with the zone as its third argument, date_trunc('day', t, 'UTC'), it is IMMUTABLE"
		}
		return fmt.Sprintf("it calls %s, which is STABLE: it depends on the time or on settings%s", f.name, hint)
	case f.search:
		return fmt.Sprintf("it calls %s, which depends on a text search configuration", f.name)
	}
	return ""
}
