package file

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, size := range map[string]int{"small": 10, "large": 11, "empty": 0} {
		if err := os.WriteFile(at(name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	socket, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for _, err := range []error{syscall.Mkfifo(at("pipe"), 0o600), os.Symlink("small", at("link")), os.Symlink("/dev/zero", at("zero")), os.Symlink("pipe", at("piped"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		size int
		want error
	}{
		{"small", 10, nil},
		{"empty", 0, nil},
		{"link", 10, nil},
		{"pipe", 0, ErrNotRegular},
		{"piped", 0, ErrNotRegular},
		{"zero", 0, ErrNotRegular},
		{"socket", 0, ErrNotRegular},
		{".", 0, syscall.EISDIR},
		{"nowhere", 0, fs.ErrNotExist},
	} {
		content, err := Read(at(tt.name), 10)
		if len(content) != tt.size || !errors.Is(err, tt.want) {
			t.Errorf("%s: %d bytes, %v; want %d, %v", tt.name, len(content), err, tt.size, tt.want)
		}
		if path := (*fs.PathError)(nil); err != nil && (!errors.As(err, &path) || path.Path != at(tt.name)) {
			t.Errorf("%s: the error does not name the file: %#v", tt.name, err)
		}
	}
	if content, err := Read(at("large"), 10); len(content) != 11 || !errors.As(err, new(*TooLargeError)) {
		t.Errorf("large: %d bytes, %v", len(content), err)
	}
}
