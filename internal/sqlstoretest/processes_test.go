package sqlstoretest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-sealring/sealring/cache"
	"github.com/go-sealring/sealring/envelope"
	"github.com/go-sealring/sealring/internal/testhttp"
	"github.com/go-sealring/sealring/keyring"
	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
	"github.com/go-sealring/sealring/keyring/branchkey"
	"github.com/go-sealring/sealring/keyring/branchkey/sqlstore"
)

const (
	kmsRegion  = "us-east-1"
	loadTenant = "42"
	loadMaxAge = 500 * time.Millisecond

	// patience is how long the test waits for what must happen. Nothing is measured by it.
	patience = 2 * time.Minute
)

// newLoadKeys returns a key store on a database, as each of the processes has it. The name
// is the process's, which KMS's log tells by it.
func newLoadKeys(t *testing.T, c loadConfig) *branchkey.KeyStore {
	keys, err := branchkey.NewKeyStore(branchkey.KeyStoreConfig{
		Store: newStore(t, database{c.Dialect, c.Driver, c.DSN}, c.Table), Name: "tenant keys", KeyARN: c.KeyARN,
		Client: kms.New(kms.Options{
			Region: kmsRegion, BaseEndpoint: &c.KMS, AppID: c.Process,
			RetryMaxAttempts: 1, // so that each load is one call
			HTTPClient:       testhttp.New(),
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
			}),
		}),
	})
	require.NoError(t, err)
	return keys
}

// A loadConfig is what a process of TestProcessesUnderLoad has of the test.
type loadConfig struct {
	Process     string // its name
	Dialect     sqlstore.Dialect
	Driver, DSN string
	Table       string
	KMS, KeyARN string
	NoRefresh   bool

	// Version is the number of the newest version when the process was started.
	Version int
}

// loadVariable has the loadConfig, in JSON.
const loadVariable = "SEALRING_SQLSTORETEST_LOAD"

// TestLoadedProcess is one of the processes of TestProcessesUnderLoad. It encrypts messages
// until it is told to stop, and decrypts those of others until its standard input ends.
//
// On standard input it is told, in lines:
//
//	version 3         the branch key has had its version number 3
//	read NAME MESSAGE to decrypt a message
//	stop              to encrypt no more
//
// On standard output it tells:
//
//	wrote FLOOR NAME MESSAGE that it has encrypted a message, which must be under version
//	                         number FLOOR or a newer one
//	read NAME                that it has decrypted it
//	stopped                  that it encrypts no more
//	failed WHAT              that it could not
func TestLoadedProcess(t *testing.T) {
	var c loadConfig
	if config := os.Getenv(loadVariable); config == "" {
		t.Skip("not a process of TestProcessesUnderLoad")
	} else {
		require.NoError(t, json.Unmarshal([]byte(config), &c))
	}
	k, err := branchkey.New(branchkey.Config{
		KeyStore: newLoadKeys(t, c), ID: loadTenant,
		// A load may take as long as the test has patience.
		Limits: cache.Limits{MaxAge: loadMaxAge, NoRefresh: c.NoRefresh, LoadTimeout: patience},
	})
	require.NoError(t, err)
	defer k.Close()
	client, err := envelope.New(k, nil)
	require.NoError(t, err)

	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", args...) // one write, which a kill does not cut
	}

	// The versions that the process was told of, with when. A branch key that was read
	// before a version was made may be used until it is loadMaxAge old, and a new version is
	// in the table before anybody is told of it. So what the process begins to encrypt
	// loadMaxAge after it was told is under that version or a newer one: by its own clock,
	// however late it was told and however slow it is, and so without a margin.
	type told struct {
		version int
		at      time.Time
	}
	var versions []told
	floor := c.Version // what was made before the process was started, it never misses
	floorNow := func(now time.Time) int {
		mu.Lock()
		defer mu.Unlock()
		for len(versions) > 0 && now.Sub(versions[0].at) >= loadMaxAge {
			floor, versions = versions[0].version, versions[1:]
		}
		return floor
	}

	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		pace := time.NewTicker(2 * time.Millisecond) // leaves the readers some of the cores
		defer pace.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				say("stopped")
				return
			case <-pace.C:
			}
			name := fmt.Sprintf("%s-%d", c.Process, i)
			floor := floorNow(time.Now())
			msg, err := client.Encrypt(t.Context(), []byte(name), loadContext(name))
			if err != nil {
				say("failed encrypting %s: %v", name, err)
				continue
			}
			say("wrote %d %s %s", floor, name, base64.StdEncoding.EncodeToString(msg))
		}
	})
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch words := strings.Fields(lines.Text()); words[0] {
		case "version":
			n, err := strconv.Atoi(words[1])
			require.NoError(t, err)
			mu.Lock()
			versions = append(versions, told{n, time.Now()})
			mu.Unlock()
		case "read":
			name := words[1]
			msg, err := base64.StdEncoding.DecodeString(words[2])
			require.NoError(t, err)
			plaintext, err := client.Decrypt(t.Context(), msg, loadContext(name))
			switch {
			case err != nil:
				say("failed decrypting %s: %v", name, err)
			case string(plaintext) != name:
				say("failed decrypting %s: another plaintext", name)
			default:
				say("read %s", name)
			}
		case "stop":
			close(stop)
		}
	}
	writer.Wait()
}

