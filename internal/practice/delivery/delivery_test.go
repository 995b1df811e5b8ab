package delivery

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

func change(created time.Duration, alter ...func(*v1alpha1.Change)) *v1alpha1.Change {
	c := &v1alpha1.Change{ObjectMeta: metav1.ObjectMeta{Name: "c", CreationTimestamp: metav1.NewTime(ago(created))}}
	for _, f := range alter {
		f(c)
	}
	return c
}

func went(in, ended time.Duration, rollout v1alpha1.RolloutState) func(*v1alpha1.Change) {
	return func(c *v1alpha1.Change) {
		im := v1alpha1.Implementation{At: metav1.NewTime(ago(in)), Rollout: rollout}
		if rollout != v1alpha1.RolloutInProgress {
			at := metav1.NewTime(ago(ended))
			im.RolledOutAt = &at
		}
		c.Status.Implementations = append(c.Status.Implementations, im)
	}
}

func outcome(o v1alpha1.Outcome) func(*v1alpha1.Change) {
	return func(c *v1alpha1.Change) { c.Status.Outcome = o }
}

func TestOf(t *testing.T) {
	const h = time.Hour
	complete, failed, back := v1alpha1.RolloutComplete, v1alpha1.RolloutFailed, v1alpha1.RolloutRolledBack
	for name, c := range map[string]struct {
		change *v1alpha1.Change
		caused []Incident
		want   Deployment
		none   bool
	}{
		"nothing went in":   {change: change(9 * h), none: true},
		"rolling out":       {change: change(9*h, went(8*h, 0, v1alpha1.RolloutInProgress)), want: Deployment{CreatedAt: ago(9 * h), At: ago(8 * h)}},
		"rolled out":        {change: change(9*h, went(8*h, 7*h, complete)), want: Deployment{CreatedAt: ago(9 * h), At: ago(8 * h), DeployedAt: ago(7 * h)}},
		"the last of two":   {change: change(9*h, went(6*h, 5*h, complete), went(8*h, 7*h, complete)), want: Deployment{CreatedAt: ago(9 * h), At: ago(8 * h), DeployedAt: ago(5 * h)}},
		"one of two":        {change: change(9*h, went(8*h, 7*h, complete), went(6*h, 0, v1alpha1.RolloutInProgress)), want: Deployment{CreatedAt: ago(9 * h), At: ago(8 * h)}},
		"filed afterwards":  {change: change(7*h, went(8*h, 6*h, complete)), want: Deployment{CreatedAt: ago(8 * h), At: ago(8 * h), DeployedAt: ago(6 * h)}},
		"does not roll out": {change: change(9*h, went(8*h, 7*h, failed)), want: Deployment{CreatedAt: ago(9 * h), At: ago(8 * h), Failed: true, FailedAt: ago(8 * h)}},
		"rolled back":       {change: change(9*h, went(8*h, 7*h, back)), want: Deployment{CreatedAt: ago(9 * h), At: ago(8 * h), Failed: true, FailedAt: ago(8 * h), RecoveredAt: ago(7 * h)}},
		"one of two is back": {change: change(9*h, went(8*h, 7*h, back), went(8*h, 7*h, failed)),
			want: Deployment{CreatedAt: ago(9 * h), At: ago(8 * h), Failed: true, FailedAt: ago(8 * h)}},
		"it broke something": {change: change(9*h, went(8*h, 7*h, complete), outcome(v1alpha1.OutcomeUnsuccessful)), caused: []Incident{{ago(6 * h), ago(4 * h)}, {ago(5 * h), ago(3 * h)}},
			want: Deployment{CreatedAt: ago(9 * h), At: ago(8 * h), DeployedAt: ago(7 * h), Failed: true, FailedAt: ago(6 * h), RecoveredAt: ago(3 * h)}},
		"it breaks it still": {change: change(9*h, went(8*h, 7*h, back)), caused: []Incident{{ago(6 * h), time.Time{}}},
			want: Deployment{CreatedAt: ago(9 * h), At: ago(8 * h), Failed: true, FailedAt: ago(6 * h), Broken: true}},
		"back, and then well": {change: change(9*h, went(8*h, 5*h, back)), caused: []Incident{{ago(6 * h), ago(4 * h)}},
			want: Deployment{CreatedAt: ago(9 * h), At: ago(8 * h), Failed: true, FailedAt: ago(6 * h), RecoveredAt: ago(4 * h)}},
		"a repair": {change: change(9*h, went(8*h, 7*h, complete), func(c *v1alpha1.Change) { c.Spec.IncidentRef = &v1alpha1.LocalReference{Name: "i"} }),
			want: Deployment{CreatedAt: ago(9 * h), At: ago(8 * h), DeployedAt: ago(7 * h), Rework: true}},
		"with issues": {change: change(9*h, went(8*h, 7*h, complete), outcome(v1alpha1.OutcomeSuccessfulWithIssues)), want: Deployment{CreatedAt: ago(9 * h), At: ago(8 * h), DeployedAt: ago(7 * h)}},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := Of(c.change, c.caused)
			if ok == c.none {
				t.Fatalf("deployment: %t", ok)
			}
			if ok {
				c.want.Name = "c"
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMeasure(t *testing.T) {
	const h = time.Hour
	int64p := func(n int64) *int64 { return &n }
	deployments := []Deployment{
		{Name: "old", CreatedAt: ago(92 * day), At: ago(91 * day), DeployedAt: ago(91 * day), Failed: true},
		{Name: "a", CreatedAt: ago(20*day + 4*h), At: ago(20 * day), DeployedAt: ago(20 * day)},
		{Name: "b", CreatedAt: ago(10*day + 2*h), At: ago(10 * day), DeployedAt: ago(10 * day)},
		{Name: "c", CreatedAt: ago(9 * day), At: ago(9 * day), Failed: true, FailedAt: ago(9 * day), RecoveredAt: ago(9*day - h)},
		{Name: "broken", CreatedAt: ago(8*day + h), At: ago(8*day + h), Failed: true, FailedAt: ago(8 * day), Broken: true},
		{Name: "d", CreatedAt: ago(8 * day), At: ago(8 * day), Failed: true, FailedAt: ago(8 * day)},
		{Name: "e", CreatedAt: ago(8*day - h), At: ago(8*day - 3*h), DeployedAt: ago(8*day - 4*h), Rework: true},
		{Name: "f", CreatedAt: ago(h), At: ago(h), Failed: true, FailedAt: ago(h)},
		{Name: "g", CreatedAt: ago(h), At: ago(h)},
	}
	last := metav1.NewTime(ago(h))
	want := v1alpha1.DeliveryFigures{
		WindowDays: 90, Deployments: 8, DeploymentsPerWeek: "0.62", LeadTimeSeconds: int64p(3 * 3600), LeadTimes: 3,
		Failed: 4, ChangeFailurePercent: "50.0", RecoverySeconds: int64p(3600), Recoveries: 2, Rework: 1, ReworkPercent: "12.5", LastDeployedAt: &last,
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(deployments), func(i, j int) { deployments[i], deployments[j] = deployments[j], deployments[i] })
	got, next := Measure(deployments, now)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := ago(20 * day).Add(Window); !next.Equal(want) {
		t.Errorf("the next leaves the window at %s, want %s", next, want)
	}
	none, next := Measure(nil, now)
	if diff := cmp.Diff(v1alpha1.DeliveryFigures{WindowDays: 90}, none); diff != "" || !next.IsZero() {
		t.Errorf("of nothing (-want +got):\n%s\nnext %s", diff, next)
	}
}

// Until the next deployment leaves the window, the figures are the same; then they are not.
func TestFiguresAlterOnlyWhenTheySay(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 5))
		var all []Deployment
		for range rng.IntN(12) {
			at := ago(time.Duration(rng.Int64N(int64(100 * day))))
			d := Deployment{CreatedAt: at.Add(-time.Hour), At: at, Rework: rng.IntN(3) == 0}
			if rng.IntN(3) > 0 {
				d.DeployedAt = at.Add(time.Minute)
			} else {
				d.Failed, d.FailedAt = true, at
			}
			all = append(all, d)
		}
		figures, next := Measure(all, now)
		if next.IsZero() != (figures.Deployments == 0) || !next.IsZero() && !next.After(now) {
			t.Fatalf("seed %d: %d deployments, next look %s", seed, figures.Deployments, next)
		}
		if next.IsZero() {
			continue
		}
		before := now.Add(time.Duration(rng.Int64N(int64(next.Sub(now)))))
		if again, _ := Measure(all, before); !cmp.Equal(figures, again) {
			t.Fatalf("seed %d: other figures before the next look:\n%s", seed, cmp.Diff(figures, again))
		}
		if again, _ := Measure(all, next); again.Deployments >= figures.Deployments {
			t.Fatalf("seed %d: nothing left the window at the next look", seed)
		}
	}
}

func TestDecimal(t *testing.T) {
	for _, c := range []struct {
		n, of    int64
		decimals int
		want     string
	}{{0, 3, 1, "0.0"}, {1000, 1, 1, "100.0"}, {1000, 3, 1, "33.3"}, {2000, 3, 1, "66.7"}, {5, 10, 2, "0.01"}, {4, 10, 2, "0.00"}, {700, 90, 2, "0.08"}} {
		if got := decimal(c.n, c.of, c.decimals); got != c.want {
			t.Errorf("%d/%d is %q, want %q", c.n, c.of, got, c.want)
		}
	}
}
