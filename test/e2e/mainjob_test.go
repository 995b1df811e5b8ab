package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

func image(tag string) string { return "registry.shop.example/checkout:" + tag }

// shop is a namespace with a Service checkout over a Deployment, and its ChangePolicy.
type shop struct{ namespace string }

// open makes it and waits until the gate is for it.
func (s *shop) open(ctx context.Context, name string, enforcement v1alpha1.Enforcement) {
	s.namespace = env.namespace(ctx, name, map[string]string{"e2e": name})
	policy := builder.MakeChangePolicy(name).Spec(func(spec *v1alpha1.ChangePolicySpec) {
		spec.NamespaceSelector = v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"e2e": v1alpha1.LabelValue(name)}}
		spec.Enforcement = enforcement
		spec.Approvals = []v1alpha1.ApprovalRule{
			{Risk: v1alpha1.RiskLow, Required: 0},
			{Risk: v1alpha1.RiskMedium, Required: 2, Groups: []v1alpha1.GroupName{"sre-leads"}},
			{Risk: v1alpha1.RiskHigh, Required: 2, Groups: []v1alpha1.GroupName{"sre-leads"}},
		}
	}).Obj()
	Expect(env.admin.Create(ctx, policy)).To(Succeed())
	Expect(env.admin.Create(ctx, builder.MakeDeployment(s.namespace, "checkout").Replicas(2).Image("app", image("2.3")).Obj())).To(Succeed())
	s.rolledOut(ctx, "2.3") // a Service that was never well would first be out for a minute
	Expect(env.as("alice").Create(ctx, builder.MakeService(s.namespace, "checkout").Tier(1).Team("payments").
		ClaimApp(v1alpha1.WorkloadDeployment, "checkout").Obj())).To(Succeed())
	Eventually(ctx, func(g Gomega) {
		status := s.service(ctx, g).Status
		g.Expect(status.Health).To(Equal(v1alpha1.HealthOperational))
		g.Expect(apimeta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionGoverned)).To(BeTrue(), "%v", status.Conditions)
		g.Expect(s.item(ctx, g, "checkout").Status.Baselines).To(HaveLen(1))
	}).WithTimeout(2 * time.Minute).Should(Succeed())
	if enforcement == v1alpha1.EnforcementEnforce {
		// The API server goes by a webhook configuration a moment after it was written.
		Eventually(ctx, func() (string, error) {
			return s.kubectl(ctx, "alice", "set", "image", "deployment/checkout", "app="+image("0.0.0"), "--dry-run=server")
		}).Should(ContainSubstring("no approved Change covers"))
	}
}

func (s *shop) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: s.namespace, Name: name}
}

func (s *shop) service(ctx context.Context, g Gomega) *v1alpha1.Service {
	service := &v1alpha1.Service{}
	g.Expect(env.admin.Get(ctx, s.key("checkout"), service)).To(Succeed())
	return service
}

// item is the only ConfigurationItem of a workload.
func (s *shop) item(ctx context.Context, g Gomega, workload string) *v1alpha1.ConfigurationItem {
	items := &v1alpha1.ConfigurationItemList{}
	g.Expect(env.admin.List(ctx, items, client.InNamespace(s.namespace))).To(Succeed())
	var of []v1alpha1.ConfigurationItem
	for i := range items.Items {
		if string(items.Items[i].Spec.WorkloadRef.Name) == workload {
			of = append(of, items.Items[i])
		}
	}
	g.Expect(of).To(HaveLen(1), "ConfigurationItems of %s", workload)
	return &of[0]
}

// baselines are the sources of a workload's baselines, the newest first.
func (s *shop) baselines(ctx context.Context, g Gomega) []v1alpha1.BaselineSource {
	var sources []v1alpha1.BaselineSource
	for _, b := range s.item(ctx, g, "checkout").Status.Baselines {
		sources = append(sources, b.Source)
	}
	return sources
}

// changesFor are the Changes to an image of checkout.
func (s *shop) changesFor(ctx context.Context, g Gomega, tag string) []v1alpha1.Change {
	changes := &v1alpha1.ChangeList{}
	g.Expect(env.admin.List(ctx, changes, client.InNamespace(s.namespace))).To(Succeed())
	var of []v1alpha1.Change
	for i := range changes.Items {
		for _, target := range changes.Items[i].Spec.Targets {
			if string(target.Images["app"]) == image(tag) {
				of = append(of, changes.Items[i])
			}
		}
	}
	return of
}

