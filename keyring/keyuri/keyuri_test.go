package keyuri_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/keyuri"
)

const (
	keyARN   = "arn:aws:kms:eu-west-1:111122223333:key/12345678-1234-1234-1234-1234567890ab"
	otherARN = "arn:aws:kms:eu-west-1:111122223333:key/87654321-1234-1234-1234-1234567890ab"
	usARN    = "arn:aws:kms:us-east-1:111122223333:key/12345678-1234-1234-1234-1234567890ab"
	mrkARN   = "arn:aws:kms:eu-west-1:111122223333:key/mrk-0123456789abcdef0123456789abcdef"
	aliasARN = "arn:aws:kms:eu-west-1:111122223333:alias/team/orders_v2"
	keyID    = "12345678-1234-1234-1234-1234567890ab"

	aes    = "raw-aes:?namespace=n&name=k&"
	rsaURI = "raw-rsa:?namespace=n&name=k&padding=oaep-sha256&"
	branch = "branch-keys:tenant-42?table=t&name=n&kms=" + keyARN
	token  = "pkcs11:token=t;object=o?namespace=n&name=k&padding=oaep-sha256"

	// secret stands for a key that was put into a URI by mistake.
	secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I="
)

// TestParse holds which URIs are taken, and what String makes of them.
func TestParse(t *testing.T) {
	for text, want := range map[string]string{ // "" for the same
		keyARN:                                   "aws-kms:" + keyARN,
		aliasARN:                                 "aws-kms:" + aliasARN,
		"aws-kms:" + keyARN:                      "",
		"aws-kms:" + mrkARN:                      "",
		"aws-kms:" + aliasARN:                    "",
		"aws-kms:" + keyID + "?region=eu-west-1": "",
		"aws-kms:alias/orders?region=us-gov-west-1":                                          "",
		"aws-kms:alias%2Forders?region=eu%2Dwest-1":                                          "aws-kms:alias/orders?region=eu-west-1",
		"aws-kms:alias/orders?previous=" + keyARN + "," + otherARN + "&region=eu-west-1":     "aws-kms:alias/orders?region=eu-west-1&previous=" + keyARN + "," + otherARN,
		"aws-kms:" + keyARN + "?previous=" + otherARN:                                        "",
		"aws-kms-mrk:" + mrkARN:                                                              "",
		"aws-kms-mrk:" + mrkARN + "?previous=" + keyARN:                                      "",
		"aws-kms-mrk:" + mrkARN + "?regions=us-east-1,eu-west-1":                             "",
		"aws-kms-regions:" + keyARN + "," + usARN:                                            "",
		"aws-kms-regions:" + keyARN + "," + usARN + "?min-regions=1":                         "",
		"aws-kms-discovery:?regions=eu-west-1,us-east-1&accounts=111122223333,444455556666":  "",
		"aws-kms-discovery:?accounts=any&regions=cn-north-1&partition=aws-cn":                "aws-kms-discovery:?regions=cn-north-1&accounts=any&partition=aws-cn",
		"aws-kms-mrk-discovery:?regions=eu-west-1&accounts=111122223333":                     "",
		branch + "&max-age=5m":                                                               "",
		branch + "&max-age=5m&stale-for=1h":                                                  "",
		"branch-keys:a%20b%2F%c3%a9?table=t.1&name=a%26b&kms-mrk=" + mrkARN + "&max-age=90s": "branch-keys:a%20b/%C3%A9?table=t.1&name=a%26b&kms-mrk=" + mrkARN + "&max-age=90s",
		"branch-keys:?id-from=tenant&table=t&name=n&kms=" + keyARN + "&max-age=5m":           "",
		"branch-keys:%2F%2Fhost?table=t&name=n&kms=" + keyARN + "&max-age=5m":                "branch-keys:%2F/host?table=t&name=n&kms=" + keyARN + "&max-age=5m",
		"branch-keys:/%2F%2Fhost?table=t&name=n&kms=" + keyARN + "&max-age=5m":               "branch-keys:%2F//host?table=t&name=n&kms=" + keyARN + "&max-age=5m",
		aes + "file=/var/lib/service/keys/key-1":                                             "",
		aes + "file=./" + strings.ReplaceAll(secret, "=", "%3D") + ".key":                    "",
		aes + "file=/etc/keys/kek":                                                           "",
		aes + "file=keys/a%20b%2B.txt":                                                       "",
		aes + "env=KEK_1":                                                                    "",
		"raw-aes:?env=KEK&name=a%3Db&namespace=n%2Cm":                                        "raw-aes:?namespace=n,m&name=a%3Db&env=KEK",
		rsaURI + "file=./key.pem":                                                            "",
		"raw-rsa:?namespace=n&name=k&padding=pkcs1&env=PEM":                                  "",
		token: "",
		"pkcs11:object=kek%2f1;token=My+token%20(2);id=%00%ff;type=private?pin-source=file:/run/pin&padding=oaep-sha1&name=k&namespace=n&module-path=/usr/lib/x.so": "pkcs11:token=My%2Btoken%20%282%29;object=kek%2F1;type=private;id=%00%FF?namespace=n&name=k&padding=oaep-sha1&module-path=/usr/lib/x.so&pin-source=file:/run/pin",
		"pkcs11:slot-id=7;id=a?namespace=n&name=k&padding=pkcs1&module-name=softhsm2&pin-source=env:PIN":                                                            "",
	} {
		u, err := keyuri.Parse(text)
		require.NoError(t, err, text)
		if want == "" {
			want = text
		}
		assert.Equal(t, want, u.String())
		again, err := keyuri.Parse(u.String())
		require.NoError(t, err, u.String())
		assert.Equal(t, u, again)
	}
}

