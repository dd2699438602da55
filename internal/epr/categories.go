package epr

// category is what is known of a category of packages.
type category struct {
	title  string
	parent string // "" for one that has none
}

// categories are those that Elastic's registry knows; a package keeps no other. Source: elastic/package-registry v1.39.0 :
// categories/categories.yml.
var categories = map[string]category{
	"aws":                {title: "AWS"},
	"azure":              {title: "Azure"},
	"cloud":              {title: "Cloud"},
	"config_management":  {title: "Config management"},
	"containers":         {title: "Containers"},
	"crm":                {title: "CRM"},
	"custom":             {title: "Custom"},
	"datastore":          {title: "Database"},
	"elastic_stack":      {title: "Elastic Stack"},
	"elasticsearch_sdk":  {title: "Elasticsearch SDK"},
	"enterprise_search":  {title: "Enterprise Search"},
	"google_cloud":       {title: "Google Cloud"},
	"infrastructure":     {title: "Infrastructure"},
	"languages":          {title: "Languages"},
	"network":            {title: "Network"},
	"observability":      {title: "Observability"},
	"opentelemetry":      {title: "OpenTelemetry"},
	"os_system":          {title: "Operating Systems"},
	"productivity":       {title: "Productivity"},
	"security":           {title: "Security"},
	"support":            {title: "Support"},
	"ticketing":          {title: "Ticketing"},
	"version_control":    {title: "Version Control"},
	"custom_logs":        {"Custom Logs", "custom"},
	"app_search":         {"Application Search", "enterprise_search"},
	"connector":          {"Connector", "enterprise_search"},
	"connector_client":   {"Connector Client", "enterprise_search"},
	"connector_package":  {"Connector Package", "enterprise_search"},
	"content_source":     {"Content Source", "enterprise_search"},
	"crawler":            {"Crawler", "enterprise_search"},
	"language_client":    {"Language Client", "enterprise_search"},
	"native_search":      {"Native Search", "enterprise_search"},
	"sdk_search":         {"SDK", "enterprise_search"},
	"workplace_search":   {"Workplace Search", "enterprise_search"},
	"analytics_engine":   {"Analytics Engine", "observability"},
	"big_data":           {"Big Data", "observability"},
	"java_observability": {"Java", "observability"},
	"kubernetes":         {"Kubernetes", "observability"},
	"load_balancer":      {"Load Balancer", "observability"},
	"message_queue":      {"Message Broker", "observability"},
	"monitoring":         {"Monitoring", "observability"},
	"notification":       {"Notification", "observability"},
	"process_manager":    {"Process Manager", "observability"},
	"stream_processing":  {"Stream Processing", "observability"},
	"virtualization":     {"Virtualization Platform", "observability"},
	"web":                {"Web Server", "observability"},
	"websphere":          {"WebSphere Application Server", "observability"},

	"application_observability": {"Application", "observability"},
	"advanced_analytics_ueba":   {"Advanced Analytics (UEBA)", "security"},
	"asset_inventory":           {"Asset Inventory", "security"},
	"auditd":                    {"AuditD", "security"},
	"authentication":            {"Authentication", "security"},
	"cdn_security":              {"Content Delivery Network", "security"},
	"cloudsecurity_cdr":         {"Cloud Security/CDR", "security"},
	"credential_management":     {"Credential Management", "security"},
	"database_security":         {"Database", "security"},
	"dns_security":              {"DNS", "security"},
	"edr_xdr":                   {"EDR/XDR", "security"},
	"email_security":            {"Email", "security"},
	"firewall_security":         {"Firewall", "security"},
	"iam":                       {"Identity and Access Management", "security"},
	"ids_ips":                   {"IDS/IPS", "security"},
	"misconfiguration_workflow": {"Misconfiguration Workflow", "security"},
	"network_security":          {"Network", "security"},
	"productivity_security":     {"Productivity", "security"},
	"proxy_security":            {"Proxy", "security"},
	"siem":                      {"SIEM", "security"},
	"threat_intel":              {"Threat Intelligence", "security"},
	"vpn_security":              {"VPN", "security"},
	"vulnerability_management":  {"Vulnerability Management", "security"},
	"vulnerability_workflow":    {"Vulnerability Workflow", "security"},
	"web_application_firewall":  {"Web Application Firewall", "security"},
}

// isIn says whether one of the categories is the wanted one or below it.
func isIn(have []string, want string) bool {
	for _, c := range have {
		if c == want || categories[c].parent == want && want != "" {
			return true
		}
	}
	return false
}
