module github.com/go-sealring/sealring/internal/dbesdk

go 1.25.0

require (
	github.com/aws/aws-sdk-go-v2 v1.38.0
	github.com/aws/aws-sdk-go-v2/service/dynamodb v1.47.0
	github.com/aws/aws-sdk-go-v2/service/kms v1.41.0
	github.com/go-sealring/sealring v0.0.0
	github.com/go-sealring/sealring/envelope/dynamoitem v0.0.0
	github.com/go-sealring/sealring/keyring/branchkey/dynamostore v0.0.0-00010101000000-000000000000
	github.com/stretchr/testify v1.11.1
)

require (
	github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue v1.20.2 // indirect
	github.com/aws/aws-sdk-go-v2/internal/configsources v1.4.3 // indirect
	github.com/aws/aws-sdk-go-v2/internal/endpoints/v2 v2.7.3 // indirect
	github.com/aws/aws-sdk-go-v2/service/dynamodbstreams v1.28.0 // indirect
	github.com/aws/aws-sdk-go-v2/service/internal/accept-encoding v1.13.0 // indirect
	github.com/aws/aws-sdk-go-v2/service/internal/endpoint-discovery v1.11.3 // indirect
	github.com/aws/smithy-go v1.22.5 // indirect
	github.com/davecgh/go-spew v1.1.1 // indirect
	github.com/pmezard/go-difflib v1.0.0 // indirect
	golang.org/x/crypto v0.45.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)

replace github.com/go-sealring/sealring => ../..

replace github.com/go-sealring/sealring/envelope/dynamoitem => ../../envelope/dynamoitem

replace github.com/go-sealring/sealring/keyring/branchkey/dynamostore => ../../keyring/branchkey/dynamostore
