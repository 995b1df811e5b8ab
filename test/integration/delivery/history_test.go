package delivery_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

const day = 24 * time.Hour

// services of the shop and what they claim; worker is claimed twice, and nothing is ever deployed to idle.
var services = map[string][]string{
	"checkout": {"checkout", "worker"}, "search": {"search"}, "payment": {"payment", "worker"}, "idle": {"idle"},
}

// shop is a namespace with a history. The API server stamps when a Change is created: what the history tells happened
// after that, and the clock of the controllers is ahead.
type shop struct {
	namespace string
	rng       *rand.Rand
	// begun is when the first Change was created, and now what the controllers take for the time.
	begun, now time.Time
	filed      int
	// releases whose Change is of the same name, and whether they have ended.
	ended map[string]bool
}

// open makes the workloads and Services of the shop.
func open(ctx SpecContext) *shop {
	GinkgoHelper()
	const history = 120 * day
	s := &shop{namespace: env.Namespace(GinkgoTB(), nil), ended: map[string]bool{}}
	seed := uint64(GinkgoRandomSeed())
	GinkgoWriter.Println("the history's seed (ginkgo --seed):", seed)
	s.rng = rand.New(rand.NewPCG(seed, 6))
	made := map[string]bool{}
	for name, workloads := range services {
		b := builder.MakeService(s.namespace, name).Tier(3)
		for _, w := range workloads {
			b = b.Claim(v1alpha1.WorkloadDeployment, w)
			if !made[w] {
				s.create(ctx, builder.MakeDeployment(s.namespace, w).Image("app", w+":1").Obj())
				made[w] = true
			}
		}
		service := b.Obj()
		s.create(ctx, service)
		s.begun = service.CreationTimestamp.Time
	}
	s.now = s.begun.Add(history)
	return s
}

func (s *shop) create(ctx SpecContext, o client.Object) {
	GinkgoHelper()
	o.SetResourceVersion("")
	o.SetUID("")
	o.SetGeneration(0)
	o.SetCreationTimestamp(metav1.Time{})
	Expect(env.Admin().Create(ctx, o)).To(Succeed())
}

func (s *shop) within(from, to time.Duration) time.Duration {
	return (from + time.Duration(s.rng.Int64N(int64(to-from)))).Truncate(time.Second)
}

func (s *shop) oneIn(n int) bool { return s.rng.IntN(n) == 0 }

func stamp(t time.Time) *metav1.Time {
	out := metav1.NewTime(t)
	return &out
}

// file a Change with its story: what it was for, what went in where, how that went, and what it broke.
func (s *shop) file(ctx SpecContext) {
	GinkgoHelper()
	s.filed++
	name := fmt.Sprintf("c%03d", s.filed)
	b := builder.MakeChange(s.namespace, name)
	// Mostly one Service's, at times several.
	at := []string{"checkout", "worker", "search", "payment"}
	s.rng.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
	at = at[:1+s.rng.IntN(3)]
	for _, w := range at {
		b = b.Target(v1alpha1.WorkloadDeployment, w, w+":2")
	}
	c := b.Alter(s.purpose).Obj()
	s.create(ctx, c)
	in := s.begun.Add(s.within(time.Hour, 115*day))
	if c.Spec.RecordOf != "" && s.oneIn(2) {
		// What was forced in is recorded afterwards.
		in = c.CreationTimestamp.Add(-s.within(time.Second, time.Hour))
	}
	s.implement(c, in, at)
	if isDeployment(c) && s.oneIn(3) {
		s.breaks(ctx, c, in)
	}
	Expect(env.Admin().Status().Update(ctx, c)).To(Succeed())
	if c.Spec.RecordOf == "" && s.oneIn(4) {
		s.releaseOf(ctx, c)
	}
}

// purpose of a Change: mostly planned.
func (s *shop) purpose(c *v1alpha1.Change) {
	incident := &v1alpha1.LocalReference{Name: "an-incident"}
	switch s.rng.IntN(8) {
	case 0:
		c.Spec.Type, c.Spec.IncidentRef = v1alpha1.ChangeEmergency, incident
	case 1:
		c.Spec.Type, c.Spec.RecordOf = v1alpha1.ChangeEmergency, v1alpha1.RecordOfBreakGlass
	case 2:
		c.Spec.IncidentRef = incident
	}
}

