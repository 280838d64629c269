package dynamoitem

import "encoding/binary"

// pathPrefix returns what the canonical paths of a table's attributes begin with: the
// table's logical name, the depth 1, and the sign of a map.
func pathPrefix(table string) []byte {
	return append(binary.BigEndian.AppendUint64([]byte(table), 1), '$')
}

// appendPath appends an attribute's canonical path. The format counts the units of the
// name's UTF-16 form, not its bytes.
func appendPath(dst, prefix []byte, name string, units int) []byte {
	dst = append(dst, prefix...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(units))
	return append(dst, name...)
}

// comparePaths compares canonical paths of one table. They differ in their lengths first.
func comparePaths(a, b *field) int {
	switch {
	case a.units != b.units:
		return a.units - b.units
	case a.name < b.name:
		return -1
	case a.name > b.name:
		return 1
	}
	return 0
}
