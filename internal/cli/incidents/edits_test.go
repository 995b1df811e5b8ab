package incidents

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
)

// The edits that a command makes of an Incident, apart from those that test/integration/cli tries on an API server.
func TestEdits(t *testing.T) {
	held := func(h v1alpha1.Hold) func(*v1alpha1.Incident) {
		return func(i *v1alpha1.Incident) { i.Spec.Hold = &h }
	}
	resolved := func(r v1alpha1.Resolution) func(*v1alpha1.Incident) {
		return func(i *v1alpha1.Incident) { i.Spec.Resolution = &r }
	}
	vendor := v1alpha1.Hold{Reason: v1alpha1.HoldAwaitingVendor, Comment: "ticket 7"}
	fixed := v1alpha1.Resolution{Code: v1alpha1.ResolutionFixedByChange, Notes: "limit"}
	for name, test := range map[string]struct {
		edit func(i *v1alpha1.Incident) (patch, error)
		of   *v1alpha1.Incident
		want patch
		code exit.Code
	}{
		"the same hold":             {edit: func(i *v1alpha1.Incident) (patch, error) { return hold(i, vendor, "", "") }, of: incident("a", held(vendor))},
		"the same hold, a new link": {edit: func(i *v1alpha1.Incident) (patch, error) { return hold(i, vendor, "", "leak") }, of: incident("a", held(vendor)), want: patch{"problemRef": map[string]any{"name": "leak"}}},
		"another hold": {
			edit: func(i *v1alpha1.Incident) (patch, error) { return hold(i, vendor, "", "") }, of: incident("a", held(v1alpha1.Hold{Reason: v1alpha1.HoldAwaitingChange})),
			want: patch{"hold": map[string]any{"reason": "AwaitingVendor", "comment": "ticket 7"}},
		},
		"a hold of what is resolved": {edit: func(i *v1alpha1.Incident) (patch, error) { return hold(i, vendor, "", "") }, of: incident("a", state(v1alpha1.IncidentResolved)), code: exit.WrongState},
		"a hold for a linked Problem": {
			edit: func(i *v1alpha1.Incident) (patch, error) {
				return hold(i, v1alpha1.Hold{Reason: v1alpha1.HoldAwaitingProblem}, "", "")
			},
			of:   incident("a", func(i *v1alpha1.Incident) { i.Spec.ProblemRef = &v1alpha1.LocalReference{Name: "leak"} }),
			want: patch{"hold": map[string]any{"reason": "AwaitingProblem", "comment": nil}},
		},
		"a hold for no Problem": {
			edit: func(i *v1alpha1.Incident) (patch, error) {
				return hold(i, v1alpha1.Hold{Reason: v1alpha1.HoldAwaitingProblem}, "", "")
			},
			of: incident("a"), code: exit.Usage,
		},
		"resuming what is not held": {edit: resume, of: incident("a")},
		"the same resolution":       {edit: func(i *v1alpha1.Incident) (patch, error) { return resolve(i, fixed, "") }, of: incident("a", resolved(fixed))},
		"another resolution": {
			edit: func(i *v1alpha1.Incident) (patch, error) {
				return resolve(i, v1alpha1.Resolution{Code: v1alpha1.ResolutionNoFault}, "")
			},
			of: incident("a", resolved(fixed)), want: patch{"resolution": map[string]any{"code": "NoFault", "notes": nil, "closed": false}},
		},
		"closing what is closed":             {edit: closeIncident, of: incident("a", resolved(v1alpha1.Resolution{Code: "NoFault", Closed: true}))},
		"closing what was declared":          {edit: closeIncident, of: incident("a", resolved(fixed)), want: patch{"resolution": map[string]any{"code": "FixedByChange", "notes": "limit", "closed": true}}},
		"closing what is open":               {edit: closeIncident, of: incident("a"), code: exit.WrongState},
		"reopening what is open":             {edit: reopen, of: incident("a")},
		"reopening what has recovered":       {edit: reopen, of: incident("a", resolved(fixed), state(v1alpha1.IncidentResolved), func(i *v1alpha1.Incident) { i.Status.RecoveredAt = at(0) }), want: patch{"resolution": nil, "recovery": "Disputed"}},
		"reopening what recovered by itself": {edit: reopen, of: incident("a", state(v1alpha1.IncidentResolved), func(i *v1alpha1.Incident) { i.Status.RecoveredAt = at(0) }), want: patch{"recovery": "Disputed"}},
		"resolving what was disputed": {
			edit: func(i *v1alpha1.Incident) (patch, error) {
				return resolve(i, v1alpha1.Resolution{Code: v1alpha1.ResolutionNoFault}, "")
			},
			of:   incident("a", func(i *v1alpha1.Incident) { i.Spec.Recovery = v1alpha1.RecoveryDisputed }),
			want: patch{"recovery": nil, "resolution": map[string]any{"code": "NoFault", "notes": nil, "closed": false}},
		},
		"a parent of the same namespace, again": {
			edit: func(i *v1alpha1.Incident) (patch, error) { return merged(links{parent: "shop/b"}.patch(i)), nil },
			of:   incident("a", func(i *v1alpha1.Incident) { i.Spec.ParentRef = &v1alpha1.NamespacedReference{Name: "b"} }),
		},
		"a duplicate of itself": {
			edit: func(i *v1alpha1.Incident) (patch, error) {
				return resolve(i, v1alpha1.Resolution{Code: v1alpha1.ResolutionDuplicate}, "shop/a")
			},
			of: incident("a"), code: exit.Usage,
		},
		"its own parent": {
			edit: func(i *v1alpha1.Incident) (patch, error) { return nil, links{parent: "a"}.apart(i) },
			of:   incident("a"), code: exit.Usage,
		},
		"its own parent, taken away": {
			edit: func(i *v1alpha1.Incident) (patch, error) { return nil, links{parent: "a", remove: true}.apart(i) },
			of:   incident("a"),
		},
		"removing what is not linked": {
			edit: func(i *v1alpha1.Incident) (patch, error) {
				return merged(links{change: "x", problem: "y", parent: "z", remove: true}.patch(i)), nil
			},
			of: incident("a"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := test.edit(test.of)
			if code := exit.CodeOf(err); code != test.code {
				t.Fatalf("code %d (%v), want %d", code, err, test.code)
			}
			if err != nil && exit.NextOf(err) == "" {
				t.Errorf("no next step after %q", err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("patch (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStillFails(t *testing.T) {
	signals := func(i *v1alpha1.Incident) {
		i.Status.Signals = []v1alpha1.Signal{
			{Reason: v1alpha1.SignalOOMKilled}, {Reason: v1alpha1.SignalOOMKilled}, {Reason: v1alpha1.SignalNotReady, ClearedAt: at(0)},
		}
	}
	for name, test := range map[string]struct {
		resolution *v1alpha1.Resolution
		told       bool
	}{
		"none":                       {nil, false},
		"fixed":                      {&v1alpha1.Resolution{Code: v1alpha1.ResolutionFixedByChange}, true},
		"a workaround":               {&v1alpha1.Resolution{Code: v1alpha1.ResolutionWorkaround, Notes: "restarted hourly"}, false},
		"a workaround without notes": {&v1alpha1.Resolution{Code: v1alpha1.ResolutionWorkaround}, true},
		"a duplicate":                {&v1alpha1.Resolution{Code: v1alpha1.ResolutionDuplicate}, false},
		"fixed, of a failed Job":     {&v1alpha1.Resolution{Code: v1alpha1.ResolutionFixedByChange}, false},
	} {
		t.Run(name, func(t *testing.T) {
			i := incident("a", signals)
			i.Spec.Resolution = test.resolution
			if strings.HasSuffix(name, "of a failed Job") {
				i.Spec.WorkloadRef.Kind, i.Status.Signals = "Job", []v1alpha1.Signal{{Reason: v1alpha1.SignalJobFailed}}
			}
			if got := stillFails(i); (got != "") != test.told {
				t.Errorf("told %q, want something: %t", got, test.told)
			}
		})
	}
}
