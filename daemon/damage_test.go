package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A state that is damaged is set aside, and what was set aside before stays.
func TestState_DamageIsSetAside(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "state.db")
	page := os.Getpagesize()
	for n, tt := range []struct {
		name   string
		damage func(whole []byte) []byte
	}{
		{"other content", func([]byte) []byte { return bytes.Repeat([]byte("x"), 4*page) }},
		{"cut after the first page", func(b []byte) []byte { return b[:page] }},
		{"cut within", func(b []byte) []byte { return b[:2*page] }},
		{"a few bytes", func(b []byte) []byte { return b[:10] }},
		{"pages lost", func(b []byte) []byte { clear(b[2*page:]); return b }},
		{"pages of something else", func(b []byte) []byte {
			copy(b[2*page:], bytes.Repeat([]byte{0xff}, len(b)-2*page))
			return b
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := must(OpenState(dir))(t).Close(); err != nil {
				t.Fatal(err)
			}
			broken := tt.damage(must(os.ReadFile(file))(t))
			if err := os.WriteFile(file, broken, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := OpenState(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			aside := file + ".damaged"
			if n > 0 {
				aside = fmt.Sprintf("%s-%d", aside, n+1)
			}
			if got := must(os.ReadFile(aside))(t); !bytes.Equal(got, broken) {
				t.Errorf("%s is not what was damaged", aside)
			}
		})
	}
	if got := must(os.ReadFile(file + ".damaged"))(t); !bytes.Equal(got, bytes.Repeat([]byte("x"), 4*page)) {
		t.Error("the first one that was set aside was overwritten")
	}
}

// What is in the way from outside says nothing about the state.
func TestState_TroubleOfTheSystemIsNoDamage(t *testing.T) {
	for _, err := range []error{nil, ErrLocked, fs.ErrPermission, syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, errors.New("x")} {
		if damaged(err) {
			t.Errorf("%v counts as damage", err)
		}
	}
}

// What a process that was killed wrote down is not believed.
func TestIsHeld_AsksTheLock(t *testing.T) {
	dir := t.TempDir()
	if isHeld(dir) {
		t.Error("held before there is a state")
	}
	state := must(OpenState(dir))(t)
	if !isHeld(dir) {
		t.Error("not held while it is open")
	}
	if err := state.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, holderFile), fmt.Appendf(nil, `{"command":"run","pid":%d}`, os.Getpid()), 0o600); err != nil {
		t.Fatal(err)
	}
	if isHeld(dir) {
		t.Error("held by what is written beside the lock")
	}
}
