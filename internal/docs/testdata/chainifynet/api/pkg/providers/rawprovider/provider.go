package rawprovider

import "github.com/chainifynet/aws-encryption-sdk-go/pkg/model"

type RawKeyProvider[K model.MasterKey] struct{ model.MasterKeyProvider }

type (
	Options     struct{}
	OptionsFunc func(*Options) error
)

func NewWithOpts(string, ...func(*Options) error) (*RawKeyProvider[model.MasterKey], error) {
	panic("declared only")
}

func WithStaticKey(string, []byte) OptionsFunc { panic("declared only") }
