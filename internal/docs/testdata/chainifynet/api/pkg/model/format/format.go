package format

import "github.com/chainifynet/aws-encryption-sdk-go/pkg/suite"

type MessageHeader interface{ AADData() MessageAAD }

type MessageAAD interface {
	EncryptionContext() suite.EncryptionContext
}
