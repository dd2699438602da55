package config

import "regexp"

var commitID = regexp.MustCompile("^[0-9a-f]{40}$")

// fleetTrust checks who may sign commits, but for what the files hold.
func (k *checker) fleetTrust(t FleetTrust, at keyPath) {
	if t.IsZero() {
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

// fileName refuses text that belongs into the file.
func (k *checker) fileName(name string, at keyPath) {
	if inClear(name) {
		k.add(at, "CFG022", "put the keys into a file and write the file's name here", "%s holds text itself, want the name of a file", at)
	}
}
