package exit

import (
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestCodeOf(t *testing.T) {
	changes := schema.GroupResource{Group: "itil.dev", Resource: "changes"}
	for name, test := range map[string]struct {
		err  error
		want Code
		next bool
	}{
		"nothing":        {nil, OK, false},
		"anything":       {errors.New("broken pipe"), Failed, false},
		"own":            {New(WrongState, "decided").WithNext("look"), WrongState, true},
		"own, wrapped":   {fmt.Errorf("approve: %w", New(Usage, "no name")), Usage, false},
		"own, no next":   {New(NotFound, "none"), NotFound, false},
		"forbidden":      {apierrors.NewForbidden(changes, "a", errors.New("no")), NotPermitted, false},
		"unauthorized":   {apierrors.NewUnauthorized("no"), NotPermitted, true},
		"not found":      {fmt.Errorf("read: %w", apierrors.NewNotFound(changes, "a")), NotFound, false},
		"not installed":  {&meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "itil.dev", Kind: "Change"}}, NotFound, true},
		"conflict":       {apierrors.NewConflict(changes, "a", errors.New("changed")), WrongState, false},
		"already exists": {apierrors.NewAlreadyExists(changes, "a"), WrongState, false},
		"invalid":        {apierrors.NewInvalid(schema.GroupKind{}, "a", nil), Failed, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := CodeOf(test.err); got != test.want {
				t.Errorf("code %d, want %d", got, test.want)
			}
			if got := NextOf(test.err); (got != "") != test.next {
				t.Errorf("next step %q, want one: %t", got, test.next)
			}
		})
	}
}

func TestErrorKeepsItsCause(t *testing.T) {
	cause := errors.New("cause")
	err := New(Failed, "it failed").WithCause(cause)
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	if err.Error() != "it failed" {
		t.Errorf("message %q", err.Error())
	}
}
