package service

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// sized is a Deployment of two pods that ask for an amount of CPU; no limit: as much as there is.
func sized(t *testing.T, request, limit string) client.Object {
	t.Helper()
	d := builder.MakeDeployment("shop", "checkout").Replicas(2).Status(2, 2, 2).Obj()
	c := &d.Spec.Template.Spec.Containers[0]
	c.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(request)}
	if limit != "" {
		c.Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(limit)}
	}
	d.APIVersion, d.Kind = "apps/v1", "Deployment"
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(d)
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: raw}
}

func TestCapacity(t *testing.T) {
	needs := builder.MakeService("shop", "checkout").Claim("Deployment", "checkout").Obj()
	needs.Spec.Resources = &v1alpha1.RequiredResources{CPU: "4"}
	quota := func(hard, used string) client.Object {
		list := func(v string) corev1.ResourceList {
			return corev1.ResourceList{corev1.ResourceRequestsCPU: resource.MustParse(v)}
		}
		return &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "quota"},
			Spec:       corev1.ResourceQuotaSpec{Hard: list(hard)}, Status: corev1.ResourceQuotaStatus{Hard: list(hard), Used: list(used)},
		}
	}
	scaler := func(most int32) client.Object {
		return &autoscalingv2.HorizontalPodAutoscaler{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout"},
			Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
				ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "checkout"}, MaxReplicas: most,
			},
		}
	}
	largest := func(what corev1.LimitType, cpu string) client.Object {
		return &corev1.LimitRange{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "small-pods"},
			Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{
				{Type: what, Max: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}},
			}},
		}
	}
	cases := map[string]struct {
		objects []client.Object
		says    string
	}{
		"no limits":                  {[]client.Object{sized(t, "500m", "")}, ""},
		"two pods of two cores":      {[]client.Object{sized(t, "1", "2")}, ""},
		"two pods of one core":       {[]client.Object{sized(t, "500m", "1")}, "cpu: 2 short of 4, by what its workloads may use at most"},
		"and an autoscaler":          {[]client.Object{sized(t, "500m", "1"), scaler(4)}, ""},
		"whose ceiling is too low":   {[]client.Object{sized(t, "500m", "1"), scaler(3)}, "cpu: 1 short of 4, by what its workloads may use at most"},
		"a quota":                    {[]client.Object{sized(t, "1", ""), quota("6", "4")}, ""},
		"a quota that is too small":  {[]client.Object{sized(t, "1", ""), quota("6", "5")}, "cpu: 1 short of 4, by ResourceQuota quota"},
		"too small for the ceiling":  {[]client.Object{sized(t, "1", ""), quota("6", "2"), scaler(9)}, "cpu: 3 short of the 9 that its workloads ask for at the ceilings"},
		"pods that may not be":       {[]client.Object{sized(t, "1500m", ""), largest(corev1.LimitTypePod, "1")}, "cpu: a pod of Deployment checkout asks for 500m more than LimitRange small-pods"},
		"pods that may":              {[]client.Object{sized(t, "1", ""), largest(corev1.LimitTypePod, "1")}, ""},
		"containers that may not be": {[]client.Object{sized(t, "1", "2500m"), largest(corev1.LimitTypeContainer, "2")}, "cpu: a container of Deployment checkout asks for 500m more than LimitRange small-pods lets a container have"},
		"containers that may":        {[]client.Object{sized(t, "1", "2"), largest(corev1.LimitTypeContainer, "2")}, ""},
		"a claim's own range":        {[]client.Object{sized(t, "1", "2"), largest(corev1.LimitTypePersistentVolumeClaim, "1")}, ""},
		"a workload that is not yet": {nil, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			k := newCluster(t, append(c.objects, needs.DeepCopy())...)
			s, _ := k.reconcile("checkout")
			got := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionCapacityMet)
			if (got.Status == metav1.ConditionTrue) != (c.says == "") || !strings.Contains(got.Message, c.says) {
				t.Errorf("%s: %s", got.Status, got.Message)
			}
		})
	}
}

func TestLifecycle(t *testing.T) {
	cases := map[string]struct {
		lifecycle v1alpha1.Lifecycle
		replicas  int32
		want      string
		next      string
	}{
		"live":                    {v1alpha1.LifecycleLive, 1, "True/Live", ""},
		"not offered yet":         {v1alpha1.LifecyclePipeline, 1, "True/NotOfferedYet", ""},
		"retired, and gone":       {v1alpha1.LifecycleRetired, 0, "True/NothingRuns", ""},
		"retired, and running on": {v1alpha1.LifecycleRetired, 1, "False/StillRunning", "stop Deployment checkout, or say that it is Live"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			k := newCluster(t, builder.MakeService("shop", "checkout").Claim("Deployment", "checkout").Lifecycle(c.lifecycle).Obj(), checkout(c.replicas, c.replicas))
			s, _ := k.reconcile("checkout")
			if got := condition(s, v1alpha1.ConditionLifecycleKept); got != c.want || !strings.Contains(s.NextStep, c.next) {
				t.Errorf("%s, next step %q", got, s.NextStep)
			}
		})
	}
}

func TestGoals(t *testing.T) {
	s := builder.MakeService("shop", "checkout").Claim("Deployment", "checkout").Obj()
	s.Spec.Goals = []v1alpha1.Goal{
		{Name: "up", Description: "always there", Measure: "gold"},
		{Name: "peak", Description: "50 orders a second", Measure: "orders per second"},
		{Name: "nice", Description: "people like it", Measure: "silver"},
	}
	gold := &v1alpha1.ServiceLevelAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "gold"}}
	gold.Status.Compliance = v1alpha1.ComplianceAtRisk
	k := newCluster(t, s, gold, checkout(1, 1))
	got, _ := k.reconcile("checkout")
	if diff := cmp.Diff([]v1alpha1.GoalStatus{{Name: "up", Agreement: "gold", Compliance: v1alpha1.ComplianceAtRisk}}, got.Goals); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if requests := k.r.measured(t.Context(), gold); len(requests) != 1 || requests[0].Name != "checkout" {
		t.Errorf("an agreement asks for %v", requests)
	}
}
