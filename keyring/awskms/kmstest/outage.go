package kmstest

import "fmt"

// An Outage is a way for a region to be down.
type Outage int

const (
	// Refuse closes the region's listener and its connections, with the calls
	// on them. New connections are refused, by the operating system if there is a network.
	Refuse Outage = iota + 1

	// Hang accepts connections and requests, and does not answer them until the
	// outage is over or the client goes away. A call that was waiting is then
	// answered as if it had just come.
	Hang

	// InternalError answers every call with KMSInternalException and HTTP 500.
	InternalError

	// DependencyTimeout answers every call with DependencyTimeoutException and
	// HTTP 503.
	DependencyTimeout
)

// String returns the name of the constant.
func (o Outage) String() string {
	switch o {
	case Refuse:
		return "Refuse"
	case Hang:
		return "Hang"
	case InternalError:
		return "InternalError"
	case DependencyTimeout:
		return "DependencyTimeout"
	}
	return fmt.Sprintf("Outage(%d)", int(o))
}

// Outage takes a region down, in place of the outage that it had, if any, until
// [Server.Restore]. Other regions are not affected, nor is what the test does
// with keys. It must not be called from a function given to [Server.Tamper] or
// [Server.SetClock]: Refuse waits for the calls that it cuts off.
func (s *Server) Outage(region string, o Outage) {
	if o < Refuse || o > DependencyTimeout {
		panic("kmstest: no such outage: " + o.String())
	}
	r := s.mustRegion(region)
	r.control.Lock()
	defer r.control.Unlock()
	r.setOutage(o)
	if o == Refuse {
		r.shut()
	} else if err := r.reopen(); err != nil {
		panic(err)
	}
}

// Restore ends a region's outage. After [Refuse] it listens on the same port
// again, and panics if the port cannot be had within two seconds. It does nothing
// to a region that is up, or closed.
func (s *Server) Restore(region string) {
	r := s.mustRegion(region)
	r.control.Lock()
	defer r.control.Unlock()
	r.setOutage(0)
	if err := r.reopen(); err != nil {
		panic(err)
	}
}
