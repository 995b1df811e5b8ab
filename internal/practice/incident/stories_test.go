package incident_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/replay"
)

// story is a sequence that is not recorded, as Kubernetes' documentation and source have it, and the Incidents that are
// to come of it.
type story struct {
	tell func(*tape)
	// want are the Incidents: title, state, reason and code of the resolution.
	want []string
	// settings of the Service, where it has any.
	detect *v1alpha1.Detection
}

// tape is a story as it is told.
type tape struct {
	t      *testing.T
	events []replay.Event
}

// at puts an object there as it is then.
func (p *tape) at(d time.Duration, objects ...runtime.Object) {
	for _, object := range objects {
		p.add(d, watch.Modified, object)
	}
}

// drop takes objects away.
func (p *tape) drop(d time.Duration, objects ...runtime.Object) {
	for _, object := range objects {
		p.add(d, watch.Deleted, object)
	}
}

func (p *tape) add(d time.Duration, kind watch.EventType, object runtime.Object) {
	p.t.Helper()
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		p.t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: raw}
	u.SetGroupVersionKind(kindOf(object))
	if u.GetUID() == "" {
		u.SetUID(types.UID("uid-" + u.GetKind() + "-" + u.GetName()))
	}
	versions++
	u.SetResourceVersion(fmt.Sprint(p.t.Name(), versions))
	p.events = append(p.events, replay.Event{Time: at(d), Type: kind, Object: u})
}

func kindOf(object runtime.Object) schema.GroupVersionKind {
	switch object.(type) {
	case *corev1.Pod:
		return corev1.SchemeGroupVersion.WithKind("Pod")
	case *corev1.Node:
		return corev1.SchemeGroupVersion.WithKind("Node")
	case *appsv1.Deployment:
		return appsv1.SchemeGroupVersion.WithKind("Deployment")
	case *appsv1.ReplicaSet:
		return appsv1.SchemeGroupVersion.WithKind("ReplicaSet")
	case *appsv1.StatefulSet:
		return appsv1.SchemeGroupVersion.WithKind("StatefulSet")
	case *appsv1.DaemonSet:
		return appsv1.SchemeGroupVersion.WithKind("DaemonSet")
	case *batchv1.Job:
		return batchv1.SchemeGroupVersion.WithKind("Job")
	case *batchv1.CronJob:
		return batchv1.SchemeGroupVersion.WithKind("CronJob")
	}
	return schema.GroupVersionKind{}
}

func (s story) trace(t *testing.T) *replay.Trace {
	t.Helper()
	p := &tape{t: t}
	s.tell(p)
	slices.SortStableFunc(p.events, func(a, b replay.Event) int { return a.Time.Compare(b.Time) })
	return &replay.Trace{Name: t.Name(), Events: p.events}
}

// told are the Incidents of a world as stories name them.
func (w *world) told() []string {
	out := []string{}
	for _, i := range w.incidents {
		text := i.Spec.Title + " | " + string(i.Status.State) + " " + string(i.Status.Reason)
		if i.Status.Resolution != nil {
			text += " " + string(i.Status.Resolution.Code)
		}
		if i.Status.ParentRef != nil {
			text += " explained"
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}

// untitled leaves out the titles: where news is lost, an Incident is named after what is known first.
func untitled(list []string) []string {
	out := []string{}
	for _, text := range list {
		_, rest, _ := strings.Cut(text, " | ")
		out = append(out, rest)
	}
	slices.Sort(out)
	return out
}

// TestStories plays each story as it is, and in ways in which a watch may deliver it.
func TestStories(t *testing.T) {
	stories := map[string]story{}
	for _, part := range []map[string]story{podStories(), jobStories(), workloadStories(), nodeStories()} {
		maps.Copy(stories, part)
	}
	for name, s := range stories {
		t.Run(name, func(t *testing.T) {
			trace := s.trace(t)
			want := append([]string{}, s.want...)
			slices.Sort(want)
			play := func(events []replay.Event, before func(w *world, n int)) *world {
				w := newWorld(t)
				w.settings = w.settings.With(s.detect)
				for n, e := range events {
					if before != nil {
						before(w, n)
					}
					if err := w.Apply(e); err != nil {
						t.Fatal(err)
					}
				}
				w.pass(trace.End().Add(afterwards))
				return w
			}
			if diff := cmp.Diff(want, play(trace.Events, nil).told()); diff != "" {
				t.Fatal(diff)
			}
			for how, distort := range map[string]func(*replay.Trace, *rand.Rand){"shuffled": shuffle, "repeated": repeat, "lost": loseBrief} {
				for seed := range uint64(4) {
					distorted := s.trace(t)
					distort(distorted, rand.New(rand.NewPCG(seed, 2)))
					got, want := play(distorted.Events, nil).told(), want
					if how != "repeated" {
						got, want = untitled(got), untitled(want)
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%s, seed %d: %s", how, seed, diff)
					}
				}
			}
			for n := range trace.Events {
				restarted := play(trace.Events, func(w *world, i int) {
					if i == n {
						w.restart()
					}
				})
				if diff := cmp.Diff(untitled(want), untitled(restarted.told())); diff != "" {
					t.Errorf("listed anew before event %d: %s", n, diff)
				}
			}
		})
	}
}

// loseBrief drops half of the versions that another follows soon: a watch that is resumed brings what is there then.
func loseBrief(trace *replay.Trace, random *rand.Rand) {
	var out []replay.Event
	for i, e := range trace.Events {
		soon := slices.ContainsFunc(trace.Events[i+1:], func(later replay.Event) bool {
			return later.Object.GetUID() == e.Object.GetUID() && later.Time.Sub(e.Time) <= 20*time.Second
		})
		if !soon || random.IntN(2) == 0 {
			out = append(out, e)
		}
	}
	trace.Events = out
}

func named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "shop", Name: name, Generation: 1, CreationTimestamp: stamped(-hour)}
}

// starting is a pod of web that was made, and waits for its container to be created.
func starting(name string, d time.Duration) *podBuilder {
	return aPod(name).created(d).phase(corev1.PodPending, "").waiting("app", "ContainerCreating").
		condition(corev1.PodReadyToStartContainers, corev1.ConditionFalse, "", d)
}

// started is a pod that was made then, and is ready five seconds later.
func started(name string, d time.Duration) *podBuilder {
	return aPod(name).created(d).running("app", 0, d+2*second).
		condition(corev1.PodReadyToStartContainers, corev1.ConditionTrue, "", d+second).
		condition(corev1.PodReady, corev1.ConditionTrue, "", d+5*second)
}
