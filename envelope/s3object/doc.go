// Package s3object puts objects into S3 encrypted, and reads them, whole or in parts.
//
//	objects, err := s3object.New(s3object.Config{S3: s3.NewFromConfig(cfg), Envelope: client})
//	if err != nil {
//		log.Fatal(err)
//	}
//	ec := keyring.EncryptionContext{"tenant": "42"}
//	_, err = objects.Put(ctx, &transfermanager.UploadObjectInput{
//		Bucket: aws.String("scans"), Key: aws.String("2026/0001.tiff"), Body: file,
//		ContentType: aws.String("image/tiff"),
//	}, ec)
//	scan, err := objects.Get(ctx, &s3.GetObjectInput{
//		Bucket: aws.String("scans"), Key: aws.String("2026/0001.tiff"),
//	}, ec)
//
// An object is one message in the AWS Encryption SDK's format, which AWS's SDKs read as they
// read a file. It is not the format of AWS's S3 Encryption Client, and neither reads the
// other's.
//
// # What is protected
//
// The bytes of the object are. Its key, its metadata, its tags and its length to the byte are
// not: S3 stores them in the clear, and nothing authenticates them. So nothing secret belongs
// into them, and a content type is what whoever can write to the bucket made it.
//
// An object is bound to its key by a pair in the encryption context, "s3-key", so that an
// object that was put in the place of another does not open. [Binding] says what that costs.
// An older version of the same object does open: whoever can write to the bucket can put it
// back. Object Lock or a version ID that is kept elsewhere prevent that.
//
// # Checksums
//
// What S3 keeps and checks, ETags included, is of the stored message. The transfer manager
// sends a CRC32 of it unless told otherwise, and a checksum that the caller knows of the
// plaintext is refused: S3 would compare it with the message. On the way down no checksum is
// needed, since each frame is authenticated, and none is asked for unless ChecksumMode is set.
//
// # Permissions
//
// s3:PutObject and s3:AbortMultipartUpload to put, s3:GetObject to read. [Client.Copy],
// [Client.Reencrypt] and [Client.Rotate] need both, s3:GetObjectTagging and s3:PutObjectTagging
// for objects with tags, s3:GetObjectRetention, s3:GetObjectLegalHold, s3:PutObjectRetention and
// s3:PutObjectLegalHold for those that are locked, and Rotate s3:ListBucket. To read a version
// by its ID takes s3:GetObjectVersion, and s3:GetObjectVersionTagging for its tags.
//
// Without the three that read tags, retention and legal hold, S3 does not say that an object
// has any. Then they are lost, without an error.
package s3object
