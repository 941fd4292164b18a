// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/syncline-dev/syncline/internal/catalog"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/airtable"
	"github.com/syncline-dev/syncline/internal/connector/azureblob"
	"github.com/syncline-dev/syncline/internal/connector/dropbox"
	"github.com/syncline-dev/syncline/internal/connector/dynamodb"
	"github.com/syncline-dev/syncline/internal/connector/excel"
	"github.com/syncline-dev/syncline/internal/connector/files"
	"github.com/syncline-dev/syncline/internal/connector/gcs"
	"github.com/syncline-dev/syncline/internal/connector/gdrive"
	"github.com/syncline-dev/syncline/internal/connector/googlesheets"
	"github.com/syncline-dev/syncline/internal/connector/graphql"
	"github.com/syncline-dev/syncline/internal/connector/hubspot"
	"github.com/syncline-dev/syncline/internal/connector/kafka"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
	"github.com/syncline-dev/syncline/internal/connector/mongodb"
	"github.com/syncline-dev/syncline/internal/connector/mysql"
	"github.com/syncline-dev/syncline/internal/connector/postgres"
	"github.com/syncline-dev/syncline/internal/connector/rabbitmq"
	"github.com/syncline-dev/syncline/internal/connector/s3"
	"github.com/syncline-dev/syncline/internal/connector/salesforce"
	"github.com/syncline-dev/syncline/internal/connector/sqs"
	"github.com/syncline-dev/syncline/internal/connector/sse"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/connector/websocket"
	"github.com/syncline-dev/syncline/internal/connector/zendesk"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// ownConnector makes a connector of a manifest that a tenant wrote.
func ownConnector(pool *transport.Pool) catalog.Compile {
	return func(id tenant.ID, source []byte) (connector.Connector, error) {
		c, err := manifest.NewOwn(source, id.String(), pool)
		if err != nil {
			return nil, err
		}
		return c.WithWebhooks(), nil
	}
}

// connectors are those that the program has. None of them starts anything before a system is opened.
func connectors(c config, pool *transport.Pool) []connector.Connector {
	return []connector.Connector{
		postgres.New(), mysql.New(),
		files.New(c.FilesDir), s3.New(), azureblob.New(),
		kafka.New(), rabbitmq.New(), sqs.New(),
		googlesheets.New(pool), excel.New(pool), airtable.New(pool), gcs.New(pool), dropbox.New(pool), gdrive.New(pool),
		mongodb.New(), dynamodb.New(),
		graphql.New(pool), sse.New(), websocket.New(),
		salesforce.New(pool).WithWebhooks(), hubspot.New(pool).WithWebhooks(), zendesk.New(pool).WithWebhooks(),
	}
}
