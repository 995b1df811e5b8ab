package incident

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// Second is a point in time in seconds since 1970, 0 where it is not known. The times of a status are no finer, and
// a pod has a dozen of them.
type Second int64

// SecondOf is t, rounded down; 0 for the zero time.
func SecondOf(t time.Time) Second {
	if t.IsZero() {
		return 0
	}
	return Second(t.Unix())
}

// Time is the zero time where it is not known.
func (s Second) Time() time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}

// Known reports whether there is a time.
func (s Second) Known() bool { return s != 0 }

// Bounds of what is kept of a pod's texts, in characters.
const (
	maxReason         = 64
	maxPodMessage     = 256
	maxContainerTexts = 512
	maxContainers     = 128

	// longestRun bounds what nonsensical times add up to.
	longestRun Second = 10 * 365 * 24 * 3600
)

// Pod is what signals need to know of a pod. It is kept by the ten thousand: everything else of it is dropped.
type Pod struct {
	Namespace, Name string
	UID             types.UID
	// Owner is its controller, nil where it has none.
	Owner *PodOwner
	// Labels are kept where the owner is a ReplicaSet, whose Deployment's selector must match them.
	Labels LabelSet
	// Revision is the value of the label that tells pods of different templates of one workload apart.
	Revision string
	Node     string

	CreatedAt Second
	// DeletedAt is when its grace period ends; 0: it is not being deleted.
	DeletedAt Second
	StartedAt Second

	Phase corev1.PodPhase
	// Reason and Message of its status.
	Reason, Message string
	// Scheduled, Sandbox and Ready are the conditions PodScheduled, PodReadyToStartContainers and Ready.
	Scheduled, Sandbox, Ready PodCondition
	// Disruption is the reason of a true condition DisruptionTarget.
	Disruption string
	// Muted: its own labels switch detection off.
	Muted      bool
	Containers []Container
}

// PodOwner is a pod's controller.
type PodOwner struct {
	Group, Kind, Name string
	UID               types.UID
}

// PodCondition is a condition of a pod.
type PodCondition struct {
	// Status is empty where the pod does not have the condition.
	Status  corev1.ConditionStatus
	Reason  string
	Message string
	Since   Second
}

// True and False report a definite status.
func (c PodCondition) True() bool { return c.Status == corev1.ConditionTrue }

// False reports a definite status.
func (c PodCondition) False() bool { return c.Status == corev1.ConditionFalse }

// ContainerKind tells the containers of a pod apart.
type ContainerKind uint8

const (
	// AppContainer is one of spec.containers.
	AppContainer ContainerKind = iota
	// InitContainer must end before the others start.
	InitContainer
	// SidecarContainer is an init container that goes on running (restartPolicy Always).
	SidecarContainer
)

// Container is what signals need to know of a container's status.
type Container struct {
	Name     string
	Kind     ContainerKind
	Ready    bool
	Restarts int32
	// Waiting is the reason why it waits; "" where it does not, or gives none.
	Waiting        string
	WaitingMessage string
	// RunningSince is when its present run began; 0: it does not run.
	RunningSince Second
	// Ended is the run that is over and not followed by another yet; Last the one before the present state.
	Ended, Last Run
	// ImageID is the digest of the image that it runs; "" while none is known.
	ImageID string
}

// Run is a run of a container that is over.
type Run struct {
	// Over is false where there was none.
	Over     bool
	ExitCode int32
	Reason   string
	Message  string
	Started  Second
	Finished Second
}

// Running reports whether the container runs.
func (c *Container) Running() bool { return c.RunningSince.Known() }

// LatestRun is the newest run that is over.
func (c *Container) LatestRun() Run {
	if c.Ended.Over {
		return c.Ended
	}
	return c.Last
}

// Length is how long it ran; 0 where that is not known.
func (r Run) Length() time.Duration {
	if !r.Started.Known() || r.Finished < r.Started {
		return 0
	}
	return time.Duration(min(r.Finished-r.Started, longestRun)) * time.Second
}

// Deleting reports whether it is being deleted.
func (p *Pod) Deleting() bool { return p.DeletedAt.Known() }

// ownedByJob reports whether a Job controls it, which retries by rules of its own.
func (p *Pod) ownedByJob() bool {
	return p.Owner != nil && p.Owner.Kind == "Job" && p.Owner.Group == "batch"
}

// LabelSet is a set of labels in one string, so that the pods of a template can share it.
type LabelSet string

const (
	labelSeparator = "\n"
	valueSeparator = "="
)

// Map is the labels as a map.
func (s LabelSet) Map() map[string]string {
	out := map[string]string{}
	for line := range strings.SplitSeq(string(s), labelSeparator) {
		if key, value, ok := strings.Cut(line, valueSeparator); ok {
			out[key] = value
		}
	}
	return out
}

// Labels that name the template of a pod, by the kind of what made it.
const (
	LabelTemplateHash        = "pod-template-hash"
	labelControllerRevision  = "controller-revision-hash"
	labelRolloutTemplateHash = "rollouts-pod-template-hash"
	labelStatefulSetPod      = "statefulset.kubernetes.io/pod-name"
	labelPodIndex            = "apps.kubernetes.io/pod-index"
)

