package configuration_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

var now = builder.Epoch.Add(time.Hour)

func at(d time.Duration) metav1.Time { return metav1.NewTime(builder.Epoch.Add(d)) }

func workload(tb testing.TB, obj runtime.Object) configuration.Workload {
	tb.Helper()
	u := builder.Unstructured(obj, obj.GetObjectKind().GroupVersionKind())
	w, err := configuration.FromObject(u.Object)
	if err != nil {
		tb.Fatalf("FromObject: %v", err)
	}
	return w
}

func edited[T any](obj *T, edit func(*T)) *T {
	edit(obj)
	return obj
}

func TestFromObject(t *testing.T) {
	type want struct {
		Desired, Ready, Updated, Current, Active int32
		Hold                                     configuration.Hold
		Selects, RolledOut                       bool
	}
	apps := map[string]string{"app": "checkout"}
	tests := map[string]struct {
		obj  runtime.Object
		want want
	}{
		"Deployment": {
			builder.MakeDeployment("shop", "checkout").Replicas(3).Status(4, 2, 3).Paused().Obj(),
			want{Desired: 3, Ready: 3, Updated: 2, Current: 4, Selects: true, Hold: configuration.Hold{Paused: true}},
		},
		"Deployment, rolled out": {
			builder.MakeDeployment("shop", "checkout").Replicas(3).RolledOut().Obj(),
			want{Desired: 3, Ready: 3, Updated: 3, Current: 3, Selects: true, RolledOut: true},
		},
		"Deployment, not observed": {
			builder.MakeDeployment("shop", "checkout").Replicas(3).RolledOut().Generation(2).Obj(),
			want{Desired: 3, Ready: 3, Updated: 3, Current: 3, Selects: true},
		},
		"Deployment, an old pod is left": {
			builder.MakeDeployment("shop", "checkout").Replicas(3).Status(4, 3, 4).Obj(),
			want{Desired: 3, Ready: 4, Updated: 3, Current: 4, Selects: true},
		},
		"Deployment, scaled to zero": {
			builder.MakeDeployment("shop", "checkout").Replicas(0).RolledOut().Obj(), want{Selects: true},
		},
		"StatefulSet": {
			edited(builder.StatefulSet("shop", "checkout"), func(s *appsv1.StatefulSet) {
				s.Spec.Replicas = nil
				s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: ptr.To[int32](2)}
				s.Status = appsv1.StatefulSetStatus{ObservedGeneration: 1, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1}
			}),
			want{Desired: 1, Ready: 1, Updated: 1, Current: 1, Selects: true, RolledOut: true, Hold: configuration.Hold{Partition: 2}},
		},
		"DaemonSet": {
			edited(builder.DaemonSet("shop", "checkout"), func(s *appsv1.DaemonSet) {
				s.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType
				s.Status = appsv1.DaemonSetStatus{ObservedGeneration: 1, DesiredNumberScheduled: 3, NumberReady: 2, UpdatedNumberScheduled: 1, CurrentNumberScheduled: 3}
			}),
			want{Desired: 3, Ready: 2, Updated: 1, Current: 3, Selects: true, Hold: configuration.Hold{OnDelete: true}},
		},
		"ReplicaSet": {
			edited(builder.ReplicaSet("shop", "checkout"), func(s *appsv1.ReplicaSet) {
				s.Status = appsv1.ReplicaSetStatus{ObservedGeneration: 1, Replicas: 1, ReadyReplicas: 1}
			}),
			want{Desired: 1, Ready: 1, Updated: 1, Current: 1, Selects: true, RolledOut: true},
		},
		"ReplicationController selects by its template": {
			builder.ReplicationController("shop", "checkout"), want{Desired: 1, Selects: true},
		},
		"Pod": {
			builder.MakePod("shop", "checkout").Ready(at(0)).Obj(), want{Desired: 1, Ready: 1, Updated: 1, Current: 1, RolledOut: true},
		},
		"Pod that ended": {
			builder.MakePod("shop", "checkout").Alter(func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }).Obj(), want{Desired: 1},
		},
		"Job, running": {
			edited(builder.Job("shop", "checkout"), func(j *batchv1.Job) { j.Status.Active = 2 }),
			want{Desired: 1, Ready: 1, Current: 2, Updated: 2, Active: 2},
		},
		"Job, completed": {
			edited(builder.Job("shop", "checkout"), func(j *batchv1.Job) {
				j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: at(time.Minute)}}
			}),
			want{Desired: 1, Ready: 1, RolledOut: true},
		},
		"Job, failed": {
			edited(builder.Job("shop", "checkout"), func(j *batchv1.Job) {
				j.Spec.Suspend = new(true)
				j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, LastTransitionTime: at(time.Minute)}}
			}),
			want{Desired: 1, Hold: configuration.Hold{Suspended: true}},
		},
		"CronJob that never ran": {builder.CronJob("shop", "checkout"), want{Desired: 1, Ready: 1}},
		"CronJob that runs": {
			edited(builder.CronJob("shop", "checkout"), func(c *batchv1.CronJob) {
				c.Status = batchv1.CronJobStatus{LastScheduleTime: new(at(0)), Active: []corev1.ObjectReference{{Name: "x"}}}
			}),
			want{Desired: 1, Ready: 1, Active: 1, Current: 1, Updated: 1},
		},
		"CronJob whose last run succeeded": {
			edited(builder.CronJob("shop", "checkout"), func(c *batchv1.CronJob) {
				c.Status = batchv1.CronJobStatus{LastScheduleTime: new(at(0)), LastSuccessfulTime: new(at(time.Minute))}
			}),
			want{Desired: 1, Ready: 1, RolledOut: true},
		},
		"CronJob whose last run failed": {
			edited(builder.CronJob("shop", "checkout"), func(c *batchv1.CronJob) {
				c.Spec.Suspend = new(true)
				c.Status = batchv1.CronJobStatus{LastScheduleTime: new(at(time.Hour)), LastSuccessfulTime: new(at(time.Minute))}
			}),
			want{Desired: 1, Hold: configuration.Hold{Suspended: true}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := workload(t, test.obj)
			got := want{w.Desired, w.Ready, w.Updated, w.Current, w.Active, w.Hold, w.Selector.Matches(apps), w.RolledOut()}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			kind := test.obj.GetObjectKind().GroupVersionKind()
			if want := (configuration.Key{Group: kind.Group, Kind: kind.Kind, Namespace: "shop", Name: "checkout"}); w.Key != want {
				t.Errorf("key is %v, want %v", w.Key, want)
			}
			if w.Template.Images["app"] != "registry.shop.example/checkout:1.0" || w.Template.Labels["app"] != "checkout" {
				t.Errorf("template is %v", w.Template)
			}
		})
	}
}

