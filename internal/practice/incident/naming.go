package incident

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// Kinds that an Incident can be about besides those that make pods.
const (
	KindPod  = configuration.KindPod
	KindNode = "Node"
	// kindNamespace is that of a record that stands for several workloads of a namespace.
	kindNamespace = "Namespace"
)

const (
	// GroupDetection is the group of the record that counts what caps keep back.
	GroupDetection = "itil.dev"
	// KindDetection is its kind.
	KindDetection = "Detection"

	maxObjectName = 253
	nameDigits    = 5
	keyHashDigits = 32
)

// KeyString is the key in one line: group/kind/namespace/name.
func KeyString(key configuration.Key) string {
	return key.Group + "/" + key.Kind + "/" + key.Namespace + "/" + key.Name
}

// KeyHash is a label value for the key, which may be too long for one itself.
func KeyHash(key configuration.Key) string { return digest(KeyString(key))[:keyHashDigits] }

// Name is the name of a workload's incident of an episode. It does not tell the reason, since two leaders may see
// two first reasons.
func Name(key configuration.Key, episode int) string {
	suffix := "-" + digest(KeyString(key) + "#" + strconv.Itoa(episode))[:nameDigits]
	name := strings.ToLower(key.Name)
	if len(name) > maxObjectName-len(suffix) {
		name = name[:maxObjectName-len(suffix)]
	}
	return strings.TrimRight(name, "-.") + suffix
}

// Fingerprint joins the incidents of one workload and reason.
func Fingerprint(key configuration.Key, reason v1alpha1.SignalReason) string {
	return digest(KeyString(key) + "#" + string(reason))[:keyHashDigits]
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Reference names a workload in an Incident's spec.
func Reference(key configuration.Key) v1alpha1.AnyWorkloadReference {
	ref := v1alpha1.AnyWorkloadReference{Kind: key.Kind, Name: v1alpha1.ObjectName(key.Name)}
	if key.Group != defaultGroup(key.Kind) {
		ref.Group = key.Group
	}
	return ref
}

// KeyOf is the key of the workload that an Incident is about, and whether it is about one.
func KeyOf(i *v1alpha1.Incident) (configuration.Key, bool) {
	ref := i.Spec.WorkloadRef
	if ref == nil {
		return configuration.Key{}, false
	}
	key := configuration.Key{Group: ref.Group, Kind: ref.Kind, Namespace: i.Namespace, Name: string(ref.Name)}
	if key.Group == "" {
		key.Group = defaultGroup(ref.Kind)
	}
	switch key.Kind {
	case KindNode, kindNamespace:
		key.Namespace = ""
	case KindDetection:
		if key.Group == GroupDetection {
			key.Namespace = ""
		}
	}
	return key, true
}

func defaultGroup(kind string) string {
	group, _ := configuration.GroupOf(kind)
	return group
}

// BacklogKey is that of the record of what already failed in a namespace before the operator first saw it.
func BacklogKey(namespace string) configuration.Key {
	return configuration.Key{Kind: kindNamespace, Name: namespace}
}

// OverflowKey is that of the record that counts what caps keep back.
func OverflowKey() configuration.Key {
	return configuration.Key{Group: GroupDetection, Kind: KindDetection, Name: "cap"}
}

// StandsForOthers reports whether the key is of a record about several workloads. It has no clocks.
func StandsForOthers(key configuration.Key) bool {
	return key.Kind == kindNamespace && key.Group == "" || key == OverflowKey()
}

// Episode is the number that an Incident's label tells, 0 where it has none.
func Episode(labels map[string]string) int {
	n, err := strconv.Atoi(labels[v1alpha1.LabelEpisode])
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// what fails, by reason, as a colleague would say it; %s is the container.
var what = map[v1alpha1.SignalReason]string{
	v1alpha1.SignalOOMKilled:         "container %s is OOMKilled",
	v1alpha1.SignalCrashLooping:      "container %s crashes again and again",
	v1alpha1.SignalImagePullFailed:   "the image of container %s cannot be pulled",
	v1alpha1.SignalConfigInvalid:     "container %s cannot be created from its configuration",
	v1alpha1.SignalStartFailed:       "container %s cannot be started",
	v1alpha1.SignalInitFailed:        "init container %s fails",
	v1alpha1.SignalUnschedulable:     "no node takes its pods",
	v1alpha1.SignalVolumeUnavailable: "a volume is not available",
	v1alpha1.SignalSandboxFailed:     "pods wait for their volumes or network",
	v1alpha1.SignalPodRejected:       "the kubelet rejects its pods",
	v1alpha1.SignalPodFailed:         "pods fail",
	v1alpha1.SignalNotReady:          "pods run and are not ready",
	v1alpha1.SignalEvicted:           "pods were evicted from their node",
	v1alpha1.SignalJobFailed:         "the Job failed",
	v1alpha1.SignalScheduleMissed:    "did not run at its time",
	v1alpha1.SignalJobOverdue:        "a Job runs too long",
	v1alpha1.SignalStuckTerminating:  "pods do not terminate",
	v1alpha1.SignalRolloutStuck:      "the rollout makes no progress",
	v1alpha1.SignalReplicasMissing:   "pods cannot be created",
	v1alpha1.SignalNoReplicas:        "it was scaled to zero",
	v1alpha1.SignalNodeLost:          "the node does not answer",
	v1alpha1.SignalAlertFiring:       "an alert fires",
}

// whatOfPod is the same of a Pod that is its own workload.
var whatOfPod = map[v1alpha1.SignalReason]string{
	v1alpha1.SignalUnschedulable:    "no node takes it",
	v1alpha1.SignalSandboxFailed:    "it waits for its volumes or network",
	v1alpha1.SignalPodRejected:      "the kubelet rejects it",
	v1alpha1.SignalPodFailed:        "it failed",
	v1alpha1.SignalNotReady:         "it runs and is not ready",
	v1alpha1.SignalEvicted:          "it was evicted from its node",
	v1alpha1.SignalStuckTerminating: "it does not terminate",
}

// Title says in one line what fails.
func Title(key configuration.Key, f Finding) string {
	text := what[f.Reason]
	if key.Kind == KindPod {
		text = cmp.Or(whatOfPod[f.Reason], text)
	}
	if strings.Contains(text, "%s") {
		text = fmt.Sprintf(text, f.Container)
	}
	switch f.Reason {
	case v1alpha1.SignalCrashLooping, v1alpha1.SignalInitFailed, v1alpha1.SignalPodFailed, v1alpha1.SignalJobFailed:
		text += exitText(f)
	case v1alpha1.SignalNodeLost:
		text += lossText(f)
	case v1alpha1.SignalAlertFiring:
		if name, _, _ := strings.Cut(f.Alert, alertSeparator); name != "" {
			text = "alert " + name + " fires"
			if f.Message != "" {
				text += ": " + strings.ReplaceAll(f.Message, "\n", " ")
			}
		}
	default:
	}
	const maxTitle = 256
	return clip(key.Name+": "+cmp.Or(text, string(f.Reason)), maxTitle)
}

// lossText says what ran on a node.
func lossText(f Finding) string {
	if f.AffectedPods == 0 {
		return ""
	}
	pods := plural(f.AffectedPods, "pod")
	if f.Workloads > 0 { // a record does not say
		pods += " of " + plural(f.Workloads, "workload")
	}
	return " (" + pods + " ran there)"
}

func plural(n int32, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func exitText(f Finding) string {
	if f.ExitCode == nil {
		return ""
	}
	return fmt.Sprintf(" (exit code %d)", *f.ExitCode)
}
