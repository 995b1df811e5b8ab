package changes

import (
	"bytes"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
	"github.com/itil-dev/itil-operator/internal/testing/golden"
)

const olderImage = "registry.shop.example/checkout:2.2"

// production is a namespace under a policy, with office hours in Berlin.
func production(alter ...func(*v1alpha1.ChangePolicySpec)) *records {
	policy := builder.MakeChangePolicy("production").Enforcement(v1alpha1.EnforcementEnforce).Spec(func(p *v1alpha1.ChangePolicySpec) {
		p.NamespaceSelector = v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"env": "production"}}
		p.ChangeWindow = &v1alpha1.ChangeWindow{CalendarRef: v1alpha1.LocalReference{Name: "office"}}
		p.Approvals = []v1alpha1.ApprovalRule{
			{Risk: v1alpha1.RiskMedium, Required: 1, Groups: []v1alpha1.GroupName{"sre-leads"}},
			{Risk: v1alpha1.RiskHigh, Required: 2, Groups: []v1alpha1.GroupName{"board", "sre-leads"}},
		}
		p.Emergency = &v1alpha1.EmergencyRule{Required: 1, Groups: []v1alpha1.GroupName{"on-call"}}
		for _, f := range alter {
			f(p)
		}
	}).Obj()
	r := &records{inventory: inventory.New()}
	r.inventory.Put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"env": "production"}}})
	r.inventory.Put(&v1alpha1.Calendar{ObjectMeta: metav1.ObjectMeta{Name: "office"}, Spec: v1alpha1.CalendarSpec{
		TimeZone: "Europe/Berlin", Weekly: []v1alpha1.WeeklyHours{{Days: []v1alpha1.Weekday{"Mon", "Tue", "Wed", "Thu", "Fri"}, From: "08:00", To: "18:00"}},
	}})
	r.inventory.Put(policy)
	return r
}

// knowing puts a Service, baselines and Changes into the records and the inventory.
func (r *records) knowing(services []v1alpha1.Service, item *v1alpha1.ConfigurationItem, changes ...v1alpha1.Change) *records {
	r.services, r.changes = services, changes
	for i := range r.services {
		r.inventory.Put(&r.services[i])
	}
	for i := range r.changes {
		r.inventory.Put(&r.changes[i])
	}
	if item != nil {
		r.items = items{item.Spec.WorkloadRef: item}
		r.inventory.Put(item)
	}
	return r
}

func without(r *records, kinds ...string) *records {
	r.unread = kinds
	return r
}

func TestWhyPage(t *testing.T) {
	service := []v1alpha1.Service{*builder.MakeService("shop", "checkout").Tier(1).Claim(v1alpha1.WorkloadDeployment, "checkout").Obj()}
	unproven := *baselineOf(checkout("registry.shop.example/checkout:2.1").Unstructured())
	unproven.Proven = false
	item := builder.ConfigurationItem("shop", v1alpha1.WorkloadDeployment, "checkout",
		*baselineOf(checkout(oldImage).Unstructured()), *baselineOf(checkout(olderImage).Unstructured()), unproven)
	freeze := func(p *v1alpha1.ChangePolicySpec) {
		p.Freezes = []v1alpha1.Freeze{{Name: "black-friday", From: "2026-11-20T00:00:00Z", To: "2026-11-30T00:00:00Z", Reason: "customers buy"}}
	}
	all := func(p *v1alpha1.ChangePolicySpec) { p.Scope = v1alpha1.ScopeAllWorkloads }
	monday := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	itself := func(d *builder.Deployment) *trial { return tried(d, d) }
	pod := &trial{kind: "Pod", namespace: "shop", name: "stray"}
	pod.before = builder.Unstructured(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "stray"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: newImage}}},
	}, corev1.SchemeGroupVersion.WithKind("Pod"))
	pod.after = pod.before
	paused := checkout(oldImage).Obj()
	paused.Spec.Paused = true
	held := &trial{kind: "Deployment", namespace: "shop", name: "checkout", before: builder.Unstructured(paused, appsv1.SchemeGroupVersion.WithKind("Deployment")), after: builder.Unstructured(paused, appsv1.SchemeGroupVersion.WithKind("Deployment"))}
	for name, test := range map[string]struct {
		trial   *trial
		asked   bool
		records *records
		undo    *undoAnswer
		at      time.Time
	}{
		"open":          {trial: itself(checkout(oldImage)), records: production().knowing(service, item), undo: &undoAnswer{to: "app=" + olderImage}, at: monday},
		"sunday":        {trial: itself(checkout(oldImage)), records: production().knowing(service, item, *awaiting("waiting")), undo: &undoAnswer{silent: true}},
		"frozen":        {trial: itself(checkout(oldImage)), records: production(freeze).knowing(service, item), at: monday},
		"never again":   {trial: itself(checkout(oldImage)), records: production(func(p *v1alpha1.ChangePolicySpec) { p.Rollback = v1alpha1.RollbackRequireChange }).knowing(service, item), undo: &undoAnswer{to: "app=" + olderImage, says: []string{"deployment shop/checkout is governed by x.\nNext."}}, at: monday},
		"held":          {trial: held, records: production().knowing(service, nil), at: monday},
		"all workloads": {trial: pod, records: production(all).knowing(nil, nil), at: monday},
		"nobody":        {trial: itself(checkout(oldImage)), records: production().knowing(nil, nil), at: monday},
		"no policies":   {trial: itself(checkout(oldImage)), records: without(production().knowing(service, item), kindPolicies, kindCalendars), undo: &undoAnswer{to: "app=" + olderImage}, at: monday},
		"a rollback":    {trial: tried(checkout(oldImage), checkout(olderImage)), asked: true, records: production(freeze).knowing(service, item), at: monday},
	} {
		t.Run(name, func(t *testing.T) {
			if test.at.IsZero() {
				test.at = now
			}
			a := explain(test.trial, test.asked, test.records, test.at)
			a.undo = test.undo
			golden.Compare(t, a.page(test.at, screen.Palette{}).String())
		})
	}
	t.Run("for programs", func(t *testing.T) {
		var out bytes.Buffer
		s := &session.Session{Factory: &session.Factory{Screen: screen.New(genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: &out, ErrOut: &bytes.Buffer{}})}}
		answers := []*answer{explain(tried(checkout(oldImage), checkout(newImage)), true, production(freeze).knowing(service, item, *awaiting("waiting")), monday)}
		for _, format := range formats[1:] {
			if err := writeReports(s, answers, format); err != nil {
				t.Fatal(err)
			}
		}
		golden.Compare(t, out.String())
	})
}

// TestWhyTellsOfACalendarThatIsNotThere: no waiting opens that window, and somebody must be asked.
func TestWhyTellsOfACalendarThatIsNotThere(t *testing.T) {
	service := []v1alpha1.Service{*builder.MakeService("shop", "checkout").Tier(1).Claim(v1alpha1.WorkloadDeployment, "checkout").Obj()}
	r := production().knowing(service, builder.ConfigurationItem("shop", v1alpha1.WorkloadDeployment, "checkout", *baselineOf(checkout(oldImage).Unstructured())))
	r.inventory.Remove(&v1alpha1.Calendar{ObjectMeta: metav1.ObjectMeta{Name: "office"}})
	page := explain(tried(checkout(oldImage), checkout(oldImage)), false, r, now).page(now, screen.Palette{}).String()
	for _, want := range []string{"closed for good", "until somebody makes Calendar office, which does not exist", "kubectl describe chgpol production"} {
		if !strings.Contains(page, want) {
			t.Errorf("lacks %q:\n%s", want, page)
		}
	}
}
