package faults_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
	"github.com/itil-dev/itil-operator/internal/testing/replica"
)

const (
	// madeAt is an annotation with the time at which a pod was made, by the operator's clock: a second of the API server's
	// is a minute of that.
	madeAt = "faults.itil.dev/made-at"
	// recoveryHold is how long a Service must be well before its outage is over.
	recoveryHold = time.Minute
	promisedDays = 30
)

// promises are Services over workloads of the world, one of each kind, with an agreement on each. It keeps the books by which
// the oracle judges what the agreements show.
type promises struct {
	w        *world
	each     []*promised
	services *track[*v1alpha1.Service]
	leases   *track[*coordinationv1.Lease]
	// alone: no replica is there.
	alone bool
	// agreed is when all of them were seen to be told as they are.
	agreed []time.Time
}

// promised is a workload with a Service of its name and an agreement on that.
type promised struct {
	one     *workload
	from    time.Time
	turns   []turn
	service client.ObjectKey
}

// turn is that all pods stopped being ready, or were again; written within a span. Alone: no replica was there.
type turn struct {
	span

	down, alone bool
}

// promised lets the world have agreements, of which the fleet must have told before anything happens.
func (w *world) promised() *world {
	w.t.Helper()
	p := &promises{w: w}
	ctx := w.t.Context()
	for _, one := range w.workloads[:3] {
		kind := v1alpha1.WorkloadKind(one.key.Kind)
		w.must(create(ctx, builder.MakeService(w.namespace, one.key.Name).Enforcement(v1alpha1.EnforcementDisabled).Claim(kind, one.key.Name).Obj()))
		each := &promised{one: one, from: w.clock.Now().Truncate(time.Second), service: client.ObjectKey{Namespace: w.namespace, Name: one.key.Name}}
		w.must(create(ctx, &v1alpha1.ServiceLevelAgreement{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: one.key.Name},
			Spec: v1alpha1.ServiceLevelAgreementSpec{
				Type: v1alpha1.AgreementSLA, ServiceRef: v1alpha1.LocalReference{Name: v1alpha1.ObjectName(one.key.Name)}, Customer: "retail",
				ValidFrom:    v1alpha1.Timestamp(each.from.Format(time.RFC3339)),
				Period:       v1alpha1.AgreementPeriod{Type: v1alpha1.PeriodRolling, Days: promisedDays},
				Availability: &v1alpha1.AvailabilityTarget{Target: "99.9"},
			},
		}))
		p.each = append(p.each, each)
	}
	p.services = trackAll[*v1alpha1.Service](w.t, w.namespace, &v1alpha1.ServiceList{})
	p.leases = trackAll[*coordinationv1.Lease](w.t, operatorNamespace, &coordinationv1.LeaseList{})
	w.promises = p
	return w
}

// between a replica and the API server: it sees when pods were made, and until when another led, as its own clock showed it.
func (p *promises) between() replica.Middleware {
	return func(next http.RoundTripper) http.RoundTripper {
		pods := replica.Alter(next, func(document []byte) bool { return bytes.Contains(document, []byte(madeAt)) }, made)
		leases := replica.Alter(next, func([]byte) bool { return true }, p.renewed)
		return replica.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
			through := map[string]http.RoundTripper{"pods": pods, "leases": leases}[replica.TargetOf(r).Resource]
			if through == nil {
				return next.RoundTrip(r)
			}
			r = r.Clone(r.Context())
			r.Header.Set("Accept", "application/json")
			return through.RoundTrip(r)
		})
	}
}

func made(o, _ map[string]any) {
	metadata, _ := o["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	if at, said := annotations[madeAt]; said {
		metadata["creationTimestamp"] = at
	}
}

func (p *promises) renewed(o, _ map[string]any) {
	spec, _ := o["spec"].(map[string]any)
	text, _ := spec["renewTime"].(string)
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		spec["renewTime"] = p.w.clock.At(at).UTC().Format(metav1.RFC3339Micro)
	}
}

// turned takes down that a workload failed or recovered, which was begun to be written at a time.
func (p *promises) turned(one *workload, from time.Time) {
	for _, each := range p.each {
		if each.one == one {
			each.turns = append(each.turns, turn{span{from, p.w.clock.Now()}, one.fault != nil, p.alone})
		}
	}
}

// differ says which Services are told to be other than they are.
func (p *promises) differ(ctx context.Context) error {
	var wrong []error
	for _, each := range p.each {
		service := &v1alpha1.Service{}
		if err := env.Admin().Get(ctx, each.service, service); err != nil {
			return err
		}
		want := v1alpha1.HealthOperational
		if each.one.fault != nil {
			want = v1alpha1.HealthOutage
		}
		if service.Status.Health != want {
			wrong = append(wrong, fmt.Errorf("Service %s is told to be %q, want %s", service.Name, service.Status.Health, want))
		}
	}
	return errors.Join(wrong...)
}

