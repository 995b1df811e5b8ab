package incident

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// Entry is what is to be said of one workload in a record that stands for several.
type Entry struct {
	Key configuration.Key
	// Finding is its most telling; nil: it is well again, or has an incident of its own.
	Finding *Finding
}

// ObjectName names a workload in a record that stands for several.
func ObjectName(key configuration.Key) string {
	return clip(key.Namespace+"/"+key.Kind+"/"+key.Name, maxMessage)
}

// Listed reports whether a record that stands for several has the workload as failing.
func Listed(signals []v1alpha1.Signal, key configuration.Key) bool {
	return slices.ContainsFunc(signals, func(s v1alpha1.Signal) bool {
		return s.ClearedAt == nil && isEntry(s, key)
	})
}

// ListedIn are the workloads that a record that stands for several has as failing, as far as their names tell.
func ListedIn(signals []v1alpha1.Signal) []configuration.Key {
	var out []configuration.Key
	for _, s := range signals {
		if s.ClearedAt != nil || len(s.Pods) != 1 {
			continue
		}
		if parts := strings.SplitN(s.Pods[0], "/", 3); len(parts) == 3 {
			out = append(out, configuration.Key{
				Group: defaultGroup(parts[1]), Namespace: parts[0], Kind: parts[1], Name: parts[2],
			})
		}
	}
	return out
}

func isEntry(s v1alpha1.Signal, key configuration.Key) bool {
	return len(s.Pods) == 1 && s.Pods[0] == ObjectName(key)
}

// Collect brings a record that stands for several workloads up to date: each is one signal, and leaves the list when
// it is well. The first fifty by name are listed.
func Collect(before Detected, subject configuration.Key, entries []Entry, now time.Time) Detected {
	at := metav1.NewTime(now.Truncate(time.Second))
	after := before
	after.Signals = slices.Clone(before.Signals)
	for _, e := range entries {
		i := slices.IndexFunc(after.Signals, func(s v1alpha1.Signal) bool { return isEntry(s, e.Key) })
		switch {
		case e.Finding == nil && i >= 0:
			after.Signals = slices.Delete(after.Signals, i, i+1)
		case e.Finding == nil:
		case i >= 0:
			after.Signals[i].Reason = e.Finding.Reason
		default:
			s := signalOf(*e.Finding, now)
			s.Container, s.Count, s.AffectedPods = "", 1, e.Finding.AffectedPods
			s.Message = Title(e.Key, *e.Finding)
			s.Pods = []string{ObjectName(e.Key)}
			after.Signals = append(after.Signals, s)
		}
	}
	slices.SortStableFunc(after.Signals, func(a, b v1alpha1.Signal) int {
		return cmp.Compare(entryName(a), entryName(b))
	})
	after.Workloads = countOf(after.Signals, entries)
	after.Signals = after.Signals[:min(len(after.Signals), maxSignals)]
	after.concludeMany(subject, at)
	return after
}

// countOf is how many workloads fail: those of which something is known, and those that only the record has.
func countOf(signals []v1alpha1.Signal, entries []Entry) int32 {
	names := make(map[string]bool, len(signals)+len(entries))
	for _, s := range signals {
		names[entryName(s)] = true
	}
	for _, e := range entries {
		if name := ObjectName(e.Key); e.Finding != nil {
			names[name] = true
		}
	}
	return int32(min(len(names), math.MaxInt32))
}

// OnlyGrew reports whether nothing is different in a record that stands for several but that it has more, so that
// writing it can wait.
func OnlyGrew(before, after Detected) bool {
	if len(before.Signals) == 0 || after.Workloads < before.Workloads {
		return false
	}
	for _, s := range before.Signals {
		if len(before.Signals) < maxSignals && !slices.ContainsFunc(after.Signals, func(a v1alpha1.Signal) bool { return entryName(a) == entryName(s) }) {
			return false
		}
	}
	return true
}

func entryName(s v1alpha1.Signal) string {
	if len(s.Pods) == 0 {
		return ""
	}
	return s.Pods[0]
}

func (d *Detected) concludeMany(subject configuration.Key, now metav1.Time) {
	if d.DetectedAt == nil {
		d.DetectedAt = &now
		started := now
		for _, s := range d.Signals {
			if s.Since.Before(&started) {
				started = s.Since
			}
		}
		d.StartedAt = &started
	}
	d.RecoveryHoldSeconds = int32(minRecoveryHold / time.Second)
	if len(d.Signals) == 0 {
		if d.RecoveredAt == nil {
			d.RecoveredAt = &now
		}
		return
	}
	d.RecoveredAt = nil
	d.Reason = d.Signals[0].Reason
	for _, s := range d.Signals {
		if rank(s.Reason) < rank(d.Reason) {
			d.Reason = s.Reason
		}
	}
	d.Fingerprint = Fingerprint(subject, d.Reason)
}
