package session

import (
	"context"
	"sync"

	"github.com/itil-dev/itil-operator/internal/cli/screen"
)

// warnings takes the warnings that the API server sends with its answers: those of a request that collects them go
// to the collector, all others to the screen, as kubectl does.
type warnings struct{ screen *screen.Screen }

const warningCode = 299

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (w *warnings) HandleWarningHeaderWithContext(ctx context.Context, code int, _, text string) {
	if code != warningCode || text == "" {
		return
	}
	if collector, ok := ctx.Value(collectorKey{}).(*Collector); ok {
		collector.add(text)
		return
	}
	w.screen.Notef("%s %s", screen.Palette{Colour: w.screen.Palette.Colour}.Paint(screen.Warn, "Warning:"), screen.Line(text))
}

// Collector keeps the warnings of a request.
type Collector struct {
	mu    sync.Mutex
	texts []string
}

type collectorKey struct{}

// Collecting returns a context whose requests give their warnings to the collector.
func Collecting(ctx context.Context) (context.Context, *Collector) {
	collector := &Collector{}
	return context.WithValue(ctx, collectorKey{}, collector), collector
}

func (c *Collector) add(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.texts = append(c.texts, text)
}

// Texts are the warnings so far, in their order.
func (c *Collector) Texts() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.texts...)
}
