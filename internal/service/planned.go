// SPDX-License-Identifier: Apache-2.0

package service

// planned are the connector types of the design, each with its title. A document may name them before they are built.
var planned = map[string]string{
	"salesforce": "Salesforce", "hubspot": "HubSpot", "zendesk": "Zendesk", "postgresql": "PostgreSQL", "postgres": "PostgreSQL",
	"shopify": "Shopify", "amazon-mws": "Amazon Selling Partner API", "amazon-sp-api": "Amazon Selling Partner API", "ebay": "eBay",
	"quickbooks-online": "QuickBooks Online", "quickbooks": "QuickBooks Online", "stripe": "Stripe", "plaid": "Plaid",
	"bamboohr": "BambooHR", "adp-workforce": "ADP Workforce Now", "adp-workforce-now": "ADP Workforce Now",
	"google-workspace": "Google Workspace", "okta": "Okta", "jira-cloud": "Jira Cloud", "jira": "Jira Cloud", "asana": "Asana",
	"harvest": "Harvest", "segment": "Segment", "intercom": "Intercom", "klaviyo": "Klaviyo", "clearbit": "Clearbit", "fullcontact": "FullContact",
	"mysql": "MySQL", "mariadb": "MariaDB", "mongodb": "MongoDB", "dynamodb": "DynamoDB", "slack": "Slack",
	"s3": "Amazon S3", "azure-blob": "Azure Blob Storage", "google-cloud-storage": "Google Cloud Storage", "google-drive": "Google Drive",
	"dropbox": "Dropbox", "files": "Files", "google-sheets": "Google Sheets", "excel-online": "Excel Online", "airtable": "Airtable",
	"kafka": "Kafka", "rabbitmq": "RabbitMQ", "sqs": "Amazon SQS", "rest": "Custom REST API", "webhook": "Webhook", "graphql": "GraphQL API",
	"websocket": "WebSocket", "sse": "Server-sent events", "sap": "SAP", "oracle": "Oracle",
}

// retired are connector types of earlier days that still work, with what serves them now.
var retired = map[string]string{
	"amazon-mws":  "Amazon has switched MWS off; amazon-mws is served by the Selling Partner API, type amazon-sp-api.",
	"clearbit":    "Clearbit no longer takes new customers; it stays usable as a lookup with an existing key.",
	"fullcontact": "FullContact no longer takes new customers; it stays usable as a lookup with an existing key.",
}

// retiredSettings are settings of earlier days by connector type: the name, the one that takes its place, and the notice.
var retiredSettings = map[string][3]string{
	"hubspot": {"apiKey", "accessToken", "HubSpot has switched API keys off; apiKey is read as the access token of a private app. Write accessToken."},
}

// Planned returns the title of a connector type that Syncline has or plans.
func Planned(connectorType string) (title string, ok bool) {
	title, ok = planned[connectorType]
	return title, ok
}
