package incident

import (
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// KindService is the kind of what alerts are about that name a Service and no workload of it.
const KindService = "Service"

// ServiceKey is that of a Service of ours.
func ServiceKey(namespace, name string) configuration.Key {
	return configuration.Key{Group: GroupDetection, Kind: KindService, Namespace: namespace, Name: name}
}

const (
	maxAlert = 128
	// alertSeparator stands between the name of an alert and what tells its instances apart.
	alertSeparator = "#"
	// MaxAlerts is how many alerts of one workload or Service are followed.
	MaxAlerts = 20
)

// Alert is a signal from elsewhere about a workload or Service: the one way in for whatever else watches. Its name is
// its key: what is said of the same name later takes its place.
type Alert struct {
	Name string
	// Since when it fires.
	Since time.Time
	// EndedAt is when it ended; zero: it fires.
	EndedAt time.Time
	Message string
}

// alerts takes in what others say. Only that they say it is over is evidence of that: who is silent may be down.
func (l *look) alerts() {
	for _, a := range l.Alerts {
		if !a.EndedAt.IsZero() {
			l.cures = append(l.cures, Cure{Reason: v1alpha1.SignalAlertFiring, Alert: a.Name, At: a.EndedAt})
			continue
		}
		l.add(Finding{
			Reason: v1alpha1.SignalAlertFiring, Alert: a.Name, Since: a.Since, LastAt: a.Since, Count: 1,
			Message: clip(a.Message, maxContainerTexts),
		}, nil)
	}
}
