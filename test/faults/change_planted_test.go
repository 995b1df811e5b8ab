package faults_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
)

// planted is a delivery as it should be, for a test to spoil.
type planted struct {
	record
	version int
}

func (p *planted) at() metav1.Time {
	return metav1.NewTime(time.Date(2026, 11, 23, 8, 0, p.version, 0, time.UTC))
}

// writes another version of a Change, made from the one before.
func (p *planted) writes(name, image string, alter func(*v1alpha1.Change)) {
	p.version++
	next := &v1alpha1.Change{}
	next.Name, next.UID = name, types.UID("uid-"+name)
	next.Spec.Targets = []v1alpha1.ChangeTarget{{
		Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "shop"}, Images: map[string]v1alpha1.Image{"app": v1alpha1.Image(image)},
	}}
	next.Labels = map[string]string{practice.LabelFiledFor: practice.FiledForDenied}
	if before := p.last(name); before != nil {
		next = before.DeepCopy()
	}
	alter(next)
	next.ResourceVersion = fmt.Sprint(p.version)
	p.changes = append(p.changes, next)
}

func (p *planted) last(name string) *v1alpha1.Change {
	for _, c := range slices.Backward(p.changes) {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// is writes a state.
func (p *planted) is(name, image string, state v1alpha1.ChangeState) {
	p.writes(name, image, func(c *v1alpha1.Change) { c.Status.State = state })
}

// goesIn lets a Change go in; how it ends is the caller's.
func (p *planted) goesIn(name, image string) {
	p.is(name, image, v1alpha1.ChangeAuthorize)
	p.writes(name, image, func(c *v1alpha1.Change) {
		at := p.at()
		c.Status.State, c.Status.ApprovedAt = v1alpha1.ChangeScheduled, &at
	})
	p.is(name, image, v1alpha1.ChangeImplement)
	p.writes(name, image, func(c *v1alpha1.Change) {
		c.Status.Implementations = []v1alpha1.Implementation{{Workload: c.Spec.Targets[0].Workload, TemplateHash: "v1:" + image, At: p.at(), Rollout: v1alpha1.RolloutInProgress}}
	})
}

func (p *planted) endsWell(name, image string) {
	p.writes(name, image, func(c *v1alpha1.Change) {
		at := p.at()
		c.Status.Implementations[0].Rollout, c.Status.Implementations[0].RolledOutAt = v1alpha1.RolloutComplete, &at
	})
	p.writes(name, image, func(c *v1alpha1.Change) {
		at := p.at()
		c.Status.State, c.Status.Outcome, c.Status.ClosedAt = v1alpha1.ChangeClosed, v1alpha1.OutcomeSuccessful, &at
	})
}

// goesBack ends a Change that went in by a backout.
func (p *planted) goesBack(name, image string) {
	p.writes(name, image, func(c *v1alpha1.Change) {
		at := p.at()
		c.Status.Implementations[0].Rollout, c.Status.Implementations[0].RolledOutAt = v1alpha1.RolloutFailed, &at
		c.Status.Backout = &v1alpha1.ChangeBackout{StartedAt: at, Targets: []v1alpha1.ChangeBackoutTarget{{State: v1alpha1.ChangeBackoutPending}}}
	})
	p.writes(name, image, func(c *v1alpha1.Change) {
		at := p.at()
		c.Status.Implementations[0].Rollout, c.Status.Implementations[0].RolledOutAt = v1alpha1.RolloutRolledBack, &at
		c.Status.Backout.Targets[0].State = v1alpha1.ChangeBackoutVerified
		c.Status.State, c.Status.Outcome = v1alpha1.ChangeReview, v1alpha1.OutcomeRolledBack
	})
}

func (p *planted) baseline(image string, source v1alpha1.BaselineSource, change string) {
	p.version++
	item := &v1alpha1.ConfigurationItem{}
	item.Name = "deployment-shop"
	if n := len(p.items); n > 0 {
		item = p.items[n-1].DeepCopy()
	}
	b := v1alpha1.Baseline{TemplateHash: "v1:" + image, Images: map[string]string{"app": image}, Source: source, Change: change, From: p.at()}
	item.Status.Baselines = append([]v1alpha1.Baseline{b}, item.Status.Baselines...)
	p.items = append(p.items, item)
}

// plant a whole delivery: "b" was superseded by "c", which went in; "d" failed and went back; "e" came in past the gate and
// was put back; "f" was pre-authorised.
func plant() *planted {
	p := &planted{record: record{specs: map[string]int64{"shop": 7}, told: map[types.UID]map[string]int32{"uid-c": {"WentIn": 1, "Outcome": 1}}}}
	change, adopted := []v1alpha1.BaselineSource{v1alpha1.BaselineChange}, []v1alpha1.BaselineSource{v1alpha1.BaselineAdopted}
	back := []v1alpha1.BaselineSource{v1alpha1.BaselineRollback}
	p.deeds = []deeds{{
		name:  "shop",
		asked: []asked{{image: "b", must: true, superseded: true}, {image: "c", must: true}},
		entered: []entry{
			{image: "a", source: adopted}, {image: "c", source: change, change: "of-c"}, {image: "d", source: change, change: "of-d"},
			{image: "c", source: back, byOperator: true}, {image: "e", source: []v1alpha1.BaselineSource{v1alpha1.BaselineUnauthorized}},
			{image: "c", source: back}, {image: "f", source: []v1alpha1.BaselineSource{v1alpha1.BaselinePreAuthorised}, filed: true},
		},
	}}
	p.baseline("a", v1alpha1.BaselineAdopted, "")
	p.is("of-b", "b", v1alpha1.ChangeAuthorize)
	p.is("of-c", "c", v1alpha1.ChangeAuthorize)
	p.writes("of-b", "b", func(c *v1alpha1.Change) {
		c.Spec.Cancel, c.Annotations = true, map[string]string{practice.AnnotationSupersededBy: "of-c"}
	})
	p.is("of-b", "b", v1alpha1.ChangeCanceled)
	p.baseline("c", v1alpha1.BaselineChange, "of-c")
	p.goesIn("of-c", "c")
	p.endsWell("of-c", "c")
	p.baseline("d", v1alpha1.BaselineChange, "of-d")
	p.goesIn("of-d", "d")
	p.baseline("c", v1alpha1.BaselineRollback, "of-d")
	p.goesBack("of-d", "d")
	p.baseline("e", v1alpha1.BaselineUnauthorized, "")
	p.writes("of-e", "e", func(c *v1alpha1.Change) {
		c.Spec.RecordOf, c.Status.State = v1alpha1.RecordOfUnauthorized, v1alpha1.ChangeReview
	})
	p.baseline("c", v1alpha1.BaselineRollback, "")
	p.baseline("f", v1alpha1.BaselinePreAuthorised, "of-f")
	p.goesIn("of-f", "f")
	p.endsWell("of-f", "f")
	for _, c := range p.changes {
		if c.Name == "of-f" {
			c.Labels[practice.LabelFiledFor] = practice.FiledForPreAuthorised
		}
		if c.Name == "of-d" || c.Name == "of-e" {
			c.Labels = nil
		}
	}
	return p
}

// TestTheOracleFindsWhatIsWrong spoils a delivery in one way after the other.
func TestTheOracleFindsWhatIsWrong(t *testing.T) {
	if wrong := plant().judge(); len(wrong) > 0 {
		t.Fatalf("of a delivery as it should be it says %q", wrong)
	}
	drop := func(p *planted, name string) {
		p.changes = slices.DeleteFunc(p.changes, func(c *v1alpha1.Change) bool { return c.Name == name })
	}
	for name, test := range map[string]struct {
		spoil func(p *planted)
		want  string
	}{
		"a Change is not filed": {func(p *planted) { drop(p, "of-b") }, "b was refused, and no Change was filed for it"},
		"a Change is filed twice": {func(p *planted) {
			p.is("of-c-2", "c", v1alpha1.ChangeAuthorize)
		}, "c was filed 2 times"},
		"one is filed that nobody asked for": {func(p *planted) { p.is("of-x", "x", v1alpha1.ChangeAuthorize) }, "nobody asked for Change of-x"},
		"what is superseded stays": {func(p *planted) {
			p.changes = slices.DeleteFunc(p.changes, func(c *v1alpha1.Change) bool { return c.Name == "of-b" && c.Spec.Cancel })
		}, "is not canceled, though c was asked for after it"},
		"it is superseded by another": {func(p *planted) {
			p.writes("of-b", "b", func(c *v1alpha1.Change) { c.Annotations[practice.AnnotationSupersededBy] = "of-d" })
		}, `is superseded by "of-d"`},
		"a state goes back":         {func(p *planted) { p.is("of-c", "c", v1alpha1.ChangeImplement) }, `Change of-c went from "Closed" to "Implement"`},
		"the gate closes after all": {func(p *planted) { p.is("of-d", "d", v1alpha1.ChangeScheduled) }, `Change of-d went from "Review" to "Scheduled"`},
		"a second outcome": {func(p *planted) {
			p.writes("of-c", "c", func(c *v1alpha1.Change) { c.Status.Outcome = v1alpha1.OutcomeRolledBack })
		}, `Change of-c had the outcome Successful, and then "RolledBack"`},
		"another time of approval": {func(p *planted) {
			p.writes("of-c", "c", func(c *v1alpha1.Change) { at := p.at(); c.Status.ApprovedAt = &at })
		}, "Change of-c was approved at"},
		"a second implementation": {func(p *planted) {
			p.writes("of-c", "c", func(c *v1alpha1.Change) {
				c.Status.Implementations = append(c.Status.Implementations, c.Status.Implementations[0])
			})
		}, "has 2 implementations"},
		"an implementation is lost": {func(p *planted) {
			p.writes("of-c", "c", func(c *v1alpha1.Change) { c.Status.Implementations = nil })
		}, "Change of-c had 1 implementations, and then 0"},
		"it begins a second time": {func(p *planted) {
			p.writes("of-c", "c", func(c *v1alpha1.Change) { c.Status.Implementations[0].At = p.at() })
		}, "Change of-c had implemented"},
		"a rollout goes on again": {func(p *planted) {
			p.writes("of-c", "c", func(c *v1alpha1.Change) { c.Status.Implementations[0].Rollout = v1alpha1.RolloutInProgress })
		}, "Change of-c had a rollout that was Complete, and then InProgress"},
		"a rollout ends a second time": {func(p *planted) {
			p.writes("of-c", "c", func(c *v1alpha1.Change) { at := p.at(); c.Status.Implementations[0].RolledOutAt = &at })
		}, "Change of-c had a rollout that was Complete since"},
		"a backout begins a second time": {func(p *planted) {
			p.writes("of-d", "d", func(c *v1alpha1.Change) { c.Status.Backout.StartedAt = p.at() })
		}, "Change of-d was backed out"},
		"a backout goes back": {func(p *planted) {
			p.writes("of-d", "d", func(c *v1alpha1.Change) { c.Status.Backout.Targets[0].State = v1alpha1.ChangeBackoutPending })
		}, "Change of-d had a backout"},
		"the workload is restored twice":           {func(p *planted) { p.specs["shop"]++ }, "the operator wrote it 2 times, want 1"},
		"the workload is not restored":             {func(p *planted) { p.specs["shop"]-- }, "the operator wrote it 0 times, want 1"},
		"what came in past the gate has no record": {func(p *planted) { drop(p, "of-e") }, "e went in once, and has 0 Changes"},
		"what came in past the gate has two": {func(p *planted) {
			p.writes("of-e-2", "e", func(c *v1alpha1.Change) {
				c.Spec.RecordOf, c.Status.State = v1alpha1.RecordOfUnauthorized, v1alpha1.ChangeReview
			})
		}, "e went in once, and has 2 Changes"},
		"what was pre-authorised is never filed": {func(p *planted) { drop(p, "of-f") }, "f went in once, and has 0 Changes"},
		"what went in has not ended": {func(p *planted) {
			p.changes = slices.DeleteFunc(p.changes, func(c *v1alpha1.Change) bool { return c.Name == "of-f" && c.Status.Outcome != "" })
		}, "f went in and runs well, and is"},
		"the way back is taken for unauthorised": {func(p *planted) {
			for _, item := range p.items {
				for i := range item.Status.Baselines {
					if b := &item.Status.Baselines[i]; b.Source == v1alpha1.BaselineRollback && b.Change == "" {
						b.Source = v1alpha1.BaselineUnauthorized
					}
				}
			}
		}, "the baseline c of shop is Unauthorized"},
		"a baseline too many": {func(p *planted) { p.baseline("f", v1alpha1.BaselinePreAuthorised, "of-f") }, "its baselines were"},
		"told twice":          {func(p *planted) { p.told["uid-of-c"] = map[string]int32{"WentIn": 2} }, "event WentIn of Change of-c was sent 2 times"},
	} {
		t.Run(name, func(t *testing.T) {
			p := plant()
			test.spoil(p)
			if wrong := p.judge(); !slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, test.want) }) {
				t.Errorf("it finds %q, want %q", wrong, test.want)
			}
		})
	}
}
