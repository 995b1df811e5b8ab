// Package builder makes objects for tests, so that a test shows what matters to it and nothing else. Each kind has
// a file; builders are called Make<Kind>, return themselves, and end with Obj.
package builder

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Epoch is the time at which objects of tests were created.
var Epoch = time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)

// Template makes a pod template with the label app and one container "app".
func Template(app string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}},
		Spec:       PodSpec("registry.shop.example/" + app + ":1.0"),
	}
}

// PodSpec makes the spec of a pod with one container "app", with the defaults that the API server gives it.
func PodSpec(image string) corev1.PodSpec {
	grace := int64(30)
	return corev1.PodSpec{
		Containers: []corev1.Container{{
			Name: "app", Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
			TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		}},
		RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst,
		SchedulerName: "default-scheduler", TerminationGracePeriodSeconds: &grace, SecurityContext: &corev1.PodSecurityContext{},
	}
}

// setImage sets the image of a container, which it adds where it is new.
func setImage(spec *corev1.PodSpec, container, image string) {
	at := slices.IndexFunc(spec.Containers, func(c corev1.Container) bool { return c.Name == container })
	if at < 0 {
		spec.Containers = append(spec.Containers, corev1.Container{Name: container, ImagePullPolicy: corev1.PullIfNotPresent})
		at = len(spec.Containers) - 1
	}
	spec.Containers[at].Image = image
}

func objectMeta(kind, namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace, Name: name, Generation: 1,
		UID:               types.UID(fmt.Sprintf("uid-%s-%s-%s", kind, namespace, name)),
		CreationTimestamp: metav1.NewTime(Epoch),
	}
}

func selectorOf(template corev1.PodTemplateSpec) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": template.Labels["app"]}}
}

// Unstructured is the object as a cache of unstructured objects holds it.
func Unstructured(obj runtime.Object, gvk schema.GroupVersionKind) *unstructured.Unstructured {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		panic(fmt.Sprintf("builder: %v", err))
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(gvk)
	return u
}
