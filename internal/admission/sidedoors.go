package admission

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

const (
	subResourceEphemeral = "ephemeralcontainers"
	subResourceResize    = "resize"
	// maxDetail of a side door, in bytes; maxShownContainers are named in it.
	maxDetail          = 256
	maxShownContainers = 3
)

// SideDoors keep what went in by one. SideDoor never blocks.
type SideDoors interface {
	SideDoor(door configuration.SideDoor)
}

// sideDoorOf is which side door a request is about; empty for none.
func sideDoorOf(req *admissionv1.AdmissionRequest) v1alpha1.SideDoorKind {
	if req.Resource.Group != "" || req.Resource.Resource != "pods" {
		return ""
	}
	switch req.SubResource {
	case "":
		if req.Operation == admissionv1.Update && relabels(req) {
			return v1alpha1.SideDoorRelabel
		}
	case subResourceEphemeral:
		return v1alpha1.SideDoorEphemeralContainer
	case subResourceResize:
		return v1alpha1.SideDoorResize
	}
	return ""
}

// relabels reports whether an update of a pod alters labels and no image.
func relabels(req *admissionv1.AdmissionRequest) bool {
	before, after, err := podsOf(req)
	if err != nil || maps.Equal(before.Labels, after.Labels) {
		return false
	}
	return slices.Equal(imagesOf(before), imagesOf(after))
}

// sameOwners reports whether nothing is altered that the gate decides about: other owners may delete a pod.
func sameOwners(req *admissionv1.AdmissionRequest) bool {
	before, after, err := podsOf(req)
	return err == nil && equality.Semantic.DeepEqual(before.OwnerReferences, after.OwnerReferences)
}

func podsOf(req *admissionv1.AdmissionRequest) (before, after *corev1.Pod, err error) {
	before, after = &corev1.Pod{}, &corev1.Pod{}
	return before, after, errors.Join(json.Unmarshal(req.OldObject.Raw, before), json.Unmarshal(req.Object.Raw, after))
}

// imagesOf a pod, as name=image.
func imagesOf(pod *corev1.Pod) []string {
	var out []string
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		out = append(out, c.Name+"="+c.Image)
	}
	return out
}

// sideDoor lets a request in, whatever it is, and takes it down where the pod passes for one of a governed workload.
func (g *Gate) sideDoor(ctx context.Context, req *admissionv1.AdmissionRequest, what v1alpha1.SideDoorKind, now time.Time) admission.Response {
	response := admission.Allowed("")
	before, after, err := podsOf(req)
	if err != nil {
		return response // the API server has its own opinion about it
	}
	key := configuration.Key{Kind: configuration.KindPod, Namespace: req.Namespace, Name: req.Name}
	world := g.worldOf(key, after)
	if world.Enforcement == "" || world.Enforcement == v1alpha1.EnforcementDisabled {
		return response
	}
	var detail string
	switch what {
	case v1alpha1.SideDoorEphemeralContainer:
		detail = added(before, after)
	case v1alpha1.SideDoorResize:
		detail = resized(before, after)
	case v1alpha1.SideDoorRelabel:
		detail = g.joined(key, before, after, world)
	case v1alpha1.SideDoorEarlierTemplate: // no request tells of it
	}
	if detail == "" {
		return response
	}
	door := configuration.SideDoor{What: what, Pod: key, Detail: plain(detail, maxDetail), By: req.UserInfo.Username, At: now}
	for i := range world.Twins {
		door.Workloads = append(door.Workloads, world.Twins[i].Key)
	}
	response.AuditAnnotations = map[string]string{"sidedoor": plain(string(what)+": "+detail, maxAudit)}
	response = response.WithWarnings(warnings(fmt.Sprintf(
		"Pod %s/%s is of a governed workload: %s is let in, and recorded with your name", key.Namespace, key.Name, detail))...)
	if req.DryRun != nil && *req.DryRun {
		return response
	}
	sideDoors.WithLabelValues(string(what), key.Namespace).Inc()
	log.FromContext(ctx).Info("A running pod of a governed workload was changed past its template",
		"what", what, "namespace", key.Namespace, "pod", key.Name, "by", plain(door.By, maxDetail), "detail", door.Detail)
	if g.SideDoors != nil {
		g.SideDoors.SideDoor(door)
	}
	return response
}

