package builder

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
)

// Change builds a Change.
type Change struct{ obj v1alpha1.Change }

// MakeChange makes a Normal one that alice asked for, without targets and without a status.
func MakeChange(namespace, name string) *Change {
	return &Change{v1alpha1.Change{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Change"},
		ObjectMeta: objectMeta("Change", namespace, name),
		Spec:       v1alpha1.ChangeSpec{Type: v1alpha1.ChangeNormal, Summary: "Change " + name, Requester: "alice"},
	}}
}

// Target adds a workload whose template may change to an image of its container "app".
func (c *Change) Target(kind v1alpha1.WorkloadKind, name, image string) *Change {
	c.obj.Spec.Targets = append(c.obj.Spec.Targets, v1alpha1.ChangeTarget{
		Workload:   v1alpha1.WorkloadReference{Kind: kind, Name: v1alpha1.ObjectName(name)},
		Operations: []v1alpha1.Operation{v1alpha1.OperationTemplate},
		Images:     map[string]v1alpha1.Image{"app": v1alpha1.Image(image)},
	})
	return c
}

// Type sets the way in which it is authorised.
func (c *Change) Type(t v1alpha1.ChangeType) *Change {
	c.obj.Spec.Type = t
	return c
}

// Requester sets who asked for it.
func (c *Change) Requester(user string) *Change {
	c.obj.Spec.Requester = v1alpha1.UserName(user)
	return c
}

// Window sets when it may go in.
func (c *Change) Window(start, end time.Time) *Change {
	c.obj.Spec.Window = &v1alpha1.Window{
		Start: v1alpha1.Timestamp(start.Format(time.RFC3339)), End: v1alpha1.Timestamp(end.Format(time.RFC3339)),
	}
	return c
}

// Label sets a label.
func (c *Change) Label(key, value string) *Change {
	metav1.SetMetaDataLabel(&c.obj.ObjectMeta, key, value)
	return c
}

// Assessed records its digest and a risk, as its controller does before anybody can vote.
func (c *Change) Assessed(level v1alpha1.RiskLevel) *Change {
	c.obj.Status.Digest = change.Digest(&c.obj.Spec)
	c.obj.Status.Risk = &v1alpha1.Risk{Level: level}
	return c
}

// Approved records that it needs no vote, or has all of them, since a time.
func (c *Change) Approved(at time.Time) *Change {
	since := metav1.NewTime(at)
	c.obj.Status.ApprovedAt = &since
	return c.Assessed(v1alpha1.RiskLow)
}

// Alter alters anything else.
func (c *Change) Alter(alter func(*v1alpha1.Change)) *Change {
	alter(&c.obj)
	return c
}

// Obj is the Change.
func (c *Change) Obj() *v1alpha1.Change { return c.obj.DeepCopy() }

// ChangeApproval makes a vote on the present digest of a Change.
func ChangeApproval(name string, on *v1alpha1.Change, decision v1alpha1.Decision, approver string) *v1alpha1.ChangeApproval {
	return &v1alpha1.ChangeApproval{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ChangeApproval"},
		ObjectMeta: objectMeta("ChangeApproval", on.Namespace, name),
		Spec: v1alpha1.ChangeApprovalSpec{
			ChangeRef: v1alpha1.LocalReference{Name: v1alpha1.ObjectName(on.Name)}, Digest: change.PresentDigest(on),
			Decision: decision, Approver: v1alpha1.UserName(approver),
		},
	}
}
