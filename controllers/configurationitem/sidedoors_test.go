package configurationitem

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

func debug(pod string, at time.Time) *configuration.SideDoor {
	return &configuration.SideDoor{
		What: v1alpha1.SideDoorEphemeralContainer, Pod: configuration.Key{Kind: "Pod", Namespace: "shop", Name: pod},
		Workloads: []configuration.Key{checkout}, Detail: "ephemeral container sh=busybox", By: "eddie", At: at,
	}
}

func TestSideDoorsAreKept(t *testing.T) {
	c := newCluster(t, service(v1alpha1.EnforcementEnforce), version("1", 1).Unstructured())
	c.reconcile(checkout)
	keeper := NewSideDoorKeeper(c.r.Client, c.r.Inventory, c.events)
	writes := c.writes
	keeper.keep(t.Context(), checkout, debug("checkout-1", start))
	c.observe()
	item := c.r.Inventory.Item(checkout)
	want := []v1alpha1.SideDoor{{
		What: v1alpha1.SideDoorEphemeralContainer, Pod: "checkout-1", Detail: "ephemeral container sh=busybox", By: "eddie", At: metav1.NewTime(start),
	}}
	if diff := cmp.Diff(want, item.Status.SideDoors); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for n := range 50 {
		keeper.keep(t.Context(), checkout, debug(fmt.Sprint("checkout-", n), start.Add(time.Minute)))
		c.observe()
	}
	if c.writes != writes+1 || len(c.events.Events) != 1 {
		t.Errorf("%d writes and %d events for a series", c.writes-writes, len(c.events.Events))
	}
	for n := range 15 {
		keeper.keep(t.Context(), checkout, debug("checkout-1", start.Add(time.Duration(n+1)*time.Hour)))
		c.observe()
	}
	item, _ = c.reconcile(checkout)
	if got := item.Status.SideDoors; len(got) != maxSideDoors || !got[0].At.Time.Equal(start.Add(15*time.Hour)) {
		t.Errorf("%d are kept, the newest of %s", len(got), got[0].At)
	}
	keeper.keep(t.Context(), configuration.Key{Kind: "Deployment", Namespace: "shop", Name: "other"}, debug("x", start))
}

func TestSideDoorQueueIsBounded(t *testing.T) {
	keeper := NewSideDoorKeeper(nil, nil, nil)
	before := counted(t, "itil_gate_side_doors_dropped_total")
	for range sideDoorQueue + 5 {
		keeper.SideDoor(*debug("a", start))
	}
	if got := counted(t, "itil_gate_side_doors_dropped_total") - before; got != 5 {
		t.Errorf("%v dropped", got)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	keeper.waiting = nil
	if err := keeper.Start(ctx); err != nil {
		t.Error(err)
	}
}

func TestSideDoorBesideAnotherWriter(t *testing.T) {
	c := newCluster(t, service(v1alpha1.EnforcementEnforce), version("1", 1).Unstructured())
	c.reconcile(checkout)
	keeper := NewSideDoorKeeper(c.r.Client, c.r.Inventory, c.events)
	// The cache is behind: another replica has written one meanwhile.
	keeper.keep(t.Context(), checkout, debug("checkout-1", start))
	keeper.keep(t.Context(), checkout, debug("checkout-1", start.Add(time.Hour)))
	c.observe()
	if got := c.r.Inventory.Item(checkout).Status.SideDoors; len(got) != 2 {
		t.Errorf("%d are kept", len(got))
	}
}

// Whoever came in by one side door cannot have it forgotten by going through another many times.
func TestSideDoorsDoNotPushOutEachOther(t *testing.T) {
	door := func(what v1alpha1.SideDoorKind, detail string, n int) *configuration.SideDoor {
		d := debug("checkout-1", start.Add(time.Duration(n)*time.Second))
		d.What, d.Detail = what, detail
		return d
	}
	var list []v1alpha1.SideDoor
	list, _ = withSideDoor(list, door(v1alpha1.SideDoorEphemeralContainer, "ephemeral container sh=evil", 0))
	list, _ = withSideDoor(list, door(v1alpha1.SideDoorRelabel, "labels of Deployment checkout", 1))
	for n := range 3 * maxSideDoors {
		list, _ = withSideDoor(list, door(v1alpha1.SideDoorResize, fmt.Sprint("resources ", n), n+2))
	}
	if len(list) != maxSideDoors || list[0].Detail != fmt.Sprint("resources ", 3*maxSideDoors-1) {
		t.Fatalf("%d are kept, the newest %q", len(list), list[0].Detail)
	}
	if last := list[len(list)-1]; last.What != v1alpha1.SideDoorEphemeralContainer || list[len(list)-2].What != v1alpha1.SideDoorRelabel {
		t.Errorf("kept %+v", list)
	}
}
