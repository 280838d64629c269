package kmstest

import (
	"strings"
	"time"
)

// operations are what the server can do, by the service's names.
var operations = map[string]func(*operation) (answer, error){
	"CancelKeyDeletion":               (*operation).cancelKeyDeletion,
	"CreateAlias":                     (*operation).createAlias,
	"CreateKey":                       (*operation).createKey,
	"Decrypt":                         (*operation).decrypt,
	"DeleteAlias":                     (*operation).deleteAlias,
	"DeriveSharedSecret":              (*operation).deriveSharedSecret,
	"DescribeKey":                     (*operation).describeKey,
	"DisableKey":                      (*operation).disableKey,
	"EnableKey":                       (*operation).enableKey,
	"EnableKeyRotation":               (*operation).enableKeyRotation,
	"Encrypt":                         (*operation).encrypt,
	"GenerateDataKey":                 (*operation).generateDataKey,
	"GenerateDataKeyWithoutPlaintext": (*operation).generateDataKeyWithoutPlaintext,
	"GetPublicKey":                    (*operation).getPublicKey,
	"ListAliases":                     (*operation).listAliases,
	"ReEncrypt":                       (*operation).reEncrypt,
	"ReplicateKey":                    (*operation).replicateKey,
	"RotateKeyOnDemand":               (*operation).rotateKeyOnDemand,
	"ScheduleKeyDeletion":             (*operation).scheduleKeyDeletion,
	"UpdateAlias":                     (*operation).updateAlias,
}

// An operation is one call of a client, or of a helper of the test.
type operation struct {
	*Server
	name   string
	region string
	req    *request
	now    time.Time
	helper bool // of the test: deny rules are not for it
}

func (o *operation) run() (answer, error) {
	if err := o.req.check(); err != nil {
		return nil, err
	}
	return operations[o.name](o)
}

// locked runs f while nobody else sees or changes a key.
func (o *operation) locked(f func(v *vault) error) error {
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	return f(o.store.vault(o.region, o.now))
}

// action is the permission that the operation needs.
func (o *operation) action() string { return "kms:" + o.name }

// authorize applies the deny rules. The resource is a key's ARN, or "*".
func (o *operation) authorize(action, resource string) error {
	if o.helper || !o.controls.denies(action, resource) {
		return nil
	}
	return o.accessDenied(action, resource, "identity-based")
}

func (o *operation) accessDenied(action, resource, policy string) error {
	return fault("AccessDeniedException", "User: %s is not authorized to perform: %s on resource: %s because no %s policy allows the %s action",
		o.principal, action, resource, policy, action)
}

// dryRun is the answer of an operation that would have succeeded.
func (o *operation) dryRun() error {
	if !o.req.DryRun {
		return nil
	}
	return fault("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
}

// find returns the key that a client named, by ID or ARN, or by the name or ARN
// of an alias where the operation allows it, after the deny rules. The caller
// holds store.mu. The member is what the name is called in the request.
func (o *operation) find(v *vault, action, member, name string, aliases bool) (*key, error) {
	if name == "" {
		return nil, missing(member)
	}
	if err := checkLength(member, len(name), 1, maxKeyID); err != nil {
		return nil, err
	}
	resource := name
	if strings.HasPrefix(name, "arn:") {
		p, ok := parseARN(name)
		switch {
		case !ok || p.partition != o.partition:
			return nil, notFound("Invalid arn %s", name)
		case p.region != o.region:
			return nil, notFound("Invalid arn %s", p.region)
		case p.account != o.account:
			return nil, o.accessDenied(action, name, "resource-based")
		}
		resource = p.resource
	} else if !strings.HasPrefix(name, "alias/") {
		resource = "key/" + name
	}
	k, err := o.lookUp(v, resource, aliases)
	if err != nil {
		return nil, err
	}
	return k, o.authorize(action, k.arn)
}

func (o *operation) lookUp(v *vault, resource string, aliases bool) (*key, error) {
	if strings.HasPrefix(resource, "alias/") {
		if !aliases {
			return nil, notFound("Invalid keyId '%s'", resource)
		}
		if a := v.aliases[resource]; a != nil {
			return a.target, nil
		}
		return nil, notFound("Alias %s is not found.", o.arn(o.region, resource))
	}
	id := strings.TrimPrefix(resource, "key/")
	if k := v.keys[id]; k != nil {
		return k, nil
	}
	if !isKeyID(id) {
		return nil, notFound("Invalid keyId '%s'", id)
	}
	return nil, notFound("Key '%s' does not exist", o.arn(o.region, resource))
}

// A view is a key as it was when it was looked up, for work without the lock.
type view struct {
	*key
	materials []*material
}

// use returns a key for cryptography: it exists, is allowed, is enabled, and has
// the usage.
func (o *operation) use(action, member, name, usage string) (view, error) {
	var out view
	err := o.locked(func(v *vault) error {
		k, err := o.find(v, action, member, name, true)
		if err != nil {
			return err
		}
		out, err = o.ready(k, usage)
		return err
	})
	return out, err
}

func (o *operation) ready(k *key, usage string) (view, error) {
	if err := k.usable(); err != nil {
		return view{}, err
	}
	if k.spec.usage != usage {
		return view{}, invalidUsage(k, o.name)
	}
	return view{k, k.materials}, nil
}

// quietly returns the ARN of the key that a request names, or that made its
// ciphertext, or "" if there is none. No rule applies: it is for the record.
func (s *Server) quietly(region, name string, ciphertext []byte, now time.Time) string {
	o := &operation{Server: s, region: region, now: now, helper: true}
	found := ""
	_ = o.locked(func(v *vault) error {
		if name == "" {
			if b, ok := parseBlob(ciphertext); ok && v.keys[b.keyID] != nil {
				found = v.keys[b.keyID].arn
			}
			return nil
		}
		k, err := o.find(v, "", "", name, true)
		if err == nil {
			found = k.arn
		}
		return nil
	})
	return found
}
