package charts

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
)

// sparseArchive is an archive of a few hundred bytes with a file that has one byte at its end and holes before it.
func sparseArchive(t *testing.T, size int64) []byte {
	t.Helper()
	var records string
	for _, r := range [][2]string{{"GNU.sparse.major", "0"}, {"GNU.sparse.minor", "1"}, {"GNU.sparse.name", "web/big"}, {"GNU.sparse.size", fmt.Sprint(size)},
		{"GNU.sparse.numblocks", "1"}, {"GNU.sparse.map", fmt.Sprintf("%d,1", size-1)}} {
		record := " " + r[0] + "=" + r[1] + "\n"
		records += fmt.Sprintf("%d%s", len(record)+2, record) // all are between 10 and 99 bytes
	}
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	put := func(name string, kind byte, body string) {
		var block [512]byte
		copy(block[0:], name)
		copy(block[100:], "0000644\x000000000\x000000000\x00"+fmt.Sprintf("%011o\x0000000000000\x00        ", len(body))+string(kind))
		copy(block[257:], "ustar\x0000")
		sum := 0
		for _, c := range block {
			sum += int(c)
		}
		copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
		zipped.Write(block[:])
		zipped.Write([]byte(body))
		zipped.Write(make([]byte, (512-len(body)%512)%512))
	}
	put("PaxHeaders/x", tar.TypeXHeader, records)
	put("web/big", tar.TypeReg, "x")
	zipped.Write(make([]byte, 1024))
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestUnpack_RefusesFilesWithHoles(t *testing.T) {
	for _, size := range []int64{1 << 20, 1 << 45} {
		if _, err := Unpack(sparseArchive(t, size)); err == nil || !strings.Contains(err.Error(), "no plain file") {
			t.Errorf("%d bytes: got %v", size, err)
		}
	}
}
