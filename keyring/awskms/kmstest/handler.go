package kmstest

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
)

const (
	maxBody      = 1 << 20
	contentType  = "application/x-amz-json-1.1"
	targetPrefix = "TrentService."
)

// handle answers one request.
func (r *region) handle(w http.ResponseWriter, req *http.Request) {
	s := r.server
	now := s.controls.now()
	id := newUUID()
	name, decoded, err := readRequest(w, req)
	entry := s.calls.add(s.describe(r.name, name, id, now, decoded, req))

	// Before any other answer, since these stand for what is in front of the
	// service.
	if down, ok := r.await(req.Context()); !ok {
		return
	} else if down != nil {
		err = down
	}
	if err == nil && req.Header.Get("Authorization") == "" {
		err = fault("MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	if err == nil && s.controls.throttles(entry.call) {
		err = throttled()
	}
	var body []byte
	if err == nil {
		o := &operation{Server: s, name: name, region: r.name, req: decoded, now: s.controls.now()}
		body, err = o.answer()
	}
	status := http.StatusOK
	if err != nil {
		var known *apiError
		if !errors.As(err, &known) {
			known = internalError()
		}
		status = known.status
		body = encodeError(known)
		s.calls.finish(entry, status, known.code)
	} else {
		s.calls.finish(entry, status, "")
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("x-amzn-RequestId", id)
	h.Set("Cache-Control", "no-cache, no-store, must-revalidate, private")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

// answer runs the operation and returns the body of its answer, after the test
// had its way with it.
func (o *operation) answer() ([]byte, error) {
	out, err := o.run()
	if err != nil || out == nil {
		return nil, err // operations without output have no body
	}
	o.controls.tamper(o.name, out)
	return json.Marshal(out)
}

// readRequest returns the operation's name and its input, which is empty unless
// the error is nil.
func readRequest(w http.ResponseWriter, req *http.Request) (string, *request, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	empty := new(request)
	name, ok := strings.CutPrefix(req.Header.Get("X-Amz-Target"), targetPrefix)
	if _, known := operations[name]; !ok || !known {
		return "", empty, unknownOperation()
	}
	if media, _, e := mime.ParseMediaType(req.Header.Get("Content-Type")); e != nil || media != contentType ||
		req.Method != http.MethodPost || req.URL.Path != "/" {
		return name, empty, unknownOperation()
	}
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return name, empty, &apiError{"RequestEntityTooLargeException", "", http.StatusRequestEntityTooLarge}
	}
	if err != nil {
		return name, empty, fault("SerializationException", "the request's body could not be read")
	}
	decoded, err := decodeRequest(body)
	return name, decoded, err
}

func encodeError(e *apiError) []byte {
	body := map[string]string{"__type": e.code}
	if e.message != "" {
		body["message"] = e.message
	}
	b, err := json.Marshal(body)
	if err != nil {
		return []byte(`{"__type":"KMSInternalException"}`) // strings always encode
	}
	return b
}
