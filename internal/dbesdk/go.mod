module github.com/go-sealring/sealring/internal/dbesdk

go 1.25.0

require (
	github.com/aws/aws-sdk-go-v2/service/dynamodb v1.47.0
	github.com/go-sealring/sealring v0.0.0
	github.com/go-sealring/sealring/envelope/dynamoitem v0.0.0
	github.com/stretchr/testify v1.11.1
)

replace github.com/go-sealring/sealring => ../..

replace github.com/go-sealring/sealring/envelope/dynamoitem => ../../envelope/dynamoitem
