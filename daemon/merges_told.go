package daemon

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/mirror"
)

// becameOf says what became of a merge until now. What a later commit asks for in its place is no longer its own.
func (l *Line) becameOf(f *fleet, m merge) forge.Status {
	pending := func(format string, args ...any) forge.Status {
		return forge.Status{Result: forge.Pending, Text: oneLine(fmt.Sprintf(format, args...))}
	}
	failed := func(format string, args ...any) forge.Status {
		return forge.Status{Result: forge.Failure, Text: oneLine(fmt.Sprintf(format, args...))}
	}
	switch problems := (mirror.Problems)(nil); {
	case f.refused != nil:
		return failed("not in force: %s", f.refused[0].What)
	case f.held != nil:
		return pending("waits: %s", f.held[0].What)
	case errors.As(f.mistake, &problems):
		return failed("not in force: %s %s %s", problems[0].Code, problems[0].Where, problems[0].What)
	case f.mistake != nil:
		return failed("not in force: %v", f.mistake)
	}
	l.desk.mu.Lock()
	steps := maps.Clone(l.desk.steps)
	l.desk.mu.Unlock()
	stands, wants := 0, wantsOf(f.desired)
	var waits, broken, going []string
	for _, name := range m.sets {
		if _, there := f.desired.Set(name); !there {
			continue
		}
		if s, suspended := f.paused(name); suspended {
			waits = append(waits, name+" is "+s.String())
			continue
		}
		step, known := steps[name]
		switch {
		case !known || step.version != f.version:
			going = append(going, name+" is being looked at")
			continue
		case step.err != nil:
			broken = append(broken, plainly(l, step.err))
			continue
		}
		for _, a := range step.plan.Actions {
			at := mirror.Place{Set: name, Stage: a.Stage, Entry: a.Key.Entry}
			want, of := m.wants[at]
			if !of || wants[at] != want {
				continue
			}
			switch text := fmt.Sprintf("%s at %s: ", a.Key, a.Stage) + a.Reason.String(); {
			case a.Kind == mirror.Unchanged:
				stands++
			case a.Kind == mirror.Refuse && (a.Reason.Waits() || a.Reason.Code == mirror.Held):
				waits = append(waits, text)
			case a.Kind == mirror.Refuse, a.Kind == mirror.Missing, a.Kind == mirror.Failed:
				broken = append(broken, text)
			default:
				going = append(going, text)
			}
		}
	}
	switch {
	case len(broken) > 0:
		return failed("%s%s", broken[0], more(broken))
	case len(waits) > 0:
		return pending("waits: %s%s", waits[0], more(waits))
	case len(going) > 0:
		return pending("%s%s", going[0], more(going))
	case stands == 0:
		return forge.Status{Result: forge.Success, Text: "nothing is left to be done for it"}
	}
	verb := "stand"
	if stands == 1 {
		verb = "stands"
	}
	return forge.Status{Result: forge.Success, Text: count(stands, "entry") + " " + verb + " as asked for"}
}

func more(all []string) string {
	if len(all) < 2 {
		return ""
	}
	return fmt.Sprintf(" (and %d more)", len(all)-1)
}

// plainly gives an error as its first problem, in one line.
func plainly(l *Line, err error) string {
	p := Advise(l.config, err)[0]
	return strings.TrimSpace(p.Code + " " + p.What)
}
