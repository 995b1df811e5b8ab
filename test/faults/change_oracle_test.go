package faults_test

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// deeds are what was done to a workload, by which the oracle knows what the operator must have made of it.
type deeds struct {
	name string
	// asked are the templates that were refused, by their image, in order.
	asked []asked
	// entered are the templates that were in, in order; the first is the one that was there before.
	entered []entry
	// broken is how many were made that do not come up, smuggled how many were written past the gate.
	broken, smuggled int
}

// asked is a template that was refused.
type asked struct {
	image string
	// must: somebody waited until it was filed. Else the replica that was to file it may have died with it.
	must bool
	// superseded: another one was asked for before anybody decided on it.
	superseded bool
}

// entry is a template that went in.
type entry struct {
	image string
	// source that its baseline must have: one of these.
	source []v1alpha1.BaselineSource
	// change by which it went in; empty where none, or, with filed, where the operator named it.
	change string
	filed  bool
	// byOperator: the operator put it back. All others were written by the test.
	byOperator bool
}

func (d *deeds) last() *entry { return &d.entered[len(d.entered)-1] }

func (d *deeds) enter(e entry) { d.entered = append(d.entered, e) }

func (d *deeds) ask(image string) {
	if !slices.ContainsFunc(d.asked, func(a asked) bool { return a.image == image }) {
		d.asked = append(d.asked, asked{image: image})
	}
}

func (d *deeds) must(image string) {
	for n := range d.asked {
		d.asked[n].must = d.asked[n].must || d.asked[n].image == image
	}
}

func (d *deeds) supersede(image string) {
	for n := range d.asked {
		d.asked[n].superseded = d.asked[n].superseded || d.asked[n].image == image
	}
}

// record is all that was seen of a delivery.
type record struct {
	deeds []deeds
	// changes and items are all versions that there were, in order.
	changes []*v1alpha1.Change
	items   []*v1alpha1.ConfigurationItem
	// specs is how often the spec of each workload was written, its creation included, by whomever.
	specs map[string]int64
	// told is how often each reason was told of a Change.
	told map[types.UID]map[string]int32
}

// judge says what is wrong with what there is now.
func (d *delivery) judge(ctx context.Context) []string {
	r := record{changes: d.changes.inOrder(), items: d.items.inOrder(), specs: map[string]int64{}, told: map[types.UID]map[string]int32{}}
	for _, g := range d.workloads {
		live := &appsv1.Deployment{}
		if err := env.Admin().Get(ctx, client.ObjectKey{Namespace: d.namespace, Name: g.name}, live); err != nil {
			return []string{err.Error()}
		}
		r.deeds, r.specs[g.name] = append(r.deeds, g.deeds), live.Generation
	}
	list := &eventsv1.EventList{}
	if err := env.Admin().List(ctx, list, client.InNamespace(d.namespace)); err != nil {
		return []string{err.Error()}
	}
	for i := range list.Items {
		e := &list.Items[i]
		if r.told[e.Regarding.UID] == nil {
			r.told[e.Regarding.UID] = map[string]int32{}
		}
		r.told[e.Regarding.UID][e.Reason] += times(e)
	}
	return r.judge()
}

func times(e *eventsv1.Event) int32 {
	if e.Series != nil {
		return e.Series.Count
	}
	return 1
}

// findings are what is wrong.
type findings []string

