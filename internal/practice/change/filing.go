package change

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

const (
	// MaxUndecided is how many Changes of a namespace the operator files and nobody has decided on.
	MaxUndecided = 20
	// maxBaseName leaves room in a name for the hash and the episode.
	maxBaseName = 220
	// hashDigits of a template hash are in a name.
	hashDigits = 8
	maxSummary = 256
	maxImages  = 50
	maxDiff    = 30
)

// draft is the Change that a request would need.
type draft struct {
	gate     *gate
	request  *Request
	world    *World
	baseline *v1alpha1.Baseline
	// standIn: no Change can be filed for it.
	standIn bool
	// otherFields than images differ from the baseline.
	otherFields bool
	risk        v1alpha1.Risk
	clauses     []clause
	kind        v1alpha1.ChangeType
	// standard is the pre-authorised change that it is one of.
	standard string
}

func newDraft(g *gate, r *Request, w *World) *draft {
	f := &draft{gate: g, request: r, world: w, baseline: agreed(w.Baselines), standIn: standIn(r, w), kind: v1alpha1.ChangeNormal}
	if f.standIn {
		return f
	}
	a := Alteration{Operation: r.Operation.Asks(), Facts: w.Risk, OtherFields: true}
	if r.New != nil {
		a.To = r.New.Images
	}
	if f.baseline != nil {
		a.From, a.Moved = f.baseline.Images, f.baseline.MovedImageIDs
	}
	if r.New != nil && f.baseline != nil && f.baseline.ImagelessHash != "" {
		f.otherFields = f.baseline.ImagelessHash != r.New.ImagelessHash &&
			f.baseline.ImagelessHash != r.New.Ignoring(g.rules.IgnoredAnnotationPrefixes).ImagelessHash
		a.OtherFields = f.otherFields
	} else {
		f.otherFields = true
	}
	f.risk = AssessRisk(&Undertaking{Alterations: []Alteration{a}, At: g.begins()})
	f.authorise()
	return f
}

// begins is when a Change that is filed now may go in first: its risk is that of then, as life.begins says it.
func (g *gate) begins() time.Time {
	if at, ok := g.rules.nextOpening(v1alpha1.ChangeNormal, g.now); ok {
		return at
	}
	return g.now
}

// authorise finds the votes that it needs: none by a policy that pre-authorises it.
func (f *draft) authorise() {
	f.clauses = f.gate.rules.clausesFor(v1alpha1.ChangeNormal, f.risk.Level, func(p *Part) bool {
		rule := p.standardFor(f)
		if rule != nil && f.standard == "" {
			f.standard = rule.Name
		}
		return rule != nil
	})
	if again := f.wentBack(); again || votesNeeded(f.clauses) > 0 {
		f.standard = ""
		f.clauses = f.gate.rules.clausesFor(v1alpha1.ChangeNormal, f.risk.Level, nil)
		if again {
			f.clauses = append(f.clauses, clause{Quorum: Quorum{Required: leastAgain}})
		}
		if f.gate.rules.SeparationOfDuties && f.request.User.ServiceAccount {
			unprovenSeparation(f.clauses)
		}
	}
	if f.standard != "" {
		f.kind = v1alpha1.ChangeStandard
	}
}

func (f *draft) tier() int32 { return f.world.Risk.Tier }

func (f *draft) isBaseline(t *configuration.Template) bool {
	return t.IsBaseline(*f.baseline, f.gate.rules.IgnoredAnnotationPrefixes)
}

// leastAgain is how many votes a Change that the operator files for what was rolled back needs, whatever its risk.
const leastAgain = 1

// voteless says whether it goes in, once nothing else is in its way, without anybody's vote.
func (f *draft) voteless() bool {
	return !f.standIn && votesNeeded(f.clauses) == 0 && !f.returning() && !f.rejected()
}

// preauthorised says whether the Change needs no vote and may go in now. With a report it says why not, but only of
// what would need no vote.
func (f *draft) preauthorised(rep *report) bool {
	if !f.voteless() {
		return false
	}
	ok := f.exact(rep)
	ok = (ok || rep != nil) && f.gate.open("", f.kind, nil, rep) && ok
	return f.gate.free(nil, f.request.Key, rep) && ok
}

// exact says whether what was asked for is as exact as the policies demand of a Change: else none can let it in.
func (f *draft) exact(rep *report) bool {
	if f.request.New == nil {
		return true
	}
	target := f.target()
	t := Target{TemplateHash: string(target.TemplateHash), Images: target.Images}
	return t.pinned(f.request.New, f.baseline, f.gate.rules, rep)
}