// TestParseRefuses holds that an error names the part and shows the form, and quotes no
// secret.
func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, part string }{
		"nothing":                     {"", "the URI is empty"},
		"no scheme":                   {secret, "no scheme"},
		"alias alone":                 {"alias/orders", "aws-kms: the scheme is missing"},
		"unknown scheme":              {"vault:" + secret, "the scheme is unknown"},
		"scheme in upper case":        {"RAW-AES:?namespace=n", "the scheme is in upper case"},
		"line break at the end":       {keyARN + "\n", "a space or a line break at its beginning or its end"},
		"space at the beginning":      {" " + keyARN, "a space or a line break at its beginning or its end"},
		"space within":                {aes + "file=a b", "byte 35 of the URI is a space"},
		"two URIs":                    {keyARN + " " + otherARN, "byte 76 of the URI is a space"},
		"not ASCII":                   {aes + "file=é", "byte 34 of the URI is not printable ASCII"},
		"control character":           {aes + "file=a\x00", "byte 35 of the URI is not printable"},
		"too long":                    {aes + "file=" + strings.Repeat("a", 20000), "the most is 16384"},
		"fragment":                    {aes + "file=a#" + secret, "the part after #"},
		"user and host":               {"raw-aes://me:" + secret + "@host/?namespace=n", "the part after //"},
		"question mark and no more":   {"aws-kms:" + keyARN + "?", "the part after the question mark is empty"},
		"two ampersands":              {aes + "&file=a", "parameter 3 is empty"},
		"ampersand at the end":        {aes + "file=a&", "parameter 4 is empty"},
		"unknown parameter":           {aes + "file=a&" + strings.Trim(secret, "=") + "=1", "parameter 4 is unknown: there are namespace, name, file, env"},
		"parameter of another scheme": {aes + "file=a&padding=pkcs1", "parameter 4 is unknown"},
		"parameter in upper case":     {aes + "FILE=a", "parameter file is in upper case"},
		"parameter twice":             {aes + "file=a&file=b", "parameter file is given twice"},
		"parameter without a value":   {aes + "file", "parameter file is empty"},
		"empty parameter":             {aes + "file=", "parameter file is empty"},
		"plus sign":                   {aes + "file=a+b", "parameter file has a plus sign"},
		"percent sign alone":          {aes + "file=100%", "parameter file has a percent sign"},
		"percent sign, one digit":     {aes + "file=%4", "parameter file has a percent sign"},
		"percent sign, no digits":     {aes + "file=%zz", "parameter file has a percent sign"},
		"equals sign in a value":      {aes + "file=a=b", `parameter file has the character '='`},
		"zero byte":                   {aes + "file=a%00", "parameter file has a control character"},
		"not UTF-8":                   {aes + "file=%ff", "parameter file is not UTF-8"},

		"too long in the form of String": {"pkcs11:token=t;object=" + strings.Repeat("*", 6000) + "?namespace=n&name=k&padding=pkcs1", "bytes when it is written with percent signs, the most is 16384"},
		"control character of Unicode":   {aes + "file=a%C2%85", "parameter file has a control character"},
		"key without padding":            {aes + "file=" + strings.Trim(secret, "="), "parameter file looks like a key"},
		"key of 16 bytes":                {aes + "file=AAAAAAAAAAAAAAAAAAAAAA%3D%3D", "parameter file looks like a key"},
		"key in base64url":               {aes + "file=" + strings.NewReplacer("c2", "_-", "=", "").Replace(secret), "parameter file looks like a key"},
		"key that begins as a path":      {aes + "file=/" + strings.ReplaceAll(secret[1:], "=", "%3D"), "parameter file looks like a key"},
		"key as the source of a PIN":     {token + "&pin-source=file:/" + strings.ReplaceAll(secret[1:], "=", "%3D"), "parameter pin-source"},

		"bare ARN that is multi-Region":     {mrkARN, "aws-kms-mrk:ARN"},
		"multi-Region ARN and previous":     {mrkARN + "?previous=" + keyARN, "aws-kms-mrk:ARN"},
		"multi-Region ARN, percent-encoded": {strings.Replace(mrkARN, "mrk", "%6Drk", 1), "aws-kms-mrk:ARN"},
		"ARN in upper case":                 {strings.ToUpper(keyARN), "the scheme is unknown"},
		"ARN of another service":            {"arn:aws:s3:eu-west-1:111122223333:key/" + keyID, "the key looks like an ARN"},
		"ARN in upper case, scheme":         {"aws-kms:" + strings.ToUpper(keyARN), "the key looks like an ARN"},
		"ARN with a short account":          {strings.Replace(keyARN, "111122223333", "1111", 1), "the key looks like an ARN"},
		"ARN without a region":              {strings.Replace(keyARN, "eu-west-1", "", 1), "the key looks like an ARN"},
		"key that is a secret":              {"aws-kms:" + strings.Trim(secret, "=") + "?region=eu-west-1", "the key is neither"},
		"key in hexadecimal":                {"aws-kms:0123456789abcdef0123456789abcdef?region=eu-west-1", "the key is neither"},
		"no key":                            {"aws-kms:?region=eu-west-1", "the key is missing"},
		"alias with a space":                {"aws-kms:alias/a%20b?region=eu-west-1", "the key is an alias with other characters"},
		"alias without a region":            {"aws-kms:alias/orders", "parameter region is missing"},
		"ID without a region":               {"aws-kms:" + keyID, "parameter region is missing"},
		"region that is none":               {"aws-kms:alias/orders?region=europe", "parameter region is no region"},
		"region in upper case":              {"aws-kms:alias/orders?region=EU-WEST-1", "parameter region is no region"},
		"ARN and region":                    {"aws-kms:" + keyARN + "?region=eu-west-1", "parameter region is given"},
		"previous in another region":        {"aws-kms:" + keyARN + "?previous=" + usARN, "parameter previous has what is no key ARN, or not one in eu-west-1, as item 1"},
		"previous that is the key":          {"aws-kms:" + keyARN + "?previous=" + keyARN, "parameter previous has"},
		"previous that is an alias":         {"aws-kms:" + keyARN + "?previous=" + aliasARN, "parameter previous has"},
		"previous twice":                    {"aws-kms:" + keyARN + "?previous=" + otherARN + "," + otherARN, "parameter previous has one item twice"},
		"previous with an empty item":       {"aws-kms:" + keyARN + "?previous=" + otherARN + ",", "parameter previous has an empty item"},
		"key in the URI, no such thing":     {"aws-kms:" + keyARN + "?key=a", "parameter 1 is unknown"},

		"multi-Region and no key":        {"aws-kms-mrk:", "the key is missing"},
		"multi-Region and no such key":   {"aws-kms-mrk:" + keyARN, "the key is no multi-Region key"},
		"multi-Region alias":             {"aws-kms-mrk:" + aliasARN, "the key is no key ARN"},
		"regions without the ARN's":      {"aws-kms-mrk:" + mrkARN + "?regions=us-east-1,us-west-2", "parameter regions lacks eu-west-1"},
		"one region":                     {"aws-kms-mrk:" + mrkARN + "?regions=eu-west-1", "parameter regions has one region"},
		"region twice":                   {"aws-kms-mrk:" + mrkARN + "?regions=eu-west-1,eu-west-1", "parameter regions has one item twice"},
		"regions and previous":           {"aws-kms-mrk:" + mrkARN + "?regions=eu-west-1,us-east-1&previous=" + keyARN, "parameter previous cannot be had with regions"},
		"keys in regions, none":          {"aws-kms-regions:", "the list of keys is missing"},
		"keys in regions, one":           {"aws-kms-regions:" + keyARN, "the list of keys has one"},
		"keys in regions, two in one":    {"aws-kms-regions:" + keyARN + "," + otherARN, "the list of keys has two in eu-west-1"},
		"keys in regions, an alias":      {"aws-kms-regions:" + usARN + "," + aliasARN, "the list of keys has what is no key ARN as item 2"},
		"min-regions zero":               {"aws-kms-regions:" + keyARN + "," + usARN + "?min-regions=0", "parameter min-regions is no number from 1 to 2"},
		"min-regions past all":           {"aws-kms-regions:" + keyARN + "," + usARN + "?min-regions=3", "parameter min-regions"},
		"min-regions in another form":    {"aws-kms-regions:" + keyARN + "," + usARN + "?min-regions=01", "parameter min-regions"},
		"discovery of a key":             {"aws-kms-discovery:" + keyARN + "?regions=eu-west-1&accounts=any", "the part between the colon and the question mark"},
		"discovery without regions":      {"aws-kms-discovery:?accounts=111122223333", "parameter regions is missing"},
		"discovery without accounts":     {"aws-kms-discovery:?regions=eu-west-1", "parameter accounts is missing"},
		"discovery of a short account":   {"aws-kms-discovery:?regions=eu-west-1&accounts=1", "parameter accounts has what is no account ID"},
		"discovery of any and one":       {"aws-kms-discovery:?regions=eu-west-1&accounts=any,111122223333", "parameter accounts has what is no account ID"},
		"discovery, partition unknown":   {"aws-kms-discovery:?regions=eu-west-1&accounts=any&partition=AWS", "parameter partition is no partition"},
		"discovery, partition is needed": {"aws-kms-discovery:?regions=cn-north-1&accounts=any", "parameter partition is missing"},

		"branch key without ID":         {"branch-keys:?table=t&name=n&kms=" + keyARN + "&max-age=5m", "the ID is missing"},
		"branch key, ID twice":          {branch + "&max-age=5m&id-from=tenant", "parameter id-from is given beside an ID"},
		"branch key without table":      {"branch-keys:a?name=n&kms=" + keyARN + "&max-age=5m", "parameter table is missing"},
		"branch key, table as DSN":      {"branch-keys:a?table=postgres:%2F%2Fme:" + strings.Trim(secret, "=") + "%40host&name=n&kms=" + keyARN + "&max-age=5m", "parameter table has other characters"},
		"branch key without name":       {"branch-keys:a?table=t&kms=" + keyARN + "&max-age=5m", "parameter name is missing"},
		"branch key without KMS key":    {"branch-keys:a?table=t&name=n&max-age=5m", "parameter kms must be given"},
		"branch key, KMS key twice":     {branch + "&kms-mrk=" + mrkARN + "&max-age=5m", "parameter kms must be given"},
		"branch key, alias":             {"branch-keys:a?table=t&name=n&kms=" + aliasARN + "&max-age=5m", "parameter kms is no key ARN"},
		"branch key, no multi-Region":   {"branch-keys:a?table=t&name=n&kms-mrk=" + keyARN + "&max-age=5m", "parameter kms-mrk is no multi-Region key"},
		"branch key without max-age":    {branch, "parameter max-age is missing"},
		"branch key, max-age no number": {branch + "&max-age=5", "parameter max-age is no positive duration"},
		"branch key, max-age negative":  {branch + "&max-age=-5m", "parameter max-age is no positive duration"},
		"branch key, stale-for zero":    {branch + "&max-age=5m&stale-for=0s", "parameter stale-for is no positive duration"},

		"AES key in the path":         {"raw-aes:" + strings.Trim(secret, "=") + "?namespace=n&name=k&env=A", "the part between the colon and the question mark"},
		"AES key in the URI":          {aes + "key=" + strings.Trim(secret, "="), "parameter 3 would put a secret into the URI"},
		"AES key as a file":           {aes + "file=" + strings.ReplaceAll(secret, "=", "%3D"), "parameter file looks like a key"},
		"AES key as a file, hex":      {aes + "file=0123456789abcdef0123456789ABCDEF", "parameter file looks like a key"},
		"AES key as a variable":       {aes + "env=" + strings.Trim(secret, "="), "parameter env is no name of a variable"},
		"AES key as a variable, hex":  {aes + "env=ABCDEF0123456789ABCDEF0123456789", "parameter env is no name of a variable"},
		"variable with a dollar sign": {aes + "env=%24KEK", "parameter env is no name of a variable"},
		"file and variable":           {aes + "file=a&env=B", "parameter file must be given, or env"},
		"neither file nor variable":   {"raw-aes:?namespace=n&name=k", "parameter file must be given, or env"},
		"no namespace":                {"raw-aes:?name=k&env=A", "parameter namespace is missing"},
		"namespace of KMS":            {"raw-aes:?namespace=aws-kms&name=k&env=A", "parameter namespace begins with aws-kms"},
		"no name":                     {"raw-aes:?namespace=n&env=A", "parameter name is missing"},
		"RSA without padding":         {"raw-rsa:?namespace=n&name=k&env=A", "parameter padding is missing"},
		"RSA with an unknown padding": {"raw-rsa:?namespace=n&name=k&padding=oaep&env=A", "parameter padding is none of"},
		"RSA with a password":         {rsaURI + "file=a&password=" + strings.Trim(secret, "="), "parameter 5 would put a secret"},

		"PIN in the URI":               {token + "&pin-value=1234", "parameter 4 would put a secret into the URI"},
		"PIN in the path":              {"pkcs11:token=t;object=o;pin-value=1234?namespace=n", "attribute 3 would put a PIN into the URI"},
		"PIN as its source":            {token + "&pin-source=" + secret, "parameter pin-source is neither"},
		"PIN as a file":                {token + "&pin-source=file:" + secret, "parameter pin-source is neither"},
		"PIN from a command":           {token + "&pin-source=|/bin/pin", "parameter pin-source is a command"},
		"token without a name":         {"pkcs11:object=o?namespace=n&name=k&padding=pkcs1", "attribute token is missing"},
		"no object":                    {"pkcs11:token=t?namespace=n&name=k&padding=pkcs1", "attribute object is missing"},
		"nothing of a token":           {"pkcs11:", "attribute token is missing"},
		"unknown attribute":            {"pkcs11:token=t;label=o?namespace=n", "attribute 2 is unknown"},
		"attribute in upper case":      {"pkcs11:Token=t", "attribute token is in upper case"},
		"attribute twice":              {"pkcs11:token=t;token=u", "attribute token is given twice"},
		"empty attribute":              {"pkcs11:token=;object=o", "attribute token is empty"},
		"semicolon at the end":         {"pkcs11:token=t;", "attribute 2 is unknown"},
		"slash in an attribute":        {"pkcs11:token=a/b;object=o", `attribute token has the character '/'`},
		"attribute that is not UTF-8":  {"pkcs11:token=%ff;object=o", "attribute token is not UTF-8"},
		"type of another kind":         {"pkcs11:token=t;object=o;type=cert?namespace=n", "attribute type is not private"},
		"slot that is no number":       {"pkcs11:slot-id=a;object=o?namespace=n", "attribute slot-id is no number"},
		"module by path and name":      {token + "&module-path=/a&module-name=b", "parameter module-name is given beside module-path"},
		"token's key, and no name":     {"pkcs11:token=t;object=o?namespace=n&padding=pkcs1", "parameter name is missing"},
		"token's key, and no padding":  {"pkcs11:token=t;object=o?namespace=n&name=k", "parameter padding is missing"},
		"token's key, unknown padding": {"pkcs11:token=t;object=o?namespace=n&name=k&padding=OAEP-SHA256", "parameter padding is none of"},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := keyuri.Parse(c.text)
			require.ErrorIs(t, err, keyring.ErrInvalidArgument)
			assert.Contains(t, err.Error(), c.part)
			assert.NotContains(t, err.Error(), strings.Trim(secret, "="))
			assert.Zero(t, u)
			// From the scheme on there is a form to show.
			if _, rest, ok := strings.Cut(err.Error(), "invalid argument: "); ok {
				if scheme, _, ok := strings.Cut(rest, ": "); ok && strings.HasPrefix(c.text, scheme+":") {
					assert.Contains(t, err.Error(), "the form is "+scheme+":")
				}
			}
		})
	}
}

