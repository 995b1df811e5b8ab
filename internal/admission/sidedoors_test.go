package admission

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

type doors []configuration.SideDoor

func (d *doors) SideDoor(door configuration.SideDoor) { *d = append(*d, door) }

func running(alter func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout-1", Labels: map[string]string{"app": "checkout"}}}
	p.Spec.Containers = []corev1.Container{{Name: "app", Image: "a"}}
	if alter != nil {
		alter(p)
	}
	return p
}

func sideDoorRequest(t *testing.T, subresource string, before, after *corev1.Pod, dryRun bool) admission.Request {
	t.Helper()
	req := admissionv1.AdmissionRequest{
		Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"}, SubResource: subresource,
		Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, Operation: admissionv1.Update,
		Namespace: "shop", Name: "checkout-1", UserInfo: authenticationv1.UserInfo{Username: "eddie"}, DryRun: &dryRun,
	}
	for raw, pod := range map[*runtime.RawExtension]*corev1.Pod{&req.OldObject: before, &req.Object: after} {
		data, err := json.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		raw.Raw = data
	}
	return admission.Request{AdmissionRequest: req}
}

func TestSideDoors(t *testing.T) {
	debugger := func(image string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers,
				corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "sh", Image: image}})
		}
	}
	larger := func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}
	}
	owner := configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "checkout"}
	for name, c := range map[string]struct {
		subresource string
		after       func(*corev1.Pod)
		enforcement v1alpha1.Enforcement
		dryRun      bool
		want        *configuration.SideDoor
		warned      bool
	}{
		"a debugger": {
			subresource: "ephemeralcontainers", after: debugger("busybox\x1b[2J"), enforcement: v1alpha1.EnforcementEnforce, warned: true,
			want: &configuration.SideDoor{What: v1alpha1.SideDoorEphemeralContainer, Detail: "ephemeral container sh=busybox[2J"},
		},
		"under Audit": {
			subresource: "ephemeralcontainers", after: debugger("busybox"), enforcement: v1alpha1.EnforcementAudit, warned: true,
			want: &configuration.SideDoor{What: v1alpha1.SideDoorEphemeralContainer, Detail: "ephemeral container sh=busybox"},
		},
		"a resize": {
			subresource: "resize", after: larger, enforcement: v1alpha1.EnforcementEnforce, warned: true,
			want: &configuration.SideDoor{What: v1alpha1.SideDoorResize, Detail: "resources of container app from 0/0 (limits 0/0) to 2/0 (limits 0/0)"},
		},
		"a dry run":              {subresource: "resize", after: larger, enforcement: v1alpha1.EnforcementEnforce, dryRun: true, warned: true},
		"nothing":                {subresource: "resize", enforcement: v1alpha1.EnforcementEnforce},
		"of nobody's":            {subresource: "resize", after: larger},
		"where control is off":   {subresource: "resize", after: larger, enforcement: v1alpha1.EnforcementDisabled},
		"another subresource":    {subresource: "status", after: larger, enforcement: v1alpha1.EnforcementEnforce},
		"a debugger a kilometre": {subresource: "ephemeralcontainers", after: debugger(strings.Repeat("x", 5000)), enforcement: v1alpha1.EnforcementEnforce, warned: true, want: &configuration.SideDoor{What: v1alpha1.SideDoorEphemeralContainer}},
	} {
		t.Run(name, func(t *testing.T) {
			k := &known{world: change.World{Enforcement: c.enforcement, Twins: []change.Twin{{Key: owner}}}}
			var told doors
			g := gate(k)
			g.SideDoors = &told
			response := g.Handle(t.Context(), sideDoorRequest(t, c.subresource, running(nil), running(c.after), c.dryRun))
			if !response.Allowed || len(response.Warnings) > 0 != c.warned {
				t.Errorf("allowed %t, warnings %q", response.Allowed, response.Warnings)
			}
			if c.want == nil {
				if len(told) != 0 {
					t.Errorf("told of %+v", told)
				}
				return
			}
			if len(told) != 1 {
				t.Fatalf("told of %+v", told)
			}
			if c.want.Detail == "" {
				if len(told[0].Detail) > maxDetail {
					t.Errorf("a detail of %d bytes", len(told[0].Detail))
				}
				return
			}
			want := *c.want
			want.Pod, want.Workloads = configuration.Key{Kind: "Pod", Namespace: "shop", Name: "checkout-1"}, []configuration.Key{owner}
			want.By, want.At = "eddie", now
			if diff := cmp.Diff(want, told[0]); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A pod that is given labels of a governed workload is told of, unless it runs what was agreed or was one of its own.
func TestRelabelledPods(t *testing.T) {
	for name, c := range map[string]struct {
		image, from string
		agreed      string
		// besides is what else it runs or mounts.
		besides func(*corev1.PodSpec)
		told    string
	}{
		"from nowhere":              {image: "evil", from: "other", agreed: "good", told: "runs app=evil"},
		"from nowhere, as agreed":   {image: "good", from: "other", agreed: "good"},
		"one of its own, relabeled": {image: "evil", from: "checkout", agreed: "good"},
		"as agreed, but for what it mounts": {image: "good", from: "other", agreed: "good", told: "runs volumes[tools]=evil, app=good", besides: func(p *corev1.PodSpec) {
			p.Volumes = []corev1.Volume{{Name: "data"}, {Name: "tools", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "evil"}}}}
		}},
		"as agreed, but for what somebody put into it": {image: "good", from: "other", agreed: "good", told: "runs debug=evil, app=good", besides: func(p *corev1.PodSpec) {
			p.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "evil"}}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			facts := byLabel{"checkout": {
				Enforcement: v1alpha1.EnforcementEnforce,
				Twins: []change.Twin{{
					Key:       configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "checkout"},
					Baselines: []v1alpha1.Baseline{{Images: map[string]string{"app": c.agreed}}},
				}},
			}}
			var told doors
			g := gate(&known{})
			g.Facts, g.SideDoors = facts, &told
			besides := func(p *corev1.Pod) {
				if p.Spec.Containers[0].Image = c.image; c.besides != nil {
					c.besides(&p.Spec)
				}
			}
			before := running(func(p *corev1.Pod) { besides(p); p.Labels["app"] = c.from })
			after := running(func(p *corev1.Pod) { besides(p); p.Labels["more"] = "x" })
			response := g.Handle(t.Context(), sideDoorRequest(t, "", before, after, false))
			if !response.Allowed || len(told) > 0 != (c.told != "") || len(response.Warnings) > 0 != (c.told != "") {
				t.Errorf("allowed %t, warnings %q, told %+v", response.Allowed, response.Warnings, told)
			}
			if c.told != "" && len(told) > 0 && (told[0].What != v1alpha1.SideDoorRelabel || !strings.HasSuffix(told[0].Detail, c.told)) {
				t.Errorf("told %+v", told[0])
			}
		})
	}
}

// byLabel is a world by the label app of the new pod.
type byLabel map[string]change.World

func (b byLabel) World(r *change.Request) *change.World {
	w := b[r.New.Labels["app"]]
	return &w
}

func TestSideDoorNonsense(t *testing.T) {
	req := sideDoorRequest(t, "resize", running(nil), running(nil), false)
	req.Object.Raw = []byte("{")
	if response := gate(&known{}).Handle(t.Context(), req); !response.Allowed {
		t.Error("what cannot be read is refused")
	}
}
