package panics_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"

	"github.com/itil-dev/itil-operator/internal/testing/panics"
)

// handled panics as a reconciler does, and lets the handlers know as controller-runtime does.
func handled(doing func()) {
	defer func() {
		if r := recover(); r != nil {
			for _, fn := range utilruntime.PanicHandlers {
				fn(context.Background(), r)
			}
		}
	}()
	doing()
}

func reachesTooFar(list []int, at int) { _ = list[at] }

func TestRecorder(t *testing.T) {
	before := utilruntime.PanicHandlers
	t.Cleanup(func() { utilruntime.PanicHandlers = before })
	recorded := panics.Record()

	handled(func() {})
	handled(func() { panic(http.ErrAbortHandler) })
	if err := recorded.Err(); err != nil {
		t.Fatalf("nothing panicked: %v", err)
	}

	for range 3 {
		handled(func() { reachesTooFar(nil, 4) })
	}
	handled(func() { panic("other") })
	told := fmt.Sprint(recorded.Err())
	for _, wanted := range []string{"3 times panic: runtime error: index out of range [4]", "reachesTooFar", "panics_test.go:", "1 times panic: other"} {
		if !strings.Contains(told, wanted) {
			t.Errorf("%q is not told:\n%s", wanted, told)
		}
	}
	if strings.Contains(told, "(*Recorder).keep") {
		t.Errorf("how it was recorded is told:\n%s", told)
	}
}