// explain adds why what needs no vote does not go in all the same, and what would keep out a Change that is to be filed:
// who asks, and who is asked to vote, must know.
func (f *draft) explain(rep *report, nearest *Candidate) {
	switch {
	case f.standIn && !configuration.Claimable(f.request.Key.Kind):
		rep.fail(CauseTwin, "", "", "no Change can name a %s; change the workload whose pods it would make%s", f.request.Key.Kind, f.throughWhat())
	case f.standIn:
		rep.fail(CauseTwin, "", "", "its pods would pass for those of a governed workload%s; give them other labels, or let a Service claim it", f.throughWhat())
	case f.voteless():
		f.preauthorised(rep)
	case nearest == nil:
		f.exact(rep)
		f.gate.open("", f.kind, nil, rep)
	}
}

func (f *draft) throughWhat() string {
	for _, c := range f.world.Claims {
		if c.Through != (configuration.Key{}) {
			return " (" + nameOf(c.Through) + ")"
		}
	}
	return ""
}

// returning says whether it is an earlier template that may not come back as a rollback. Somebody must look at that,
// whatever its risk; else a GitOps controller would put back at once what was just rolled back.
func (f *draft) returning() bool {
	r := f.request
	if r.New == nil {
		return false
	}
	for i := 1; i < len(f.world.Baselines); i++ {
		b := &f.world.Baselines[i]
		if b.Source != v1alpha1.BaselineUnauthorized && r.New.IsBaseline(*b, f.gate.rules.IgnoredAnnotationPrefixes) {
			return true
		}
	}
	return false
}

// wentBack says whether it was rolled back, or its Change failed, when it was in last.
func (f *draft) wentBack() bool {
	r := f.request
	return r.New != nil && wentBack(f.world.Baselines, f.world.FailedChanges, func(b *v1alpha1.Baseline) bool {
		return r.New.IsBaseline(*b, f.gate.rules.IgnoredAnnotationPrefixes)
	})
}

// meant says whether a Change is for exactly what was asked, whatever became of it. Those that ended otherwise than
// by a rejection are past: another one may be filed.
func (f *draft) meant(c *Candidate) bool {
	if c.Ended != NotEnded && c.Ended != EndedRejected {
		return false
	}
	t := c.targetOf(f.request.Key)
	return t != nil && t.matches(f.request, f.world, f.gate.rules, nil)
}

// rejected says whether a Change for this was rejected. Whether that would be exact enough now does not matter.
func (f *draft) rejected() bool {
	for _, c := range f.world.Candidates {
		if c.Ended != EndedRejected {
			continue
		}
		if t := c.targetOf(f.request.Key); t != nil && t.about(f.request, f.world, f.gate.rules, nil) {
			return true
		}
	}
	return false
}

// limited says whether too many Changes wait for a decision to file another.
func (f *draft) limited() bool { return f.world.Filed.Undecided >= MaxUndecided }

func (f *draft) votes() Quorum {
	b := ballot{clauses: f.clauses}
	return Quorum{Required: votesNeeded(f.clauses), Groups: b.groups()}
}

func (f *draft) target() v1alpha1.ChangeTarget {
	r := f.request
	t := v1alpha1.ChangeTarget{Workload: ReferenceTo(r.Key), Operations: []v1alpha1.Operation{r.Operation.Asks()}}
	if r.New == nil {
		return t
	}
	t.TemplateHash = v1alpha1.TemplateHash(r.New.Hash)
	t.Images = newImages(r.New.Images, f.baseline)
	return t
}

// newImages are those that are not the baseline's, as a target names them; nil: none is.
func newImages(images map[string]string, base *v1alpha1.Baseline) map[string]v1alpha1.Image {
	var out map[string]v1alpha1.Image
	for _, container := range slices.Sorted(maps.Keys(images)) {
		image := images[container]
		if len(out) == maxImages || base != nil && base.Images[container] == image || !presentable(container, image) {
			continue
		}
		if out == nil {
			out = map[string]v1alpha1.Image{}
		}
		out[container] = v1alpha1.Image(image)
	}
	return out
}

