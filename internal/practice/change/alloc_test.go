//go:build !race

package change

import "testing"

// What goes in allocates nothing but its own decision; the race detector allocates by itself.
func TestDecidingAllocatesNothingForWhatGoesIn(t *testing.T) {
	others := func(s *situation) {
		for _, name := range []string{"a", "b", "c"} {
			knowing(changeOf(name, images("x:1")))(s)
		}
	}
	for name, s := range map[string]*situation{
		"unchanged": situated(others, asking(func(r *Request) { r.New = v23 })),
		"rollback":  situated(others, asking(func(r *Request) { r.Old, r.New = v24, v23 }), given(func(w *World) { w.Baselines = append(w.Baselines[:0:0], baseline(v24), baseline(v23)) })),
		"covered":   situated(policies(policy("p", frozen(50, 60))), others, approved()),
	} {
		t.Run(name, func(t *testing.T) {
			if d := s.decide(2); !d.Allowed || d.Verdict == PreAuthorised {
				t.Fatalf("it is %s: %v", d.Verdict, d.Reasons)
			}
			now := hour(2)
			if n := testing.AllocsPerRun(100, func() { Decide(&s.request, &s.world, now) }); n > 0 {
				t.Errorf("%.0f allocations", n)
			}
		})
	}
}