// TestFormsAreTaken holds that the forms in errors are ones that are taken.
func TestFormsAreTaken(t *testing.T) {
	fill := strings.NewReplacer(
		"alias/NAME", "alias/orders", "NAMESPACE", "n", "NAME", "k", "TABLE", "t", "ARN,ARN", keyARN+","+usARN, "ID?", keyID+"?", "PATH", "/a",
		"TOKEN", "t", "OBJECT", "o", "REGION,REGION", "eu-west-1,us-east-1", "REGION", "eu-west-1", "ACCOUNT,ACCOUNT", "111122223333,444455556666",
	)
	for _, text := range []string{
		"aws-kms:ID?region=REGION", "raw-aes:?namespace=NAMESPACE", "raw-rsa:?namespace=NAMESPACE", "aws-kms-mrk:a",
		"aws-kms-regions:a", "aws-kms-discovery:a", "aws-kms-mrk-discovery:a", "branch-keys:a", "pkcs11:token=a",
	} {
		_, err := keyuri.Parse(text)
		require.Error(t, err)
		_, form, ok := strings.Cut(err.Error(), "; the form is ")
		require.True(t, ok, err)
		form, _, _ = strings.Cut(form, ", ")
		form = fill.Replace(form)
		arn := keyARN
		if strings.HasPrefix(form, "aws-kms-mrk:") {
			arn = mrkARN
		}
		form = strings.NewReplacer(":ARN", ":"+arn, "=ARN", "="+arn).Replace(form)
		_, err = keyuri.Parse(form)
		require.NoError(t, err, form)
	}
}

