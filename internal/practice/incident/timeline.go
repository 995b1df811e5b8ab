package incident

import (
	"slices"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

const (
	maxTimeline     = 50
	maxTimelineText = 512
)

// tell adds to the timeline. When it is full, the first entry stays and the second makes room.
func (e *evaluation) tell(what, by string) {
	entry := v1alpha1.TimelineEntry{At: *e.at(e.now), What: clip(what, maxTimelineText), By: clip(by, maxTimelineText)}
	e.Status.Timeline = append(slices.Clone(e.Status.Timeline), entry)
	if len(e.Status.Timeline) > maxTimeline {
		e.Status.Timeline = slices.Delete(e.Status.Timeline, 1, len(e.Status.Timeline)-maxTimeline+1)
	}
}
