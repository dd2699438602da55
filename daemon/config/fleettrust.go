package config

import "regexp"

var commitID = regexp.MustCompile("^[0-9a-f]{40}$")

// fleetTrust checks who may sign commits, but for what the files hold.
func (k *checker) fleetTrust(t FleetTrust, at keyPath) {
	if k.emptyFleetTrust(t, at) || t.IsZero() {
		return
	}
	if t.AllowedSigners == "" && t.Keyring == "" {
		k.add(at, "CFG065", "add allowedSigners: or keyring: with the name of a file", "%s names nobody whose signature counts", at)
	}
	if t.Since != "" && !commitID.MatchString(t.Since) {
		k.add(at.to("since"), "CFG066", "write the whole id of a commit, as `git rev-parse HEAD` prints it", "%s is no id of a commit", at.to("since"))
	}
	names := map[string]string{"allowedSigners": t.AllowedSigners, "keyring": t.Keyring}
	forge := map[string]string{"allowedSigners": t.Forge.AllowedSigners, "keyring": t.Forge.Keyring}
	for _, key := range sortedKeys(names) {
		k.fileName(names[key], at.to(key))
		k.fileName(forge[key], at.to("forge", key))
	}
}

// emptyFleetTrust refuses what is written with nothing in it: whoever wrote it wants signatures, and without a word
// none would be asked for.
func (k *checker) emptyFleetTrust(t FleetTrust, at keyPath) bool {
	if k.written == nil { // it was not loaded
		return false
	}
	found := false
	for _, one := range []struct {
		empty bool
		at    keyPath
	}{
		{t.IsZero(), at},
		{t.AllowedSigners == "", at.to("allowedSigners")},
		{t.Keyring == "", at.to("keyring")},
		{t.Since == "", at.to("since")},
		{t.Forge == Forge{}, at.to("forge")},
		{t.Forge.AllowedSigners == "", at.to("forge", "allowedSigners")},
		{t.Forge.Keyring == "", at.to("forge", "keyring")},
	} {
		place, written := k.written(one.at.String())
		if one.empty && written {
			found = true
			k.ps.AddAt(one.at.String(), "CFG065", place, "write what belongs there, or delete the key", "%s is empty", one.at)
		}
	}
	return found
}

// fileName refuses text that belongs into the file.
func (k *checker) fileName(name string, at keyPath) {
	if inClear(name) {
		k.add(at, "CFG022", "put the keys into a file and write the file's name here", "%s holds text itself, want the name of a file", at)
	}
}
