package change

import (
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

func fridayEvening(w *World) {
	w.Risk = RiskFacts{Tier: 1, HardDependents: 2, Replicas: 3, Protected: true, WorkingHours: hourly{false}}
}

func leads(p *v1alpha1.ChangePolicySpec) {
	p.Approvals = []v1alpha1.ApprovalRule{
		{Risk: v1alpha1.RiskMedium, Required: 1, Groups: []v1alpha1.GroupName{"developers", "sre"}},
		{Risk: v1alpha1.RiskHigh, Required: 2, Groups: []v1alpha1.GroupName{"sre-leads"}},
	}
}

func TestExplain(t *testing.T) {
	name := "checkout-" + v24.Hash[3:11]
	for name, test := range map[string]struct {
		given *situation
		hours int
		want  string
		retry int32
	}{
		"nobody asked for it yet": {
			given: situated(policies(policy("p", leads, officeHours)), given(fridayEvening)), hours: 20,
			want: `deployment shop/checkout is governed by Service checkout (tier 1): no approved Change covers image app=registry.shop.example/checkout:2.4.0 (template v1:` + v24.Hash[3:11] + `).
Change shop/` + name + ` was filed for you; it needs 2 approvals from sre-leads (risk High: tier 1, 2 dependents, later minor version image of app, Monday evening, image of app by tag, not by digest).
The change window of ChangePolicy p (Calendar office) is closed.
Better named by digest (image@sha256:...): the image of app. What a tag means can become another after the approval.
Approve: kubectl itil approve shop/` + name,
		},
		"the deployment controller shall bring an earlier template back": {
			given: situated(approved(), asking(func(r *Request) { r.RollbackTo = "1" })), hours: 2,
			want: `deployment shop/checkout is in a namespace with workloads under change control (Enforce).
The annotation deprecated.deployment.rollback.to has the deployment controller bring an earlier template back, which the gate could not judge.
Take it off, and use kubectl rollout undo deployment/checkout -n shop.`,
		},
		"an approved Change waits for its window": {
			given: situated(policies(policy("p", officeHours)), approved(window(1, 40))), hours: 7, retry: 3600,
			want: `deployment shop/checkout is governed by Service checkout (tier 1): no approved Change covers image app=registry.shop.example/checkout:2.4.0 (template v1:` + v24.Hash[3:11] + `).
Change shop/checkout-2-4 is for exactly this.
Change checkout-2-4: the change window of ChangePolicy p (Calendar office) is closed.
Better named by digest (image@sha256:...): the image of app. What a tag means can become another after the approval.
Retry when the gate is open: kubectl itil why deployment/checkout -n shop    Next window: 2026-11-23 08:00 UTC`,
		},
		"a Change was rejected": {
			given: situated(func(s *situation) {
				c := changeOf("checkout-2-4")
				knowing(c, vote(c, "bob", 1, reject, func(a *v1alpha1.ChangeApproval) { a.Spec.Comment = "field\x1b[31m is immutable\n" }))(s)
			}), hours: 2,
			want: `deployment shop/checkout is governed by Service checkout (tier 1): no approved Change covers image app=registry.shop.example/checkout:2.4.0 (template v1:` + v24.Hash[3:11] + `).
Change shop/checkout-2-4 is for exactly this.
Change checkout-2-4: it was rejected by bob: field[31m is fixed .
Better named by digest (image@sha256:...): the image of app. What a tag means can become another after the approval.
Change the manifest, or file a Change of your own for this template and have it approved: kubectl itil change new -f MANIFESTS -n shop`,
		},
		"the Change is about other things": {
			given: situated(approved(), asking(func(r *Request) { r.New, r.DryRun = v24env, true })), hours: 2,
			want: `deployment shop/checkout is governed by Service checkout (tier 1): no approved Change covers image app=registry.shop.example/checkout:2.4.0, more of the template (template v1:` + v24env.Hash[3:11] + `).
Change shop/checkout-` + v24env.Hash[3:11] + ` would be filed for you; it needs 2 approvals (risk High: changes more than images, tier 1, later minor version image of app, image of app by tag, not by digest).
Change checkout-2-4: it names images alone, and more of the template differs from the baseline: that needs templateHash.
Better named by digest (image@sha256:...): the image of app. What a tag means can become another after the approval.
Without a dry run that Change is filed; then have it approved: kubectl itil approve shop/checkout-` + v24env.Hash[3:11],
		},
		"of Changes for something else it says that alone": {
			given: situated(func(s *situation) {
				knowing(changeOf("another", pinnedTo(v24env)))(s)
				knowing(changeOf("deletion", operations(v1alpha1.OperationDelete), func(c *v1alpha1.Change) { c.Spec.Targets[0].Images = nil }))(s)
				knowing(changeOf("this"))(s)
			}, policies(policy("p", officeHours))), hours: 20,
			want: `deployment shop/checkout is governed by Service checkout (tier 1): no approved Change covers image app=registry.shop.example/checkout:2.4.0 (template v1:` + v24.Hash[3:11] + `).
Change shop/this is for exactly this; it needs 1 approval (risk Medium: tier 1, later minor version image of app, image of app by tag, not by digest).
Change this: the change window of ChangePolicy p (Calendar office) is closed.
Change another: it pins template v1:` + v24env.Hash[3:11] + `.
Change deletion: it asks for Delete, not for Template.
Better named by digest (image@sha256:...): the image of app. What a tag means can become another after the approval.
Approve: kubectl itil approve shop/this`,
		},
		"an Emergency lacks what votes do not make up for": {
			given: situated(policies(policy("p", func(p *v1alpha1.ChangePolicySpec) { p.Emergency = &v1alpha1.EmergencyRule{} })),
				knowing(changeOf("this", ofType(v1alpha1.ChangeEmergency), func(c *v1alpha1.Change) { c.Spec.IncidentRef = &v1alpha1.LocalReference{Name: "down"} }))), hours: 2,
			want: `deployment shop/checkout is governed by Service checkout (tier 1): no approved Change covers image app=registry.shop.example/checkout:2.4.0 (template v1:` + v24.Hash[3:11] + `).
Change shop/this is for exactly this.
Change this: it lacks Incident down, which does not exist.
Better named by digest (image@sha256:...): the image of app. What a tag means can become another after the approval.
Give it what it lacks, then retry: kubectl describe chg this -n shop`,
		},
		"a colleague applies what was filed for another": {
			given: situated(approved(func(c *v1alpha1.Change) { c.Labels = map[string]string{LabelFiledFor: FiledForDenied} }),
				asking(func(r *Request) { r.User.Name = "erin" })), hours: 2,
			want: `deployment shop/checkout is governed by Service checkout (tier 1): no approved Change covers image app=registry.shop.example/checkout:2.4.0 (template v1:` + v24.Hash[3:11] + `).
Change shop/checkout-2-4 is for exactly this.
Change checkout-2-4: it was filed for alice, and who applies it is another: it needs one vote more.
Better named by digest (image@sha256:...): the image of app. What a tag means can become another after the approval.
Approve: kubectl itil approve shop/checkout-2-4`,
		},
		"a pod that passes for another's": {
			given: situated(given(func(w *World) {
				w.Claims, w.Baselines = []Claim{{Service: "checkout", Tier: 1, Through: checkout}}, nil
			}), asking(func(r *Request) {
				r.Operation, r.Old, r.New, r.Key = Create, nil, evil, configuration.Key{Kind: "Pod", Namespace: "shop", Name: "debug"}
			})),
			want: `pod shop/debug is governed by Service checkout (tier 1) through deployment/checkout: no approved Change covers its creation with image app=evil.example/miner:1 (template v1:` + evil.Hash[3:11] + `).
No Change can name a Pod; change the workload whose pods it would make (deployment/checkout).`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := test.given.decide(test.hours)
			got := Explain(&test.given.request, &test.given.world, &d)
			if diff := cmp.Diff(test.want, got.Message); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if got.RetryAfterSeconds != test.retry {
				t.Errorf("retry after %d s, want %d", got.RetryAfterSeconds, test.retry)
			}
			checkHarmless(t, &got)
		})
	}
}

