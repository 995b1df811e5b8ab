package detection

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// memory is what is remembered of workloads between two looks, and lost with a restart.
type memory struct {
	mu        sync.Mutex
	histories map[configuration.Key]incident.History
	warnings  map[configuration.Key]warnings
}

// warnings are those that were asked for, and when.
type warnings struct {
	at   time.Time
	list []incident.Warning
}

func (m *memory) history(key configuration.Key) incident.History {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.histories[key]
}

func (m *memory) remember(key configuration.Key, h incident.History) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.histories == nil {
		m.histories = map[configuration.Key]incident.History{}
	}
	m.histories[key] = h
}

func (m *memory) warningsOf(key configuration.Key) warnings {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.warnings[key]
}

func (m *memory) keepWarnings(key configuration.Key, w warnings) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.warnings == nil {
		m.warnings = map[configuration.Key]warnings{}
	}
	m.warnings[key] = w
}

func (m *memory) dropWarnings(key configuration.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.warnings, key)
}

func (m *memory) forget(key configuration.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.histories, key)
	delete(m.warnings, key)
}

// jobIndex finds the Jobs of a CronJob.
type jobIndex struct {
	mu        sync.Mutex
	ofCronJob map[configuration.Key]map[configuration.Key]struct{}
	cronJobOf map[configuration.Key]configuration.Key
}

// update takes in a Job, nil where it is gone, and returns the CronJob that it belongs or belonged to.
func (x *jobIndex) update(key configuration.Key, job *configuration.Workload) (configuration.Key, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old, had := x.cronJobOf[key]
	if job == nil {
		delete(x.cronJobOf, key)
		delete(x.ofCronJob[old], key)
		if len(x.ofCronJob[old]) == 0 {
			delete(x.ofCronJob, old)
		}
		return old, had
	}
	cronJob, owned := cronJobOf(job)
	if !owned {
		return old, had
	}
	if x.ofCronJob == nil {
		x.ofCronJob = map[configuration.Key]map[configuration.Key]struct{}{}
		x.cronJobOf = map[configuration.Key]configuration.Key{}
	}
	if x.ofCronJob[cronJob] == nil {
		x.ofCronJob[cronJob] = map[configuration.Key]struct{}{}
	}
	x.ofCronJob[cronJob][key] = struct{}{}
	x.cronJobOf[key] = cronJob
	return cronJob, true
}

func (x *jobIndex) of(cronJob configuration.Key) []configuration.Key {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Collect(maps.Keys(x.ofCronJob[cronJob]))
}

// collection is what is to be said of workloads in a record that stands for several: by the record, and in it by the
// workload.
type collection struct {
	mu      sync.Mutex
	entries map[configuration.Key]map[configuration.Key]incident.Entry
	// writtenAt is when a record was last written.
	writtenAt map[configuration.Key]time.Time
}

// growthInterval is how often a record is written that only got longer.
const growthInterval = 10 * time.Second

// due is when a record that only got longer may be written again.
func (c *collection) due(record configuration.Key) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, known := c.writtenAt[record]; known {
		return at.Add(growthInterval)
	}
	return time.Time{}
}

func (c *collection) written(record configuration.Key, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writtenAt == nil {
		c.writtenAt = map[configuration.Key]time.Time{}
	}
	c.writtenAt[record] = now
}

// put says something of a workload, and reports whether that is news.
func (c *collection) put(record configuration.Key, e incident.Entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = map[configuration.Key]map[configuration.Key]incident.Entry{}
	}
	if c.entries[record] == nil {
		c.entries[record] = map[configuration.Key]incident.Entry{}
	}
	old, known := c.entries[record][e.Key]
	c.entries[record][e.Key] = e
	if !known || (old.Finding == nil) != (e.Finding == nil) {
		return true
	}
	return e.Finding != nil && e.Finding.Reason != old.Finding.Reason
}

// of is all that is to be said in a record.
func (c *collection) of(record configuration.Key) []incident.Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.entries[record]))
}

// said drops what was said of workloads that are well, once it is written.
func (c *collection) said(record configuration.Key, entries []incident.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range entries {
		if now, known := c.entries[record][e.Key]; known && e.Finding == nil && now.Finding == nil {
			delete(c.entries[record], e.Key)
		}
	}
	if len(c.entries[record]) == 0 {
		delete(c.entries, record)
	}
}

// waiting are the workloads that fail and are only counted, up to a number of them.
func (c *collection) waiting(record configuration.Key, limit int, of func(configuration.Key) bool) []configuration.Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []configuration.Key
	for key, e := range c.entries[record] {
		if len(out) == limit {
			break
		}
		if e.Finding != nil && of(key) {
			out = append(out, key)
		}
	}
	return out
}

func (c *collection) has(record, key configuration.Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, known := c.entries[record][key]
	return known && e.Finding != nil
}
