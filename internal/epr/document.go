package epr

// The documents that Kibana reads. The same types read a manifest and write what is told of it; the order of the fields is
// the order in which they are told. Source: elastic/package-registry v1.39.0 : packages/package.go, packages/datastream.go.

// base is what /search tells of a package.
type base struct {
	Name                    text                     `json:"name"`
	Title                   *text                    `json:"title,omitempty"`
	Version                 text                     `json:"version"`
	Release                 text                     `json:"release,omitempty"`
	Source                  *source                  `json:"source,omitempty"`
	Description             text                     `json:"description"`
	Type                    text                     `json:"type"`
	Download                text                     `json:"download"`
	Path                    text                     `json:"path"`
	Icons                   list[image]              `json:"icons,omitempty"`
	PolicyTemplatesBehavior text                     `json:"policy_templates_behavior,omitempty"`
	PolicyTemplates         list[basePolicyTemplate] `json:"policy_templates,omitempty"`
	Conditions              *conditions              `json:"conditions,omitempty"`
	Owner                   *owner                   `json:"owner,omitempty"`
	Categories              list[text]               `json:"categories,omitempty"`
	SignaturePath           text                     `json:"signature_path,omitempty"`
	Discovery               *discovery               `json:"discovery,omitempty"`
	DataStreams             list[baseDataStream]     `json:"data_streams,omitempty"`
	Deprecated              *deprecated              `json:"deprecated,omitempty"`
	Requires                *requirements            `json:"requires,omitempty"`
}

// document is what /package/<name>/<version>/ tells: all of base, but whole policy templates and data streams.
type document struct {
	base
	FormatVersion   text                  `json:"format_version"`
	Readme          *string               `json:"readme,omitempty"`
	License         text                  `json:"license,omitempty"`
	Screenshots     list[image]           `json:"screenshots,omitempty"`
	Assets          []string              `json:"assets,omitempty"`
	PolicyTemplates list[policyTemplate]  `json:"policy_templates,omitempty"`
	DataStreams     []*dataStream         `json:"data_streams,omitempty"`
	Vars            list[variable]        `json:"vars,omitempty"`
	Elasticsearch   *packageElasticsearch `json:"elasticsearch,omitempty"`
	Agent           *agent                `json:"agent,omitempty"`
}

type source struct {
	License text `json:"license,omitempty"`
}

type image struct {
	Src   text `json:"src"`
	Path  text `json:"path"`
	Title text `json:"title,omitempty"`
	Size  text `json:"size,omitempty"`
	Type  text `json:"type,omitempty"`
}

type conditions struct {
	Kibana  *versionCondition `json:"kibana,omitempty"`
	Elastic *elasticCondition `json:"elastic,omitempty"`
	Agent   *versionCondition `json:"agent,omitempty"`
}

type versionCondition struct {
	Version text `json:"version"`
}

type elasticCondition struct {
	Subscription text       `json:"subscription"`
	Capabilities list[text] `json:"capabilities,omitempty"`
}

type owner struct {
	Type   text `json:"type,omitempty"`
	Github text `json:"github,omitempty"`
}

type discovery struct {
	Fields   list[named] `json:"fields,omitempty"`
	Datasets list[named] `json:"datasets,omitempty"`
}

type named struct {
	Name text `json:"name"`
}

type deprecated struct {
	Since       text      `json:"since"`
	Description text      `json:"description"`
	ReplacedBy  *replaced `json:"replaced_by,omitempty"`
}

type replaced struct {
	Package        text `json:"package,omitempty"`
	PolicyTemplate text `json:"policy_template,omitempty"`
	Input          text `json:"input,omitempty"`
	DataStream     text `json:"data_stream,omitempty"`
	Variable       text `json:"variable,omitempty"`
}

type requirements struct {
	Input   list[requirement] `json:"input,omitempty"`
	Content list[requirement] `json:"content,omitempty"`
}

type requirement struct {
	Package text `json:"package"`
	Version text `json:"version"`
}

type basePolicyTemplate struct {
	Name            text             `json:"name"`
	Title           text             `json:"title"`
	Description     text             `json:"description"`
	Icons           list[image]      `json:"icons,omitempty"`
	Categories      list[text]       `json:"categories,omitempty"`
	DeploymentModes *deploymentModes `json:"deployment_modes,omitempty"`
	DataStreams     list[text]       `json:"data_streams,omitempty"`
	Deprecated      *deprecated      `json:"deprecated,omitempty"`
}

