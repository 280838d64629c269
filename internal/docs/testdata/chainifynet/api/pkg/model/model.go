package model

// Unexported methods stand for what main.go does not call.
type (
	CryptoMaterialsManager interface{ manager() }
	MasterKeyProvider      interface{ provider() }
	MasterKey              interface{ key() }
)
