package detection

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestImageIDs(t *testing.T) {
	s := newScene(t)
	s.has(deployment("web", 4))
	running := func(n int, id string, ready corev1.ConditionStatus) {
		p := pod("web", n)
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", Ready: true, ImageID: id}}
		s.seePod(p)
	}
	if got := s.ImageIDs(keyOfDeployment("web")); got != nil {
		t.Errorf("without pods: %v", got)
	}
	running(0, "", corev1.ConditionTrue)
	running(1, "registry.example/web@sha256:old", corev1.ConditionFalse)
	if got := s.ImageIDs(keyOfDeployment("web")); got != nil {
		t.Errorf("without one that is ready and tells: %v", got)
	}
	running(2, "registry.example/web@sha256:bb", corev1.ConditionTrue)
	running(3, "docker-pullable://registry.example/web@sha256:aa", corev1.ConditionTrue)
	if diff := cmp.Diff(map[string]string{"app": "sha256:aa"}, s.ImageIDs(keyOfDeployment("web"))); diff != "" {
		t.Errorf("as many of each (-want +got):\n%s", diff)
	}
	running(0, "registry.example/web@sha256:bb", corev1.ConditionTrue)
	if diff := cmp.Diff(map[string]string{"app": "sha256:bb"}, s.ImageIDs(keyOfDeployment("web"))); diff != "" {
		t.Errorf("most (-want +got):\n%s", diff)
	}
}
