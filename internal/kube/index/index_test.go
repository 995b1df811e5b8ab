package index_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/index"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
	"github.com/itil-dev/itil-operator/internal/testing/fakeclient"
)

func TestObjectsAreFoundByAField(t *testing.T) {
	const byRequester = "test.requester"
	b := fake.NewClientBuilder().WithScheme(scheme.New())
	err := index.Add(t.Context(), fakeclient.Indexer{ClientBuilder: b},
		index.By(byRequester, func(c *v1alpha1.Change) []string { return index.Value(c.Spec.Requester) }),
	)
	if err != nil {
		t.Fatal(err)
	}
	c := b.WithObjects(
		builder.MakeChange("shop", "a").Requester("alice").Obj(), builder.MakeChange("shop", "b").Requester("bob").Obj(),
	).Build()
	found := &v1alpha1.ChangeList{}
	if err := c.List(t.Context(), found, client.MatchingFields{byRequester: "bob"}); err != nil {
		t.Fatal(err)
	}
	if len(found.Items) != 1 || found.Items[0].Name != "b" {
		t.Errorf("found %d, want b alone", len(found.Items))
	}
}

// refusing takes no field, and gives each function an object of another kind.
type refusing struct{ got []string }

func (r *refusing) IndexField(_ context.Context, _ client.Object, _ string, of client.IndexerFunc) error {
	r.got = of(&v1alpha1.Incident{})
	return errors.New("it has started")
}

func TestAFieldThatIsNotTaken(t *testing.T) {
	r := &refusing{}
	err := index.Add(t.Context(), r, index.By("x", func(*v1alpha1.Change) []string { return []string{"a value"} }))
	if err == nil || !strings.Contains(err.Error(), "*v1alpha1.Change by x: it has started") {
		t.Errorf("%v", err)
	}
	if len(r.got) > 0 {
		t.Errorf("an Incident has %v in a field of Changes", r.got)
	}
}

func TestValues(t *testing.T) {
	ref := func(name v1alpha1.ObjectName) *v1alpha1.LocalReference { return &v1alpha1.LocalReference{Name: name} }
	for name, test := range map[string]struct{ got, want []string }{
		"a text":            {index.Value("a"), []string{"a"}},
		"no text":           {index.Value(""), nil},
		"a name":            {index.Key(types.NamespacedName{Namespace: "shop", Name: "a"}), []string{"shop/a"}},
		"a namespace alone": {index.Key(types.NamespacedName{Namespace: "shop"}), nil},
		"names":             {index.Keys([]types.NamespacedName{{Namespace: "shop", Name: "a"}, {}}), []string{"shop/a"}},
		"references":        {index.Names(ref("a"), nil, ref("b")), []string{"a", "b"}},
		"no reference":      {index.Names((*v1alpha1.LocalReference)(nil)), nil},
		"a list":            {index.NamesIn([]v1alpha1.LocalReference{{Name: "a"}, {Name: "b"}}), []string{"a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
