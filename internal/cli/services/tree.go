package services

import (
	"cmp"
	"slices"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// line is a row of the tree.
type line struct {
	// branch is the drawing before the name.
	branch string
	ref    session.Ref
	// service is nil where it does not exist or may not be read.
	service *v1alpha1.Service
	// dependency that leads here; nil for a root.
	dependency *v1alpha1.Dependency
	// mark says why what is below is not shown.
	mark mark
}

// mark says why what is below a line is not shown.
type mark string

const (
	shownHere  mark = ""
	shownAbove mark = "above"
	inCycle    mark = "cycle"
	notFound   mark = "not found"
	unreadable mark = "not readable"
	notRead    mark = "not read"
)

// forest is services with what they depend on.
type forest struct {
	services map[session.Ref]*v1alpha1.Service
	// lost says why others could not be read.
	lost  map[session.Ref]mark
	lines []line
	done  map[session.Ref]bool
	path  []session.Ref
}

func newForest(items []v1alpha1.Service) *forest {
	f := &forest{services: map[session.Ref]*v1alpha1.Service{}, lost: map[session.Ref]mark{}, done: map[session.Ref]bool{}}
	for i := range items {
		f.services[refOf(&items[i])] = &items[i]
	}
	return f
}

func refOf(s *v1alpha1.Service) session.Ref { return session.Ref{Namespace: s.Namespace, Name: s.Name} }

// dependencyRef is the service that a dependency names.
func dependencyRef(of *v1alpha1.Service, d *v1alpha1.Dependency) session.Ref {
	return session.Ref{Namespace: cmp.Or(string(d.Namespace), of.Namespace), Name: string(d.Name)}
}

// missing are the services that others depend on and that are not read yet, in a fixed order.
func (f *forest) missing() []session.Ref {
	found := map[session.Ref]bool{}
	for _, s := range f.services {
		for i := range s.Spec.DependsOn {
			ref := dependencyRef(s, &s.Spec.DependsOn[i])
			_, read := f.services[ref]
			if _, lost := f.lost[ref]; !read && !lost {
				found[ref] = true
			}
		}
	}
	out := make([]session.Ref, 0, len(found))
	for ref := range found {
		out = append(out, ref)
	}
	slices.SortFunc(out, compareRefs)
	return out
}

func compareRefs(a, b session.Ref) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// growFrom draws the trees below these services.
func (f *forest) growFrom(roots []session.Ref) []line {
	for _, ref := range roots {
		f.add(line{ref: ref}, "")
	}
	return f.lines
}

// growAll draws the trees of all these services: those that none of them depends on are the roots, and of a cycle that
// no root leads to, the first by name.
func (f *forest) growAll(all []session.Ref) []line {
	all = slices.SortedFunc(slices.Values(all), compareRefs)
	needed := map[session.Ref]bool{}
	for _, ref := range all {
		s := f.services[ref]
		for i := range s.Spec.DependsOn {
			if to := dependencyRef(s, &s.Spec.DependsOn[i]); to != ref {
				needed[to] = true
			}
		}
	}
	for _, ref := range all {
		if !needed[ref] {
			f.add(line{ref: ref}, "")
		}
	}
	for _, ref := range all {
		if !f.done[ref] {
			f.add(line{ref: ref}, "")
		}
	}
	return f.lines
}

func (f *forest) add(l line, below string) {
	l.service = f.services[l.ref]
	switch {
	case l.service == nil:
		l.mark = cmp.Or(f.lost[l.ref], notRead)
	case slices.Contains(f.path, l.ref):
		l.mark = inCycle
	case f.done[l.ref]:
		if len(l.service.Spec.DependsOn) > 0 {
			l.mark = shownAbove
		}
		f.lines = append(f.lines, l)
		return
	}
	f.lines = append(f.lines, l)
	if l.mark != shownHere {
		return
	}
	f.done[l.ref] = true
	f.path = append(f.path, l.ref)
	defer func() { f.path = f.path[:len(f.path)-1] }()
	needs := l.service.Spec.DependsOn
	for i := range needs {
		branch, next := "├─ ", "│  "
		if i == len(needs)-1 {
			branch, next = "└─ ", "   "
		}
		f.add(line{branch: below + branch, ref: dependencyRef(l.service, &needs[i]), dependency: &needs[i]}, below+next)
	}
}
