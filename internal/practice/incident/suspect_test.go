package incident_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// TestSuspect: what is suspected of a failure that began at t0.
func TestSuspect(t *testing.T) {
	own := func(ago time.Duration, change string) incident.Implementation {
		return incident.Implementation{Namespace: "shop", Change: change, How: "Audited", At: at(-ago), On: "Deployment web", TemplateHash: "v1:" + change}
	}
	dependency := func(ago time.Duration) incident.Implementation {
		i := own(ago, "ledger-2")
		i.Dependency = true
		return i
	}
	one := func(list ...incident.Implementation) []incident.Implementation { return list }
	for name, test := range map[string]struct {
		list        []incident.Implementation
		currentOnly bool
		// seen is when the failure was first seen; 0 is now.
		seen time.Duration
		// template of the workload now; empty: that of web-2.
		template string
		want     string
	}{
		"nothing went in":                   {nil, true, 0, "", ""},
		"only the new fails, at once":       {one(own(2*minute, "web-2")), true, 0, "", "High web-2"},
		"at once":                           {one(own(2*minute, "web-2")), false, 0, "", "Medium web-2"},
		"only the new fails, after a while": {one(own(50*minute, "web-2")), true, 0, "", "Medium web-2"},
		"after a while":                     {one(own(50*minute, "web-2")), false, 0, "", "Low web-2"},
		"too long before":                   {one(own(61*minute, "web-2")), true, 0, "", ""},
		"a second later":                    {one(own(second, "web-2")), false, 0, "", "Medium web-2"},
		"the newest":                        {one(own(50*minute, "web-2"), own(2*minute, "web-3")), true, 0, "", "High web-3"},
		"in a dependency":                   {one(dependency(5 * minute)), false, 0, "", "Low ledger-2"},
		"rather in the workload itself":     {one(dependency(5*minute), own(20*minute, "web-2")), false, 0, "", "Low web-2"},
		"without a Change":                  {one(own(2*minute, "")), true, 0, "", "High "},

		"at the very second, in all pods":                      {one(own(0, "web-2")), false, 0, "", ""},
		"at the very second, only the new":                     {one(own(0, "web-2")), true, 0, "", "High web-2"},
		"afterwards":                                           {one(own(-2*minute, "web-2")), true, 0, "", ""},
		"a kubelet is behind, and only the new fails":          {one(own(-30*second, "web-2")), true, 0, "", "High web-2"},
		"it is seen after what went in, and only the new":      {one(own(-30*second, "web-2")), true, 40 * second, "", "High web-2"},
		"pods of older templates failed before":                {one(own(-second, "web-2")), false, 0, "", ""},
		"it was seen before, and later only the new is left":   {one(own(-30*second, "web-2")), true, 20 * second, "", ""},
		"what is known of the workload is from before":         {one(own(-30*second, "web-2")), true, 0, "v1:web-1", ""},
		"a dependency's, which cannot be told by pods":         {one(dependency(-second)), true, 0, "", ""},
		"the one before, rather than what came too late":       {one(own(-30*second, "web-2"), own(20*minute, "web-1")), false, 0, "", "Low web-1"},
		"of two within a minute, that by which the pods run":   {one(own(-10*second, "web-3"), own(-5*second, "web-2")), true, 0, "", "High web-2"},
		"the repair of a failure that is a minute old is none": {one(own(-50*second, "web-2")), false, 10 * second, "", ""},
	} {
		f := incident.Failure{Began: t0, CurrentOnly: test.currentOnly, TemplateHash: "v1:web-2"}
		if test.template != "" {
			f.TemplateHash = test.template
		}
		if test.seen != 0 {
			f.Seen = at(test.seen)
		}
		got := ""
		if s := incident.Suspect(test.list, f); s != nil {
			got = string(s.Confidence) + " " + s.Name
			if s.Name == "" && !strings.Contains(s.Reason, "without a Change") {
				t.Errorf("%s: %s", name, s.Reason)
			}
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestSuspected(t *testing.T) {
	for name, test := range map[string]struct {
		suspects *v1alpha1.SuspectedChange
		want     string
	}{
		"none":                 {nil, "/"},
		"one without a record": {&v1alpha1.SuspectedChange{Namespace: "shop"}, "/"},
		"one of its namespace": {&v1alpha1.SuspectedChange{Name: "web-2"}, "shop/web-2"},
		"one of another":       {&v1alpha1.SuspectedChange{Namespace: "finance", Name: "ledger-7"}, "finance/ledger-7"},
	} {
		i := &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a"}}
		i.Status.SuspectedChange = test.suspects
		if got := incident.Suspected(i).String(); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
