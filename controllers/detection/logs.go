package detection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// LogReader opens the log of a container. It is read where a Service asks for that, and the cluster allows it.
type LogReader func(ctx context.Context, namespace, pod string, options *corev1.PodLogOptions) (io.ReadCloser, error)

const (
	// maxLogsWanted bounds how many logs wait to be read; of what does not fit, there is none.
	maxLogsWanted = 100
	// DefaultLogTimeout is how long a kubelet may take to send the end of a log.
	DefaultLogTimeout = 5 * time.Second
	// logReaders read at once: a node that does not answer keeps only one of them waiting per log.
	logReaders = 4
)

// tails are the ends of logs, each read once when an Incident is opened, a few at once and apart from the looks.
type tails struct {
	wanted chan wantedLog

	mu   sync.Mutex
	read map[configuration.Key]readLog
}

type wantedLog struct {
	key      configuration.Key
	incident string
	source   incident.LogSource
}

type readLog struct {
	incident string
	tail     *v1alpha1.LogTail
}

func newTails() *tails {
	return &tails{wanted: make(chan wantedLog, maxLogsWanted), read: map[configuration.Key]readLog{}}
}

// wantLog asks for the end of the log of what fails, where its Service says so.
func (r *Reconciler) wantLog(in *input, result incident.Result, name string) {
	if r.Logs == nil || in.service == nil || in.service.Spec.Detection == nil || !in.service.Spec.Detection.CaptureLogs {
		return
	}
	source, ok := incident.LogOf(result.Findings, in.Pods)
	if !ok {
		return
	}
	select {
	case r.tails.wanted <- wantedLog{key: in.Key, incident: name, source: source}:
	default:
		r.tails.put(in.Key, name, incident.NoTail(source, "too many logs were to be read at once", r.Clock.Now()))
	}
}

func (t *tails) put(key configuration.Key, name string, tail *v1alpha1.LogTail) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.read[key]; known || len(t.read) < maxLogsWanted {
		t.read[key] = readLog{incident: name, tail: tail}
	}
}

// of is the log that was read for a workload, and the Incident for which; empty where there is none.
func (t *tails) of(key configuration.Key) readLog {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.read[key]
}

func (t *tails) drop(key configuration.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.read, key)
}

// readLogs reads what is wanted until the context ends.
func (r *Reconciler) readLogs(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case w := <-r.tails.wanted:
			r.tails.put(w.key, w.incident, r.readLog(ctx, w))
			r.enqueue(w.key)
		}
	}
}

func (r *Reconciler) readLog(ctx context.Context, w wantedLog) *v1alpha1.LogTail {
	ctx, cancel := context.WithTimeout(ctx, r.logTimeout())
	defer cancel()
	lines, bytes := int64(incident.MaxLogLines), int64(incident.MaxLogBytes)
	stream, err := r.Logs(ctx, w.key.Namespace, w.source.Pod, &corev1.PodLogOptions{
		Container: w.source.Container, Previous: w.source.Previous, TailLines: &lines, LimitBytes: &bytes,
	})
	if err != nil {
		return incident.NoTail(w.source, r.logProblem(ctx, w.key.Namespace, err), r.Clock.Now())
	}
	defer func() { _ = stream.Close() }()
	text, err := io.ReadAll(io.LimitReader(stream, bytes))
	switch {
	case len(text) > 0:
	case err != nil:
		return incident.NoTail(w.source, r.logProblem(ctx, w.key.Namespace, err), r.Clock.Now())
	default:
		return incident.NoTail(w.source, "the log is empty", r.Clock.Now())
	}
	return incident.TailOf(w.source, string(text), r.Clock.Now())
}

// kindOfKubelet is what a refusal is about that the API server hands on from a kubelet; its own are about pods.
const kindOfKubelet = "pods/log"

func (r *Reconciler) logTimeout() time.Duration { return cmp.Or(r.LogTimeout, DefaultLogTimeout) }

func (r *Reconciler) logProblem(ctx context.Context, namespace string, err error) string {
	status := apierrors.APIStatus(nil)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Sprintf("the log could not be read: the kubelet of the pod's node did not send it within %s", r.logTimeout())
	case !apierrors.IsForbidden(err):
	case errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Kind == kindOfKubelet:
		return "the log could not be read: the kubelet of the pod's node refused it to the API server: " + err.Error()
	default:
		return fmt.Sprintf("the operator may not read logs in namespace %s: bind ClusterRole itil-operator-log-reader to its "+
			"service account there, or take spec.detection.captureLogs off the Service", namespace)
	}
	return "the log could not be read: " + err.Error()
}

// addLog puts the log that was read for an Incident on it, as it is now: this look may have opened it, or again.
func (r *Reconciler) addLog(ctx context.Context, key configuration.Key) error {
	read := r.tails.of(key)
	if read.tail == nil {
		return nil
	}
	known := r.incidents.of(key)
	n := slices.IndexFunc(known, func(i *v1alpha1.Incident) bool { return i.Name == read.incident })
	if n < 0 || known[n].Status.State == v1alpha1.IncidentClosed || known[n].Status.Log != nil {
		r.tails.drop(key)
		return nil
	}
	d := incident.DetectedOf(&known[n].Status)
	d.Log = read.tail
	if err := r.write(ctx, known[n], d); err != nil {
		return err
	}
	r.tails.drop(key)
	return nil
}