type policyTemplate struct {
	Name            text             `json:"name"`
	Title           text             `json:"title"`
	Description     text             `json:"description"`
	DataStreams     list[text]       `json:"data_streams,omitempty"`
	Inputs          list[input]      `json:"inputs,omitempty"`
	Multiple        *flag            `json:"multiple,omitempty"`
	Icons           list[image]      `json:"icons,omitempty"`
	Categories      list[text]       `json:"categories,omitempty"`
	Screenshots     list[image]      `json:"screenshots,omitempty"`
	Readme          *text            `json:"readme,omitempty"`
	DeploymentModes *deploymentModes `json:"deployment_modes,omitempty"`
	Type            text             `json:"type,omitempty"`
	Input           text             `json:"input,omitempty"`
	IngestionMethod text             `json:"ingestion_method,omitempty"`
	TemplatePath    text             `json:"template_path,omitempty"`
	Deprecated      *deprecated      `json:"deprecated,omitempty"`
}

type deploymentModes struct {
	Default   *defaultMode   `json:"default,omitempty"`
	Agentless *agentlessMode `json:"agentless,omitempty"`
}

type defaultMode struct {
	Enabled flag `json:"enabled"`
}

type agentlessMode struct {
	Enabled   flag  `json:"enabled"`
	IsDefault *flag `json:"is_default,omitempty"`
	Release   text  `json:"release,omitempty"`
}

type input struct {
	Type            text           `json:"type,omitempty"`
	Package         text           `json:"package,omitempty"`
	Vars            list[variable] `json:"vars,omitempty"`
	Title           text           `json:"title,omitempty"`
	Description     text           `json:"description,omitempty"`
	Streams         list[stream]   `json:"streams,omitempty"`
	TemplatePath    text           `json:"template_path,omitempty"`
	InputGroup      text           `json:"input_group,omitempty"`
	DeploymentModes list[text]     `json:"deployment_modes,omitempty"`
	Deprecated      *deprecated    `json:"deprecated,omitempty"`
}

type stream struct {
	Input           text           `json:"input,omitempty"`
	Package         text           `json:"package,omitempty"`
	Vars            list[variable] `json:"vars,omitempty"`
	DataStream      text           `json:"data_stream,omitempty"`
	TemplatePath    text           `json:"template_path,omitempty"`
	Title           text           `json:"title,omitempty"`
	Description     text           `json:"description,omitempty"`
	Enabled         *flag          `json:"enabled,omitempty"`
	IngestionMethod text           `json:"ingestion_method,omitempty"`
}

type variable struct {
	Name        text        `json:"name"`
	Type        text        `json:"type"`
	Title       text        `json:"title,omitempty"`
	Description text        `json:"description,omitempty"`
	Multi       flag        `json:"multi"`
	Required    flag        `json:"required"`
	ShowUser    flag        `json:"show_user"`
	Default     setting     `json:"default,omitzero"`
	Deprecated  *deprecated `json:"deprecated,omitempty"`
}

type baseDataStream struct {
	Type       text        `json:"type,omitempty"`
	Dataset    text        `json:"dataset"`
	Title      text        `json:"title"`
	Deprecated *deprecated `json:"deprecated,omitempty"`
}

type dataStream struct {
	Type            text                 `json:"type"`
	Dataset         text                 `json:"dataset,omitempty"`
	Hidden          flag                 `json:"hidden,omitempty"`
	IlmPolicy       text                 `json:"ilm_policy,omitempty"`
	DatasetIsPrefix flag                 `json:"dataset_is_prefix,omitempty"`
	Title           text                 `json:"title"`
	Release         text                 `json:"release,omitempty"`
	IngestPipeline  text                 `json:"ingest_pipeline,omitempty"`
	Streams         list[stream]         `json:"streams,omitempty"`
	Package         text                 `json:"package,omitempty"`
	Elasticsearch   *streamElasticsearch `json:"elasticsearch,omitempty"`
	Agent           *agent               `json:"agent,omitempty"`
	Path            text                 `json:"path,omitempty"`
	Deprecated      *deprecated          `json:"deprecated,omitempty"`
}

type streamElasticsearch struct {
	Settings     settings           `json:"index_template.settings,omitempty"`
	Mappings     settings           `json:"index_template.mappings,omitempty"`
	PipelineName text               `json:"ingest_pipeline.name,omitempty"`
	Privileges   *indicesPrivileges `json:"privileges,omitempty"`
}

type indicesPrivileges struct {
	Indices list[text] `json:"indices,omitempty"`
}

type packageElasticsearch struct {
	Privileges *clusterPrivileges `json:"privileges,omitempty"`
}

type clusterPrivileges struct {
	Cluster list[text] `json:"cluster,omitempty"`
}

type agent struct {
	Privileges *agentPrivileges `json:"privileges,omitempty"`
}

type agentPrivileges struct {
	Root flag `json:"root,omitempty"`
}