// filed waits for the only Change to an image of checkout, until it can be voted on.
func (s *shop) filed(ctx context.Context, tag string) *v1alpha1.Change {
	var change v1alpha1.Change
	Eventually(ctx, func(g Gomega) {
		of := s.changesFor(ctx, g, tag)
		g.Expect(of).To(HaveLen(1))
		change = of[0]
		g.Expect(change.Status.State).To(Equal(v1alpha1.ChangeAuthorize))
		g.Expect(change.Status.Digest).NotTo(BeEmpty())
	}).Should(Succeed())
	return &change
}

func (s *shop) setImage(ctx context.Context, user, tag string) error {
	_, err := env.kubectl(ctx, user, "-n", s.namespace, "set", "image", "deployment/checkout", "app="+image(tag))
	return err
}

func (s *shop) vote(ctx context.Context, approver string, change *v1alpha1.Change, alter ...func(*v1alpha1.ChangeApproval)) error {
	vote := &v1alpha1.ChangeApproval{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, GenerateName: approver + "-"},
		Spec: v1alpha1.ChangeApprovalSpec{
			ChangeRef: v1alpha1.LocalReference{Name: v1alpha1.ObjectName(change.Name)}, Digest: change.Status.Digest,
			Decision: v1alpha1.DecisionApprove, Approver: v1alpha1.UserName(approver), Group: "sre-leads",
		},
	}
	for _, f := range alter {
		f(vote)
	}
	return env.as(approver).Create(ctx, vote)
}

// approve has both leads vote, and waits until the Change is in a state.
func (s *shop) approve(ctx context.Context, change *v1alpha1.Change, wanted v1alpha1.ChangeState) {
	Expect(s.vote(ctx, "carol", change)).To(Succeed())
	Expect(s.vote(ctx, "dave", change)).To(Succeed())
	Eventually(ctx, func(g Gomega) {
		live := &v1alpha1.Change{}
		g.Expect(env.admin.Get(ctx, client.ObjectKeyFromObject(change), live)).To(Succeed())
		g.Expect(live.Status.Approvals).To(HaveValue(HaveField("Granted", int32(2))))
		g.Expect(live.Status.State).To(Equal(wanted), "%v", live.Status.Conditions)
	}).Should(Succeed())
}

// rolledOut waits until all pods run an image.
func (s *shop) rolledOut(ctx context.Context, tag string) {
	Eventually(ctx, func(g Gomega) {
		d := &appsv1.Deployment{}
		g.Expect(env.admin.Get(ctx, s.key("checkout"), d)).To(Succeed())
		g.Expect(d.Spec.Template.Spec.Containers[0].Image).To(Equal(image(tag)))
		g.Expect(d.Status.ObservedGeneration).To(Equal(d.Generation))
		g.Expect(d.Status.UpdatedReplicas).To(Equal(*d.Spec.Replicas))
		g.Expect(d.Status.AvailableReplicas).To(Equal(*d.Spec.Replicas))
		g.Expect(d.Status.Replicas).To(Equal(*d.Spec.Replicas))
	}).Should(Succeed())
}

// decisions is how many requests the gate decided on so far.
func decisions(ctx context.Context) int {
	return metric(ctx, "itil_gate_decisions_total")
}

// metric is the sum of a counter of the operator over its labels.
func metric(ctx context.Context, name string) int {
	out, err := env.run(ctx, "status")
	Expect(err).NotTo(HaveOccurred())
	Expect(out).To(ContainSubstring("operator"))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+env.port("operator-metrics")+"/metrics", nil)
	Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	body, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	Expect(response.Body.Close()).To(Succeed())
	sum := 0.0
	for _, line := range regexp.MustCompile(`(?m)^`+name+`(\{.*\})? (\S+)$`).FindAllStringSubmatch(string(body), -1) {
		value, err := strconv.ParseFloat(line[2], 64)
		Expect(err).NotTo(HaveOccurred())
		sum += value
	}
	return int(sum)
}

func mainJob() {
	s := &shop{}

	BeforeAll(func(ctx SpecContext) {
		s.open(ctx, "store", v1alpha1.EnforcementEnforce)
	}, NodeTimeout(5*time.Minute))

	linking(s)
	refusals(s)
	votes(s)
	windows(s)
	rollbacks(s)
	lenient()
}

