// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// XLSX: an object is a sheet (book.xlsx#Orders; book.xlsx is the first one). The first row that is not empty names the fields. Numbers,
// truth values and texts are what the cells hold, cells formatted as dates are dates. A column with formulas is read
// (their last results) and never written. What is kept when the file is written: everything else in the workbook, formats included.

type xlsxCodec struct {
	data    []byte // the workbook as it was read; empty for a new one
	sheet   string
	header  int // its row, from 1
	places  []string
	numbers []int // of the rows that were read
}

// xlsxRow is the number of a record's row in the sheet.
type xlsxRow int

const maxCell = 32_767 // characters that a cell holds

func readXLSX(b []byte, object record.Object) (layout, error) {
	_, sheet := sheetOf(object)
	c := &xlsxCodec{data: b, sheet: sheet, header: 1}
	l := layout{codec: c, cells: true}
	if len(b) == 0 {
		if c.sheet == "" {
			c.sheet = "Sheet1"
		}
		return l, nil
	}
	f, err := openBook(b)
	if err != nil {
		return l, faulty("files.malformed", "%s cannot be opened as a workbook: %v.", object, err)
	}
	defer func() { _ = f.Close() }() // in memory
	if c.sheet == "" {
		c.sheet = f.GetSheetList()[0]
	}
	grid, err := f.GetRows(c.sheet, excelize.Options{RawCellValue: true})
	if err != nil {
		return l, &connector.Error{Class: connector.Reject, Code: "files.no_sheet",
			Message: fmt.Sprintf("%s has no sheet of that name; it has %s.", object, strings.Join(f.GetSheetList(), ", ")), Err: err}
	}
	formulas := hasFormulas(b)
	dates := map[int]bool{}                       // by style
	kinds := map[string]map[connector.Type]bool{} // of the cells of each field
	for i, cells := range grid {
		if blank(cells) {
			continue
		}
		if c.places == nil {
			c.header = i + 1
			for _, h := range cells {
				name := strings.TrimSpace(h)
				if name != "" && contains(c.places, name) {
					return l, faulty("files.header", "In %s the first line must name each field once; %s does not.", object, shorten(name))
				}
				c.places = append(c.places, name)
				if name != "" {
					l.columns = append(l.columns, &column{FieldInfo: connector.FieldInfo{Name: name}, fits: cellFits})
				}
			}
			continue
		}
		c.numbers = append(c.numbers, i+1)
		r := &row{fields: record.Fields{}, raw: xlsxRow(i + 1), where: fmt.Sprintf("row %d", i+1)}
		for j, name := range c.places {
			if name == "" {
				continue
			}
			at, _ := excelize.CoordinatesToCellName(j+1, i+1) // both are in range
			if formulas {
				if text, err := f.GetCellFormula(c.sheet, at); err == nil && text != "" {
					l.computed(name)
				}
			}
			if j >= len(cells) || cells[j] == "" {
				if typ, err := f.GetCellType(c.sheet, at); err == nil && (typ == excelize.CellTypeSharedString || typ == excelize.CellTypeInlineString) {
					r.fields[name] = "" // a text without characters, which is not the same as nothing
				}
				continue
			}
			raw := cells[j]
			v, err := cellValue(f, c.sheet, at, raw, dates)
			if err != nil {
				return l, faulty("files.malformed", "%s, cell %s: %v.", object, at, err)
			}
			if day, isDate := v.(cellDate); isDate {
				note(kinds, name, day.typ)
				v = day.text
			} else {
				note(kinds, name, infer([]record.Value{v}))
			}
			r.fields[name] = v
		}
		l.rows = append(l.rows, r)
	}
	for _, col := range l.columns {
		col.Type = columnType(kinds[col.Name])
		if col.Native == "" {
			col.Native = string(col.Type) + ", by its cells"
		}
		col.Nullable = true
	}
	return l, nil
}

// cellDate is a number that is shown as a date.
type cellDate struct {
	text string
	typ  connector.Type
}

func note(kinds map[string]map[connector.Type]bool, name string, typ connector.Type) {
	if kinds[name] == nil {
		kinds[name] = map[connector.Type]bool{}
	}
	kinds[name][typ] = true
}

