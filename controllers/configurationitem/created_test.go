package configurationitem

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

func TestCreatedUnderTheGate(t *testing.T) {
	tests := map[string]struct {
		since time.Time
		more  []client.Object
		want  string
	}{
		"before the gate": {builder.Epoch.Add(time.Minute), nil, "Adopted 1; None"},
		"past the gate":   {builder.Epoch.Add(-time.Minute), nil, "Unauthorized 1; Drifted"},
		"by a Change": {builder.Epoch.Add(-time.Minute), []client.Object{
			builder.MakeChange("shop", "c").Target("Deployment", "checkout", image+"1").Alter(func(c *v1alpha1.Change) {
				c.Spec.Targets[0].Operations = []v1alpha1.Operation{v1alpha1.OperationCreate}
				c.Spec.Targets[0].TemplateHash = v1alpha1.TemplateHash(hash(version("1", 1)))
			}).Window(start.Add(-time.Hour), start.Add(time.Hour)).Approved(start.Add(-time.Hour)).Obj(),
		}, "Change 1 c; None"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, append(test.more, governed(service(v1alpha1.EnforcementEnforce), test.since), gate(), version("1", 1).Unstructured())...)
			c.reconcile(checkout)
			item, _ := c.after(DefaultAdmissionGrace).reconcile(checkout)
			if got := told(item); got != test.want {
				t.Errorf("baselines are %q, want %q", got, test.want)
			}
		})
	}
}

// What a policy over all workloads covers is adopted when it is first seen, but for what says itself that it was forced in, and
// for what was made when the gate had been in force for longer than clocks differ.
func TestCreatedUnderAPolicyOverAllWorkloads(t *testing.T) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"env": "production"}}}
	policy := func(e v1alpha1.Enforcement, since ...time.Duration) client.Object {
		p := builder.MakeChangePolicy("production").AllWorkloads().Enforcement(e).Obj()
		for _, d := range since {
			p.Status.EnforcedIn = []v1alpha1.EnforcedNamespace{
				{Namespace: "pay", Since: metav1.NewTime(builder.Epoch.Add(-1000 * time.Hour))},
				{Namespace: "shop", Since: metav1.NewTime(builder.Epoch.Add(d))},
			}
		}
		return p
	}
	const enforce = v1alpha1.EnforcementEnforce
	nothing := func(*cluster) {}
	for name, test := range map[string]struct {
		d       *builder.Deployment
		objects []client.Object
		after   time.Duration
		play    func(c *cluster)
		want    string
	}{
		"as it is":           {version("1", 1), []client.Object{policy(enforce), gate()}, 0, nothing, "Adopted 1; None"},
		"forced in":          {forced("1", 1, "carol", "on fire"), []client.Object{policy(enforce), gate()}, 0, nothing, "BreakGlass 1 carol; None"},
		"forced in long ago": {forced("1", 1, "carol", "on fire"), []client.Object{policy(enforce), gate()}, 30 * 24 * time.Hour, nothing, "Adopted 1; None"},
		"signed by nobody":   {version("1", 1).Annotation(v1alpha1.AnnotationBreakGlass, "on fire"), []client.Object{policy(enforce), gate()}, 0, nothing, "Adopted 1; None"},

		"past the gate":                    {version("1", 1), []client.Object{policy(enforce, -time.Hour), gate()}, 0, nothing, "Unauthorized 1; Drifted"},
		"past the gate, which is gone":     {version("1", 1), []client.Object{policy(enforce, -time.Hour)}, 0, nothing, "Unauthorized 1; Drifted"},
		"past the gate, just now":          {version("1", 1), []client.Object{policy(enforce, -time.Hour), gate()}, -time.Second, nothing, "; "},
		"before it was in force":           {version("1", 1), []client.Object{policy(enforce, time.Minute), gate()}, 0, nothing, "Adopted 1; None"},
		"when it had just come into force": {version("1", 1), []client.Object{policy(enforce, -59*time.Second), gate()}, 0, nothing, "Adopted 1; None"},
		"the policy only watches by now":   {version("1", 1), []client.Object{policy(v1alpha1.EnforcementAudit, -time.Hour), gate()}, 0, nothing, "Adopted 1; None"},
		"the policy is another's":          {version("1", 1), []client.Object{policy(enforce), gate(), elsewhere(-time.Hour)}, 0, nothing, "Adopted 1; None"},
		"let in": {version("1", 1), []client.Object{policy(enforce, -time.Hour), gate()}, 0, func(c *cluster) {
			c.admit(version("1", 1))
		}, "Change 1 alice c; None"},
		"forced in, under the gate":         {forced("1", 1, "carol", "on fire"), []client.Object{policy(enforce, -time.Hour), gate()}, 0, nothing, "BreakGlass 1 carol; None"},
		"forced in, before it was in force": {forced("1", 1, "carol", "on fire"), []client.Object{policy(enforce, time.Hour), gate()}, 0, nothing, "BreakGlass 1 carol; None"},
		"by a Service too, which knows less": {version("1", 1), []client.Object{
			policy(enforce, -time.Hour), governed(service(enforce), start), gate(),
		}, 0, nothing, "Unauthorized 1; Drifted"},
		"by a Service too, which knows more": {version("1", 1), []client.Object{
			policy(enforce, time.Hour), governed(service(enforce), builder.Epoch.Add(-time.Hour)), gate(),
		}, 0, nothing, "Unauthorized 1; Drifted"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, append(test.objects, namespace, test.d.Unstructured())...)
			test.play(c)
			c.after(test.after).reconcile(checkout)
			if test.after == 0 {
				c.after(DefaultAdmissionGrace)
			}
			item, _ := c.reconcile(checkout)
			if got := told(item); got != test.want {
				t.Errorf("baselines are %q, want %q", got, test.want)
			}
		})
	}
}

