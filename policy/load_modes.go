package policy

import "github.com/poundlock/poundlock/internal/mirror"

// modes reads one word for every stage, or a word for each stage.
func (l *loader) modes(node mirror.Node) map[mirror.Stage]mode {
	modes := map[mirror.Stage]mode{}
	if node.IsZero() {
		return modes
	}
	if !node.IsMapping() {
		modes[""] = l.mode(node)
		return modes
	}
	for _, stage := range node.Keys() {
		l.knownStage(stage, node.KeyWhere(stage))
		modes[mirror.Stage(stage)] = l.mode(node.Key(stage))
	}
	return modes
}

func (l *loader) mode(node mirror.Node) mode {
	text, ok := node.Text()
	switch m := mode(text); m {
	case modeEnforce, modeWarn, modeAudit:
		return m
	}
	what := "want enforce, warn or audit, or one of them for each stage"
	if ok {
		l.problems.Add("POL031", node.Where(), mirror.Suggest(text, []string{string(modeEnforce), string(modeWarn), string(modeAudit)}), "mode: unknown word %q: %s", text, what)
	} else {
		l.problems.Add("POL031", node.Where(), "write one word", "mode: %s", what)
	}
	return modeEnforce
}
