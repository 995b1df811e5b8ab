package change

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// AnnotationSupersededBy on a Change that the operator canceled names the Change that took its place.
const AnnotationSupersededBy = "itil.dev/superseded-by"

// AnnotationDiffFollows on a Change that the operator filed says that its differences are about to be written on its
// status, by which its risk is assessed. Whoever else sets it has their own Change assessed diffWithin later.
const AnnotationDiffFollows = "itil.dev/diff-follows"

// AnnotationAskedAt on a Change that the operator filed for what was denied is when that was asked for. Replicas file each
// what they denied: what is late in the queue of one must not take the place of what was asked for after it.
const AnnotationAskedAt = "itil.dev/asked-at"

// lateFiling is how long a filing may be under way; who seems to have asked later than that has another clock.
const lateFiling = time.Minute

// longQueued is how long a filing may have waited that is still made within lateFiling.
const longQueued = lateFiling / 2

// diffWithin is how long after a Change was filed its differences are waited for: who files it may die in between.
const diffWithin = 5 * time.Second

// Object is the Change of a filing. Its name is deterministic, so that two replicas, or a retry, make the same one.
func (f *Filing) Object() *v1alpha1.Change {
	filedFor := FiledForDenied
	justification := "Filed by the operator for what was denied."
	if f.PreAuthorised {
		filedFor, justification = FiledForPreAuthorised, "Filed by the operator for what needed no vote and is in."
	}
	annotations := map[string]string{}
	if len(f.Diff) > 0 {
		annotations[AnnotationDiffFollows] = "true"
	}
	if !f.PreAuthorised && !f.At.IsZero() {
		annotations[AnnotationAskedAt] = f.At.UTC().Format(time.RFC3339Nano)
	}
	return &v1alpha1.Change{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: f.Namespace, Name: f.Name(),
			Labels: labelsFor(f.Target.Workload, f.Namespace, filedFor), Annotations: annotations,
		},
		Spec: v1alpha1.ChangeSpec{
			Type: f.Type, Summary: f.Summary, Justification: justification, Requester: v1alpha1.UserName(f.Requester),
			Targets: []v1alpha1.ChangeTarget{f.Target}, StandardChange: f.StandardChange,
		},
	}
}

// Is says whether a Change that exists is the one to be filed: for the same target. Whoever asked for it does not
// matter.
func (f *Filing) Is(chg *v1alpha1.Change) bool {
	if len(chg.Spec.Targets) != 1 || chg.Spec.RecordOf != "" {
		return false
	}
	return sameAsked(&chg.Spec.Targets[0], &f.Target)
}

func sameAsked(a, b *v1alpha1.ChangeTarget) bool {
	return a.Workload == b.Workload && a.TemplateHash == b.TemplateHash && slices.Equal(operationsOf(a), operationsOf(b))
}

// Supersedes says whether a filed Change takes the place of an earlier one: for the same workload, filed as well, and
// not decided on.
func (f *Filing) Supersedes(c *Candidate, chg *v1alpha1.Change) bool {
	if asked, known := askedAt(chg); known && asked.After(f.At) && asked.Sub(f.At) < lateFiling {
		return false
	}
	return !f.PreAuthorised && c.Name != f.Name() && undecided(c, chg) && c.Targets[0].Key == KeyOf(f.Namespace, f.Target.Workload) && !f.Is(chg)
}

// Overtaken says whether a filing waited for so long that whoever compares its time may take it for another clock's, and a Change
// was filed meanwhile for what was asked for later of the same workload.
func (f *Filing) Overtaken(c *Candidate, chg *v1alpha1.Change, now time.Time) bool {
	asked, known := askedAt(chg)
	return !f.PreAuthorised && now.Sub(f.At) >= longQueued && known && asked.After(f.At) &&
		undecided(c, chg) && c.Targets[0].Key == KeyOf(f.Namespace, f.Target.Workload) && !f.Is(chg)
}

// undecided says whether a Change was filed for what was denied of one workload, and nobody decided on it.
func undecided(c *Candidate, chg *v1alpha1.Change) bool {
	return c.Ended == NotEnded && !c.Approval.Approved && len(c.Targets) == 1 && c.Targets[0].Rollout == "" && chg.Labels[LabelFiledFor] == FiledForDenied
}

// unusedPreAuthorised says whether a Change was filed for what needed no vote of one workload, and nothing went in by it.
func unusedPreAuthorised(c *Candidate, chg *v1alpha1.Change, baselines []v1alpha1.Baseline) bool {
	return c.Ended == NotEnded && len(c.Targets) == 1 && chg.Labels[LabelFiledFor] == FiledForPreAuthorised &&
		len(chg.Status.Implementations) == 0 && newestOf(chg.Name, baselines) < 0
}

