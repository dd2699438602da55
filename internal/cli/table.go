package cli

import (
	"fmt"

	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/table"
)

// table writes rows under a header, without lines around them.
func (a *app) table(header []string, rows [][]string) error {
	t := table.New().Headers(header...).Rows(rows...).Border(lipgloss.HiddenBorder()).
		BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).BorderHeader(false).
		StyleFunc(func(int, int) lipgloss.Style { return lipgloss.NewStyle().PaddingRight(1) })
	_, err := fmt.Fprintln(a.out, t.Render())
	return err
}
