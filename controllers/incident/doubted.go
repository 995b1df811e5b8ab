package incident

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/internal/kube/patch"
)

// mostDoubt is how long a recovery that was not believed waits at most until it is asked for again. What the detector sees
// is written, and asks at once.
const mostDoubt = time.Minute

// doubted are the recoveries that were not believed, and how long each waits until it is asked for again.
type doubted struct {
	mu    sync.Mutex
	waits map[types.NamespacedName]time.Duration
}

// again is when to ask again: soon at first, since what is not well is about to be written, and then ever more rarely.
func (d *doubted) again(name types.NamespacedName) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waits == nil {
		d.waits = map[types.NamespacedName]time.Duration{}
	}
	wait := patch.StaleRetry
	if before, known := d.waits[name]; known {
		wait = min(2*before, mostDoubt)
	}
	d.waits[name] = wait
	return wait
}

// drop forgets one that is believed, or is none any more.
func (d *doubted) drop(name types.NamespacedName) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.waits, name)
}
