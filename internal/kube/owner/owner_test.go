package owner_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/internal/kube/owner"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

func TestOwner(t *testing.T) {
	ref := builder.Controller(appsv1.SchemeGroupVersion.WithKind("Deployment"), "checkout", "uid-1")
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Name: "other", UID: "uid-2"}, ref}}}
	if ref.APIVersion != "apps/v1" {
		t.Errorf("reference is %v", ref)
	}
	for uid, want := range map[types.UID]bool{"uid-1": true, "uid-2": false, "": false} {
		if got := owner.Is(pod, uid); got != want {
			t.Errorf("controlled by %q: %t, want %t", uid, got, want)
		}
	}
	if owner.Is(&corev1.Pod{}, "") {
		t.Error("a pod without an owner is controlled by nothing")
	}
}
