package changepolicy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

var now = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

func namespaces(env ...string) []corev1.Namespace {
	var out []corev1.Namespace
	for _, e := range env {
		out = append(out, corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"env": e}}})
	}
	return out
}

func office(days ...v1alpha1.Weekday) v1alpha1.Calendar {
	c := v1alpha1.Calendar{ObjectMeta: metav1.ObjectMeta{Name: "office", Generation: 3}}
	c.Spec.Weekly = []v1alpha1.WeeklyHours{{Days: days, From: "08:00", To: "18:00"}}
	return c
}

func TestPolicyStatus(t *testing.T) {
	inOffice := func(s *v1alpha1.ChangePolicySpec) {
		s.ChangeWindow = &v1alpha1.ChangeWindow{CalendarRef: v1alpha1.LocalReference{Name: "office"}}
	}
	for name, test := range map[string]struct {
		spec      func(*v1alpha1.ChangePolicySpec)
		calendars []v1alpha1.Calendar
		state     v1alpha1.ChangePolicyState
		message   string
	}{
		"all is well":                {spec: func(*v1alpha1.ChangePolicySpec) {}, state: v1alpha1.ChangePolicyActive, message: "all of it can be understood"},
		"with a calendar":            {spec: inOffice, calendars: []v1alpha1.Calendar{office("Mon")}, state: v1alpha1.ChangePolicyActive, message: "all of it can be understood"},
		"without its calendar":       {spec: inOffice, state: v1alpha1.ChangePolicyInvalid, message: "spec.changeWindow.calendarRef: there is no Calendar office; the change window counts as closed"},
		"with a calendar of no days": {spec: inOffice, calendars: []v1alpha1.Calendar{office("Someday")}, state: v1alpha1.ChangePolicyInvalid, message: "Calendar office is invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			p := builder.MakeChangePolicy("production").Spec(func(s *v1alpha1.ChangePolicySpec) {
				s.NamespaceSelector = v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"env": "production"}}
				test.spec(s)
			}).Obj()
			p.Generation = 7
			// What others keep in the status stays.
			p.Status.StandardChanges = []v1alpha1.StandardChangeStatus{{Name: "patch", Used: 3}}
			setPolicyStatus(p, namespaces("production", "test", "production"), test.calendars, now)
			if p.Status.State != test.state || p.Status.Namespaces != 2 || p.Status.ObservedGeneration != 7 || len(p.Status.StandardChanges) != 1 {
				t.Errorf("status %+v", p.Status)
			}
			c := p.Status.Conditions[0]
			if !strings.Contains(c.Message, test.message) || (c.Status == metav1.ConditionTrue) != (test.state == v1alpha1.ChangePolicyActive) {
				t.Errorf("condition %+v", c)
			}
			if (p.Status.NextStep == "") != (test.state == v1alpha1.ChangePolicyActive) {
				t.Errorf("next step %q", p.Status.NextStep)
			}
			again := p.DeepCopy()
			setPolicyStatus(again, namespaces("production", "test", "production"), test.calendars, now.Add(time.Hour))
			if diff := cmp.Diff(p, again); diff != "" {
				t.Errorf("nothing changed, but:\n%s", diff)
			}
		})
	}
}

func TestCalendarStatus(t *testing.T) {
	for name, test := range map[string]struct {
		given v1alpha1.Calendar
		state v1alpha1.CalendarState
		names string
	}{
		"well":        {office("Mon"), v1alpha1.CalendarActive, "all of it can be understood"},
		"of no days":  {office("Someday"), v1alpha1.CalendarInvalid, "spec.weekly[0].days[0]"},
		"of no hours": {v1alpha1.Calendar{}, v1alpha1.CalendarInvalid, "neither weekly nor extra hours"},
	} {
		t.Run(name, func(t *testing.T) {
			c := test.given.DeepCopy()
			setCalendarStatus(c, now)
			if c.Status.State != test.state || c.Status.ObservedGeneration != c.Generation || !strings.Contains(c.Status.Conditions[0].Message, test.names) {
				t.Errorf("status %+v", c.Status)
			}
		})
	}
}

func TestConditionIsBounded(t *testing.T) {
	c := v1alpha1.Calendar{}
	for range 50 {
		c.Spec.Weekly = append(c.Spec.Weekly, v1alpha1.WeeklyHours{Days: []v1alpha1.Weekday{v1alpha1.Weekday(strings.Repeat("ü", 100))}, From: "x", To: "y"})
	}
	setCalendarStatus(&c, now)
	if n := len(c.Status.Conditions[0].Message); n > maxMessage+3 {
		t.Errorf("message of %d bytes", n)
	}
}

func requestFor(name string) ctrl.Request {
	return ctrl.Request{NamespacedName: types.NamespacedName{Name: name}}
}