// askedAt is when what a Change was filed for was asked for; known is false where it does not say.
func askedAt(chg *v1alpha1.Change) (at time.Time, known bool) {
	at, err := time.Parse(time.RFC3339Nano, chg.Annotations[AnnotationAskedAt])
	return at, err == nil
}

// SupersededBy names the Change that takes the place of one that was filed for what was denied, and that nobody decided on:
// the last of the others of the same workload, if something else was asked for there after it. Empty: none does. Whoever
// files that one cancels the earlier ones, but may have died, or been refused, before.
func SupersededBy(c *Candidate, chg *v1alpha1.Change, others iter.Seq[*v1alpha1.Change]) string {
	if !undecided(c, chg) {
		return ""
	}
	newest := chg
	for other := range others {
		if filedForElse(chg, other) && askedLater(newest, other) {
			newest = other
		}
	}
	if newest == chg {
		return ""
	}
	return newest.Name
}

// OvertakenBy names the Change by which a workload runs what one was filed for, when that was denied, and that nobody decided on:
// whoever could not wait broke the glass, say. Or one that was filed for what needed no vote, twice where the gate was asked
// twice: it would go before others until its window ends. Empty: it does not run that, or no Change tells of it. Nobody need
// agree to it any more; what is owed is owed by the other.
func OvertakenBy(c *Candidate, chg *v1alpha1.Change, baselines []v1alpha1.Baseline) string {
	if !undecided(c, chg) && !unusedPreAuthorised(c, chg, baselines) || len(baselines) == 0 {
		return ""
	}
	b, wanted := &baselines[0], c.Targets[0].TemplateHash
	if wanted == "" || wanted != b.TemplateHash && wanted != b.FullHash {
		return ""
	}
	switch b.Source {
	case v1alpha1.BaselineBreakGlass:
		return recordName(c.Targets[0].Key, b)
	case v1alpha1.BaselineChange, v1alpha1.BaselinePreAuthorised:
		return b.Change
	case v1alpha1.BaselineAdopted, v1alpha1.BaselineRollback, v1alpha1.BaselineUnauthorized, v1alpha1.BaselineAudited:
	}
	return ""
}

// filedForElse says whether another Change was filed for something else that was denied of the same workload.
func filedForElse(chg, other *v1alpha1.Change) bool {
	if other.Labels[LabelFiledFor] != FiledForDenied || other.Namespace != chg.Namespace || len(other.Spec.Targets) != 1 || len(chg.Spec.Targets) != 1 {
		return false
	}
	a, b := &chg.Spec.Targets[0], &other.Spec.Targets[0]
	return a.Workload == b.Workload && !sameAsked(a, b)
}

// askedLater says whether b was asked for after a. Replicas each have a clock: where they seem to be further apart than a
// filing may be under way, the order in which the API server made them decides.
func askedLater(a, b *v1alpha1.Change) bool {
	before, knownBefore := askedAt(a)
	after, knownAfter := askedAt(b)
	if knownBefore && knownAfter && after.Sub(before).Abs() < lateFiling {
		return after.After(before)
	}
	return b.CreationTimestamp.After(a.CreationTimestamp.Time)
}

func labelsFor(w v1alpha1.WorkloadReference, namespace, filedFor string) map[string]string {
	return map[string]string{
		v1alpha1.LabelManagedBy:    v1alpha1.ManagedBy,
		v1alpha1.LabelWorkloadKind: string(w.Kind),
		v1alpha1.LabelWorkload:     workloadHash(KeyOf(namespace, w)),
		LabelFiledFor:              filedFor,
	}
}

// workloadHash is a label value for a workload, whose name may be too long for one.
func workloadHash(key configuration.Key) string {
	const digits = 16
	sum := sha256.Sum256([]byte(key.Group + "/" + key.Kind + "/" + key.Namespace + "/" + key.Name))
	return hex.EncodeToString(sum[:])[:digits]
}

// recordWithin is how long after it came in a baseline gets the Change that it lacks: later it had one, which was
// deleted after its retention time. filedWithin is how long the replica that let something in as pre-authorised has to
// file its Change.
const (
	recordWithin = 7 * 24 * time.Hour
	filedWithin  = time.Minute
)

// Owed returns a Change that a baseline of a workload owes, the oldest first: the record of what was forced in or came in
// past the gate, or the Change of what was pre-authorised, where that was lost. A baseline owes it still when another has
// taken its place: whoever was to file it may have died before. Nil: none. Exists says whether a Change of that name does,
// annotations are the workload's. Wait is how long to wait before the next is owed; 0: none will be.
func Owed(
	key configuration.Key, annotations map[string]string, baselines []v1alpha1.Baseline, exists func(name string) bool, now time.Time,
) (owed *v1alpha1.Change, wait time.Duration) {
	if !configuration.Claimable(key.Kind) {
		return nil, 0
	}
	for at, b := range slices.Backward(baselines) {
		chg := owedBy(key, annotations, baselines, at)
		age := now.Sub(b.From.Time)
		if chg == nil || age > recordWithin || exists(chg.Name) {
			continue
		}
		left := filedWithin - age
		if b.Source != v1alpha1.BaselinePreAuthorised || left <= 0 {
			return chg, 0
		}
		if wait == 0 || left < wait {
			wait = left
		}
	}
	return nil, wait
}