func TestURIIsTextInConfigurations(t *testing.T) {
	var config struct{ Keys []keyuri.URI }
	require.NoError(t, json.Unmarshal([]byte(`{"Keys": ["`+keyARN+`", "`+aes+`env=KEK"]}`), &config))
	assert.Equal(t, "[aws-kms:"+keyARN+" "+aes+"env=KEK]", fmt.Sprint(config.Keys))
	text, err := json.Marshal(config)
	require.NoError(t, err)
	var again struct{ Keys []keyuri.URI }
	require.NoError(t, json.Unmarshal(text, &again))
	assert.Equal(t, config, again)

	require.ErrorIs(t, json.Unmarshal([]byte(`{"Keys": [""]}`), &config), keyring.ErrInvalidArgument)
	assert.Empty(t, keyuri.URI{}.String())
}

// FuzzParse holds that no text makes Parse panic, that what String returns is the same
// URI, and that no error quotes what may be a secret.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		keyARN, "aws-kms:alias/a?region=eu-west-1", "aws-kms-mrk:" + mrkARN + "?regions=eu-west-1,us-east-1",
		"aws-kms-discovery:?regions=eu-west-1&accounts=any", branch + "&max-age=5m", aes + "env=A", rsaURI + "file=/a",
		token + "&pin-source=file:/a", "pkcs11:id=%00;token=%C3%A9?",
	} {
		f.Add(text, "")
	}
	for _, around := range [][2]string{
		{aes + "key=", ""}, {aes + "", "=a"}, {aes + "file=", ""}, {aes + "env=", ""}, {"raw-aes:", "?namespace=n"}, {"", ""},
		{"", ":"}, {"raw-aes://", "@host"}, {aes + "file=a#", ""}, {token + "&pin-value=", ""}, {token + "&pin-source=", ""},
		{"pkcs11:", ""}, {"pkcs11:pin-value=", ";token=a"}, {"aws-kms:", "?region=eu-west-1"}, {"aws-kms:alias/a?region=", ""},
		{"aws-kms-discovery:?regions=eu-west-1&accounts=", ""}, {branch + "&max-age=", ""}, {"branch-keys:a?table=", "%00"},
	} {
		f.Add(around[0], around[1])
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		bare := strings.Trim(secret, "=")
		for _, text := range []string{before + after, before + bare + after, before + strings.ReplaceAll(secret, "=", "%3D") + after} {
			u, err := keyuri.Parse(text)
			if err != nil {
				if !strings.Contains(before+after, bare) {
					assert.NotContains(t, err.Error(), bare, text)
				}
				assert.Zero(t, u)
				continue
			}
			again, err := keyuri.Parse(u.String())
			require.NoError(t, err, text)
			assert.Equal(t, u, again)
			assert.Equal(t, u.String(), again.String())
		}
	})
}
