package policy

import (
	"errors"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

// document is desired/policy.yaml, or a floor, as people write it. Words that name something else in the file are
// nodes, so that a mistake is shown at its own line.
type document struct {
	Version    int                    `yaml:"version,required" jsonschema:"enum=1" jsonschema_description:"Version of this document; 1 is the only one there is."`
	Roots      map[string]rootEntry   `yaml:"roots" jsonschema_description:"Where certificates, transparency logs and timestamps are trusted from, by a name of yours. All of it is read from files; nothing is fetched."`
	Signers    map[string]signerEntry `yaml:"signers" jsonschema_description:"Who may vouch for content, by a name of yours."`
	Rules      []ruleEntry            `yaml:"rules" jsonschema_description:"What is required of which images; all rules that match an image at a stage must be satisfied."`
	Deny       denyEntry              `yaml:"deny" jsonschema_description:"What is never admitted, whatever the rules say."`
	Exceptions []exceptionEntry       `yaml:"exceptions" jsonschema_description:"Requirements that are lifted for one repository or digest, until a day that somebody answers for."`
	Gates      []gateEntry            `yaml:"gates" jsonschema_description:"What has to be true, besides the rules, before something changes at a stage above the first. All gates that match a set and a stage have to be open."`
	Mode       mirror.Node            `yaml:"mode" jsonschema:"default=enforce,enum=enforce,enum=warn,enum=audit" jsonschema_description:"What becomes of what the rules refuse: it stays out, it is admitted with a warning, or it is admitted and only its verdict says so. One word for every stage, or one for each stage; a stage that is not named enforces. What is denied stays out in every mode."`
	Default    mirror.Node            `yaml:"default" jsonschema:"default=deny,enum=deny" jsonschema_description:"What holds where no rule matches; only deny is possible. The floor of a site may also say fleet, which leaves it to desired/policy.yaml."`
	Where      mirror.Position
}

type rootEntry struct {
	File  string `yaml:"file" jsonschema:"oneof_required=file,example=trust/trusted_root.json" jsonschema_description:"File with a sigstore trusted root: certificate authorities, transparency logs and timestamp authorities. Paths are relative to desired/."`
	TUF   string `yaml:"tuf" jsonschema:"oneof_required=tuf,example=trust/tuf" jsonschema_description:"Folder that is a copy of a TUF repository with a trusted root in it: root.json, timestamp.json, snapshot.json, targets.json and targets/. One whose metadata are past their end is refused."`
	CA    string `yaml:"ca" jsonschema:"oneof_required=ca,example=trust/ca.pem" jsonschema_description:"File with certificates in PEM form: the authorities and those between, for signers with a certificate of X.509."`
	Where mirror.Position
}

type signerEntry struct {
	Key         string            `yaml:"key" jsonschema:"oneof_required=key,example=keys/vendor.pub" jsonschema_description:"File with the PEM public key, relative to desired/."`
	Keyless     *keylessEntry     `yaml:"keyless" jsonschema:"oneof_required=keyless" jsonschema_description:"Whom short-lived certificates of a sigstore authority name."`
	PGP         string            `yaml:"pgp" jsonschema:"oneof_required=pgp,example=keys/GPG-KEY-elasticsearch.asc" jsonschema_description:"File with one armored OpenPGP public key, relative to desired/: it signs the bytes of Elastic packages."`
	Certificate *certificateEntry `yaml:"certificate" jsonschema:"oneof_required=certificate" jsonschema_description:"Whom certificates of an authority of your own name."`
	Hash        string            `yaml:"hash" jsonschema:"enum=sha256,enum=sha384,enum=sha512" jsonschema_description:"Hash that the key signs over, where it is not the one that cosign takes for its type; only with key."`
	Root        mirror.Node       `yaml:"root" jsonschema:"example=corp" jsonschema_description:"Root whose timestamps and log entries say when the key signed; only with key."`
	NotBefore   moment            `yaml:"notBefore" jsonschema:"title=date or time,pattern=^[0-9]{4}-[0-9]{2}-[0-9]{2}(T.+)?$,example=2026-01-01" jsonschema_description:"First day (UTC) or moment whose signatures count; every older one does not, nor one whose time nothing proves. Beside key only with a root."`
	Until       moment            `yaml:"until" jsonschema:"title=date or time,pattern=^[0-9]{4}-[0-9]{2}-[0-9]{2}(T.+)?$,example=2027-06-30" jsonschema_description:"Last day (UTC) whose signatures count, or the moment from which they do not any more. What is proven to be older keeps counting."`
	Where       mirror.Position
}

type keylessEntry struct {
	Root          mirror.Node `yaml:"root,required" jsonschema:"example=corp" jsonschema_description:"Root that certificate, log and timestamps are checked with."`
	Issuer        string      `yaml:"issuer" jsonschema:"example=https://oidc.corp.example" jsonschema_description:"Glob over the issuer of the identity, in which * stops at a slash and ** does not. This or issuerRegexp is needed."`
	Subject       string      `yaml:"subject" jsonschema:"example=https://git.corp.example/*/release@refs/tags/*" jsonschema_description:"Glob over whom the certificate names, in which * stops at a slash and ** does not. This or subjectRegexp is needed."`
	IssuerRegexp  string      `yaml:"issuerRegexp" jsonschema:"example=^https://oidc[.]corp[.]example$" jsonschema_description:"Regular expression instead of the glob; it begins with ^ and ends with $."`
	SubjectRegexp string      `yaml:"subjectRegexp" jsonschema:"example=^bot-[0-9]+@corp[.]example$" jsonschema_description:"Regular expression instead of the glob; it begins with ^ and ends with $."`
	Where         mirror.Position
}

type certificateEntry struct {
	Root          mirror.Node `yaml:"root,required" jsonschema:"example=pki" jsonschema_description:"Root of kind ca that the certificate is checked with."`
	Subject       string      `yaml:"subject" jsonschema:"oneof_required=subject,example=release@corp.example" jsonschema_description:"Glob over the address, URI or host that the certificate names, in which * stops at a slash and ** does not."`
	SubjectRegexp string      `yaml:"subjectRegexp" jsonschema:"oneof_required=subjectRegexp,example=^bot-[0-9]+@corp[.]example$" jsonschema_description:"Regular expression instead of the glob; it begins with ^ and ends with $."`
	Where         mirror.Position
}

type ruleEntry struct {
	Match        string             `yaml:"match,required" jsonschema:"example=ghcr.io/**,example=docker.io/{library\\,vectorim}/**" jsonschema_description:"Glob over host/repository, without tag and digest."`
	Stages       []mirror.Node      `yaml:"stages" jsonschema:"uniqueItems=true,example=production" jsonschema_description:"Stages at which the rule holds; every stage when it is left out."`
	Require      *requireEntry      `yaml:"require" jsonschema:"anyof_required=require" jsonschema_description:"What must be true of the images that match: signers or pinned. It may be left out where attestations or minAge stand."`
	Reference    mirror.Node        `yaml:"reference" jsonschema:"default=repository,enum=repository,enum=exact,enum=any" jsonschema_description:"How the name inside a signature must fit the image: the same repository, the same tag besides, not compared, or the repository below another prefix; only with signers."`
	Attestations []attestationEntry `yaml:"attestations" jsonschema:"anyof_required=attestations" jsonschema_description:"What somebody must have stated about the image; all of it."`
	Platforms    platforms          `yaml:"platforms" jsonschema:"default=index,enum=index,enum=each" jsonschema_description:"Whether the index of a multi-platform image must satisfy the rule, or each of its manifests besides."`
	MinAge       time.Duration      `yaml:"minAge" jsonschema:"anyof_required=minAge,example=72h" jsonschema_description:"How old the content must be: by a timestamp or log entry that its signatures prove, or else since this site first saw it."`
	Signatures   string             `yaml:"signatures" jsonschema:"example=registry.corp.example/signatures" jsonschema_description:"Repository in which signatures and attestations lie, when it is not that of the image."`
	Where        mirror.Position
}

type requireEntry struct {
	Signers []mirror.Node `yaml:"signers" jsonschema:"oneof_required=signers,minItems=1,uniqueItems=true,example=vendor" jsonschema_description:"Names of signers whose signatures count: those of cosign and, of packages, those of OpenPGP."`
	Count   *int          `yaml:"count" jsonschema:"minimum=1,default=1" jsonschema_description:"How many distinct signers, told apart by key or certified identity, must have signed the digest; only with signers."`
	Pinned  *bool         `yaml:"pinned" jsonschema:"oneof_required=pinned" jsonschema_description:"A reviewed commit must name the digest in desired/; write true or leave it out."`
	Where   mirror.Position
}

// referenceEntry is the key reference where it is not one word.
type referenceEntry struct {
	Remap remapEntry `yaml:"remap,required" jsonschema_description:"Images whose name begins with one prefix are signed under a name that begins with another."`
	Where mirror.Position
}

type remapEntry struct {
	From  string `yaml:"from,required" jsonschema:"example=registry.corp.example/mirror" jsonschema_description:"How the name of the image begins: host, or host and path."`
	To    string `yaml:"to,required" jsonschema:"example=ghcr.io/vendor" jsonschema_description:"How the name inside the signature begins instead."`
	Where mirror.Position
}

type attestationEntry struct {
	Type      string        `yaml:"type,required" jsonschema:"example=https://slsa.dev/provenance/v1" jsonschema_description:"Predicate type, as the attestation has it."`
	By        []mirror.Node `yaml:"by,required" jsonschema:"minItems=1,uniqueItems=true,example=ci" jsonschema_description:"Names of signers whose attestations count."`
	Count     *int          `yaml:"count" jsonschema:"minimum=1,default=1" jsonschema_description:"How many distinct signers must have stated it."`
	Condition mirror.Node   `yaml:"where" jsonschema:"example=predicate.runDetails.builder.id == 'corp-ci'" jsonschema_description:"CEL expression over predicate that must be true of the attestation. Its cost is limited: one that may take too long is refused here already."`
	Where     mirror.Position
}

type denyEntry struct {
	Digests []mirror.Node `yaml:"digests" jsonschema:"pattern=^sha256:[0-9a-f]{64}$" jsonschema_description:"Digests that are never admitted."`
	Repos   []mirror.Node `yaml:"repos" jsonschema:"example=**/debug-*" jsonschema_description:"Globs over host/repository whose images are never admitted."`
	Signers []mirror.Node `yaml:"signers" jsonschema:"example=old-key" jsonschema_description:"Names of signers whose signatures and attestations never count, whenever they were made."`
}

type exceptionEntry struct {
	Match      string        `yaml:"match,required" jsonschema:"example=quay.io/vendor/tool" jsonschema_description:"One repository (host/repository), or one digest in it (host/repository@sha256:...); no glob."`
	Stages     []mirror.Node `yaml:"stages" jsonschema:"uniqueItems=true,example=snapshot" jsonschema_description:"Stages at which it holds; every stage when it is left out."`
	Skip       []skip        `yaml:"skip,required" jsonschema:"minItems=1,uniqueItems=true,enum=signatures,enum=attestations,enum=pinned,enum=age,enum=removal" jsonschema_description:"Requirements that it lifts. What is denied stays denied. With removal, versions of a package may be taken out of a stage between the first and the last."`
	Until      moment        `yaml:"until,required" jsonschema:"title=date or time,pattern=^[0-9]{4}-[0-9]{2}-[0-9]{2}(T.+)?$,example=2026-12-31" jsonschema_description:"Last day (UTC) on which it holds, or the moment from which it does not any more. People are warned from 14 days before."`
	Reason     string        `yaml:"reason,required" jsonschema:"minLength=1,example=VEND-123" jsonschema_description:"Why it is needed, such as the number of a ticket."`
	ApprovedBy string        `yaml:"approvedBy,required" jsonschema:"minLength=1,example=alice" jsonschema_description:"Who answers for it."`
	Where      mirror.Position
}

type gateEntry struct {
	Sets        []mirror.Node   `yaml:"sets" jsonschema:"uniqueItems=true,example=ess,example=elastic-*" jsonschema_description:"Globs over the names of sets; every set when it is left out."`
	Stages      []mirror.Node   `yaml:"stages,required" jsonschema:"minItems=1,uniqueItems=true,example=production" jsonschema_description:"Stages that it guards. The first stage of a set has no gates: upstream and the rules fill it."`
	Soak        time.Duration   `yaml:"soak" jsonschema:"example=24h" jsonschema_description:"For how long something must have stood in the stage below. A set that moves together soaks as its youngest entry."`
	Windows     []windowEntry   `yaml:"windows" jsonschema:"minItems=1" jsonschema_description:"When something may move: inside of one of these. What comes at another time waits."`
	Freezes     []freezeEntry   `yaml:"freezes" jsonschema:"minItems=1" jsonschema_description:"Times in which nothing moves. What comes then waits."`
	Approvals   *approvalsEntry `yaml:"approvals" jsonschema_description:"Who must have approved the proposal that asks for it. Neither its author nor whoever asked for it counts."`
	Statuses    []mirror.Node   `yaml:"statuses" jsonschema:"minItems=1,uniqueItems=true,example=ci/e2e" jsonschema_description:"Contexts of commit statuses that must have succeeded, on the head of the proposal or on the commit that asks for it."`
	Calls       []mirror.Node   `yaml:"calls" jsonschema:"minItems=1,uniqueItems=true,example=smoke" jsonschema_description:"Names of calls in config.yaml: others who are asked and have to say yes."`
	Downgrade   mirror.Node     `yaml:"downgrade" jsonschema:"default=allow,enum=allow,enum=refuse" jsonschema_description:"What becomes of an older version than stands at the stage. What stood there before, or what the stage file marks with rollback, is not refused."`
	Immutable   bool            `yaml:"immutable" jsonschema_description:"Refuses a tag that stood at the stage with other content."`
	Whole       bool            `yaml:"whole" jsonschema_description:"The stage takes all that stands in the stage below, or nothing."`
	ApplyWithin time.Duration   `yaml:"applyWithin" jsonschema:"default=72h" jsonschema_description:"How long what was asked for may wait for soak, windows and freezes; after that it has to be asked for again."`
	Where       mirror.Position
}

type windowEntry struct {
	Days     []mirror.Node `yaml:"days" jsonschema:"minItems=1,uniqueItems=true,enum=mon,enum=tue,enum=wed,enum=thu,enum=fri,enum=sat,enum=sun" jsonschema_description:"Days on which it begins; every day when it is left out."`
	From     clockTime     `yaml:"from,required" jsonschema:"pattern=^[0-9]{2}:[0-9]{2}$,example=20:00" jsonschema_description:"When it begins, by the clock of the zone."`
	To       clockTime     `yaml:"to,required" jsonschema:"pattern=^[0-9]{2}:[0-9]{2}$,example=23:00" jsonschema_description:"When it ends; on the next day where that is before from. 24:00 is the end of the day."`
	TimeZone string        `yaml:"timeZone" jsonschema:"default=UTC,example=Europe/Berlin" jsonschema_description:"Time zone whose clock counts, by its name in the IANA database."`
	Where    mirror.Position
}

type freezeEntry struct {
	From     mirror.Node `yaml:"from,required" jsonschema:"title=date or time,pattern=^[0-9]{4}-[0-9]{2}-[0-9]{2}(T.+)?$,example=2026-12-20" jsonschema_description:"First day of it, or the moment at which it begins."`
	Until    mirror.Node `yaml:"until,required" jsonschema:"title=date or time,pattern=^[0-9]{4}-[0-9]{2}-[0-9]{2}(T.+)?$,example=2027-01-06" jsonschema_description:"Last day of it, or the moment at which it ends."`
	TimeZone string      `yaml:"timeZone" jsonschema:"default=UTC,example=Europe/Berlin" jsonschema_description:"Time zone in which the days begin, by its name in the IANA database."`
	Reason   string      `yaml:"reason" jsonschema:"example=holidays" jsonschema_description:"Why, for people who wait."`
	Where    mirror.Position
}

type approvalsEntry struct {
	Count  *int `yaml:"count" jsonschema:"minimum=1,default=1" jsonschema_description:"How many people."`
	Owners bool `yaml:"owners" jsonschema_description:"Only those count whom CODEOWNERS names for the stage file."`
	Where  mirror.Position
}

// Document gives the Go value whose tags say what desired/policy.yaml may hold, for its published schema.
func Document() any { return document{} }

// Reference gives the Go value whose tags say what may stand under reference where it is not one word.
func Reference() any { return referenceEntry{} }

// platforms says what of a multi-platform image a rule is about.
type platforms string

const (
	platformsIndex platforms = "index"
	platformsEach  platforms = "each"
)

// UnmarshalText accepts index and each.
func (p *platforms) UnmarshalText(b []byte) error {
	switch platforms(b) {
	case platformsIndex, platformsEach:
		*p = platforms(b)
		return nil
	}
	return mirror.UnknownWord{Kind: "platforms", Word: string(b), Known: []string{string(platformsIndex), string(platformsEach)}}
}

// UnmarshalText accepts the requirements that an exception may lift.
func (s *skip) UnmarshalText(b []byte) error {
	switch skip(b) {
	case skipSignatures, skipAttestations, skipPinned, skipAge, skipRemoval:
		*s = skip(b)
		return nil
	}
	return mirror.UnknownWord{Kind: "requirement", Word: string(b), Known: []string{string(skipSignatures), string(skipAttestations), string(skipPinned), string(skipAge), string(skipRemoval)}}
}

// moment is a day or a moment, as people write it.
type moment struct {
	at  time.Time // the first moment of a day
	day bool
}

// begin is the first moment that belongs to it.
func (m moment) begin() time.Time { return m.at }

// end is the first moment after a whole day, or the moment itself; zero where nothing is written.
func (m moment) end() time.Time {
	if m.day {
		return m.at.AddDate(0, 0, 1)
	}
	return m.at
}

var errNoMoment = errors.New("neither a day nor a time")

// Form says how a moment is written.
func (moment) Form() string {
	return "write a day such as 2026-12-31, or a time such as 2026-12-31T18:00:00Z"
}

// UnmarshalText reads a day of UTC (2026-12-31) or a time as in RFC 3339.
func (m *moment) UnmarshalText(b []byte) (err error) {
	if m.at, err = time.Parse(time.DateOnly, string(b)); err == nil {
		m.day = true
		return nil
	}
	if m.at, err = time.Parse(time.RFC3339, string(b)); err != nil {
		return errNoMoment
	}
	m.at = m.at.UTC()
	return nil
}
