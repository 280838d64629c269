package message

import "errors"

// ErrBlamesMessage is what errors of a key service are, by their method Is, that blame
// a message: what it has was not wrapped by the key, or the key that it chose refuses.
var ErrBlamesMessage = errors.New("the message is to blame")
