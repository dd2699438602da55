package plan

// Escape gives text from elsewhere as Markdown that stands for itself only, in one line: nobody is mentioned by it,
// nothing is linked or marked up, and it cannot leave its cell.
func Escape(s string) string { return escape(s) }
