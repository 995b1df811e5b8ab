package expire_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/kube/expire"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// server answers deletions.
type server struct {
	client.Writer
	answer error
	// uid and version that a deletion asked for.
	uid, version string
}

func (s *server) Delete(_ context.Context, _ client.Object, options ...client.DeleteOption) error {
	o := (&client.DeleteOptions{}).ApplyOptions(options)
	s.uid, s.version = string(*o.Preconditions.UID), *o.Preconditions.ResourceVersion
	return s.answer
}

func TestRecord(t *testing.T) {
	changes := schema.GroupResource{Group: "itil.dev", Resource: "changes"}
	for name, test := range map[string]struct {
		answer  error
		deleted bool
		fails   string
	}{
		"it goes":            {nil, true, ""},
		"it is gone":         {apierrors.NewNotFound(changes, "a"), false, ""},
		"it was written":     {apierrors.NewConflict(changes, "a", errors.New("version")), false, ""},
		"it cannot be asked": {errors.New("no answer"), false, "deleting Change shop/a after its retention time: no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			chg := builder.MakeChange("shop", "a").Obj()
			chg.UID, chg.ResourceVersion = "u", "7"
			s := &server{answer: test.answer}
			deleted, err := expire.Record(t.Context(), s, "Change", chg)
			if deleted != test.deleted {
				t.Errorf("deleted: %t", deleted)
			}
			if (err != nil) != (test.fails != "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("%v, want %q", err, test.fails)
			}
			if s.uid != "u" || s.version != "7" {
				t.Errorf("another one could have been deleted: UID %q, version %q", s.uid, s.version)
			}
		})
	}
}