// elsewhere is a policy that is enforced in the namespace and has lost it since: its status is behind.
func elsewhere(since time.Duration) client.Object {
	p := builder.MakeChangePolicy("test").AllWorkloads().Enforcement(v1alpha1.EnforcementEnforce).Obj()
	p.Status.EnforcedIn = []v1alpha1.EnforcedNamespace{{Namespace: "shop", Since: metav1.NewTime(builder.Epoch.Add(since))}}
	return p
}

// TestACopyOfWhatIsAgreedIsNoAlarm: the gate lets in what has the template that is agreed for the workload for whose pods its own
// pass, and records nothing.
func TestACopyOfWhatIsAgreedIsNoAlarm(t *testing.T) {
	copied := configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "canary"}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"env": "production"}}}
	all := builder.MakeChangePolicy("production").AllWorkloads().Enforcement(v1alpha1.EnforcementEnforce).Obj()
	all.Status.EnforcedIn = []v1alpha1.EnforcedNamespace{{Namespace: "shop", Since: metav1.NewTime(start)}}
	bySelector := governed(builder.MakeService("shop", "checkout").Tier(1).ClaimApp("Deployment", "checkout").Enforcement(v1alpha1.EnforcementEnforce).Obj(), start)
	for name, test := range map[string]struct {
		under     client.Object
		tag, want string
		says      practice.Verdict
	}{
		"for a Service":                              {bySelector, "1", "Adopted 1; None", practice.Unchanged},
		"for a Service, of something else":           {bySelector, "evil", "Unauthorized evil; Drifted", practice.Denied},
		"under a policy over all workloads":          {all, "1", "Unauthorized 1; Drifted", practice.Denied}, // a workload of its own
		"under a policy over all, of something else": {all, "evil", "Unauthorized evil; Drifted", practice.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, test.under, namespace, gate(), version("1", 1).Unstructured())
			c.reconcile(checkout)
			d := builder.MakeDeployment("shop", "canary").Image("app", image+test.tag).TemplateLabel("app", "checkout").Replicas(2).RolledOut().Unstructured()
			d.SetCreationTimestamp(metav1.NewTime(start.Add(time.Hour)))
			w, err := configuration.FromObject(d.Object)
			if err != nil {
				t.Fatal(err)
			}
			r := &practice.Request{Operation: practice.Create, Key: copied, User: practice.User{Name: "alice"}, New: &w.Template}
			if said := practice.Decide(r, c.r.Inventory.World(r), start.Add(time.Hour)).Verdict; said != test.says {
				t.Errorf("the gate says %s, want %s", said, test.says)
			}
			c.after(time.Hour).put(d).reconcile(copied)
			item, _ := c.after(DefaultAdmissionGrace).reconcile(copied)
			if got := told(item); got != test.want {
				t.Errorf("baselines are %q, want %q", got, test.want)
			}
		})
	}
}

// What nobody claims is governed with the workload for whose pods its own would pass, and needs no item: the gate refuses it. But
// who breaks the glass for it owes a record of that like for any other.
func TestATwinThatWasForcedIn(t *testing.T) {
	twin := configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "twin"}
	made := func(app string, annotations map[string]string) client.Object {
		d := builder.MakeDeployment("shop", "twin").Image("app", image+"evil").TemplateLabel("app", app).RolledOut()
		for k, v := range annotations {
			d.Annotation(k, v)
		}
		return d.Unstructured()
	}
	glass := map[string]string{v1alpha1.AnnotationBreakGlass: "on fire", v1alpha1.AnnotationBreakGlassBy: "carol"}
	for name, test := range map[string]struct {
		twin        client.Object
		enforcement v1alpha1.Enforcement
		want        string
	}{
		"as it is":                {made("checkout", nil), v1alpha1.EnforcementEnforce, "no item"},
		"forced in":               {made("checkout", glass), v1alpha1.EnforcementEnforce, "BreakGlass evil carol; None"},
		"forced in, of no-one's":  {made("free", glass), v1alpha1.EnforcementEnforce, "no item"},
		"forced in under Audit":   {made("checkout", glass), v1alpha1.EnforcementAudit, "BreakGlass evil carol; None"},
		"forced in, not governed": {made("checkout", glass), v1alpha1.EnforcementDisabled, "no item"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, service(test.enforcement), gate(), version("1", 1).Unstructured(), test.twin)
			c.reconcile(checkout)
			item, _ := c.reconcile(twin)
			if got := told(item); got != test.want {
				t.Fatalf("baselines are %q, want %q", got, test.want)
			}
			if item == nil {
				return
			}
			writes := c.writes
			if c.reconcile(twin); c.writes != writes {
				t.Error("nothing changed, and it was written again")
			}
		})
	}
}
