package kmstest

import "slices"

// The service's own bound on rotations of one key on demand.
const maxRotations = 25

func (o *operation) createKey() (answer, error) {
	r := o.req
	if err := o.checkNewKey(); err != nil {
		return nil, err
	}
	if r.CustomKeyStoreId != "" || r.XksKeyId != "" {
		return nil, unsupported("Custom key stores are not supported")
	}
	if r.Origin != "" && r.Origin != "AWS_KMS" {
		if !slices.Contains([]string{"EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"}, r.Origin) {
			return nil, notInEnum(r.Origin, "origin", "AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE")
		}
		return nil, unsupported("Origin %s is not supported", r.Origin)
	}
	name := r.KeySpec
	if name == "" {
		name = r.CustomerMasterKeySpec
	} else if r.CustomerMasterKeySpec != "" {
		return nil, validation("You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.")
	}
	spec, err := chooseSpec(name, r.KeyUsage)
	if err != nil {
		return nil, err
	}
	if err := o.authorize(o.action(), "*"); err != nil {
		return nil, err
	}
	f, err := newFamily(spec, r.MultiRegion)
	if err != nil {
		return nil, err
	}
	f.primary = o.region
	var out answer
	err = o.locked(func(v *vault) error {
		k, err := o.addKey(v, f, o.region)
		if err == nil {
			out = answer{"KeyMetadata": k.metadata(o.account)}
		}
		return err
	})
	return out, err
}

// checkNewKey checks what CreateKey and ReplicateKey have in common.
func (o *operation) checkNewKey() error {
	r := o.req
	if len(r.Tags) > 50 {
		return fault("TagException", "A key can have at most 50 tags.")
	}
	for _, t := range r.Tags {
		if len(t.TagKey) == 0 || len(t.TagKey) > 128 || len(t.TagValue) > 256 {
			return fault("TagException", "A tag's key has 1 to 128 characters, its value at most 256.")
		}
	}
	if err := checkLength("description", len(r.Description), 0, maxDescription); err != nil {
		return err
	}
	return checkLength("policy", len(r.Policy), 0, maxPolicy)
}

func (o *operation) addKey(v *vault, f *family, region string) (*key, error) {
	if len(v.keys) >= maxKeys {
		return nil, fault("LimitExceededException", "A region has at most %d keys.", maxKeys)
	}
	k := &key{
		family:      f,
		arn:         o.arn(region, "key/"+f.id),
		region:      region,
		description: o.req.Description,
		created:     o.now,
		state:       stateEnabled,
	}
	v.keys[f.id] = k
	f.members[region] = k
	return k, nil
}

func (o *operation) replicateKey() (answer, error) {
	r := o.req
	if err := o.checkNewKey(); err != nil {
		return nil, err
	}
	if r.ReplicaRegion == "" {
		return nil, missing("replicaRegion")
	}
	if !o.hosts(r.ReplicaRegion) {
		return nil, validation("Region %s is not supported", clip(r.ReplicaRegion, 32))
	}
	var out answer
	err := o.locked(func(v *vault) error {
		k, err := o.find(v, o.action(), "keyId", r.KeyId, false)
		if err != nil {
			return err
		}
		switch {
		case !k.multiRegion:
			return unsupported("%s is not a multi-Region key.", k.arn)
		case k.region != k.primary:
			return unsupported("%s is not a multi-Region primary key.", k.arn)
		case k.members[r.ReplicaRegion] != nil:
			return fault("AlreadyExistsException", "A multi-Region key with the ID %s already exists in %s.", k.id, r.ReplicaRegion)
		}
		if err := k.usable(); err != nil {
			return err
		}
		replica, err := o.addKey(o.store.vault(r.ReplicaRegion, o.now), k.family, r.ReplicaRegion)
		if err != nil {
			return err
		}
		tags := []answer{}
		for _, t := range r.Tags {
			tags = append(tags, answer{"TagKey": t.TagKey, "TagValue": t.TagValue})
		}
		policy := r.Policy
		if policy == "" {
			policy = o.defaultPolicy()
		}
		out = answer{"ReplicaKeyMetadata": replica.metadata(o.account), "ReplicaPolicy": policy, "ReplicaTags": tags}
		return nil
	})
	return out, err
}

