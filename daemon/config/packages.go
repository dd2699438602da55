package config

import "time"

// Packages says how Elastic packages are fetched, signed and handed out. Which packages are wanted stands in the fleet
// repository; who may change that can name a drop directory, never a folder of this machine.
type Packages struct {
	SpoolLimit int64             `yaml:"spoolLimit" jsonschema:"minimum=1,default=4096,example=8192" jsonschema_description:"How much of stateDir may hold packages that were fetched and are not stored yet, in MiB; each is deleted once it is."`
	AtOnce     int               `yaml:"atOnce" jsonschema:"minimum=1,maximum=32,default=4,example=8" jsonschema_description:"How many packages are fetched at the same time."`
	Drop       map[string]string `yaml:"drop" jsonschema:"example=/var/lib/poundlock/drop" jsonschema_description:"Folders in which somebody puts packages, each with its signature beside it, by the name that a source of kind epr gives."`
	Signing    PackageSigning    `yaml:"signing" jsonschema_description:"Signs the site's own packages that are built here and come without a signature."`
	Export     []Export          `yaml:"export" jsonschema_description:"Folders that are kept like the stages of a set, for a package registry of Elastic that runs beside."`
}

// PackageSigning is the OpenPGP key of the site for its own packages.
type PackageSigning struct {
	Key        Secret `yaml:"key" jsonschema_description:"Armored OpenPGP private key."`
	Passphrase Secret `yaml:"passphrase" jsonschema_description:"Passphrase of that key, where it has one."`
}

// Export is a folder that is kept like the stages of a set: one folder below it for each.
type Export struct {
	Set    string   `yaml:"set" jsonschema:"required,example=elastic" jsonschema_description:"Name of a set of packages."`
	Dir    string   `yaml:"dir" jsonschema:"required,example=/srv/packages" jsonschema_description:"Folder on this machine; each stage has one below it, and nothing else may write there."`
	Stages []string `yaml:"stages" jsonschema:"example=production" jsonschema_description:"Stages that are wanted; all of the set when it is left out."`
}

// EPR says where package channels are answered as a package registry of Elastic does.
type EPR struct {
	Listen  string            `yaml:"listen" jsonschema:"example=0.0.0.0:8080" jsonschema_description:"Address (host:port) on which every channel is answered, below /epr/<set>/<channel>/; channels are not served when it is left out."`
	Ports   map[string]string `yaml:"ports" jsonschema:"example=0.0.0.0:8081" jsonschema_description:"Addresses that answer one channel each at their root, by <set>/<channel>."`
	TLS     ServerTLS         `yaml:"tls" jsonschema_description:"Certificate that these addresses show; plain http when it is left out."`
	Refresh time.Duration     `yaml:"refresh" jsonschema:"default=10s,example=30s" jsonschema_description:"How often it is asked whether a channel changed."`
}

// ServerTLS is what a server of ours shows.
type ServerTLS struct {
	CertFile string `yaml:"certFile" jsonschema:"example=/etc/poundlock/epr.pem" jsonschema_description:"PEM file with the certificate and its chain."`
	KeyFile  string `yaml:"keyFile" jsonschema:"example=/etc/poundlock/epr-key.pem" jsonschema_description:"PEM file with its private key."`
}
