package change

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Levels of risk begin at these points; the score ends at mostPoints.
const (
	mediumFrom = 26
	highFrom   = 51
	mostPoints = 100
	maxFactors = 30
	maxWhy     = 256
)

// weights is the whole table of what adds to the risk of a change, in points. A change to a service of tier 1 is
// never Low by it, nor is one that creates or deletes a workload, alters more of a template than images, or brings
// an image whose version cannot be told to be a later one: nobody could say beforehand that these are harmless.
var weights = struct {
	tier       [5]int32 // by tier; 0: no service
	dependent  int32    // each service that depends hard on it, up to dependents
	dependents int32
	lastMember int32 // of a dependency group
	image      map[imageChange]int32
	movableTag int32 // an image by tag may be another one later
	movedTag   int32 // and the tag of what is agreed to is another one by now
	fields     int32 // more of the template than images, or nobody knows
	create     int32
	remove     int32
	oneReplica int32
	noBudget   int32 // more replicas, but no PodDisruptionBudget
	failure    int32 // each failed change of the workload's past ones, up to failures
	failures   int32
	incident   int32 // open on its services, unless the change refers to it
	budgetGone int32 // error budget spent
	budgetLow  int32 // less than a quarter of it left
	offHours   int32
	target     int32 // each target beyond the first, up to targets
	targets    int32
	untested   int32 // answers of the questionnaire
	final      int32
	visible    int32
}{
	tier:       [5]int32{0, 26, 16, 8, 0},
	dependent:  5,
	dependents: 20,
	lastMember: 15,
	image: map[imageChange]int32{
		imageSame: 0, imagePatch: 5, imageMinor: 10, imageMajor: 26, imageDowngrade: 26, imageUnknown: 26, imageOther: 35,
	},
	movableTag: 1,
	movedTag:   8,
	fields:     26,
	create:     26,
	remove:     30,
	oneReplica: 4,
	noBudget:   2,
	failure:    8,
	failures:   16,
	incident:   8,
	budgetGone: 12,
	budgetLow:  6,
	offHours:   10,
	target:     2,
	targets:    12,
	untested:   15,
	final:      15,
	visible:    10,
}

// Alteration is what is to be done to one workload.
type Alteration struct {
	Operation v1alpha1.Operation
	// From are the images of the baseline, To those that are asked for, by container. A container that only one of
	// them names is new or goes away; but where Named is set, To has only those that change.
	From, To map[string]string
	Named    bool
	// OtherFields of the template change as well, or it is not known that none does.
	OtherFields bool
	// Moved has, by container, what the tag of the baseline's image means by now, where that is another image than was
	// agreed to.
	Moved map[string]string
	Facts RiskFacts
}

// Undertaking is all that a change is to do, and when.
type Undertaking struct {
	Alterations   []Alteration
	Questionnaire *v1alpha1.Questionnaire
	// Incident that it is to end; an open one of that name adds no risk.
	Incident string
	// At is when it goes in.
	At time.Time
}

// AssessRisk adds up what may go wrong, with reasons, the heaviest first. Of several workloads the worst counts for
// each factor; how many they are is a factor of its own. Nothing lowers a risk.
func AssessRisk(u *Undertaking) v1alpha1.Risk {
	var f factors
	for i := range u.Alterations {
		a := &u.Alterations[i]
		f.service(&a.Facts, u.Incident)
		f.operation(a)
		f.protection(&a.Facts)
		f.hours(&a.Facts, u.At)
	}
	if n := len(u.Alterations); n > 1 {
		f.add("Batch", min(weights.target*int32(min(n-1, mostPoints)), weights.targets), plural(n, "workload"))
	}
	if q := u.Questionnaire; q != nil {
		f.answer("NotTested", q.Tested == v1alpha1.AnswerNotConfirmed, weights.untested, "not confirmed to be tested")
		f.answer("NotReversible", q.Reversible == v1alpha1.AnswerNotConfirmed, weights.final, "not confirmed to be reversible")
		f.answer("CustomerVisible", q.CustomerVisible == v1alpha1.AnswerConfirmed, weights.visible, "customers will notice")
	}
	return f.risk()
}

// LevelOf returns the level of a score.
func LevelOf(score int32) v1alpha1.RiskLevel {
	switch {
	case score < mediumFrom:
		return v1alpha1.RiskLow
	case score < highFrom:
		return v1alpha1.RiskMedium
	}
	return v1alpha1.RiskHigh
}

// factors are few, and each has a name of its own.
type factors []v1alpha1.RiskFactor

// add keeps the heavier of two factors of a name.
func (f *factors) add(name string, points int32, why string) {
	if points <= 0 {
		return
	}
	at := slices.IndexFunc(*f, func(r v1alpha1.RiskFactor) bool { return r.Name == name })
	switch {
	case at < 0:
		*f = append(*f, v1alpha1.RiskFactor{Name: name, Points: points, Why: brief(plain(why), maxWhy)})
	case points > (*f)[at].Points:
		(*f)[at].Points, (*f)[at].Why = points, brief(plain(why), maxWhy)
	}
}

func (f *factors) answer(name string, worse bool, points int32, why string) {
	if worse {
		f.add(name, points, why)
	}
}

