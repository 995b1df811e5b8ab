package change

import (
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

func TestWhetherATemplateCouldComeBack(t *testing.T) {
	template := configuration.ParseTemplate(configuration.KindDeployment, map[string]any{
		"spec": map[string]any{"containers": []any{map[string]any{"name": "app", "image": "checkout:1"}}},
	})
	baseline := func(edit func(*v1alpha1.Baseline)) []v1alpha1.Baseline {
		b := v1alpha1.Baseline{TemplateHash: template.Hash, Source: v1alpha1.BaselineChange, Change: "checkout-1", Proven: true}
		edit(&b)
		return []v1alpha1.Baseline{b}
	}
	allow := &Rules{Rollback: v1alpha1.RollbackAllow, RollbackRevisions: 10, Proven: time.Minute}
	for name, test := range map[string]struct {
		world World
		want  string
	}{
		"proven":       {World{Rules: allow, Baselines: baseline(func(*v1alpha1.Baseline) {})}, ""},
		"not proven":   {World{Rules: allow, Baselines: baseline(func(b *v1alpha1.Baseline) { b.Proven = false })}, "it is not proven: it was never completely rolled out and ready for 1m0s"},
		"unauthorized": {World{Rules: allow, Baselines: baseline(func(b *v1alpha1.Baseline) { b.Source = v1alpha1.BaselineUnauthorized })}, "nobody agreed to it: it is no baseline"},
		"unknown":      {World{Rules: allow}, "nobody agreed to it: it is no baseline"},
		"policy forbids": {
			World{Rules: &Rules{Rollback: v1alpha1.RollbackRequireChange, RollbackRevisions: 10}, Baselines: baseline(func(*v1alpha1.Baseline) {})},
			"the ChangePolicy wants a Change for a rollback too (rollback: RequireChange)",
		},
		"nothing comes back": {
			World{Rules: &Rules{Rollback: v1alpha1.RollbackAllow}, Baselines: baseline(func(*v1alpha1.Baseline) {})},
			"the ChangePolicy lets nothing come back (rollbackRevisions: 0)",
		},
		"its Change failed": {
			World{Rules: allow, Baselines: baseline(func(*v1alpha1.Baseline) {}), FailedChanges: []string{"checkout-1"}},
			"Change checkout-1, which brought it, failed or was rolled back; going forward again needs a Change",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := NoReturn(&template, &test.world); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
