package policy

import (
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// exception reads one exception. Whether it is over is for whoever has a clock.
func (l *loader) exception(i string, entry exceptionEntry) exception {
	e := exception{Until: entry.Until.end(), Reason: strings.TrimSpace(entry.Reason), ApprovedBy: strings.TrimSpace(entry.ApprovedBy), where: l.place(entry.Where)}
	at := func(keys ...string) mirror.Position {
		return l.at(entry.Where, append([]string{"exceptions", i}, keys...)...)
	}
	e.Name, e.Digest = l.exact(entry.Match, at("match"))
	e.Stages = l.stageNames(entry.Stages)
	if len(entry.Skip) == 0 {
		l.problems.Add("POL030", at("skip"), "write signatures, attestations, pinned, age or removal", "exceptions: skip lifts nothing")
	}
	for _, one := range entry.Skip {
		if slices.Contains(e.Skip, one) {
			l.problems.Add("POL009", at("skip"), "keep one of them", "skip: %q is listed twice", string(one))
		}
		e.Skip = append(e.Skip, one)
	}
	slices.Sort(e.Skip)
	if slices.Contains(e.Skip, skipRemoval) {
		l.removal(e, at("skip"))
	}
	if e.Reason == "" {
		l.problems.Add("POL030", at("reason"), "say why it is needed, such as the number of a ticket", "exceptions: reason is empty")
	}
	if e.ApprovedBy == "" {
		l.problems.Add("POL030", at("approvedBy"), "name who answers for it", "exceptions: approvedBy is empty")
	}
	return e
}

// exact reads one repository, or one digest in it. A glob would lift requirements for what nobody looked at.
func (l *loader) exact(text string, where mirror.Position) (name string, digest mirror.Digest) {
	repo, content, pinned := strings.Cut(text, "@")
	if strings.ContainsAny(repo, "*?[]{}!") {
		l.problems.Add("POL029", where, "write one exception for each repository", "exceptions: match %q is a glob, an exception is for one repository or one digest", text)
		return "", mirror.Digest{}
	}
	if pinned {
		var err error
		if digest, err = mirror.ParseDigest(content); err != nil {
			l.problems.Add("POL029", where, "write host/repository@sha256: and 64 hexadecimal digits", "exceptions: match: %v", err)
			return "", mirror.Digest{}
		}
	}
	ref, fix := repository(repo)
	if fix != "" {
		l.problems.Add("POL029", where, fix, "exceptions: match %q is neither host/repository nor host/repository@sha256:...", text)
		return "", mirror.Digest{}
	}
	return ref.Name(), digest
}
