package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

const (
	shop = "shop"
	// soon is for what the operator does at once; machines may be slow.
	soon = time.Minute
	// recovery is for an Incident that must see its workload well for two minutes before it is resolved.
	recovery = 5 * time.Minute

	checkoutNew   = "app=registry.shop.example/checkout:2.4"
	checkoutOther = "app=registry.shop.example/checkout:2.5"
	catalogBroken = "app=registry.shop.example/catalog:1.13.0-crashloop"
)

func (d *demo) play(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		d.startOver, d.services, d.crash, d.fix, d.uncovered, d.forged, d.votes, d.goesIn, d.free, d.undo, d.resolved,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// startOver removes what an earlier demo left, records included, so that each tells the same story.
func (d *demo) startOver(ctx context.Context) error {
	namespaces := []string{"finance", shop}
	var left []string
	for _, name := range namespaces {
		err := d.api.Get(ctx, client.ObjectKey{Name: name}, &corev1.Namespace{})
		if err == nil {
			left = append(left, name)
		} else if !apierrors.IsNotFound(err) {
			return err
		}
	}
	if len(left) == 0 {
		return nil
	}
	d.step("Start over: remove the namespaces of an earlier demo")
	return d.passes(ctx, admin, append([]string{"delete", "namespace", "--timeout=60s"}, left...)...)
}

func (d *demo) services(ctx context.Context) error {
	d.step("A shop that runs already: its Services are healthy, and each workload has its row in the CMDB")
	for _, args := range [][]string{
		{"apply", "-f", "hack/local/demo/10-workloads.yaml"},
		{"-n", "finance", "wait", "--for=condition=Available", "deployment", "--all", "--timeout=60s"},
		{"-n", shop, "wait", "--for=condition=Available", "deployment", "--all", "--timeout=60s"},
		{"apply", "-f", "hack/local/demo"},
	} {
		if err := d.passes(ctx, admin, args...); err != nil {
			return err
		}
	}
	if err := d.becomes(ctx, "all Services are Operational", soon, d.allOperational, "get", "itsvc", "-A"); err != nil {
		return err
	}
	if err := d.becomes(ctx, "a ConfigurationItem for each workload, with what ran as its baseline", soon, d.allAdopted, "get", "ci", "-A"); err != nil {
		return err
	}
	return d.becomes(ctx, "checkout is under change control", soon, d.governed,
		"-n", shop, "get", "itsvc", "checkout", "-o", "jsonpath={.status.conditions[?(@.type==\"Governed\")].message}{\"\\n\"}")
}

func (d *demo) allOperational(ctx context.Context) (string, error) {
	services := &v1alpha1.ServiceList{}
	if err := d.api.List(ctx, services); err != nil {
		return "", err
	}
	var problems []string
	for i := range services.Items {
		if s := &services.Items[i]; s.Status.Health != v1alpha1.HealthOperational || s.Status.WorkloadCount == 0 {
			problems = append(problems, fmt.Sprintf("%s/%s is %q with %d workloads", s.Namespace, s.Name, s.Status.Health, s.Status.WorkloadCount))
		}
	}
	if want := 3; len(services.Items) != want {
		problems = append(problems, fmt.Sprintf("there are %d Services and not %d", len(services.Items), want))
	}
	return strings.Join(problems, "; "), nil
}

func (d *demo) allAdopted(ctx context.Context) (string, error) {
	items := &v1alpha1.ConfigurationItemList{}
	if err := d.api.List(ctx, items); err != nil {
		return "", err
	}
	have := map[string]bool{}
	for i := range items.Items {
		item := &items.Items[i]
		if b := item.Status.Baselines; len(b) == 1 && b[0].Source == v1alpha1.BaselineAdopted {
			have[item.Namespace+"/"+string(item.Spec.WorkloadRef.Name)] = true
		}
	}
	for _, want := range []string{"finance/ledger", "shop/catalog", "shop/checkout", "shop/checkout-worker"} {
		if !have[want] {
			return want + " has no ConfigurationItem with one adopted baseline", nil
		}
	}
	return "", nil
}

func (d *demo) governed(ctx context.Context) (string, error) {
	service := &v1alpha1.Service{}
	if err := d.api.Get(ctx, client.ObjectKey{Namespace: shop, Name: "checkout"}, service); err != nil {
		return "", err
	}
	for _, condition := range service.Status.Conditions {
		if condition.Type == v1alpha1.ConditionGoverned && condition.Status == "True" {
			return "", nil
		}
	}
	return fmt.Sprintf("its conditions are %v", service.Status.Conditions), nil
}

func (d *demo) crash(ctx context.Context) error {
	d.step("A version of the catalog that crashes: one Incident, whatever the number of pods and restarts")
	if err := d.passes(ctx, "alice", "-n", shop, "set", "image", "deployment/catalog", catalogBroken); err != nil {
		return err
	}
	if err := d.becomes(ctx, "exactly one Incident, with its cause, priority and Service", 2*time.Minute, d.oneIncident,
		"-n", shop, "get", "incidents"); err != nil {
		return err
	}
	return d.becomes(ctx, "it knows what went in before, though no Change said so", soon, d.suspects,
		"-n", shop, "get", "incidents", "-o", "jsonpath={range .items[*]}{.spec.title}{\"\\n\"}{.status.suspectedChange.reason}{\"\\n\"}{end}")
}

func (d *demo) suspects(ctx context.Context) (string, error) {
	incidents, err := d.incidents(ctx)
	if err != nil || len(incidents) != 1 {
		return fmt.Sprintf("there are %d Incidents", len(incidents)), err
	}
	if s := incidents[0].Status.SuspectedChange; s == nil || !strings.Contains(s.Reason, "a new template went into Deployment catalog") {
		return fmt.Sprintf("it suspects %v", s), nil
	}
	return "", nil
}

func (d *demo) incidents(ctx context.Context) ([]v1alpha1.Incident, error) {
	incidents := &v1alpha1.IncidentList{}
	err := d.api.List(ctx, incidents, client.InNamespace(shop))
	return incidents.Items, err
}

func (d *demo) oneIncident(ctx context.Context) (string, error) {
	incidents, err := d.incidents(ctx)
	if err != nil {
		return "", err
	}
	if len(incidents) != 1 {
		return fmt.Sprintf("there are %d", len(incidents)), nil
	}
	incident := &incidents[0]
	switch s := &incident.Status; {
	case incident.Spec.WorkloadRef == nil || incident.Spec.WorkloadRef.Name != "catalog":
		return fmt.Sprintf("it is about %v", incident.Spec.WorkloadRef), nil
	case incident.Spec.ServiceRef == nil || incident.Spec.ServiceRef.Name != "catalog":
		return fmt.Sprintf("its service is %v", incident.Spec.ServiceRef), nil
	case s.Reason != v1alpha1.SignalCrashLooping:
		return fmt.Sprintf("its reason is %q", s.Reason), nil
	case s.Priority == "" || s.Impact == v1alpha1.LevelLow:
		return fmt.Sprintf("its priority is %q, its impact %q", s.Priority, s.Impact), nil
	case s.State != v1alpha1.IncidentNew:
		return fmt.Sprintf("its state is %q", s.State), nil
	}
	return "", nil
}

func (d *demo) fix(ctx context.Context) error {
	d.step("The fix: back to what ran before")
	if err := d.passes(ctx, "alice", "-n", shop, "rollout", "undo", "deployment/catalog"); err != nil {
		return err
	}
	if err := d.passes(ctx, "alice", "-n", shop, "rollout", "status", "deployment/catalog", "--timeout=60s"); err != nil {
		return err
	}
	d.console.printf("    The Incident will be resolved when the catalog has run for two minutes. Meanwhile:\n")
	return nil
}

func (d *demo) uncovered(ctx context.Context) error {
	d.step("An image that nobody approved is refused, and its Change is filed")
	if err := d.refused(ctx, "alice", "", []string{"governed by Service checkout", "no approved Change covers", "was filed for you"},
		"-n", shop, "set", "image", "deployment/checkout", checkoutNew); err != nil {
		return err
	}
	return d.becomes(ctx, "the Change waits for two votes", soon, func(ctx context.Context) (string, error) {
		change, problem, err := d.change(ctx)
		if err != nil || problem != "" {
			return problem, err
		}
		if s := &change.Status; s.State != v1alpha1.ChangeAuthorize || s.Digest == "" || s.Approvals == nil || s.Approvals.Required != 2 {
			return fmt.Sprintf("its state is %q, its approvals %v", s.State, s.Approvals), nil
		}
		if change.Spec.Requester != "alice" {
			return "its requester is " + string(change.Spec.Requester), nil
		}
		return "", nil
	}, "-n", shop, "get", "changes")
}

// change is the one that was filed for the new image of checkout.
func (d *demo) change(ctx context.Context) (change *v1alpha1.Change, problem string, err error) {
	changes := &v1alpha1.ChangeList{}
	if err := d.api.List(ctx, changes, client.InNamespace(shop)); err != nil {
		return nil, "", err
	}
	_, image, _ := strings.Cut(checkoutNew, "=")
	at := slices.IndexFunc(changes.Items, func(c v1alpha1.Change) bool {
		return len(c.Spec.Targets) == 1 && c.Spec.Targets[0].Workload.Name == "checkout" && string(c.Spec.Targets[0].Images["app"]) == image
	})
	if at < 0 {
		return nil, "there is no Change for " + image, nil
	}
	return &changes.Items[at], "", nil
}

// ballot is the ChangeApproval that a person would create.
func (d *demo) ballot(ctx context.Context, approver, group string) (string, error) {
	change, problem, err := d.change(ctx)
	if err != nil {
		return "", err
	}
	if problem != "" {
		return "", unexpected{"a Change to vote on", problem}
	}
	return fmt.Sprintf(`apiVersion: itil.dev/v1alpha1
kind: ChangeApproval
metadata: {generateName: %[1]s-, namespace: shop}
spec:
  changeRef: {name: %[1]s}
  digest: %[2]s
  decision: Approve
  approver: %[3]s
  group: %[4]s`, change.Name, change.Status.Digest, approver, group), nil
}

func (d *demo) forged(ctx context.Context) error {
	d.step("A forged approval is refused by the API server itself")
	ballot, err := d.ballot(ctx, "dave", "sre-leads")
	if err != nil {
		return err
	}
	if err := d.refused(ctx, "alice", ballot, []string{"orbidden"}, "create", "-f", "-"); err != nil {
		return err
	}
	return d.refused(ctx, "carol", ballot, []string{"you are authenticated as carol"}, "create", "-f", "-")
}

func (d *demo) votes(ctx context.Context) error {
	d.step("Both leads approve")
	for granted, name := range []string{"carol", "dave"} {
		ballot, err := d.ballot(ctx, name, "sre-leads")
		if err != nil {
			return err
		}
		if err := d.passesWith(ctx, name, ballot, "create", "-f", "-"); err != nil {
			return err
		}
		wanted := map[int]v1alpha1.ChangeState{1: v1alpha1.ChangeAuthorize, 2: v1alpha1.ChangeImplement}[granted+1]
		err = d.becomes(ctx, fmt.Sprintf("%d of 2 votes are granted: %s", granted+1, wanted), soon, func(ctx context.Context) (string, error) {
			change, problem, err := d.change(ctx)
			if err != nil || problem != "" {
				return problem, err
			}
			s := &change.Status
			if s.Approvals == nil || int(s.Approvals.Granted) != granted+1 || s.State != wanted {
				return fmt.Sprintf("its state is %s, its approvals %v", s.State, s.Approvals), nil
			}
			return "", nil
		}, "-n", shop, "get", "changes")
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) goesIn(ctx context.Context) error {
	d.step("The same command passes now; another image is still refused")
	// A replica of the gate hears of a vote a moment after the API server has it.
	if err := d.passes(ctx, "alice", "-n", shop, "set", "image", "deployment/checkout", checkoutNew); err != nil {
		return err
	}
	if err := d.passes(ctx, "alice", "-n", shop, "rollout", "status", "deployment/checkout", "--timeout=60s"); err != nil {
		return err
	}
	err := d.becomes(ctx, "it is recorded, and by whom", soon, func(ctx context.Context) (string, error) {
		change, problem, err := d.change(ctx)
		if err != nil || problem != "" {
			return problem, err
		}
		if i := change.Status.Implementations; len(i) != 1 || i[0].By != "alice" || i[0].Rollout != v1alpha1.RolloutComplete {
			return fmt.Sprintf("its implementations are %v", i), nil
		}
		return "", nil
	}, "-n", shop, "get", "changes", "-o", "custom-columns=NAME:.metadata.name,STATE:.status.state,"+
		"BY:.status.implementations[*].by,ROLLOUT:.status.implementations[*].rollout")
	if err != nil {
		return err
	}
	return d.refused(ctx, "alice", "", []string{"no approved Change covers"}, "-n", shop, "set", "image", "deployment/checkout", checkoutOther)
}

func (d *demo) free(ctx context.Context) error {
	d.step("What changes no template needs nobody's approval")
	if err := d.passes(ctx, "alice", "-n", shop, "scale", "deployment/checkout", "--replicas=5"); err != nil {
		return err
	}
	if err := d.passes(ctx, "alice", "-n", shop, "rollout", "restart", "deployment/checkout"); err != nil {
		return err
	}
	return d.passes(ctx, "alice", "-n", shop, "rollout", "status", "deployment/checkout", "--timeout=60s")
}

func (d *demo) undo(ctx context.Context) error {
	d.step("A rollback to a template that has proven itself passes at any time")
	revision, err := d.revisionOf(ctx, "registry.shop.example/checkout:2.3")
	if err != nil {
		return err
	}
	if err := d.passes(ctx, "alice", "-n", shop, "rollout", "undo", "deployment/checkout", "--to-revision="+revision); err != nil {
		return err
	}
	return d.becomes(ctx, "the ConfigurationItem tells of it", soon, func(ctx context.Context) (string, error) {
		items := &v1alpha1.ConfigurationItemList{}
		if err := d.api.List(ctx, items, client.InNamespace(shop)); err != nil {
			return "", err
		}
		for i := range items.Items {
			if items.Items[i].Spec.WorkloadRef.Name != "checkout" {
				continue
			}
			if b := items.Items[i].Status.Baselines; len(b) < 3 || b[0].Source != v1alpha1.BaselineRollback {
				return fmt.Sprintf("its baselines are %v", b), nil
			}
			return "", nil
		}
		return "there is none", nil
	}, "-n", shop, "get", "ci", "-o", "custom-columns=WORKLOAD:.spec.workloadRef.name,"+
		"IMAGES:.status.baselines[*].images.app,SOURCES:.status.baselines[*].source")
}

// revisionOf finds the Deployment's revision with an image, as one would with `kubectl rollout history`.
func (d *demo) revisionOf(ctx context.Context, image string) (string, error) {
	sets := &appsv1.ReplicaSetList{}
	if err := d.api.List(ctx, sets, client.InNamespace(shop), client.MatchingLabels{"component": "api"}); err != nil {
		return "", err
	}
	for i := range sets.Items {
		if sets.Items[i].Spec.Template.Spec.Containers[0].Image == image {
			return sets.Items[i].Annotations["deployment.kubernetes.io/revision"], nil
		}
	}
	return "", unexpected{"a ReplicaSet with image " + image, "none"}
}

func (d *demo) resolved(ctx context.Context) error {
	d.step("The Incident resolves by itself: the fault is gone, and was gone for long enough")
	return d.becomes(ctx, "the only Incident is Resolved", recovery, func(ctx context.Context) (string, error) {
		incidents, err := d.incidents(ctx)
		if err != nil {
			return "", err
		}
		if len(incidents) != 1 {
			return fmt.Sprintf("there are %d Incidents", len(incidents)), nil
		}
		if s := &incidents[0].Status; s.State != v1alpha1.IncidentResolved || s.Resolution == nil {
			return fmt.Sprintf("its state is %s, its resolution %v", s.State, s.Resolution), nil
		}
		return "", nil
	}, "-n", shop, "get", "incidents", "-o", "custom-columns=NAME:.metadata.name,STATE:.status.state,PRIORITY:.status.priority,"+
		"REASON:.status.reason,RESOLUTION:.status.resolution.code")
}