// worldOf says whose a new pod with these labels would be.
func (g *Gate) worldOf(key configuration.Key, pod *corev1.Pod) *change.World {
	return g.Facts.World(&change.Request{Operation: change.Create, Key: key, New: &configuration.Template{Labels: pod.Labels}, DryRun: true})
}

// joined tells that labels make a pod pass for one of a workload's whose it was not and whose images it does not run;
// empty where they do not.
func (g *Gate) joined(key configuration.Key, before, after *corev1.Pod, world *change.World) string {
	was := g.worldOf(key, before)
	images := runs(after)
	for i := range world.Twins {
		twin := &world.Twins[i]
		member := slices.ContainsFunc(was.Twins, func(t change.Twin) bool { return t.Key == twin.Key })
		var agreed map[string]string
		if len(twin.Baselines) > 0 {
			agreed = twin.Baselines[0].Images
		}
		if !member && (agreed == nil || !maps.Equal(agreed, images)) {
			return shown("labels of "+twin.Key.Kind+" "+twin.Key.Name+" on a pod that runs", strangersFirst(images, agreed))
		}
	}
	return ""
}

// runs is what a pod runs or mounts, by container; what it mounts as volumes[name], as where a pod is made. A pod that was
// nobody's may have got an ephemeral container then.
func runs(pod *corev1.Pod) map[string]string {
	images := map[string]string{}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		images[c.Name] = c.Image
	}
	for i := range pod.Spec.EphemeralContainers {
		c := &pod.Spec.EphemeralContainers[i]
		images[c.Name] = c.Image
	}
	for i := range pod.Spec.Volumes {
		if v := &pod.Spec.Volumes[i]; v.Image != nil {
			images["volumes["+v.Name+"]"] = v.Image.Reference
		}
	}
	return images
}

// strangersFirst are images as name=image, those before that nobody agreed to.
func strangersFirst(images, agreed map[string]string) []string {
	names := slices.Sorted(maps.Keys(images))
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Compare(familiar(a, images, agreed), familiar(b, images, agreed))
	})
	out := make([]string, 0, len(names))
	for _, name := range names {
		out = append(out, name+"="+images[name])
	}
	return out
}

func familiar(name string, images, agreed map[string]string) int {
	if image, had := agreed[name]; had && image == images[name] {
		return 1
	}
	return 0
}

// added names the ephemeral containers that a request adds, with their images.
func added(before, after *corev1.Pod) string {
	var names []string
	for i := range after.Spec.EphemeralContainers {
		c := &after.Spec.EphemeralContainers[i]
		known := slices.ContainsFunc(before.Spec.EphemeralContainers, func(b corev1.EphemeralContainer) bool { return b.Name == c.Name })
		if !known {
			names = append(names, c.Name+"="+c.Image)
		}
	}
	return shown("ephemeral container", names)
}

// resized names the containers whose resources a request alters, with what they ask for now.
func resized(before, after *corev1.Pod) string {
	var names []string
	was := map[string]corev1.ResourceRequirements{}
	for _, c := range slices.Concat(before.Spec.InitContainers, before.Spec.Containers) {
		was[c.Name] = c.Resources
	}
	for _, c := range slices.Concat(after.Spec.InitContainers, after.Spec.Containers) {
		if old := was[c.Name]; amounts(old) != amounts(c.Resources) {
			names = append(names, fmt.Sprintf("%s from %s to %s", c.Name, amounts(old), amounts(c.Resources)))
		}
	}
	return shown("resources of container", names)
}

func shown(what string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	more := ""
	if len(names) > maxShownContainers {
		more = fmt.Sprintf(" and %d more", len(names)-maxShownContainers)
	}
	return what + " " + strings.Join(names[:min(len(names), maxShownContainers)], ", ") + more
}

func amounts(r corev1.ResourceRequirements) string {
	one := func(list corev1.ResourceList) string { return list.Cpu().String() + "/" + list.Memory().String() }
	return one(r.Requests) + " (limits " + one(r.Limits) + ")"
}
