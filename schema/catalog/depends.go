package catalog

// readDependencies fills Needs from pg_depend. A dependency on an extension's member is one on the
// extension. An OWNED BY is left out: it is a fact, and would make a circle of a serial column and its sequence.
func (r *reader) readDependencies() error {
	// Internal dependencies ('i', 'P', 'S') tie parts of one object, or a partition to its parent. All that is in a
	// schema depends on it: that is added without asking. Members of extensions are replaced by their extension.
	for at, k := range r.refs {
		if o, ok := r.objects[k]; ok && at.sub == 0 && k.Schema != "" && k.Table == "" {
			r.need(o, Key{Kind: Schema, Name: k.Schema})
		}
	}
	return r.each(`
		SELECT dc.relname, d.objid, d.objsubid, CASE WHEN m.refobjid IS NULL THEN rc.relname ELSE 'pg_extension' END,
			coalesce(m.refobjid, d.refobjid), CASE WHEN m.refobjid IS NULL THEN d.refobjsubid ELSE 0 END, d.deptype::text
		FROM pg_depend d
		JOIN pg_class dc ON dc.oid = d.classid JOIN pg_class rc ON rc.oid = d.refclassid
		LEFT JOIN pg_depend m ON m.classid = d.refclassid AND m.objid = d.refobjid AND m.deptype = 'e' AND d.refclassid <> 'pg_extension'::regclass
		WHERE d.deptype IN ('n', 'a', 'x') AND d.objid >= 16384
		AND (d.refclassid <> 'pg_namespace'::regclass OR d.classid = 'pg_extension'::regclass)`,
		nil, func(scan func(...any) error) error {
			var at, on ref
			var kind string
			if err := scan(&at.class, &at.object, &at.sub, &on.class, &on.object, &on.sub, &kind); err != nil {
				return err
			}
			r.depend(at, on, kind)
			return nil
		})
}

func (r *reader) depend(at, on ref, kind string) {
	from, ok := r.resolve(at)
	if !ok {
		return
	}
	to, ok := r.resolve(on)
	if !ok || from == to {
		return
	}
	o := r.objects[from]
	switch {
	case kind == "x":
		r.dependsOn[from] = append(r.dependsOn[from], to.Name)
	case from.Kind == Sequence && to.Kind == Column && kind == "a":
		return
	}
	r.need(o, to)
}

func (r *reader) need(o *Object, k Key) {
	if _, ok := r.objects[k]; ok {
		o.Needs = append(o.Needs, k)
	}
}

// resolve finds the managed object at the address: the column, or else what it is a column of.
func (r *reader) resolve(at ref) (Key, bool) {
	if k, ok := r.refs[at]; ok {
		return k, true
	}
	at.sub = 0
	k, ok := r.refs[at]
	return k, ok
}
