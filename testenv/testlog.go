package testenv

import "flag"

// NoTestLog lets a test binary not note which files it looks at; TestMain calls it before it runs the tests. The go command
// goes through those notes to know whether it may give the result again: for tests that work on registries and clones in
// folders of their own they are millions of lines, minutes of its time, and say nothing.
func NoTestLog() error {
	flag.Parse()
	return flag.Set("test.testlogfile", "")
}