// implement draws what went in, from a time on, and how it was rolled out.
func (s *shop) implement(c *v1alpha1.Change, in time.Time, workloads []string) {
	every := []v1alpha1.RolloutState{v1alpha1.RolloutInProgress, v1alpha1.RolloutComplete, v1alpha1.RolloutFailed, v1alpha1.RolloutRolledBack}
	one := every[s.rng.IntN(len(every))]
	if s.oneIn(2) {
		one = v1alpha1.RolloutComplete
	}
	mixed := s.oneIn(4)
	if s.oneIn(10) {
		c.Status.Outcome = v1alpha1.OutcomeNotImplemented
		return
	}
	for _, w := range workloads {
		rollout := one
		if mixed {
			rollout = every[s.rng.IntN(len(every))]
		}
		im := v1alpha1.Implementation{
			Workload:  v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: v1alpha1.ObjectName(w)},
			Operation: v1alpha1.OperationTemplate, At: *stamp(in), Rollout: rollout,
		}
		if rollout != v1alpha1.RolloutInProgress {
			im.RolledOutAt = stamp(in.Add(s.within(0, 6*time.Hour)))
		}
		c.Status.Implementations = append(c.Status.Implementations, im)
		in = in.Add(s.within(0, 2*time.Hour))
	}
	s.rng.Shuffle(len(c.Status.Implementations), func(i, j int) {
		im := c.Status.Implementations
		im[i], im[j] = im[j], im[i]
	})
	outcomes := []v1alpha1.Outcome{
		"", v1alpha1.OutcomeSuccessful, v1alpha1.OutcomeSuccessfulWithIssues, v1alpha1.OutcomeUnsuccessful,
		v1alpha1.OutcomeRolledBack, v1alpha1.OutcomePartial, v1alpha1.OutcomeInconclusive,
	}
	c.Status.Outcome = outcomes[s.rng.IntN(len(outcomes))]
}

// breaks lets a Change cause one to three Incidents, of which some are open, and one may be kept no longer.
func (s *shop) breaks(ctx SpecContext, c *v1alpha1.Change, in time.Time) {
	GinkgoHelper()
	for n := range 1 + s.rng.IntN(3) {
		name := fmt.Sprintf("%s-i%d", c.Name, n)
		ref := v1alpha1.NamespacedReference{Name: v1alpha1.ObjectName(name)}
		if s.oneIn(2) {
			ref.Namespace = v1alpha1.NamespaceName(s.namespace)
		}
		c.Status.CausedIncidents = append(c.Status.CausedIncidents, ref)
		if s.oneIn(5) {
			continue
		}
		i := &v1alpha1.Incident{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
			Spec:       v1alpha1.IncidentSpec{Title: "It fails", Reporter: "bob", ServiceRef: &v1alpha1.LocalReference{Name: "checkout"}},
		}
		s.create(ctx, i)
		began := in.Add(s.within(-10*time.Minute, 8*time.Hour))
		i.Status.State, i.Status.StartedAt = v1alpha1.IncidentNew, stamp(began)
		// Mostly it suspects the Change that lists it; it may suspect another since.
		suspect := c.Name
		if s.oneIn(4) {
			suspect = "c001"
		}
		i.Status.SuspectedChange = &v1alpha1.SuspectedChange{Name: suspect, Confidence: v1alpha1.ConfidenceHigh}
		if !s.oneIn(4) {
			i.Status.State, i.Status.ResolvedAt = v1alpha1.IncidentResolved, stamp(began.Add(s.within(time.Minute, 2*day)))
		}
		Expect(env.Admin().Status().Update(ctx, i)).To(Succeed())
	}
}

// releaseOf is a Release of checkout and search, deploying under a Change of its name.
func (s *shop) releaseOf(ctx SpecContext, c *v1alpha1.Change) {
	GinkgoHelper()
	r := &v1alpha1.Release{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: c.Name},
		Spec: v1alpha1.ReleaseSpec{
			Version: "2", Requester: "alice", ChangeRef: &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(c.Name)},
			ServiceRefs: []v1alpha1.LocalReference{{Name: "checkout"}, {Name: "search"}, {Name: "idle"}, {Name: "nobody"}},
			Phases:      []v1alpha1.ReleasePhase{{Name: "all", Units: []string{"*"}}},
		},
	}
	for _, t := range c.Spec.Targets {
		r.Spec.Units = append(r.Spec.Units, v1alpha1.ReleaseUnit{Name: v1alpha1.ContainerName(t.Workload.Name), Workload: t.Workload, Images: t.Images})
	}
	s.create(ctx, r)
	r.Status.State = v1alpha1.ReleaseDeploying
	r.Status.ChangeRef = r.Spec.ChangeRef
	Expect(env.Admin().Status().Update(ctx, r)).To(Succeed())
	s.ended[c.Name] = false
}