func (f *findings) add(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

// judge compares what was recorded with what was done. It is slow and knows nothing of how the operator works.
func (r *record) judge() []string {
	var f findings
	last := map[types.UID]*v1alpha1.Change{}
	for _, c := range r.changes {
		if before := last[c.UID]; before != nil {
			f.changeStep(before, c)
		}
		last[c.UID] = c
	}
	images := r.images()
	explained := map[types.UID]bool{}
	for n := range r.deeds {
		of := map[string][]*v1alpha1.Change{}
		for _, c := range last {
			if string(c.Spec.Targets[0].Workload.Name) == r.deeds[n].name {
				of[images.of(c)] = append(of[images.of(c)], c)
			}
		}
		f.filings(&r.deeds[n], of, explained)
		f.entries(&r.deeds[n], of, explained)
		f.baselines(&r.deeds[n], r.items)
		f.writes(&r.deeds[n], r.specs[r.deeds[n].name])
	}
	for _, c := range last {
		if !explained[c.UID] {
			f.add("nobody asked for %s", describeChange(c))
		}
		for reason, n := range r.told[c.UID] {
			if n > 1 && toldOnce[reason] {
				f.add("event %s of Change %s was sent %d times", reason, c.Name, n)
			}
		}
	}
	slices.Sort(f)
	return f
}

// toldOnce are the events of a Change that there is one of at most in the life of any.
var toldOnce = map[string]bool{
	"WentIn": true, "Outcome": true, "Closed": true, "Canceled": true, "BackoutStarted": true, "Restored": true, "BackedOut": true, "ReviewAwaited": true,
}

// templates are images by the hash of the template that has them.
type templates map[string]string

// images are those of all baselines that there ever were.
func (r *record) images() templates {
	out := templates{}
	for _, item := range r.items {
		for i := range item.Status.Baselines {
			out[item.Status.Baselines[i].TemplateHash] = item.Status.Baselines[i].Images["app"]
		}
	}
	return out
}

// of a Change is the image that it is about.
func (t templates) of(c *v1alpha1.Change) string {
	target := &c.Spec.Targets[0]
	if image, named := target.Images["app"]; named {
		return string(image)
	}
	return t[string(target.TemplateHash)]
}

func filedFor(of []*v1alpha1.Change, what string) []*v1alpha1.Change {
	return slices.DeleteFunc(slices.Clone(of), func(c *v1alpha1.Change) bool { return c.Labels[practice.LabelFiledFor] != what })
}

// filings checks that each template that was refused has its Change, and one, and that it gave way where it had to.
func (f *findings) filings(d *deeds, of map[string][]*v1alpha1.Change, explained map[types.UID]bool) {
	for n, a := range d.asked {
		filed := filedFor(of[a.image], practice.FiledForDenied)
		for _, c := range filed {
			explained[c.UID] = true
		}
		switch {
		case len(filed) > 1:
			f.add("%s was filed %d times: %s", a.image, len(filed), describeChanges(filed))
		case len(filed) == 0 && a.must:
			f.add("%s was refused, and no Change was filed for it", a.image)
		}
		if !a.superseded {
			continue
		}
		var later []*v1alpha1.Change
		for _, x := range d.asked[n+1:] {
			later = append(later, filedFor(of[x.image], practice.FiledForDenied)...)
		}
		for _, c := range filed {
			by := c.Annotations[practice.AnnotationSupersededBy]
			switch {
			case c.Status.State != v1alpha1.ChangeCanceled || !c.Spec.Cancel:
				f.add("%s is not canceled, though %s was asked for after it", describeChange(c), d.asked[n+1].image)
			case !slices.ContainsFunc(later, func(x *v1alpha1.Change) bool { return x.Name == by }):
				f.add("%s is superseded by %q, want one of %s", describeChange(c), by, describeChanges(later))
			}
		}
	}
}

// entries checks that each template that went in is told of by one Change, where one was due, and what became of that.
func (f *findings) entries(d *deeds, of map[string][]*v1alpha1.Change, explained map[types.UID]bool) {
	for n := range d.entered {
		e := &d.entered[n]
		var due []*v1alpha1.Change
		switch {
		case e.change != "":
			due = slices.DeleteFunc(slices.Clone(of[e.image]), func(c *v1alpha1.Change) bool { return c.Name != e.change })
		case e.filed:
			due = of[e.image]
		case e.source[0] == v1alpha1.BaselineUnauthorized:
			due = of[e.image]
		default:
			continue
		}
		if len(due) != 1 {
			f.add("%s went in once, and has %d Changes: %s", e.image, len(due), describeChanges(due))
			continue
		}
		explained[due[0].UID] = true
		undone := n+1 < len(d.entered) && d.entered[n+1].byOperator
		f.ended(due[0], e, undone)
	}
}

// ended checks how a Change ended of which something went in.
func (f *findings) ended(c *v1alpha1.Change, e *entry, undone bool) {
	s := &c.Status
	if e.source[0] == v1alpha1.BaselineUnauthorized {
		if c.Spec.RecordOf != v1alpha1.RecordOfUnauthorized || s.State != v1alpha1.ChangeReview {
			f.add("%s came in past the gate, and its record is %s", e.image, describeChange(c))
		}
		return
	}
	if len(s.Implementations) != 1 {
		f.add("%s has %d implementations, want one", describeChange(c), len(s.Implementations))
		return
	}
	rollout := s.Implementations[0].Rollout
	switch {
	case undone:
		if s.Outcome != v1alpha1.OutcomeRolledBack || s.State != v1alpha1.ChangeReview || rollout != v1alpha1.RolloutRolledBack ||
			s.Backout == nil || len(s.Backout.Targets) != 1 || s.Backout.Targets[0].State != v1alpha1.ChangeBackoutVerified {
			f.add("%s was undone by the operator, and is %s: %+v", e.image, describeChange(c), s.Backout)
		}
	case s.Outcome != v1alpha1.OutcomeSuccessful || rollout != v1alpha1.RolloutComplete || s.Backout != nil:
		f.add("%s went in and runs well, and is %s", e.image, describeChange(c))
	case s.State != v1alpha1.ChangeClosed && (s.Risk == nil || s.Risk.Level != v1alpha1.RiskHigh):
		f.add("%s has ended well, and is %s", e.image, describeChange(c))
	}
}

// baselines checks that a workload's record is what was in, in this order, each once.
func (f *findings) baselines(d *deeds, items []*v1alpha1.ConfigurationItem) {
	var want, got []string
	for n := range d.entered {
		want = append(want, d.entered[n].image)
	}
	all := everOf(d.name, items)
	for n := range all {
		got = append(got, all[n].Images["app"])
	}
	if !slices.Equal(got, want) {
		f.add("%s had the templates %v, the oldest first, and its baselines were %v", d.name, want, got)
		return
	}
	for n := range all {
		b, e := &all[n], &d.entered[n]
		if !slices.Contains(e.source, b.Source) {
			f.add("the baseline %s of %s is %s, want one of %v", e.image, d.name, b.Source, e.source)
		}
		if e.change != "" && b.Change != e.change {
			f.add("the baseline %s of %s came in by Change %q, want %q", e.image, d.name, b.Change, e.change)
		}
	}
}

// everOf are all baselines that a workload ever had, the oldest first, each as it was last: an item keeps ten.
func everOf(workload string, items []*v1alpha1.ConfigurationItem) []v1alpha1.Baseline {
	var out []v1alpha1.Baseline
	for _, item := range items {
		if item.Name != configuration.ItemName(configuration.KindDeployment, workload) {
			continue
		}
		for _, b := range slices.Backward(item.Status.Baselines) {
			at := slices.IndexFunc(out, func(o v1alpha1.Baseline) bool { return o.From.Equal(&b.From) && o.TemplateHash == b.TemplateHash })
			if at < 0 {
				out = append(out, b)
			} else {
				out[at] = b
			}
		}
	}
	return out
}

// writes checks that nobody but the test wrote a workload, the operator aside where it had to, and then once. A
// generation is a write of its spec.
func (f *findings) writes(d *deeds, specs int64) {
	if specs != int64(len(d.entered)) {
		own := 0
		for n := range d.entered {
			if d.entered[n].byOperator {
				own++
			}
		}
		f.add("the spec of %s was written %d times, %d of them by the test: the operator wrote it %d times, want %d",
			d.name, specs, len(d.entered)-own, specs-int64(len(d.entered)-own), own)
	}
}

// changePhases are the states that may follow each. Nobody edits, rejects or reviews in these runs.
var changePhases = map[v1alpha1.ChangeState][]v1alpha1.ChangeState{
	"": {
		v1alpha1.ChangeAssess, v1alpha1.ChangeAuthorize, v1alpha1.ChangeScheduled, v1alpha1.ChangeImplement, v1alpha1.ChangeReview,
		v1alpha1.ChangeClosed, v1alpha1.ChangeCanceled,
	},
	v1alpha1.ChangeAssess:    {v1alpha1.ChangeAuthorize, v1alpha1.ChangeScheduled, v1alpha1.ChangeImplement, v1alpha1.ChangeReview, v1alpha1.ChangeClosed, v1alpha1.ChangeCanceled},
	v1alpha1.ChangeAuthorize: {v1alpha1.ChangeScheduled, v1alpha1.ChangeImplement, v1alpha1.ChangeReview, v1alpha1.ChangeClosed, v1alpha1.ChangeCanceled},
	v1alpha1.ChangeScheduled: {v1alpha1.ChangeImplement, v1alpha1.ChangeReview, v1alpha1.ChangeClosed, v1alpha1.ChangeCanceled},
	v1alpha1.ChangeImplement: {v1alpha1.ChangeReview, v1alpha1.ChangeClosed, v1alpha1.ChangeCanceled},
}

// rollouts in the order in which one comes after another; those of one rank do not follow each other.
var rollouts = map[v1alpha1.RolloutState]int{
	v1alpha1.RolloutInProgress: 0, v1alpha1.RolloutComplete: 1, v1alpha1.RolloutFailed: 1, v1alpha1.RolloutRolledBack: 2,
}

var backouts = map[v1alpha1.ChangeBackoutState]int{
	v1alpha1.ChangeBackoutPending: 0, v1alpha1.ChangeBackoutRestored: 1, v1alpha1.ChangeBackoutVerified: 2, v1alpha1.ChangeBackoutNotPossible: 2,
	v1alpha1.ChangeBackoutSuperseded: 2, v1alpha1.ChangeBackoutFailed: 2,
}

// changeStep checks what one write made of a Change.
func (f *findings) changeStep(a, b *v1alpha1.Change) {
	from, to := &a.Status, &b.Status
	// Implement means that the gate is open: while nothing went in it may close again.
	closes := from.State == v1alpha1.ChangeImplement && to.State == v1alpha1.ChangeScheduled && len(to.Implementations) == 0
	if from.State != to.State && !slices.Contains(changePhases[from.State], to.State) && !closes {
		f.add("Change %s went from %q to %q", b.Name, from.State, to.State)
	}
	if from.Outcome != "" && from.Outcome != to.Outcome {
		f.add("Change %s had the outcome %s, and then %q", b.Name, from.Outcome, to.Outcome)
	}
	if from.Digest != "" && from.Digest != to.Digest {
		f.add("Change %s had another digest, though nobody edited it", b.Name)
	}
	for name, at := range map[string][2]any{
		"approved": {from.ApprovedAt, to.ApprovedAt}, "first approved": {from.FirstApprovedAt, to.FirstApprovedAt}, "closed": {from.ClosedAt, to.ClosedAt},
	} {
		if was, is := fmt.Sprint(at[0]), fmt.Sprint(at[1]); was != "nil" && was != "<nil>" && was != is {
			f.add("Change %s was %s at %s, and then at %s", b.Name, name, was, is)
		}
	}
	f.implementationStep(b.Name, from.Implementations, to.Implementations)
	f.backoutStep(b.Name, from.Backout, to.Backout)
}

func (f *findings) implementationStep(name string, from, to []v1alpha1.Implementation) {
	if len(to) < len(from) {
		f.add("Change %s had %d implementations, and then %d", name, len(from), len(to))
		return
	}
	for n := range from {
		x, y := &from[n], &to[n]
		if x.Workload != y.Workload || x.TemplateHash != y.TemplateHash || !x.At.Equal(&y.At) || x.Operation != y.Operation || x.By != "" && x.By != y.By {
			f.add("Change %s had implemented %+v, and then %+v", name, *x, *y)
		}
		if x.Rollout != y.Rollout && rollouts[y.Rollout] <= rollouts[x.Rollout] {
			f.add("Change %s had a rollout that was %s, and then %s", name, x.Rollout, y.Rollout)
		}
		if x.Rollout == y.Rollout && !x.RolledOutAt.Equal(y.RolledOutAt) {
			f.add("Change %s had a rollout that was %s since %v, and then since %v", name, x.Rollout, x.RolledOutAt, y.RolledOutAt)
		}
	}
}

func (f *findings) backoutStep(name string, from, to *v1alpha1.ChangeBackout) {
	if from == nil {
		return
	}
	if to == nil || !from.StartedAt.Equal(&to.StartedAt) || len(from.Targets) != len(to.Targets) {
		f.add("Change %s was backed out: %+v, and then %+v", name, from, to)
		return
	}
	for n := range from.Targets {
		x, y := &from.Targets[n], &to.Targets[n]
		if x.From != y.From || x.To != y.To || x.State != y.State && backouts[y.State] <= backouts[x.State] {
			f.add("Change %s had a backout that was %+v, and then %+v", name, *x, *y)
		}
	}
}

func describeChange(c *v1alpha1.Change) string {
	return fmt.Sprintf("Change %s (%s%s, %s, outcome %q, cancel: %t)", c.Name, c.Labels[practice.LabelFiledFor], c.Spec.RecordOf, c.Status.State, c.Status.Outcome, c.Spec.Cancel)
}

func describeChanges(list []*v1alpha1.Change) string {
	var parts []string
	for _, c := range list {
		parts = append(parts, describeChange(c))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// tell is what became of every Change, for the report of a failure.
func (d *delivery) tell() string {
	last := map[types.UID]*v1alpha1.Change{}
	for _, c := range d.changes.inOrder() {
		last[c.UID] = c
	}
	var text []string
	for _, c := range last {
		s := &c.Status
		line := fmt.Sprintf("%s since %s, approved %v: %s\n", describeChange(c), c.CreationTimestamp.UTC(), s.ApprovedAt, s.NextStep)
		for _, im := range s.Implementations {
			line += fmt.Sprintf("  %.12s in at %s by %q: %s at %v\n", im.TemplateHash, im.At.UTC(), im.By, im.Rollout, im.RolledOutAt)
		}
		if s.Backout != nil {
			line += fmt.Sprintf("  backed out since %s, %s: %+v\n", s.Backout.StartedAt.UTC(), s.Backout.Why, s.Backout.Targets)
		}
		text = append(text, line)
	}
	slices.Sort(text)
	items := map[string]*v1alpha1.ConfigurationItem{}
	for _, i := range d.items.inOrder() {
		items[i.Name] = i
	}
	for _, i := range items {
		line := i.Name + " by its baselines:\n"
		for _, b := range i.Status.Baselines {
			line += fmt.Sprintf("  %s from %s: %s, Change %q, by %q, proven: %t\n", b.Images["app"], b.From.UTC(), b.Source, b.Change, b.By, b.Proven)
		}
		text = append(text, line)
	}
	return strings.Join(text, "")
}
