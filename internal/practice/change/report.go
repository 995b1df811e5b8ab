package change

import "fmt"

// maxCauses bounds what a denial collects.
const maxCauses = 100

// report collects all that keeps a request out. A nil report collects nothing: then only the answer counts, and a
// check may stop at the first failure.
type report struct {
	causes []Cause
	// change that failures are about where they name none.
	change string
}

// fail takes down a failure and returns false, so that a check can return it.
func (r *report) fail(t CauseType, change, field, format string, args ...any) bool {
	if r == nil || len(r.causes) >= maxCauses {
		return false
	}
	if change == "" {
		change = r.change
	}
	r.causes = append(r.causes, Cause{
		Type: t, Change: change, Field: plain(field), Message: brief(plain(fmt.Sprintf(format, args...)), maxCause),
	})
	return false
}

const maxCause = 512

// about makes later failures be about a Change.
func (r *report) about(change string) *report {
	if r != nil {
		r.change = change
	}
	return r
}