// columnType is the type of a column with cells of these kinds: text when they do not go together.
func columnType(kinds map[connector.Type]bool) connector.Type {
	for _, fits := range [][]connector.Type{{connector.TypeInteger, connector.TypeNumber}, {connector.TypeDate, connector.TypeDateTime}, {connector.TypeBoolean}} {
		n, typ := 0, connector.Type("")
		for _, k := range fits {
			if kinds[k] {
				n, typ = n+1, k
			}
		}
		if n > 0 && n == len(kinds) {
			return typ
		}
	}
	return connector.TypeText
}

// openBook bounds what a small file may unpack to.
func openBook(b []byte) (*excelize.File, error) {
	return excelize.OpenReader(bytes.NewReader(b), excelize.Options{UnzipSizeLimit: 1 << 30, UnzipXMLSizeLimit: 1 << 30})
}

func (l *layout) computed(name string) {
	for _, c := range l.columns {
		if c.Name == name {
			c.ReadOnly, c.Native = true, "computed by a formula"
		}
	}
}

func blank(cells []string) bool {
	for _, c := range cells {
		if strings.TrimSpace(c) != "" {
			return false
		}
	}
	return true
}

func cellValue(f *excelize.File, sheet, at, raw string, dates map[int]bool) (record.Value, error) {
	typ, err := f.GetCellType(sheet, at)
	if err != nil {
		return nil, err
	}
	switch typ {
	case excelize.CellTypeBool:
		return raw == "1" || strings.EqualFold(raw, "true"), nil
	case excelize.CellTypeUnset, excelize.CellTypeNumber:
		n, err := record.ParseNumber(raw)
		if err != nil {
			return raw, nil //nolint:nilerr // a text, then
		}
		style, err := f.GetCellStyle(sheet, at)
		if err != nil {
			return nil, err
		}
		isDate, known := dates[style]
		if !known {
			isDate = dateStyle(f, style)
			dates[style] = isDate
		}
		if isDate {
			return serialDate(raw), nil
		}
		return n, nil
	}
	return raw, nil
}

// hasFormulas says whether any sheet of the workbook has a formula, since asking each cell takes long.
func hasFormulas(b []byte) bool {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return true
	}
	for _, part := range z.File {
		if !strings.HasPrefix(part.Name, "xl/worksheets/") {
			continue
		}
		r, err := part.Open()
		if err != nil {
			return true
		}
		const most = 1 << 30
		text, err := io.ReadAll(io.LimitReader(r, most))
		_ = r.Close() // it was read
		if err != nil || bytes.Contains(text, []byte("<f>")) || bytes.Contains(text, []byte("<f ")) {
			return true
		}
	}
	return false
}

// dateStyle says whether a style shows numbers as dates.
func dateStyle(f *excelize.File, style int) bool {
	s, err := f.GetStyle(style)
	if err != nil || s == nil {
		return false
	}
	if s.CustomNumFmt != nil {
		for i, part := range strings.Split(strings.ToLower(*s.CustomNumFmt), `"`) {
			part = strings.NewReplacer("[red]", "", "[blue]", "", "[yellow]", "").Replace(part)
			if i%2 == 0 && (strings.ContainsAny(part, "yd") || strings.Contains(part, "h:mm")) { // what is quoted is text
				return true
			}
		}
		return false
	}
	return s.NumFmt >= 14 && s.NumFmt <= 22 || s.NumFmt >= 45 && s.NumFmt <= 47
}

// serialDate is the date that a count of days means: a date, or a date and time without a zone.
func serialDate(raw string) record.Value {
	days, err := strconv.ParseFloat(raw, 64)
	if err != nil || days < 0 || days > 3_000_000 {
		return raw
	}
	whole, part := math.Modf(days)
	day := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(whole))
	if part == 0 {
		return cellDate{day.Format(dateForm), connector.TypeDate}
	}
	return cellDate{day.Add(time.Duration(math.Round(part*86_400_000)) * time.Millisecond).Format(dateTimeForm), connector.TypeDateTime}
}

