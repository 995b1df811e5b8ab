package gatescope

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

func namespace(name string, labels map[string]string) corev1.Namespace {
	return corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

func service(namespace, name string, enforcement v1alpha1.Enforcement) v1alpha1.Service {
	s := v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	s.Spec.Workloads = []v1alpha1.WorkloadClaim{{Kind: v1alpha1.WorkloadDeployment, Name: v1alpha1.ObjectName(name)}}
	if enforcement != "" {
		s.Spec.ChangeControl = &v1alpha1.ChangeControl{Enforcement: enforcement}
	}
	return s
}

func TestDecide(t *testing.T) {
	production := map[string]string{"env": "production"}
	floor := builder.MakeChangePolicy("production").Enforcement(v1alpha1.EnforcementEnforce)
	silent := builder.MakeChangePolicy("production")
	all := builder.MakeChangePolicy("production").AllWorkloads()
	cases := map[string]struct {
		services []v1alpha1.Service
		policies []v1alpha1.ChangePolicy
		labels   map[string]string
		want     gateconfig.Listed
	}{
		"nothing":                                {want: gateconfig.NotListed},
		"a Service that says nothing":            {services: []v1alpha1.Service{service("shop", "a", "")}, want: gateconfig.ListedAudit},
		"Disabled":                               {services: []v1alpha1.Service{service("shop", "a", v1alpha1.EnforcementDisabled)}, want: gateconfig.NotListed},
		"Warn":                                   {services: []v1alpha1.Service{service("shop", "a", v1alpha1.EnforcementWarn)}, want: gateconfig.ListedAudit},
		"Enforce":                                {services: []v1alpha1.Service{service("shop", "a", v1alpha1.EnforcementEnforce)}, want: gateconfig.ListedEnforce},
		"one Enforce among others":               {services: []v1alpha1.Service{service("shop", "a", ""), service("shop", "b", v1alpha1.EnforcementEnforce), service("shop", "c", v1alpha1.EnforcementDisabled)}, want: gateconfig.ListedEnforce},
		"Enforce elsewhere":                      {services: []v1alpha1.Service{service("pay", "a", v1alpha1.EnforcementEnforce)}, want: gateconfig.NotListed},
		"a Service without claims":               {services: []v1alpha1.Service{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop"}, Spec: v1alpha1.ServiceSpec{ChangeControl: &v1alpha1.ChangeControl{Enforcement: v1alpha1.EnforcementEnforce}}}}, want: gateconfig.NotListed},
		"a policy is the floor":                  {services: []v1alpha1.Service{service("shop", "a", v1alpha1.EnforcementDisabled)}, policies: []v1alpha1.ChangePolicy{*floor.Obj()}, labels: production, want: gateconfig.ListedEnforce},
		"a policy elsewhere":                     {services: []v1alpha1.Service{service("shop", "a", "")}, policies: []v1alpha1.ChangePolicy{*floor.Obj()}, want: gateconfig.ListedAudit},
		"a policy without Services":              {policies: []v1alpha1.ChangePolicy{*floor.Obj()}, labels: production, want: gateconfig.NotListed},
		"a policy that says nothing":             {services: []v1alpha1.Service{service("shop", "a", "")}, policies: []v1alpha1.ChangePolicy{*silent.Obj()}, labels: production, want: gateconfig.ListedAudit},
		"all workloads":                          {policies: []v1alpha1.ChangePolicy{*all.Obj()}, labels: production, want: gateconfig.ListedAudit},
		"all workloads under Enforce":            {policies: []v1alpha1.ChangePolicy{*builder.MakeChangePolicy("production").AllWorkloads().Enforcement(v1alpha1.EnforcementEnforce).Obj()}, labels: production, want: gateconfig.ListedEnforce},
		"the floor of one, the scope of another": {policies: []v1alpha1.ChangePolicy{*floor.Obj(), *all.Obj()}, labels: production, want: gateconfig.ListedAudit},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			lists, left := decide(observed{services: c.services, policies: c.policies, namespaces: []corev1.Namespace{namespace("shop", c.labels)}})
			if got := lists.Of("shop"); got != c.want {
				t.Errorf("listed %q, want %q (lists %v)", got, c.want, lists)
			}
			if n := len(lists.Enforce) + len(lists.Audit); n > 1 || len(left) > 0 {
				t.Errorf("one namespace was listed %d times; left %v", n, left)
			}
		})
	}
}

func TestTheOperatorsNamespaceIsNeverListed(t *testing.T) {
	in := observed{excluded: []string{"itil-system", "kube-system"}}
	for _, name := range []string{"itil-system", "kube-system", "shop"} {
		in.namespaces = append(in.namespaces, namespace(name, map[string]string{"env": "production"}))
		in.services = append(in.services, service(name, "a", v1alpha1.EnforcementEnforce))
	}
	in.policies = []v1alpha1.ChangePolicy{*builder.MakeChangePolicy("production").AllWorkloads().Enforcement(v1alpha1.EnforcementEnforce).Obj()}
	lists, _ := decide(in)
	if diff := cmp.Diff(gateconfig.Namespaces{Enforce: []string{"shop"}}, lists); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAServiceOfADeletedNamespaceListsNothing(t *testing.T) {
	lists, _ := decide(observed{services: []v1alpha1.Service{service("gone", "a", v1alpha1.EnforcementEnforce)}})
	if !lists.Equal(gateconfig.Namespaces{}) {
		t.Errorf("listed %v", lists)
	}
}

func TestAFullListKeepsWhatIsListed(t *testing.T) {
	in := observed{}
	for i := range maxListed + 2 {
		name := fmt.Sprintf("ns-%05d", i)
		in.namespaces = append(in.namespaces, namespace(name, nil))
		in.services = append(in.services, service(name, "a", v1alpha1.EnforcementEnforce))
	}
	last := fmt.Sprintf("ns-%05d", maxListed+1)
	in.listed.Enforce = []string{last}
	lists, left := decide(in)
	if len(lists.Enforce) != maxListed || !slices.IsSorted(lists.Enforce) || lists.Of(last) != gateconfig.ListedEnforce {
		t.Errorf("%d are listed, %s among them: %q", len(lists.Enforce), last, lists.Of(last))
	}
	if diff := cmp.Diff([]string{fmt.Sprintf("ns-%05d", maxListed-1), fmt.Sprintf("ns-%05d", maxListed)}, left); diff != "" {
		t.Errorf("left out (-want +got)\n%s", diff)
	}
	if again, _ := decide(observed{services: in.services, namespaces: in.namespaces, listed: lists}); !again.Equal(lists) {
		t.Error("a full list does not settle")
	}
}