// loadContext returns the encryption context of a message, which no other has.
func loadContext(name string) keyring.EncryptionContext {
	return keyring.EncryptionContext{"tenant": loadTenant, "row": name}
}

// TestProcessesUnderLoad has four processes encrypt messages under a branch key and decrypt
// those of the others, while the key is given new versions, and one of them is killed and
// another takes its place. No message fails, each is read by all others, and each is under
// a version that its writer may still use by the time to live. KMS is called no more than
// time to live and versions make necessary, however many messages there are.
func TestProcessesUnderLoad(t *testing.T) {
	eachDatabase(t, testProcessesUnderLoad)
}

func testProcessesUnderLoad(t *testing.T, d database) {
	server := kmstest.Start(t, kmstest.Config{Regions: []string{kmsRegion}, LogSize: 100_000})
	config := loadConfig{
		Process: "parent", Dialect: d.dialect, Driver: d.driver, DSN: d.dsn, Table: newTable(),
		KMS: server.URL(kmsRegion), KeyARN: server.CreateKey(kmsRegion, kmstest.SymmetricDefault),
	}
	require.NoError(t, newStore(t, d, config.Table).Migrate(t.Context()))
	keys := newLoadKeys(t, config)
	_, err := keys.Create(t.Context(), loadTenant, keyring.EncryptionContext{"tenant": loadTenant})
	require.NoError(t, err)
	first, err := keys.List(t.Context(), loadTenant)
	require.NoError(t, err)

	l := &load{t: t, config: config, versions: []string{first[0].Version}, messages: map[string]*loadMessage{}}
	for range 4 {
		l.start()
	}
	const rounds = 4
	for round := range rounds {
		l.await("all encrypt under the newest version", func(p *loadProcess) bool { return p.encrypted[l.newest()] > 0 })
		if round == rounds/2 {
			l.kill(l.processes[1])
			l.start()
		}
		// The second comes before most have seen the first.
		for range 2 {
			version, err := keys.Version(t.Context(), loadTenant)
			require.NoError(t, err)
			l.made(version)
		}
	}
	l.await("all encrypt when the time to live is over", func(p *loadProcess) bool { return p.bound >= 20 })
	l.finish()

	checkMessages(t, l)
	checkCalls(t, l, server)
}

// checkMessages checks what became of all messages.
func checkMessages(t *testing.T, l *load) {
	number := map[string]int{}
	for i, v := range l.versions {
		number[v] = i
	}
	reads, bound := 0, 0
	for name, m := range l.messages {
		n, ok := number[m.version]
		require.True(t, ok, "message %s is under version %s, which nobody has made", name, m.version)
		require.GreaterOrEqual(t, n, m.floor, "message %s is under version %d when the time to live was over", name, n)
		readers := 0
		for _, p := range l.processes {
			if p.read[name] {
				readers++
			}
			require.False(t, p.given[name] && !p.killed && !p.read[name], "message %s was not read by %s", name, p.name)
		}
		require.GreaterOrEqual(t, readers, 1, "message %s was read by nobody", name)
		reads += readers
		if m.floor == len(l.versions)-1 {
			bound++
		}
	}
	t.Logf("%d messages, read %d times, %d of them when only version %d of %d could be used",
		len(l.messages), reads, bound, len(l.versions), len(l.versions))
}

