package kmstest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Config says what a [Server] looks like. Its zero value is one region,
// us-east-1, of account 111122223333.
type Config struct {
	// Regions are opened at once, those named later when they are first used.
	// Default: us-east-1.
	Regions []string

	// Listen has the TCP address to listen on by region. Default: a free port
	// of 127.0.0.1.
	Listen map[string]string

	// NoNetwork has no region listen: [Server.Client] alone reaches them, at URLs that
	// nobody else knows. The server starts no goroutine then, so that it works in the
	// simulated time of testing/synctest, if it is started in the bubble. Listen must not
	// be set.
	NoNetwork bool

	// Account is the twelve-digit ID in ARNs. Default: 111122223333.
	Account string

	// Partition is that of ARNs. Default: aws.
	Partition string

	// Principal is the ARN of the caller in messages of AccessDeniedException.
	// Default: user kmstest of the account.
	Principal string

	// Clock tells the time, for creation and deletion dates. It is called from
	// many goroutines at once. Default: time.Now.
	Clock func() time.Time

	// LogSize is how many calls the log keeps, the oldest going first.
	// Default: 1000.
	LogSize int
}

// A Server is an AWS KMS in memory. All its methods may be called concurrently.
// Close it when done.
type Server struct {
	account, partition, principal string
	listen                        map[string]string
	noNetwork                     bool

	store    store
	controls controls
	calls    callLog

	mu      sync.Mutex
	regions map[string]*region
	closed  bool
}

// TB is what [Start] needs of a testing.TB.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Start returns a running server that is closed when the test ends. It takes at
// most one Config, and fails the test if the server cannot be started.
func Start(t TB, config ...Config) *Server {
	t.Helper()
	var c Config
	if len(config) > 0 {
		c = config[0]
	}
	s, err := New(c)
	if err != nil {
		t.Fatalf("%v", err)
		return nil
	}
	t.Cleanup(s.Close)
	return s
}

// New returns a running server. It keeps nothing of c but the clock. It fails if
// c is not valid or an address cannot be listened on.
func New(c Config) (*Server, error) {
	if c.Account == "" {
		c.Account = "111122223333"
	}
	if len(c.Account) != 12 || strings.Trim(c.Account, "0123456789") != "" {
		return nil, fmt.Errorf("kmstest: account ID %q is not twelve digits", c.Account)
	}
	if c.Partition == "" {
		c.Partition = "aws"
	}
	if !isRegion(c.Partition) {
		return nil, fmt.Errorf("kmstest: partition %q is not valid", c.Partition)
	}
	if c.Principal == "" {
		c.Principal = "arn:" + c.Partition + ":iam::" + c.Account + ":user/kmstest"
	}
	if len(c.Regions) == 0 {
		c.Regions = []string{"us-east-1"}
	}
	if c.NoNetwork && len(c.Listen) > 0 {
		return nil, fmt.Errorf("kmstest: Listen is set together with NoNetwork")
	}
	if c.LogSize < 0 {
		return nil, fmt.Errorf("kmstest: log of %d calls", c.LogSize)
	}
	if c.LogSize == 0 {
		c.LogSize = 1000
	}
	s := &Server{
		account:   c.Account,
		partition: c.Partition,
		principal: c.Principal,
		listen:    map[string]string{},
		noNetwork: c.NoNetwork,
		store:     store{regions: map[string]*vault{}},
		regions:   map[string]*region{},
	}
	for name, addr := range c.Listen {
		s.listen[name] = addr
	}
	s.calls.init(c.LogSize)
	s.SetClock(c.Clock)
	for _, name := range c.Regions {
		if _, err := s.openRegion(name); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// URL returns the base endpoint of a region, such as http://127.0.0.1:41234, and
// opens the region if need be. It stays the same while the region is down.
func (s *Server) URL(region string) string { return s.mustRegion(region).url }

// Handler returns what answers the calls of a region, for a test that puts something
// before it. A region that is down by [Refuse] answers it nothing until it is back.
func (s *Server) Handler(region string) http.Handler {
	return http.HandlerFunc(s.mustRegion(region).handle)
}

// Regions returns the names of the open regions, sorted.
func (s *Server) Regions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, len(s.regions))
	for name := range s.regions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Close stops all regions: it closes their listeners and connections, cuts off
// the calls under way and those that hang, and returns when all are gone. Close
// again does nothing. It must not be called from a function given to
// [Server.Tamper] or [Server.SetClock], for which it would wait.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	regions := make([]*region, 0, len(s.regions))
	for _, r := range s.regions {
		regions = append(regions, r)
	}
	s.mu.Unlock()
	for _, r := range regions {
		r.close()
	}
}

// openRegion returns a region, opening it if it is new.
func (s *Server) openRegion(name string) (*region, error) {
	if !isRegion(name) {
		return nil, fmt.Errorf("kmstest: %q is not the name of a region", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.regions[name]; r != nil {
		return r, nil
	}
	if s.closed {
		return nil, fmt.Errorf("kmstest: region %s: the server is closed", name)
	}
	addr := s.listen[name]
	switch {
	case s.noNetwork:
		addr = "kms." + name + ".test"
	case addr == "":
		addr = "127.0.0.1:0"
	}
	r := newRegion(s, name)
	if err := r.open(addr); err != nil {
		return nil, err
	}
	s.regions[name] = r
	return r, nil
}

func (s *Server) mustRegion(name string) *region {
	r, err := s.openRegion(name)
	if err != nil {
		panic(err)
	}
	return r
}

// regionAt returns the open region with an address, or nil if there is none.
func (s *Server) regionAt(addr string) *region {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.regions {
		if r.addr == addr {
			return r
		}
	}
	return nil
}

func (s *Server) hosts(region string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.regions[region] != nil
}