func TestFromObjectMetadata(t *testing.T) {
	d := builder.MakeDeployment("shop", "checkout").Label("team", "payments").Label("itil.dev/incidents", "disabled").
		Annotation("itil.dev/change", "checkout-2").Annotation("other.example/x", "y").
		Condition(appsv1.DeploymentCondition{Type: "Progressing", Status: "False", Reason: "ProgressDeadlineExceeded", LastTransitionTime: at(0), LastUpdateTime: at(time.Minute)}).
		Obj()
	d.OwnerReferences = []metav1.OwnerReference{
		{APIVersion: "v1", Kind: "ConfigMap", Name: "not-its-controller", UID: "a"},
		{APIVersion: "shop.example/v1", Kind: "Shop", Name: "shop", UID: "b", Controller: new(true)},
	}
	d.DeletionTimestamp = new(at(time.Hour))
	got := workload(t, d)
	want := configuration.Workload{
		Key: configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "checkout"},
		UID: "uid-Deployment-shop-checkout", Generation: 1, CreatedAt: builder.Epoch, Deleting: true,
		Labels: map[string]string{"itil.dev/incidents": "disabled"}, Annotations: map[string]string{"itil.dev/change": "checkout-2"},
		Owner: &configuration.Owner{Key: configuration.Key{Group: "shop.example", Kind: "Shop", Namespace: "shop", Name: "shop"}, UID: "b"},
		Conditions: map[string]configuration.Condition{
			"Progressing": {Status: "False", Reason: "ProgressDeadlineExceeded", Since: builder.Epoch, UpdatedAt: builder.Epoch.Add(time.Minute)},
		},
		Desired: 1, Selector: configuration.Selector{Defined: true, MatchLabels: map[string]string{"app": "checkout"}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(configuration.Workload{}, "Template")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFromObjectRefuses(t *testing.T) {
	tests := map[string]struct {
		obj     map[string]any
		unknown bool
	}{
		"nil":                {nil, true},
		"another kind":       {map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "x"}}, true},
		"another group":      {map[string]any{"apiVersion": "shop.example/v1", "kind": "Deployment", "metadata": map[string]any{"name": "x"}}, true},
		"a kind as a number": {map[string]any{"apiVersion": "apps/v1", "kind": 1}, true},
		"no name":            {map[string]any{"apiVersion": "apps/v1", "kind": "Deployment"}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := configuration.FromObject(test.obj)
			if err == nil || errors.Is(err, configuration.ErrUnknownKind) != test.unknown {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func FuzzFromObject(f *testing.F) {
	for _, obj := range []runtime.Object{
		builder.MakeDeployment("shop", "checkout").RolledOut().Obj(), builder.CronJob("shop", "checkout"),
		builder.Job("shop", "checkout"), builder.MakePod("shop", "checkout").Obj(), builder.DaemonSet("shop", "x"),
		builder.StatefulSet("shop", "x"), builder.ReplicationController("shop", "x"),
	} {
		data, err := json.Marshal(obj)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"x","labels":[],"ownerReferences":[1]},"spec":{"replicas":-1e300,"selector":[]},"status":{"conditions":[null,{"type":"a","lastTransitionTime":"x"}],"readyReplicas":99999999999}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var obj map[string]any
		if json.Unmarshal(data, &obj) != nil {
			return
		}
		before, err := json.Marshal(obj)
		if err != nil {
			t.Fatal(err)
		}
		once, err := configuration.FromObject(obj)
		twice, errTwice := configuration.FromObject(obj)
		if (err == nil) != (errTwice == nil) || !cmp.Equal(once, twice) {
			t.Fatalf("read differently: %v, %v\n%s", err, errTwice, cmp.Diff(once, twice))
		}
		if after, err := json.Marshal(obj); err != nil || string(after) != string(before) {
			t.Fatalf("the object was altered: %v", err)
		}
		if once.Desired < 0 || once.Ready < 0 || once.Updated < 0 || once.Current < 0 || len(once.Conditions) > 32 {
			t.Fatalf("out of bounds: %+v", once)
		}
		once.RolledOut()
		configuration.NextBaselines(nil, &once, nil, configuration.BaselineRules{}, now)
	})
}
