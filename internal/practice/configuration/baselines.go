package configuration

import (
	"encoding/base64"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

const (
	// MaxBaselines is how many baselines a ConfigurationItem keeps.
	MaxBaselines = 10
	// maxImages is how many images a baseline names.
	maxImages = 50
	// maxFingerprint bounds the fingerprint that is kept, in bytes before encoding; of a larger template a change
	// of defaults cannot be told from an edit, and counts as one.
	maxFingerprint = 6000
	// lateRecord is how much later than our own observation an admission may be dated and still be meant: the
	// clocks of replicas differ.
	lateRecord = time.Minute
	// DefaultProvenSeconds is how long a template must have run to be proven where no policy says otherwise.
	DefaultProvenSeconds = 60
	// DefaultRollbackRevisions is how many baselines back a rollback may go where no policy says otherwise.
	DefaultRollbackRevisions = 10
)

// AdmissionRecord is what the gate decided about a template that it let in.
type AdmissionRecord struct {
	// TemplateHash that was let in, as it is (Template.Hash) or without ignored annotations.
	TemplateHash string
	// Source is the verdict, as baselines name it.
	Source v1alpha1.BaselineSource
	// By is the authenticated user; empty where it is not known.
	By string
	// Change that it came in by, in the workload's namespace; empty where there is none.
	Change string
	// At is when it was let in.
	At time.Time
}

// BaselineRules are what policies say of baselines, and what is known beside the workload.
type BaselineRules struct {
	// Enforced: what was not let in is Unauthorized; else it is Audited.
	Enforced bool
	// GovernedSince is since when the gate watches the workload; zero where that is not known. What was created
	// later did not run before it was governed, and so is not adopted.
	GovernedSince time.Time
	// IgnoredAnnotationPrefixes of templates.
	IgnoredAnnotationPrefixes []string
	// ProvenSeconds that a template must have run, completely rolled out and ready; 0 means the default.
	ProvenSeconds int32
	// RollbackRevisions is how many baselines back a proven template is taken for a rollback without a record; 0
	// means the default, and a negative number that none is.
	RollbackRevisions int32
	// SeenGeneration is the newest generation at which the workload was seen with the template of its newest
	// baseline, where that is newer than the baseline's own; scaling counts generations up without a write.
	SeenGeneration int64
	// Runs are the Jobs of a CronJob that are there.
	Runs []*Workload
	// ImageIDs that most ready pods run now, by container, as ImageDigest gives them; nil where they are not known.
	// They are looked at only once the template is completely rolled out.
	ImageIDs map[string]string
}

// NextBaselines returns the baselines of a workload, the newest first, and when to look again for a template to
// become proven (zero: no need to). It returns current itself, unaltered, where nothing changed. The admission
// record may be nil, and is not looked at where it is of another template.
func NextBaselines(
	current []v1alpha1.Baseline, w *Workload, admission *AdmissionRecord, rules BaselineRules, now time.Time,
) (next []v1alpha1.Baseline, wake time.Time) {
	if w.Template.Hash == "" || !Claimable(w.Key.Kind) {
		return current, time.Time{}
	}
	if admission != nil && !w.Template.Is(admission.TemplateHash, rules.IgnoredAnnotationPrefixes) {
		admission = nil
	}
	switch {
	case len(current) > 0 && w.Template.IsBaseline(current[0], rules.IgnoredAnnotationPrefixes):
	case len(current) > 0 && sameVersion(current[0], w, rules) && addsDefaults(current[0], w):
		// The API server has learnt a default: the same object, with added fields only.
	case !baselineDue(current, w, admission):
		return current, time.Time{}
	default:
		current = began(current, w, admission, rules, now)
	}
	newest := refreshed(current[0], w, admission, rules)
	newest, wake = proven(newest, current[1:], w, rules, now)
	if equal(newest, current[0]) {
		return current, wake
	}
	newest.Generation = w.Generation
	next = slices.Clone(current)
	next[0] = newest
	return next, wake
}

// baselineDue reports whether a template that is not the newest baseline becomes one. A held template does when it
// is let go. What is found held at adoption does if nothing else can be running.
func baselineDue(current []v1alpha1.Baseline, w *Workload, admission *AdmissionRecord) bool {
	if w.runs() {
		return true
	}
	adopting := len(current) == 0 && admission == nil
	return adopting && (w.Key.Kind == KindJob || w.Key.Kind == KindCronJob)
}

func sameVersion(b v1alpha1.Baseline, w *Workload, rules BaselineRules) bool {
	return b.WorkloadUID == string(w.UID) && (b.Generation == w.Generation || rules.SeenGeneration == w.Generation)
}

func addsDefaults(b v1alpha1.Baseline, w *Workload) bool {
	old, err := base64.StdEncoding.DecodeString(b.Fingerprint)
	return err == nil && onlyAddsTo(w.Template.Fingerprint, string(old))
}

// began puts a baseline for the workload's template before the others.
func began(
	current []v1alpha1.Baseline, w *Workload, admission *AdmissionRecord, rules BaselineRules, now time.Time,
) []v1alpha1.Baseline {
	b := v1alpha1.Baseline{
		TemplateHash: w.Template.Ignoring(rules.IgnoredAnnotationPrefixes).Hash,
		From:         metav1.NewTime(now.Truncate(time.Second)),
		Source:       unrecordedSource(current, w, rules),
	}
	if admission != nil {
		b.Source, b.By, b.Change = admission.Source, admission.By, admission.Change
		b.From = metav1.NewTime(admission.At.Truncate(time.Second))
	}
	earlier := slices.IndexFunc(current, func(e v1alpha1.Baseline) bool {
		return e.Proven && w.Template.IsBaseline(e, rules.IgnoredAnnotationPrefixes)
	})
	b.Proven = earlier >= 0 && b.Source != v1alpha1.BaselineUnauthorized ||
		b.Source == v1alpha1.BaselineAdopted && w.RolledOut()
	b.ImageIDs = known(current, w.Template.Images)

	next := append([]v1alpha1.Baseline{b}, slices.Clone(current)...)
	if len(next) > 1 {
		until := b.From
		next[1].Until, next[1].Fingerprint, next[1].RolledOutSince = &until, "", nil
	}
	return bounded(next)
}

// bounded drops repetitions before it drops what is known of no other baseline.
func bounded(baselines []v1alpha1.Baseline) []v1alpha1.Baseline {
	for i := len(baselines) - 1; i > 0 && len(baselines) > MaxBaselines; i-- {
		if repeated(baselines, i) {
			baselines = slices.Delete(baselines, i, i+1)
		}
	}
	return baselines[:min(len(baselines), MaxBaselines)]
}

// unrecordedSource is the source of a template that no record of the gate tells of.
func unrecordedSource(current []v1alpha1.Baseline, w *Workload, rules BaselineRules) v1alpha1.BaselineSource {
	if len(current) == 0 && (rules.GovernedSince.IsZero() || !w.CreatedAt.After(rules.GovernedSince)) {
		return v1alpha1.BaselineAdopted
	}
	if revisions := revisionsOr(rules.RollbackRevisions); revisions > 0 {
		within := current[:min(len(current), revisions+1)]
		if slices.ContainsFunc(within, func(b v1alpha1.Baseline) bool {
			return b.Proven && b.Source != v1alpha1.BaselineUnauthorized &&
				w.Template.IsBaseline(b, rules.IgnoredAnnotationPrefixes)
		}) {
			return v1alpha1.BaselineRollback
		}
	}
	if rules.Enforced {
		return v1alpha1.BaselineUnauthorized
	}
	return v1alpha1.BaselineAudited
}

func revisionsOr(revisions int32) int {
	if revisions == 0 {
		return DefaultRollbackRevisions
	}
	return int(revisions)
}

// refreshed brings up to date what a baseline says of its own template. The generation is left alone while
// everything else is the same: scaling is followed without a write.
func refreshed(
	b v1alpha1.Baseline, w *Workload, admission *AdmissionRecord, rules BaselineRules,
) v1alpha1.Baseline {
	ignoring := w.Template.Ignoring(rules.IgnoredAnnotationPrefixes)
	b.TemplateHash, b.ImagelessHash, b.FullHash = ignoring.Hash, ignoring.ImagelessHash, ""
	if ignoring.Hash != w.Template.Hash {
		b.FullHash = w.Template.Hash
	}
	b.Images = firstImages(w.Template.Images)
	if w.RolledOut() && w.runs() {
		b = ran(b, w, rules.ImageIDs)
	}
	if len(w.Template.Fingerprint) <= maxFingerprint {
		b.Fingerprint = base64.StdEncoding.EncodeToString([]byte(w.Template.Fingerprint))
	}
	b.WorkloadUID, b.BreakGlass = string(w.UID), w.BrokenGlass()
	if admission != nil && belated(b, *admission) {
		b.Source, b.By, b.Change = admission.Source, admission.By, admission.Change
	}
	if b.By != "" {
		b.UnverifiedBy = ""
	}
	return b
}

// belated reports whether the record is of the admission that we saw the outcome of before we saw the record.
func belated(b v1alpha1.Baseline, a AdmissionRecord) bool {
	if b.By != "" || b.Change != "" && b.Change != a.Change {
		return false
	}
	switch b.Source {
	case v1alpha1.BaselineUnauthorized, v1alpha1.BaselineAudited, v1alpha1.BaselineRollback,
		v1alpha1.BaselineChange, v1alpha1.BaselinePreAuthorised, v1alpha1.BaselineBreakGlass:
		return !a.At.After(b.From.Add(lateRecord))
	case v1alpha1.BaselineAdopted:
		return false
	default:
		return false
	}
}

// proven follows the rollout of the newest baseline until it is proven. Jobs are proven by a success.
func proven(
	b v1alpha1.Baseline, earlier []v1alpha1.Baseline, w *Workload, rules BaselineRules, now time.Time,
) (v1alpha1.Baseline, time.Time) {
	if b.Proven || b.Source == v1alpha1.BaselineUnauthorized {
		b.RolledOutSince = nil
		return b, time.Time{}
	}
	if !w.RolledOut() || !w.runs() {
		b.RolledOutSince = nil
		return b, time.Time{}
	}
	switch w.Key.Kind {
	case KindJob:
		b.Proven = true
		return b, time.Time{}
	case KindCronJob:
		succeeded, _ := Runs(w, rules.Runs, &b, earlier)
		b.Proven = !succeeded.IsZero()
		return b, time.Time{}
	default:
	}
	since := now.Truncate(time.Second)
	if b.RolledOutSince != nil {
		since = b.RolledOutSince.Time
	}
	if ready := w.readySince(); ready.After(since) && !ready.After(now) {
		since = ready
	}
	seconds := rules.ProvenSeconds
	if seconds <= 0 {
		seconds = DefaultProvenSeconds
	}
	wake := since.Add(time.Duration(seconds) * time.Second)
	if !now.Before(wake) {
		b.Proven, b.RolledOutSince = true, nil
		return b, time.Time{}
	}
	at := metav1.NewTime(since)
	b.RolledOutSince = &at
	return b, wake
}

// firstImages are the images that a baseline can hold: the first by container name.
func firstImages(images map[string]string) map[string]string {
	if len(images) <= maxImages {
		return images
	}
	out := make(map[string]string, maxImages)
	for _, name := range slices.Sorted(maps.Keys(images))[:maxImages] {
		out[name] = images[name]
	}
	return out
}

func equal(a, b v1alpha1.Baseline) bool {
	return a.TemplateHash == b.TemplateHash && a.ImagelessHash == b.ImagelessHash && a.FullHash == b.FullHash &&
		a.WorkloadUID == b.WorkloadUID && a.Generation == b.Generation && a.Fingerprint == b.Fingerprint &&
		maps.Equal(a.Images, b.Images) && maps.Equal(a.ImageIDs, b.ImageIDs) &&
		maps.Equal(a.MovedImageIDs, b.MovedImageIDs) && a.RestartedAt == b.RestartedAt &&
		a.BreakGlass == b.BreakGlass && a.UnverifiedBy == b.UnverifiedBy && a.Source == b.Source && a.By == b.By && a.Change == b.Change && a.Proven == b.Proven &&
		a.From.Equal(&b.From) && a.Until.Equal(b.Until) && a.RolledOutSince.Equal(b.RolledOutSince)
}
