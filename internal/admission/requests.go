package admission

import (
	"cmp"
	"errors"
	"reflect"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

const serviceAccountPrefix = "system:serviceaccount:"

// kind of what a request is about.
type kind struct{ Group, Version, Kind string }

func (k kind) apiVersion() string {
	if k.Group == "" {
		return k.Version
	}
	return k.Group + "/" + k.Version
}

// asked is what one AdmissionReview asks the practice: nothing where it is none of the gate's business, and two things
// where an update alters both the template and the owners.
type asked struct {
	requests []*change.Request
	// subject is the object after the request; before it, where it is deleted.
	subject *object
}

// ask turns an admission request into what it means for change control. Errors say what of the objects cannot be
// read.
func ask(req *admissionv1.AdmissionRequest) (asked, error) {
	k := kind{Group: req.Kind.Group, Version: req.Kind.Version, Kind: req.Kind.Kind}
	if group, makesPods := configuration.GroupOf(k.Kind); !makesPods || group != k.Group || req.SubResource != "" {
		return asked{}, nil
	}
	var before, after *object
	var err error
	if len(req.OldObject.Raw) > 0 {
		if before, err = readObject(req.OldObject.Raw, k, req.Name, req.Namespace); err != nil {
			return asked{}, err
		}
	}
	if len(req.Object.Raw) > 0 {
		if after, err = readObject(req.Object.Raw, k, req.Name, req.Namespace); err != nil {
			return asked{}, err
		}
	}
	switch req.Operation {
	case admissionv1.Create:
		if after == nil {
			return asked{}, errors.New("a CREATE without an object")
		}
		r := request(req, after, change.Create)
		r.New, r.NewHold = &after.Template, after.Hold
		r.RollbackTo = rollbackTo(nil, after)
		return asked{[]*change.Request{r}, after}, nil
	case admissionv1.Delete:
		if before == nil {
			return asked{}, errors.New("a DELETE without the old object")
		}
		return asked{[]*change.Request{deletion(req, before)}, before}, nil
	case admissionv1.Update:
		if before == nil || after == nil {
			return asked{}, errors.New("an UPDATE without the old or the new object")
		}
		return asked{updates(req, before, after), after}, nil
	case admissionv1.Connect:
	}
	return asked{}, nil
}

func request(req *admissionv1.AdmissionRequest, subject *object, operation change.Operation) *change.Request {
	var owner configuration.Key
	if subject.Owner != nil {
		owner = subject.Owner.Key
	}
	return &change.Request{
		Operation: operation,
		Key:       subject.Key,
		Owner:     owner,
		User: change.User{
			Name: req.UserInfo.Username, Groups: req.UserInfo.Groups,
			ServiceAccount: strings.HasPrefix(req.UserInfo.Username, serviceAccountPrefix),
		},
		Change:       subject.Annotations[v1alpha1.AnnotationChange],
		BreakGlass:   subject.Annotations[v1alpha1.AnnotationBreakGlass],
		BreakGlassBy: subject.Annotations[v1alpha1.AnnotationBreakGlassBy],
		DryRun:       req.DryRun != nil && *req.DryRun,
	}
}

func deletion(req *admissionv1.AdmissionRequest, before *object) *change.Request {
	r := request(req, before, change.Delete)
	r.Old, r.OldHold = &before.Template, before.Hold
	r.BreakGlass = "" // deletes cannot break the glass
	return r
}

// updates asks about the template, and about the owners where they are altered.
func updates(req *admissionv1.AdmissionRequest, before, after *object) []*change.Request {
	r := request(req, after, change.Template)
	if before.Annotations[v1alpha1.AnnotationBreakGlass] == r.BreakGlass {
		r.BreakGlass = ""
	}
	r.Old, r.New = &before.Template, &after.Template
	r.OldHold, r.NewHold = before.Hold, after.Hold
	r.RollbackTo = rollbackTo(before, after)
	r.Fields = func() []string { return fields(before, after) }
	r.Diff = func() []v1alpha1.FieldDiff {
		return configuration.Diff(configuration.RawTemplate(before.raw), configuration.RawTemplate(after.raw))
	}
	// Of annotations some may be ignored: altering one does not hide what is let out with it.
	if r.Old.Parts.Body == r.New.Parts.Body && released(before, after) {
		r.Operation = change.Release
	}
	requests := []*change.Request{r}
	// Whoever deletes the new owner would have the garbage collector delete this. What a controller owns already may be
	// deleted anyway: its controller makes it again.
	if !disposable(before) && !slices.EqualFunc(before.owners(), after.owners(), equal) {
		requests = append(requests, deletion(req, before))
	}
	return requests
}

// rollbackTo is the annotation at which the deployment controller brings an earlier template back, where a request has it do
// so: on a paused Deployment the controller waits with that until it is resumed.
func rollbackTo(before, after *object) string {
	to := after.rollbackTo()
	if after.Key.Kind != configuration.KindDeployment {
		return ""
	}
	if before != nil && before.rollbackTo() == to && (!before.Hold.Paused || after.Hold.Paused) {
		return ""
	}
	return to
}

// equal compares decoded JSON.
func equal(a, b any) bool { return reflect.DeepEqual(a, b) }

// released reports whether an update lets out a template that was held back. A ReplicaSet holds the template that it has:
// those of a Deployment's earlier ones are not what is agreed, and no controller scales them up but that of the Deployment.
func released(before, after *object) bool {
	was, is := before.Hold, after.Hold
	switch before.Key.Kind {
	case configuration.KindReplicaSet, configuration.KindReplicationController:
		return after.Desired > before.Desired
	}
	return was.Paused && !is.Paused || was.Suspended && !is.Suspended || was.OnDelete && !is.OnDelete ||
		is.Partition < was.Partition || before.Schedule != after.Schedule
}

// disposable reports whether it may be deleted without a Change: a Pod, ReplicaSet or Job that a controller owns.
func disposable(o *object) bool {
	switch o.Key.Kind {
	case configuration.KindPod, configuration.KindReplicaSet, configuration.KindJob:
		return o.owned()
	default:
		return false
	}
}

// fields that differ between two templates, other than images; nil where they cannot all be told.
func fields(before, after *object) []string {
	if before.Key.Kind == configuration.KindPod {
		return nil
	}
	diffs := configuration.Diff(configuration.RawTemplate(before.raw), configuration.RawTemplate(after.raw))
	if len(diffs) >= configuration.MaxDiff {
		return nil // the last one may stand for more
	}
	paths := make([]string, 0, len(diffs))
	for _, diff := range diffs {
		if !isImage(diff.Path) {
			paths = append(paths, diff.Path)
		}
	}
	return paths
}

// isImage reports whether a path such as spec.containers[app].image is a container's image.
func isImage(path string) bool {
	list, found := strings.CutSuffix(path, "].image")
	return found && (strings.HasPrefix(list, "spec.containers[") || strings.HasPrefix(list, "spec.initContainers["))
}

// worse orders verdicts: the one that tells more of a request that was decided in two parts.
func worse(a, b change.Verdict) int { return cmp.Compare(weight(a), weight(b)) }

func weight(v change.Verdict) int {
	switch v {
	case change.NotGoverned:
		return 0
	case change.Unchanged:
		return 1
	case change.Rollback, change.Covered, change.PreAuthorised:
		return 2
	case change.BreakGlass:
		return 3
	case change.Audited:
		return 4
	case change.Warned:
		return 5
	case change.Denied:
		return 6
	}
	return 6
}
