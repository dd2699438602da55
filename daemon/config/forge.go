package config

import "time"

// ForgeConfig is the forge that holds the fleet repository: where proposals are opened, read and commented on.
type ForgeConfig struct {
	Kind       string        `yaml:"kind" jsonschema:"enum=github,enum=gitlab,enum=gitea,enum=none" jsonschema_description:"Which API it speaks; gitea for Forgejo too. With none, or when it is left out, branches are pushed and people open the proposals."`
	URL        string        `yaml:"url" jsonschema:"format=uri,example=https://git.example.org" jsonschema_description:"Address of the forge; that of git.url when it is left out."`
	Repository string        `yaml:"repository" jsonschema:"example=platform/fleet" jsonschema_description:"Owner and name of the fleet repository at the forge; from the path of git.url when it is left out."`
	Token      Secret        `yaml:"token" jsonschema_description:"Access token that may read the repository and write proposals, comments and commit statuses."`
	App        ForgeApp      `yaml:"app" jsonschema_description:"GitHub App, instead of a token."`
	Poll       time.Duration `yaml:"poll" jsonschema:"example=5m" jsonschema_description:"How often open proposals are asked for where no webhook tells of them."`
	Insecure   bool          `yaml:"insecure" jsonschema_description:"Allows plain http to the forge."`
	TLS        TLS           `yaml:"tls" jsonschema_description:"Trust and identity for the forge, besides what holds for every host."`
	Proposals  Proposals     `yaml:"proposals" jsonschema_description:"How the proposals of the daemon look."`
}

// ForgeApp is a GitHub App.
type ForgeApp struct {
	ID           int64  `yaml:"id" jsonschema:"example=123456" jsonschema_description:"Number of the app."`
	Installation int64  `yaml:"installation" jsonschema:"example=7654321" jsonschema_description:"Number of its installation; looked up when it is left out."`
	Key          Secret `yaml:"key" jsonschema_description:"Private key of the app, in PEM form."`
}

// Proposals is how the proposals of the daemon look: Go text/templates over .Site, .Set, .Stage, .From, .Selector
// (the named entries, "" for the whole set), .Moves, .Summary and .By.
type Proposals struct {
	Branch string   `yaml:"branch" jsonschema:"example=poundlock/{{.Site}}/{{.Set}}/{{.Stage}}" jsonschema_description:"Prefix of their branches; what tells proposals apart is added."`
	Title  string   `yaml:"title" jsonschema:"example=[{{.Stage}}] {{.Set}}: {{.Summary}}" jsonschema_description:"Their title."`
	Body   string   `yaml:"body" jsonschema_description:"What their text begins with; the moves and who asked follow."`
	Labels []string `yaml:"labels" jsonschema:"example=poundlock,example=stage/{{.Stage}}" jsonschema_description:"Their labels."`
}

// Webhooks is what may tell the daemon to look now. Each receiver is answered at /hooks/<name>.
type Webhooks struct {
	Listen    string              `yaml:"listen" jsonschema:"example=0.0.0.0:8687" jsonschema_description:"Address (host:port) at which nothing but webhooks is answered; that of listen when it is left out."`
	Receivers map[string]Receiver `yaml:"receivers" jsonschema_description:"Who may tell, by a name of yours; the name is the end of the address."`
}

// Receiver is one address for webhooks.
type Receiver struct {
	Kind   string        `yaml:"kind" jsonschema:"required,enum=github,enum=gitlab,enum=gitea,enum=distribution,enum=zot,enum=harbor,enum=generic" jsonschema_description:"Whose deliveries they are."`
	Secret Secret        `yaml:"secret" jsonschema_description:"Secret that the sender knows: the key of its HMAC, or the token that it sends."`
	Sets   []string      `yaml:"sets" jsonschema:"example=ess" jsonschema_description:"Sets that its deliveries are about; found out from the delivery when it is left out."`
	Age    time.Duration `yaml:"age" jsonschema:"example=5m" jsonschema_description:"How old a delivery that says when it was made may be."`
	Rate   int           `yaml:"rate" jsonschema:"minimum=1,example=60" jsonschema_description:"Genuine deliveries a minute that are taken; more of them are told to come later."`
}

// Notifier is somebody to be told what happened.
type Notifier struct {
	Kind     string            `yaml:"kind" jsonschema:"required,enum=webhook,enum=slack,enum=matrix,enum=email" jsonschema_description:"How they are told."`
	URL      Secret            `yaml:"url" jsonschema_description:"Address for webhook and slack, which often is a secret itself; homeserver for matrix; smtp://host:port or smtps://host:port for email."`
	Secret   Secret            `yaml:"secret" jsonschema_description:"Key of the HMAC of a webhook."`
	Token    Secret            `yaml:"token" jsonschema_description:"Access token for matrix."`
	Room     string            `yaml:"room" jsonschema:"example=!abc:example.org" jsonschema_description:"Room for matrix."`
	From     string            `yaml:"from" jsonschema:"example=poundlock@example.org" jsonschema_description:"Sender of mail."`
	To       []string          `yaml:"to" jsonschema:"example=platform@example.org" jsonschema_description:"Receivers of mail."`
	Username string            `yaml:"username" jsonschema_description:"Account at the mail server."`
	Password Secret            `yaml:"password" jsonschema_description:"Password of that account."`
	Events   []string          `yaml:"events" jsonschema:"example=refused,example=promoted" jsonschema_description:"Events that are told; those that a person should know of when it is left out."`
	Sets     []string          `yaml:"sets" jsonschema:"example=ess" jsonschema_description:"Globs over set names that are told of; all when it is left out."`
	Stages   []string          `yaml:"stages" jsonschema:"example=production" jsonschema_description:"Stages that are told of; all when it is left out."`
	Remind   time.Duration     `yaml:"remind" jsonschema:"example=24h" jsonschema_description:"How often trouble that lasts is told again."`
	Insecure bool              `yaml:"insecure" jsonschema_description:"Allows plain http, or mail without TLS."`
	TLS      TLS               `yaml:"tls" jsonschema_description:"Trust and identity, besides what holds for every host."`
	Headers  map[string]Secret `yaml:"headers" jsonschema_description:"Further headers of a webhook."`
}

// Call is somebody outside who is asked whether a promotion may happen; gates of the policy name it.
type Call struct {
	URL      Secret        `yaml:"url" jsonschema:"required" jsonschema_description:"Address that gets the question as JSON and answers {\"allow\": true, \"reason\": \"...\"}."`
	Secret   Secret        `yaml:"secret" jsonschema_description:"Key of the HMAC of the question."`
	Time     time.Duration `yaml:"time" jsonschema:"example=10s" jsonschema_description:"How long an answer may take."`
	Insecure bool          `yaml:"insecure" jsonschema_description:"Allows plain http."`
	TLS      TLS           `yaml:"tls" jsonschema_description:"Trust and identity, besides what holds for every host."`
}