// cellFits says what a cell keeps.
func cellFits(v record.Value) (record.Value, error) {
	s, isText := v.(string)
	if !isText {
		return v, nil
	}
	if utf8.RuneCountInString(s) > maxCell {
		return nil, fmt.Errorf("takes at most %d characters: a cell holds no more", maxCell)
	}
	return xmlText(v)
}

func (c *xlsxCodec) encode(t *table) ([]byte, error) {
	var f *excelize.File
	var err error
	if len(c.data) == 0 {
		f = excelize.NewFile()
		if c.sheet != "Sheet1" {
			err = f.SetSheetName("Sheet1", c.sheet)
		}
	} else {
		f, err = openBook(c.data)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	places := append([]string(nil), c.places...)
	for _, col := range t.columns {
		if !contains(places, col.Name) {
			places = append(places, col.Name)
			if err := c.set(f, len(places), c.header, connector.TypeText, col.Name); err != nil {
				return nil, err
			}
		}
	}
	kept := map[int]bool{}
	last := c.header
	for _, r := range t.rows {
		n, old := r.raw.(xlsxRow)
		if !old {
			continue
		}
		kept[int(n)] = true
		last = max(last, int(n))
		if r.changed {
			if err := c.write(f, t, r, places, int(n)); err != nil {
				return nil, err
			}
		}
	}
	if last, err = c.removeRows(f, kept, last); err != nil {
		return nil, err
	}
	for _, r := range t.rows {
		if _, old := r.raw.(xlsxRow); old {
			continue
		}
		last++
		if err := c.write(f, t, r, places, last); err != nil {
			return nil, err
		}
	}
	out, err := f.WriteToBuffer()
	if err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// removeRows takes out the rows of records that are gone, from below, so that the numbers of those above stay. It
// returns the number of the last row.
func (c *xlsxCodec) removeRows(f *excelize.File, kept map[int]bool, last int) (int, error) {
	for i := len(c.numbers) - 1; i >= 0; i-- {
		if n := c.numbers[i]; !kept[n] {
			if err := f.RemoveRow(c.sheet, n); err != nil {
				return 0, err
			}
			if n < last {
				last--
			}
		}
	}
	return last, nil
}

func (c *xlsxCodec) write(f *excelize.File, t *table, r *row, places []string, n int) error {
	for i, name := range places {
		col := t.column(name)
		if col == nil || col.ReadOnly {
			continue
		}
		if err := c.set(f, i+1, n, col.Type, r.fields[name]); err != nil {
			return err
		}
	}
	return nil
}

func (c *xlsxCodec) set(f *excelize.File, x, y int, typ connector.Type, v record.Value) error {
	at, err := excelize.CoordinatesToCellName(x, y)
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case nil:
		if old, err := f.GetCellValue(c.sheet, at, excelize.Options{RawCellValue: true}); err != nil || old == "" {
			return err
		}
		return f.SetCellValue(c.sheet, at, nil)
	case bool:
		if typ != connector.TypeJSON {
			return f.SetCellBool(c.sheet, at, v)
		}
	case record.Number:
		// More than 15 digits are not what a spreadsheet shows; such numbers stay whole in the file until a person edits the cell.
		if typ != connector.TypeJSON {
			return f.SetCellDefault(c.sheet, at, string(v))
		}
	case string:
		if (typ == connector.TypeDate || typ == connector.TypeDateTime) && c.keepsDates(f, at) {
			if when, err := time.Parse(dateTimeForm, v); err == nil {
				return f.SetCellValue(c.sheet, at, when)
			}
			if when, err := time.Parse(dateForm, v); err == nil {
				return f.SetCellValue(c.sheet, at, when)
			}
		}
	}
	return f.SetCellStr(c.sheet, at, toText(typ, v))
}

// keepsDates says whether the cell is formatted as a date, so that a date in it is a count of days.
func (c *xlsxCodec) keepsDates(f *excelize.File, at string) bool {
	style, err := f.GetCellStyle(c.sheet, at)
	return err == nil && style != 0 && dateStyle(f, style)
}
