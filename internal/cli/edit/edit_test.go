package edit

import (
	"bytes"
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
)

// desk is a session with a cluster that has the Incidents free, taken (by bob) and closed.
type desk struct {
	session  *session.Session
	out, err bytes.Buffer
	// meanwhile happens before the first write.
	meanwhile func(c client.WithWatch) error
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{}
	incident := func(name, assignee string, state v1alpha1.IncidentState) *v1alpha1.Incident {
		return &v1alpha1.Incident{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
			Spec:       v1alpha1.IncidentSpec{Assignee: v1alpha1.UserName(assignee)}, Status: v1alpha1.IncidentStatus{State: state},
		}
	}
	cluster := fake.NewClientBuilder().WithScheme(scheme.New()).WithObjects(
		incident("free", "", v1alpha1.IncidentNew), incident("taken", "bob", v1alpha1.IncidentInProgress),
		incident("closed", "", v1alpha1.IncidentClosed),
	).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			if review, asks := object.(*authenticationv1.SelfSubjectReview); asks {
				review.Status.UserInfo.Username = "sam"
				return nil
			}
			return c.Create(ctx, object, options...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, p client.Patch, options ...client.PatchOption) error {
			if first := d.meanwhile; first != nil {
				d.meanwhile = nil
				if err := first(c); err != nil {
					return err
				}
			}
			return c.Patch(ctx, object, p, options...)
		},
	}).Build()
	d.session = &session.Session{WithWatch: cluster, Namespace: "shop", Factory: &session.Factory{
		Scheme: scheme.New(), Screen: screen.New(genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: &d.out, ErrOut: &d.err}),
	}}
	return d
}

// take has whoever is asked take Incidents that nobody else has.
func (d *desk) take() *Editor[*v1alpha1.Incident] {
	return &Editor[*v1alpha1.Incident]{
		Factory: d.session.Factory, Done: "taken",
		Kind: Kind[*v1alpha1.Incident]{
			Name: "Incident", Plural: "incidents",
			New:     func() *v1alpha1.Incident { return &v1alpha1.Incident{} },
			NewList: func() client.ObjectList { return &v1alpha1.IncidentList{} },
		},
		Refuse: func(i *v1alpha1.Incident) error {
			if i.Status.State == v1alpha1.IncidentClosed {
				return exit.New(exit.WrongState, "%s is closed", i.Name)
			}
			return nil
		},
		EditAs: func(i *v1alpha1.Incident, me session.Identity) (Fields, error) {
			if i.Spec.Assignee != "" {
				return nil, nil
			}
			return Fields{"assignee": me.Name}, nil
		},
		Remark: func(i *v1alpha1.Incident) string { return string(i.Spec.Assignee) + " has it." },
	}
}

func (d *desk) assignees(t *testing.T) map[string]string {
	t.Helper()
	list := &v1alpha1.IncidentList{}
	if err := d.session.List(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for i := range list.Items {
		out[list.Items[i].Name] = string(list.Items[i].Spec.Assignee)
	}
	return out
}

func TestEditor(t *testing.T) {
	untouched := map[string]string{"free": "", "taken": "bob", "closed": ""}
	sams := map[string]string{"free": "sam", "taken": "bob", "closed": ""}
	for name, test := range map[string]struct {
		alter    func(d *desk, e *Editor[*v1alpha1.Incident])
		output   string
		names    []string
		out, err string
		code     exit.Code
		want     map[string]string
	}{
		"what was done is said":         {names: []string{"free"}, out: "incident.itil.dev/free taken\n", err: "sam has it.\n", want: sams},
		"by the name of its namespace":  {names: []string{"shop/free"}, out: "incident.itil.dev/free taken\n", err: "sam has it.\n", want: sams},
		"for programs":                  {names: []string{"free"}, output: "name", out: "incident.itil.dev/free\n", want: sams},
		"nothing to do":                 {names: []string{"taken"}, err: "Incident shop/taken is taken already; nothing to do.\n", want: untouched},
		"nothing to do, for programs":   {names: []string{"taken"}, output: "name", out: "incident.itil.dev/taken\n", want: untouched},
		"refused":                       {names: []string{"closed"}, code: exit.WrongState, want: untouched},
		"not there":                     {names: []string{"none"}, code: exit.NotFound, want: untouched},
		"one of two fails":              {names: []string{"none", "free"}, out: "incident.itil.dev/free taken\n", err: "sam has it.\n", code: exit.NotFound, want: sams},
		"in the words of what is idle":  {names: []string{"taken"}, alter: func(_ *desk, e *Editor[*v1alpha1.Incident]) { e.Idle = "somebody's" }, err: "Incident shop/taken is somebody's; nothing to do.\n", want: untouched},
		"what is looked at before says": {names: []string{"free"}, alter: func(_ *desk, e *Editor[*v1alpha1.Incident]) { e.Before = refuseBefore }, code: exit.Usage, want: untouched},
		"decided anew where somebody was quicker": {
			names: []string{"free"}, alter: func(d *desk, _ *Editor[*v1alpha1.Incident]) { d.meanwhile = bobTakes },
			err: "Incident shop/free is taken already; nothing to do.\n", want: map[string]string{"free": "bob", "taken": "bob", "closed": ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			e := d.take()
			if test.alter != nil {
				test.alter(d, e)
			}
			cmd := e.Several(&cobra.Command{Use: "take"})
			if err := cmd.Flags().Set("output", test.output); err != nil {
				t.Fatal(err)
			}
			err := e.writeTo(t.Context(), d.session, test.names)
			if code := exit.CodeOf(err); code != test.code {
				t.Fatalf("code %d (%v), want %d", code, err, test.code)
			}
			if d.out.String() != test.out || d.err.String() != test.err {
				t.Errorf("wrote %q and noted %q, want %q and %q", d.out.String(), d.err.String(), test.out, test.err)
			}
			if diff := cmp.Diff(test.want, d.assignees(t)); diff != "" {
				t.Errorf("assignees (-want +got):\n%s", diff)
			}
		})
	}
}

func refuseBefore(_ context.Context, _ *session.Session, ref session.Ref) error {
	return exit.New(exit.Usage, "not %s", ref)
}

// bobTakes the free Incident, and has whoever else writes to it find that.
func bobTakes(c client.WithWatch) error {
	key := client.ObjectKey{Namespace: "shop", Name: "free"}
	i := &v1alpha1.Incident{}
	if err := c.Get(context.Background(), key, i); err != nil {
		return err
	}
	i.Spec.Assignee = "bob"
	if err := c.Update(context.Background(), i); err != nil {
		return err
	}
	return apierrors.NewConflict(schema.GroupResource{Group: "itil.dev", Resource: "incidents"}, key.Name, nil)
}

func TestArguments(t *testing.T) {
	e := newDesk(t).take()
	for name, test := range map[string]struct {
		cmd  *cobra.Command
		args []string
		ok   bool
	}{
		"one of one":     {e.One(&cobra.Command{Use: "x"}), []string{"a"}, true},
		"two of one":     {e.One(&cobra.Command{Use: "x"}), []string{"a", "b"}, false},
		"two of several": {e.Several(&cobra.Command{Use: "x"}), []string{"a", "b"}, true},
		"none":           {e.Several(&cobra.Command{Use: "x"}), nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := test.cmd.Args(test.cmd, test.args); (err == nil) != test.ok {
				t.Errorf("%v, want it to pass: %t", err, test.ok)
			}
		})
	}
}
