package materials

import "github.com/chainifynet/aws-encryption-sdk-go/pkg/model"

type DefaultCryptoMaterialsManager struct{ model.CryptoMaterialsManager }

func NewDefault(model.MasterKeyProvider, ...model.MasterKeyProvider) (*DefaultCryptoMaterialsManager, error) {
	panic("declared only")
}
