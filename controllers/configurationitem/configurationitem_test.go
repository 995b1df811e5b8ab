package configurationitem

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

func TestItemOfAClaimedWorkload(t *testing.T) {
	second := builder.MakeService("shop", "second").Team("other").Tier(3).ClaimApp("", "checkout").Obj()
	c := newCluster(t, service(v1alpha1.EnforcementEnforce), second, version("1", 1).Unstructured(), gate())
	item, again := c.reconcile(checkout)
	if item == nil {
		t.Fatal("no item")
	}
	w, _ := c.r.Inventory.Workload(checkout)
	want := v1alpha1.ConfigurationItemStatus{
		State: v1alpha1.ConfigurationItemInUse, Services: []v1alpha1.LocalReference{{Name: "checkout"}, {Name: "second"}},
		Owner: "payments", Tier: 1, Images: map[string]string{"app": image + "1"}, TemplateHash: w.Template.Hash,
		WorkloadUID: string(w.UID), WorkloadGeneration: 1, Enforcement: v1alpha1.EnforcementEnforce, Drift: v1alpha1.DriftNone,
		Baselines: []v1alpha1.Baseline{{
			TemplateHash: w.Template.Hash, ImagelessHash: w.Template.ImagelessHash, Fingerprint: item.Status.Baselines[0].Fingerprint,
			WorkloadUID: string(w.UID), Generation: 1, Images: map[string]string{"app": image + "1"},
			Source: v1alpha1.BaselineAdopted, From: metav1.NewTime(start), Proven: true,
		}},
		Conditions: []metav1.Condition{{
			Type: v1alpha1.ConditionDrifted, Status: metav1.ConditionFalse, Reason: reasonAgreed,
			Message: "what runs is what was agreed", LastTransitionTime: metav1.NewTime(start),
		}},
	}
	if diff := cmp.Diff(want, item.Status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if item.Name != "deployment-checkout" || item.Spec.WorkloadRef.Name != "checkout" || item.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy || len(item.OwnerReferences) != 0 {
		t.Errorf("item %+v", item.ObjectMeta)
	}
	if again != 0 || c.writes != 2 {
		t.Errorf("looks again after %s, %d writes", again, c.writes)
	}
	// Scaling, restarts and time write nothing.
	c.after(time.Hour).put(version("1", 2).Replicas(5).RolledOut().Unstructured()).reconcile(checkout)
	c.put(version("1", 3).TemplateAnnotation(v1alpha1.AnnotationRestartedAt, "x").Unstructured()).reconcile(checkout)
	if c.writes != 2 {
		t.Errorf("%d writes", c.writes)
	}
}

func TestWhichWorkloadsHaveItems(t *testing.T) {
	all := builder.MakeChangePolicy("production").AllWorkloads().Obj()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"env": "production"}}}
	run := builder.Job("shop", "checkout")
	run.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: "tidy", Controller: new(true)}}
	job := configuration.Key{Group: "batch", Kind: "Job", Namespace: "shop", Name: "checkout"}
	asJob := func(j *batchv1.Job) client.Object { return builder.Unstructured(j, builder.GroupVersionKind("Job")) }
	tests := map[string]struct {
		objects []client.Object
		key     configuration.Key
		want    bool
	}{
		"claimed":                 {[]client.Object{version("1", 1).Unstructured(), service("")}, checkout, true},
		"claimed, Disabled":       {[]client.Object{version("1", 1).Unstructured(), service(v1alpha1.EnforcementDisabled)}, checkout, true},
		"nobody's":                {[]client.Object{version("1", 1).Unstructured()}, checkout, false},
		"claimed, does not exist": {[]client.Object{service("")}, checkout, false},
		"covered by a policy":     {[]client.Object{version("1", 1).Unstructured(), all, namespace}, checkout, true},
		"a Job":                   {[]client.Object{asJob(builder.Job("shop", "checkout")), all, namespace}, job, true},
		"the run of a CronJob":    {[]client.Object{asJob(run), all, namespace, builder.MakeService("shop", "s").ClaimApp("", "checkout").Obj()}, job, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, test.objects...)
			if item, _ := c.reconcile(test.key); (item != nil) != test.want {
				t.Errorf("item %v, want one: %t", item, test.want)
			}
		})
	}
}

