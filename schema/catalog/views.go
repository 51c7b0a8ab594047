package catalog

import "fmt"

// readViews: fact definition of views and materialised views, as pg_get_viewdef prints it, with its semicolon.
func (r *reader) readViews() error {
	return r.each(`SELECT v, pg_get_viewdef(v) FROM unnest($1::oid[]) v`, []any{r.oids("vm")}, func(scan func(...any) error) error {
		var oid uint32
		var definition string
		if err := scan(&oid, &definition); err != nil {
			return err
		}
		r.objects[r.rels[oid].key].set(FactDefinition, definition)
		return nil
	})
}

// sequenceOptionsSQL prints the options of the sequence s (pg_sequence) as CREATE SEQUENCE takes them.
const sequenceOptionsSQL = `format('AS %s START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s %sCYCLE', format_type(s.seqtypid, NULL),
	s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, CASE WHEN s.seqcycle THEN '' ELSE 'NO ' END)`

// readSequences: facts sequence options, owned by. A sequence that belongs to a table which is left alone is left alone too.
func (r *reader) readSequences() error {
	return r.each(`
		SELECT s.seqrelid, coalesce(d.refobjid, 0), CASE WHEN d.refobjid IS NULL THEN '' ELSE format('%I.%I.%I', n.nspname, c.relname, a.attname) END, `+sequenceOptionsSQL+`
		FROM pg_sequence s
		LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid AND d.deptype = 'a'
			AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
		LEFT JOIN pg_class c ON c.oid = d.refobjid
		LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
		LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
		WHERE s.seqrelid = ANY($1::oid[])`,
		[]any{r.oids("S")}, func(scan func(...any) error) error {
			var oid, owner uint32
			var ownedBy, options string
			if err := scan(&oid, &owner, &ownedBy, &options); err != nil {
				return err
			}
			key := r.rels[oid].key
			if _, ok := r.rels[owner]; owner != 0 && !ok {
				delete(r.objects, key)
				delete(r.refs, ref{"pg_class", oid, 0})
				delete(r.rels, oid)
				r.leave(key.String())
				return nil
			}
			r.objects[key].set(FactSequence, options).set(FactOwnedBy, ownedBy)
			return nil
		})
}

// part files an object that belongs to a managed table or view; nil when it is left alone.
func (r *reader) part(at ref, kind Kind, table uint32, name string) *Object {
	owner := r.rels[table].key
	k := Key{Kind: kind, Schema: owner.Schema, Table: owner.Name, Name: name}
	if r.scope.excludes(k.Schema, k.Table, k.Name) {
		r.leave(k.String())
		return nil
	}
	return r.put(at, k)
}

// readTriggers: facts definition, enabled, comment. Clones on partitions and what foreign keys made are left out.
func (r *reader) readTriggers() error {
	return r.each(`
		SELECT t.oid, t.tgrelid, t.tgname, pg_get_triggerdef(t.oid),
			CASE t.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' WHEN 'A' THEN 'always' ELSE '' END, coalesce(d.description, ''),
			coalesce((SELECT k.oid FROM pg_constraint k WHERE k.oid = t.tgconstraint), 0)
		FROM pg_trigger t
		LEFT JOIN pg_description d ON d.classoid = 'pg_trigger'::regclass AND d.objoid = t.oid AND d.objsubid = 0
		WHERE t.tgrelid = ANY($1::oid[]) AND NOT t.tgisinternal AND t.tgparentid = 0`,
		[]any{r.oids("rpv")}, func(scan func(...any) error) error {
			var oid, table, constraint uint32
			var name, definition, enabled, comment string
			if err := scan(&oid, &table, &name, &definition, &enabled, &comment, &constraint); err != nil {
				return err
			}
			o := r.part(ref{"pg_trigger", oid, 0}, Trigger, table, name)
			if o == nil {
				return nil
			}
			o.set(FactDefinition, definition).set(FactEnabled, enabled).set(FactComment, comment)
			if constraint != 0 { // CREATE CONSTRAINT TRIGGER: its pg_constraint row is not an object of its own
				r.refs[ref{"pg_constraint", constraint, 0}] = o.Key
			}
			return nil
		})
}

// readPolicies: facts definition (what follows CREATE POLICY name ON table), comment. Roles are by name.
func (r *reader) readPolicies() error {
	return r.each(`
		SELECT p.oid, p.polrelid, p.polname, CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
			CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
			(SELECT string_agg(CASE role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(role)) END, ', '
				ORDER BY role <> 0, pg_get_userbyid(role) COLLATE "C") FROM unnest(p.polroles) role),
			coalesce(pg_get_expr(p.polqual, p.polrelid), ''), coalesce(pg_get_expr(p.polwithcheck, p.polrelid), ''), coalesce(d.description, '')
		FROM pg_policy p
		LEFT JOIN pg_description d ON d.classoid = 'pg_policy'::regclass AND d.objoid = p.oid AND d.objsubid = 0
		WHERE p.polrelid = ANY($1::oid[])`,
		[]any{r.oids("rp")}, func(scan func(...any) error) error {
			var oid, table uint32
			var name, permissive, command, roles, using, check, comment string
			if err := scan(&oid, &table, &name, &permissive, &command, &roles, &using, &check, &comment); err != nil {
				return err
			}
			definition := fmt.Sprintf("AS %s FOR %s TO %s", permissive, command, roles)
			if using != "" {
				definition += " USING (" + using + ")"
			}
			if check != "" {
				definition += " WITH CHECK (" + check + ")"
			}
			if o := r.part(ref{"pg_policy", oid, 0}, Policy, table, name); o != nil {
				o.set(FactDefinition, definition).set(FactComment, comment)
			}
			return nil
		})
}

// readRules: facts definition, enabled, comment. The rule that makes a view one stands for the view.
func (r *reader) readRules() error {
	return r.each(`
		SELECT w.oid, w.ev_class, w.rulename, w.ev_type = '1',
			CASE WHEN w.ev_type = '1' THEN '' ELSE pg_get_ruledef(w.oid) END,
			CASE w.ev_enabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' WHEN 'A' THEN 'always' ELSE '' END, coalesce(d.description, '')
		FROM pg_rewrite w
		LEFT JOIN pg_description d ON d.classoid = 'pg_rewrite'::regclass AND d.objoid = w.oid AND d.objsubid = 0
		WHERE w.ev_class = ANY($1::oid[])`,
		[]any{r.oids("rpvm")}, func(scan func(...any) error) error {
			var oid, table uint32
			var selects bool
			var name, definition, enabled, comment string
			if err := scan(&oid, &table, &name, &selects, &definition, &enabled, &comment); err != nil {
				return err
			}
			at := ref{"pg_rewrite", oid, 0}
			if selects {
				r.refs[at] = r.rels[table].key
			} else if o := r.part(at, Rule, table, name); o != nil {
				o.set(FactDefinition, definition).set(FactEnabled, enabled).set(FactComment, comment)
			}
			return nil
		})
}
