package daemon

import "github.com/poundlock/poundlock/internal/mirror"

// renderedFiles reads files and folders of rendered/ as the daemons wrote them, and people may have edited them.
func (l *Line) renderedFiles(f *fleet, names ...string) (mirror.Files, error) {
	return l.git.Files(f.head, names...)
}