func linking(s *shop) {
	It("links the Service and its workload", func(ctx SpecContext) {
		Eventually(ctx, func(g Gomega) {
			status := s.service(ctx, g).Status
			g.Expect(status.Ready).To(Equal("2/2"))
			g.Expect(status.Workloads).To(ConsistOf(v1alpha1.ServiceWorkload{
				Kind: v1alpha1.WorkloadDeployment, Name: "checkout", Ready: 2, Desired: 2,
				Images:            map[string]string{"app": image("2.3")},
				ConfigurationItem: v1alpha1.ObjectName(s.item(ctx, g, "checkout").Name),
			}))
		}).Should(Succeed())
	})

	It("has one ConfigurationItem, with what ran as its baseline", func(ctx SpecContext) {
		status := s.item(ctx, Default, "checkout").Status
		Expect(status.State).To(Equal(v1alpha1.ConfigurationItemInUse))
		Expect(status.Owner).To(Equal("payments"))
		Expect(status.Tier).To(BeEquivalentTo(1))
		Expect(status.Images).To(Equal(map[string]string{"app": image("2.3")}))
		Expect(status.Baselines).To(HaveLen(1))
		Expect(status.Baselines[0].Source).To(Equal(v1alpha1.BaselineAdopted))
		Expect(status.Baselines[0].TemplateHash).To(Equal(status.TemplateHash))
	})
}

func refusals(s *shop) {
	It("refuses with 403 every request that would change what runs", func(ctx SpecContext) {
		alice := env.as("alice")
		twin := builder.MakeDeployment(s.namespace, "twin").Obj()
		twin.Spec.Template = builder.Template("checkout")
		twin.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "checkout"}}
		Expect(alice.Create(ctx, twin)).To(Satisfy(apierrors.IsForbidden), "a twin that makes pods of the Service")

		bare := builder.MakePod(s.namespace, "bare").Label("app", "checkout").Image("app", image("6.6.6")).Obj()
		bare.Status, bare.Spec.NodeName = corev1.PodStatus{}, ""
		Expect(alice.Create(ctx, bare)).To(Satisfy(apierrors.IsForbidden), "a bare pod that passes for one of it")

		d := &appsv1.Deployment{}
		Expect(alice.Get(ctx, s.key("checkout"), d)).To(Succeed())
		Expect(alice.Delete(ctx, d.DeepCopy())).To(Satisfy(apierrors.IsForbidden), "the deletion")

		before := client.MergeFrom(d.DeepCopy())
		d.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "DEBUG", Value: "1"}}
		Expect(alice.Patch(ctx, d, before)).To(Satisfy(apierrors.IsForbidden), "more of the template than images")

		sets := &appsv1.ReplicaSetList{}
		Expect(alice.List(ctx, sets, client.InNamespace(s.namespace), client.MatchingLabels{"app": "checkout"})).To(Succeed())
		Expect(sets.Items).NotTo(BeEmpty())
		set := &sets.Items[0]
		before = client.MergeFrom(set.DeepCopy())
		set.Spec.Template.Spec.Containers[0].Image = image("6.6.6")
		Expect(alice.Patch(ctx, set, before)).To(Satisfy(apierrors.IsForbidden), "the ReplicaSet behind the Deployment")
	})

	It("refuses an image that no Change covers, says what to do, and files the Change once", func(ctx SpecContext) {
		for range 3 { // as a GitOps controller would retry
			err := s.setImage(ctx, "alice", "2.4")
			Expect(err).To(MatchError(And(
				ContainSubstring("deployment store/checkout is governed by Service checkout (tier 1)"),
				ContainSubstring("no approved Change covers image app="+image("2.4")),
				Not(ContainSubstring("immutable")),
			)))
		}
		change := s.filed(ctx, "2.4")
		Expect(change.Spec.Requester).To(BeEquivalentTo("alice"))
		Expect(change.Status.Approvals).To(HaveValue(HaveField("Required", int32(2))))
		Expect(change.Status.Risk).NotTo(BeNil())
		Expect(change.Status.Diff).NotTo(BeEmpty())
		Expect(change.Status.NextStep).NotTo(BeEmpty())
		// The gate knows of it by a watch of its own.
		Eventually(ctx, s.setImage).WithArguments("alice", "2.4").Should(MatchError(And(
			ContainSubstring(change.Name), ContainSubstring("2 approvals from sre-leads"),
		)))
		Consistently(ctx, func(g Gomega) { g.Expect(s.changesFor(ctx, g, "2.4")).To(HaveLen(1)) }).Should(Succeed())
	})

	It("warns of a dry run that would be refused, and records nothing", func(ctx SpecContext) {
		out, err := env.kubectl(ctx, "alice", "-n", s.namespace, "set", "image", "deployment/checkout", "app="+image("7.7.7"), "--dry-run=server")
		Expect(err).NotTo(HaveOccurred())
		Expect(out).To(ContainSubstring("no approved Change covers"))
		Consistently(ctx, func(g Gomega) { g.Expect(s.changesFor(ctx, g, "7.7.7")).To(BeEmpty()) }).Should(Succeed())
	})

	It("lets scaling, status, metadata and restarts in, without being asked where that is possible", func(ctx SpecContext) {
		before := decisions(ctx)
		for _, args := range [][]string{
			{"scale", "deployment/checkout", "--replicas=3"},
			{"label", "deployment/checkout", "team=payments"},
			{"annotate", "deployment/checkout", "note=harmless"},
			{"rollout", "restart", "deployment/checkout"},
			{"rollout", "status", "deployment/checkout", "--timeout=60s"},
			{"scale", "deployment/checkout", "--replicas=2"},
		} {
			_, err := env.kubectl(ctx, "alice", append([]string{"-n", s.namespace}, args...)...)
			Expect(err).NotTo(HaveOccurred())
		}
		s.rolledOut(ctx, "2.3")
		Expect(decisions(ctx)-before).To(BeZero(), "requests that reached the gate")
	})
}

