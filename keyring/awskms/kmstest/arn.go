package kmstest

import "strings"

// An arnParts is a parsed ARN of KMS.
type arnParts struct{ partition, region, account, resource string }

// parseARN reports whether s has the form of a key's or an alias's ARN.
func parseARN(s string) (arnParts, bool) {
	p := strings.SplitN(s, ":", 6)
	if len(p) != 6 || p[0] != "arn" || p[2] != "kms" || p[3] == "" || p[4] == "" {
		return arnParts{}, false
	}
	kind, name, _ := strings.Cut(p[5], "/")
	return arnParts{p[1], p[3], p[4], p[5]}, name != "" && (kind == "key" || kind == "alias")
}

func (s *Server) arn(region, resource string) string {
	return "arn:" + s.partition + ":kms:" + region + ":" + s.account + ":" + resource
}

// isKeyID reports whether a key could have the ID, which decides how the service
// words that there is none.
func isKeyID(id string) bool {
	if hex, ok := strings.CutPrefix(id, "mrk-"); ok {
		return len(hex) == 32 && isHex(hex)
	}
	groups := strings.Split(id, "-")
	if len(groups) != 5 {
		return false
	}
	for i, n := range [...]int{8, 4, 4, 4, 12} {
		if len(groups[i]) != n || !isHex(groups[i]) {
			return false
		}
	}
	return true
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// isRegion reports whether s has the form of a region's name.
func isRegion(s string) bool {
	return s != "" && len(s) <= 32 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
