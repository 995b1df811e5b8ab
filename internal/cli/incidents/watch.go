package incidents

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	watchtools "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// follower shows incidents as they change, until the context ends.
type follower struct {
	*lister
	session   *session.Session
	namespace string
	keep      func(*v1alpha1.Incident) bool
	table     *screen.Table
	header    bool
	// shown is the version of each incident that was shown last. One that leaves the filter (resolved, or assigned to
	// another) is shown once more, so that one sees it go.
	shown map[types.UID]string
	times *elapsedTimes
}

func (l *lister) follow(ctx context.Context, s *session.Session, namespace string, keep func(*v1alpha1.Incident) bool) error {
	f := &follower{
		lister: l, session: s, namespace: namespace, keep: keep,
		table: newTable(l.columns()), shown: map[types.UID]string{}, times: newElapsed(s),
	}
	for {
		expired, err := f.round(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // whoever watches ends it, and that is no failure
		}
		if err != nil || !expired {
			return err
		}
	}
}

// round lists, shows what is new, and watches on from there. Expired: the API server no longer has what came after
// that, and the next round must list again.
func (f *follower) round(ctx context.Context) (expired bool, err error) {
	list := &v1alpha1.IncidentList{}
	if err := f.session.ReadAll(ctx, list, f.namespace); err != nil {
		return false, err
	}
	version := list.ResourceVersion
	for i := range list.Items {
		f.admit(&list.Items[i])
	}
	list.Items = chosen(list.Items, f.isPending)
	for i := range list.Items {
		if err := f.show(ctx, &list.Items[i]); err != nil {
			return false, err
		}
	}
	w, err := watchtools.NewRetryWatcherWithContext(ctx, version, &source{session: f.session, namespace: f.namespace})
	if err != nil {
		return false, err
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, nil
		case event, open := <-w.ResultChan():
			if !open {
				return true, nil
			}
			if expired, err := f.handle(ctx, event); expired || err != nil {
				return expired, err
			}
		}
	}
}

// pending marks an incident that is to be shown.
const pending = ""

// admit takes note of an incident that the list has: what is kept, or was shown before in another version, is to be
// shown.
func (f *follower) admit(i *v1alpha1.Incident) {
	version, known := f.shown[i.UID]
	if version != i.ResourceVersion && (known || f.keep(i)) {
		f.shown[i.UID] = pending
	}
}

// isPending reports whether an incident is to be shown; one of which nothing is known is not.
func (f *follower) isPending(i *v1alpha1.Incident) bool {
	version, known := f.shown[i.UID]
	return known && version == pending
}

func (f *follower) handle(ctx context.Context, event watch.Event) (expired bool, err error) {
	switch event.Type {
	case watch.Added, watch.Modified:
		if i, ok := event.Object.(*v1alpha1.Incident); ok {
			f.admit(i)
			if f.isPending(i) {
				return false, f.show(ctx, i)
			}
		}
	case watch.Deleted:
		if i, ok := event.Object.(*v1alpha1.Incident); ok {
			delete(f.shown, i.UID)
		}
	case watch.Error:
		err := apierrors.FromObject(event.Object)
		if apierrors.IsGone(err) || apierrors.IsResourceExpired(err) {
			return true, nil
		}
		return false, fmt.Errorf("watching Incidents: %w", err)
	case watch.Bookmark:
	}
	return false, nil
}

func (f *follower) show(ctx context.Context, i *v1alpha1.Incident) error {
	f.shown[i.UID] = i.ResourceVersion
	if !f.keep(i) {
		delete(f.shown, i.UID)
	}
	out := f.session.Screen
	if !f.output.ForPeople() {
		return f.output.Object(out.Out, i)
	}
	f.table.Rows = nil
	f.table.Add(row(i, f.session.Now(), f.columns(), func(i *v1alpha1.Incident) string { return f.times.text(ctx, i) })...)
	if !f.header {
		f.header = true
		return f.table.Write(out.Out, out.Palette)
	}
	return f.table.WriteRows(out.Out, out.Palette)
}

// source watches through the session's client.
type source struct {
	session   *session.Session
	namespace string
}

// WatchWithContext implements cache.WatcherWithContext.
func (w *source) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return w.session.Watch(ctx, &v1alpha1.IncidentList{}, &client.ListOptions{Namespace: w.namespace, Raw: &options})
}
