package inventory

import (
	"cmp"
	"slices"
	"sync"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

const (
	// maxAdmitted bounds the workloads of which admissions are remembered; beyond, the oldest are forgotten.
	maxAdmitted = 10_000
	// MaxAdmissions of one workload are remembered.
	MaxAdmissions = 5
	// maxComing bounds what is remembered of a namespace as let in and not seen yet; a policy's limit is far below.
	maxComing = 1000
)

// admissions are what this replica's gate let in. They last until they are written on the ConfigurationItem.
type admissions struct {
	mu      sync.Mutex
	records map[configuration.Key][]configuration.AdmissionRecord
	// order in which workloads had their first record, to forget the oldest.
	order []configuration.Key
	// coming is the newest of each workload, by namespace, in the order in which they came. Read without a lock.
	coming table[string, []coming]
}

// coming is a template that this replica's gate let in. It is of use until it is seen, and no longer than
// change.ComingFor.
type coming struct {
	workload configuration.Key
	record   configuration.AdmissionRecord
}

// Admitted takes down that this replica's gate let a template in. It never blocks for longer than another call of it,
// and tells subscribers, who must not block either.
func (i *Inventory) Admitted(workload configuration.Key, record configuration.AdmissionRecord) {
	i.letIn.add(workload, record)
	i.letIn.expect(workload, record)
	for _, tell := range i.subscribers.all() {
		tell(Event{Workload: workload})
	}
}

func (a *admissions) add(key configuration.Key, record configuration.AdmissionRecord) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.records == nil {
		a.records = map[configuration.Key][]configuration.AdmissionRecord{}
	}
	if _, known := a.records[key]; !known {
		a.order = append(a.order, key)
	}
	a.records[key] = newestAdmissions(append(slices.Clone(a.records[key]), record))
	for len(a.order) > maxAdmitted {
		delete(a.records, a.order[0])
		a.order = a.order[1:]
	}
}

func (a *admissions) expect(key configuration.Key, record configuration.AdmissionRecord) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.coming.of(key.Namespace)
	next := make([]coming, 0, len(known)+1)
	for _, c := range known {
		if c.workload != key && record.At.Sub(c.record.At) < change.ComingFor {
			next = append(next, c)
		}
	}
	next = append(next, coming{workload: key, record: record})
	a.coming.put(key.Namespace, next[max(0, len(next)-maxComing):])
}

// addComing adds what this replica's gate let in of a namespace and has not seen yet. It takes no lock.
func (i *Inventory) addComing(c *change.Concurrency, namespace string) {
	list := i.letIn.coming.of(namespace)
	c.AtMost += len(list)
	c.Coming = func(yield func(change.Coming) bool) {
		for _, next := range list {
			if w, exists := i.workloads.get(next.workload); exists && (w.RollingOut() || w.Template.Hash == next.record.TemplateHash) {
				continue
			}
			if !yield(change.Coming{Workload: next.workload, At: next.record.At}) {
				return
			}
		}
	}
}

// Admissions are what the gate let in of a workload, as far as no baseline tells of it yet: by this replica, and, as
// its ConfigurationItem says, by others; the newest first, each once.
func (i *Inventory) Admissions(key configuration.Key) []configuration.AdmissionRecord {
	records := i.letIn.of(key)
	if item := i.items.of(key); item != nil {
		for _, a := range item.Status.Admissions {
			record := RecordOf(a)
			if !slices.ContainsFunc(records, func(r configuration.AdmissionRecord) bool { return SameAdmission(r, record) }) {
				records = append(records, record)
			}
		}
	}
	return newestAdmissions(records)
}

// AdmittedHere are what this replica's gate let in of a workload; the newest first.
func (i *Inventory) AdmittedHere(key configuration.Key) []configuration.AdmissionRecord {
	return i.letIn.of(key)
}

func (a *admissions) of(key configuration.Key) []configuration.AdmissionRecord {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.records[key])
}

// Forget removes records of a workload, after they were written down.
func (i *Inventory) Forget(key configuration.Key, records []configuration.AdmissionRecord) {
	i.letIn.forget(key, records)
}

func (a *admissions) forget(key configuration.Key, records []configuration.AdmissionRecord) {
	a.mu.Lock()
	defer a.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(a.records[key]), func(r configuration.AdmissionRecord) bool {
		return slices.ContainsFunc(records, func(other configuration.AdmissionRecord) bool { return SameAdmission(r, other) })
	})
	if len(left) > 0 {
		a.records[key] = left
		return
	}
	if _, known := a.records[key]; known {
		delete(a.records, key)
		a.order = slices.DeleteFunc(a.order, func(k configuration.Key) bool { return k == key })
	}
}

// RecordOf is an admission as the ConfigurationItem holds it.
func RecordOf(a v1alpha1.Admission) configuration.AdmissionRecord {
	return configuration.AdmissionRecord{TemplateHash: a.TemplateHash, Source: a.Source, By: a.By, Change: a.Change, At: a.At.Time}
}

// SameAdmission reports whether two records are of one admission. Times are kept in whole seconds.
func SameAdmission(a, b configuration.AdmissionRecord) bool {
	return a.TemplateHash == b.TemplateHash && a.Source == b.Source && a.By == b.By && a.Change == b.Change && a.At.Unix() == b.At.Unix()
}

func newestAdmissions(records []configuration.AdmissionRecord) []configuration.AdmissionRecord {
	slices.SortStableFunc(records, func(a, b configuration.AdmissionRecord) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.TemplateHash, b.TemplateHash))
	})
	return records[:min(len(records), MaxAdmissions)]
}