func TestBaselinesFollow(t *testing.T) {
	enforced := []client.Object{service(v1alpha1.EnforcementEnforce), gate()}
	change := func(tag string) *builder.Change {
		return builder.MakeChange("shop", "c").Target("Deployment", "checkout", image+tag).
			Window(start.Add(-time.Hour), start.Add(time.Hour)).Approved(start.Add(-time.Hour))
	}
	tests := map[string]struct {
		objects []client.Object
		play    func(c *cluster)
		want    string
		events  int
	}{
		"a record of this replica's gate": {enforced, func(c *cluster) {
			c.admit(version("2", 2)).put(version("2", 2).Unstructured())
		}, "Change 2 alice c, Adopted 1; None", 0},
		"a covering Change, and no record": {append(enforced, change("2").Obj()), func(c *cluster) {
			c.put(version("2", 2).Unstructured())
		}, "Change 2 c, Adopted 1; None", 0},
		"a covering Change, and a record that comes later": {append(enforced, change("2").Obj()), func(c *cluster) {
			c.put(version("2", 2).Unstructured()).reconcile(checkout)
			c.admit(version("2", 2))
		}, "Change 2 alice c, Adopted 1; None", 0},
		"an implementation that a Change tells of": {append(enforced, change("3").Alter(func(c *v1alpha1.Change) {
			c.Status.Implementations = []v1alpha1.Implementation{{
				Workload: c.Spec.Targets[0].Workload, TemplateHash: hash(version("2", 2)), By: "bob", At: metav1.NewTime(start),
			}}
		}).Obj()), func(c *cluster) { c.put(version("2", 2).Unstructured()) }, "Change 2 bob c, Adopted 1; None", 0},
		"nobody let it in": {enforced, func(c *cluster) {
			c.put(version("2", 2).Unstructured()).reconcile(checkout)
			c.after(DefaultAdmissionGrace)
		}, "Unauthorized 2, Adopted 1; Drifted", 1},
		"nobody let it in, and what was agreed comes back": {enforced, func(c *cluster) {
			c.put(version("2", 2).Unstructured()).reconcile(checkout)
			c.after(DefaultAdmissionGrace).reconcile(checkout)
			c.after(time.Minute).put(version("1", 3).Unstructured()).reconcile(checkout)
			c.after(DefaultAdmissionGrace)
		}, "Rollback 1, Unauthorized 2, Adopted 1; None", 1},
		"nobody let it in, just now": {enforced, func(c *cluster) { c.put(version("2", 2).Unstructured()) }, "Adopted 1; None", 0},
		"a record within the grace time": {enforced, func(c *cluster) {
			c.put(version("2", 2).Unstructured()).reconcile(checkout)
			c.after(time.Second).admit(version("2", 2))
		}, "Change 2 alice c, Adopted 1; None", 0},
		"broken glass": {enforced, func(c *cluster) {
			c.put(version("2", 2).Annotation(v1alpha1.AnnotationBreakGlass, "on fire").Annotation(v1alpha1.AnnotationBreakGlassBy, "carol").Unstructured())
		}, "BreakGlass 2 carol, Adopted 1; None", 1},
		"broken glass for the template before, left over": {enforced, func(c *cluster) {
			c.put(forced("2", 2, "carol", "on fire").Unstructured()).reconcile(checkout)
			c.after(time.Minute).put(forced("3", 3, "carol", "on fire").Unstructured()).reconcile(checkout)
			c.after(DefaultAdmissionGrace).reconcile(checkout)
		}, "Unauthorized 3, BreakGlass 2 carol, Adopted 1; Drifted", 2},
		"broken glass for no template, left over": {append(enforced, change("2").Obj()), func(c *cluster) {
			c.put(forced("1", 1, "carol", "on fire").Unstructured()).reconcile(checkout)
			c.put(forced("2", 2, "carol", "on fire").Unstructured())
		}, "Change 2 c, Adopted 1; None", 0},
		"broken again, for another reason": {enforced, func(c *cluster) {
			c.put(forced("2", 2, "carol", "on fire").Unstructured()).reconcile(checkout)
			c.after(time.Minute).put(forced("3", 3, "carol", "still on fire").Unstructured())
		}, "BreakGlass 3 carol, BreakGlass 2 carol, Adopted 1; None", 2},
		"broken again by another, the reason was taken off in between": {enforced, func(c *cluster) {
			c.put(forced("2", 2, "carol", "on fire").Unstructured()).reconcile(checkout)
			c.after(time.Minute).put(forced("3", 3, "dave", "on fire").Unstructured())
		}, "BreakGlass 3 dave, BreakGlass 2 carol, Adopted 1; None", 2},
		"broken again for the same reason, which was taken off in between": {enforced, func(c *cluster) {
			c.put(forced("2", 2, "carol", "on fire").Unstructured()).reconcile(checkout)
			c.put(version("2", 2).Unstructured()).reconcile(checkout)
			c.after(time.Minute).put(forced("3", 3, "carol", "on fire").Unstructured())
		}, "BreakGlass 3 carol, BreakGlass 2 carol, Adopted 1; None", 2},
		"made again with the same reason": {enforced, func(c *cluster) {
			c.put(forced("2", 2, "carol", "on fire").Unstructured()).reconcile(checkout)
			again := forced("3", 1, "carol", "on fire").Unstructured()
			again.SetUID("another")
			c.after(time.Minute).put(again)
		}, "BreakGlass 3 carol, BreakGlass 2 carol, Adopted 1; None", 2},
		"broken glass that a rollback brought back": {enforced, func(c *cluster) {
			c.put(forced("2", 2, "carol", "on fire").Unstructured()).reconcile(checkout)
			c.after(2 * time.Minute).reconcile(checkout)
			c.admit(version("3", 3)).put(version("3", 3).Unstructured()).reconcile(checkout)
			c.after(time.Minute).put(forced("2", 4, "carol", "on fire").Unstructured())
		}, "Rollback 2 c, Change 3 alice c, BreakGlass 2 carol, Adopted 1; None", 1},
		"broken glass that comes back with what may not": {enforced, func(c *cluster) {
			c.put(forced("2", 2, "carol", "on fire").Status(2, 1, 1).Unstructured()).reconcile(checkout)
			c.admit(version("3", 3)).put(version("3", 3).Unstructured()).reconcile(checkout)
			c.after(time.Minute).put(forced("2", 4, "carol", "on fire").Unstructured())
		}, "BreakGlass 2 carol, Change 3 alice c, BreakGlass 2 carol, Adopted 1; None", 2},
		"rolled back to what a Change brought in that is still watched, and no record": {append(enforced, change("2").Alter(func(c *v1alpha1.Change) {
			c.Status.Implementations = []v1alpha1.Implementation{{
				Workload: c.Spec.Targets[0].Workload, TemplateHash: hash(version("2", 2)), By: "alice", At: metav1.NewTime(start.Add(time.Second)),
			}}
		}).Obj()), func(c *cluster) {
			c.admit(version("2", 2)).put(version("2", 2).Unstructured()).reconcile(checkout)
			c.after(2 * time.Minute).reconcile(checkout)
			c.r.Inventory.Admitted(checkout, configuration.AdmissionRecord{
				TemplateHash: hash(version("3", 3)), Source: v1alpha1.BaselineChange, By: "alice", Change: "d", At: c.clock.Now(),
			})
			c.put(version("3", 3).Unstructured()).reconcile(checkout)
			c.after(time.Minute).put(version("2", 4).Unstructured())
		}, "Rollback 2 d, Change 3 alice d, Change 2 alice c, Adopted 1; None", 0},
		"a held template that runs long after it was let in": {enforced, func(c *cluster) {
			held := version("2", 2).Status(2, 0, 2).Paused()
			c.admit(held).put(held.Unstructured()).reconcile(checkout)
			c.after(3 * admissionsKept).reconcile(checkout)
			// As with updateStrategy OnDelete: who deletes its pods asks nobody.
			c.put(version("2", 2).Paused().Unstructured())
		}, "Change 2 alice c, Adopted 1; None", 0},
		"rolled back": {enforced, func(c *cluster) {
			c.admit(version("2", 2)).put(version("2", 2).Unstructured()).reconcile(checkout)
			c.after(time.Minute).put(version("1", 3).Unstructured())
		}, "Rollback 1 c, Change 2 alice c, Adopted 1; None", 0},
		"the gate only watches": {[]client.Object{service(v1alpha1.EnforcementAudit), gate()}, func(c *cluster) {
			c.put(version("2", 2).Unstructured())
		}, "Audited 2, Adopted 1; None", 0},
		"the gate only watched, and enforces now": {[]client.Object{service(v1alpha1.EnforcementAudit), gate()}, func(c *cluster) {
			c.put(version("2", 2).Unstructured()).reconcile(checkout)
			enforcing := service(v1alpha1.EnforcementEnforce)
			enforcing.SetGeneration(2)
			c.put(enforcing).reconcile(checkout)
			if d := c.decides(version("2", 2), version("2", 3)); d != practice.Unchanged {
				c.t.Errorf("what ran while it watched is %s", d)
			}
			if d := c.decides(version("2", 2), version("3", 3)); d != practice.Denied {
				c.t.Errorf("another template is %s: it does not enforce", d)
			}
			c.after(DefaultAdmissionGrace)
		}, "Audited 2, Adopted 1; None", 0},
		"the gate is not asked about the namespace": {[]client.Object{service(v1alpha1.EnforcementEnforce)}, func(c *cluster) {
			c.put(version("2", 2).Unstructured())
		}, "Audited 2, Adopted 1; None", 0},
		"the gate's configuration is taken away": {enforced, func(c *cluster) {
			if err := c.r.Client.Delete(c.t.Context(), gate()); err != nil {
				c.t.Fatal(err)
			}
			c.put(version("2", 2).Unstructured()).reconcile(checkout)
			c.after(DefaultAdmissionGrace)
		}, "Unauthorized 2, Adopted 1; Drifted", 1},
		"its namespaces are reset, for a moment": {enforced, func(c *cluster) {
			reset := gate().(*admissionregistrationv1.ValidatingWebhookConfiguration)
			if err := c.r.Client.Get(c.t.Context(), client.ObjectKeyFromObject(reset), reset); err != nil {
				c.t.Fatal(err)
			}
			gateconfig.Write(reset, gateconfig.Namespaces{})
			if err := c.r.Client.Update(c.t.Context(), reset); err != nil {
				c.t.Fatal(err)
			}
			c.put(version("2", 2).Unstructured()).reconcile(checkout)
			c.after(DefaultAdmissionGrace)
		}, "Unauthorized 2, Adopted 1; Drifted", 1},
		"the configuration is gone, and Enforce is no longer asked for": {enforced, func(c *cluster) {
			if err := c.r.Client.Delete(c.t.Context(), gate()); err != nil {
				c.t.Fatal(err)
			}
			watching := service(v1alpha1.EnforcementAudit)
			watching.SetGeneration(2)
			c.put(watching).reconcile(checkout)
			c.put(version("2", 2).Unstructured())
		}, "Audited 2, Adopted 1; None", 0},
		"claimed again, with what came in while it was nobody's": {enforced, func(c *cluster) {
			c.r.Inventory.Remove(service(v1alpha1.EnforcementEnforce))
			c.reconcile(checkout)
			c.put(version("2", 2).Unstructured()).reconcile(checkout)
			c.after(time.Hour).put(service(v1alpha1.EnforcementEnforce)).reconcile(checkout)
			c.after(DefaultAdmissionGrace)
		}, "Audited 2, Adopted 1; None", 0},
		"a held template": {enforced, func(c *cluster) {
			c.put(version("2", 2).Status(2, 0, 2).Paused().Unstructured())
		}, "Adopted 1; None", 0},
		"back again before anybody looked": {enforced, func(c *cluster) {
			c.put(version("2", 2).Unstructured()).reconcile(checkout)
			c.put(version("1", 3).Unstructured()).after(time.Minute)
		}, "Adopted 1; None", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, test.objects...)
			c.put(version("1", 1).Unstructured()).reconcile(checkout)
			c.after(time.Second)
			metered := counted(t, "itil_change_unauthorized_total") + counted(t, "itil_change_breakglass_total")
			test.play(c)
			item, _ := c.reconcile(checkout)
			if got := told(item); got != test.want {
				t.Errorf("baselines are %q, want %q", got, test.want)
			}
			if got := counted(t, "itil_change_unauthorized_total") + counted(t, "itil_change_breakglass_total") - metered; int(got) != test.events {
				t.Errorf("metered %v times, want %d", got, test.events)
			}
			if len(c.events.Events) != test.events {
				t.Errorf("%d events, want %d", len(c.events.Events), test.events)
			}
			if left := c.r.Inventory.AdmittedHere(checkout); len(left) != 0 {
				t.Errorf("records are left: %v", left)
			}
			writes := c.writes
			if c.reconcile(checkout); c.writes != writes {
				t.Error("nothing changed, and it was written again")
			}
		})
	}
}

