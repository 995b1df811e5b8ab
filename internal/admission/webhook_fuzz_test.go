package admission

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
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

// FuzzWebhook posts anything to the path that both webhooks of the gate and that of side doors call. Whoever reaches the
// port can: every body has an answer that an API server understands, and the same body the same.
func FuzzWebhook(f *testing.F) {
	seed := func(req *admissionv1.AdmissionRequest) {
		body, err := json.Marshal(admissionv1.AdmissionReview{
			TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: req,
		})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	for kindName := range versions {
		seed(review(f, admissionv1.Update, workload(kindName), workload(kindName, image("b"))))
	}
	for _, nonsense := range []string{"", "{}", "null", `{"request":null}`, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, `{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{}}`} {
		f.Add([]byte(nonsense))
	}
	world := enforced(f, v1alpha1.EnforcementEnforce)
	f.Fuzz(func(t *testing.T, body []byte) {
		first := answerTo(t, world, body)
		if first.Response == nil {
			t.Fatalf("no answer to %q", body)
		}
		fitForTerminals(t, admission.Response{AdmissionResponse: *first.Response})
		if again := answerTo(t, world, body); !cmp.Equal(first, again) {
			t.Errorf("another answer to the same body:\n%s", cmp.Diff(first, again))
		}
		library := answerOf(t, &admission.Webhook{Handler: gate(&known{world: world})}, body)
		if !cmp.Equal(first, library) {
			t.Errorf("another answer than the library's (-library +own):\n%s", cmp.Diff(library, first))
		}
	})
}

func answerTo(t *testing.T, world change.World, body []byte) admissionv1.AdmissionReview {
	t.Helper()
	return answerOf(t, gate(&known{world: world}).Webhook(), body)
}

func answerOf(t *testing.T, webhook http.Handler, body []byte) admissionv1.AdmissionReview {
	t.Helper()
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	webhook.ServeHTTP(recorder, request)
	if recorder.Code != http.StatusOK {
		t.Fatalf("answered with %d", recorder.Code)
	}
	answer := admissionv1.AdmissionReview{}
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
		t.Fatalf("the answer %q: %v", recorder.Body, err)
	}
	return answer
}

// FuzzSideDoor makes pods of anything, before and after. Whatever they are, the request is let in, and what is told of it has bounds and
// does nothing to a terminal.
func FuzzSideDoor(f *testing.F) {
	pods := []*corev1.Pod{
		running(nil),
		running(func(p *corev1.Pod) { p.Labels = map[string]string{"app": "other"} }),
		running(func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1e9")}
		}),
		running(func(p *corev1.Pod) {
			p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "sh", Image: "x\x1b[2J"}}}
		}),
	}
	subresources := []string{"", subResourceEphemeral, subResourceResize}
	for _, before := range pods {
		for _, after := range pods {
			for i := range subresources {
				was, errWas := json.Marshal(before)
				is, errIs := json.Marshal(after)
				if errWas != nil || errIs != nil {
					f.Fatal(errWas, errIs)
				}
				f.Add(was, is, uint8(i))
			}
		}
	}
	world := enforced(f, v1alpha1.EnforcementEnforce)
	world.Twins = []change.Twin{{
		Key:       configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "checkout"},
		Baselines: world.Baselines,
	}}
	f.Fuzz(func(t *testing.T, before, after []byte, subresource uint8) {
		req := admissionv1.AdmissionRequest{
			Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"}, SubResource: subresources[int(subresource)%len(subresources)],
			Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, Operation: admissionv1.Update, Namespace: "shop", Name: "checkout-1",
			UserInfo:  authenticationv1.UserInfo{Username: "eddie"},
			OldObject: runtime.RawExtension{Raw: before}, Object: runtime.RawExtension{Raw: after},
		}
		what := sideDoorOf(&req)
		if what == "" {
			return
		}
		told := &doors{}
		g := gate(&known{world: world})
		g.SideDoors = told
		response := g.sideDoor(t.Context(), &req, what, now)
		fitForTerminals(t, response)
		if !response.Allowed {
			t.Errorf("refused: %v", response.Result)
		}
		for _, door := range *told {
			if len(door.Detail) > maxDetail || door.Detail == "" || plain(door.Detail, maxDetail) != door.Detail {
				t.Errorf("told %q", door.Detail)
			}
		}
		if len(*told) > 1 {
			t.Errorf("told %d times", len(*told))
		}
	})
}
