// tls.cpp: TLS from C++, to a memcached -Z that wants a certificate of its clients; FOLDER is what tests/lib/certificates
// has filled.
//
//   tls SERVER PROTOCOL FOLDER
#include "check.hpp"

#include <fstream>
#include <iterator>

using bmemc::status;

static std::string address, protocol, folder;

static std::string file(const std::string &name) {
    return folder + "/" + name;
}

static std::string text(const std::string &name) {
    std::ifstream stream(file(name));
    return {std::istreambuf_iterator<char>(stream), {}};
}

// Options that the server is content with; a test spoils one of them.
static bmemc::options good() {
    bmemc::options options;
    must(options.add_server(address));
    must(options.set("protocol", protocol));
    must(options.set("timeout_ms", 30000));
    must(options.set("connect_timeout_ms", 30000));
    must(options.set("failover", "none"));
    must(options.set("tls", true));
    must(options.set("tls_ca_file", file("ca.pem")));
    must(options.set("tls_cert_file", file("client.pem")));
    must(options.set("tls_key_file", file("client.key")));
    must(options.set("tls_server_name", "localhost"));
    must(options.set("tls_min_version", "1.3"));
    return options;
}

static void round_trip(const bmemc::options &options) {
    auto client = must(bmemc::client::create(options));
    const std::string value(600'000, 's');
    must(client.set(key("tls"), value));
    EXPECT(must(client.get(key("tls")))->value() == value);
}

static void values_go_through() {
    round_trip(good());
}

static void certificates_may_be_text() {
    auto options = good();
    for (auto name : {"tls_ca_file", "tls_cert_file", "tls_key_file"}) must(options.set(name, ""));
    must(options.set("tls_ca", text("ca.pem")));
    must(options.set("tls_cert", text("client.pem")));
    must(options.set("tls_key", text("client.key")));
    round_trip(options);
}

static void nothing_is_looked_at_where_that_is_asked_for() {
    auto options = good();
    must(options.set("tls_ca_file", file("other-ca.pem")));
    must(options.set("tls_server_name", "elsewhere.example"));
    must(options.set("tls_verify", "none"));
    round_trip(options);
}

static void strangers_are_refused() {
    auto refuses = [](bmemc::options &&options, std::string_view word) {
        return refused(must(bmemc::client::create(options)).get(key("tls")), status::tls, word);
    };
    auto stranger = good(), elsewhere = good(), unnamed = good();
    must(stranger.set("tls_ca_file", file("other-ca.pem")));
    must(elsewhere.set("tls_server_name", "elsewhere.example"));
    for (auto name : {"tls_cert_file", "tls_key_file"}) must(unnamed.set(name, ""));
    EXPECT(refuses(std::move(stranger), "UnknownIssuer"));
    EXPECT(refuses(std::move(elsewhere), "elsewhere.example"));
    EXPECT(refuses(std::move(unnamed), "CertificateRequired"));
}

static void mistakes_are_told_at_once() {
    auto off = good(), nowhere = good();
    must(off.set("tls", false));
    must(nowhere.set("tls_ca_file", file("nowhere.pem")));
    EXPECT(refused(bmemc::client::create(off), status::argument, "tls_ca_file is set"));
    EXPECT(refused(bmemc::client::create(nowhere), status::argument, "nowhere.pem"));
    EXPECT(refused(off.set("tls_verify", "maybe"), status::argument, "tls_verify"));
}

int main(int argc, char **argv) {
    if (argc != 4) return std::cerr << "usage: tls SERVER PROTOCOL FOLDER\n", 2;
    address = argv[1], protocol = argv[2], folder = argv[3];
    RUN(values_go_through);
    RUN(certificates_may_be_text);
    RUN(nothing_is_looked_at_where_that_is_asked_for);
    RUN(strangers_are_refused);
    RUN(mistakes_are_told_at_once);
    return finish();
}
