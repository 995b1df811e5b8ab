package change

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// monday is a Monday at midnight; times in tests are hours after it.
var monday = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

func hour(n int) time.Time { return monday.Add(time.Duration(n) * time.Hour) }

func stamp(n int) v1alpha1.Timestamp { return v1alpha1.Timestamp(hour(n).Format(time.RFC3339)) }

func at(n int) *metav1.Time {
	t := metav1.NewTime(hour(n))
	return &t
}

var checkout = configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "checkout"}

// template of a workload: what it is but for images, and the image of its one container.
func template(body, image string) *configuration.Template {
	return &configuration.Template{
		Hash: hashOf(body + "|" + image), ImagelessHash: hashOf(body), Images: map[string]string{"app": image},
		Labels: map[string]string{"app": "checkout"},
	}
}

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "v1:" + hex.EncodeToString(sum[:])
}

const repository = "registry.shop.example/checkout:"

// baseline of a template, proven, by a Change of no name.
func baseline(t *configuration.Template, options ...func(*v1alpha1.Baseline)) v1alpha1.Baseline {
	b := v1alpha1.Baseline{
		TemplateHash: t.Hash, ImagelessHash: t.ImagelessHash, Images: t.Images, Source: v1alpha1.BaselineAdopted, Proven: true,
		From: *at(-100),
	}
	for _, o := range options {
		o(&b)
	}
	return b
}

func by(source v1alpha1.BaselineSource, change string) func(*v1alpha1.Baseline) {
	return func(b *v1alpha1.Baseline) { b.Source, b.Change = source, change }
}

func unproven(b *v1alpha1.Baseline) { b.Proven = false }

// changeOf is an assessed Change of one image, requested by alice at hour 0.
func changeOf(name string, options ...func(*v1alpha1.Change)) *v1alpha1.Change {
	c := &v1alpha1.Change{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: *at(0), Generation: 1},
		Spec: v1alpha1.ChangeSpec{
			Type: v1alpha1.ChangeNormal, Summary: "roll out " + name, Requester: "alice",
			Targets: []v1alpha1.ChangeTarget{{
				Workload:   v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"},
				Operations: []v1alpha1.Operation{v1alpha1.OperationTemplate},
				Images:     map[string]v1alpha1.Image{"app": repository + "2.4.0"},
			}},
		},
	}
	for _, o := range options {
		o(c)
	}
	if c.Status.Digest == "" {
		c.Status.Digest = Digest(&c.Spec)
	}
	if c.Status.Risk == nil {
		c.Status.Risk = &v1alpha1.Risk{Level: v1alpha1.RiskMedium, Score: 30}
	}
	return c
}

func images(image string) func(*v1alpha1.Change) {
	return func(c *v1alpha1.Change) {
		c.Spec.Targets[0].Images = map[string]v1alpha1.Image{"app": v1alpha1.Image(image)}
	}
}

func pinnedTo(t *configuration.Template) func(*v1alpha1.Change) {
	return func(c *v1alpha1.Change) {
		c.Spec.Targets[0].Images, c.Spec.Targets[0].TemplateHash = nil, v1alpha1.TemplateHash(t.Hash)
	}
}

func operations(o ...v1alpha1.Operation) func(*v1alpha1.Change) {
	return func(c *v1alpha1.Change) { c.Spec.Targets[0].Operations = o }
}

func window(from, to int) func(*v1alpha1.Change) {
	return func(c *v1alpha1.Change) { c.Spec.Window = &v1alpha1.Window{Start: stamp(from), End: stamp(to)} }
}

func ofType(t v1alpha1.ChangeType) func(*v1alpha1.Change) {
	return func(c *v1alpha1.Change) { c.Spec.Type = t }
}

func risk(level v1alpha1.RiskLevel) func(*v1alpha1.Change) {
	return func(c *v1alpha1.Change) { c.Status.Risk = &v1alpha1.Risk{Level: level} }
}

// vote on a Change's present digest.
func vote(c *v1alpha1.Change, approver string, hours int, options ...func(*v1alpha1.ChangeApproval)) *v1alpha1.ChangeApproval {
	a := &v1alpha1.ChangeApproval{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: fmt.Sprintf("%s-%s-%d", c.Name, approver, hours), CreationTimestamp: *at(hours)},
		Spec: v1alpha1.ChangeApprovalSpec{
			ChangeRef: v1alpha1.LocalReference{Name: v1alpha1.ObjectName(c.Name)}, Digest: Digest(&c.Spec),
			Decision: v1alpha1.DecisionApprove, Approver: v1alpha1.UserName(approver),
		},
	}
	for _, o := range options {
		o(a)
	}
	return a
}

func reject(a *v1alpha1.ChangeApproval) { a.Spec.Decision = v1alpha1.DecisionReject }

func forGroup(g string) func(*v1alpha1.ChangeApproval) {
	return func(a *v1alpha1.ChangeApproval) { a.Spec.Group = v1alpha1.GroupName(g) }
}

func onDigest(d string) func(*v1alpha1.ChangeApproval) {
	return func(a *v1alpha1.ChangeApproval) { a.Spec.Digest = d }
}

func policy(name string, options ...func(*v1alpha1.ChangePolicySpec)) *v1alpha1.ChangePolicy {
	p := &v1alpha1.ChangePolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, o := range options {
		o(&p.Spec)
	}
	return p
}

// hourly is a calendar by hours after monday; beyond the last it stays as it is there.
type hourly []bool

func (h hourly) open(n int) bool {
	if len(h) == 0 || n < 0 {
		return false
	}
	return h[min(n, len(h)-1)]
}

func (h hourly) Contains(t time.Time) bool {
	open, _ := h.At(t)
	return open
}

func (h hourly) At(t time.Time) (open bool, until time.Time) {
	n := int(t.Sub(monday).Hours())
	if t.Before(monday) {
		n = -1
	}
	open = h.open(n)
	for m := n + 1; m <= len(h); m++ {
		if h.open(m) != open {
			return open, hour(m)
		}
	}
	return open, time.Time{}
}

// openFrom is open in some hours.
func openFrom(from, to int) hourly {
	h := make(hourly, to+1)
	for i := from; i < to; i++ {
		h[i] = true
	}
	return h
}
