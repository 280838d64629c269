package kmstest

import (
	"fmt"
	"strings"
)

// do runs an operation for the test. Deny rules, throttling and outages are not
// for it, and it is not counted. It panics if the operation fails.
func (s *Server) do(region, name string, r *request) answer {
	s.mustRegion(region)
	o := &operation{Server: s, name: name, region: region, req: r, now: s.controls.now(), helper: true}
	out, err := o.run()
	if err != nil {
		panic(fmt.Sprintf("kmstest: %s in %s: %v", name, region, err))
	}
	return out
}

// regionOf returns the region in a key's ARN.
func regionOf(arn string) string {
	p, ok := parseARN(arn)
	if !ok {
		panic(fmt.Sprintf("kmstest: %q is not the ARN of a key", arn))
	}
	return p.region
}

func (s *Server) create(region string, spec KeySpec, multiRegion bool) string {
	r := &request{KeySpec: string(spec), MultiRegion: multiRegion}
	if strings.HasPrefix(string(spec), "ECC_") {
		r.KeyUsage = keyAgreement
	} else {
		r.KeyUsage = encryptDecrypt
	}
	return s.do(region, "CreateKey", r)["KeyMetadata"].(answer)["Arn"].(string)
}

// CreateKey makes a key in a region and returns its ARN. An RSA key takes from a
// tenth of a second to several.
func (s *Server) CreateKey(region string, spec KeySpec) (arn string) {
	return s.create(region, spec, false)
}

// CreateMultiRegionKey makes a multi-region primary key in a region and returns
// its ARN.
func (s *Server) CreateMultiRegionKey(region string, spec KeySpec) (arn string) {
	return s.create(region, spec, true)
}

// Replicate makes a replica of a multi-region primary key in another region, and
// returns the replica's ARN.
func (s *Server) Replicate(arn, region string) (replica string) {
	s.mustRegion(region)
	out := s.do(regionOf(arn), "ReplicateKey", &request{KeyId: arn, ReplicaRegion: region})
	return out["ReplicaKeyMetadata"].(answer)["Arn"].(string)
}

// Alias points an alias of the key's region at a key, whether the alias existed or
// not, and returns the alias's ARN. The name may be without its "alias/".
func (s *Server) Alias(name, arn string) (aliasARN string) {
	if !strings.HasPrefix(name, "alias/") {
		name = "alias/" + name
	}
	region := regionOf(arn)
	o := &operation{Server: s, name: "CreateAlias", region: region, req: &request{AliasName: name, TargetKeyId: arn}, now: s.controls.now(), helper: true}
	if _, err := o.run(); err != nil {
		if e, ok := err.(*apiError); !ok || e.code != "AlreadyExistsException" {
			panic(fmt.Sprintf("kmstest: CreateAlias in %s: %v", region, err))
		}
		s.do(region, "UpdateAlias", o.req)
	}
	return s.arn(region, name)
}

// Rotate gives a symmetric key new material. What was encrypted before is still
// decrypted. Replicas follow their primary.
func (s *Server) Rotate(arn string) { s.do(regionOf(arn), "RotateKeyOnDemand", &request{KeyId: arn}) }

// Disable disables a key, in its region alone.
func (s *Server) Disable(arn string) { s.do(regionOf(arn), "DisableKey", &request{KeyId: arn}) }

// Enable enables a key that was disabled.
func (s *Server) Enable(arn string) { s.do(regionOf(arn), "EnableKey", &request{KeyId: arn}) }

// ScheduleDeletion has a key deleted after 7 to 30 days of the server's clock.
// Until then it cannot be used.
func (s *Server) ScheduleDeletion(arn string, days int) {
	n := int64(days)
	s.do(regionOf(arn), "ScheduleKeyDeletion", &request{KeyId: arn, PendingWindowInDays: &n})
}

// CancelDeletion keeps a key that was to be deleted. It is disabled then.
func (s *Server) CancelDeletion(arn string) {
	s.do(regionOf(arn), "CancelKeyDeletion", &request{KeyId: arn})
}

// PublicKey returns the public key of an RSA or elliptic curve key, as a
// DER-encoded SubjectPublicKeyInfo that belongs to the caller.
func (s *Server) PublicKey(arn string) []byte {
	return s.do(regionOf(arn), "GetPublicKey", &request{KeyId: arn})["PublicKey"].([]byte)
}
