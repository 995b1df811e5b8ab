package detection

import (
	"context"
	"fmt"
	"io"
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
	logTimeout    = 5 * time.Second
)

// tails are the ends of logs, each read once when an Incident is opened, one after the other and apart from the looks.
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
	if len(t.read) < maxLogsWanted {
		t.read[key] = readLog{incident: name, tail: tail}
	}
}

// take is the log that was read for an Incident, once.
func (t *tails) take(key configuration.Key, name string) *v1alpha1.LogTail {
	t.mu.Lock()
	defer t.mu.Unlock()
	read, known := t.read[key]
	if !known || read.incident != name {
		return nil
	}
	return read.tail
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
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	lines, bytes := int64(incident.MaxLogLines), int64(incident.MaxLogBytes)
	stream, err := r.Logs(ctx, w.key.Namespace, w.source.Pod, &corev1.PodLogOptions{
		Container: w.source.Container, Previous: w.source.Previous, TailLines: &lines, LimitBytes: &bytes,
	})
	if err != nil {
		return incident.NoTail(w.source, logProblem(w.key.Namespace, err), r.Clock.Now())
	}
	defer func() { _ = stream.Close() }()
	text, err := io.ReadAll(io.LimitReader(stream, bytes))
	if err != nil && len(text) == 0 {
		return incident.NoTail(w.source, logProblem(w.key.Namespace, err), r.Clock.Now())
	}
	return incident.TailOf(w.source, string(text), r.Clock.Now())
}

func logProblem(namespace string, err error) string {
	if apierrors.IsForbidden(err) {
		return fmt.Sprintf("the operator may not read logs in namespace %s: bind ClusterRole itil-operator-log-reader to its "+
			"service account there, or take spec.detection.captureLogs off the Service", namespace)
	}
	return "the log could not be read: " + err.Error()
}

// addLog puts the log that was read for an Incident on it.
func (r *Reconciler) addLog(ctx context.Context, in *input) error {
	current := in.records.Current
	if current == nil || current.Status.DetectedAt == nil {
		return nil
	}
	tail := r.tails.take(in.Key, current.Name)
	if tail == nil {
		return nil
	}
	if current.Status.Log == nil {
		d := incident.DetectedOf(&current.Status)
		d.Log = tail
		if err := r.write(ctx, current, d); err != nil {
			return err
		}
	}
	r.tails.drop(in.Key)
	return nil
}
