package builder

import (
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The other kinds that make pods, each as a test would write it by hand: one replica, the label app=name on the
// template, nothing observed yet. They are plain objects: alter their fields.

// GroupVersionKind of the kinds that make pods.
func GroupVersionKind(kind string) schema.GroupVersionKind {
	switch kind {
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet":
		return appsv1.SchemeGroupVersion.WithKind(kind)
	case "Job", "CronJob":
		return batchv1.SchemeGroupVersion.WithKind(kind)
	default:
		return corev1.SchemeGroupVersion.WithKind(kind)
	}
}

func typeMeta(kind string) metav1.TypeMeta {
	gvk := GroupVersionKind(kind)
	return metav1.TypeMeta{APIVersion: gvk.GroupVersion().String(), Kind: kind}
}

// StatefulSet makes a StatefulSet.
func StatefulSet(namespace, name string) *appsv1.StatefulSet {
	template, replicas := Template(name), int32(1)
	return &appsv1.StatefulSet{
		TypeMeta: typeMeta("StatefulSet"), ObjectMeta: objectMeta("StatefulSet", namespace, name),
		Spec: appsv1.StatefulSetSpec{Replicas: &replicas, Selector: selectorOf(template), ServiceName: name, Template: template},
	}
}

// DaemonSet makes a DaemonSet.
func DaemonSet(namespace, name string) *appsv1.DaemonSet {
	template := Template(name)
	return &appsv1.DaemonSet{
		TypeMeta: typeMeta("DaemonSet"), ObjectMeta: objectMeta("DaemonSet", namespace, name),
		Spec: appsv1.DaemonSetSpec{Selector: selectorOf(template), Template: template},
	}
}

// ReplicaSet makes a ReplicaSet without an owner.
func ReplicaSet(namespace, name string) *appsv1.ReplicaSet {
	template, replicas := Template(name), int32(1)
	return &appsv1.ReplicaSet{
		TypeMeta: typeMeta("ReplicaSet"), ObjectMeta: objectMeta("ReplicaSet", namespace, name),
		Spec: appsv1.ReplicaSetSpec{Replicas: &replicas, Selector: selectorOf(template), Template: template},
	}
}

// ReplicationController makes a ReplicationController.
func ReplicationController(namespace, name string) *corev1.ReplicationController {
	template, replicas := Template(name), int32(1)
	return &corev1.ReplicationController{
		TypeMeta: typeMeta("ReplicationController"), ObjectMeta: objectMeta("ReplicationController", namespace, name),
		Spec: corev1.ReplicationControllerSpec{Replicas: &replicas, Template: &template},
	}
}

// Job makes a Job.
func Job(namespace, name string) *batchv1.Job {
	template := Template(name)
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	return &batchv1.Job{
		TypeMeta: typeMeta("Job"), ObjectMeta: objectMeta("Job", namespace, name),
		Spec: batchv1.JobSpec{Template: template},
	}
}

// CronJob makes a CronJob that runs every hour.
func CronJob(namespace, name string) *batchv1.CronJob {
	template := Template(name)
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	return &batchv1.CronJob{
		TypeMeta: typeMeta("CronJob"), ObjectMeta: objectMeta("CronJob", namespace, name),
		Spec: batchv1.CronJobSpec{
			Schedule:    "0 * * * *",
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}},
		},
	}
}