func TestProven(t *testing.T) {
	policy := builder.MakeChangePolicy("production").Spec(func(s *v1alpha1.ChangePolicySpec) { s.ProvenSeconds = 300 }).Obj()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"env": "production"}}}
	c := newCluster(t, service(v1alpha1.EnforcementAudit), gate(), version("1", 1).Unstructured(), policy, namespace)
	c.reconcile(checkout)
	item, again := c.admit(version("2", 2)).put(version("2", 2).Unstructured()).reconcile(checkout)
	if item.Status.Baselines[0].Proven || again != 5*time.Minute {
		t.Fatalf("looks again after %s: %+v", again, item.Status.Baselines[0])
	}
	if item, again = c.after(again).reconcile(checkout); !item.Status.Baselines[0].Proven || again != 0 || item.Status.Baselines[0].RolledOutSince != nil {
		t.Errorf("looks again after %s: %+v", again, item.Status.Baselines[0])
	}
}

// A CronJob's template is proven by a run of its own, not by that of the template before which ends later.
func TestProvenByItsOwnRun(t *testing.T) {
	tidy := configuration.Key{Group: "batch", Kind: "CronJob", Namespace: "shop", Name: "tidy"}
	template := func(spec *corev1.PodTemplateSpec, tag string) { spec.Spec.Containers[0].Image = image + tag }
	cron := func(tag string, scheduled, succeeded time.Duration) client.Object {
		o := builder.CronJob("shop", "tidy")
		o.UID = "tidy"
		template(&o.Spec.JobTemplate.Spec.Template, tag)
		o.Status.LastScheduleTime, o.Status.LastSuccessfulTime = new(metav1.NewTime(start.Add(scheduled))), new(metav1.NewTime(start.Add(succeeded)))
		return builder.Unstructured(o, builder.GroupVersionKind("CronJob"))
	}
	run := func(name, tag string, completed time.Duration) client.Object {
		o := builder.Job("shop", "tidy")
		o.Name = name
		template(&o.Spec.Template, tag)
		o.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: "tidy", UID: "tidy", Controller: new(true)}}
		o.Status.CompletionTime = new(metav1.NewTime(start.Add(completed)))
		o.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: *o.Status.CompletionTime}}
		return builder.Unstructured(o, builder.GroupVersionKind("Job"))
	}
	c := newCluster(t, builder.MakeService("shop", "s").Claim("CronJob", "tidy").Enforcement(v1alpha1.EnforcementAudit).Obj(), gate(),
		cron("1", -2*time.Minute, -time.Hour))
	c.reconcile(tidy)
	item, _ := c.after(time.Minute).put(cron("2", -2*time.Minute, -time.Hour)).reconcile(tidy)
	if told(item) != "Audited 2, Adopted 1; None" {
		t.Fatal(told(item))
	}
	// Its first run is due, and then the one from before ends.
	c.after(5*time.Minute).put(run("before", "1", 5*time.Minute), cron("2", 3*time.Minute, 5*time.Minute))
	if item, _ = c.reconcile(tidy); item.Status.Baselines[0].Proven {
		t.Error("proven by the run of the template before")
	}
	if item, _ = c.put(run("after", "2", 4*time.Minute)).reconcile(tidy); !item.Status.Baselines[0].Proven {
		t.Error("not proven by its own run")
	}
}

