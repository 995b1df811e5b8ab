package change

import (
	"maps"
	"slices"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// Decide says whether a request may go in, and why. It is a function of its arguments alone, and asks in this order:
// does a controller carry it out unseen, is it governed, does it change what is agreed, does it go back to what was, does a
// Change cover it, would the Change that it needs need no vote, was the glass broken, and at last what the enforcement says.
// It allocates next to nothing for what goes in before the Change that it needs must be thought up.
func Decide(r *Request, w *World, now time.Time) Decision {
	rules := w.Rules
	if rules == nil {
		rules = defaultRules
	}
	d := Decision{Enforcement: w.Enforcement, Allowed: true}
	if anothersGlass(r) && !goesBack(r, w, rules) {
		return refuseAnothersGlass(r)
	}
	if e := Stricter(w.Enforcement, w.Around); r.RollbackTo != "" && enforced(e) {
		return bringsBackUnseen(r, e)
	}
	if !governed(r, w) {
		d.Verdict = NotGoverned
		return d
	}
	if unchanged(r, w, rules) {
		d.Verdict = Unchanged
		d.Reasons = restart(r)
		return d
	}
	if i := rollback(r, w, rules, nil); i >= 0 {
		d.Verdict = Rollback
		if left := &w.Baselines[0]; left.Source != v1alpha1.BaselineRollback {
			d.Change = left.Change
		}
		return d
	}
	g := gate{
		rules: rules, candidates: w.Candidates, concurrency: w.Concurrency, baselines: w.Baselines, exists: r.Operation != Create,
		exhausted: w.ExhaustedBudgets, chosen: r.Change, now: now,
	}
	if c := g.covering(r, w); c != nil {
		d.Verdict, d.Change = Covered, c.Name
		return d
	}
	// A copy: what thinks up a Change keeps hold of its gate, and would have this one allocated for all.
	closed := g
	closed.uncovered(&d, r, w)
	return d
}

// anothersGlass says whether a request writes a reason for breaking the glass that somebody else signed. On the way back
// to an earlier template it is what kubectl rollout undo copies; with anything else it would say of another what they did
// not do.
func anothersGlass(r *Request) bool {
	return r.BreakGlass != "" && r.BreakGlassBy != "" && r.BreakGlassBy != r.User.Name
}

// goesBack says whether a request brings back an earlier template, or what is agreed where something else is in its place.
func goesBack(r *Request, w *World, rules *Rules) bool {
	if r.Operation != Template || !governed(r, w) || sameMeaning(r.Old, r.New, rules.IgnoredAnnotationPrefixes) {
		return false
	}
	return rollback(r, w, rules, nil) >= 0 || unchanged(r, w, rules)
}

// refuseAnothersGlass refuses it whatever the enforcement, as the admission policy would that cannot tell a rollback.
func refuseAnothersGlass(r *Request) Decision {
	return Decision{
		Verdict: Denied, Allowed: r.DryRun,
		Reasons: []Cause{{Type: CauseCopiedGlass, Field: "metadata.annotations[" + v1alpha1.AnnotationBreakGlassBy + "]", Message: brief(plain(
			"the glass is broken under the name of "+brief(r.BreakGlassBy, maxShownName)+", and only a rollback to a proven template may bring another's signature back"), maxCause)}},
		Next: Next{Step: "Leave out the annotations " + v1alpha1.AnnotationBreakGlass + " and " + v1alpha1.AnnotationBreakGlassBy +
			", or sign with your own name (kubectl auth whoami)."},
	}
}

// bringsBackUnseen is about what has the deployment controller bring an earlier template back. The gate exempts the controller,
// so that nobody would be asked about that template, which may have any labels: the strictest enforcement around counts. No
// Change covers it and no broken glass forces it in, since neither says which template it is.
func bringsBackUnseen(r *Request, e v1alpha1.Enforcement) Decision {
	d := Decision{
		Enforcement: e,
		Reasons: []Cause{{Type: CauseRollbackTo, Field: "metadata.annotations[" + v1alpha1.AnnotationRollbackTo + "]", Message: "the annotation " +
			v1alpha1.AnnotationRollbackTo + " has the deployment controller bring an earlier template back, which the gate could not judge"}},
		Next: Next{Step: "Take it off, and use kubectl rollout undo " + nameOf(r.Key) + " -n " + r.Key.Namespace + "."},
	}
	d.Verdict, d.Allowed = notAgreed(e, r.DryRun)
	return d
}

// notAgreed is the verdict on what nobody agreed to, and whether it goes in all the same.
func notAgreed(e v1alpha1.Enforcement, dryRun bool) (Verdict, bool) {
	switch e {
	case v1alpha1.EnforcementAudit:
		return Audited, true
	case v1alpha1.EnforcementWarn:
		return Warned, true
	case v1alpha1.EnforcementEnforce, v1alpha1.EnforcementDisabled:
	}
	return Denied, dryRun
}

// enforced says whether an enforcement is one at all.
func enforced(e v1alpha1.Enforcement) bool { return e != "" && e != v1alpha1.EnforcementDisabled }

// governed says whether the gate has a say. Of what is governed only because its pods would pass for those of a
// governed workload, and of single pods and what makes them on behalf of others, deletion is nobody's business: it
// takes away nothing that was agreed to run.
func governed(r *Request, w *World) bool {
	if !enforced(w.Enforcement) {
		return false
	}
	return r.Operation != Delete || !standIn(r, w)
}

// standIn says whether something is governed for the sake of another workload, or is of a kind that no Change can
// name.
func standIn(r *Request, w *World) bool {
	if !configuration.Claimable(r.Key.Kind) {
		return true
	}
	return len(w.Claims) > 0 && !slices.ContainsFunc(w.Claims, func(c Claim) bool { return c.Through == configuration.Key{} })
}

// unchanged says whether the template means what it meant before, or what is agreed to run.
func unchanged(r *Request, w *World, rules *Rules) bool {
	if r.Operation == Delete || r.New == nil {
		return false
	}
	if r.Operation == Template && r.Old != nil && sameMeaning(r.Old, r.New, rules.IgnoredAnnotationPrefixes) && !joins(r, w) {
		return true
	}
	if base := agreed(w.Baselines); base != nil {
		return isAgreed(r, base, rules)
	}
	return agreedForTwins(r, w, rules)
}

// joins says whether other labels may have made something's pods pass for those of another workload. Those that controllers
// generate mean nothing to the hash, and a Job knows its pods by them. Of running Pods that is told, and not refused.
func joins(r *Request, w *World) bool {
	return r.Key.Kind != configuration.KindPod && standIn(r, w) && !maps.Equal(r.Old.Labels, r.New.Labels)
}

// agreedForTwins says whether each Service that has a say agreed to this very template for a workload of its own for whose
// pods these would pass. What another Service agreed to does not count: labels of one workload more would bring in that
// one's template. A pod is compared by its images alone, so that labels do not tell whose template it has: it must run
// what is agreed for each of the workloads.
func agreedForTwins(r *Request, w *World, rules *Rules) bool {
	var found bool
	for i := range w.Twins {
		switch {
		case isAgreedFor(r, &w.Twins[i], rules):
			found = true
		case r.Key.Kind == configuration.KindPod:
			return false
		}
	}
	for i := range w.Claims {
		found = found && agreedInService(w.Claims[i].Service, r, w, rules)
	}
	return found
}

// agreedInService says whether one of a Service's workloads has the template of a request.
func agreedInService(service string, r *Request, w *World, rules *Rules) bool {
	for i := range w.Claims {
		c := &w.Claims[i]
		if c.Service != service {
			continue
		}
		for j := range w.Twins {
			if w.Twins[j].Key == c.Through && isAgreedFor(r, &w.Twins[j], rules) {
				return true
			}
		}
	}
	return false
}

func isAgreedFor(r *Request, twin *Twin, rules *Rules) bool {
	base := agreed(twin.Baselines)
	return base != nil && isAgreed(r, base, rules)
}

func sameMeaning(a, b *configuration.Template, ignoredAnnotationPrefixes []string) bool {
	if a.Hash == b.Hash {
		return true
	}
	return len(ignoredAnnotationPrefixes) > 0 && a.Ignoring(ignoredAnnotationPrefixes).Hash == b.Ignoring(ignoredAnnotationPrefixes).Hash
}

// isAgreed says whether a request's template is that of a baseline. Single pods are compared by their images: the
// rest of a pod is filled in by admission plugins and controllers.
func isAgreed(r *Request, base *v1alpha1.Baseline, rules *Rules) bool {
	if r.Key.Kind == configuration.KindPod {
		return r.New.SameImages(base.Images)
	}
	return r.New.IsBaseline(*base, rules.IgnoredAnnotationPrefixes)
}

// restart names the containers that a restart deploys anew, since their tag may mean something else by now. It is
// let in, and said.
func restart(r *Request) []Cause {
	if r.Old == nil || r.New == nil || r.Old.RestartedAt == r.New.RestartedAt || len(r.New.AlwaysPulled) == 0 {
		return nil
	}
	return []Cause{{Type: CauseRestart, Field: "spec.template.metadata.annotations", Message: brief(plain(
		"the restart pulls what the tags of "+list(r.New.AlwaysPulled)+" mean now; pin images by digest to restart what was approved"), maxCause)}}
}

// covering returns the Change that covers a request; nil: none does. Of several it is the one that the request's
// annotation names, else the one whose window ends first.
func (g *gate) covering(r *Request, w *World) *Candidate {
	var found *Candidate
	for _, c := range w.Candidates {
		if found != nil && c.Name != r.Change && !endsBefore(c, found) || !g.covers(c, r, w, nil) {
			continue
		}
		if c.Name == r.Change {
			return c
		}
		found = c
	}
	return found
}

// endsBefore orders by the end of the window, then by name.
func endsBefore(a, b *Candidate) bool {
	if a.Window.To.Equal(b.Window.To) {
		return a.Name < b.Name
	}
	return endsAfter(b.Window.To, a.Window.To)
}

// uncovered decides about what no Change covers.
func (g *gate) uncovered(d *Decision, r *Request, w *World) {
	f := newDraft(g, r, w)
	if !f.standIn {
		d.Risk = &f.risk
	}
	if f.preauthorised(nil) {
		d.Verdict, d.StandardChange = PreAuthorised, f.standard
		if !r.DryRun && w.Enforcement == v1alpha1.EnforcementEnforce {
			d.File = f.filing(true)
			d.Change = d.File.Name()
		}
		return
	}
	if r.BreakGlass != "" && r.BreakGlassPermitted && !r.User.ServiceAccount && r.Operation != Delete {
		d.Verdict = BreakGlass
		return
	}
	d.Verdict, d.Allowed = notAgreed(w.Enforcement, r.DryRun)
	g.point(d, r, w, f)
}

// point collects why no Change covers a request, and finds the Change that a user should look at.
func (g *gate) point(d *Decision, r *Request, w *World, f *draft) {
	rep := &report{}
	rollback(r, w, g.rules, rep)
	var nearest *Candidate
	for _, c := range w.Candidates {
		g.covers(c, r, w, rep)
		if f.meant(c) && (nearest == nil || nearer(c, nearest)) {
			nearest = c
		}
	}
	rep.about("") // what follows is about no Change
	if len(w.Candidates) == 0 {
		rep.fail(CauseNoChange, "", "", "no Change has %s as a target", nameOf(r.Key))
	}
	g.annotations(r, w, rep)
	f.explain(rep, nearest)
	files := d.Verdict == Denied && g.rules.OnDenied == v1alpha1.OnDeniedFileChange && !f.standIn && nearest == nil && f.exact(nil)
	if files && f.limited() {
		files = rep.fail(CauseFilingLimit, "", "", "%d Changes that were filed in the namespace wait for a decision, and no more are filed", w.Filed.Undecided)
	}
	d.Reasons = rep.causes

	switch {
	case f.standIn:
	case nearest != nil:
		d.Change = nearest.Name
		if nearest.Ended == NotEnded {
			d.Votes = Quorum{Required: nearest.Approval.Required - nearest.Approval.Granted, Groups: nearest.Approval.From}
			d.Next = g.nextFor(nearest)
		}
		if f.voteless() && !nearest.Approval.Approved {
			d.Votes, d.Next = Quorum{}, f.next()
		}
	case files:
		file := f.filing(false)
		d.Change = file.Name()
		d.Votes, d.Next = f.votes(), f.next()
		if !r.DryRun {
			d.File = file
		}
	default:
		d.Votes, d.Next = f.votes(), f.next()
	}
	d.Next.Step = f.step(d, nearest)
}

// annotations says what is wrong with the annotations of a request that mean something to the gate.
func (g *gate) annotations(r *Request, w *World, rep *report) {
	const field = "metadata.annotations"
	if r.Change != "" && !slices.ContainsFunc(w.Candidates, func(c *Candidate) bool { return c.Name == r.Change }) {
		rep.fail(CauseAnnotation, "", field+"["+v1alpha1.AnnotationChange+"]",
			"it names Change %s, which does not exist, has ended or does not have %s as a target", brief(plain(r.Change), maxShownName), nameOf(r.Key))
	}
	if r.BreakGlass != "" && !configuration.Claimable(r.Key.Kind) {
		rep.fail(CauseBreakGlass, "", field+"["+v1alpha1.AnnotationBreakGlass+"]",
			"no record can be made of a %s for which the glass is broken: break it for the workload that makes it", r.Key.Kind)
	} else if r.BreakGlass != "" {
		rep.fail(CauseBreakGlass, "", field+"["+v1alpha1.AnnotationBreakGlass+"]",
			"only people who hold the verb %s on changes in the namespace may break the glass, and not to delete", v1alpha1.VerbBreakGlass)
	}
}

// nearer prefers, of two Changes for exactly what was asked, the one that may still go in, then the approved one,
// then the later.
func nearer(a, b *Candidate) bool {
	if (a.Ended == NotEnded) != (b.Ended == NotEnded) {
		return a.Ended == NotEnded
	}
	if a.Approval.Approved != b.Approval.Approved {
		return a.Approval.Approved
	}
	return a.CreatedAt.After(b.CreatedAt)
}

// nextFor returns when a retry may pass: for an approved Change when its window opens, for others when the change
// window does, as far as that is known now.
func (g *gate) nextFor(c *Candidate) Next {
	return g.next(c.Type, c.Window, c.Approval.Approved && c.Ended == NotEnded)
}

// next is nextFor the Change that the request needs.
func (f *draft) next() Next {
	return f.gate.next(f.kind, Interval{}, !f.standIn && votesNeeded(f.clauses) == 0 && !f.rejected())
}

// next returns when something of a type may go in within its window. Where that waits for nobody's vote, a client is told when
// to come back.
func (g *gate) next(t v1alpha1.ChangeType, window Interval, agreed bool) Next {
	at, ok := g.rules.nextChance(t, window, g.now)
	if !ok {
		return Next{}
	}
	next := Next{At: at}
	if agreed && at.After(g.now) {
		next.RetryAfter = at.Sub(g.now)
	}
	return next
}
