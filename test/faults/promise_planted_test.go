package faults_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// plantedPromise is a Service that was out from 10:10 until 10:20 while somebody watched, from 12:10 until 12:20 while
// nobody did since 12:00, and from 14:00 until 14:10, of which somebody saw the beginning and the end; with what an agreement must show of it, for a test to spoil.
func plantedPromise() (*promise, *v1alpha1.ServiceLevelAgreementStatus) {
	at := func(hour, minute, second int) time.Time {
		return time.Date(2026, 11, 23, hour, minute, second, 5e8, time.UTC)
	}
	time1 := func(hour, minute, second int) metav1.Time {
		return metav1.NewTime(at(hour, minute, second).Truncate(time.Second))
	}
	p := &promise{
		service: "shop", from: at(8, 0, 0).Truncate(time.Second), looked: at(8, 1, 10),
		outages: []outage{
			{span{at(10, 10, 0), at(10, 10, 9)}, span{at(10, 20, 0), at(10, 20, 9)}},
			{span{at(12, 10, 0), at(12, 10, 3)}, span{at(12, 20, 0), at(12, 20, 3)}},
			{span{at(14, 0, 0), at(14, 0, 9)}, span{at(14, 10, 0), at(14, 10, 9)}},
		},
		unwatched: []span{{at(12, 0, 0), at(12, 30, 0)}, {at(14, 2, 0), at(14, 5, 0)}},
	}
	interruption := func(kind v1alpha1.InterruptionType, from, to metav1.Time) v1alpha1.Interruption {
		return v1alpha1.Interruption{Type: kind, From: from, To: &to}
	}
	s := &v1alpha1.ServiceLevelAgreementStatus{
		Observed: &v1alpha1.ObservedHealth{Health: v1alpha1.HealthOperational, Since: time1(14, 10, 2), RecordedFrom: time1(8, 1, 0)},
		Interruptions: []v1alpha1.Interruption{
			interruption(v1alpha1.InterruptionOutage, time1(10, 10, 7), time1(10, 20, 1)),
			interruption(v1alpha1.InterruptionUnobserved, time1(12, 0, 0), time1(12, 10, 1)),
			interruption(v1alpha1.InterruptionOutage, time1(12, 10, 1), time1(12, 20, 1)),
			interruption(v1alpha1.InterruptionOutage, time1(14, 0, 0), time1(14, 10, 2)),
		},
		CurrentPeriod: &v1alpha1.PeriodFigures{
			Start: metav1.NewTime(time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC)), End: metav1.NewTime(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)),
			AsOf: time1(15, 0, 0), Outages: 3,
			AgreedSeconds: 7 * 3600, DowntimeSeconds: 594 + 600 + 602, UnobservedSeconds: 60 + 601, Availability: "92.6810",
		},
	}
	return p, s
}

