package git

import (
	"fmt"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestZZ(t *testing.T) {
	g := fleet(t)
	files := map[string]string{}
	for i := range 5000 {
		files[fmt.Sprintf("desired/%03d/f%d.yaml", i%100, i)] = fmt.Sprintf("entry %d\n", i)
	}
	head := write(t, g, files)
	r := open(t, options(t, g))
	s := time.Now()
	fetch(t, r)
	t.Log("clone 5000 files", time.Since(s))
	s = time.Now()
	f, err := r.Files(head, "desired")
	t.Log("read", len(f), err, time.Since(s))
	first := head
	s = time.Now()
	for i := range 200 {
		head, err = r.Commit(t.Context(), head, Change{Owned: []string{"rendered"}, Files: mirror.Files{"rendered/x": []byte(fmt.Sprint(i))}, Message: "m", At: at})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Log("200 commits", time.Since(s))
	s = time.Now()
	ok, err := r.Ancestor(t.Context(), first, head)
	t.Log("ancestor over 200", ok, err, time.Since(s))
	r2 := open(t, options(t, g))
	fetch(t, r2)
	s = time.Now()
	ok, err = r2.Ancestor(t.Context(), first, head)
	t.Log("ancestor over 200 packed", ok, err, time.Since(s))
}
