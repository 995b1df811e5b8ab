package configurationitem

import (
	"slices"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// refusals are what was counted.
type refusals struct {
	policies [][]string
	reasons  []practice.CauseType
	at       []time.Time
}

func (r *refusals) WouldDeny(policies []string, _ configuration.Key, reasons []practice.Cause, at time.Time) {
	r.policies, r.at = append(r.policies, policies), append(r.at, at)
	for _, c := range reasons {
		r.reasons = append(r.reasons, c.Type)
	}
}

// watching runs version 1 where the gate only watches.
func watching(t *testing.T, enforcement v1alpha1.Enforcement, listed gateconfig.Namespaces) (*cluster, *refusals) {
	t.Helper()
	policy := &v1alpha1.ChangePolicy{ObjectMeta: metav1.ObjectMeta{Name: "lab"}}
	policy.Spec.Enforcement = enforcement
	policy.Spec.NamespaceSelector.MatchLabels = map[string]v1alpha1.LabelValue{"env": "lab"}
	g := gate().(*admissionregistrationv1.ValidatingWebhookConfiguration)
	gateconfig.Write(g, listed)
	c := newCluster(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"env": "lab"}}}, policy, service(enforcement), g, version("1", 1).Unstructured())
	counted := &refusals{}
	c.r.Audits = counted
	if item, _ := c.reconcile(checkout); told(item) != "Adopted 1; None" {
		t.Fatal(told(item))
	}
	c.after(time.Hour)
	return c, counted
}

func audited() gateconfig.Namespaces { return gateconfig.Namespaces{Audit: []string{"shop"}} }

// TestWhatCameInWhileNobodyAnsweredIsCounted: the API server lets in what it could not ask about; the figures that a team
// goes by from Audit to Enforce tell of it once, and never of what the gate itself has counted.
func TestWhatCameInWhileNobodyAnsweredIsCounted(t *testing.T) {
	for name, test := range map[string]struct {
		enforcement v1alpha1.Enforcement
		listed      gateconfig.Namespaces
		between     func(c *cluster)
		want        int
	}{
		"Audit":                           {v1alpha1.EnforcementAudit, audited(), nil, 1},
		"Warn":                            {v1alpha1.EnforcementWarn, audited(), nil, 1},
		"the API server does not ask":     {v1alpha1.EnforcementAudit, gateconfig.Namespaces{}, nil, 0},
		"Enforce refuses":                 {v1alpha1.EnforcementEnforce, gateconfig.Namespaces{Enforce: []string{"shop"}}, nil, 0},
		"the record comes late":           {v1alpha1.EnforcementAudit, audited(), func(c *cluster) { c.letIn("2") }, 0},
		"another template comes in":       {v1alpha1.EnforcementAudit, audited(), func(c *cluster) { c.put(version("3", 3).Unstructured()).reconcile(checkout) }, 2},
		"another comes, and the record":   {v1alpha1.EnforcementAudit, audited(), func(c *cluster) { c.put(version("3", 3).Unstructured()); c.letIn("2") }, 1},
		"another leader, within a minute": {v1alpha1.EnforcementAudit, audited(), func(c *cluster) { c.r.forget(checkout) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c, counted := watching(t, test.enforcement, test.listed)
			_, again := c.put(version("2", 2).Unstructured()).reconcile(checkout)
			if test.want > 0 && test.enforcement != v1alpha1.EnforcementEnforce && (again == 0 || again > recordLate) {
				t.Errorf("looks again after %s", again)
			}
			c.after(recordLate / 2).reconcile(checkout)
			if test.between != nil {
				test.between(c)
			}
			if c.reconcile(checkout); len(counted.at) > 0 {
				t.Fatal("counted before the record could have come")
			}
			for range 4 {
				c.after(recordLate).reconcile(checkout)
			}
			if len(counted.at) != test.want {
				t.Fatalf("counted %d times, want %d", len(counted.at), test.want)
			}
			if test.want > 0 && (!slices.Equal(counted.policies[0], []string{"lab"}) || !slices.Contains(counted.reasons, practice.CauseNoChange)) {
				t.Errorf("for policies %v, for %v", counted.policies, counted.reasons)
			}
		})
	}
}

func TestWhatEnforceWouldLetInIsNotCounted(t *testing.T) {
	for name, letIn := range map[string]func(c *cluster){
		"the gate was asked": func(c *cluster) { c.letIn("2") },
		"the glass is broken": func(c *cluster) {
			d := version("2", 2).Unstructured()
			d.SetAnnotations(map[string]string{v1alpha1.AnnotationBreakGlass: "fire", v1alpha1.AnnotationBreakGlassBy: "erin"})
			c.put(d)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, counted := watching(t, v1alpha1.EnforcementAudit, audited())
			c.put(version("2", 2).Unstructured())
			letIn(c)
			c.reconcile(checkout)
			c.after(recordLate).reconcile(checkout)
			if len(counted.at) > 0 {
				t.Errorf("counted %d times", len(counted.at))
			}
		})
	}
	t.Run("it goes back", func(t *testing.T) {
		c, counted := watching(t, v1alpha1.EnforcementAudit, audited())
		c.put(version("2", 2).Unstructured()).letIn("2").reconcile(checkout)
		c.after(time.Hour).put(version("1", 3).Unstructured()).reconcile(checkout)
		item, _ := c.after(recordLate).reconcile(checkout)
		if len(counted.at) > 0 || item.Status.Baselines[0].Source != v1alpha1.BaselineRollback {
			t.Errorf("counted %d times; %s", len(counted.at), told(item))
		}
	})
}

// letIn is what the gate records, and counts itself, of a version that it lets in under Audit.
func (c *cluster) letIn(tag string) *cluster {
	c.r.Inventory.Admitted(checkout, configuration.AdmissionRecord{
		TemplateHash: hash(version(tag, 1)), Source: v1alpha1.BaselineAudited, By: "alice", At: c.clock.Now(),
	})
	return c
}
