package bmemc_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/libbmemc/bmemc"
)

// startSecure starts a memcached that speaks TLS and wants a certificate of its clients; answers with it, and the folder of
// certificates that tests/lib makes.
func startSecure(t *testing.T) (*daemon, string) {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("../../tests/lib/certificates", dir).CombinedOutput(); err != nil {
		t.Fatalf("certificates: %v: %s", err, out)
	}
	chain, key := filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")
	files := []string{"-o", "ssl_chain_cert=" + chain, "-o", "ssl_key=" + key, "-o", "ssl_ca_cert=" + filepath.Join(dir, "ca.pem")}
	return startMemcached(t, "tcp", append(files, "-Z", "-o", "ssl_verify_mode=2")...), dir
}

func TestTLS(t *testing.T) {
	server, dir := startSecure(t)
	file := func(name string) string { return filepath.Join(dir, name) }
	text := func(name string) string {
		text, err := os.ReadFile(file(name))
		wantOK(t, err)
		return string(text)
	}
	options := bmemc.Options{
		Servers: bmemc.Servers(server.address), Timeout: 30 * time.Second, ConnectTimeout: 30 * time.Second, Failover: "none",
		TLS: bmemc.On, TLSCAFile: file("ca.pem"), TLSCertFile: file("client.pem"), TLSKeyFile: file("client.key"),
		TLSServerName: "localhost", TLSMinVersion: "1.3",
	}
	for _, protocol := range []string{"auto", "text", "meta", "binary"} {
		options.Protocol = protocol
		tlsRoundTrip(t, options)
	}
	texts := options
	texts.TLSCAFile, texts.TLSCertFile, texts.TLSKeyFile = "", "", ""
	texts.TLSCA, texts.TLSCert, texts.TLSKey = text("ca.pem"), text("client.pem"), text("client.key")
	tlsRoundTrip(t, texts)
	blind := options
	blind.TLSCAFile, blind.TLSServerName, blind.TLSVerify = file("other-ca.pem"), "elsewhere.example", "none"
	tlsRoundTrip(t, blind)

	for word, spoil := range map[string]func(*bmemc.Options){
		"UnknownIssuer":       func(o *bmemc.Options) { o.TLSCAFile = file("other-ca.pem") },
		"elsewhere.example":   func(o *bmemc.Options) { o.TLSServerName = "elsewhere.example" },
		"CertificateRequired": func(o *bmemc.Options) { o.TLSCertFile, o.TLSKeyFile = "", "" },
	} {
		refused := options
		spoil(&refused)
		_, err := newClient(t, refused).Get(background, "tls")
		if !errors.Is(err, bmemc.ErrTLS) || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", word, err)
		}
	}
	for word, spoil := range map[string]func(*bmemc.Options){
		"tls_ca_file is set": func(o *bmemc.Options) { o.TLS = bmemc.Off },
		"nowhere.pem":        func(o *bmemc.Options) { o.TLSCAFile = file("nowhere.pem") },
		"tls_verify":         func(o *bmemc.Options) { o.TLSVerify = "maybe" },
	} {
		refused := options
		spoil(&refused)
		_, err := bmemc.New(refused)
		if !errors.Is(err, bmemc.ErrArgument) || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", word, err)
		}
	}
}

// tlsRoundTrip stores a value of many records, and reads it back.
func tlsRoundTrip(t *testing.T, options bmemc.Options) {
	t.Helper()
	c, value := newClient(t, options), strings.Repeat("secret", 100_000)
	wantOK(t, c.Set(background, &bmemc.Item{Key: "tls", Value: []byte(value)}))
	item, err := c.Get(background, "tls")
	wantOK(t, err)
	if string(item.Value) != value {
		t.Errorf("%s: %d bytes came back", options.Protocol, len(item.Value))
	}
}
