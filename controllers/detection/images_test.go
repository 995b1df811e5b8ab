package detection

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/internal/practice/incident"
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

// TestImageIDsOfTheNewestTemplate: pods that an earlier or orphaned ReplicaSet still has run what they ran, and say nothing
// of what a tag of the present template means.
func TestImageIDsOfTheNewestTemplate(t *testing.T) {
	of := func(hash string, n int, id string) *corev1.Pod {
		p := pod("web", n)
		p.Name = fmt.Sprintf("web-%s-%d", hash, n)
		p.UID = types.UID(p.Name)
		p.Labels[incident.LabelTemplateHash] = hash
		p.OwnerReferences[0].Name, p.OwnerReferences[0].UID = "web-"+hash, types.UID("uid-set-"+hash)
		p.Status.ContainerStatuses[0].ImageID = "registry.example/web@sha256:" + id
		return p
	}
	says := []appsv1.DeploymentCondition{{
		Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable",
		Message: `ReplicaSet "web-5d4f" has successfully progressed.`,
	}}
	for name, conditions := range map[string][]appsv1.DeploymentCondition{"its controller names the ReplicaSet": says, "the pods made last tell": nil} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			d := deployment("web", 2)
			d.Status.Conditions = conditions
			s.has(d)
			for n := range 3 {
				old := of("6c77", n, "old")
				old.CreationTimestamp = metav1.NewTime(t0.Add(-time.Hour))
				s.seePod(old)
			}
			for n := range 2 {
				s.seePod(of("5d4f", n, "new"))
			}
			if diff := cmp.Diff(map[string]string{"app": "sha256:new"}, s.ImageIDs(keyOfDeployment("web"))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
