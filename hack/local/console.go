package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// console writes for a person: in colour on a terminal, unless NO_COLOR is set, and plainly anywhere else.
type console struct {
	out    io.Writer
	colour bool
}

type style string

const (
	bold  style = "1"
	dim   style = "2"
	red   style = "31"
	green style = "32"
	cyan  style = "36"
)

func newConsole(out io.Writer) *console {
	return &console{out: out, colour: isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func isTerminal(out io.Writer) bool {
	file, isFile := out.(*os.File)
	if !isFile {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (c *console) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(c.out, format, args...) // what nobody can read is no reason to stop
}

func (c *console) in(s style, text string) string {
	if !c.colour || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// block writes a text with every line indented.
func (c *console) block(s style, text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		c.printf("    %s\n", c.in(s, strings.TrimRight(line, "\n")))
	}
}
