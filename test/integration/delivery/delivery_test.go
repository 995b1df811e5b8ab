package delivery_test

import (
	"sync"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
)

var _ = Describe("The figures of delivery", func() {
	It("are what their definitions say, whatever happens", func(ctx SpecContext) {
		s := open(ctx)
		for range 20 {
			s.file(ctx)
		}

		By("starting with a history")
		r := start(s.now, nil)
		s.agrees(ctx, nil)

		By("going on while they are measured")
		for range 20 {
			s.file(ctx)
		}
		s.agrees(ctx, nil)

		By("ending Releases, which keep the figures of their Services")
		s.endReleases(ctx)
		kept := s.agrees(ctx, nil)

		By("resolving and opening Incidents, and finding Changes Unsuccessful")
		s.followUp(ctx)
		kept = s.agrees(ctx, kept)

		By("starting again")
		versions := s.versions(ctx)
		r.end()
		r = s.restart()
		Expect(s.versions(ctx)).To(Equal(versions), "something was written though nothing happened")
		s.agrees(ctx, kept)

		By("starting a second one")
		second := s.restart()
		Expect(s.versions(ctx)).To(Equal(versions), "something was written though nothing happened")
		for range 5 {
			s.file(ctx)
		}
		kept = s.agrees(ctx, kept)
		second.end()
		r.end()

		By("deleting records: what is gone counts no more, and a Release keeps what it said")
		r = s.restart()
		s.retireChanges(ctx)
		kept = s.agrees(ctx, kept)
		s.retireIncidents(ctx)
		kept = s.agrees(ctx, kept)

		By("starting later, when much has left the window")
		r.end()
		s.now = s.now.Add(60 * day)
		s.restart()
		s.agrees(ctx, kept)
	})

	It("are not written before it is known what Services claim", func(ctx SpecContext) {
		s := open(ctx)
		for range 10 {
			s.file(ctx)
		}
		r := start(s.now, nil)
		s.agrees(ctx, nil)
		r.end()
		versions := s.versions(ctx)

		held := make(chan struct{})
		release := sync.OnceFunc(func() { close(held) })
		DeferCleanup(release)
		start(s.now, func(e inventory.Event) {
			if e.Workload.Name != "" {
				<-held
			}
		})
		Consistently(func() map[string]string { return s.versions(ctx) }).WithTimeout(500 * time.Millisecond).Should(Equal(versions))
		release()
		s.agrees(ctx, nil)
		Expect(s.versions(ctx)).To(Equal(versions))
	})
})

// restart a replica, and wait until it has looked at everything.
func (s *shop) restart() *replica {
	GinkgoHelper()
	doneServices, doneReleases, _ := reconciled()
	r := start(s.now, nil)
	Eventually(func() bool {
		ofServices, ofReleases, idle := reconciled()
		return idle && ofServices-doneServices >= float64(len(services)) && ofReleases-doneReleases >= float64(len(s.ended))
	}).Should(BeTrue())
	return r
}

// world is what the API server has.
func (s *shop) world(ctx SpecContext) *world {
	GinkgoHelper()
	changes, incidents := &v1alpha1.ChangeList{}, &v1alpha1.IncidentList{}
	Expect(env.Admin().List(ctx, changes, client.InNamespace(s.namespace))).To(Succeed())
	Expect(env.Admin().List(ctx, incidents, client.InNamespace(s.namespace))).To(Succeed())
	return &world{changes: changes.Items, incidents: incidents.Items}
}

func (s *shop) list(ctx SpecContext) ([]v1alpha1.Service, []v1alpha1.Release) {
	GinkgoHelper()
	all, releases := &v1alpha1.ServiceList{}, &v1alpha1.ReleaseList{}
	Expect(env.Admin().List(ctx, all, client.InNamespace(s.namespace))).To(Succeed())
	Expect(env.Admin().List(ctx, releases, client.InNamespace(s.namespace))).To(Succeed())
	return all.Items, releases.Items
}

// versions of all that has figures.
func (s *shop) versions(ctx SpecContext) map[string]string {
	GinkgoHelper()
	out := map[string]string{}
	all, releases := s.list(ctx)
	for _, o := range all {
		out["Service "+o.Name] = o.ResourceVersion
	}
	for _, o := range releases {
		out["Release "+o.Name] = o.ResourceVersion
	}
	return out
}

// agrees waits until statuses and metrics say what the oracle does, and returns what Releases say. Those that have ended
// must say of their Services what they did before.
func (s *shop) agrees(ctx SpecContext, kept map[string]*v1alpha1.ReleaseDelivery) map[string]*v1alpha1.ReleaseDelivery {
	GinkgoHelper()
	var ofReleases map[string]*v1alpha1.ReleaseDelivery
	w := s.world(ctx)
	Eventually(func() string {
		all, releases := s.list(ctx)
		want, got := map[string]*v1alpha1.DeliveryFigures{}, map[string]*v1alpha1.DeliveryFigures{}
		for _, o := range all {
			want[o.Name], got[o.Name] = w.figures(services[o.Name], s.now, o.Status.Delivery != nil), o.Status.Delivery
		}
		ofReleases = map[string]*v1alpha1.ReleaseDelivery{}
		expected := map[string]*v1alpha1.ReleaseDelivery{}
		for _, o := range releases {
			ofReleases[o.Name], expected[o.Name] = o.Status.Delivery, s.expected(w.release(o.Name), kept[o.Name], s.ended[o.Name], want)
		}
		return gocmp.Diff(want, got) + gocmp.Diff(expected, ofReleases) +
			gocmp.Diff(s.told(want), s.metrics(), cmpopts.EquateApprox(0, 1e-9))
	}).Should(BeEmpty(), "-want, +got")
	return ofReleases
}

