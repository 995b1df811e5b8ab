package screen

import (
	"io"
	"strings"
)

// Cell is a text of a table with its style.
type Cell struct {
	Text  string
	Style Style
}

// Text is a plain cell of a text that others wrote.
func Text(s string) Cell { return Cell{Text: Line(s)} }

// Styled is a cell of a text that others wrote.
func Styled(style Style, s string) Cell { return Cell{Text: Line(s), Style: style} }

// Table is columns with a header, as kubectl prints them.
type Table struct {
	Header []string
	Rows   [][]Cell
	// widths are remembered from table to table, so that rows that follow later (a watch) line up.
	widths []int
}

const (
	columnGap = "   "
	// absent is shown where there is nothing to say, so that columns stay columns for cut and awk.
	absent = "-"
)

// Columns says which columns a table of records has besides those that it always has.
type Columns struct {
	// Namespace of each record, in front.
	Namespace bool
	// Wide has the columns at the end that only -o wide shows.
	Wide bool
}

// Table is an empty one, with the columns that it always has and those of -o wide.
func (c Columns) Table(always, wide []string) *Table {
	t := &Table{}
	if c.Namespace {
		t.Header = append(t.Header, "NAMESPACE")
	}
	t.Header = append(t.Header, always...)
	if c.Wide {
		t.Header = append(t.Header, wide...)
	}
	return t
}

// Row is the row of a record of a namespace. What only -o wide shows is asked for where it is shown.
func (c Columns) Row(namespace string, always []Cell, wide func() []Cell) []Cell {
	row := make([]Cell, 0, len(always)+1)
	if c.Namespace {
		row = append(row, Text(namespace))
	}
	row = append(row, always...)
	if c.Wide {
		row = append(row, wide()...)
	}
	return row
}

// Add appends a row.
func (t *Table) Add(cells ...Cell) { t.Rows = append(t.Rows, cells) }

// write writes the rows, below the header where that is wanted; the header alone is never written.
func (t *Table) write(w io.Writer, p Palette, header bool) error {
	if len(t.Rows) == 0 {
		return nil
	}
	rows := t.Rows
	if header {
		head := make([]Cell, len(t.Header))
		for i, h := range t.Header {
			head[i] = Cell{Text: h}
		}
		rows = append([][]Cell{head}, rows...)
	}
	t.measure(rows)
	var b strings.Builder
	for _, row := range rows {
		writeRow(&b, row, t.widths, p)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Write writes header and rows.
func (t *Table) Write(w io.Writer, p Palette) error { return t.write(w, p, true) }

// WriteRows writes the rows without the header.
func (t *Table) WriteRows(w io.Writer, p Palette) error { return t.write(w, p, false) }

func (t *Table) measure(rows [][]Cell) {
	for _, row := range rows {
		for i, cell := range row {
			if i == len(t.widths) {
				t.widths = append(t.widths, 0)
			}
			t.widths[i] = max(t.widths[i], Width(shown(cell)))
		}
	}
}

func shown(c Cell) string {
	if c.Text == "" {
		return absent
	}
	return c.Text
}

func writeRow(b *strings.Builder, row []Cell, widths []int, p Palette) {
	for i, cell := range row {
		text := shown(cell)
		b.WriteString(p.Paint(cell.Style, text))
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", widths[i]-Width(text)))
			b.WriteString(columnGap)
		}
	}
	b.WriteByte('\n')
}
