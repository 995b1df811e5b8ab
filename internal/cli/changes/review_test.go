package changes

import (
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
)

// Who comes too early is told until when.
func TestReview(t *testing.T) {
	cases := map[string]struct {
		state v1alpha1.ChangeState
		next  string
		says  string
	}{
		"owed":                    {state: v1alpha1.ChangeReview},
		"written again":           {state: v1alpha1.ChangeClosed},
		"it is watched":           {state: v1alpha1.ChangeImplement, next: "Nothing: it is watched until 10:00.", says: "watched until 10:00"},
		"it goes in":              {state: v1alpha1.ChangeImplement, says: "until it is in state Review"},
		"nothing went in yet":     {state: v1alpha1.ChangeScheduled, next: "Wait for its window.", says: "until it is in state Review"},
		"nothing was ever let in": {state: v1alpha1.ChangeRejected, says: "until it is in state Review"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			change := &v1alpha1.Change{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout"},
				Status:     v1alpha1.ChangeStatus{State: c.state, NextStep: c.next},
			}
			patch, err := review(change, "Successful", "")
			told := (*exit.Error)(nil)
			switch {
			case c.says == "" && (err != nil || patch == nil):
				t.Errorf("patch %v, error %v", patch, err)
			case c.says != "" && (!errors.As(err, &told) || told.Code != exit.WrongState || !strings.Contains(told.Next, c.says)):
				t.Errorf("error %+v; want one whose next step is %q", told, c.says)
			}
		})
	}
}
