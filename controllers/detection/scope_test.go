package detection

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
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

// TestReplicaSetIsReadOnce: whose ReplicaSet it is, is asked for once, whatever becomes of its pods.
func TestReplicaSetIsReadOnce(t *testing.T) {
	s := newScene(t, replicaSet("web-5d4f", "uid-set-web", &metav1.OwnerReference{
		APIVersion: "argoproj.io/v1alpha1", Kind: kindRollout, Name: "web",
	}))
	reads := 0
	s.Reader = interceptor.NewClient(s.server.(client.WithWatch), interceptor.Funcs{
		Get: func(ctx ctx, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if _, is := o.(*metav1.PartialObjectMetadata); is {
				reads++
			}
			return s.getLive(ctx, c, key, o, opts...)
		},
	})
	for n := range 5 {
		s.seePod(pod("web", n))
		s.work()
	}
	for n := range 5 {
		s.seePod(crashing("web", n))
		s.work()
	}
	key := configuration.Key{Group: groupRollouts, Kind: kindRollout, Namespace: "shop", Name: "web"}
	if i := s.one(); reads != 1 || i.Spec.WorkloadRef.Kind != kindRollout || len(s.pods.of(key)) != 5 {
		t.Errorf("read %d times; an Incident about %+v, which has %d pods", reads, i.Spec.WorkloadRef, len(s.pods.of(key)))
	}
}

// TestAControllerThatNobodyReads: of a kind that is not watched its pods are all that is known. That they are replaced is
// nothing; that there are none for two minutes ends its Incident, which does not say that it knows more; what fails then
// fails again.
func TestAControllerThatNobodyReads(t *testing.T) {
	s := newScene(t)
	fails := crashing("build", 0)
	fails.OwnerReferences[0].APIVersion, fails.OwnerReferences[0].Kind, fails.OwnerReferences[0].Name = "tekton.dev/v1", "TaskRun", "build"
	key := configuration.Key{Group: "tekton.dev", Kind: "TaskRun", Namespace: "shop", Name: "build"}
	look := func(after time.Duration) *v1alpha1.Incident {
		s.at(after)
		s.enqueue(key)
		s.work()
		return s.one()
	}
	s.seePod(fails)
	if i := look(0); !incident.Active(i.Status.Signals) {
		t.Fatalf("signals %+v", i.Status.Signals)
	}
	s.removePod(record(fails))
	s.work()
	if i := look(recreated - time.Second); !incident.Active(i.Status.Signals) {
		t.Error("a deleted pod clears what failed")
	}
	i := look(recreated)
	if incident.Active(i.Status.Signals) || len(i.Status.Evidence) != 1 {
		t.Fatalf("signals %+v, evidence %+v", i.Status.Signals, i.Status.Evidence)
	}
	if e := i.Status.Evidence[0]; e.Reason != incident.EvidenceGone || !strings.Contains(e.Message, "not watched") {
		t.Errorf("it says %q", e.Message)
	}
	again := fails.DeepCopy()
	end := metav1.NewTime(t0.Add(recreated + 50*time.Second))
	again.UID, again.CreationTimestamp, again.Status.StartTime = "uid-again", end, &end
	again.Status.ContainerStatuses[0].LastTerminationState.Terminated.StartedAt = end
	again.Status.ContainerStatuses[0].LastTerminationState.Terminated.FinishedAt = end
	s.seePod(again)
	if i := look(recreated + time.Minute); !incident.Active(i.Status.Signals) {
		t.Error("it fails, and nothing tells")
	}
}

// recreated is how long what is gone may take to come back.
const recreated = 2 * time.Minute