// expected of a Release, whose own figures are these.
func (s *shop) expected(own, kept *v1alpha1.ReleaseDelivery, ended bool, of map[string]*v1alpha1.DeliveryFigures) *v1alpha1.ReleaseDelivery {
	switch {
	case own == nil:
		return kept
	case ended && kept != nil && own.Result == kept.Result:
		own.Services = kept.Services
	default:
		for _, name := range []string{"checkout", "search", "idle"} {
			if of[name] != nil {
				own.Services = append(own.Services, v1alpha1.ServiceDelivery{Name: v1alpha1.ObjectName(name), Figures: *of[name]})
			}
		}
	}
	return own
}

// told is what metrics say of figures.
func (s *shop) told(figures map[string]*v1alpha1.DeliveryFigures) map[string]float64 {
	out := map[string]float64{}
	for name, f := range figures {
		if f == nil {
			continue
		}
		say := func(family string, value float64) { out[family+"/"+s.namespace+"/"+name] = value }
		say("itil_delivery_deployments", float64(f.Deployments))
		say("itil_delivery_failed_deployments", float64(f.Failed))
		say("itil_delivery_recoveries", float64(f.Recoveries))
		if f.LeadTimeSeconds != nil {
			say("itil_delivery_lead_time_seconds", float64(*f.LeadTimeSeconds))
		}
		if f.RecoverySeconds != nil {
			say("itil_delivery_recovery_seconds", float64(*f.RecoverySeconds))
		}
		if f.Deployments > 0 {
			say("itil_delivery_change_failure_ratio", float64(f.Failed)/float64(f.Deployments))
			say("itil_delivery_rework_ratio", float64(f.Rework)/float64(f.Deployments))
		}
	}
	return out
}

// metrics of this shop: specs leave theirs to the end.
func (s *shop) metrics() map[string]float64 {
	GinkgoHelper()
	out := map[string]float64{}
	for _, family := range []string{
		"itil_delivery_deployments", "itil_delivery_failed_deployments", "itil_delivery_recoveries", "itil_delivery_lead_time_seconds",
		"itil_delivery_recovery_seconds", "itil_delivery_change_failure_ratio", "itil_delivery_rework_ratio",
	} {
		for labels, value := range gathered(family) {
			for name := range services {
				if labels == "/"+s.namespace+"/"+name {
					out[family+labels] = value
				}
			}
		}
	}
	return out
}

// endReleases, each in another way.
func (s *shop) endReleases(ctx SpecContext) {
	GinkgoHelper()
	_, releases := s.list(ctx)
	ways := []v1alpha1.ReleaseState{v1alpha1.ReleaseCompleted, v1alpha1.ReleaseRolledBack, v1alpha1.ReleaseFailed, v1alpha1.ReleaseCanceled}
	for n := range releases {
		if s.oneIn(4) {
			continue
		}
		before := releases[n].DeepCopy()
		releases[n].Status.State = ways[n%len(ways)]
		Expect(env.Admin().Status().Patch(ctx, &releases[n], client.MergeFrom(before))).To(Succeed())
		s.ended[releases[n].Name] = true
	}
}

// followUp resolves open Incidents, opens others again, and finds some Changes Unsuccessful that are no Release's.
func (s *shop) followUp(ctx SpecContext) {
	GinkgoHelper()
	w := s.world(ctx)
	for n := range w.incidents {
		i := &w.incidents[n]
		switch s.rng.IntN(4) {
		case 0:
			i.Status.State, i.Status.ResolvedAt = v1alpha1.IncidentResolved, stamp(i.Status.StartedAt.Add(s.within(time.Hour, 3*day)))
		case 1:
			i.Status.State, i.Status.ResolvedAt = v1alpha1.IncidentInProgress, nil
		case 2:
			i.Status.StartedAt = stamp(i.Status.StartedAt.Add(time.Minute))
		default:
			continue
		}
		Expect(env.Admin().Status().Update(ctx, i)).To(Succeed())
	}
	for n := range w.changes {
		c := &w.changes[n]
		if _, released := s.ended[c.Name]; released || !isDeployment(c) || !s.oneIn(5) {
			continue
		}
		c.Status.Outcome = v1alpha1.OutcomeUnsuccessful
		Expect(env.Admin().Status().Update(ctx, c)).To(Succeed())
	}
}

// retireChanges deletes some, as their retention does: none of a Release that runs.
func (s *shop) retireChanges(ctx SpecContext) {
	GinkgoHelper()
	w := s.world(ctx)
	for n := range w.changes {
		if ended, released := s.ended[w.changes[n].Name]; s.oneIn(3) && (ended || !released) {
			Expect(env.Admin().Delete(ctx, &w.changes[n])).To(Succeed())
		}
	}
}

// retireIncidents deletes some, as their retention does.
func (s *shop) retireIncidents(ctx SpecContext) {
	GinkgoHelper()
	w := s.world(ctx)
	for n := range w.incidents {
		if s.oneIn(2) {
			Expect(env.Admin().Delete(ctx, &w.incidents[n])).To(Succeed())
		}
	}
}