// A later API server writes out a field that it did not, of a workload that was scaled since.
func TestChangeOfDefaultsAfterScaling(t *testing.T) {
	c := newCluster(t, service(v1alpha1.EnforcementEnforce), gate(), version("1", 1).Unstructured())
	c.reconcile(checkout)
	c.put(version("1", 7).Replicas(4).RolledOut().Unstructured()).reconcile(checkout)
	later := version("1", 7).Replicas(4).RolledOut().Unstructured()
	configuration.RawTemplate(later.Object)["spec"].(map[string]any)["fieldOfTheFuture"] = "Default"
	c.put(later).reconcile(checkout)
	item, _ := c.after(time.Hour).reconcile(checkout)
	if got := told(item); got != "Adopted 1; None" {
		t.Errorf("baselines are %q", got)
	}
}

func TestRetention(t *testing.T) {
	s := builder.MakeService("shop", "s").ClaimApp("", "checkout").Obj()
	tests := map[string]struct {
		claim func() *v1alpha1.Service
		lose  func(c *cluster, s *v1alpha1.Service)
		state v1alpha1.ConfigurationItemState
		kept  bool
	}{
		"the Service is gone": {s.DeepCopy, func(c *cluster, s *v1alpha1.Service) { c.r.Inventory.Remove(s) }, v1alpha1.ConfigurationItemUnclaimed, false},
		"the workload is gone": {s.DeepCopy, func(c *cluster, _ *v1alpha1.Service) {
			c.r.Inventory.Remove(version("1", 1).Unstructured())
		}, v1alpha1.ConfigurationItemMissing, false},
		"the workload is gone, and claimed by name": {func() *v1alpha1.Service { return service("") }, func(c *cluster, _ *v1alpha1.Service) {
			c.r.Inventory.Remove(version("1", 1).Unstructured())
		}, v1alpha1.ConfigurationItemMissing, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			claim := test.claim()
			c := newCluster(t, claim, version("1", 1).Unstructured())
			before, _ := c.reconcile(checkout)
			test.lose(c, claim)
			item, again := c.reconcile(checkout)
			if item.Status.State != test.state || !cmp.Equal(item.Status.Baselines, before.Status.Baselines) || (again == 0) != test.kept {
				t.Errorf("state %s, again after %s, baselines %s", item.Status.State, again, told(item))
			}
			writes := c.writes
			if item, _ = c.after(DefaultRetention - time.Second).reconcile(checkout); item == nil || c.writes != writes {
				t.Fatalf("before its time: item %v, %d more writes", item, c.writes-writes)
			}
			if item, _ = c.after(time.Second).reconcile(checkout); (item != nil) != test.kept {
				t.Errorf("after its time: item %v", item)
			}
			c.put(claim, version("1", 1).Unstructured())
			if item, _ = c.reconcile(checkout); item.Status.State != v1alpha1.ConfigurationItemInUse || item.Status.UnclaimedSince != nil || len(item.Status.Baselines) != 1 {
				t.Errorf("claimed again: %+v", item.Status)
			}
		})
	}
}

