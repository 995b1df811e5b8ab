package change_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

var refusedDay = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func refusedKey(n int) configuration.Key {
	return configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: fmt.Sprintf("w%03d", n)}
}

func causes(types ...change.CauseType) []change.Cause {
	out := make([]change.Cause, 0, len(types))
	for _, t := range types {
		out = append(out, change.Cause{Type: t})
	}
	return out
}

func TestWouldDeny(t *testing.T) {
	var monday, tuesday change.Refusals
	monday.Add(refusedKey(1), causes(change.CauseNoChange, change.CauseFrozen, change.CauseNoChange), refusedDay)
	monday.Add(refusedKey(2), causes(change.CauseNoChange), refusedDay)
	w := change.NextWouldDeny(nil, &monday, refusedDay)
	tuesday.Add(refusedKey(1), causes(change.CauseConflict), refusedDay.AddDate(0, 0, 1))
	w = change.NextWouldDeny(w, &tuesday, refusedDay.AddDate(0, 0, 1))
	want := &v1alpha1.WouldDeny{
		Count: 3, Workloads: []string{"Deployment/shop/w001", "Deployment/shop/w002"},
		Reasons: []v1alpha1.ReasonCount{{Reason: "NoChange", Count: 2}, {Reason: "Conflict", Count: 1}, {Reason: "Frozen", Count: 1}},
		Days: []v1alpha1.WouldDenyDay{
			{Date: "2026-11-23", Count: 1, Workloads: []string{"Deployment/shop/w001"}, Reasons: []v1alpha1.ReasonCount{{Reason: "Conflict", Count: 1}}},
			{Date: "2026-11-22", Count: 2, Workloads: []string{"Deployment/shop/w002"}, Reasons: []v1alpha1.ReasonCount{{Reason: "NoChange", Count: 2}, {Reason: "Frozen", Count: 1}}},
		},
	}
	if diff := cmp.Diff(want, w); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if again := change.NextWouldDeny(w, &change.Refusals{}, refusedDay.AddDate(0, 0, 6)); again != w {
		t.Error("nothing changed, and it is another")
	}
	end := change.RefusalsEnd(w)
	if want := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC); !end.Equal(want) {
		t.Errorf("the oldest day drops out at %s, want %s", end, want)
	}
	w = change.NextWouldDeny(w, &change.Refusals{}, end)
	if w == nil || w.Count != 1 || len(w.Days) != 1 || len(w.Workloads) != 1 {
		t.Errorf("after a week: %+v", w)
	}
	if w = change.NextWouldDeny(w, &change.Refusals{}, end.AddDate(0, 0, 1)); w != nil {
		t.Errorf("after eight days: %+v", w)
	}
}

// What several replicas count and push in turns is what one that sees all would count, and it is bounded.
func TestWouldDenyOfReplicas(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		var status *v1alpha1.WouldDeny
		replicas, all := make([]change.Refusals, 3), change.Refusals{}
		for range 300 {
			key, reason := refusedKey(random.IntN(80)), causes(change.CauseType(fmt.Sprint("R", random.IntN(25))))
			n := random.IntN(len(replicas))
			replicas[n].Add(key, reason, refusedDay)
			all.Add(key, reason, refusedDay)
			if random.IntN(10) == 0 {
				// A push that failed is put back together with what came meanwhile.
				batch := replicas[n]
				replicas[n] = change.Refusals{}
				if random.IntN(3) == 0 {
					replicas[n].Merge(&batch)
					continue
				}
				status = change.NextWouldDeny(status, &batch, refusedDay)
			}
		}
		for n := range replicas {
			status = change.NextWouldDeny(status, &replicas[n], refusedDay)
		}
		if status.Count != all.Count() || status.Count != 300 {
			t.Fatalf("seed %d: %d requests, want %d", seed, status.Count, all.Count())
		}
		if len(status.Workloads) > 50 || !status.MoreWorkloads || len(status.Reasons) > 20 || len(status.Days) != 1 || len(status.Days[0].Workloads) > 50 {
			t.Fatalf("seed %d: not bounded: %d workloads (more: %t), %d reasons", seed, len(status.Workloads), status.MoreWorkloads, len(status.Reasons))
		}
	}
}

func TestWouldDenyOfWildClocks(t *testing.T) {
	var r change.Refusals
	for n := range 1000 {
		r.Add(refusedKey(1), nil, refusedDay.AddDate(0, 0, n-500))
	}
	w := change.NextWouldDeny(nil, &r, refusedDay.AddDate(0, 0, -500))
	if w == nil || len(w.Days) > 7 {
		t.Errorf("%+v", w)
	}
}
