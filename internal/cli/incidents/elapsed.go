package incidents

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// elapsedTimes tells how long incidents took: by the clock on the wall, and in the service time that was agreed. What it
// read once it does not read again, so it is for one command.
type elapsedTimes struct {
	session *session.Session
	agreed  map[session.Ref]*servicelevel.Calendar
}

func newElapsed(s *session.Session) *elapsedTimes {
	return &elapsedTimes{session: s, agreed: map[session.Ref]*servicelevel.Calendar{}}
}

// text is for example "19h, 3h agreed". The agreed time leaves out the pauses that it had; where no agreement counts, or
// the user may not read it, there is none.
func (e *elapsedTimes) text(ctx context.Context, i *v1alpha1.Incident) string {
	from, until := i.CreationTimestamp.Time, e.session.Now()
	if i.Status.DetectedAt != nil {
		from = i.Status.DetectedAt.Time
	}
	if i.Status.ResolvedAt != nil {
		until = i.Status.ResolvedAt.Time
	}
	var calendar *servicelevel.Calendar
	if clocks := i.Status.Clocks; clocks != nil && clocks.Agreement != "" {
		calendar = e.calendar(ctx, session.Ref{Namespace: i.Namespace, Name: string(clocks.Agreement)})
	}
	return elapsed(i, from, until, calendar)
}

func elapsed(i *v1alpha1.Incident, from, until time.Time, calendar *servicelevel.Calendar) string {
	text := screen.Age(until, from)
	if calendar == nil {
		return text
	}
	agreed := calendar.Between(from, until)
	if clocks := i.Status.Clocks; clocks != nil && clocks.Resolution != nil {
		agreed -= time.Duration(clocks.Resolution.PausedSeconds) * time.Second
		if since := clocks.Resolution.PausedSince; since != nil {
			agreed -= calendar.Between(since.Time, until)
		}
	}
	return text + ", " + screen.Age(until, until.Add(-max(agreed, 0))) + " agreed"
}

// calendar is the agreed service time of an agreement; nil where it cannot be read.
func (e *elapsedTimes) calendar(ctx context.Context, agreement session.Ref) *servicelevel.Calendar {
	known, read := e.agreed[agreement]
	if read {
		return known
	}
	e.agreed[agreement] = nil
	sla := &v1alpha1.ServiceLevelAgreement{}
	if err := e.session.Get(ctx, agreement, sla); err != nil {
		return nil
	}
	always := servicelevel.Always()
	calendar := &always
	if sla.Spec.CalendarRef != nil {
		declared := &v1alpha1.Calendar{}
		if err := e.session.Get(ctx, client.ObjectKey{Name: string(sla.Spec.CalendarRef.Name)}, declared); err != nil {
			return nil
		}
		parsed, errs := servicelevel.ParseCalendar(declared.Spec)
		if len(errs) > 0 {
			return nil
		}
		calendar = &parsed
	}
	e.agreed[agreement] = calendar
	return calendar
}