func (f factors) risk() v1alpha1.Risk {
	list := []v1alpha1.RiskFactor(f)
	slices.SortFunc(list, func(a, b v1alpha1.RiskFactor) int {
		return cmp.Or(cmp.Compare(b.Points, a.Points), cmp.Compare(a.Name, b.Name))
	})
	var score int32
	for i := range list {
		score += list[i].Points
	}
	score = min(score, mostPoints)
	return v1alpha1.Risk{Level: LevelOf(score), Score: score, Factors: list[:min(len(list), maxFactors)]}
}

func (f *factors) service(facts *RiskFacts, incident string) {
	if t := facts.Tier; t > 0 && int(t) < len(weights.tier) {
		f.add("Tier", weights.tier[t], "tier "+strconv.Itoa(int(t)))
	}
	if n := facts.HardDependents; n > 0 {
		f.add("Dependents", capped(n, weights.dependent, weights.dependents), plural(n, "dependent"))
	}
	if groups := facts.LastHealthyOf; len(groups) > 0 {
		f.add("LastHealthyMember", weights.lastMember, "last healthy member of "+groups[0])
	}
	if n := facts.FailedChanges; n > 0 {
		why := fmt.Sprintf("%d of its last %s failed", n, plural(facts.PastChanges, "change"))
		if facts.PastChanges == 1 {
			why = "its last change failed"
		}
		f.add("FailureHistory", capped(n, weights.failure, weights.failures), why)
	}
	for _, name := range facts.OpenIncidents {
		if name != incident {
			f.add("OpenIncident", weights.incident, "open incident "+name)
			break
		}
	}
	if left := facts.BudgetLeft; left != nil {
		const quarter = 250
		switch {
		case *left <= 0:
			f.add("ErrorBudget", weights.budgetGone, "error budget spent")
		case *left < quarter:
			f.add("ErrorBudget", weights.budgetLow, fmt.Sprintf("%d %% of the error budget left", *left/10))
		}
	}
}

func (f *factors) operation(a *Alteration) {
	switch a.Operation {
	case v1alpha1.OperationDelete:
		f.add("Operation", weights.remove, "deletes the workload")
		return
	case v1alpha1.OperationCreate:
		f.add("Operation", weights.create, "creates the workload")
	case v1alpha1.OperationTemplate:
	}
	if a.OtherFields && a.Operation != v1alpha1.OperationCreate {
		f.add("Template", weights.fields, "changes more than images")
	}
	for _, container := range slices.Sorted(maps.Keys(a.To)) {
		to := a.To[container]
		from, had := a.From[container]
		if from == to {
			continue
		}
		c := compareImages(from, to)
		switch {
		case a.Operation == v1alpha1.OperationCreate:
		case !had:
			f.add("Image", weights.image[imageOther], "new container "+container)
		default:
			f.add("Image", weights.image[c], wordsOf(c)+" image of "+container)
		}
		if !hasDigest(to) {
			f.add("MovableTag", weights.movableTag, "image of "+container+" by tag, not by digest")
		}
	}
	for _, container := range slices.Sorted(maps.Keys(a.Moved)) {
		f.add("MovedTag", weights.movedTag, "the tag of "+container+" was moved after it was agreed to, and means "+shortImageID(a.Moved[container])+" now; name images by digest")
	}
	if a.Named {
		return
	}
	for _, container := range slices.Sorted(maps.Keys(a.From)) {
		if _, kept := a.To[container]; !kept && a.Operation == v1alpha1.OperationTemplate {
			f.add("Image", weights.image[imageOther], "container "+container+" goes away")
		}
	}
}

// shortImageID is the beginning of an image's digest, as people compare it.
func shortImageID(id string) string {
	const shown = len("sha256:") + 12
	if at := strings.LastIndexByte(id, '@'); at >= 0 {
		id = id[at+1:]
	}
	return brief(id, shown+len("…"))
}

func wordsOf(c imageChange) string {
	switch c {
	case imagePatch:
		return "later patch"
	case imageMinor:
		return "later minor version"
	case imageMajor:
		return "later major version"
	case imageDowngrade:
		return "earlier version"
	case imageUnknown:
		return "version not known"
	case imageOther:
		return "other repository"
	case imageSame:
	}
	return "same"
}

func (f *factors) protection(facts *RiskFacts) {
	switch {
	case facts.Replicas == 1:
		f.add("Replicas", weights.oneReplica, "one replica")
	case facts.Replicas > 1 && !facts.Protected:
		f.add("Replicas", weights.noBudget, "no PodDisruptionBudget")
	}
}

// hours: nobody is there to repair it. Where working hours are not known they add nothing.
func (f *factors) hours(facts *RiskFacts, at time.Time) {
	if facts.WorkingHours == nil || facts.WorkingHours.Contains(at) {
		return
	}
	local := at.In(zoneOf(facts.WorkingHours))
	part := [4]string{"night", "morning", "afternoon", "evening"}[local.Hour()/6]
	f.add("OffHours", weights.offHours, local.Weekday().String()+" "+part)
}

// zoned calendars know their time zone.
type zoned interface{ Location() *time.Location }

func zoneOf(c Calendar) *time.Location {
	if z, ok := c.(zoned); ok && z.Location() != nil {
		return z.Location()
	}
	return time.UTC
}

func capped(n int, each, most int32) int32 {
	return min(int32(min(n, mostPoints))*each, most) //nolint:gosec // at most 100
}
