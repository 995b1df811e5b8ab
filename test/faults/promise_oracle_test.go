package faults_test

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// span is the time from one moment until another. Of an edge it is the time within which it may be dated: from when it
// was begun to be written until it was written and known.
type span struct{ from, until time.Time }

func (s span) String() string {
	return s.from.UTC().Format(time.TimeOnly) + " - " + s.until.UTC().Format(time.TimeOnly)
}

// seconds are the whole ones that a span holds for certain, and touched those that it may be of: records have whole
// seconds.
func (s span) seconds() span {
	return span{s.from.Truncate(time.Second).Add(time.Second), s.until.Truncate(time.Second)}
}

func (s span) touched() span {
	return span{s.from.Truncate(time.Second), s.until.Truncate(time.Second).Add(time.Second)}
}

// within reports whether it is a part of another.
func (s span) within(o span) bool { return !s.from.Before(o.from) && !s.until.After(o.until) }

// left is what others leave of it.
func (s span) left(others []span) []span {
	rest := []span{s}
	for _, o := range others {
		var next []span
		for _, r := range rest {
			before, after := span{r.from, earliest(r.until, o.from)}, span{latest(r.from, o.until), r.until}
			for _, part := range []span{before, after} {
				if part.from.Before(part.until) {
					next = append(next, part)
				}
			}
		}
		rest = next
	}
	return rest
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// outage is a time in which a Service was out, by its pods: they stopped being ready within one span, and were again
// within another.
type outage struct{ begins, ends span }

// sure is when it was out for certain, and perhaps when it may have been.
func (o outage) sure() span { return span{o.begins.until, o.ends.from} }

func (o outage) perhaps() span { return span{o.begins.from, o.ends.until} }

// promise is what was done to a Service, by which the oracle knows what an agreement on it must show.
type promise struct {
	service string
	// from when the agreement counts, and by when the Service was looked at.
	from, looked time.Time
	outages      []outage
	// unwatched are times in which nobody did: what the pods do not show of them may count as not known.
	unwatched []span
}

// judge says what is wrong with what an agreement shows when all is well again. It knows nothing of how it came about.
func (p *promise) judge(s *v1alpha1.ServiceLevelAgreementStatus) []string {
	var f findings
	if s.CurrentPeriod == nil || s.Observed == nil {
		f.add("the agreement on %s shows nothing", p.service)
		return f
	}
	down, unknown := f.recorded(p, s.Interruptions)
	f.never(p, down, unknown)
	f.lost(p, down, unknown)
	if from := s.Observed.RecordedFrom.Time; from.Before(p.from.Truncate(time.Second)) || from.After(p.looked) {
		f.add("%s is recorded from %s on, and was looked at from %s on", p.service, from.UTC(), p.looked.UTC())
	}
	f.sums(p, s, down, append(unknown, span{p.from, s.Observed.RecordedFrom.Time}))
	slices.Sort(f)
	return f
}

// recorded reads the interruptions, all of which are over.
func (f *findings) recorded(p *promise, interruptions []v1alpha1.Interruption) (down, unknown []span) {
	var before time.Time
	for _, i := range interruptions {
		if i.To == nil {
			f.add("%s is well, and its agreement counts on since %s as %s", p.service, i.From.UTC(), i.Type)
			continue
		}
		one := span{i.From.Time, i.To.Time}
		if one.from.Before(before) || !one.from.Before(one.until) {
			f.add("%s has an interruption %s after one that ends at %s", p.service, one, before.UTC())
		}
		before = one.until
		switch i.Type {
		case v1alpha1.InterruptionOutage:
			down = append(down, one)
		case v1alpha1.InterruptionUnobserved:
			unknown = append(unknown, one)
		case v1alpha1.InterruptionMaintenance:
			f.add("%s was not maintained, and its agreement says so of %s", p.service, one)
		}
	}
	return down, unknown
}

// never more downtime than there was, nor more that is not known than nothing tells of.
func (f *findings) never(p *promise, down, unknown []span) {
	for _, d := range down {
		if !slices.ContainsFunc(p.outages, func(o outage) bool { return d.within(o.perhaps().touched()) }) {
			f.add("%s was not out %s", p.service, d)
		}
	}
	excused := p.excused()
	for _, u := range unknown {
		if rest := u.left(excused); len(rest) > 0 {
			f.add("how %s was %s was seen, or is shown by its pods, and its agreement does not know", p.service, rest[0])
		}
	}
}

// excused are the times of which nothing tells: nobody watched, and then the pods turned, which hides what was before. A
// pod that did not turn shows that it was all the time as it is.
func (p *promise) excused() (spans []span) {
	for _, u := range p.unwatched {
		for _, o := range p.outages {
			for _, turn := range []span{o.begins, o.ends} {
				if !turn.until.Before(u.from) && !turn.from.After(u.until) {
					spans = append(spans, span{u.from, turn.until}.touched())
				}
			}
		}
	}
	return spans
}

// lost looks for downtime that is certain and that nobody counted.
func (f *findings) lost(p *promise, down, unknown []span) {
	for _, o := range p.outages {
		for _, rest := range o.sure().seconds().left(append(slices.Clone(down), unknown...)) {
			f.add("%s was out %s, and nobody counted that", p.service, rest)
		}
	}
}

// sums checks that the figures are those of the record, and how many outages they count. What is not known in the midst
// of an outage makes two of it.
func (f *findings) sums(p *promise, s *v1alpha1.ServiceLevelAgreementStatus, down, unknown []span) {
	figures := s.CurrentPeriod
	counted := span{latest(figures.Start.Time, p.from.Truncate(time.Second)), earliest(figures.End.Time, figures.AsOf.Time)}
	total := func(spans []span) (seconds int64) {
		for _, i := range spans {
			i = span{latest(i.from, counted.from), earliest(i.until, counted.until)}
			seconds += max(0, int64(i.until.Sub(i.from)/time.Second))
		}
		return seconds
	}
	agreed := int64(counted.until.Sub(counted.from) / time.Second)
	for name, sum := range map[string][2]int64{
		"agreed": {figures.AgreedSeconds, agreed}, "downtime": {figures.DowntimeSeconds, total(down)},
		"unobserved": {figures.UnobservedSeconds, total(unknown)}, "planned": {figures.PlannedSeconds, 0},
	} {
		if sum[0] != sum[1] {
			f.add("of %s the %s seconds are %d, and by the record %d", p.service, name, sum[0], sum[1])
		}
	}
	least, most := len(p.outages), len(p.outages)
	for _, o := range p.outages {
		for _, u := range p.unwatched {
			if o.ends.until.After(u.from) && o.begins.from.Before(u.until) {
				most++
			}
		}
	}
	if n := int(figures.Outages); n < least || n > most {
		f.add("%s had %d outages, at most %d by what was watched, and its agreement counts %d", p.service, least, most, n)
	}
	f.availability(p, figures)
}

func (f *findings) availability(p *promise, figures *v1alpha1.PeriodFigures) {
	observed := figures.AgreedSeconds - figures.UnobservedSeconds
	if observed <= 0 {
		return
	}
	const share, exact = 100.0, 0.0001
	want := share * float64(observed-figures.DowntimeSeconds) / float64(observed)
	if got, err := strconv.ParseFloat(figures.Availability, 64); err != nil || math.Abs(got-want) > exact {
		f.add("%s was available for %s of %d seconds, which its agreement calls %q", p.service, fmt.Sprintf("%.4f %%", want), observed, figures.Availability)
	}
}
