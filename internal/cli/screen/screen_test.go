package screen

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/itil-dev/itil-operator/internal/cli/exit"
)

func TestLine(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"plain":                      {"Roll out 2.4", "Roll out 2.4"},
		"a line break and a tab":     {"a\nb\tc\r", "a b c"},
		"an escape sequence":         {"\x1b[2Jgone", "\uFFFD[2Jgone"},
		"text turned right to left":  {"image\u202e4.2:tuokcehc", "image\uFFFD4.2:tuokcehc"},
		"a character of no width":    {"pay\u200bments", "pay\uFFFDments"},
		"a line separator":           {"a\u2028b", "a\uFFFDb"},
		"bytes that are no text":     {"a\xffb", "a\uFFFDb"},
		"letters of other languages": {"Überprüfung 検査 🚀", "Überprüfung 検査 🚀"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Line(test.in); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\x1b[31mb\nc\u202e\x00\xff")
	f.Fuzz(func(t *testing.T, s string) {
		for _, line := range append(Block(s), Line(s)) {
			if strings.ContainsAny(line, "\n\r\t\x1b\x00\u202e\u2028") {
				t.Errorf("%q steers a terminal", line)
			}
			if cut := Cut(line, 20); Width(cut) > 20 {
				t.Errorf("%q is %d columns wide", cut, Width(cut))
			}
		}
	})
}

func TestWidthAndCut(t *testing.T) {
	for name, test := range map[string]struct {
		in    string
		width int
		cut   string
	}{
		"short":       {"abc", 3, "abc"},
		"exactly":     {"abcdefgh", 8, "abcdefgh"},
		"longer":      {"abcdefghi", 9, "abcdefg…"},
		"at a space":  {"abcdef ghi", 10, "abcdef…"},
		"wide":        {"検査検査検", 10, "検査検…"},
		"a combining": {"e\u0301te\u0301", 3, "e\u0301te\u0301"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Width(test.in); got != test.width {
				t.Errorf("width %d, want %d", got, test.width)
			}
			if got := Cut(test.in, 8); got != test.cut {
				t.Errorf("cut to %q, want %q", got, test.cut)
			}
		})
	}
}

func TestTableLinesUp(t *testing.T) {
	table := &Table{Header: []string{"NAME", "STATE", "WHY"}}
	table.Add(Text("a"), Styled(Bad, "Rejected"), Text("x"))
	table.Add(Text("検査"), Cell{}, Cell{})
	for name, test := range map[string]struct {
		palette Palette
		want    string
	}{
		"without colours": {Palette{}, "NAME   STATE      WHY\na      Rejected   x\n検査   -          -\n"},
		"with colours":    {Palette{Colour: true}, "NAME   STATE      WHY\na      \x1b[31mRejected\x1b[0m   x\n検査   -          -\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := table.Write(&out, test.palette); err != nil {
				t.Fatal(err)
			}
			if out.String() != test.want {
				t.Errorf("got\n%q\nwant\n%q", out.String(), test.want)
			}
		})
	}
	t.Run("rows that follow", func(t *testing.T) {
		table.Rows = nil
		table.Add(Text("b"), Text("New"), Text("y"))
		var out bytes.Buffer
		if err := table.WriteRows(&out, Palette{}); err != nil {
			t.Fatal(err)
		}
		if want := "b      New        y\n"; out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	})
}

func TestConfirm(t *testing.T) {
	for name, test := range map[string]struct {
		answer      string
		interactive bool
		want        exit.Code
	}{
		"yes":                {"yes\n", true, exit.OK},
		"y, and no line end": {"Y", true, exit.OK},
		"no":                 {"n\n", true, exit.NotConfirmed},
		"nothing":            {"\n", true, exit.NotConfirmed},
		"the end of input":   {"", true, exit.NotConfirmed},
		"something else":     {"approve\n", true, exit.NotConfirmed},
		"no terminal":        {"yes\n", false, exit.NotConfirmed},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			s := &Screen{
				IOStreams:   genericiooptions.IOStreams{In: strings.NewReader(test.answer), Out: &out, ErrOut: &errOut},
				Interactive: test.interactive,
			}
			err := s.Confirm("Approve?", "give --yes")
			if got := exit.CodeOf(err); got != test.want {
				t.Errorf("code %d, want %d (%v)", got, test.want, err)
			}
			if out.Len() > 0 {
				t.Errorf("the question went to Out: %q", out.String())
			}
			if !test.interactive && exit.NextOf(err) != "give --yes" {
				t.Errorf("next step %q", exit.NextOf(err))
			}
		})
	}
}

func TestNewHasNoColoursWithoutATerminal(t *testing.T) {
	s := New(genericiooptions.IOStreams{In: strings.NewReader(""), Out: &bytes.Buffer{}, ErrOut: &bytes.Buffer{}})
	if s.Palette.Colour || s.Interactive {
		t.Errorf("a buffer was taken for a terminal: %+v", s)
	}
}

func TestTimes(t *testing.T) {
	now := time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
	berlin := time.FixedZone("", 3600)
	for name, test := range map[string]struct {
		at          time.Time
		ago, moment string
	}{
		"none":         {time.Time{}, "", ""},
		"before":       {now.Add(-3 * time.Hour), "3h ago", "2026-11-22 15:00 UTC"},
		"after":        {now.Add(14 * time.Hour), "in 14h", "2026-11-23 08:00 UTC"},
		"now":          {now.Add(100 * time.Millisecond), "now", "2026-11-22 18:00 UTC"},
		"another zone": {time.Date(2026, 11, 23, 8, 0, 0, 0, berlin), "in 13h", "2026-11-23 08:00 +01:00"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Ago(now, test.at); got != test.ago {
				t.Errorf("ago %q, want %q", got, test.ago)
			}
			if got := Moment(test.at); got != test.moment {
				t.Errorf("moment %q, want %q", got, test.moment)
			}
		})
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		Or(nil):                      "",
		Or([]string{"a"}):            "a",
		Or([]string{"a", "b", "c"}):  "a, b or c",
		And([]string{"a", "b"}):      "a and b",
		Plural(1, "vote"):            "1 vote",
		Plural(int32(2), "vote"):     "2 votes",
		Short("v1:0123456789abcdef"): "v1:01234567",
		Short("odd\x1b"):             "odd\uFFFD",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
