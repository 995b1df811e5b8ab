package detection

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// TestNamespacesLeftOut: nothing opens in kube-system and in the operator's own namespace, until their labels ask for it.
func TestNamespacesLeftOut(t *testing.T) {
	for name, want := range map[string]int{"kube-system": 0, "itil-system": 0, "shop": 1} {
		t.Run(name, func(t *testing.T) {
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
			var more []client.Object
			if name == namespaceSystem {
				more = append(more, ns.DeepCopy())
			}
			s := newScene(t, more...)
			d, p := deployment("web", 1), crashing("web", 0)
			d.Namespace, p.Namespace = name, name
			s.has(d)
			s.seePod(p)
			s.work()
			if got := len(s.list()); got != want {
				t.Fatalf("%d incidents, want %d", got, want)
			}
			asked := ns.DeepCopy()
			asked.Labels = map[string]string{v1alpha1.LabelIncidents: v1alpha1.LabelIncidentsEnabled}
			if err := s.server.Update(t.Context(), asked); err != nil {
				t.Fatal(err)
			}
			s.putNamespace(ns, asked)
			s.work()
			if i := s.one(); i.Namespace != name {
				t.Errorf("incident in %s", i.Namespace)
			}
		})
	}
}

// TestWhatIsMuted: a pod that is its own workload, and a node, are left alone by their own labels.
func TestWhatIsMuted(t *testing.T) {
	for name, label := range map[string]string{"muted": v1alpha1.LabelIncidentsDisabled, "not": ""} {
		labels := map[string]string{v1alpha1.LabelIncidents: label}
		want := 1
		if name == "muted" {
			want = 0
		}
		t.Run("a pod, "+name, func(t *testing.T) {
			s := newScene(t)
			p := crashing("web", 0)
			p.OwnerReferences, p.Labels = nil, labels
			s.seePod(p)
			s.work()
			if got := len(s.list()); got != want {
				t.Errorf("%d incidents, want %d", got, want)
			}
		})
		t.Run("a node, "+name, func(t *testing.T) {
			n := node("node-1", corev1.ConditionUnknown, t0.Add(-time.Hour))
			n.Labels = labels
			s := newScene(t, n)
			s.putNode(nil, n)
			s.work()
			if got := len(s.list()); got != want {
				t.Errorf("%d incidents, want %d", got, want)
			}
		})
	}
}

// TestScaledToZero: what customers use must run, unless its claim allows that it does not.
func TestScaledToZero(t *testing.T) {
	claims := func(name string) *builder.Service {
		return builder.MakeService("shop", name).Claim(v1alpha1.WorkloadDeployment, "web")
	}
	for name, test := range map[string]struct {
		services []*builder.Service
		want     int
	}{
		"a Live service":                    {[]*builder.Service{claims("checkout")}, 1},
		"its claim allows it":               {[]*builder.Service{claims("checkout").ScaleToZero()}, 0},
		"a Retired service":                 {[]*builder.Service{claims("checkout").Lifecycle(v1alpha1.LifecycleRetired)}, 0},
		"a planned service":                 {[]*builder.Service{claims("checkout").Lifecycle(v1alpha1.LifecyclePipeline)}, 0},
		"one of two allows it":              {[]*builder.Service{claims("checkout").ScaleToZero(), claims("search")}, 1},
		"nobody claims it":                  {nil, 0},
		"a planned one beside one that may": {[]*builder.Service{claims("next").Lifecycle(v1alpha1.LifecyclePipeline), claims("checkout").ScaleToZero()}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			for _, service := range test.services {
				s.hasService(service)
			}
			s.has(builder.MakeDeployment("shop", "web").Replicas(0).Generation(1).RolledOut().Obj())
			s.work()
			s.at(time.Minute)
			s.lookAtAll()
			if got := len(s.list()); got != test.want {
				t.Fatalf("%d incidents, want %d", got, test.want)
			}
			if test.want > 0 && s.one().Status.Reason != v1alpha1.SignalNoReplicas {
				t.Errorf("reason %s", s.one().Status.Reason)
			}
		})
	}
}

// recreated is how long what is gone may take to come back.
const recreated = 2 * time.Minute

func TestScope(t *testing.T) {
	muted := map[string]string{v1alpha1.LabelIncidents: v1alpha1.LabelIncidentsDisabled}
	for name, test := range map[string]struct {
		prepare func(*scene)
		want    int
	}{
		"everything": {func(*scene) {}, 1},
		"a muted workload": {func(s *scene) {
			s.has(builder.MakeDeployment("shop", "web").Label(v1alpha1.LabelIncidents, "disabled").Generation(1).Status(1, 1, 0).Obj())
		}, 0},
		"services only": {func(s *scene) { s.Scope = ScopeServices }, 0},
		"services only, claimed": {func(s *scene) {
			s.Scope = ScopeServices
			s.hasService(builder.MakeService("shop", "checkout").Claim(v1alpha1.WorkloadDeployment, "web"))
		}, 1},
		"a service that is planned": {func(s *scene) {
			s.hasService(builder.MakeService("shop", "checkout").Lifecycle(v1alpha1.LifecyclePipeline).Claim(v1alpha1.WorkloadDeployment, "web"))
		}, 0},
		"the operator's namespace": {func(s *scene) { s.Namespace = "shop" }, 0},
		"a muted namespace": {func(s *scene) {
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: muted}}
			if err := s.server.Update(s.t.Context(), ns); err != nil {
				s.t.Fatal(err)
			}
		}, 0},
		"a namespace that goes away": {func(s *scene) {
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Status: corev1.NamespaceStatus{Phase: corev1.NamespaceTerminating}}
			if err := s.server.Status().Update(s.t.Context(), ns); err != nil {
				s.t.Fatal(err)
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.has(deployment("web", 1))
			test.prepare(s)
			s.seePod(crashing("web", 0))
			s.work()
			if got := len(s.list()); got != test.want {
				t.Errorf("%d incidents, want %d", got, test.want)
			}
		})
	}
}

func TestSwitchedOffWhileItFails(t *testing.T) {
	s := newScene(t)
	s.has(deployment("web", 1))
	s.seePod(crashing("web", 0))
	s.work()
	s.has(builder.MakeDeployment("shop", "web").Label(v1alpha1.LabelIncidents, "disabled").Generation(1).Status(1, 1, 0).Obj())
	s.work()
	i := s.one()
	if incident.Active(i.Status.Signals) || i.Status.Evidence[0].Reason != incident.EvidenceSwitched {
		t.Errorf("status %+v", i.Status)
	}
}
