package mirror

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"unicode/utf8"
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// CheckText finds out why bytes are not text in UTF-8, as people write it: too large, another encoding, or not
// text at all.
func CheckText(file string, data []byte) Problems {
	var ps Problems
	where := Position{File: file}
	utf16 := bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff"))
	switch head := data[:min(len(data), 64)]; {
	case len(data) > MaxDocument:
		ps.Add("DOC007", where, "split it, or see whether this is the right file", "the file is larger than %d MiB", MaxDocument>>20)
		return ps
	case utf16, len(head) >= 4 && bytes.Count(head, []byte{0})*2 >= len(head)-1:
		ps.Add("DOC010", where, "save it as UTF-8, or: iconv -f UTF-16 -t UTF-8", "the file is in UTF-16, want UTF-8")
		return ps
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			ps.Add("DOC010", placeAt(file, data, i), "save it as UTF-8", "the file is not text in UTF-8: byte %#02x", data[i])
			return ps
		case r < ' ' && !strings.ContainsRune("\t\n\r", r), r == 0x7f:
			ps.Add("DOC010", placeAt(file, data, i), "delete it, or see whether this is the right file", "a control character (%#02x) stands in the file", r)
			return ps
		}
		i += size
	}
	return nil
}

// placeAt gives the line and the column in characters of a byte.
func placeAt(file string, data []byte, i int) Position {
	line := bytes.LastIndexByte(data[:i], '\n') + 1
	return Position{File: file, Line: 1 + bytes.Count(data[:i], []byte("\n")), Column: 1 + utf8.RuneCount(bytes.TrimPrefix(data[line:i], byteOrderMark))}
}

// Unreadable makes a problem of the error with which a file could not be read: a directory, no such file, no
// right to read it.
func Unreadable(file string, err error) Problem {
	p := Problem{Code: "DOC009", Where: Position{File: file}}
	switch {
	case errors.Is(err, syscall.EISDIR):
		p.What, p.Fix = "this is a directory, want a file", "name the file inside it"
	case errors.Is(err, syscall.ENOTDIR):
		p.What, p.Fix = "a part of the path is a file, not a directory", "see the spelling of the path"
	case errors.Is(err, fs.ErrNotExist):
		p.What, p.Fix = "there is no such file", "see the spelling; a relative name counts from the current folder"
	case errors.Is(err, fs.ErrPermission):
		p.What, p.Fix = "this process may not read the file", "make it readable for the user that Poundlock runs as"
	default:
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		p.What, p.Fix = fmt.Sprintf("the file cannot be read: %v", err), "see the file and the disk it lies on"
	}
	return p
}

// splitLines gives the lines of a file as editors count them, without a byte order mark.
func splitLines(data []byte) []string {
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(bytes.TrimPrefix(data, byteOrderMark)))
	return strings.Split(text, "\n")
}
