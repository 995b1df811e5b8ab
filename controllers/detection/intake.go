package detection

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// intake is where signals come in that others saw. They are held until they end; what must outlast a restart is in the
// Incidents, where a signal stays active until its end is reported.
type intake struct {
	mu     sync.Mutex
	alerts map[configuration.Key]map[string]incident.Alert
	// where is about which workload an alert was last taken in.
	where map[string]configuration.Key
	// told counts what was reported about a workload, seen how much of that was looked at and written.
	told, seen map[configuration.Key]uint64
	waiting    map[configuration.Key][]waiter
}

type waiter struct {
	until uint64
	done  chan struct{}
}

// maxIntake bounds about how many workloads alerts are held.
const maxIntake = 10_000

func newIntake() *intake {
	return &intake{
		alerts: map[configuration.Key]map[string]incident.Alert{}, where: map[string]configuration.Key{},
		told: map[configuration.Key]uint64{}, seen: map[configuration.Key]uint64{}, waiting: map[configuration.Key][]waiter{},
	}
}

// put takes in an alert, and returns what is closed once it is written. It fails with errSurplus where as many of the
// workload are followed as may be, and with errNoRoom where nothing more fits.
func (x *intake) put(key configuration.Key, a incident.Alert) (<-chan struct{}, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	held := x.alerts[key]
	if _, known := held[a.Name]; !known {
		switch firing, ended := count(held); {
		case a.EndedAt.IsZero() && firing >= incident.MaxAlerts:
			return nil, errSurplus
		case held == nil && len(x.alerts) >= maxIntake, ended >= incident.MaxReports:
			return nil, errNoRoom
		}
	}
	if held == nil {
		held = map[string]incident.Alert{}
		x.alerts[key] = held
	}
	held[a.Name] = a
	x.where[a.Name] = key
	x.told[key]++
	w := waiter{until: x.told[key], done: make(chan struct{})}
	x.waiting[key] = append(x.waiting[key], w)
	return w.done, nil
}

// count is how many alerts fire, and how many ended of which that is not written yet.
func count(held map[string]incident.Alert) (firing, ended int) {
	for _, a := range held {
		if a.EndedAt.IsZero() {
			firing++
		} else {
			ended++
		}
	}
	return firing, ended
}

// about is the workload that an alert was taken in for before.
func (x *intake) about(alert string) (configuration.Key, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	key, known := x.where[alert]
	return key, known
}

// of are the alerts about a workload in the order of their names, and a number for wrote.
func (x *intake) of(key configuration.Key) ([]incident.Alert, uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []incident.Alert
	for _, a := range x.alerts[key] {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b incident.Alert) int { return strings.Compare(a.Name, b.Name) })
	return out, x.told[key]
}

// wrote says that what was reported up to a number is written down, or leads to nothing.
func (x *intake) wrote(key configuration.Key, told uint64, seen []incident.Alert) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if told == 0 {
		return
	}
	for _, a := range seen {
		if now, known := x.alerts[key][a.Name]; known && !a.EndedAt.IsZero() && now == a {
			delete(x.alerts[key], a.Name)
			if x.where[a.Name] == key {
				delete(x.where, a.Name)
			}
		}
	}
	x.waiting[key] = slices.DeleteFunc(x.waiting[key], func(w waiter) bool {
		if w.until > told {
			return false
		}
		close(w.done)
		return true
	})
	if len(x.waiting[key]) == 0 {
		delete(x.waiting, key)
	}
	if len(x.alerts[key]) == 0 && x.told[key] == told {
		delete(x.alerts, key)
		delete(x.told, key)
	}
}

var (
	errNotLeader = errors.New("this replica does not lead; try again")
	errNoRoom    = errors.New("too many alerts; try again")
	errSurplus   = errors.New("as many alerts of one workload are followed as may be")
)

// Report takes in signals that others saw, and returns when all of them are written down, so that whoever reports may
// forget them. What is about nothing that is known here is left out, and counted; so is what is more of one workload than
// is followed: its Incident is open, and what fires still is reported again when another has ended.
func (r *Reconciler) Report(ctx context.Context, reports []incident.Report) error {
	select {
	case <-r.begun:
	default:
		return errNotLeader
	}
	var waits []<-chan struct{}
	var full error
	// What ended makes room.
	for _, report := range slices.SortedStableFunc(slices.Values(reports), endedFirst) {
		key, ok := r.target(report)
		if !ok {
			alertsTotal.WithLabelValues(resultUnmatched).Inc()
			continue
		}
		done, err := r.intake.put(key, report.Alert)
		switch {
		case errors.Is(err, errSurplus):
			alertsTotal.WithLabelValues(resultSurplus).Inc()
			continue
		case err != nil:
			alertsTotal.WithLabelValues(resultRefused).Inc()
			full = err
			continue
		}
		alertsTotal.WithLabelValues(resultTaken).Inc()
		waits = append(waits, done)
		r.enqueue(key)
	}
	for _, done := range waits {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return full
}

func endedFirst(a, b incident.Report) int {
	switch aFires, bFires := a.EndedAt.IsZero(), b.EndedAt.IsZero(); {
	case aFires == bFires:
		return 0
	case bFires:
		return -1
	default:
		return 1
	}
}

// target is what an alert is about: what it was about before, since the pod that it names may be gone by the time that it
// ends; else the first that exists of what it names.
func (r *Reconciler) target(report incident.Report) (configuration.Key, bool) {
	named := func(key configuration.Key) bool {
		return key.Kind == incident.KindNode || slices.ContainsFunc(report.Targets, func(t configuration.Key) bool { return t.Namespace == key.Namespace })
	}
	if key, known := r.intake.about(report.Name); known && named(key) {
		return key, true
	}
	if key, known := r.incidents.ofAlert(report.Name); known && named(key) {
		return key, true
	}
	return r.existing(report.Targets)
}

// existing is the first that exists of what an alert may be about; of a pod, or a Job of a CronJob, what made it.
func (r *Reconciler) existing(targets []configuration.Key) (configuration.Key, bool) {
	for _, key := range targets {
		switch {
		case key.Kind == incident.KindService:
			if _, exists := r.Inventory.Service(servicelevel.ServiceName{Namespace: key.Namespace, Name: key.Name}); exists {
				return key, true
			}
		case key.Kind == incident.KindPod:
			if owner, known := r.pods.workload(key.Namespace, key.Name); known {
				return owner, true
			}
		case key.Kind == incident.KindNode:
			return key, true
		default:
			w, exists := r.Inventory.Workload(key)
			if !exists {
				continue
			}
			if cronJob, owned := cronJobOf(w); owned {
				return cronJob, true
			}
			return key, true
		}
	}
	return configuration.Key{}, false
}

// workload is what a pod of that name belongs to.
func (x *podIndex) workload(namespace, name string) (configuration.Key, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for key := range x.byNamespace[namespace] {
		for id := range x.byWorkload[key] {
			if o := x.owners[id]; o.pod(name) != nil {
				return o.key, true
			}
		}
	}
	return configuration.Key{}, false
}
