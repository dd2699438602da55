package daemon

import (
	"errors"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/git"
	"github.com/poundlock/poundlock/internal/mirror"
)

// localOf gives the local registry of a configuration, as references and overrides name it.
func localOf(c config.Config) mirror.Local {
	local := c.Registries[config.LocalRegistry]
	return mirror.Local{Host: local.Host, Prefix: local.Prefix, Insecure: local.Insecure, Login: local.WantsLogin(), Site: c.Site}
}

// checkRendered tells what is to be known of the rendered files although nothing is wrong with them, each once.
func (d *doctor) checkRendered(repo *git.Repo, head string, desired mirror.Desired) []Check {
	at, err := head, error(nil)
	if d.config.Git.State() != "" {
		if at, err = repo.StateHead(); err == nil && at == "" {
			return nil // nothing is rendered yet
		}
	}
	dir := "rendered/" + d.config.Site
	var old mirror.Files
	if err == nil {
		old, err = repo.Files(at, dir)
	}
	if errors.As(err, new(mirror.Problems)) {
		return nil // what nobody of ours wrote there is told by the step that overwrites it
	}
	if err != nil {
		return []Check{d.failed("fleet", "rendered", err)}
	}
	records := map[string]mirror.Record{}
	for _, set := range desired.Sets {
		records[set.Name] = proven(mirror.ParseRecord(dir, set, old))
	}
	var checks []Check
	told := map[string]bool{}
	for _, folder := range renderedBy(localOf(d.config), desired, records, old, nil, RenderOptions{}) {
		for _, note := range folder.Notes {
			if !told[note] {
				checks = append(checks, d.warned("fleet", "rendered", mirror.Problem{Code: "RND104", What: mirror.Clean(note), Where: mirror.Position{File: folder.Folder},
					Why: "it was asked for, or follows from what is configured", Fix: "see `poundlock help overrides` for what it means; leave it if it is meant so"}))
			}
			told[note] = true
		}
	}
	return checks
}
