package git

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the length of one file name in bytes.
const maxName = 255

// checkName refuses names that mean something else to some file system or tool than to the reader.
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("name %q leads out of its directory", name)
	case len(name) > maxName:
		return fmt.Errorf("name of %d bytes is too long", len(name))
	case strings.ContainsAny(name, `/\`):
		return fmt.Errorf("name %s contains a path separator", printable(name))
	case !utf8.ValidString(name):
		return fmt.Errorf("name %s is not UTF-8", printable(name))
	case strings.ContainsFunc(name, func(c rune) bool { return unicode.IsControl(c) || unicode.Is(unicode.Cf, c) }):
		return fmt.Errorf("name %s contains invisible characters", printable(name))
	case isDotGit(name):
		return fmt.Errorf("name %q is reserved by Git", name)
	}
	return nil
}

// isDotGit knows the spellings that case-blind file systems, and NTFS with its short names, trailing dots
// and streams, take for .git.
func isDotGit(name string) bool {
	base, _, _ := strings.Cut(strings.ToLower(name), ":")
	base = strings.TrimRight(base, ". ")
	return base == ".git" || base == "git~1"
}

// checkPath checks each part of a slash-separated path.
func checkPath(name string) error {
	for _, part := range strings.Split(name, "/") {
		if err := checkName(part); err != nil {
			return err
		}
	}
	return nil
}

func join(dir, name string) string { return strings.Trim(dir+"/"+name, "/") }

// printable spells a name so that it cannot play tricks on a terminal or a log.
func printable(name string) string {
	if len(name) > maxName {
		name = name[:maxName]
	}
	if q := fmt.Sprintf("%q", name); q != `"`+name+`"` {
		return q
	}
	return name
}
