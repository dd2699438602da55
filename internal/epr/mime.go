package epr

import (
	"path"
	"strings"
)

// mediaTypes are the types of files of packages as Elastic's registry gives them. The tables of the machine are not asked:
// replicas of different images would answer differently.
var mediaTypes = map[string]string{
	".avif": "image/avif",
	".css":  "text/css; charset=utf-8",
	".gif":  "image/gif",
	".htm":  "text/html; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".ico":  "image/x-icon",
	".jpeg": "image/jpeg",
	".jpg":  "image/jpeg",
	".js":   "text/javascript; charset=utf-8",
	".json": "application/json",
	".md":   "text/markdown; charset=utf-8",
	".mjs":  "text/javascript; charset=utf-8",
	".pdf":  "application/pdf",
	".png":  "image/png",
	".svg":  "image/svg+xml",
	".wasm": "application/wasm",
	".webp": "image/webp",
	".xml":  "text/xml; charset=utf-8",
	".yml":  "text/yaml; charset=UTF-8",
	".zip":  "application/zip",
}

// mediaType gives the type of a file by its name; "" where its bytes are to be looked at.
func mediaType(name string) string { return mediaTypes[strings.ToLower(path.Ext(name))] }