// Items learn that the gate is in force when it is, not with the next template: it might come after the gate was taken away.
func TestANamespaceThatIsListedAnew(t *testing.T) {
	c := newCluster(t, service(v1alpha1.EnforcementEnforce), version("1", 1).Unstructured())
	listed := gate().(*admissionregistrationv1.ValidatingWebhookConfiguration)
	before, other := listed.DeepCopy(), listed.DeepCopy()
	gateconfig.Write(before, gateconfig.Namespaces{Audit: []string{"shop"}})
	other.Name = "another"
	for name, test := range map[string]struct {
		before, after *admissionregistrationv1.ValidatingWebhookConfiguration
		want          int
	}{
		"under Enforce from now on": {before, listed, 1},
		"as it was":                 {listed, listed, 0},
		"no longer":                 {listed, before, 0},
		"somebody else's":           {before, other, 0},
	} {
		t.Run(name, func(t *testing.T) {
			queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[configuration.Key]())
			defer queue.ShutDown()
			c.r.listedAnew(t.Context(), event.UpdateEvent{ObjectOld: test.before, ObjectNew: test.after}, queue)
			if n := queue.Len(); n != test.want {
				t.Errorf("%d workloads are looked at, want %d", n, test.want)
			}
		})
	}
	item, _ := c.reconcile(checkout)
	if item.Status.Enforcement != "" {
		t.Error("enforced, and no gate is there")
	}
	if item, _ = c.put(listed).reconcile(checkout); item.Status.Enforcement != v1alpha1.EnforcementEnforce {
		t.Error("not enforced, and the gate is there")
	}
}

func TestAnItemOfAnotherWorkload(t *testing.T) {
	other := builder.ConfigurationItem("shop", "StatefulSet", "other")
	other.Name, other.ResourceVersion = "deployment-checkout", ""
	c := newCluster(t, service(""), version("1", 1).Unstructured(), other)
	if _, err := c.r.Reconcile(t.Context(), checkout); err == nil || !strings.Contains(err.Error(), "is of another workload") {
		t.Errorf("error %v", err)
	}
}