// TestTheOracleOfPromises spoils what an agreement shows in one way after the other.
func TestTheOracleOfPromises(t *testing.T) {
	p, s := plantedPromise()
	if wrong := p.judge(s); len(wrong) > 0 {
		t.Fatalf("of an agreement as it should be it says %q", wrong)
	}
	move := func(at *metav1.Time, by time.Duration) { *at = metav1.NewTime(at.Add(by)) }
	for name, test := range map[string]struct {
		spoil func(p *promise, s *v1alpha1.ServiceLevelAgreementStatus)
		want  string
	}{
		"an outage is lost": {func(_ *promise, s *v1alpha1.ServiceLevelAgreementStatus) {
			s.Interruptions = slices.Delete(s.Interruptions, 0, 1)
			s.CurrentPeriod.DowntimeSeconds -= 594
			s.CurrentPeriod.Outages--
		}, "shop was out 10:10:10 - 10:20:00, and nobody counted that"},
		"it is dated to when it was found": {func(_ *promise, s *v1alpha1.ServiceLevelAgreementStatus) {
			move(&s.Interruptions[2].From, 10*time.Second)
			s.CurrentPeriod.DowntimeSeconds -= 10
		}, "shop was out 12:10:04 - 12:10:11, and nobody counted that"},
		"it begins too early": {func(_ *promise, s *v1alpha1.ServiceLevelAgreementStatus) {
			move(&s.Interruptions[3].From, -time.Second)
			s.CurrentPeriod.DowntimeSeconds++
		}, "shop was not out 13:59:59 - 14:10:02"},
		"it ends too late": {func(_ *promise, s *v1alpha1.ServiceLevelAgreementStatus) {
			move(s.Interruptions[0].To, time.Minute)
			s.CurrentPeriod.DowntimeSeconds += 60
		}, "shop was not out 10:10:07 - 10:21:01"},
		"it ends too early": {func(_ *promise, s *v1alpha1.ServiceLevelAgreementStatus) {
			move(s.Interruptions[0].To, -time.Minute)
			s.CurrentPeriod.DowntimeSeconds -= 60
		}, "shop was out 10:19:01 - 10:20:00, and nobody counted that"},
		"it goes on": {func(_ *promise, s *v1alpha1.ServiceLevelAgreementStatus) {
			s.Interruptions[3].To = nil
		}, "counts on since"},
		"one that never was": {func(_ *promise, s *v1alpha1.ServiceLevelAgreementStatus) {
			to := metav1.NewTime(s.Interruptions[3].To.Add(2 * time.Minute))
			s.Interruptions = append(s.Interruptions, v1alpha1.Interruption{Type: v1alpha1.InterruptionOutage, From: metav1.NewTime(to.Add(-time.Minute)), To: &to})
		}, "shop was not out 14:11:02 - 14:12:02"},
		"not known though somebody watched": {func(_ *promise, s *v1alpha1.ServiceLevelAgreementStatus) {
			s.Interruptions[0].Type = v1alpha1.InterruptionUnobserved
		}, "how shop was 10:10:07 - 10:20:01 was seen"},
		"not known longer than nobody watched": {func(_ *promise, s *v1alpha1.ServiceLevelAgreementStatus) {
			move(&s.Interruptions[1].From, -time.Minute)
		}, "how shop was 11:59:00 - 12:00:00 was seen"},
		"not known though the pods show it": {func(_ *promise, s *v1alpha1.ServiceLevelAgreementStatus) {
			whole := s.Interruptions[3]
			from, to := metav1.NewTime(whole.From.Add(2*time.Minute)), metav1.NewTime(whole.From.Add(5*time.Minute))
			s.Interruptions[3].To = &from
			s.Interruptions = append(s.Interruptions, v1alpha1.Interruption{Type: v1alpha1.InterruptionUnobserved, From: from, To: &to},
				v1alpha1.Interruption{Type: v1alpha1.InterruptionOutage, From: to, To: whole.To})
		}, "how shop was 14:02:00 - 14:05:00 was seen, or is shown by its pods"},
		"they overlap": {func(_ *promise, s *v1alpha1.ServiceLevelAgreementStatus) {
			move(&s.Interruptions[2].From, -time.Second)
		}, "after one that ends at"},
		"maintenance that nobody declared": {func(_ *promise, s *v1alpha1.ServiceLevelAgreementStatus) {
			s.Interruptions[0].Type = v1alpha1.InterruptionMaintenance
		}, "was not maintained"},
		"counted twice": {func(_ *promise, s *v1alpha1.ServiceLevelAgreementStatus) {
			s.CurrentPeriod.DowntimeSeconds += 594
		}, "the downtime seconds are 2390, and by the record 1796"},
		"an outage too many": {func(_ *promise, s *v1alpha1.ServiceLevelAgreementStatus) {
			s.CurrentPeriod.Outages = 6
		}, "its agreement counts 6"},
		"an outage too few": {func(_ *promise, s *v1alpha1.ServiceLevelAgreementStatus) {
			s.CurrentPeriod.Outages = 2
		}, "its agreement counts 2"},
		"unobserved is forgotten": {func(_ *promise, s *v1alpha1.ServiceLevelAgreementStatus) {
			s.CurrentPeriod.UnobservedSeconds = 0
		}, "the unobserved seconds are 0, and by the record 661"},
		"another availability": {func(_ *promise, s *v1alpha1.ServiceLevelAgreementStatus) {
			s.CurrentPeriod.Availability = "92.8730"
		}, `which its agreement calls "92.8730"`},
		"the record begins again": {func(_ *promise, s *v1alpha1.ServiceLevelAgreementStatus) {
			move(&s.Observed.RecordedFrom, 3*time.Hour)
		}, "shop is recorded from"},
		"nothing": {func(_ *promise, s *v1alpha1.ServiceLevelAgreementStatus) { s.CurrentPeriod = nil }, "shows nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := plantedPromise()
			test.spoil(p, s)
			if wrong := p.judge(s); !slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, test.want) }) {
				t.Errorf("it finds %q, want %q", wrong, test.want)
			}
		})
	}
}
