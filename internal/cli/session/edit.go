package session

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/cli/exit"
)

// attempts bounds how often a record is read again because the operator, or somebody, wrote to it meanwhile.
const attempts = 5

// EditSpec reads a record, has decide say which fields of its spec are to be written, and writes them to the version that
// was decided on, so that two people never undo each other's work unseen. Where decide wants none, nothing is written.
// Kind and plural are what messages call it.
func EditSpec[T client.Object](
	ctx context.Context, s *Session, ref Ref, kind, plural string, empty func() T, decide func(T) (map[string]any, error),
) (object T, written bool, err error) {
	for range attempts {
		object = empty()
		if err := s.Read(ctx, ref, object, kind, plural); err != nil {
			return object, false, err
		}
		wanted, err := decide(object)
		if err != nil || wanted == nil {
			return object, false, err
		}
		body, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"resourceVersion": object.GetResourceVersion()}, "spec": wanted,
		})
		if err != nil {
			return object, false, err
		}
		err = s.Patch(ctx, object, client.RawPatch(types.MergePatchType, body))
		switch {
		case err == nil:
			return object, true, nil
		case !apierrors.IsConflict(err):
			return object, false, notWritten(err, kind, ref)
		}
	}
	return object, false, exit.New(exit.WrongState, "%s %s was changed again and again while this tried to write to it", kind, ref).
		WithNext("try again")
}

// notWritten is a refusal to write. What RBAC refuses says nothing of what to do; what a policy refuses does.
func notWritten(err error, kind string, ref Ref) error {
	refused := Refused(err, "writing to "+kind+" "+ref.String())
	if failure, ok := errors.AsType[*exit.Error](refused); ok && apierrors.IsForbidden(err) && strings.Contains(err.Error(), "cannot patch resource") {
		return failure.WithNext("ask for a RoleBinding to ClusterRole itil-editor in namespace %s", ref.Namespace)
	}
	return refused
}

// Each does something with each of the records that were named. It goes on after a failure, so that of many one does not
// keep the others.
func (s *Session) Each(names []string, do func(Ref) error) error {
	var failures []error
	for _, name := range names {
		ref, err := s.Ref(name)
		if err == nil {
			err = do(ref)
		}
		if err != nil {
			failures = append(failures, err)
		}
	}
	if len(failures) == 1 {
		return failures[0]
	}
	return errors.Join(failures...)
}
