package change

import (
	"math/rand/v2"
	"testing"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// tape makes choices of bytes, so that a fuzzer chooses what happens. What is beyond its end follows from its length.
type tape struct {
	bytes []byte
	after rand.Source
}

func newTape(data []byte) *tape {
	return &tape{bytes: data, after: rand.NewPCG(uint64(len(data)), 7)}
}

// Uint64 implements rand.Source: a byte decides, of whose bits rand looks at the upper or the lower ones.
func (t *tape) Uint64() uint64 {
	if len(t.bytes) == 0 {
		return t.after.Uint64()
	}
	next := t.bytes[0]
	t.bytes = t.bytes[1:]
	const everywhere = 0x0101010101010101
	return uint64(next) * everywhere
}

// FuzzEvaluate lets what a fuzzer chooses happen to a Change: only the transitions of the design, GateOpen means what the
// gate does, and nothing happens before the wake-up but by itself.
func FuzzEvaluate(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 128, 3, 9, 64, 200, 120, 7, 255, 31, 80, 110, 140, 170, 200, 230})
	f.Add([]byte("a vote, an edit, a rollout, a rollback and a review"))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Few steps: what a fuzzer learns from is how many lives it sees. TestRandomLives has long ones.
		const most, steps = 64, 8
		r := rand.New(newTape(data[:min(len(data), most)]))
		s := told(t)
		if r.IntN(2) == 0 {
			from := r.IntN(30)
			s.edit(func(c *v1alpha1.ChangeSpec) {
				c.Window = &v1alpha1.Window{Start: stamp(from), End: stamp(from + 1 + r.IntN(30))}
			})
		}
		s.subject.Rules = Merge([]*v1alpha1.ChangePolicy{randomPolicy(r, "p")}, map[string]Calendar{"office": openFrom(r.IntN(20), 20+r.IntN(60))})
		for range steps {
			was := s.subject.Change.Status
			s.happens(r)
			s.last = Evaluate(&s.subject, hour(s.hours))
			s.check(0, &was)
			c := s.subject.Change.DeepCopy()
			c.Status = s.last.Status
			s.subject.Change = c
		}
	})
}
