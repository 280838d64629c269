package kmstest

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"
)

// An alias is a name of a key in one region. Guarded by store.mu.
type alias struct {
	target           *key
	created, updated time.Time
}

func checkAliasName(name string) error {
	if name == "" {
		return missing("aliasName")
	}
	if err := checkLength("aliasName", len(name), 1, 256); err != nil {
		return err
	}
	rest, ok := strings.CutPrefix(name, "alias/")
	switch {
	case !ok:
		return fault("InvalidAliasNameException", "Alias must start with the prefix \"alias/\". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html")
	case rest == "" || strings.Trim(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_-") != "":
		return fault("InvalidAliasNameException", "Alias contains invalid characters for an alias")
	case strings.HasPrefix(rest, "aws/"):
		return fault("NotAuthorizedException", "The prefix alias/aws/ is reserved for AWS managed keys")
	}
	return nil
}

// target returns the key that an alias is to point at. The service refuses an
// alias of an alias.
func (o *operation) target(v *vault) (*key, error) {
	name := o.req.TargetKeyId
	if strings.HasPrefix(name, "alias/") || strings.Contains(name, ":alias/") {
		return nil, validation("Aliases must refer to keys. Not aliases")
	}
	k, err := o.find(v, o.action(), "targetKeyId", name, false)
	if err != nil {
		return nil, err
	}
	if err := k.notPending(); err != nil {
		return nil, err
	}
	n := 0
	for _, a := range v.aliases {
		if a.target == k {
			n++
		}
	}
	if n >= maxAliases {
		return nil, fault("LimitExceededException", "You have reached the maximum number of aliases for %s.", k.arn)
	}
	return k, nil
}

func (o *operation) createAlias() (answer, error) {
	name := o.req.AliasName
	if err := checkAliasName(name); err != nil {
		return nil, err
	}
	return nil, o.locked(func(v *vault) error {
		if v.aliases[name] != nil {
			return fault("AlreadyExistsException", "An alias with the name %s already exists", o.arn(o.region, name))
		}
		k, err := o.target(v)
		if err != nil {
			return err
		}
		v.aliases[name] = &alias{k, o.now, o.now}
		return nil
	})
}

// existing returns the alias of the request.
func (o *operation) existing(v *vault) (*alias, error) {
	a := v.aliases[o.req.AliasName]
	if a == nil {
		return nil, notFound("Alias %s is not found.", o.arn(o.region, o.req.AliasName))
	}
	return a, o.authorize(o.action(), a.target.arn)
}

func (o *operation) updateAlias() (answer, error) {
	if err := checkAliasName(o.req.AliasName); err != nil {
		return nil, err
	}
	return nil, o.locked(func(v *vault) error {
		a, err := o.existing(v)
		if err != nil {
			return err
		}
		if o.req.TargetKeyId != "" && (a.target.id == o.req.TargetKeyId || a.target.arn == o.req.TargetKeyId) {
			a.updated = o.now
			return nil
		}
		k, err := o.target(v)
		if err != nil {
			return err
		}
		if k.spec.usage != a.target.spec.usage || k.spec.symmetric() != a.target.spec.symmetric() {
			return validation("Alias %s cannot be changed from a key of spec %s to one of spec %s.", o.req.AliasName, a.target.spec.name, k.spec.name)
		}
		a.target, a.updated = k, o.now
		return nil
	})
}

func (o *operation) deleteAlias() (answer, error) {
	if err := checkAliasName(o.req.AliasName); err != nil {
		return nil, err
	}
	return nil, o.locked(func(v *vault) error {
		if _, err := o.existing(v); err != nil {
			return err
		}
		delete(v.aliases, o.req.AliasName)
		return nil
	})
}

func (o *operation) listAliases() (answer, error) {
	r := o.req
	limit := int64(50)
	if r.Limit != nil {
		limit = *r.Limit
		if err := checkRange("limit", limit, 1, 100); err != nil {
			return nil, err
		}
	}
	after := ""
	if r.Marker != nil {
		raw, err := base64.URLEncoding.DecodeString(*r.Marker)
		if err != nil || !strings.HasPrefix(string(raw), "alias/") {
			return nil, fault("InvalidMarkerException", "The marker is not valid.")
		}
		after = string(raw)
	}
	var out answer
	err := o.locked(func(v *vault) error {
		var only *key
		if r.KeyId != "" {
			k, err := o.find(v, o.action(), "keyId", r.KeyId, false)
			if err != nil {
				return err
			}
			only = k
		} else if err := o.authorize(o.action(), "*"); err != nil {
			return err
		}
		list := []answer{}
		truncated, last := false, ""
		for _, name := range slices.Sorted(maps.Keys(v.aliases)) {
			a := v.aliases[name]
			if name <= after || only != nil && a.target != only {
				continue
			}
			if int64(len(list)) == limit {
				truncated = true
				break
			}
			last = name
			list = append(list, answer{
				"AliasArn":        o.arn(o.region, name),
				"AliasName":       name,
				"CreationDate":    epoch(a.created),
				"LastUpdatedDate": epoch(a.updated),
				"TargetKeyId":     a.target.id,
			})
		}
		out = answer{"Aliases": list, "Truncated": truncated}
		if truncated {
			out["NextMarker"] = base64.URLEncoding.EncodeToString([]byte(last))
		}
		return nil
	})
	return out, err
}
