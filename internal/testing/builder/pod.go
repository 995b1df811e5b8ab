package builder

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Pod builds a Pod.
type Pod struct{ obj corev1.Pod }

// MakePod makes one with the label app=name and one container "app", without a status.
func MakePod(namespace, name string) *Pod {
	p := &Pod{corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: objectMeta("Pod", namespace, name),
		Spec:       PodSpec("registry.shop.example/" + name + ":1.0"),
	}}
	p.obj.Labels = map[string]string{"app": name}
	return p
}

// Image sets the image of a container.
func (p *Pod) Image(container, image string) *Pod {
	setImage(&p.obj.Spec, container, image)
	return p
}

// Label sets a label.
func (p *Pod) Label(key, value string) *Pod {
	p.obj.Labels[key] = value
	return p
}

// Ready makes it run and be ready since a time.
func (p *Pod) Ready(since metav1.Time) *Pod {
	p.obj.Status.Phase = corev1.PodRunning
	return p.Condition(corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: since})
}

// Condition adds a condition.
func (p *Pod) Condition(c corev1.PodCondition) *Pod {
	p.obj.Status.Conditions = append(p.obj.Status.Conditions, c)
	return p
}

// Alter alters anything else.
func (p *Pod) Alter(alter func(*corev1.Pod)) *Pod {
	alter(&p.obj)
	return p
}

// Obj is the Pod.
func (p *Pod) Obj() *corev1.Pod { return p.obj.DeepCopy() }

// Unstructured is the Pod as decoded JSON.
func (p *Pod) Unstructured() *unstructured.Unstructured {
	return Unstructured(p.Obj(), corev1.SchemeGroupVersion.WithKind("Pod"))
}
