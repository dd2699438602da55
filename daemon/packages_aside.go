package daemon

import (
	"maps"

	"github.com/poundlock/poundlock/internal/mirror"
)

// aside gives what is known of packages to a line that only looks ahead: it fetches nothing, and what its sets name is not
// what the sets in force name.
func (p *packages) aside() *packages {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return &packages{line: p.line, known: p.known, spool: p.spool, jobs: maps.Clone(p.jobs), wanted: map[string]map[string]bool{}, failed: maps.Clone(p.failed),
		ended: map[string]bool{}, named: map[string]map[string]bool{}, doubted: map[string]map[string]bool{}, stands: map[string]map[string]mirror.Digest{}, names: maps.Clone(p.names), closing: true}
}
