package builder

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Deployment builds a Deployment.
type Deployment struct{ obj appsv1.Deployment }

// MakeDeployment makes one with one replica, whose pods have the label app=name, that nothing has observed yet.
func MakeDeployment(namespace, name string) *Deployment {
	template := Template(name)
	replicas := int32(1)
	return &Deployment{appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: objectMeta("Deployment", namespace, name),
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Selector: selectorOf(template), Template: template},
	}}
}

// Image sets the image of a container.
func (d *Deployment) Image(container, image string) *Deployment {
	setImage(&d.obj.Spec.Template.Spec, container, image)
	return d
}

// Env adds an environment variable to the container "app".
func (d *Deployment) Env(name, value string) *Deployment {
	c := &d.obj.Spec.Template.Spec.Containers[0]
	c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
	return d
}

// TemplateLabel sets a label of the pod template.
func (d *Deployment) TemplateLabel(key, value string) *Deployment {
	d.obj.Spec.Template.Labels[key] = value
	return d
}

// TemplateAnnotation sets an annotation of the pod template.
func (d *Deployment) TemplateAnnotation(key, value string) *Deployment {
	metav1.SetMetaDataAnnotation(&d.obj.Spec.Template.ObjectMeta, key, value)
	return d
}

// Label sets a label of the Deployment itself.
func (d *Deployment) Label(key, value string) *Deployment {
	metav1.SetMetaDataLabel(&d.obj.ObjectMeta, key, value)
	return d
}

// Annotation sets an annotation of the Deployment itself.
func (d *Deployment) Annotation(key, value string) *Deployment {
	metav1.SetMetaDataAnnotation(&d.obj.ObjectMeta, key, value)
	return d
}

// Replicas sets how many are wished.
func (d *Deployment) Replicas(n int32) *Deployment {
	d.obj.Spec.Replicas = &n
	return d
}

// Paused pauses it.
func (d *Deployment) Paused() *Deployment {
	d.obj.Spec.Paused = true
	return d
}

// Generation sets its generation.
func (d *Deployment) Generation(n int64) *Deployment {
	d.obj.Generation = n
	return d
}

// Status sets the counts that its controller observed at its present generation.
func (d *Deployment) Status(replicas, updated, ready int32) *Deployment {
	d.obj.Status = appsv1.DeploymentStatus{
		ObservedGeneration: d.obj.Generation, Replicas: replicas, UpdatedReplicas: updated,
		ReadyReplicas: ready, AvailableReplicas: ready, Conditions: d.obj.Status.Conditions,
	}
	return d
}

// RolledOut sets the status of a complete rollout: all replicas updated and ready.
func (d *Deployment) RolledOut() *Deployment {
	n := *d.obj.Spec.Replicas
	return d.Status(n, n, n)
}

// Condition adds a condition with its last transition.
func (d *Deployment) Condition(c appsv1.DeploymentCondition) *Deployment {
	d.obj.Status.Conditions = append(d.obj.Status.Conditions, c)
	return d
}

// Obj is the Deployment.
func (d *Deployment) Obj() *appsv1.Deployment { return d.obj.DeepCopy() }

// Unstructured is the Deployment as decoded JSON.
func (d *Deployment) Unstructured() *unstructured.Unstructured {
	return Unstructured(d.Obj(), appsv1.SchemeGroupVersion.WithKind("Deployment"))
}
