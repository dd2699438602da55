package epr

import (
	"path"
	"strings"
)

// addDataStreams reads the data streams of the package, in the order of the zip.
func (b *builder) addDataStreams() error {
	for _, f := range b.facts.Files {
		dir := path.Dir(f.Path)
		if path.Base(f.Path) != manifestFile || path.Dir(dir) != "data_stream" {
			continue
		}
		s, err := b.dataStream(dir)
		if err != nil {
			return err
		}
		b.doc.DataStreams = append(b.doc.DataStreams, s)
	}
	return nil
}

func (b *builder) dataStream(dir string) (*dataStream, error) {
	file := dir + "/" + manifestFile
	s := &dataStream{Package: text(b.facts.Name), Path: text(path.Base(dir))}
	if err := b.decode(file, joinKeys, s); err != nil {
		return nil, err
	}
	if s.Dataset == "" {
		s.Dataset = text(b.facts.Name + "." + path.Base(dir))
	}
	if s.Release == "" {
		s.Release = b.doc.Release
	}
	if !isRelease(s.Release) {
		return nil, b.problem("EPR002", file, "release: want ga, beta or experimental")
	}
	for i := range s.Streams {
		one := &s.Streams[i]
		if one.Enabled == nil {
			yes := flag(true)
			one.Enabled = &yes
		}
		if one.TemplatePath == "" {
			one.TemplatePath = "stream.yml.hbs"
		}
		if method := ingestionMethods[one.Input]; method != "" {
			one.IngestionMethod = method
		}
	}
	b.addPipeline(s, dir)
	return s, nil
}

// addPipeline names the ingest pipeline of a data stream that has one called default.
func (b *builder) addPipeline(s *dataStream, dir string) {
	pipelines := dir + "/elasticsearch/ingest_pipeline/"
	if !b.files[pipelines+"default.json"] && !b.files[pipelines+"default.yml"] {
		return
	}
	switch {
	case s.Elasticsearch != nil && s.Elasticsearch.PipelineName == "":
		s.Elasticsearch.PipelineName, s.IngestPipeline = "default", "default"
	case s.IngestPipeline == "":
		s.IngestPipeline = "default"
	}
}

// joinKeys undoes what dots in keys mean for the three settings that are told with a dot in their names.
func joinKeys(m map[string]any) {
	search, is := m["elasticsearch"].(map[string]any)
	if !is {
		return
	}
	for _, dotted := range []string{"index_template.settings", "index_template.mappings", "ingest_pipeline.name"} {
		outer, inner, _ := strings.Cut(dotted, ".")
		if sub, is := search[outer].(map[string]any); is && sub[inner] != nil {
			search[dotted] = sub[inner]
		}
	}
}
