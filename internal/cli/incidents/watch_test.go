package incidents

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// TestWhatAWatchBeginsWith is what the flags keep, and not all that there is.
func TestWhatAWatchBeginsWith(t *testing.T) {
	mine := func(i *v1alpha1.Incident) { i.Spec.Assignee = "me" }
	items := []v1alpha1.Incident{*incident("a"), *incident("b", mine), *incident("c", mine)}
	for n := range items {
		items[n].UID, items[n].ResourceVersion = types.UID(items[n].Name), "1"
	}
	f := &follower{keep: func(i *v1alpha1.Incident) bool { return i.Spec.Assignee == "me" }, shown: map[types.UID]string{"c": "1"}}
	for n := range items {
		f.admit(&items[n])
	}
	var shown string
	for _, i := range chosen(items, f.isPending) {
		shown += i.Name
	}
	if shown != "b" {
		t.Errorf("shows %q: a is another's, and c was shown", shown)
	}
}
