package policy

import (
	"errors"
	"strings"
)

func (l *loader) attestation(i, j string, entry attestationEntry, signers names[signer]) attestation {
	a := attestation{Type: entry.Type, where: l.place(entry.Where)}
	path := []string{"rules", i, "attestations", j}
	at := func(key string) []string { return append(path[:len(path):len(path)], key) }
	switch where := l.at(entry.Where, at("type")...); {
	case entry.Type == signPredicate:
		l.problems.Add("POL024", where, "name its signers under require", "attestations: %s is a signature, no attestation", entry.Type)
	case !strings.ContainsAny(entry.Type, "/:") || strings.ContainsFunc(entry.Type, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		l.problems.Add("POL024", where, "write the whole type, such as https://slsa.dev/provenance/v1", "attestations: %q is no predicate type", entry.Type)
	}
	if len(entry.By) == 0 {
		l.problems.Add("POL024", l.at(entry.Where, at("by")...), "name who must have stated it", "attestations: by names no signer")
	}
	a.By, a.Count = l.quorum(entry.By, entry.Count, signers, "attestations.count", l.at(entry.Where, at("count")...))
	for _, node := range entry.By {
		if name, _ := node.Text(); signers.good[name].TakesPackages() {
			l.problems.Add("POL073", node.Where(), "name it under require, where it signs packages; attestations are made with keys of cosign", "attestations: signer %q signs with OpenPGP, which attests nothing", name)
		}
	}
	if entry.Condition.IsZero() {
		return a
	}
	a.where = l.place(entry.Condition.Where())
	source, _ := entry.Condition.Text()
	var err error
	switch a.Where, err = newCondition(source); {
	case errors.Is(err, errUnbounded):
		l.problems.Add("POL026", entry.Condition.Where(), "go through one list inside of another at most", "where: the expression may take too long: its cost can exceed %d", maxCost)
	case err != nil:
		l.problems.Add("POL025", entry.Condition.Where(), "write a CEL expression over predicate, such as predicate.runDetails.builder.id == 'corp-ci'", "where: %v", err)
	}
	return a
}