// ends judges what the agreements show.
func (p *promises) ends(ctx context.Context) {
	p.w.t.Helper()
	p.w.g.Eventually(func() []string { return p.judge(ctx) }).Should(BeEmpty(), func() string { return p.tell(ctx) })
}

func (p *promises) judge(ctx context.Context) (wrong []string) {
	services, unwatched := p.services.inOrder(), p.unwatched()
	for _, each := range p.each {
		a := &v1alpha1.ServiceLevelAgreement{}
		if err := env.Admin().Get(ctx, each.service, a); err != nil {
			return []string{err.Error()}
		}
		known := promise{service: each.service.Name, from: each.from, unwatched: unwatched}
		known.looked, _ = p.told(services, each, each.from, v1alpha1.HealthOperational)
		for _, t := range each.turns {
			edge := p.dated(services, each, t)
			if t.down {
				known.outages = append(known.outages, outage{begins: edge})
			} else {
				known.outages[len(known.outages)-1].ends = edge
			}
		}
		wrong = append(wrong, known.judge(&a.Status)...)
	}
	return wrong
}

// dated is the time within which a turn may be dated. Who watched has seen it when the Service told of it, and seen its end
// the whole hold before that. What nobody watched is shown by the pods.
func (p *promises) dated(services []*v1alpha1.Service, each *promised, t turn) span {
	health, hold := v1alpha1.HealthOperational, recoveryHold
	if t.down {
		health, hold = v1alpha1.HealthOutage, 0
	}
	if at, told := p.told(services, each, t.from, health); told && !t.alone {
		return span{t.from, latest(t.until, at.Add(-hold))}
	}
	return t.span
}

// told is when a Service was first seen to have a health, after a time.
func (p *promises) told(services []*v1alpha1.Service, each *promised, after time.Time, health v1alpha1.Health) (time.Time, bool) {
	for _, s := range services {
		if s.Name != each.service.Name || s.Status.Health != health {
			continue
		}
		if at := p.w.clock.At(p.services.arrival(s)); at.After(after) {
			return at, true
		}
	}
	return time.Time{}, false
}

// unwatched are the times in which nobody led: since a leader renewed its lease last until another one's Services were
// seen to be told as they are.
func (p *promises) unwatched() (spans []span) {
	leases := p.leases.inOrder()
	for n := 1; n < len(leases); n++ {
		before, after := &leases[n-1].Spec, &leases[n].Spec
		if *before.HolderIdentity == *after.HolderIdentity {
			continue
		}
		gap := span{p.w.clock.At(before.RenewTime.Time), p.w.clock.Now()}
		acquired := p.w.clock.At(after.RenewTime.Time)
		if at := slices.IndexFunc(p.agreed, func(at time.Time) bool { return at.After(acquired) }); at >= 0 {
			gap.until = p.agreed[at]
		}
		spans = append(spans, gap)
	}
	return spans
}

// tell is what was done and what is shown, for the report of a failure.
func (p *promises) tell(ctx context.Context) string {
	var text strings.Builder
	services := p.services.inOrder()
	for _, each := range p.each {
		fmt.Fprintf(&text, "%s:\n", each.service.Name)
		for _, t := range each.turns {
			fmt.Fprintf(&text, "  down: %t, written %s, alone: %t, may be dated %s\n", t.down, t.span, t.alone, p.dated(services, each, t))
		}
		a := &v1alpha1.ServiceLevelAgreement{}
		if err := env.Admin().Get(ctx, each.service, a); err != nil {
			return err.Error()
		}
		for _, i := range a.Status.Interruptions {
			fmt.Fprintf(&text, "  %s from %s to %v\n", i.Type, i.From.UTC().Format(time.TimeOnly), i.To)
		}
		var before *v1alpha1.Service
		for _, s := range services {
			if s.Name == each.service.Name && (before == nil || before.Status.Health != s.Status.Health) {
				fmt.Fprintf(&text, "  told to be %s at %s\n", s.Status.Health, p.w.clock.At(p.services.arrival(s)).UTC().Format(time.TimeOnly))
				before = s
			}
		}
	}
	for _, gap := range p.unwatched() {
		fmt.Fprintf(&text, "nobody led %s\n", gap)
	}
	return text.String()
}

// whileNobodyLeads lets Services fail, and recover, while no replica is there: their pods show when that was.
func (w *world) whileNobodyLeads(ctx context.Context, f *fleet) {
	w.t.Helper()
	for _, alter := range []func(context.Context, *workload) error{w.begin, w.end} {
		f.without(w, func() {
			// Not when it begins, nor when it is over.
			pause(ctx, w.clock.Real(time.Minute))
			for _, each := range w.promises.each {
				w.must(alter(ctx, each.one))
			}
		})
		w.agrees(ctx, "after nobody led")
	}
}
