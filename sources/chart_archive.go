package sources

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// maxUnpacked bounds what is read of a chart's archive to find one file in it, in bytes.
const maxUnpacked = 32 << 20

// fromChart gives one file at the top of a packed chart, without unpacking it anywhere.
func fromChart(archive []byte, name string) ([]byte, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	bounded := &io.LimitedReader{R: unzipped, N: maxUnpacked}
	for files := tar.NewReader(bounded); ; {
		header, err := files.Next()
		switch {
		case bounded.N <= 0:
			return nil, fmt.Errorf("it unpacks to more than %d MiB", maxUnpacked>>20)
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("there is no %s in it", name)
		case err != nil:
			return nil, fmt.Errorf("unpack: %w", err)
		}
		// A chart lies in one folder of its name.
		if _, inside, _ := strings.Cut(path.Clean(header.Name), "/"); inside != name || header.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(files, mirror.MaxDocument+1))
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		return data, nil
	}
}