// presentable says whether the schema of a Change can hold a container's image. What it cannot is pinned by the
// template hash alone.
func presentable(container, image string) bool {
	if container == "" || len(container) > 63 || image == "" || len(image) > 512 {
		return false
	}
	for i, c := range []byte(image) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("._:/@+-", rune(c))) {
			return false
		}
	}
	return true
}

func (f *draft) filing(preauthorised bool) *Filing {
	r := f.request
	out := &Filing{
		Namespace: r.Key.Namespace, Base: baseName(r), Episode: 1, Requester: r.User.Name, Type: f.kind,
		StandardChange: f.standard, Target: f.target(), PreAuthorised: preauthorised, At: f.gate.now,
	}
	if last := f.world.Filed.LastEpisode; last != nil {
		out.Episode = last(out.Base) + 1
	}
	out.Summary = brief(plain(f.summary()), maxSummary)
	out.Diff = f.diff()
	return out
}

// diff is what differs from the baseline; nil where nobody can tell.
func (f *draft) diff() []v1alpha1.FieldDiff {
	r := f.request
	switch {
	case r.New == nil || f.baseline == nil:
		return nil
	case r.Diff == nil || r.Old == nil || !f.isBaseline(r.Old):
		return f.imageDiffs()
	}
	diff := slices.Clone(r.Diff())
	for i := range diff {
		diff[i].Path = diffPath(ReferenceTo(r.Key), diff[i].Path)
	}
	return diff[:min(len(diff), maxDiff)]
}

// imageDiffs are what differs from the baseline where a request does not begin with it, as when a held template is let go: the
// hashes tell whether that is no more than images. Else nobody can tell.
func (f *draft) imageDiffs() []v1alpha1.FieldDiff {
	if f.otherFields {
		return nil
	}
	var diff []v1alpha1.FieldDiff
	for _, container := range slices.Sorted(maps.Keys(f.request.New.Images)) {
		if from, to := f.baseline.Images[container], f.request.New.Images[container]; from != to && len(diff) < maxDiff {
			diff = append(diff, imageDiff(ReferenceTo(f.request.Key), container, from, to))
		}
	}
	return diff
}

func (f *draft) summary() string {
	r := f.request
	switch r.Operation {
	case Delete:
		return "Delete " + nameOf(r.Key)
	case Create:
		return "Create " + nameOf(r.Key) + ": " + f.whatChanges()
	case Template, Release:
	}
	return "Change " + nameOf(r.Key) + ": " + f.whatChanges()
}

// whatChanges is "image app=registry/app:2, more of the template".
func (f *draft) whatChanges() string {
	var parts []string
	if r := f.request; r.New != nil {
		for _, container := range slices.Sorted(maps.Keys(r.New.Images)) {
			if image := r.New.Images[container]; f.baseline == nil || f.baseline.Images[container] != image {
				parts = append(parts, "image "+container+"="+image)
			}
		}
	}
	if len(parts) == 0 {
		return "its template"
	}
	if f.otherFields && f.baseline != nil {
		parts = append(parts, "more of the template")
	}
	return strings.Join(parts, ", ")
}

// baseName is the name of a filed Change without its episode: from the workload and the template.
func baseName(r *Request) string {
	name := r.Key.Name
	if len(name) > maxBaseName {
		name = strings.TrimRight(name[:maxBaseName], "-.")
	}
	if r.New == nil {
		return name + "-delete"
	}
	_, digits, _ := strings.Cut(r.New.Hash, ":")
	return name + "-" + digits[:min(len(digits), hashDigits)]
}

// Name of the Change.
func (f *Filing) Name() string { return EpisodeName(f.Base, f.Episode) }

// EpisodeName is the name of a base name's episode: the bare name is the first, "<base>-n" the nth.
func EpisodeName(base string, episode int) string {
	if episode <= 1 {
		return base
	}
	return base + "-" + strconv.Itoa(episode)
}

// maxEpisode is beyond what anything is filed for: whoever gives a Change of their own a name with a greater number does not
// have the numbers come to their end, and a denial name that Change.
const maxEpisode = 1_000_000

// EpisodeOf returns which episode of a base name a name is; 0: none.
func EpisodeOf(base, name string) int {
	rest, found := strings.CutPrefix(name, base)
	if !found {
		return 0
	}
	if rest == "" {
		return 1
	}
	n, err := strconv.Atoi(strings.TrimPrefix(rest, "-"))
	if err != nil || n < 2 || n > maxEpisode || rest != fmt.Sprintf("-%d", n) {
		return 0
	}
	return n
}