func (s *Server) defaultPolicy() string {
	return `{"Version":"2012-10-17","Id":"key-default-1","Statement":[{"Sid":"Enable IAM User Permissions","Effect":"Allow",` +
		`"Principal":{"AWS":"arn:` + s.partition + `:iam::` + s.account + `:root"},"Action":"kms:*","Resource":"*"}]}`
}

func (o *operation) describeKey() (answer, error) {
	return o.withKey(true, func(k *key) (answer, error) {
		return answer{"KeyMetadata": k.metadata(o.account)}, nil
	})
}

// withKey runs f on the key of the request, under the lock.
func (o *operation) withKey(aliases bool, f func(k *key) (answer, error)) (answer, error) {
	var out answer
	err := o.locked(func(v *vault) error {
		k, err := o.find(v, o.action(), "keyId", o.req.KeyId, aliases)
		if err != nil {
			return err
		}
		out, err = f(k)
		return err
	})
	return out, err
}

func (o *operation) disableKey() (answer, error) { return o.setState(stateDisabled) }

func (o *operation) enableKey() (answer, error) { return o.setState(stateEnabled) }

func (o *operation) setState(state string) (answer, error) {
	return o.withKey(false, func(k *key) (answer, error) {
		if err := k.notPending(); err != nil {
			return nil, err
		}
		k.state = state
		return nil, nil
	})
}

func (o *operation) scheduleKeyDeletion() (answer, error) {
	days := int64(30)
	if n := o.req.PendingWindowInDays; n != nil {
		days = *n
		if err := checkRange("pendingWindowInDays", days, 7, 30); err != nil {
			return nil, err
		}
	}
	return o.withKey(false, func(k *key) (answer, error) {
		if err := k.notPending(); err != nil {
			return nil, err
		}
		out := answer{"KeyId": k.arn, "PendingWindowInDays": days}
		// A primary outlives its replicas, and its period begins after them.
		if k.region == k.primary && len(k.members) > 1 {
			k.state, k.window = statePendingReplicaDeletion, days
		} else {
			k.state, k.deletion = statePendingDeletion, o.now.AddDate(0, 0, int(days))
			out["DeletionDate"] = epoch(k.deletion)
		}
		out["KeyState"] = k.state
		return out, nil
	})
}

func (o *operation) cancelKeyDeletion() (answer, error) {
	return o.withKey(false, func(k *key) (answer, error) {
		if k.notPending() == nil {
			return nil, invalidState(k.arn, "is not pending deletion")
		}
		k.state = stateDisabled
		return answer{"KeyId": k.arn}, nil
	})
}

func (o *operation) enableKeyRotation() (answer, error) {
	if n := o.req.RotationPeriodInDays; n != nil {
		if err := checkRange("rotationPeriodInDays", *n, 90, 2560); err != nil {
			return nil, err
		}
	}
	return o.withKey(false, func(k *key) (answer, error) { return nil, k.rotatable() })
}

func (o *operation) rotateKeyOnDemand() (answer, error) {
	return o.withKey(false, func(k *key) (answer, error) {
		if err := k.rotatable(); err != nil {
			return nil, err
		}
		if len(k.materials) > maxRotations {
			return nil, fault("LimitExceededException", "You have reached the maximum number of on-demand rotations for %s.", k.arn)
		}
		m, err := newMaterial()
		if err != nil {
			return nil, err
		}
		k.materials = append(k.materials, m)
		return answer{"KeyId": k.id}, nil
	})
}

// rotatable reports a key whose material cannot be rotated: replicas follow
// their primary.
func (k *key) rotatable() error {
	if !k.spec.symmetric() {
		return unsupported("%s is not a symmetric encryption key.", k.arn)
	}
	if k.region != k.primary {
		return unsupported("%s is a multi-Region replica key: rotate its primary key.", k.arn)
	}
	return k.usable()
}
