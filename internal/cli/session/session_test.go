package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
)

func TestRef(t *testing.T) {
	for name, test := range map[string]struct {
		arg   string
		given bool
		want  Ref
		code  exit.Code
	}{
		"a name":                     {arg: "a", want: Ref{Namespace: "shop", Name: "a"}},
		"with a namespace":           {arg: "finance/a", want: Ref{Namespace: "finance", Name: "a"}},
		"with the namespace of -n":   {arg: "shop/a", given: true, want: Ref{Namespace: "shop", Name: "a"}},
		"with another than -n":       {arg: "finance/a", given: true, code: exit.Usage},
		"as -o name prints it":       {arg: "change.itil.dev/a", given: true, want: Ref{Namespace: "shop", Name: "a"}},
		"a namespace called change":  {arg: "change/a", want: Ref{Namespace: "change", Name: "a"}},
		"nothing":                    {arg: "", code: exit.Usage},
		"no name":                    {arg: "shop/", code: exit.Usage},
		"no namespace":               {arg: "/a", code: exit.Usage},
		"more than namespace and it": {arg: "a/b/c", code: exit.Usage},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Session{Namespace: "shop", NamespaceGiven: test.given}
			got, err := s.Ref(test.arg)
			if code := exit.CodeOf(err); code != test.code {
				t.Fatalf("code %d (%v), want %d", code, err, test.code)
			}
			if got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

// paged serves lists of Changes in pages of two, as an API server does: by a token.
type paged struct {
	client.WithWatch
	total int
	asked []string
}

func (p *paged) List(_ context.Context, list client.ObjectList, options ...client.ListOption) error {
	o := (&client.ListOptions{}).ApplyOptions(options)
	p.asked = append(p.asked, o.Continue)
	from := 0
	if o.Continue != "" {
		if _, err := fmt.Sscanf(o.Continue, "from-%d", &from); err != nil {
			return err
		}
	}
	changes := list.(*v1alpha1.ChangeList)
	// As a decoder that uses a list's memory again would.
	changes.Items = changes.Items[:0]
	for i := from; i < min(from+2, p.total); i++ {
		changes.Items = append(changes.Items, v1alpha1.Change{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i)}})
	}
	changes.ResourceVersion, changes.Continue = "7", ""
	if from+2 < p.total {
		changes.Continue = fmt.Sprintf("from-%d", from+2)
	}
	return nil
}

func TestReadAllReadsEveryPage(t *testing.T) {
	for _, total := range []int{0, 1, 2, 5} {
		t.Run(fmt.Sprint(total), func(t *testing.T) {
			pages := &paged{total: total}
			list := &v1alpha1.ChangeList{}
			if err := (&Session{WithWatch: pages}).ReadAll(t.Context(), list, "shop"); err != nil {
				t.Fatal(err)
			}
			var got, want []string
			for i := range list.Items {
				got = append(got, list.Items[i].Name)
			}
			for i := range total {
				want = append(want, fmt.Sprint(i))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
			if list.ResourceVersion != "7" {
				t.Errorf("version %q of the list is lost", list.ResourceVersion)
			}
			if want := max((total+1)/2, 1); len(pages.asked) != want {
				t.Errorf("asked %d times, want %d", len(pages.asked), want)
			}
		})
	}
}

func TestWarningsGoToTheirRequest(t *testing.T) {
	var errOut bytes.Buffer
	w := &warnings{screen: screen.New(genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: &bytes.Buffer{}, ErrOut: &errOut})}
	ctx, collector := Collecting(t.Context())
	w.HandleWarningHeaderWithContext(ctx, 299, "", "kept")
	w.HandleWarningHeaderWithContext(ctx, 199, "", "of another code")
	w.HandleWarningHeaderWithContext(t.Context(), 299, "", "shown\x1b[2J")
	w.HandleWarningHeaderWithContext(t.Context(), 299, "", "")
	if diff := cmp.Diff([]string{"kept"}, collector.Texts()); diff != "" {
		t.Errorf("collected (-want +got):\n%s", diff)
	}
	if want := "Warning: shown\uFFFD[2J\n"; errOut.String() != want {
		t.Errorf("shown %q, want %q", errOut.String(), want)
	}
}

func TestRefused(t *testing.T) {
	changes := schema.GroupResource{Group: "itil.dev", Resource: "changes"}
	for name, test := range map[string]struct {
		err  error
		code exit.Code
		next bool
	}{
		"forbidden": {apierrors.NewForbidden(changes, "a", errors.New("no")), exit.NotPermitted, false},
		"conflict":  {apierrors.NewConflict(changes, "a", errors.New("changed")), exit.WrongState, true},
		"own":       {exit.New(exit.Usage, "x").WithNext("y"), exit.Usage, true},
		"other":     {errors.New("x"), exit.Failed, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := Refused(test.err, "doing it")
			if exit.CodeOf(err) != test.code || exit.NextOf(err) != "" != test.next {
				t.Errorf("code %d, next %q", exit.CodeOf(err), exit.NextOf(err))
			}
			if !errors.Is(err, test.err) {
				t.Error("the cause is lost")
			}
		})
	}
}

func TestAwaitDoesNotWaitWhereNobodyWants(t *testing.T) {
	// A session without a connection would panic if it were asked.
	_, ok := Await(t.Context(), &Session{}, &v1alpha1.ChangeList{}, &v1alpha1.Change{}, 0*time.Second, func(*v1alpha1.Change) bool { return true })
	if ok {
		t.Error("something was seen")
	}
}
