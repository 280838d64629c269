package suite

type EncryptionContext map[string]string

type AlgorithmSuite struct{}

var AES_256_GCM_HKDF_SHA512_COMMIT_KEY = &AlgorithmSuite{}
