package registry_test

import (
	"math"
	"testing"
)

func TestMetricFormulas(t *testing.T) {
	t.Parallel()
	d := empty(t)
	null := math.NaN() // stands for NULL
	for _, c := range []struct {
		call string
		want float64
	}{
		// 90 hits, 10 missed, 20 false alarms, 80 rightly left.
		{"metric_accuracy(90, 80, 20, 10)", 170.0 / 200},
		{"metric_precision(90, 20)", 90.0 / 110},
		{"metric_recall(90, 10)", 90.0 / 100},
		{"metric_f1(90, 20, 10)", 2 * (90.0 / 110) * 0.9 / (90.0/110 + 0.9)},
		{"metric_accuracy(0, 0, 0, 0)", null},
		{"metric_accuracy(0, 0, 1, 1)", 0},
		{"metric_precision(0, 0)", null},
		{"metric_precision(0, 3)", 0},
		{"metric_recall(0, 0)", null},
		{"metric_f1(0, 0, 5)", null}, // no precision
		{"metric_f1(0, 5, 0)", null}, // no recall
		{"metric_f1(0, 5, 5)", null}, // both are 0
		{"metric_f1(5, 0, 0)", 1},
		{"metric_accuracy(NULL, 1, 1, 1)", null},
		{"metric_accuracy(9223372036854775807, 9223372036854775807, 0, 0)", 1},

		{"metric_mse('{1, 2, 3}', '{1, 4, 6}')", 13.0 / 3},
		{"metric_rmse('{1, 2, 3}', '{1, 4, 6}')", math.Sqrt(13.0 / 3)},
		{"metric_mae('{1, 2, 3}', '{1, 4, 6}')", 5.0 / 3},
		{"metric_r2('{1, 2, 3}', '{1, 4, 6}')", 1 - 13.0/2},
		{"metric_r2('{1, 2, 3}', '{1, 2, 3}')", 1},
		{"metric_r2('{2, 2, 2}', '{1, 2, 3}')", null}, // nothing to explain
		{"metric_mse('{100000}', '{0}')", 1e10},
		{"metric_mse('{}', '{}')", null},
		{"metric_rmse('{}', '{}')", null},
		{"metric_mae('{}', '{}')", null},
		{"metric_r2('{}', '{}')", null},
		{"metric_mae(NULL, NULL)", null},
	} {
		got := get[*float64](d, "SELECT public."+c.call)
		switch {
		case got == nil && !math.IsNaN(c.want), got != nil && math.IsNaN(c.want):
			t.Errorf("%s: got %v, want %v", c.call, got, c.want)
		case got != nil && math.Abs(*got-c.want) > 1e-12*max(1, math.Abs(c.want)):
			t.Errorf("%s: got %v, want %v", c.call, *got, c.want)
		}
	}
	for _, name := range []string{"mse", "rmse", "mae", "r2"} {
		d.refused("22023", "SELECT public.metric_"+name+"('{1, 2}', '{1}')")
		d.refused("22023", "SELECT public.metric_"+name+"('{1, 2}', NULL)")
		d.refused("22004", "SELECT public.metric_"+name+"('{1, NULL}', '{1, 2}')")
	}
	want(t, "metric functions that are not immutable",
		get[int](d, `SELECT count(*) FROM pg_proc WHERE proname LIKE 'metric\_%' AND provolatile <> 'i'`), 0)
	want(t, "metric functions", get[int](d, `SELECT count(*) FROM pg_proc WHERE proname LIKE 'metric\_%'`), 9)
}