// checkCalls checks how often KMS was called to unwrap a branch key.
//
// A process keeps the active version, and each version that it reads and that is not the
// active one for it. It has each unwrapped when it first needs it, and again only if it
// needs it when what it has is nearly loadMaxAge old: three quarters of that at least with
// refreshing ahead, all of it without. So in a time in which a process needs one of them it
// has at most one call for it, and one more for each such age that goes by. It may need the
// active version as long as it runs, and another from when it is first given a message
// under it until it has told that it read the last.
func checkCalls(t *testing.T, l *load, server *kmstest.Server) {
	type use struct{ process, item string }
	calls := map[use]int{}
	log := server.Log(kmstest.Match{Operation: "Decrypt"})
	require.Len(t, log, server.Calls(kmstest.Match{Operation: "Decrypt"}), "the log is too short")
	for _, c := range log {
		_, process, _ := strings.Cut(c.UserAgent, "app/")
		process, _, _ = strings.Cut(process, " ")
		calls[use{process, c.EncryptionContext["type"]}]++
	}
	most := 0
	for _, p := range l.processes {
		allow := func(item string, needed span) {
			age := loadMaxAge
			if !p.noRefresh {
				age = loadMaxAge / 4 * 3
			}
			n := 1 + int(needed.to.Sub(needed.from)/age)
			assert.LessOrEqual(t, calls[use{p.name, item}], n, "calls of %s for %s, which it needed for %v", p.name, item, needed.to.Sub(needed.from))
			delete(calls, use{p.name, item})
			most += n
		}
		allow("branch:ACTIVE", p.ran)
		for version, needed := range p.needed {
			if p.killed {
				needed.to = p.ran.to
			}
			allow("branch:version:"+version, needed)
		}
	}
	assert.Empty(t, calls, "calls for what nobody needed")
	assert.Less(t, most, len(l.messages), "so many that calls for each message would not be told from them")
	t.Logf("%d calls of KMS to decrypt, at most %d were allowed", len(log), most)
}

// A load is a run of TestProcessesUnderLoad.
type load struct {
	t      *testing.T
	config loadConfig

	mu        sync.Mutex
	versions  []string // by their numbers
	processes []*loadProcess
	messages  map[string]*loadMessage
	failures  []string
}

type loadMessage struct {
	version string
	floor   int // the number of the oldest version that it may be under
}

type span struct{ from, to time.Time }

type loadProcess struct {
	name      string
	noRefresh bool
	cmd       *exec.Cmd
	in        chan string   // lines for it; has room for all of them, so that nobody waits
	done      chan struct{} // closed when it has ended

	// Guarded by load.mu.
	killed      bool
	stopped     bool
	ended       bool
	ran         span
	encrypted   map[string]int  // by version
	bound       int             // encrypted when only the newest version could be used
	given, read map[string]bool // names of messages
	needed      map[string]span // by version: from the first given to the last read
}

// newest returns the newest version. mu is held.
func (l *load) newest() string { return l.versions[len(l.versions)-1] }

// start starts a process.
func (l *load) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.config
	n := len(l.processes)
	c.Process, c.Version = fmt.Sprint("process", n), len(l.versions)-1
	// Those that do not refresh ahead use a branch key for as long as it may be.
	c.NoRefresh = n%2 == 1
	config, err := json.Marshal(c)
	require.NoError(l.t, err)
	p := &loadProcess{
		name: c.Process, noRefresh: c.NoRefresh, in: make(chan string, 1<<18), done: make(chan struct{}),
		encrypted: map[string]int{}, given: map[string]bool{}, read: map[string]bool{}, needed: map[string]span{},
	}
	p.cmd = exec.CommandContext(l.t.Context(), os.Args[0], "-test.run=^TestLoadedProcess$")
	p.cmd.Env = append(os.Environ(), loadVariable+"="+string(config))
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	require.NoError(l.t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(l.t, err)
	p.ran.from = time.Now()
	require.NoError(l.t, p.cmd.Start())
	l.processes = append(l.processes, p)
	l.t.Cleanup(func() { <-p.done }) // before the database goes; the test's context is done by then
	go func() {
		var err error
		for line := range p.in {
			if err == nil { // or it was killed
				_, err = io.WriteString(in, line+"\n")
			}
		}
		_ = in.Close()
	}()
	go func() {
		defer close(p.done)
		for lines := bufio.NewReader(out); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				break
			}
			l.heard(p, strings.TrimSuffix(line, "\n"))
		}
		err := p.cmd.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		p.ended, p.ran.to = true, time.Now()
		if err != nil && !p.killed {
			l.failures = append(l.failures, fmt.Sprintf("%s: %v", p.name, err))
		}
	}()
}

