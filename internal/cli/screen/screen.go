// Package screen writes for people: tables, pages, colours where there is a terminal, and questions.
package screen

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/itil-dev/itil-operator/internal/cli/exit"
)

// Screen is where a command writes to and reads from.
type Screen struct {
	genericiooptions.IOStreams
	// Palette of Out: no colours unless it is a terminal.
	Palette Palette
	// Interactive: a person can be asked.
	Interactive bool
}

// New is the screen of these streams. Colours need a terminal, and that neither NO_COLOR is set nor TERM is "dumb";
// questions need one to read from and one to show them on.
func New(streams genericiooptions.IOStreams) *Screen {
	return &Screen{
		IOStreams:   streams,
		Palette:     Palette{Colour: printers.AllowsColorOutput(streams.Out)},
		Interactive: printers.IsTerminal(streams.In) && printers.IsTerminal(streams.ErrOut),
	}
}

// Printf writes to Out.
func (s *Screen) Printf(format string, args ...any) error {
	_, err := fmt.Fprintf(s.Out, format, args...)
	return err
}

// Notef writes a line for people to ErrOut, so that Out holds nothing but what was asked for.
func (s *Screen) Notef(format string, args ...any) {
	// A note that cannot be written has nobody to read it.
	_, _ = fmt.Fprintf(s.ErrOut, format+"\n", args...)
}

// Confirm asks a question and returns nil where the answer is yes; without a terminal, or with another answer, it is
// an error with the code NotConfirmed. The question is written to ErrOut.
func (s *Screen) Confirm(question, withoutTerminal string) error {
	if !s.Interactive {
		return exit.New(exit.NotConfirmed, "not confirmed: there is no terminal to ask on").WithNext("%s", withoutTerminal)
	}
	if _, err := fmt.Fprintf(s.ErrOut, "%s [y/N] ", question); err != nil {
		return err
	}
	answer, err := bufio.NewReader(io.LimitReader(s.In, maxAnswer)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	default:
		return exit.New(exit.NotConfirmed, "not confirmed: nothing was done")
	}
}

const maxAnswer = 256

// Palette paints text where colours are allowed.
type Palette struct{ Colour bool }

// Style is how a text is painted.
type Style string

const (
	// Plain text.
	Plain Style = ""
	// Strong text: headings.
	Strong Style = "1"
	// Faint text: what matters less.
	Faint Style = "2"
	// Bad: somebody must act.
	Bad Style = "31"
	// Good: all is well.
	Good Style = "32"
	// Warn: look at it.
	Warn Style = "33"
)

// Paint is the text in that style.
func (p Palette) Paint(style Style, text string) string {
	if !p.Colour || style == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(style) + "m" + text + "\x1b[0m"
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
