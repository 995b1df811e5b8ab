package detection

import (
	"cmp"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// maxSampled bounds how many pods of a workload ImageIDs looks at.
const maxSampled = 50

// ImageIDs are the digests of the images that most of a workload's ready pods of its newest template run, by container; of
// a workload with many pods, of 50 of them. Pods that an earlier ReplicaSet still has, or an orphaned one, say nothing of
// what the template's tags mean. Nil where none is known, which is so on all replicas but the leader. It asks nobody.
func (r *Reconciler) ImageIDs(key configuration.Key) map[string]string {
	revision := ""
	if w, exists := r.Inventory.Workload(key); exists {
		revision = incident.CurrentRevision(w, func() []*incident.Pod { return r.pods.of(key) })
	}
	votes := map[string]map[string]int{}
	for _, pod := range r.pods.sample(key, revision, maxSampled) {
		for i := range pod.Containers {
			c := &pod.Containers[i]
			if c.ImageID == "" {
				continue
			}
			if votes[c.Name] == nil {
				votes[c.Name] = map[string]int{}
			}
			votes[c.Name][c.ImageID]++
		}
	}
	if len(votes) == 0 {
		return nil
	}
	out := make(map[string]string, len(votes))
	for container, ids := range votes {
		out[container] = most(ids)
	}
	return out
}

// most is what is there most often; of several the first by the alphabet, so that it is always the same.
func most(counts map[string]int) string {
	var found string
	for text, n := range counts {
		if found == "" || cmp.Or(cmp.Compare(counts[found], n), cmp.Compare(text, found)) < 0 {
			found = text
		}
	}
	return found
}

// sample are at most so many ready pods of a workload that are of a revision, or may be: any where that is not known.
func (x *podIndex) sample(key configuration.Key, revision string, limit int) []*incident.Pod {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []*incident.Pod
	for id := range x.byWorkload[key] {
		for _, pod := range x.owners[id].pods {
			if len(out) == limit {
				return out
			}
			other := revision != "" && pod.Revision != "" && pod.Revision != revision
			if pod.Ready.True() && pod.DeletedAt == 0 && !other {
				out = append(out, &pod.Pod)
			}
		}
	}
	return out
}
