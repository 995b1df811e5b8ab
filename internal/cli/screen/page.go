package screen

import (
	"io"
	"strings"
)

// Page is a description of one object: labelled lines, as `kubectl describe` writes them.
type Page struct {
	Palette Palette
	b       strings.Builder
}

const (
	labelWidth = 14
	indent     = "  "
)

// Title begins the page.
func (p *Page) Title(title, rest string) {
	p.b.WriteString(p.Palette.Paint(Strong, title))
	if rest != "" {
		p.b.WriteString(columnGap + rest)
	}
	p.b.WriteByte('\n')
}

// Field writes a label and its value; nothing where the value is empty.
func (p *Page) Field(label, value string) {
	if value == "" {
		return
	}
	p.b.WriteString(p.Palette.Paint(Strong, label))
	p.b.WriteString(strings.Repeat(" ", max(labelWidth-Width(label), 1)))
	p.b.WriteString(value)
	p.b.WriteByte('\n')
}

// Text writes a label and the lines of a text that others wrote, below one another; nothing where it is empty.
func (p *Page) Text(label, text string) {
	for i, line := range Block(text) {
		switch {
		case i == 0:
			p.Field(label, line)
		default:
			p.b.WriteString(strings.Repeat(" ", labelWidth) + line + "\n")
		}
	}
}

// Item writes an indented line below the last label.
func (p *Page) Item(text string) {
	p.b.WriteString(indent + text + "\n")
}

// Table writes an indented table below the last label.
func (p *Page) Table(t *Table) {
	var b strings.Builder
	// A strings.Builder never fails.
	_ = t.Write(&b, p.Palette)
	for line := range strings.Lines(b.String()) {
		p.b.WriteString(indent + line)
	}
}

// Gap writes an empty line.
func (p *Page) Gap() { p.b.WriteByte('\n') }

// String is the page so far.
func (p *Page) String() string { return p.b.String() }

// WriteTo writes the page.
func (p *Page) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, p.b.String())
	return int64(n), err
}