// PodFrom is what signals need of a pod. It keeps nothing of its argument but strings.
func PodFrom(p *corev1.Pod) Pod {
	out := Pod{
		Namespace: p.Namespace, Name: p.Name, UID: p.UID,
		Owner:     ownerOf(p.OwnerReferences),
		Revision:  revisionOf(p.Labels),
		Node:      p.Spec.NodeName,
		CreatedAt: SecondOf(p.CreationTimestamp.Time),
		Phase:     p.Status.Phase,
		Reason:    clip(p.Status.Reason, maxReason),
		Message:   clip(p.Status.Message, maxPodMessage),
		Muted:     p.Labels[v1alpha1.LabelIncidents] == v1alpha1.LabelIncidentsDisabled,
	}
	if p.DeletionTimestamp != nil {
		// A grace period of zero and a time before 1970 must still count as being deleted.
		out.DeletedAt = max(SecondOf(p.DeletionTimestamp.Time), 1)
	}
	if p.Status.StartTime != nil {
		out.StartedAt = SecondOf(p.Status.StartTime.Time)
	}
	if out.Owner != nil && out.Owner.Kind == "ReplicaSet" {
		out.Labels = labelSetOf(p.Labels)
	}
	readConditions(&out, p.Status.Conditions)
	out.Containers = containersOf(p)
	return out
}

func ownerOf(refs []metav1.OwnerReference) *PodOwner {
	for i := range refs {
		ref := &refs[i]
		if ref.Controller == nil || !*ref.Controller {
			continue
		}
		group, _, found := strings.Cut(ref.APIVersion, "/")
		if !found {
			group = ""
		}
		return &PodOwner{Group: group, Kind: ref.Kind, Name: ref.Name, UID: ref.UID}
	}
	return nil
}

func revisionOf(labels map[string]string) string {
	for _, key := range []string{LabelTemplateHash, labelRolloutTemplateHash, labelControllerRevision} {
		if value := labels[key]; value != "" {
			return value
		}
	}
	return ""
}

func labelSetOf(labels map[string]string) LabelSet {
	lines := make([]string, 0, len(labels))
	for key, value := range labels {
		if key != labelStatefulSetPod && key != labelPodIndex {
			lines = append(lines, key+valueSeparator+value)
		}
	}
	slices.Sort(lines)
	return LabelSet(strings.Join(lines, labelSeparator))
}

func readConditions(out *Pod, conditions []corev1.PodCondition) {
	for i := range conditions {
		c := &conditions[i]
		switch c.Type {
		case corev1.PodScheduled:
			out.Scheduled = conditionFrom(c)
		case corev1.PodReadyToStartContainers:
			out.Sandbox = conditionFrom(c)
		case corev1.PodReady:
			out.Ready = conditionFrom(c)
		case corev1.DisruptionTarget:
			if c.Status == corev1.ConditionTrue {
				out.Disruption = clip(c.Reason, maxReason)
			}
		default:
		}
	}
}

func conditionFrom(c *corev1.PodCondition) PodCondition {
	out := PodCondition{Status: c.Status, Reason: clip(c.Reason, maxReason), Since: SecondOf(c.LastTransitionTime.Time)}
	if c.Status != corev1.ConditionTrue {
		out.Message = clip(c.Message, maxPodMessage)
	}
	return out
}

func containersOf(p *corev1.Pod) []Container {
	inits, apps := p.Status.InitContainerStatuses, p.Status.ContainerStatuses
	if len(inits)+len(apps) == 0 {
		return nil
	}
	out := make([]Container, 0, min(len(inits)+len(apps), maxContainers))
	for i := range inits {
		if len(out) < maxContainers {
			out = append(out, containerFrom(&inits[i], initKind(p.Spec.InitContainers, inits[i].Name)))
		}
	}
	for i := range apps {
		if len(out) < maxContainers {
			out = append(out, containerFrom(&apps[i], AppContainer))
		}
	}
	return out
}

func initKind(inits []corev1.Container, name string) ContainerKind {
	for i := range inits {
		c := &inits[i]
		if c.Name == name && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			return SidecarContainer
		}
	}
	return InitContainer
}

func containerFrom(s *corev1.ContainerStatus, kind ContainerKind) Container {
	out := Container{
		Name: s.Name, Kind: kind, Ready: s.Ready, Restarts: max(s.RestartCount, 0),
		ImageID: configuration.ImageDigest(s.ImageID),
	}
	switch {
	case s.State.Running != nil:
		// A container that runs since an unknown time still runs.
		out.RunningSince = max(SecondOf(s.State.Running.StartedAt.Time), 1)
	case s.State.Terminated != nil:
		out.Ended = runFrom(s.State.Terminated)
	case s.State.Waiting != nil:
		out.Waiting = clip(s.State.Waiting.Reason, maxReason)
		out.WaitingMessage = clip(s.State.Waiting.Message, maxContainerTexts)
	}
	if s.LastTerminationState.Terminated != nil {
		out.Last = runFrom(s.LastTerminationState.Terminated)
	}
	return out
}

func runFrom(t *corev1.ContainerStateTerminated) Run {
	return Run{
		Over: true, ExitCode: t.ExitCode,
		Reason: clip(t.Reason, maxReason), Message: clip(t.Message, maxContainerTexts),
		Started: SecondOf(t.StartedAt.Time), Finished: SecondOf(t.FinishedAt.Time),
	}
}

// clip makes a text of others fit to be written down: at most so many characters, no control characters but line
// breaks, valid UTF-8.
func clip(s string, limit int) string {
	clean := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= utf8.RuneSelf || s[i] == 0x7f {
			clean = false
			break
		}
	}
	if clean {
		if len(s) > limit {
			return strings.Clone(s[:limit])
		}
		return s
	}
	var b strings.Builder
	n := 0
	for _, r := range s {
		switch {
		case r == '\n':
		case r == '\t':
			r = ' '
		case unicode.IsControl(r):
			continue
		}
		if n++; n > limit {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
