package epr

import "strings"

// ingestionMethods says by which way an input gets its data, as Elastic's registry tells it. Source: elastic/package-registry
// v1.39.0 : internal/ingestionmethod/ingestion_method.yml.
var ingestionMethods = func() map[text]text {
	all := map[text]text{}
	for method, inputs := range map[text]string{
		"API":                          "apache/metrics aws/metrics awsfargate/metrics azure/metrics cel containerd/metrics docker/metrics elasticsearch/metrics enterprisesearch/metrics entity-analytics etcd/metrics gcp/metrics haproxy/metrics http/metrics httpjson kibana/metrics kubernetes/metrics logstash/metrics meraki/metrics nats/metrics nginx/metrics o365audit panw/metrics rabbitmq/metrics salesforce stan/metrics streaming vsphere/metrics websocket windows/metrics winlog",
		"AWS CloudWatch":               "aws-cloudwatch",
		"AWS S3":                       "aws-s3",
		"Azure Blob Storage":           "azure-blob-storage",
		"Azure Event Hub":              "azure-eventhub",
		"Database":                     "memcached/metrics mongodb/metrics mysql/metrics postgresql/metrics redis redis/metrics sql/metrics zookeeper/metrics",
		"ETW":                          "etw",
		"File":                         "filestream linux/metrics logfile system/metrics",
		"GCP Pub/Sub":                  "gcp-pubsub",
		"Google Cloud Storage":         "gcs",
		"Jolokia":                      "activemq/metrics jolokia/metrics kafka/metrics",
		"Kafka":                        "kafka",
		"Lumberjack":                   "lumberjack",
		"NetFlow":                      "netflow",
		"Network Protocol":             "statsd/metrics syslog tcp udp",
		"Prometheus":                   "prometheus/metrics",
		"Webhook":                      "http_endpoint",
		"Windows Performance Counters": "iis/metrics",
		"journald":                     "journald",
	} {
		for _, input := range strings.Fields(inputs) {
			all[text(input)] = method
		}
	}
	return all
}()
