package kmstest_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

func TestCreateKey(t *testing.T) {
	now := newClock()
	s := kmstest.Start(t, kmstest.Config{Account: "999988887777", Partition: "aws-cn", Clock: now.now})
	c := newClient(t, s, east)
	for _, tc := range []struct {
		spec  types.KeySpec
		usage types.KeyUsageType
	}{
		{"", ""},
		{types.KeySpecSymmetricDefault, types.KeyUsageTypeEncryptDecrypt},
		{types.KeySpecRsa2048, types.KeyUsageTypeEncryptDecrypt},
		{types.KeySpecEccNistP384, types.KeyUsageTypeKeyAgreement},
	} {
		t.Run(string(tc.spec), func(t *testing.T) {
			out, err := c.CreateKey(t.Context(), &kms.CreateKeyInput{
				KeySpec: tc.spec, KeyUsage: tc.usage, Description: aws.String("for a test"),
				Tags: []types.Tag{{TagKey: aws.String("a"), TagValue: aws.String("b")}}, Policy: aws.String("{}"),
			})
			require.NoError(t, err)
			m := out.KeyMetadata
			assert.Regexp(t, regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`), *m.KeyId)
			assert.Equal(t, "arn:aws-cn:kms:us-east-1:999988887777:key/"+*m.KeyId, *m.Arn)
			assert.Equal(t, "999988887777", *m.AWSAccountId)
			assert.True(t, m.CreationDate.Equal(now.now()))
			assert.Equal(t, "for a test", *m.Description)
			assert.True(t, m.Enabled)
			assert.Equal(t, types.KeyStateEnabled, m.KeyState)
			assert.Equal(t, types.KeyManagerTypeCustomer, m.KeyManager)
			assert.Equal(t, types.OriginTypeAwsKms, m.Origin)
			assert.False(t, *m.MultiRegion)
			assert.Nil(t, m.MultiRegionConfiguration)
			assert.Nil(t, m.DeletionDate)
			if tc.spec != "" {
				assert.Equal(t, tc.spec, m.KeySpec)
				assert.Equal(t, tc.usage, m.KeyUsage)
			}
			assert.Equal(t, m.KeySpec == types.KeySpecSymmetricDefault, m.CurrentKeyMaterialId != nil)
			assert.Equal(t, m.KeyUsage == types.KeyUsageTypeKeyAgreement, len(m.KeyAgreementAlgorithms) == 1)
			assert.Equal(t, m.KeyUsage == types.KeyUsageTypeEncryptDecrypt, len(m.EncryptionAlgorithms) > 0)

			described, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: m.KeyId})
			require.NoError(t, err)
			assert.Equal(t, m, described.KeyMetadata)
		})
	}
	for name, tc := range map[string]struct {
		in   kms.CreateKeyInput
		code string
	}{
		"unknown spec":    {kms.CreateKeyInput{KeySpec: "RSA_1024"}, "ValidationException"},
		"other spec":      {kms.CreateKeyInput{KeySpec: types.KeySpecHmac256}, "UnsupportedOperationException"},
		"two specs":       {kms.CreateKeyInput{KeySpec: types.KeySpecRsa2048, CustomerMasterKeySpec: "RSA_2048"}, "ValidationException"},
		"no usage":        {kms.CreateKeyInput{KeySpec: types.KeySpecRsa2048}, "ValidationException"},
		"unknown usage":   {kms.CreateKeyInput{KeyUsage: "X"}, "ValidationException"},
		"signing":         {kms.CreateKeyInput{KeySpec: types.KeySpecRsa2048, KeyUsage: types.KeyUsageTypeSignVerify}, "UnsupportedOperationException"},
		"wrong usage":     {kms.CreateKeyInput{KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeEncryptDecrypt}, "ValidationException"},
		"imported":        {kms.CreateKeyInput{Origin: types.OriginTypeExternal}, "UnsupportedOperationException"},
		"unknown origin":  {kms.CreateKeyInput{Origin: "X"}, "ValidationException"},
		"custom store":    {kms.CreateKeyInput{CustomKeyStoreId: aws.String("cks-1")}, "UnsupportedOperationException"},
		"tag without key": {kms.CreateKeyInput{Tags: []types.Tag{{TagKey: aws.String(""), TagValue: aws.String("")}}}, "TagException"},
		"long text":       {kms.CreateKeyInput{Description: aws.String(strings.Repeat("x", 8193))}, "ValidationException"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.CreateKey(t.Context(), &tc.in)
			requireCode(t, err, tc.code)
		})
	}
}

func TestIdentifiers(t *testing.T) {
	s := kmstest.Start(t, kmstest.Config{Regions: []string{east, west}})
	c := newClient(t, s, east)
	arn := s.CreateKey(east, kmstest.SymmetricDefault)
	id := arn[strings.Index(arn, "key/")+4:]
	s.Alias("app", arn)
	for name, tc := range map[string]struct{ id, code, message string }{
		"unknown ID":          {"1234abcd-12ab-34cd-56ef-1234567890ab", "NotFoundException", "Key 'arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab' does not exist"},
		"unknown ARN":         {strings.Replace(arn, id, "mrk-1234567890abcdef1234567890abcdef", 1), "NotFoundException", "does not exist"},
		"malformed ID":        {"payments", "NotFoundException", "Invalid keyId 'payments'"},
		"unknown alias":       {"alias/none", "NotFoundException", "Alias arn:aws:kms:us-east-1:111122223333:alias/none is not found."},
		"another region":      {strings.Replace(arn, east, west, 1), "NotFoundException", "Invalid arn us-west-2"},
		"alias elsewhere":     {"arn:aws:kms:us-west-2:111122223333:alias/app", "NotFoundException", "Invalid arn us-west-2"},
		"another partition":   {strings.Replace(arn, ":aws:", ":aws-cn:", 1), "NotFoundException", "Invalid arn"},
		"another service":     {strings.Replace(arn, ":kms:", ":s3:", 1), "NotFoundException", "Invalid arn"},
		"another account":     {strings.Replace(arn, "111122223333", "444455556666", 1), "AccessDeniedException", "User: arn:aws:iam::111122223333:user/kmstest is not authorized to perform: kms:Encrypt on resource: arn:aws:kms:us-east-1:444455556666:key/" + id + " because no resource-based policy allows the kms:Encrypt action"},
		"alias of an account": {"arn:aws:kms:us-east-1:444455556666:alias/app", "AccessDeniedException", "not authorized"},
		"cut ARN":             {"arn:aws:kms", "NotFoundException", "Invalid arn"},
		"no resource":         {"arn:aws:kms:us-east-1:111122223333:key/", "NotFoundException", "Invalid arn"},
		"empty":               {"", "ValidationException", "'keyId'"},
		"long":                {strings.Repeat("a", 2049), "ValidationException", "2048"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &tc.id, Plaintext: []byte{1}})
			assert.Contains(t, requireCode(t, err, tc.code).ErrorMessage(), tc.message)
		})
	}
	t.Run("alias where a key is needed", func(t *testing.T) {
		_, err := c.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: aws.String("alias/app")})
		requireCode(t, err, "NotFoundException")
	})
	t.Run("keys are separate by region", func(t *testing.T) {
		_, err := newClient(t, s, west).DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &id})
		requireCode(t, err, "NotFoundException")
	})
}

func TestMultiRegion(t *testing.T) {
	s := kmstest.Start(t, kmstest.Config{Regions: []string{east, west, "eu-west-1"}})
	ce, cw := newClient(t, s, east), newClient(t, s, west)
	made, err := ce.CreateKey(t.Context(), &kms.CreateKeyInput{MultiRegion: aws.Bool(true)})
	require.NoError(t, err)
	primary, id := *made.KeyMetadata.Arn, *made.KeyMetadata.KeyId
	assert.Regexp(t, `^mrk-[0-9a-f]{32}$`, id)
	assert.True(t, *made.KeyMetadata.MultiRegion)
	assert.Equal(t, types.MultiRegionKeyTypePrimary, made.KeyMetadata.MultiRegionConfiguration.MultiRegionKeyType)

	out, err := ce.ReplicateKey(t.Context(), &kms.ReplicateKeyInput{KeyId: &primary, ReplicaRegion: aws.String(west), Description: aws.String("copy"),
		Tags: []types.Tag{{TagKey: aws.String("a"), TagValue: aws.String("b")}}})
	require.NoError(t, err)
	m := out.ReplicaKeyMetadata
	replica := strings.Replace(primary, east, west, 1)
	assert.Equal(t, replica, *m.Arn)
	assert.Equal(t, id, *m.KeyId)
	assert.Equal(t, "copy", *m.Description)
	assert.Equal(t, types.MultiRegionKeyTypeReplica, m.MultiRegionConfiguration.MultiRegionKeyType)
	assert.Equal(t, types.MultiRegionKey{Arn: &primary, Region: aws.String(east)}, *m.MultiRegionConfiguration.PrimaryKey)
	assert.Equal(t, []types.MultiRegionKey{{Arn: &replica, Region: aws.String(west)}}, m.MultiRegionConfiguration.ReplicaKeys)
	assert.Contains(t, *out.ReplicaPolicy, "111122223333:root")
	assert.Len(t, out.ReplicaTags, 1)
	third := s.Replicate(primary, "eu-west-1")
	described, err := ce.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &primary})
	require.NoError(t, err)
	assert.Len(t, described.KeyMetadata.MultiRegionConfiguration.ReplicaKeys, 2)
	assert.Contains(t, third, "eu-west-1")

	t.Run("each opens the other's", func(t *testing.T) {
		for _, rotated := range []bool{false, true} {
			if rotated {
				s.Rotate(primary)
			}
			a, err := ce.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &id, Plaintext: []byte("east")})
			require.NoError(t, err)
			b, err := cw.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &id, Plaintext: []byte("west")})
			require.NoError(t, err)
			for _, key := range []*string{nil, &id, &replica} {
				opened, err := cw.Decrypt(t.Context(), &kms.DecryptInput{KeyId: key, CiphertextBlob: a.CiphertextBlob})
				require.NoError(t, err)
				assert.Equal(t, "east", string(opened.Plaintext))
				assert.Equal(t, replica, *opened.KeyId)
			}
			opened, err := ce.Decrypt(t.Context(), &kms.DecryptInput{KeyId: &primary, CiphertextBlob: b.CiphertextBlob})
			require.NoError(t, err)
			assert.Equal(t, "west", string(opened.Plaintext))
			assert.Equal(t, primary, *opened.KeyId)
		}
	})
	t.Run("states are separate", func(t *testing.T) {
		s.Disable(replica)
		defer s.Enable(replica)
		_, err := cw.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &id, Plaintext: []byte{1}})
		requireCode(t, err, "DisabledException")
		_, err = ce.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &id, Plaintext: []byte{1}})
		require.NoError(t, err)
	})
	t.Run("asymmetric", func(t *testing.T) {
		arn := s.CreateMultiRegionKey(east, kmstest.ECCP256)
		assert.Equal(t, s.PublicKey(arn), s.PublicKey(s.Replicate(arn, west)))
	})
	single := s.CreateKey(east, kmstest.SymmetricDefault)
	for name, tc := range map[string]struct{ id, region, code string }{
		"again":          {primary, west, "AlreadyExistsException"},
		"own region":     {primary, east, "AlreadyExistsException"},
		"single region":  {single, west, "UnsupportedOperationException"},
		"unknown region": {primary, "mars-north-1", "ValidationException"},
		"unknown key":    {"mrk-00000000000000000000000000000000", west, "NotFoundException"},
		"no region":      {primary, "", "ValidationException"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ce.ReplicateKey(t.Context(), &kms.ReplicateKeyInput{KeyId: &tc.id, ReplicaRegion: &tc.region})
			requireCode(t, err, tc.code)
		})
	}
	_, err = cw.ReplicateKey(t.Context(), &kms.ReplicateKeyInput{KeyId: &replica, ReplicaRegion: aws.String("eu-west-1")})
	requireCode(t, err, "UnsupportedOperationException")
	_, err = cw.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: &replica})
	requireCode(t, err, "UnsupportedOperationException")
}

func TestRotation(t *testing.T) {
	s := kmstest.Start(t)
	c := newClient(t, s, east)
	arn := s.CreateKey(east, kmstest.SymmetricDefault)
	var blobs [][]byte
	seen := map[string]bool{}
	for i := range 26 {
		sealed, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &arn, KeySpec: types.DataKeySpecAes256})
		require.NoError(t, err)
		blobs = append(blobs, sealed.CiphertextBlob)
		seen[*sealed.KeyMaterialId] = true
		out, err := c.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: &arn})
		if i == 25 {
			requireCode(t, err, "LimitExceededException")
			break
		}
		require.NoError(t, err)
		assert.True(t, strings.HasSuffix(arn, "/"+*out.KeyId))
	}
	assert.Len(t, seen, 26)
	for _, b := range blobs {
		out, err := c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: &arn, CiphertextBlob: b})
		require.NoError(t, err)
		assert.True(t, seen[*out.KeyMaterialId])
	}

	_, err := c.EnableKeyRotation(t.Context(), &kms.EnableKeyRotationInput{KeyId: &arn, RotationPeriodInDays: aws.Int32(90)})
	require.NoError(t, err)
	_, err = c.EnableKeyRotation(t.Context(), &kms.EnableKeyRotationInput{KeyId: &arn, RotationPeriodInDays: aws.Int32(89)})
	requireCode(t, err, "ValidationException")
	ecc := s.CreateKey(east, kmstest.ECCP256)
	_, err = c.EnableKeyRotation(t.Context(), &kms.EnableKeyRotationInput{KeyId: &ecc})
	requireCode(t, err, "UnsupportedOperationException")
	_, err = c.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: &ecc})
	requireCode(t, err, "UnsupportedOperationException")
	s.Disable(arn)
	_, err = c.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: &arn})
	requireCode(t, err, "DisabledException")
}

func TestStates(t *testing.T) {
	now := newClock()
	s := kmstest.Start(t, kmstest.Config{Clock: now.now})
	c := newClient(t, s, east)
	arn := s.CreateKey(east, kmstest.SymmetricDefault)
	s.Alias("app", arn)
	sealed, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte("x")})
	require.NoError(t, err)
	use := func(code, message string) {
		t.Helper()
		var errs [4]error
		_, errs[0] = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte("x")})
		_, errs[1] = c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
		_, errs[2] = c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: &arn, CiphertextBlob: sealed.CiphertextBlob})
		_, errs[3] = c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &arn, KeySpec: types.DataKeySpecAes256})
		for _, err := range errs {
			if code == "" {
				require.NoError(t, err)
				continue
			}
			assert.Equal(t, message, requireCode(t, err, code).ErrorMessage())
		}
	}
	state := func() *types.KeyMetadata {
		t.Helper()
		out, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &arn})
		require.NoError(t, err)
		return out.KeyMetadata
	}

	_, err = c.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &arn})
	require.NoError(t, err)
	use("DisabledException", arn+" is disabled.")
	assert.Equal(t, types.KeyStateDisabled, state().KeyState)
	assert.False(t, state().Enabled)
	_, err = c.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: &arn})
	require.NoError(t, err)
	use("", "")

	_, err = c.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionInput{KeyId: &arn})
	requireCode(t, err, "KMSInvalidStateException")
	for _, days := range []int32{6, 31} {
		_, err = c.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &arn, PendingWindowInDays: &days})
		requireCode(t, err, "ValidationException")
	}
	out, err := c.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &arn})
	require.NoError(t, err)
	assert.Equal(t, arn, *out.KeyId)
	assert.Equal(t, int32(30), *out.PendingWindowInDays)
	assert.Equal(t, types.KeyStatePendingDeletion, out.KeyState)
	assert.True(t, out.DeletionDate.Equal(now.now().Add(30*day)))
	use("KMSInvalidStateException", arn+" is pending deletion.")
	assert.True(t, state().DeletionDate.Equal(now.now().Add(30*day)))
	for _, f := range []func() error{
		func() error { _, err := c.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: &arn}); return err },
		func() error { _, err := c.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &arn}); return err },
		func() error {
			_, err := c.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/x"), TargetKeyId: &arn})
			return err
		},
		func() error {
			_, err := c.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &arn})
			return err
		},
	} {
		requireCode(t, f(), "KMSInvalidStateException")
	}
	cancelled, err := c.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionInput{KeyId: &arn})
	require.NoError(t, err)
	assert.Equal(t, arn, *cancelled.KeyId)
	assert.Equal(t, types.KeyStateDisabled, state().KeyState)
	assert.Nil(t, state().DeletionDate)

	s.ScheduleDeletion(arn, 7)
	now.add(7*day - time.Millisecond)
	assert.Equal(t, types.KeyStatePendingDeletion, state().KeyState)
	now.add(time.Millisecond)
	_, err = c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &arn})
	requireCode(t, err, "NotFoundException")
	_, err = c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String("alias/app")})
	requireCode(t, err, "NotFoundException")
	_, err = c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	requireCode(t, err, "AccessDeniedException")
}

func TestDeletionOfPrimary(t *testing.T) {
	now := newClock()
	s := kmstest.Start(t, kmstest.Config{Clock: now.now})
	c := newClient(t, s, east)
	primary := s.CreateMultiRegionKey(east, kmstest.SymmetricDefault)
	replica := s.Replicate(primary, west)
	state := func() *types.KeyMetadata {
		t.Helper()
		out, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &primary})
		require.NoError(t, err)
		return out.KeyMetadata
	}

	out, err := c.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &primary, PendingWindowInDays: aws.Int32(10)})
	require.NoError(t, err)
	assert.Equal(t, types.KeyStatePendingReplicaDeletion, out.KeyState)
	assert.Nil(t, out.DeletionDate)
	assert.Equal(t, int32(10), *state().PendingDeletionWindowInDays)
	_, err = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &primary, Plaintext: []byte{1}})
	requireCode(t, err, "KMSInvalidStateException")
	now.add(100 * day)
	assert.Equal(t, types.KeyStatePendingReplicaDeletion, state().KeyState)

	s.ScheduleDeletion(replica, 7)
	now.add(7 * day)
	assert.Equal(t, types.KeyStatePendingDeletion, state().KeyState)
	assert.True(t, state().DeletionDate.Equal(now.now().Add(10*day)))
	assert.Empty(t, state().MultiRegionConfiguration.ReplicaKeys)
	s.CancelDeletion(primary)
	s.Enable(primary)
	s.Replicate(primary, west)

	// Both periods may be over before anyone looks.
	s.ScheduleDeletion(primary, 7)
	s.ScheduleDeletion(replica, 7)
	now.add(14 * day)
	_, err = c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &primary})
	requireCode(t, err, "NotFoundException")
}

func TestAliases(t *testing.T) {
	now := newClock()
	s := kmstest.Start(t, kmstest.Config{Clock: now.now})
	c := newClient(t, s, east)
	a, b := s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(east, kmstest.SymmetricDefault)
	ecc := s.CreateKey(east, kmstest.ECCP256)
	name := aws.String("alias/team/app_1-x")
	created := now.now()
	_, err := c.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: name, TargetKeyId: &a})
	require.NoError(t, err)
	now.add(time.Hour)
	_, err = c.UpdateAlias(t.Context(), &kms.UpdateAliasInput{AliasName: name, TargetKeyId: &b})
	require.NoError(t, err)
	out, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: name})
	require.NoError(t, err)
	assert.Equal(t, b, *out.KeyMetadata.Arn)

	list, err := c.ListAliases(t.Context(), &kms.ListAliasesInput{})
	require.NoError(t, err)
	require.Len(t, list.Aliases, 1)
	assert.False(t, list.Truncated)
	assert.Nil(t, list.NextMarker)
	e := list.Aliases[0]
	assert.Equal(t, *name, *e.AliasName)
	assert.Equal(t, "arn:aws:kms:us-east-1:111122223333:"+*name, *e.AliasArn)
	assert.True(t, strings.HasSuffix(b, "/"+*e.TargetKeyId))
	assert.True(t, e.CreationDate.Equal(created))
	assert.True(t, e.LastUpdatedDate.Equal(now.now()))

	for n, tc := range map[string]struct{ name, target, code string }{
		"exists":          {*name, a, "AlreadyExistsException"},
		"no prefix":       {"app", a, "InvalidAliasNameException"},
		"bad characters":  {"alias/app!", a, "InvalidAliasNameException"},
		"nothing":         {"alias/", a, "InvalidAliasNameException"},
		"reserved":        {"alias/aws/s3", a, "NotAuthorizedException"},
		"long":            {"alias/" + strings.Repeat("a", 251), a, "ValidationException"},
		"unknown target":  {"alias/x", "1234abcd-12ab-34cd-56ef-1234567890ab", "NotFoundException"},
		"alias of alias":  {"alias/x", *name, "ValidationException"},
		"alias ARN":       {"alias/x", *e.AliasArn, "ValidationException"},
		"other region":    {"alias/x", strings.Replace(a, east, west, 1), "NotFoundException"},
		"target is empty": {"alias/x", "", "ValidationException"},
	} {
		t.Run(n, func(t *testing.T) {
			_, err := c.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: &tc.name, TargetKeyId: &tc.target})
			requireCode(t, err, tc.code)
		})
	}
	_, err = c.UpdateAlias(t.Context(), &kms.UpdateAliasInput{AliasName: aws.String("alias/none"), TargetKeyId: &a})
	requireCode(t, err, "NotFoundException")
	_, err = c.UpdateAlias(t.Context(), &kms.UpdateAliasInput{AliasName: name, TargetKeyId: &ecc})
	requireCode(t, err, "ValidationException")
	_, err = c.DeleteAlias(t.Context(), &kms.DeleteAliasInput{AliasName: name})
	require.NoError(t, err)
	_, err = c.DeleteAlias(t.Context(), &kms.DeleteAliasInput{AliasName: name})
	requireCode(t, err, "NotFoundException")

	t.Run("helper moves an alias", func(t *testing.T) {
		assert.Equal(t, s.Alias("moved", a), s.Alias("alias/moved", b))
	})
	t.Run("limit", func(t *testing.T) {
		full := s.CreateKey(east, kmstest.SymmetricDefault)
		for i := range 50 {
			s.Alias(fmt.Sprintf("full/%d", i), full)
		}
		_, err := c.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/full/50"), TargetKeyId: &full})
		requireCode(t, err, "LimitExceededException")
		// One that is there already may be pointed where it points.
		s.Alias("full/7", full)
	})
}

func TestListAliasesPages(t *testing.T) {
	s := kmstest.Start(t)
	c := newClient(t, s, east)
	keys := []string{s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(east, kmstest.SymmetricDefault), s.CreateKey(east, kmstest.SymmetricDefault)}
	for i := range 120 {
		s.Alias(fmt.Sprintf("n%03d", i), keys[i%3])
	}
	for _, limit := range []int32{0, 1, 7, 40, 100} {
		for _, only := range []string{"", keys[1]} {
			in := &kms.ListAliasesInput{}
			if limit > 0 {
				in.Limit = &limit
			}
			want := 120
			if only != "" {
				in.KeyId, want = &only, 40
			}
			var names []string
			for pages := kms.NewListAliasesPaginator(c, in); pages.HasMorePages(); {
				page, err := pages.NextPage(t.Context())
				require.NoError(t, err)
				assert.Equal(t, page.Truncated, page.NextMarker != nil)
				assert.NotEmpty(t, page.Aliases)
				for _, a := range page.Aliases {
					names = append(names, *a.AliasName)
				}
			}
			assert.Len(t, names, want)
			assert.IsIncreasing(t, names)
		}
	}
	_, err := c.ListAliases(t.Context(), &kms.ListAliasesInput{Limit: aws.Int32(101)})
	requireCode(t, err, "ValidationException")
	_, err = c.ListAliases(t.Context(), &kms.ListAliasesInput{Limit: aws.Int32(0)})
	requireCode(t, err, "ValidationException")
	_, err = c.ListAliases(t.Context(), &kms.ListAliasesInput{Marker: aws.String("nonsense")})
	requireCode(t, err, "InvalidMarkerException")
	_, err = c.ListAliases(t.Context(), &kms.ListAliasesInput{KeyId: aws.String("nonsense")})
	requireCode(t, err, "NotFoundException")
}
