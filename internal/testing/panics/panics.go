// Package panics keeps what panicked in a process of tests and was recovered there: controller-runtime recovers what
// panics in a reconciler or a webhook, logs and counts it and goes on, and a test would at best see a number.
package panics

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
)

// Recorder keeps panics with their stacks. It is safe for concurrent use.
type Recorder struct {
	mu sync.Mutex
	// times of each panic, by its text: the same one comes again with each try.
	times map[string]int
}

// Record keeps from now on each panic that controller-runtime or client-go handles in this process. It must be called
// before anything of them runs, best in the declaration of a variable of a test package: their handlers have no lock.
func Record() *Recorder {
	r := &Recorder{times: map[string]int{}}
	utilruntime.PanicHandlers = append(utilruntime.PanicHandlers, r.keep)
	return r
}

func (r *Recorder) keep(_ context.Context, value any) {
	if err, isError := value.(error); isError && errors.Is(err, http.ErrAbortHandler) {
		// How an HTTP handler ends a connection.
		return
	}
	text := fmt.Sprintf("panic: %v\n%s", value, stack())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.times[text]++
}

// Err tells what panicked, with its stack, and how often; it is nil where nothing did.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []error
	for text, times := range r.times {
		all = append(all, fmt.Errorf("%d times %s", times, text))
	}
	return errors.Join(all...)
}

// stack of the goroutine that panicked, from where the panic began, without the addresses that differ each time.
func stack() string {
	const deepest = 64
	callers := make([]uintptr, deepest)
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers)])
	var lines strings.Builder
	for {
		frame, more := frames.Next()
		if frame.Function == "runtime.gopanic" {
			// What came before is the handling of the panic.
			lines.Reset()
		}
		fmt.Fprintf(&lines, "\t%s\n\t\t%s:%d\n", frame.Function, frame.File, frame.Line)
		if !more {
			return lines.String()
		}
	}
}
