package render

import "github.com/poundlock/poundlock/internal/mirror"

// Unfinished says of the stages of a set why what stands there must not become an override now, for the consumers that
// run them. p is the plan that led to the record. Stages that may are left out.
func Unfinished(set mirror.Set, rec mirror.Record, p mirror.Plan) map[mirror.Stage]string {
	open := map[mirror.Stage]string{}
	for _, name := range set.Stages {
		if why := unfinished(set, name, rec.At(name), p); why != "" {
			open[name] = why
		}
	}
	return open
}