func votes(s *shop) {
	It("refuses forged votes", func(ctx SpecContext) {
		change := s.filed(ctx, "2.4")
		named := func(user v1alpha1.UserName) func(*v1alpha1.ChangeApproval) {
			return func(a *v1alpha1.ChangeApproval) { a.Spec.Approver = user }
		}
		Expect(s.vote(ctx, "alice", change)).To(Satisfy(apierrors.IsForbidden), "who may not approve")
		Expect(s.vote(ctx, "alice", change, named("carol"))).To(Satisfy(apierrors.IsForbidden), "under the name of one who may")
		Expect(s.vote(ctx, "carol", change, named("dave"))).To(Satisfy(apierrors.IsForbidden), "one who may under another's name")
		Expect(s.vote(ctx, "carol", change, func(a *v1alpha1.ChangeApproval) { a.Spec.Group = "platform" })).
			To(Satisfy(apierrors.IsForbidden), "for a group of others")

		change.Status.Approvals.Granted = 2
		Expect(env.as("alice").Status().Update(ctx, change)).To(Satisfy(apierrors.IsForbidden), "by a write of status")
		Expect(env.admin.Status().Update(ctx, change)).To(Satisfy(apierrors.IsForbidden), "even by the administrator")
	})

	It("stamps the requester, whoever the manifest names", func(ctx SpecContext) {
		change := builder.MakeChange(s.namespace, "by-hand").Target(v1alpha1.WorkloadDeployment, "checkout", image("3.0")).Requester("carol").Obj()
		change.Status = v1alpha1.ChangeStatus{}
		Expect(env.as("alice").Create(ctx, change)).To(Succeed())
		Expect(change.Spec.Requester).To(BeEquivalentTo("alice"))
	})

	It("counts a vote of each lead, and lets exactly its image in", func(ctx SpecContext) {
		change := s.filed(ctx, "2.4")
		Expect(s.vote(ctx, "carol", change)).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			of := s.changesFor(ctx, g, "2.4")
			g.Expect(of[0].Status.Approvals).To(HaveValue(HaveField("Granted", int32(1))))
		}).Should(Succeed())
		Expect(s.setImage(ctx, "alice", "2.4")).To(MatchError(ContainSubstring("no approved Change covers")), "one vote is not enough")
		Expect(s.vote(ctx, "carol", change)).To(Succeed(), "a vote may be cast again")
		Consistently(ctx, func(g Gomega) {
			g.Expect(s.changesFor(ctx, g, "2.4")[0].Status.Approvals).To(HaveValue(HaveField("Granted", int32(1))), "and counts once")
		}).Should(Succeed())
		Expect(s.vote(ctx, "dave", change)).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			g.Expect(s.changesFor(ctx, g, "2.4")[0].Status.State).To(Equal(v1alpha1.ChangeImplement))
		}).Should(Succeed())

		Expect(s.setImage(ctx, "alice", "2.5")).To(MatchError(ContainSubstring("no approved Change covers")), "another image")
		// A vote reaches the gate by a watch of its own.
		Eventually(ctx, s.setImage).WithArguments("alice", "2.4").Should(Succeed())
		s.rolledOut(ctx, "2.4")
	}, SpecTimeout(4*time.Minute))

	It("records who implemented it, and the baseline that came of it", func(ctx SpecContext) {
		Eventually(ctx, func(g Gomega) {
			change := s.changesFor(ctx, g, "2.4")[0]
			g.Expect(change.Status.Implementations).To(HaveLen(1))
			g.Expect(change.Status.Implementations[0].By).To(Equal("alice"))
			g.Expect(change.Status.Implementations[0].Rollout).To(Equal(v1alpha1.RolloutComplete))
			baseline := s.item(ctx, g, "checkout").Status.Baselines[0]
			g.Expect(baseline.Source).To(Equal(v1alpha1.BaselineChange))
			g.Expect(baseline.Change).To(BeEquivalentTo(change.Name))
			g.Expect(baseline.By).To(Equal("alice"))
		}).Should(Succeed())
	})

	It("lets nobody edit what is being implemented", func(ctx SpecContext) {
		change := s.changesFor(ctx, Default, "2.4")[0]
		change.Spec.Targets[0].Images["app"] = v1alpha1.Image(image("6.6.6"))
		change.Spec.Targets[0].TemplateHash = ""
		Expect(env.as("alice").Update(ctx, &change)).NotTo(Succeed())
	})
}