// heard takes what a process has told.
func (l *load) heard(p *loadProcess, line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	what, rest, _ := strings.Cut(line, " ")
	switch words := strings.Fields(rest); {
	case what == "wrote" && len(words) == 3:
		l.wrote(p, words[0], words[1], words[2])
	case what == "read" && len(words) == 1:
		p.read[words[0]] = true
		version := l.messages[words[0]].version
		p.needed[version] = span{p.needed[version].from, time.Now()}
	case what == "stopped":
		p.stopped = true
	case line != "PASS" && !strings.HasPrefix(line, "coverage:"):
		l.failures = append(l.failures, p.name+": "+line)
	}
}

// wrote gives a message to all other processes. mu is held.
func (l *load) wrote(writer *loadProcess, floor, name, message string) {
	m := &loadMessage{}
	var err error
	if m.floor, err = strconv.Atoi(floor); err == nil {
		m.version, err = versionOf(message)
	}
	if err != nil {
		l.failures = append(l.failures, fmt.Sprintf("message %s: %v", name, err))
		return
	}
	l.messages[name] = m
	writer.encrypted[m.version]++
	if m.floor == len(l.versions)-1 {
		writer.bound++
	}
	for _, p := range l.processes {
		if p == writer || p.killed {
			continue
		}
		if _, ok := p.needed[m.version]; !ok {
			now := time.Now()
			p.needed[m.version] = span{now, now}
		}
		p.given[name] = true
		p.in <- "read " + name + " " + message
	}
}

// versionOf returns the version that a message is under: 16 bytes that come after salt and
// IV in the wrapped key.
func versionOf(message string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(message)
	if err != nil {
		return "", err
	}
	h, err := envelope.ParseHeader(bytes.NewReader(b), nil)
	if err != nil {
		return "", err
	}
	const at = 16 + 12
	v := h.EncryptedDataKeys[0].Ciphertext[at : at+16]
	return fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:]), nil
}

// made tells all of a new version.
func (l *load) made(version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.versions = append(l.versions, version)
	for _, p := range l.processes {
		p.bound = 0
		p.in <- fmt.Sprint("version ", len(l.versions)-1)
	}
}

// await waits until something is so of all processes that were not killed.
func (l *load) await(what string, so func(*loadProcess) bool) {
	l.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		var waiting []string
		l.mu.Lock()
		for _, p := range l.processes {
			if !p.killed && !so(p) {
				waiting = append(waiting, p.name)
				if p.ended {
					l.failures = append(l.failures, p.name+" has ended")
				}
			}
		}
		failures := l.failures
		l.mu.Unlock()
		require.Empty(l.t, failures, "before %s", what)
		if len(waiting) == 0 {
			return
		}
		require.True(l.t, time.Now().Before(end), "it takes too long until %s: %v", what, waiting)
	}
}

// kill ends a process where it is, with SIGKILL.
func (l *load) kill(p *loadProcess) {
	l.mu.Lock()
	p.killed = true // before it ends, which else would be a failure
	l.mu.Unlock()
	require.NoError(l.t, p.cmd.Process.Kill())
	<-p.done
	require.Equal(l.t, "signal: killed", p.cmd.ProcessState.String())
}

// finish has all processes stop writing, read what there is, and end.
func (l *load) finish() {
	tell := func(do func(p *loadProcess)) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, p := range l.processes {
			do(p)
		}
	}
	tell(func(p *loadProcess) { p.in <- "stop" })
	l.await("all have stopped", func(p *loadProcess) bool { return p.stopped })
	tell(func(p *loadProcess) { close(p.in) })
	l.await("all have ended", func(p *loadProcess) bool { return p.ended })
	require.Empty(l.t, l.failures)
}