// owedBy returns the Change that there must be because of a baseline; nil: none.
func owedBy(key configuration.Key, annotations map[string]string, baselines []v1alpha1.Baseline, at int) *v1alpha1.Change {
	b := &baselines[at]
	if b.TemplateHash == "" {
		return nil
	}
	switch b.Source {
	case v1alpha1.BaselineBreakGlass:
		owed := record(key, baselines[at:], v1alpha1.RecordOfBreakGlass, "forced in by breaking the glass")
		// The reason on the workload is that of what it has now.
		if why := plain(annotations[v1alpha1.AnnotationBreakGlass]); why != "" && at == 0 {
			owed.Spec.Justification = brief("The reason given: "+why, maxJustification)
		}
		return owed
	case v1alpha1.BaselineUnauthorized:
		return record(key, baselines[at:], v1alpha1.RecordOfUnauthorized, "came in past the gate")
	case v1alpha1.BaselinePreAuthorised:
		return lostPreAuthorised(key, b)
	case v1alpha1.BaselineAdopted, v1alpha1.BaselineChange, v1alpha1.BaselineRollback, v1alpha1.BaselineAudited:
	}
	return nil
}

// recordName holds the time that the template came in, so that each time has one record and no retry makes a second.
func recordName(key configuration.Key, b *v1alpha1.Baseline) string {
	const base = 36
	r := Request{Key: key, New: &configuration.Template{Hash: b.TemplateHash}}
	return baseName(&r) + "-r" + strconv.FormatInt(b.From.Unix(), base)
}

// record is an Emergency change that asks for nothing and owes a review of the first of the baselines.
func record(key configuration.Key, baselines []v1alpha1.Baseline, of v1alpha1.RecordOf, how string) *v1alpha1.Change {
	w, b := ReferenceTo(key), &baselines[0]
	target := v1alpha1.ChangeTarget{
		Workload: w, Operations: []v1alpha1.Operation{v1alpha1.OperationTemplate}, TemplateHash: v1alpha1.TemplateHash(b.TemplateHash),
		Images: newImages(b.Images, agreed(baselines[1:])),
	}
	parts := []string{"Record: " + nameOf(key) + " " + how}
	for _, container := range sortedKeys(target.Images) {
		parts = append(parts, "image "+container+"="+string(target.Images[container]))
	}
	return &v1alpha1.Change{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace, Name: recordName(key, b),
			Labels: labelsFor(w, key.Namespace, string(of)),
		},
		Spec: v1alpha1.ChangeSpec{
			Type: v1alpha1.ChangeEmergency, RecordOf: of, Requester: v1alpha1.UserName(cmp.Or(plain(b.By), unknownUser)),
			Summary: brief(plain(strings.Join(parts, ", ")), maxSummary),
			Targets: []v1alpha1.ChangeTarget{target},
		},
	}
}

// NameManager says in a record which field manager wrote the template last. It is no user: a client chooses the name that it
// goes by, and nobody verifies it.
func NameManager(owed *v1alpha1.Change, manager string, at time.Time) {
	s := &owed.Spec
	if manager == "" || s.RecordOf == "" {
		return
	}
	if s.Justification != "" {
		s.Justification += ". "
	}
	s.Justification = brief(plain(s.Justification+"Field manager "+brief(manager, maxShownName)+" wrote the template last, at "+
		at.UTC().Format(time.RFC3339)+", by managedFields, which is not verified."), maxJustification)
}

// maxJustification is what the schema of a Change can hold.
const maxJustification = 4096

// unknownUser is the requester of a record where nobody recorded who it was.
const unknownUser = "unknown"

func lostPreAuthorised(key configuration.Key, b *v1alpha1.Baseline) *v1alpha1.Change {
	if b.Change == "" {
		return nil
	}
	f := Filing{
		Namespace: key.Namespace, Base: b.Change, Episode: 1, Requester: cmp.Or(plain(b.By), unknownUser), Type: v1alpha1.ChangeNormal, PreAuthorised: true,
		Summary: brief(plain("Change "+nameOf(key)+": its template"), maxSummary),
		Target: v1alpha1.ChangeTarget{
			Workload: ReferenceTo(key), Operations: []v1alpha1.Operation{v1alpha1.OperationTemplate}, TemplateHash: v1alpha1.TemplateHash(b.TemplateHash),
		},
	}
	return f.Object()
}