// checkHarmless fails where a denial could steer a terminal or make a GitOps controller delete and re-create.
func checkHarmless(t *testing.T, d *Denial) {
	t.Helper()
	texts := []string{strings.ReplaceAll(d.Message, "\n", "")}
	for _, c := range d.Causes {
		texts = append(texts, c.Message, c.Field)
	}
	for _, text := range texts {
		if strings.Contains(strings.ToLower(text), "immutable") {
			t.Errorf("says immutable: %q", text)
		}
		if i := strings.IndexFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\uFFFD' }); i >= 0 {
			t.Errorf("steers a terminal at %d: %q", i, text)
		}
	}
	if len(d.Message) > maxMessage || len(d.Causes) > maxCauses {
		t.Errorf("%d bytes and %d causes", len(d.Message), len(d.Causes))
	}
}

func FuzzExplain(f *testing.F) {
	f.Add("checkout", "alice", "registry/app:1", "app", "is immutable", int64(1))
	f.Add("a\x00b", "\u202Ebob", "re\ngistry/İmmutable", "", "field is IMMUTABLE", int64(-5))
	f.Fuzz(func(t *testing.T, name, user, image, container, text string, n int64) {
		to := template(text, image)
		to.Images = map[string]string{container: image, name: text}
		s := situated(asking(func(r *Request) {
			r.Key.Name, r.User.Name, r.New, r.Change, r.BreakGlass = name, user, to, text, text
		}))
		c := changeOf("c", func(c *v1alpha1.Change) {
			c.Spec.Targets[0].Workload.Name = v1alpha1.ObjectName(name)
			c.Spec.Targets[0].Images = map[string]v1alpha1.Image{container: v1alpha1.Image(text)}
			c.Spec.Requester = v1alpha1.UserName(user)
		})
		knowing(c, vote(c, user, 1, reject, func(a *v1alpha1.ChangeApproval) { a.Spec.Comment = text }), vote(c, text, 2))(s)
		s.world.Rules = Merge([]*v1alpha1.ChangePolicy{policy(name, func(p *v1alpha1.ChangePolicySpec) {
			p.Freezes = []v1alpha1.Freeze{{Name: text, Reason: text, From: v1alpha1.Timestamp(text)}}
			p.Approvals = []v1alpha1.ApprovalRule{{Risk: v1alpha1.RiskHigh, Required: int32(n % 20), Groups: []v1alpha1.GroupName{v1alpha1.GroupName(text)}}}
		})}, nil)
		d := s.decide(int(n % 100))
		if d.Verdict != Denied && d.Verdict != Unchanged {
			t.Errorf("%s although a freeze is on and nothing is approved", d.Verdict)
		}
		got := Explain(&s.request, &s.world, &d)
		checkHarmless(t, &got)
		if d.File != nil && len(d.File.Name()) > 253 {
			t.Errorf("name of %d characters", len(d.File.Name()))
		}
	})
}
