package inventory

import (
	"hash/maphash"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// postings are the workloads of one namespace, found by their keys and by the labels of their templates, so that a
// Service that was altered looks at those alone that its claims may match. Writers only.
type postings struct {
	namespace string
	slots     map[configuration.Key]*slot
	labelled  map[uint64][]*slot
}

// slot of one workload; it stays while versions come and go.
type slot struct{ *workload }

var seed = maphash.MakeSeed()

// labelHash of a label. Two labels with one hash cost a look in vain.
func labelHash(key, value string) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	_, _ = h.WriteString(key)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(value)
	return h.Sum64()
}

func newPostings(namespace string) *postings {
	return &postings{namespace: namespace, slots: map[configuration.Key]*slot{}, labelled: map[uint64][]*slot{}}
}

func (p *postings) put(w *workload) {
	s, known := p.slots[w.Key]
	if !known {
		s = &slot{}
		p.slots[w.Key] = s
	}
	if known {
		for k, v := range s.Template.Labels {
			if now, still := w.Template.Labels[k]; !still || now != v {
				p.unlabel(s, k, v)
			}
		}
	}
	for k, v := range w.Template.Labels {
		if known {
			if before, had := s.Template.Labels[k]; had && before == v {
				continue
			}
		}
		h := labelHash(k, v)
		p.labelled[h] = append(p.labelled[h], s)
	}
	s.workload = w
}

func (p *postings) remove(key configuration.Key) {
	s, known := p.slots[key]
	if !known {
		return
	}
	for k, v := range s.Template.Labels {
		p.unlabel(s, k, v)
	}
	delete(p.slots, key)
}

func (p *postings) unlabel(s *slot, key, value string) {
	h := labelHash(key, value)
	list := p.labelled[h]
	if at := slices.Index(list, s); at >= 0 {
		list[at] = list[len(list)-1]
		list[len(list)-1] = nil
		list = list[:len(list)-1]
	}
	if len(list) == 0 {
		delete(p.labelled, h)
	} else {
		p.labelled[h] = list
	}
}

// claimed adds the workloads that a claim covers to found.
func (p *postings) claimed(c configuration.Claim, found map[configuration.Key]*workload) {
	consider := func(s *slot) {
		if c.Covers(s.Key.Kind, s.Key.Name, s.Template.Labels) {
			found[s.Key] = s.workload
		}
	}
	if c.Name != "" {
		group, _ := configuration.GroupOf(c.Kind)
		if s, ok := p.slots[configuration.Key{Group: group, Kind: c.Kind, Namespace: p.namespace, Name: c.Name}]; ok {
			consider(s)
		}
		return
	}
	list, narrowed := p.narrow(c.Selector)
	if !narrowed {
		for _, s := range p.slots {
			consider(s)
		}
		return
	}
	for _, s := range list {
		consider(s)
	}
}

// narrow returns the shortest list that has all workloads that a selector may match; false where it requires no label
// to have one of some values.
func (p *postings) narrow(selector configuration.Selector) (shortest []*slot, narrowed bool) {
	offer := func(list []*slot) {
		if !narrowed || len(list) < len(shortest) {
			shortest, narrowed = list, true
		}
	}
	for k, v := range selector.MatchLabels {
		offer(p.labelled[labelHash(k, v)])
	}
	for _, e := range selector.Expressions {
		if e.Operator != string(metav1.LabelSelectorOpIn) {
			continue
		}
		var list []*slot
		for _, v := range e.Values {
			list = append(list, p.labelled[labelHash(e.Key, v)]...)
		}
		offer(list)
	}
	return shortest, narrowed
}