func windows(s *shop) {
	It("keeps an approved Change out before its window, and lets it in inside", func(ctx SpecContext) {
		for name, window := range map[string]struct {
			tag    string
			starts time.Duration
			state  v1alpha1.ChangeState
		}{
			"later": {"2.6", time.Hour, v1alpha1.ChangeScheduled},
			"now":   {"2.7", -time.Minute, v1alpha1.ChangeImplement},
		} {
			start := time.Now().Add(window.starts).UTC().Truncate(time.Second)
			change := builder.MakeChange(s.namespace, name).Target(v1alpha1.WorkloadDeployment, "checkout", image(window.tag)).
				Window(start, start.Add(2*time.Hour)).Obj()
			change.Status = v1alpha1.ChangeStatus{}
			Expect(env.as("alice").Create(ctx, change)).To(Succeed())
			s.approve(ctx, s.filed(ctx, window.tag), window.state)
		}
		Expect(s.setImage(ctx, "alice", "2.6")).To(MatchError(And(ContainSubstring("later"), ContainSubstring("window"))))
		Eventually(ctx, s.setImage).WithArguments("alice", "2.7").Should(Succeed())
		s.rolledOut(ctx, "2.7")
	}, SpecTimeout(4*time.Minute))
}

func rollbacks(s *shop) {
	It("lets a proven template back in, and not forward again", func(ctx SpecContext) {
		Eventually(ctx, s.baselines).WithArguments(Default).Should(Equal([]v1alpha1.BaselineSource{
			v1alpha1.BaselineChange, v1alpha1.BaselineChange, v1alpha1.BaselineAdopted,
		}))
		Expect(s.setImage(ctx, "alice", "2.3")).To(Succeed())
		s.rolledOut(ctx, "2.3")
		Eventually(ctx, func(g Gomega) {
			baseline := s.item(ctx, g, "checkout").Status.Baselines[0]
			g.Expect(baseline.Source).To(Equal(v1alpha1.BaselineRollback))
			g.Expect(baseline.Images).To(HaveKeyWithValue("app", image("2.3")))
		}).Should(Succeed())
		Eventually(ctx, func(g Gomega) {
			g.Expect(s.changesFor(ctx, g, "2.7")[0].Status.Implementations[0].Rollout).To(Equal(v1alpha1.RolloutRolledBack))
		}).Should(Succeed())
		Expect(s.setImage(ctx, "alice", "2.7")).To(MatchError(ContainSubstring("no approved Change covers")))
	}, SpecTimeout(4*time.Minute))
}

// lenient: where nobody says Enforce, nothing is refused.
func lenient() {
	for enforcement, warns := range map[v1alpha1.Enforcement]bool{v1alpha1.EnforcementWarn: true, v1alpha1.EnforcementAudit: false} {
		It(fmt.Sprintf("refuses nothing under %s", enforcement), func(ctx SpecContext) {
			s := &shop{}
			s.open(ctx, "store-"+strings.ToLower(string(enforcement)), enforcement)
			out, err := env.kubectl(ctx, "alice", "-n", s.namespace, "set", "image", "deployment/checkout", "app="+image("2.4"))
			Expect(err).NotTo(HaveOccurred())
			if warns {
				Expect(out).To(ContainSubstring("no approved Change covers"))
			} else {
				Expect(out).NotTo(ContainSubstring("Warning"))
			}
			s.rolledOut(ctx, "2.4")
			Eventually(ctx, s.baselines).WithArguments(Default).Should(Equal([]v1alpha1.BaselineSource{
				v1alpha1.BaselineAudited, v1alpha1.BaselineAdopted,
			}))
		}, SpecTimeout(5*time.Minute))
	}
}
