package event

import "testing"

func TestType(t *testing.T) {
	if got := (Event{Warning: true}).Type(); got != "Warning" {
		t.Errorf("a warning is %s", got)
	}
	if got := (Event{}).Type(); got != "Normal" {
		t.Errorf("what is none is %s", got)
	}
}
