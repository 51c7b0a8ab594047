package desired_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/desired"
)

// Of a table that is divided by something else first, the branches are declared, and their partitions a policy's.
const branches = `CREATE DOMAIN instant AS timestamptz;
CREATE TABLE ev (tenant text, at timestamptz) PARTITION BY LIST (tenant);
CREATE TABLE ev_eu PARTITION OF ev FOR VALUES IN ('de', 'fr') PARTITION BY RANGE (at);
CREATE TABLE ev_us PARTITION OF ev FOR VALUES IN ('us') PARTITION BY HASH (tenant);
CREATE TABLE ev_us_0 PARTITION OF ev_us FOR VALUES WITH (MODULUS 1, REMAINDER 0) PARTITION BY RANGE (at);
CREATE TABLE ev_rest PARTITION OF ev DEFAULT;
CREATE TABLE later (id int, at instant) PARTITION BY HASH (id);
CREATE TABLE dom (at instant) PARTITION BY RANGE (at);
CREATE TABLE flat (tenant text, at date) PARTITION BY LIST (tenant);
CREATE TABLE flat_a PARTITION OF flat FOR VALUES IN ('a') PARTITION BY LIST (at);
`

func branchPolicy(line int, name string) config.Partition {
	return config.Partition{Table: config.Table{Schema: "public", Name: name}, Pos: config.Pos{File: "atlas.hcl", Line: line, Column: 1}}
}

func TestBranches(t *testing.T) {
	for name, policies := range map[string][]config.Partition{
		"of the table":    {branchPolicy(1, "ev"), branchPolicy(2, "later"), branchPolicy(3, "dom")},
		"of each of them": {branchPolicy(1, "ev_eu"), branchPolicy(2, "ev_us_0")},
		"of an inner one": {branchPolicy(1, "ev_us")},
	} {
		r := mustLoad(t, map[string]string{"a.sql": branches}, func(o *desired.Options) {
			o.Partitions = policies
			if name == "of each of them" {
				o.Archives = []config.Archive{{Table: policies[0].Table, Into: config.Table{Schema: "public", Name: "eu_old"}, Partitioned: true, Pos: policies[0].Pos}}
			}
		})
		var got []string
		for _, o := range r.Snapshot.Objects {
			if o.Key.Kind == catalog.Partition {
				got = append(got, o.Key.Name)
			}
		}
		if want := []string{"ev_eu", "ev_rest", "ev_us", "ev_us_0", "flat_a"}; !slices.Equal(got, want) {
			t.Errorf("%s: the partitions %v are declared, want %v", name, got, want)
		}
		if name == "of each of them" && fact(t, r, catalog.TableKey("public", "eu_old"), catalog.FactPartitionKey) != "RANGE (at)" {
			t.Error("the archive of a branch is not divided as the branch is")
		}
	}
}

func TestBranchesThatCannotBe(t *testing.T) {
	_, err := load(t, map[string]string{"a.sql": branches + "CREATE TABLE ev_eu_2026 PARTITION OF ev_eu FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2027-01-01 00:00+00');\n"}, func(o *desired.Options) {
		o.Partitions = []config.Partition{branchPolicy(1, "ev"), branchPolicy(2, "ev_us_0"), branchPolicy(3, "flat"), branchPolicy(4, "ev_rest")}
		o.Archives = []config.Archive{{Table: config.Table{Schema: "public", Name: "ev"}, Into: config.Table{Schema: "public", Name: "ev_old"}, Partitioned: true, Pos: config.Pos{File: "atlas.hcl", Line: 5, Column: 1}}}
	})
	want := `a.sql:11:1: partition public.ev_eu_2026: a policy of atlas.hcl makes the partitions of table public.ev_eu: remove it from the sources
    CREATE TABLE ev_eu_2026 PARTITION OF ev_eu FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2027-01-01 00:00+00')
atlas.hcl:2:1: partition "ev_us_0": public.ev_us_0 is a branch of public.ev, of which the policy at atlas.hcl:1:1 tends every branch: keep one of them
atlas.hcl:3:1: partition "flat": table public.flat is partitioned by LIST (tenant); only RANGE over one column can be kept, and none of its declared branches is
atlas.hcl:4:1: partition "ev_rest": public.ev_rest is a branch of public.ev, of which the policy at atlas.hcl:1:1 tends every branch: keep one of them
atlas.hcl:5:1: archive of public.ev: its branches are divided by time, and an archive has no branches: in place of this partition block, give each branch one of its own, such as partition "ev_eu" { … archive { … into = "ev_eu_archive" } }`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	_, err = load(t, map[string]string{"a.sql": branches}, func(o *desired.Options) { o.Partitions = []config.Partition{branchPolicy(1, "ev_rest")} })
	if err == nil || !strings.Contains(err.Error(), `atlas.hcl:1:1: partition "ev_rest": table public.ev_rest is not partitioned`) {
		t.Error(err)
	}
}
